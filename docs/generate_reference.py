"""Writes `docs/reference/`: every command, every recipe key and every hook, from the code that defines them.

    python docs/generate_reference.py            # after a change of a command, a key, a hook or a marked value
    python docs/generate_reference.py --check    # exit status 1 and the names of the pages that are not current

Only built-in components are listed, so that the pages do not depend on what else is installed. `tests/test_docs.py`
runs the check.
"""

from __future__ import annotations

import argparse
import inspect
import os
import re
import sys
import types
import typing
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import click
import yaml
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from kormo_plugins import hookspecs
from kormo_plugins.cli.main import cli
from kormo_plugins.corpus.params import CorpusRecipe
from kormo_plugins.mixture.params import MixtureRecipe
from kormo_plugins.plugins import contract
from kormo_plugins.plugins.registry import Registry
from kormo_plugins.recipe.schema.kormo_block import KormoBlock

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "docs" / "reference"
NOTE = "<!-- Written by docs/generate_reference.py; do not edit. -->\n\n"
MARK = re.compile(r"#\s*(\[(?:paper|ours)[^\]]*\])\s*(.*)")
Model = type[BaseModel]


@dataclass(frozen=True)
class Provenance:
    """A marked value of a recipe.

    Args:
        recipe: the file, relative to the repository.
        value: as written.
        mark: `[paper]`, `[ours]` or a variant of one (`[paper, likely]`).
        reason: the rest of the comment; may be empty.
    """

    recipe: str
    value: str
    mark: str
    reason: str


def cell(text: str) -> str:
    """Text as the cell of a Markdown table."""
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")


def code(text: str) -> str:
    """Text as code in the cell of a Markdown table."""
    return f"`{' '.join(text.split())}`".replace("|", "\\|") if text else ""


