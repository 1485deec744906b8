"""Conversion of a checkpoint to the plain Llama layout, which opens without this package, and back.

Every conversion is verified: after writing, both folders are opened from disk and run on a fixed batch in fp32, and the
new folder is renamed into place only if the logits are bit-identical. A record in it has checksums of the files that
determine the logits, so that a conversion that was modified later is not converted again.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kormo_plugins import __version__
from kormo_plugins.architecture.files import (
    INDEX,
    config_json,
    copy_tokenizer,
    read_json,
    read_weights,
    readable_by_all,
    tensor_bytes,
    weight_files,
    write_json,
    write_weights,
)
from kormo_plugins.architecture.layout import FROM_LLAMA, TO_LLAMA, kormo_config, llama_config, portable, renamed
from kormo_plugins.architecture.registration import MODEL_TYPE, register
from kormo_plugins.errors import KormoError
from kormo_plugins.store.atomic import publish_folder
from kormo_plugins.store.fingerprint import file_checksum
from kormo_plugins.store.json_file import check_shape, read_object, seal_fault, sealed
from kormo_plugins.store.model_json import rope_base

if TYPE_CHECKING:
    import torch
    from transformers import PretrainedConfig

    from kormo_plugins.architecture.variants.forms import Form

    Convert = Callable[[Mapping[str, torch.Tensor]], dict[str, torch.Tensor]]

RECORD = "kormo_export.json"
"""File that marks a folder as a conversion, with its source and checksums; only such a folder may be replaced."""

PROBE = (2, 64)
"""Rows and tokens of the batch used for the comparison."""


def equality(record: Mapping[str, object]) -> str:
    """Result of the comparison in words, from the statistics or the record of an export."""
    return f"all within {record['within']:g}" if record.get("within") else "all equal"


def export_llama(checkpoint: Path, out: Path) -> dict[str, object]:
    """Writes a KORMo checkpoint as a plain Llama one, with tokenizer and generation settings.

    Args:
        checkpoint: folder of a finished KORMo checkpoint.
        out: folder to create; an earlier export there is replaced once the new one is complete.
    Returns:
        Statistics: `files`, `bytes` (of the weights), `compared` (logits found equal).
    Raises:
        KormoError: not a KORMo checkpoint; damaged or missing files; `out` is not an earlier export; unequal logits.
    """
    register()
    config = _config(checkpoint, MODEL_TYPE)
    return _convert(checkpoint, out, config_json(llama_config(config)), partial(renamed, names=TO_LLAMA))


def import_llama(checkpoint: Path, out: Path) -> dict[str, object]:
    """Writes a plain Llama checkpoint as a KORMo one: the inverse of `export_llama`, with the same checks."""
    register()
    config = _config(checkpoint, "llama")
    return _convert(checkpoint, out, config_json(kormo_config(config)), partial(renamed, names=FROM_LLAMA))


def converted(checkpoint: Path, out: Path, model_type: str, form: Form, own: set[str]) -> dict[str, object]:
    """Writes a checkpoint of a variant in its plain layout; raises as `export_llama`.

    Args:
        model_type: of the checkpoint.
        form: the plain layout.
        own: fields of config.json that are specific to the variant.
    Returns:
        Statistics of `export_llama`, and `layout`, the name of the plain layout.
    """
    config = _config(checkpoint, model_type)
    common = {key: value for key, value in portable(config).items() if key not in own}
    fields = {**common, **form.config(config.to_dict()), "architectures": [form.architecture]}
    plain: PretrainedConfig = _class_of(form.model_type).from_dict(fields)
    return {**_convert(checkpoint, out, config_json(plain), form.convert, form.within), "layout": form.name}


def _class_of(model_type: str) -> Any:
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    return CONFIG_MAPPING[model_type]


def _config(folder: Path, model_type: str) -> PretrainedConfig:
    from transformers import AutoConfig

    fields = read_json(folder / "config.json")
    actual = fields.get("model_type")
    rope_base(fields, str(folder / "config.json"))
    if actual != model_type:
        raise KormoError(
            where=str(folder / "config.json"),
            found=f"model_type {actual!r}",
            why=f"the conversion needs {model_type!r}",
            do=f"name the folder of a {model_type} checkpoint",
        )
    config: PretrainedConfig = AutoConfig.from_pretrained(folder)
    return config


def _convert(
    checkpoint: Path, out: Path, config: dict[str, Any], convert: Convert, within: float = 0.0
) -> dict[str, object]:
    check_place(checkpoint, out, config["model_type"])
    check_unchanged(checkpoint)
    unfinished = out.with_name(f".{out.name}.partial")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    try:
        files = _write(checkpoint, unfinished, config, convert)
        compared = _verify(checkpoint, unfinished, within)
        origin = read_json(checkpoint / "config.json")["model_type"]
        written = {path.name: file_checksum(path) for path in sorted(unfinished.iterdir())}
        sums = {name: written.pop(name) for name in [*files, "config.json"]}
        record = {
            "from": origin,
            "to": config["model_type"],
            "compared": compared,
            "within": within,
            "files": sums,
            "beside": written,
            "kormo_plugins": __version__,
        }
        write_json(unfinished / RECORD, sealed(record))
        publish_folder(unfinished, out)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return {
        "files": files,
        "bytes": sum((out / name).stat().st_size for name in files),
        "compared": compared,
        "within": within,
    }


def check_place(checkpoint: Path, out: Path, to: str, file: str | None = None) -> None:
    """Refuses to replace anything but an earlier conversion to the same layout, or the source itself.

    Args:
        to: the target layout.
        file: the single weight file, if its name depends on the dtype of the weights.
    """
    if checkpoint.resolve().is_relative_to(out.resolve()):
        raise KormoError(
            where=str(out),
            found=f"it holds {checkpoint}",
            why="the checkpoint would be replaced",
            do="name another folder",
        )
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return
    if (out / RECORD).is_file():
        earlier = read_record(out)
        held = sorted(earlier.get("files", {}))
        if earlier.get("to") == to and (file is None or held == [file]):
            return
        raise KormoError(
            where=str(out),
            found=f"an earlier export to {earlier.get('to')}: {', '.join(held[:3])}",
            why=f"{file or f'a {to} checkpoint'} would replace it",
            do="name another folder, or remove this one",
        )
    raise KormoError(
        where=str(out),
        found=f"something other than an earlier export (no {RECORD} in it)",
        why="it would be replaced",
        do="name another folder, or remove this one",
    )


def check_unchanged(checkpoint: Path) -> None:
    """Refuses a conversion with a file that was modified since.

    Raises:
        KormoError: names the file, or the record of the conversion.
    """
    if not (checkpoint / RECORD).is_file():
        return
    record = read_record(checkpoint)
    for name, checksum in {**record.get("files", {}), **record.get("beside", {})}.items():
        path = checkpoint / name
        if not path.is_file() or file_checksum(path) != checksum:
            raise KormoError(
                where=str(path),
                found="missing" if not path.is_file() else "changed since this folder was converted",
                why=f"{RECORD} has another checksum: that of the model that was compared with its original",
                do=f"convert the original again; if the change is meant, remove {checkpoint / RECORD}",
            )


def read_record(checkpoint: Path) -> dict[str, Any]:
    """The record of a conversion: `from`, `to`, and checksums of its `files` and of those `beside` them.

    Raises:
        KormoError: the record is damaged or was edited.
    """
    path, fix = checkpoint / RECORD, f"remove {checkpoint}, and convert the original again"
    record = read_object(path, missing=("a conversion writes it", "convert the original again"), fix=fix)
    check_shape(path, record, {"from": str, "to": str, "files": dict, "beside": dict}, fix)
    changed = seal_fault(record, unnamed=True)
    if changed:
        raise KormoError(where=str(path), found=changed, why="it holds the checksums of the folder's files", do=fix)
    return record


def _write(checkpoint: Path, out: Path, config: dict[str, object], convert: Convert) -> list[str]:
    sources = weight_files(checkpoint)
    places: dict[str, str] = {}
    for source in sources:
        weights = convert(read_weights(source))
        if weights:  # a file may only contain weights that the other layout lacks
            write_weights(out / source.name, weights)
            places |= dict.fromkeys(weights, source.name)
    if (checkpoint / INDEX).exists():
        size = sum(tensor_bytes(out / name) for name in set(places.values()))
        write_json(out / INDEX, {"metadata": {"total_size": size}, "weight_map": places})
    copy_tokenizer(checkpoint, out)
    if (checkpoint / "generation_config.json").exists():
        write_json(out / "generation_config.json", read_json(checkpoint / "generation_config.json"))
    write_json(out / "config.json", readable_by_all({**config, "use_cache": True}, str(out / "config.json")))
    return sorted(set(places.values()))


def _verify(first: Path, second: Path, within: float) -> int:
    """Raises if the logits of both folders differ by more than `within`; returns the number of logits compared."""

    expected = _logits(first)  # one model in memory at a time: 43 GB each at 10B
    second_logits = _logits(second)
    difference = (expected - second_logits).abs().max().item()
    if not difference <= within:  # also refuses NaN
        raise KormoError(
            where=str(first),
            found=f"fp32 logits that differ by up to {difference:.3g} from the converted model's",
            why="a conversion that changes what the model computes must not be used",
            do="check the disk and the versions of torch and transformers, and report it if they are sound",
        )
    return expected.numel()


def _logits(folder: Path) -> torch.Tensor:
    """fp32 logits of the model in `folder`, [*PROBE, rows], on a fixed random batch."""
    import torch
    from transformers import AutoModelForCausalLM

    opened: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, output_loading_info=True)
    model, report = opened
    for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"):
        if report[kind]:
            raise KormoError(
                where=str(folder),
                found=f"{kind.replace('_', ' ')}: {', '.join(sorted(map(str, report[kind]))[:3])}",
                why="transformers would draw at random, or leave out, the weights that do not fit",
                do="write the checkpoint again",
            )
    ids = torch.randint(model.config.vocab_size, PROBE, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        logits: torch.Tensor = model.eval()(input_ids=ids, use_cache=False).logits
    return logits
