"""The model card of a finished run: `README.md` beside the weights and in `export/`.

Every sentence is derived from records of the run: its resolved recipe, `run.json`, `metrics.jsonl`, the manifests of
its artifacts and the weights themselves. What was not recorded (the model's licence, its quality) is not stated.
"""

from __future__ import annotations

import json
import re
import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from kormo_plugins.architecture.export import equality
from kormo_plugins.architecture.files import read_json, weight_files
from kormo_plugins.architecture.registration import MODEL_TYPE
from kormo_plugins.errors import KormoError, printable
from kormo_plugins.measures.metrics_file import FILE as METRICS
from kormo_plugins.measures.metrics_file import read_metrics
from kormo_plugins.pipeline.build import build_data
from kormo_plugins.pipeline.built import Built, lookup_only
from kormo_plugins.pipeline.open import open_dataset
from kormo_plugins.recipe.load import Recipe, load_recipe
from kormo_plugins.reporting.markup import markdown
from kormo_plugins.store.atomic import write_text
from kormo_plugins.store.complete import MARKER, unchanged
from kormo_plugins.training.telemetry import run_record
from kormo_plugins.training.telemetry.run_record import RESOLVED

CARD = "README.md"
EXPORT = "export"
LOSS_POINTS = 10
"""Maximum number of logged losses averaged for the first and for the last loss on the card."""

SIZES = (
    "hidden_size",
    "intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
    "num_key_value_heads",
    "head_dim",
    "vocab_size",
    "max_position_embeddings",
    "rms_norm_eps",
    "tie_word_embeddings",
)
KEYS = (
    "optimizer",
    "learning_rate",
    "lr_scheduler",
    "warmup_ratio",
    "warmup_steps",
    "weight_decay",
    "max_grad_norm",
    "adam_beta1",
    "adam_beta2",
    "adam_epsilon",
)

NEEDED = (RESOLVED, run_record.FILE, MARKER)
"""Files of a run without which there is nothing to write on a card."""


def write_card(recipe: Recipe, built: Built, dataset: object, out: Path) -> list[Path]:
    """Writes the card of the model in `out`, and of its export if there is one.

    Args:
        dataset: the mixture that the run read, if it was one of ours.
        out: the run's folder, or that of the model that its adapters were merged into.
    Returns:
        Paths of the cards.
    """
    sources = _sources(dataset)
    folders = [folder for folder in (out, out / EXPORT) if (folder / "config.json").is_file()]
    return [_write(folder, card(recipe, built, sources, folder, recipe.output_dir)) for folder in folders]


def export_card(run: Path, folder: Path) -> Path | None:
    """The card for a later conversion of a run's finished model.

    Args:
        run: the run's folder.
        folder: the converted model.
    Returns:
        Its path; None if `run` is no finished run.
    """
    if not all((run / name).is_file() for name in NEEDED):
        return None
    recipe, built, sources = load_recipe(run / RESOLVED), Built(), None
    try:
        built = build_data(recipe, lookup_only(recipe.path))
        sources = _sources(open_dataset(recipe.stream_plan(), built) if recipe.data is not None else None)
    except KormoError:
        pass  # the artifacts are gone: the card says nothing about the data
    # a GGUF contains what these files say
    described = folder if (folder / "config.json").is_file() else run
    return _write(folder, card(recipe, built, sources, described, run, _use_gguf(folder, recipe.block.role)))


def _sources(dataset: object) -> dict[str, object] | None:
    """Statistics of a mixture of ours by source; None for any other data."""
    from kormo_plugins.mixture.dataset import MixtureDataset
    from kormo_plugins.mixture.report import stats

    sources: dict[str, object] | None = stats(dataset)["sources"] if isinstance(dataset, MixtureDataset) else None
    return sources


def _write(folder: Path, lines: Iterable[str]) -> Path:
    write_text(folder / CARD, "\n".join(lines) + "\n")
    return folder / CARD