def table(header: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    """A Markdown table and the empty line behind it; nothing without rows."""
    if not rows:
        return ""
    lines = [header, tuple("---" for _ in header), *rows]
    return "\n".join(f"| {' | '.join(row)} |" for row in lines) + "\n\n"


# ---- Commands -------------------------------------------------------------------------------------------------------


def commands_page() -> str:
    """Every command of `kormo`, with its arguments and options."""
    parts = [
        NOTE,
        "# Commands\n\n",
        "`kormo` is also `axolotl kormo`. Exit status 2 means bad input, told in one message "
        "(`kormo --traceback COMMAND …` or KORMO_TRACEBACK=1 adds the traceback); what a "
        "command prints with `--json` is JSON and nothing else.\n\n",
    ]
    context = click.Context(cli, info_name="kormo")
    parts += [_command(path, command, context) for path, command in _commands(cli, context, ("kormo",))]
    return "".join(parts).rstrip() + "\n"


def _commands(
    group: click.Group, context: click.Context, path: tuple[str, ...]
) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Every command below a group, groups before their members."""
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        yield (*path, name), command
        if isinstance(command, click.Group):
            yield from _commands(command, context, (*path, name))


def _command(path: tuple[str, ...], command: click.Command, parent: click.Context) -> str:
    context = click.Context(command, info_name=" ".join(path[1:]), parent=parent)
    usage = " ".join([*path, *command.collect_usage_pieces(context)])
    options = [record for p in command.params if (record := p.get_help_record(context)) and not p.is_eager]
    options += [record for p in command.params if (record := p.get_help_record(context)) and p.is_eager]
    rows = [(code(names), cell(about)) for names, about in options]
    about = inspect.cleandoc(command.help or "").replace("\b\n", "").replace("<", "&lt;")
    head = f"{'##' if len(path) == 2 else '###'} {' '.join(path)}\n\n"
    return f"{head}```text\n{usage}\n```\n\n{about}\n\n" + table(("option", "what it does"), rows)


# ---- Keys -----------------------------------------------------------------------------------------------------------


def keys_page() -> str:
    """Every key of ours with its default and source, the parameters of every component, and every marked value."""
    marked = provenance()
    parts = [NOTE, "# Recipe keys\n\n", KEYS_INTRODUCTION, "## The `kormo` block\n\n"]
    parts += [_model_table(path, model, marked) for path, model in models("kormo", KormoBlock)]
    parts.append("## Dataset recipes\n\nA file of `datasets_recipes/`, or the mapping under `kormo.data`.\n\n")
    for root, about in ((CorpusRecipe, "documents"), (MixtureRecipe, "rows and mixture")):
        for path, model in models("data", root):
            parts.append(_model_table(path, model, marked, f" ({about})" if model is root else ""))
    parts.append(_components())
    parts.append(_marked_values(marked))
    return "".join(parts).rstrip() + "\n"


KEYS_INTRODUCTION = """This page lists the keys that we add to Axolotl's. Those of Axolotl that our recipes set are
under [Values in the recipes](#values-in-the-recipes); `kormo recipe schema` writes the schema of all of them for an
editor. The source of a value is what its recipe says: `[paper]` was published by KORMo (arXiv 2510.09426 and its
code), `[ours]` is our choice. A default without a source is our choice too.

"""


def models(path: str, model: Model, seen: tuple[Model, ...] = ()) -> Iterator[tuple[str, Model]]:
    """A model and those that its fields hold, each with its dotted path; a model inside itself once."""
    yield path, model
    for name, field in model.model_fields.items():
        for inner, suffix in _inner_models(field.annotation, ""):
            if inner not in (*seen, model) and inner.__name__ != "Choice":
                yield from models(f"{path}.{name}{suffix}", inner, (*seen, model))


def _inner_models(hint: object, suffix: str) -> Iterator[tuple[Model, str]]:
    """The models in a type hint, with `[]` for an element of a list and `.NAME` for a value of a mapping."""
    if isinstance(hint, type) and issubclass(hint, BaseModel):
        yield hint, suffix
        return
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Annotated:
        arguments = arguments[:1]
    elif origin in (list, tuple):
        suffix += "[]"
    elif origin in (dict, Mapping):
        arguments, suffix = arguments[1:], suffix + ".NAME"
    for argument in arguments:
        yield from _inner_models(argument, suffix)


def kind_of(hint: object) -> str:
    """A type hint in the words of YAML: `string`, `list of integer`, `mapping`, `null`, …"""
    names = {str: "string", int: "integer", float: "number", bool: "true or false", Path: "path", type(None): "null"}
    if isinstance(hint, type) and hint in names:
        return names[hint]
    if isinstance(hint, type) and issubclass(hint, BaseModel):
        return "component" if hint.__name__ == "Choice" else "mapping"
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Annotated:
        return kind_of(arguments[0])
    if origin is typing.Literal:
        return " or ".join(f"`{argument}`" for argument in arguments)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(dict.fromkeys(kind_of(argument) for argument in arguments))
    if origin in (list, tuple):
        return f"list of {kind_of(arguments[0])}"
    if origin in (dict, Mapping):
        value = kind_of(arguments[1])
        return "mapping" if value == "any" else f"mapping to {value}"
    return "any"


def default_of(field: FieldInfo) -> str:
    """A field's default as YAML on one line, or `required`."""
    if field.is_required():
        return "required"
    return code(_yaml(field.get_default(call_default_factory=True)))


def _yaml(value: object) -> str:
    if isinstance(value, BaseModel):
        value = value.model_dump(mode="json")
    if isinstance(value, Path):
        value = value.as_posix()
    if isinstance(value, (tuple, list, set, frozenset)):
        return f"[{', '.join(_yaml(element) for element in value)}]"
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{key}: {_yaml(inner)}' for key, inner in value.items())}}}"
    return yaml.safe_dump(value, allow_unicode=True, width=10_000).removesuffix("...\n").strip()


def _limits(field: FieldInfo) -> str:
    """The bounds that a field puts on its value, as `≥ 1`."""
    signs = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<", "min_length": "at least", "max_length": "at most"}
    told = [
        f"{sign} {getattr(limit, name):g}"
        for limit in field.metadata
        for name, sign in signs.items()
        if getattr(limit, name, None) is not None
    ]
    return f" ({', '.join(told)})" if told else ""


def _model_table(path: str, model: Model, marked: Mapping[str, list[Provenance]], part: str = "") -> str:
    rows = [
        (
            code(name),
            cell(kind_of(field.annotation) + _limits(field)),
            default_of(field),
            cell(field.description or ""),
            _source(f"{path}.{name}", marked),
        )
        for name, field in model.model_fields.items()
    ]
    about = inspect.cleandoc(model.__doc__ or "").split("\n\n")[0].replace("<", "&lt;")
    return f"### {path}{part}\n\n{about}\n\n" + table(("key", "value", "default", "what it is", "source"), rows)


def _source(path: str, marked: Mapping[str, list[Provenance]]) -> str:
    """Where the recipes say that a value comes from; what was published goes first."""
    found = sorted(marked.get(path, ()), key=lambda one: (not one.mark.startswith("[paper"), one.recipe))
    return f"{found[0].mark} `{found[0].recipe}`" if found else "ours"


def _components() -> str:
    """The parameters of every built-in component, by kind."""
    registry = built_in()
    parts = ["## Components\n\nWhat may stand beside `name` where a component is chosen.\n\n"]
    for kind in hookspecs.KINDS:
        for name in registry.names(kind):
            component, model = registry.get(kind, name), registry.model(kind, name)
            source = f" Source: {component.source}." if component.source else ""
            parts.append(f"### {kind} `{name}`\n\n{cell(component.summary)}.{cell(source)}\n\n")
            rows = [
                (
                    code(key),
                    cell(kind_of(field.annotation) + _limits(field)),
                    default_of(field),
                    cell(field.description or ""),
                )
                for key, field in (model.model_fields.items() if model else ())
            ]
            parts.append(table(("key", "value", "default", "what it is"), rows) or "It takes no parameters.\n\n")
    return "".join(parts)


def built_in() -> Registry:
    """The components of this package, whatever else is installed."""
    before = os.environ.get("KORMO_PLUGINS")
    os.environ["KORMO_PLUGINS"] = "off"
    try:
        return Registry()
    finally:
        if before is None:
            del os.environ["KORMO_PLUGINS"]
        else:
            os.environ["KORMO_PLUGINS"] = before


def provenance() -> dict[str, list[Provenance]]:
    """Every value of the shipped recipes that has a mark at the end of its line: dotted key -> where it stands."""
    found: dict[str, list[Provenance]] = {}
    for folder in ("recipes", "datasets_recipes"):
        for path in sorted((ROOT / folder).rglob("*.yml")):
            lines = path.read_text(encoding="utf-8").splitlines()
            node = yaml.compose("\n".join(lines), Loader=yaml.SafeLoader)
            prefix = "data" if folder == "datasets_recipes" else ""
            for key, line, value in _keys(node, prefix):
                mark = MARK.search(lines[line])
                if mark:
                    entry = Provenance(path.relative_to(ROOT).as_posix(), value, mark[1], mark[2])
                    found.setdefault(key, []).append(entry)
    return found


def _keys(node: yaml.Node | None, path: str) -> Iterator[tuple[str, int, str]]:
    """Every key that begins a line's mapping: dotted path, line, value (empty for a mapping)."""
    if isinstance(node, yaml.SequenceNode):
        for element in node.value:
            yield from _keys(element, f"{path}[]")
    if not isinstance(node, yaml.MappingNode):
        return
    for key, value in node.value:
        inner = f"{path}.{key.value}" if path else str(key.value)
        text = value.value if isinstance(value, yaml.ScalarNode) else ""
        if not node.flow_style:
            yield inner, key.start_mark.line, text
        yield from _keys(value, inner)


def _marked_values(marked: Mapping[str, list[Provenance]]) -> str:
    rows = [
        (code(key), f"`{one.recipe}`", code(one.value), one.mark, cell(one.reason))
        for key in sorted(marked)
        for one in marked[key]
    ]
    head = (
        "## Values in the recipes\n\nEvery value that has a mark, Axolotl's keys among them. "
        "A key without a value holds a mapping or a list.\n\n"
    )
    return head + table(("key", "recipe", "value", "source", "reason"), rows)


# ---- Hooks ----------------------------------------------------------------------------------------------------------


def hooks_page() -> str:
    """Every hook of the contract, with what is installed for it."""
    registry = built_in()
    parts = [
        NOTE,
        "# Hooks\n\n",
        "From `kormo_plugins/hookspecs.py`. Each hook yields `Component`s; `load` is the "
        "object that is described here.\n\n",
    ]
    for kind, hook in hookspecs.KINDS.items():
        about = inspect.cleandoc(getattr(hookspecs, hook).__doc__ or "").replace("<|", "&lt;|")
        names = ", ".join(f"`{name}`" for name in registry.names(kind)) or "none"
        parts.append(f"## {hook}\n\n{about}\n\n")
        for part in contract.parts(hook):
            members = "".join(f"- `{m.name}{m.signature}`: {' '.join(m.doc.split())}\n" for m in part.members)
            parts.append(f"**{part.name}.** {part.doc.replace('<|', '&lt;|')}\n\n{members}\n")
        parts.append(f"Kind: `{kind}`. Built in: {names}.\n\n")
    return "".join(parts).rstrip() + "\n"


PAGES = {"commands.md": commands_page, "keys.md": keys_page, "hooks.md": hooks_page}


def stale(folder: Path = FOLDER) -> list[str]:
    """The pages in `folder` that are not what the code would write now."""
    return [
        name
        for name, page in PAGES.items()
        if not (folder / name).is_file() or (folder / name).read_text(encoding="utf-8") != page()
    ]


def main() -> int:
    """Writes the pages, or names those that are not current."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--check", action="store_true", help="write nothing; exit status 1 if a page is not current")
    if parser.parse_args().check:
        old = stale()
        for name in old:
            print(f"docs/reference/{name} is not current: run python docs/generate_reference.py")
        return 1 if old else 0
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, page in PAGES.items():
        (FOLDER / name).write_text(page(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
