"""`kormo data peek`: inspects a file of text or conversations, and suggests a source block that reads it."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
import numpy as np
import yaml

from kormo_plugins.cli.support.output import json_option, print_json, print_table
from kormo_plugins.corpus.peek.findings import Look, Looks
from kormo_plugins.corpus.peek.look import look
from kormo_plugins.documents.conversation import messages_of
from kormo_plugins.documents.document import Document
from kormo_plugins.tokenizer.chat.conversations import ChatEncoder

WIDTH = 60
"""Maximum characters of an example in the table of columns."""
NAMED = 3
"""Maximum names of files that cannot be read for the same reason."""
TEXT = 600
"""Maximum characters of a printed document."""
Parts = list[tuple[str, bool]]
"""Pieces of a text, and whether each is trained on."""


@click.command()
@click.argument("path", type=click.Path(path_type=Path), metavar="FILE|FOLDER")
@click.option("--rows", type=click.IntRange(1), default=200, show_default=True, help="Number of rows to read.")
@click.option("--show", type=click.IntRange(0), default=3, show_default=True, help="Number of documents to print.")
@click.option(
    "--tokenizer",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Folder of a tokenizer: conversations are shown as its chat template renders them.",
)
@json_option
def peek(path: Path, rows: int, show: int, tokenizer: Path | None, as_json: bool) -> None:
    """Look at FILE: its format, its columns, and a source block for a dataset recipe that reads it.

    For a FOLDER, several files of each kind are read. Kinds that need different readers get separate sources, and so
    do files whose columns no common reader can read; other differences in encodings or columns are reported.

    In conversations, text that is trained on is green, or between ⟦ ⟧ without colours.
    """
    found = look(path, rows)
    if as_json:
        return print_json(asdict(found))
    _describe(found)
    sources = named(found.sources, path)
    click.echo(f"\n{_heading(found.sources)}:\n")
    click.echo("\n".join(f"  {line}" for line in block(sources).splitlines()))
    for name, one in sources.items():
        rejects = "; ".join(f"{reason} ({count:,})" for reason, count in one.rejects.items())
        of_these = f"{len(one.documents):,} documents of these rows{f'; rejects: {rejects}' if rejects else ''}."
        click.echo(f"\n{name if len(sources) > 1 else 'It'} makes {of_these}")
        for document in one.documents[:show]:
            click.echo(f"\n{document.id}")
            click.echo("".join(_marked(*part) for part in _clipped(_parts(document, tokenizer))))


def _heading(looks: Sequence[Look]) -> str:
    if len(looks) == 1:
        return "A source for a dataset recipe"
    alike = len({one.kinds for one in looks}) < len(looks)
    return f"Sources for a dataset recipe, one for each {'set of columns' if alike else 'kind of file'}"


def _describe(found: Looks) -> None:
    click.echo(", ".join(f"{count:,} {kind}" for kind, count in found.kinds.items()))
    for fault, number in Counter(found.faults.values()).items():
        names = [name for name, why in found.faults.items() if why == fault]
        more = f" and {number - NAMED:,} more" if number > NAMED else ""
        click.echo(f"  not read: {', '.join(names[:NAMED])}{more}: {fault}")
    for one in found.sources:
        others = one.files - len(one.kinds)
        more = f" and {others:,} others" if others else ""
        click.echo(f"{', '.join(one.kinds)}: read {one.file}{more}, {one.rows:,} rows")
        for note in one.notes:
            click.echo(f"  {note}")
        if one.columns:
            click.echo()
            rows = [[c.name, c.kind, f"{c.filled:,}", _short(c.example)] for c in one.columns]
            print_table(("COLUMN", "KIND", "FILLED", "EXAMPLE"), rows)


def named(looks: Sequence[Look], path: Path) -> dict[str, Look]:
    """The sources under names derived from the path, and from the kind of file if there are several."""
    name = _word(path.resolve().name.split(".")[0]) or "mine"
    if len(looks) == 1:
        return {name: looks[0]}
    kinds = Counter(one.kinds for one in looks)
    found: dict[str, Look] = {}
    for one in looks:
        of_file = Path(one.file).name.split(".")[0]  # where the kind does not tell two apart
        own = f"{name}_{one.kinds[0] if kinds[one.kinds] == 1 else _word(of_file)}"
        found[own if own not in found else f"{own}_{len(found)}"] = one
    return found


def _word(text: str) -> str:
    return "".join(c if c.isalnum() else "_" for c in text).strip("_").lower()


def block(sources: Mapping[str, Look]) -> str:
    """The sources as YAML."""
    listed = {name: {"license": "unknown", "reader": one.reader} for name, one in sources.items()}
    return str(yaml.safe_dump({"sources": listed}, allow_unicode=True, sort_keys=False, width=100))


def _short(value: object) -> str:
    text = " ".join(str(value).split())
    return text if len(text) <= WIDTH else f"{text[: WIDTH - 1]}…"


def _parts(document: Document, tokenizer: Path | None) -> Parts:
    messages = messages_of(document)
    if messages is None:
        return [(document.text, False)]
    return _rendered(document, tokenizer) if tokenizer is not None else list(_turns(messages))


def _turns(messages: list[Any]) -> Iterator[tuple[str, bool]]:
    """The turns as read; an assistant's turns are trained on, unless the weight is 0."""
    for message in messages:
        trained = message["role"] == "assistant" and bool(message.get("weight", 1))
        yield f"[{message['role']}]\n", False
        if reasoning := message.get("reasoning_content"):
            yield f"<think>\n{reasoning}\n</think>\n", trained
        yield str(message.get("content") or message.get("tool_calls") or ""), trained
        yield "\n", False


def _rendered(document: Document, tokenizer: Path) -> Parts:
    """Text rendered by the chat template, as spans that are trained on or not."""
    from tokenizers import Tokenizer

    ids, _, mask = ChatEncoder(tokenizer)([document])
    vocabulary = Tokenizer.from_file(str(tokenizer / "tokenizer.json"))
    cuts = np.flatnonzero(np.diff(mask)) + 1
    runs = zip(np.split(ids, cuts), np.split(mask, cuts), strict=True)
    return [(vocabulary.decode(run.tolist(), skip_special_tokens=False), bool(trained[0])) for run, trained in runs]


def _clipped(parts: Parts) -> Parts:
    budget = TEXT
    kept: Parts = []
    for text, trained in parts:
        if budget <= 0:
            break
        kept.append((text if len(text) <= budget else f"{text[:budget]}…", trained))
        budget -= len(text)
    return kept


def _marked(text: str, trained: bool) -> str:
    if not trained or not text:
        return text
    return click.style(text, fg="green") if sys.stdout.isatty() else f"⟦{text}⟧"