def card(
    recipe: Recipe, built: Built, sources: Mapping[str, object] | None, folder: Path, run: Path, use: Sequence[str] = ()
) -> Iterator[str]:
    """The lines of the card of the model in `folder`, made by `run`; `sources` as in `mixture.report.stats`.

    Args:
        use: lines on how to use it, if not with transformers.
    """
    record = run_record.read_record(run)
    config = read_json(folder / "config.json")
    number, dtypes = weights(folder)
    yield from _front(config, sources)
    yield f"# {markdown(run.name)}"
    yield ""
    kind = config.get("model_type")
    if kind == MODEL_TYPE and not use:
        yield "> transformers, vLLM and llama.cpp open the folder `export/`, which holds this model as a plain Llama."
        yield "> The weights beside this card are in KORMo's own layout, which the package kormo-plugins reads."
        yield ""
    yield f"A causal language model of {number:,} parameters ({', '.join(dtypes)}) in the layout `{kind}`, trained with"
    yield f"kormo-plugins by the recipe `{record.get('recipe', recipe.path)}`."
    if record.get("overrides"):
        yield f"With these changes: {_code(record['overrides'])}."
    if recipe.block.from_run is not None:
        yield f"It continues training the model of the run `{recipe.block.from_run}`."
    yield from ("", "## Use", "", *(use or _use(folder, recipe.block.role)), "")
    yield from ("## Training", "", *_training(recipe, run), "")
    if sources:
        yield from ("## Data", "", *_data(sources), "")
    yield from ("## Tokenizer", "", *_tokenizer(recipe, built, record), "")
    shape = [(key, config[key]) for key in SIZES if key in config]
    yield from ("## Shape", "", *_table(("", ""), [*shape, *_rope(config)]), "")
    yield from ("## Made with", "", *_table(("", "version"), record.get("versions", {}).items()), "")
    yield f"Identity of the run: {_code(record.get('identity', {}))}; sha256 of its resolved recipe"
    yield f"`{record.get('recipe_sha256', 'not recorded')}`."


def weights(folder: Path) -> tuple[int, list[str]]:
    """Parameters of a checkpoint and their dtypes, from the headers of its safetensors files."""
    number, dtypes = 0, set()
    for path in weight_files(folder):
        with path.open("rb") as file:
            (length,) = struct.unpack("<Q", file.read(8))
            header = json.loads(file.read(length))
        for name, entry in header.items():
            if name == "__metadata__":
                continue
            size = 1
            for side in entry["shape"]:
                size *= side
            number += size
            dtypes.add(entry["dtype"])
    return number, sorted(dtypes)


def _front(config: Mapping[str, object], sources: Mapping[str, Any] | None) -> Iterator[str]:
    """The YAML front matter that model hubs read."""
    languages = {name for source in (sources or {}).values() for name in source["languages"] if len(name) == 2}
    yield "---"
    if languages:
        yield f"language: [{', '.join(sorted(languages))}]"
    yield from ("library_name: transformers", "pipeline_tag: text-generation", "tags: [kormo, axolotl]", "---", "")


def _use(folder: Path, role: str) -> Iterator[str]:
    kind = str(read_json(folder / "config.json").get("model_type"))
    ours = kind == MODEL_TYPE or kind.startswith(f"{MODEL_TYPE}_")
    yield "```python"
    if ours:
        yield "from kormo_plugins.plugins.registry import registry"
    yield "from transformers import AutoModelForCausalLM, AutoTokenizer"
    yield ""
    if ours:
        yield f'registry().load("architecture", "{kind}").register()  # not needed for the plain copy in export/'
    yield f'model = AutoModelForCausalLM.from_pretrained("{folder.as_posix()}")'
    yield f'tokenizer = AutoTokenizer.from_pretrained("{folder.as_posix()}")'
    yield "```"
    yield ""
    if ours and kind != MODEL_TYPE:
        yield "Where transformers has a class that computes the same, `export/` holds the model in its layout."
    elif ours:
        yield "`export/` holds the same model as a plain Llama, which needs no additional package."
    else:
        made = read_json(folder / "kormo_export.json") if (folder / "kormo_export.json").is_file() else {}
        yield f"Compared with the {made.get('from', 'original')} layout when it was written: " + (
            f"{made['compared']:,} fp32 logits, {equality(made)}." if made.get("compared") else "not recorded."
        )
    ends = "a turn, with `<|EOT|>`" if role == "chat" else "a text, with `<|EOS|>`"
    yield f"As a {role} model it ends {ends}."


def _use_gguf(folder: Path, role: str) -> tuple[str, ...]:
    """How to use a GGUF, if the folder has one; otherwise empty."""
    for file in sorted(folder.glob("*.gguf")):
        serve = f"llama-server -m {file.name}{' --jinja' if role == 'chat' else ''}"
        return (
            "```bash",
            serve,
            f"ollama create {folder.name} -f Modelfile",
            "```",
            "",
            "llama.cpp does not apply Unicode normalization: send Hangul as NFC.",
        )
    return ()


