"""`kormo export`: converts a checkpoint to another layout with bit-identical results."""

from __future__ import annotations

import json
from pathlib import Path

import click

from kormo_plugins.architecture.export import RECORD, equality
from kormo_plugins.architecture.gguf_layout.write import QUANTIZED, export_gguf
from kormo_plugins.cli.support.output import json_option, print_json
from kormo_plugins.errors import KormoError, closest, in_words
from kormo_plugins.hookspecs import Exported, HasPlainForm, ImportsLlama
from kormo_plugins.plugins.registry import registry
from kormo_plugins.runs.publishing.model_card import NEEDED, export_card
from kormo_plugins.store.complete import MARKER, fault

GGUF = "gguf"
PLAIN = "llama"
"""The layout that opens without this package; every other layout is the name of a model family."""


@click.command()
@click.argument("checkpoint", type=click.Path(path_type=Path))
@click.option(
    "--to",
    "layout",
    required=True,
    metavar="LAYOUT",
    help="`llama`, `gguf`, a family such as `kormo`, or the equivalent class: `qwen3`, `olmo2`, `mixtral`.",
)
@click.argument("folder", type=click.Path(path_type=Path), metavar="DIR")
@click.option(
    "--plugin", "modules", multiple=True, metavar="MODULE", help="Load this plugin module too, like kormo.plugins."
)
@click.option(
    "--quantize",
    type=click.Choice(QUANTIZED),
    help="Type of the matrices in a GGUF; by default the checkpoint's dtype.",
)
@json_option
def export(
    checkpoint: Path, layout: str, folder: Path, modules: tuple[str, ...], quantize: str | None, as_json: bool
) -> None:
    """Convert a checkpoint to another layout.

    Both are opened from disk and run on the same tokens, and DIR is only created if their logits are equal. An earlier
    export to the same layout (and quantization) in DIR is replaced with a message; any other folder that is not empty
    is refused, as is a CHECKPOINT with files that do not match its own record.

    `gguf` is the format of llama.cpp, Ollama and LM Studio, with a Modelfile beside it; every tensor in it is compared
    with the checkpoint's.
    """
    model_type = _model_type(checkpoint)
    if quantize is not None and layout != GGUF:
        raise KormoError(
            where="kormo export: --quantize",
            found=f"{quantize} with --to {layout}",
            why="only a GGUF can be quantized; other layouts keep the weights as they are",
            do="add --to gguf, or leave --quantize out",
        )
    reason = fault(checkpoint) if (checkpoint / MARKER).is_file() else None
    if reason is not None:
        raise KormoError(
            where=str(checkpoint),
            found=reason,
            why=f"{MARKER} lists what was written when the training ended",
            do="take another checkpoint of the run, or train the stage again",
        )
    replaced = (folder / RECORD).is_file()
    found, what = _converted(checkpoint, model_type, layout, folder, modules, quantize)
    card = export_card(checkpoint, folder)
    if card is None:
        missing = ", ".join(name for name in NEEDED if not (checkpoint / name).is_file())
        click.echo(f"no model card: {checkpoint} is not a finished run (it has no {missing})", err=True)
    if as_json:
        record = {"checkpoint": checkpoint, "from": model_type, "to": layout, "path": folder, "card": card}
        return print_json({**record, "replaced": replaced, **found})
    click.echo(f"{folder}: a {layout} checkpoint of {len(found['files'])} weight files, {found['bytes']:,} bytes")
    if replaced:
        click.echo(f"it replaced the {layout} checkpoint that was there")
    click.echo(f"compared with {checkpoint}: {found['compared']:,} {what}, {equality(found)}")
    if layout == GGUF:
        click.echo(
            "llama.cpp does not apply Unicode normalization: send Hangul as NFC (NFD gets other ids than in training)"
        )
    if card is not None:
        click.echo(f"{card}: model card, from the records of the run")


def _converted(
    checkpoint: Path, model_type: str, layout: str, folder: Path, modules: tuple[str, ...], quantize: str | None
) -> tuple[Exported, str]:
    """Converts; returns the statistics, and the unit of `compared` in them."""
    components = registry(modules)
    if layout == GGUF:
        return export_gguf(checkpoint, folder, quantize), "tensors"
    if layout == model_type:
        raise KormoError(
            where="kormo export: --to",
            found=repr(layout),
            why=f"{checkpoint} has this layout already",
            do="copy the folder",
        )
    own = components.load("architecture", model_type) if model_type in components.names("architecture") else None
    config = json.loads((checkpoint / "config.json").read_text(encoding="utf-8"))
    plain = own.plain_type(config) if isinstance(own, HasPlainForm) else PLAIN
    if own is not None and plain is not None and layout == plain:
        convert = own.export_llama
    elif layout == PLAIN and plain not in (PLAIN, None):
        raise KormoError(
            where="kormo export: --to",
            found=f"{layout}, of a checkpoint of the type {model_type}",
            why=f"it has no Llama form: transformers computes the same as {plain}",
            do=f"write --to {plain}",
        )
    elif layout == PLAIN:
        convert = components.load("architecture", model_type, f"{checkpoint / 'config.json'}: model_type").export_llama
    else:
        families = components.names("architecture")
        if layout not in families:
            layouts = [GGUF, *(families if model_type == PLAIN else [plain] if plain else [])]
            raise KormoError(
                where="kormo export: --to",
                found=repr(layout),
                why=f"a checkpoint of the type {model_type} has no such form; there are: {', '.join(layouts)}",
                do=closest(layout, {*layouts, *families}, f"write --to {layouts[-1]}"),
            )
        family = components.load("architecture", layout, "kormo export: --to")
        if model_type != PLAIN or not isinstance(family, ImportsLlama):
            raise KormoError(
                where=f"{checkpoint / 'config.json'}: model_type",
                found=f"from {model_type!r} to {layout!r}",
                why=f"conversions go from and to the layout {PLAIN!r}",
                do=f"export to {PLAIN} first",
            )
        convert = family.import_llama
    return convert(checkpoint, folder), "fp32 logits"


def _model_type(checkpoint: Path) -> str:
    path = checkpoint / "config.json"
    try:
        found = json.loads(path.read_text(encoding="utf-8"))["model_type"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise KormoError(
            where=str(path),
            found=in_words(error),
            why="a checkpoint is a folder with a config.json that names its model_type",
            do="name the folder of a checkpoint (outputs/pretrain, outputs/pretrain/checkpoint-80)",
        ) from None
    return str(found)
