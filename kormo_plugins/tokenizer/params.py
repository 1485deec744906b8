"""The parameters of `kormo_bpe` in a dataset recipe."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from kormo_plugins.errors import KormoError, moved

ALPHABET = 256
"""Byte symbols in the alphabet: all, so that every text can be encoded."""


IN_GENERAL = "tokenizer: "
"""Prefix of a location in training errors, where the file is not known."""


def named(error: KormoError, where: str, files: Mapping[str, str] | None = None) -> KormoError:
    """The error with the file and key that set these parameters.

    Args:
        where: file, and the key of the parameters unless they are the whole file.
        files: parameter -> the file that sets it, if it is a different one.
    """
    file, colon, key = where.partition(": ")

    def place(general: str) -> str:
        """File and key of a parameter given in general form."""
        if not general.startswith(IN_GENERAL):
            return general
        parameter = general.removeprefix(IN_GENERAL)
        own = (files or {}).get(parameter.partition(".")[0], file)
        return f"{own}{colon}{key}{'.' if colon else ': '}{parameter}"

    return moved(error, place)


class TokenizerParams(BaseModel):
    """How the vocabulary is trained. Defaults are those of the 10b model where known."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    vocab_size: int = Field(
        default=125_000,
        description="size of the base vocabulary (256 bytes and the merges), without the 41 added tokens; at least 256",
    )
    shares: dict[str, float] = Field(
        default={"ko": 0.5, "en": 0.5},
        description="share of each language in the sampled bytes, normalized to sum to 1; other languages are "
        "excluded (and counted); empty: all text in the order it comes, whatever its language",
    )
    megabytes: float = Field(
        default=1000.0, gt=0, description="training text of all languages together, in 10^6 UTF-8 bytes"
    )
    seed: int = Field(default=42, ge=0, lt=2**63, description="seed of the sample of documents")
    normalization: Literal["NFC"] = Field(
        default="NFC", description="Unicode normalization, applied first; decode(encode(x)) is NFC(x)"
    )
    max_token_length: int = Field(
        default=64, ge=2, le=65_535, description="maximum bytes of a token (a Hangul syllable has 3)"
    )
    min_frequency: int = Field(default=2, ge=1, description="minimum occurrences of a pair that is merged")
    memory_gigabytes: float | None = Field(
        default=None,
        gt=0,
        description="memory limit of the training in 10^9 bytes; null: the memory that is free at the start",
    )

    @field_validator("vocab_size")
    @classmethod
    def _holds_the_alphabet(cls, value: int) -> int:
        if value < ALPHABET:
            raise ValueError(f"must be at least {ALPHABET}, the number of byte symbols")
        return value

    @field_validator("shares")
    @classmethod
    def _sums_to_one(cls, value: dict[str, float]) -> dict[str, float]:
        if any(not 0 < share < float("inf") for share in value.values()):
            raise ValueError("each share must be above 0; remove a language instead of setting its share to 0")
        total = sum(value.values())
        return {language: share / total for language, share in sorted(value.items())}