def _training(recipe: Recipe, run: Path) -> Iterator[str]:
    rows: list[tuple[str, object]] = []
    if recipe.steps and recipe.block.global_batch:
        tokens = recipe.steps * recipe.block.global_batch * recipe.sequence_len
        rows = [
            ("steps", f"{recipe.steps:,}"),
            ("rows per step", f"{recipe.block.global_batch:,}"),
            ("tokens per row", f"{recipe.sequence_len:,}"),
            ("tokens", f"{tokens:,}"),
        ]
    rows += [(key, recipe.get(key)) for key in KEYS if recipe.get(key) is not None]
    precision = {key: value for key, value in recipe.block.precision.model_dump().items() if value is not None}
    rows += [
        ("precision", _code(precision)),
        ("seed", recipe.seed),
        ("objective", recipe.block.objective.name),
        ("collator", recipe.block.collator.name),
    ]
    yield from _table(("", ""), rows)
    line = loss_line(logged(run / METRICS))
    if line is not None:
        yield from ("", line)


def loss_line(losses: list[tuple[int, float]]) -> str | None:
    """The sentence about the training loss, from pairs (step, loss); None if there are none. Its two means share no
    step."""
    few = min(LOSS_POINTS, len(losses) // 2)
    if not losses:
        return None
    if not few:
        return f"Training loss: {losses[0][1]:.4f} (step {losses[0][0]})."
    first, last = losses[:few], losses[-few:]
    return (
        f"Training loss, mean of {few} logged value{'s' if few > 1 else ''}: {_mean(first):.4f} (steps "
        f"{first[0][0]}-{first[-1][0]}) at the beginning, {_mean(last):.4f} (steps {last[0][0]}-{last[-1][0]}) at the "
        "end."
    )


def logged(path: Path) -> list[tuple[int, float]]:
    """Step and training loss of each line of `metrics.jsonl` that has one."""
    lines = read_metrics(unchanged(path))
    return [(int(line["step"]), float(line["loss"])) for line in lines if "loss" in line and "step" in line]


def _mean(losses: list[tuple[int, float]]) -> float:
    return sum(loss for _, loss in losses) / len(losses)


def _data(sources: Mapping[str, Any]) -> Iterator[str]:
    rows = []
    synthetic = 0.0
    for name, source in sources.items():
        machine = _part(source["synthetic"], "yes")
        synthetic += source["share"] * machine
        rows.append(
            (
                markdown(name),
                f"{source['share']:.2%}",
                f"{source['tokens_placed']:,}",
                f"{source['epochs']:.2f}",
                _names(source["languages"]),
                f"{machine:.0%}",
                _names(source["generators"]),
                _names(source["licenses"]),
            )
        )
    header = ("source", "share of the run", "tokens", "epochs", "language", "synthetic", "generators", "licence")
    yield from _table(header, rows)
    korean = sum(source["share"] * _part(source["languages"], "ko") for source in sources.values())
    yield ""
    yield f"Of the tokens {synthetic:.2%} are synthetic and {korean:.2%} are in documents marked as Korean."
    yield "Licences are those that the dataset recipe states for its sources."


def _part(counts: Mapping[str, int], name: str) -> float:
    return counts.get(name, 0) / (sum(counts.values()) or 1)


def _names(counts: Mapping[str, int]) -> str:
    return ", ".join(sorted(markdown(name) for name in counts if name)) or "-"


def _tokenizer(recipe: Recipe, built: Built, record: Mapping[str, Any]) -> Iterator[str]:
    choice = recipe.block.tokenizer
    how = "that of the model before"
    if choice is not None and choice.train is not None:
        how = f"`{choice.train.get('name')}`, trained on the documents of this run"
    elif choice is not None:
        how = f"`{choice.path or choice.hub}`"
    identity = record.get("identity", {}).get("tokenizer", built.tokenizer_hash[:12])
    yield f"{how[0].upper()}{how[1:]}; identity `{identity}`."


def _rope(config: Mapping[str, Any]) -> Iterator[tuple[str, object]]:
    theta = config.get("rope_theta") or (config.get("rope_parameters") or {}).get("rope_theta")
    if theta is not None:
        yield "rope_theta", theta


def _table(header: tuple[str, ...], rows: Iterable[tuple[object, ...]]) -> Iterator[str]:
    yield "| " + " | ".join(header) + " |"
    yield "|" + "---|" * len(header)
    for row in rows:
        yield "| " + " | ".join(_cell(cell) for cell in row) + " |"


def _cell(value: object) -> str:
    """A table cell on one line; an unescaped bar would start another cell."""
    return re.sub(r"(?<!\\)\|", r"\|", printable(" ".join(str(value).split())))


def _code(values: Mapping[str, object]) -> str:
    return ", ".join(f"`{key}: {json.dumps(value, ensure_ascii=False, default=str)}`" for key, value in values.items())
