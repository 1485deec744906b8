"""Token ids by role: KORMo's added tokens, in their published order and positions.

The base vocabulary has ids 0 … V-1; the 41 added tokens follow at V+0 … V+40, so a nano tokenizer (V = 4,000) and the
published one (V = 125,000) differ only in V. Other rooms use a role (`layout.eos`), never an id.

Document end and turn end are two tokens and two roles. A base model stops at `<|EOS|>`, a chat model at `<|EOT|>`;
their folders have the same ids and differ only in `eos_token` (`write_role`). The published tokenizer sets `<|EOT|>`
although the published base model should stop at `<|EOS|>`; it therefore never stops.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, Literal

from kormo_plugins.errors import KormoError, closest
from kormo_plugins.store.atomic import replace
from kormo_plugins.store.fingerprint import file_checksum, tokenizer_identity
from kormo_plugins.store.json_file import read_object, write_json
from kormo_plugins.store.model_json import readable_tokenizer

Role = Literal["base", "chat"]

NEWLINE_RUNS = tuple("\n" * count for count in range(2, 32))
"""V+0 … V+29. Two newlines at V+0 are observed in the published tokenizer; the other 29 are inferred."""

SPECIAL_TOKENS: tuple[tuple[str, str], ...] = (
    ("bos", "<|BOS|>"),
    ("eos", "<|EOS|>"),
    ("pad", "<|PAD|>"),
    ("think", "<think>"),
    ("end_think", "</think>"),  # order of this and the next four inferred, by elimination
    ("tool_call", "<tool_call>"),
    ("end_tool_call", "</tool_call>"),
    ("tool_response", "<tool_response>"),
    ("end_tool_response", "</tool_response>"),
    ("bot", "<|BOT|>"),
    ("eot", "<|EOT|>"),
)
"""V+30 … V+40: role and token."""

CONTROL = frozenset({"bos", "eos", "pad", "bot", "eot"})
"""Roles whose tokens are `special`: hidden by `skip_special_tokens`, and never produced from document text when
`encode_special_tokens` is set. The tags of thought and tools are content, because parsers of model answers need
them."""

REQUIRED = ("bos", "eos", "pad", "bot", "eot")
ADDED_TOKENS = len(NEWLINE_RUNS) + len(SPECIAL_TOKENS)
MANIFEST = "kormo_tokenizer.json"
PUBLISHED_ROW_MULTIPLE = 256
"""The published 10b model has 125,184 rows for 125,041 ids: the next multiple of 256 (of 128 it would be 125,056)."""


@dataclass(frozen=True, slots=True)
class TokenLayout:
    """The ids of one tokenizer, by role; None if an external tokenizer has no such token.

    Args:
        vocab_size: tokens of the base vocabulary.
        size: number of ids including added tokens; the minimum number of embedding rows.
        newlines: ids of the runs of 2, 3, … newlines.
        missing_bytes: byte values without a token, sorted (none for tokenizers trained here).
    """

    vocab_size: int
    size: int
    bos: int
    eos: int
    pad: int
    bot: int
    eot: int
    think: int | None = None
    end_think: int | None = None
    tool_call: int | None = None
    end_tool_call: int | None = None
    tool_response: int | None = None
    end_tool_response: int | None = None
    newlines: tuple[int, ...] = ()
    missing_bytes: bytes = b""

    def rows(self, multiple: int = PUBLISHED_ROW_MULTIPLE) -> int:
        """Rows of the embedding: `size` rounded up to a multiple of `multiple` (a multiple of 128)."""
        return -(-self.size // multiple) * multiple


def read_tokenizer_json(folder: Path) -> dict[str, Any]:
    """The parsed `tokenizer.json` of a folder.

    Raises:
        KormoError: no such file, not JSON, or not a byte-level BPE.
    """
    path = folder / "tokenizer.json"
    fix = "name a folder written by `kormo tokenizer train`, or that of another byte-level BPE"
    content = read_object(path, missing=("that file is the tokenizer", fix), fix=fix)
    if not isinstance(content.get("model"), dict):
        raise KormoError(where=str(path), found="JSON without the key `model`", why="it is not a tokenizer", do=fix)
    kind = content["model"].get("type", "BPE")
    if kind != "BPE":
        raise KormoError(where=str(path), found=f"a {kind} model", why="only byte-level BPE is supported", do=fix)
    return content


def read_layout(folder: Path, mapping: Mapping[str, str] | None = None) -> TokenLayout:
    """The layout of the tokenizer in `folder`.

    Args:
        folder: holds `tokenizer.json`.
        mapping: role -> token, for a tokenizer with other token names (`{"eos": "<|endoftext|>"}`).
    Raises:
        KormoError: a required role (`bos`, `eos`, `pad`, `bot`, `eot`) has no token; `eos` and `eot`, or `pad` and one
            of them, share a token (the end would be masked, or the two ends confused); an unknown role.
    """
    content = read_tokenizer_json(folder)
    names = dict(SPECIAL_TOKENS)
    for role in mapping or {}:
        if role not in names:
            raise KormoError(
                where=f"{folder}: role {role!r}",
                found="an unknown role",
                why=f"the roles are {', '.join(names)}",
                do=closest(role, names) or "correct the mapping",
            )
    names |= mapping or {}
    vocabulary: dict[str, int] = content["model"]["vocab"]
    added = {token["content"]: token["id"] for token in content.get("added_tokens", ())}
    all_ids = vocabulary | added
    ids = {role: all_ids.get(token) for role, token in names.items()}
    for role, token in names.items():
        if ids[role] is None and (role in REQUIRED or role in (mapping or {})):
            raise KormoError(
                where=f"{folder}: the role {role!r}",
                found=f"no token {token!r}",
                why="documents, padding and turns each need their own token",
                do=f"map the role to a token of the tokenizer, for instance {{{role}: '<|endoftext|>'}}",
            )
    for role_a, role_b in (("eos", "eot"), ("pad", "eos"), ("pad", "eot")):
        if ids[role_a] == ids[role_b]:
            raise KormoError(
                where=f"{folder}: the roles {role_a!r} and {role_b!r}",
                found=f"both are the token {names[role_a]!r}",
                why="the model would never learn where to stop",
                do=f"map {role_a} to another token",
            )
    symbols = byte_symbols()
    base = {token for token in vocabulary if token not in added}
    return TokenLayout(
        vocab_size=len(base),
        size=max(all_ids.values()) + 1,
        newlines=tuple(added[run] for run in NEWLINE_RUNS if run in added),
        missing_bytes=bytes(byte for byte in range(256) if symbols[byte] not in vocabulary),
        **ids,  # type: ignore[arg-type]
    )


def byte_symbols() -> list[str]:
    """The printable character for each byte value in a byte-level vocabulary (GPT-2's table).

    Visible Latin-1 characters represent themselves; the 68 others are shifted, in order, to U+0100 and up.
    """
    visible = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    shifted = iter(range(0x100, 0x200))
    return [chr(byte if byte in visible else next(shifted)) for byte in range(256)]


def tokenizer_hash(folder: Path) -> str:
    """The identity of a tokenizer folder; see `fingerprint.tokenizer_identity`."""
    path = folder / "tokenizer.json"
    return _hash(folder, file_checksum(path) if path.is_file() else "")


@lru_cache(maxsize=4)
def _hash(folder: Path, checksum: str) -> str:
    """Asked several times in a build, and a tenth of a second each time."""
    return tokenizer_identity(read_tokenizer_json(folder))


def write_role(folder: Path, out: Path, role: Role = "base") -> None:
    """Copies the tokenizer in `folder` to `out` with `eos_token` set for the role; ids do not change.

    Args:
        role: `base`: documents end with `<|EOS|>`; `chat`: turns end with `<|EOT|>`.
    Raises:
        KormoError: the folder lacks KORMo's tokens, or the role is unknown.
    """
    if role not in ("base", "chat"):
        raise KormoError(
            where=f"tokenizer role {role!r}",
            found="an unknown role",
            why="the role of a tokenizer is `base` or `chat`",
            do=closest(role, ("base", "chat"), "use base or chat"),
        )
    layout = read_layout(folder)
    out.mkdir(parents=True, exist_ok=True)
    for name in ("tokenizer.json", "chat_template.jinja"):
        if (folder / name).exists() and folder.resolve() != out.resolve():
            replace(out / name, partial(shutil.copyfile, folder / name))
    for name, change in (
        ("tokenizer_config.json", {"eos_token": dict(SPECIAL_TOKENS)["eos" if role == "base" else "eot"]}),
        (MANIFEST, {"role": role, "eos_token_id": layout.eos if role == "base" else layout.eot}),
    ):
        known = json.loads((folder / name).read_text(encoding="utf-8")) if (folder / name).exists() else {}
        write_json(out / name, readable_tokenizer(known | change) if name != MANIFEST else known | change)
