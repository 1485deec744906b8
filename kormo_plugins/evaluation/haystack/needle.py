"""A needle in a haystack: one sentence hidden in a long text at a given depth, and a question that only it answers.

    haystack … [needle at depth d] … haystack, then the question's beginning      of exactly L tokens

The needle states a secret number of a town. Each cell (language, length, depth) is tried several times with different
towns, numbers and excerpts of the haystack, and scored in two ways: by choice, whether the correct number is the most
likely of ten (chance: 10%), and by generation, whether the model writes it. Lengths are in tokens of the model's
tokenizer.

The haystack is the embedded generator's (through the registry, with a seed held out from training) or the user's text.
(The test is Kamradt's, https://github.com/gkamradt/LLMTest_NeedleInAHaystack; scoring by choice is ours, so that small
models that write no whole sentence are measured too.)
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from kormo_plugins.documents.document import Document
from kormo_plugins.errors import KormoError, in_words
from kormo_plugins.evaluation.mini import HELD_OUT, words
from kormo_plugins.evaluation.models.checkpoint import Checkpoint, tokenizer_of
from kormo_plugins.evaluation.published import published
from kormo_plugins.measures.scores import NeedleCell, NeedleRecord
from kormo_plugins.plugins.registry import Registry
from kormo_plugins.store.keyed_random import KeyedRandom

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

DEPTHS = (0, 25, 50, 75, 100)
"""Default depths: percent of the haystack before the needle."""
TRIES = 4
"""Questions per cell."""
CHOICES = 10
CHANCE = 1 / CHOICES
LENGTHS = (128, 256, 512, 1024, 2048, 4096, 8192, 16384, 32768, 65536, 131072)
"""Default lengths in tokens, up to the model's context length."""

_TOWNS = {
    "ko": words("가람골 너른벌 달머리 모래내 버드나루 솔재 안골 큰여울"),
    "en": words("Ashlow Brinmoor Corvale Dunwick Eskford Farrowby Galemouth Hexley"),
}
_NEEDLE = {"ko": "{town}의 비밀 숫자는 {number}이다.", "en": "The secret number of {town} is {number}."}
_QUESTION = {"ko": "\n\n다시 말해, {town}의 비밀 숫자는", "en": "\n\nTo say it again, the secret number of {town} is"}


class Reader(Protocol):
    """What the search needs of a model."""

    def likelihoods(self, context: list[int], continuations: list[list[int]]) -> list[float]:
        """Log-likelihood of each continuation of the context, in nats."""
        ...

    def write(self, context: list[int], tokens: int) -> list[int]:
        """The greedy continuation of this many tokens."""
        ...


def search(
    model: Checkpoint,
    registry: Registry,
    *,
    lengths: Sequence[int] | None = None,
    depths: Sequence[int] | None = None,
    haystack: Path | None = None,
    device: str | None = None,
    say: Callable[[str], None],
    reader: Reader | None = None,
) -> NeedleRecord:
    """Scores every cell. Returns `cells` with language, length, depth, `choice` and `generated` (shares), the settings,
    and the scores `published` for KORMo-10B (percent).

    Args:
        lengths: tokens of the whole prompt; None: powers of two up to the model's positions.
        depths: percent of the haystack before the needle.
        haystack: a text or JSONL file, or a folder of these, used for both languages; None: the embedded generator.
        reader: the model; None: loads the checkpoint.
    Raises:
        KormoError: a length beyond the model's positions, or too short for needle and question; a depth that is no
            percentage; a haystack with too little text.
    """
    lengths, depths, hay = make_ready(model, registry, lengths, depths, haystack)
    tokenizer = tokenizer_of(model.path)
    reading_model = reader or _load(model, device)
    cells: list[NeedleCell] = []
    for language in _NEEDLE:
        for length in lengths:
            for depth in depths:
                tries = [
                    _ask(reading_model, tokenizer, hay[language], language, length, depth, k) for k in range(TRIES)
                ]
                choice = sum(chosen for chosen, _ in tries) / TRIES
                written = sum(right for _, right in tries) / TRIES
                cells.append(
                    {"language": language, "length": length, "depth": depth, "choice": choice, "generated": written}
                )
            done = [one for one in cells if one["language"] == language and one["length"] == length]
            mean = sum(one["choice"] for one in done) / len(done)
            say(f"needle: {language}, {length:,} tokens: {100 * mean:.0f}% by choice over {len(depths)} depths")
    return {
        "cells": cells,
        "lengths": lengths,
        "depths": depths,
        "tries": TRIES,
        "chance": CHANCE,
        "haystack": str(haystack) if haystack else "embedded generator",
        "published": published().needle,
    }


def make_ready(
    model: Checkpoint,
    registry: Registry,
    lengths: Sequence[int] | None,
    depths: Sequence[int] | None,
    haystack: Path | None,
) -> tuple[tuple[int, ...], tuple[int, ...], dict[str, list[int]]]:
    """Lengths, depths, and the haystack of each language as ids; validates all inputs without loading the model.

    Arguments and errors are those of `search`."""
    lengths = tuple(lengths or [one for one in LENGTHS if one <= (model.positions or LENGTHS[4])])
    depths = tuple(depths if depths is not None else DEPTHS)
    _check(model, lengths, depths)
    tokenizer = tokenizer_of(model.path)
    hay = {language: _hay(language, max(lengths), tokenizer, registry, haystack) for language in _NEEDLE}
    for language in _NEEDLE:  # raises if even the shortest length has no room
        for depth in depths:
            for number in range(TRIES):
                prompt(tokenizer, hay[language], language, min(lengths), depth, number)
    return lengths, depths, hay


def _check(model: Checkpoint, lengths: Sequence[int], depths: Sequence[int]) -> None:
    for length in lengths:
        if model.positions is not None and length > model.positions:
            raise KormoError(
                where="kormo eval: --lengths",
                found=f"{length:,}",
                why=f"{model.path} is declared for {model.positions:,} positions (max_position_embeddings)",
                do=f"name lengths of up to {model.positions:,}",
            )
    for depth in depths:
        if not 0 <= depth <= 100:
            raise KormoError(
                where="kormo eval: --depths", found=f"{depth}", why="a depth is a percentage", do="name 0 to 100"
            )


def _hay(
    language: str, tokens: int, tokenizer: PreTrainedTokenizerBase, registry: Registry, haystack: Path | None
) -> list[int]:
    """Ids of at least twice as many tokens of text, so that tries can start at different offsets."""
    wanted = 2 * tokens
    if haystack is not None:
        ids = _encode(tokenizer, "\n\n".join(_texts(haystack)))
        if len(ids) < tokens:
            raise KormoError(
                where="kormo eval: --haystack",
                found=f"{len(ids):,} tokens of text",
                why=f"the longest haystack needs {tokens:,} tokens",
                do="name a longer text, or shorter --lengths",
            )
        return ids
    # Our tokenizers average less than four bytes per token; a coarser tokenizer gets more text below.
    megabytes, ids = wanted * 4 / 1e6, []
    while len(ids) < wanted:
        values = {"language": language, "megabytes": max(megabytes, 0.05), "seed": HELD_OUT}
        params = registry.params("generator", "embedded", values)
        documents = registry.load("generator", "embedded")(params, 0, 1)
        ids = _encode(tokenizer, "\n\n".join(document.text for document in documents if isinstance(document, Document)))
        megabytes *= 2
    return ids[:wanted]


def _texts(path: Path) -> list[str]:
    files = sorted(path.rglob("*")) if path.is_dir() else [path]
    texts = []
    for file in files:
        try:
            if file.suffix == ".jsonl":
                texts += [json.loads(line)["text"] for line in file.read_text(encoding="utf-8").splitlines() if line]
            elif file.suffix in (".txt", ".md"):
                texts.append(file.read_text(encoding="utf-8"))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise KormoError(
                where=str(file),
                found=in_words(error),
                why="the haystack cannot be read",
                do="name text files, or JSONL with a field `text`",
            ) from None
    if not texts:
        raise KormoError(
            where="kormo eval: --haystack",
            found=str(path),
            why="it contains no .txt, .md or .jsonl file",
            do="name such a file, or a folder of them",
        )
    return texts


def _encode(tokenizer: PreTrainedTokenizerBase, text: str) -> list[int]:
    return list(tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"])


def prompt(
    tokenizer: PreTrainedTokenizerBase, hay: Sequence[int], language: str, length: int, depth: int, number: int
) -> tuple[list[int], list[list[int]], int]:
    """One question: its context of exactly `length` tokens, ten continuations, and the index of the correct one.

    Raises:
        KormoError: needle and question do not fit into `length`.
    """
    draw = KeyedRandom(HELD_OUT, "needle", language, length, depth, number)
    town = draw.pick(_TOWNS[language])
    numbers = draw.take(range(1000, 10_000), CHOICES)
    right = draw.below(CHOICES)
    needle = _encode(tokenizer, "\n\n" + _NEEDLE[language].format(town=town, number=numbers[right]) + "\n\n")
    question = _encode(tokenizer, _QUESTION[language].format(town=town))
    start = [tokenizer.bos_token_id] if tokenizer.bos_token_id is not None else []
    room = length - len(start) - len(needle) - len(question)
    if room < 8:
        raise KormoError(
            where="kormo eval: --lengths",
            found=f"{length:,} tokens",
            why="needle and question alone fill this length, without a haystack",
            do=f"name lengths of at least {length - room + 8:,}",
        )
    offset = draw.below(max(1, len(hay) - room))
    taken = list(hay[offset : offset + room])
    before = len(taken) * depth // 100
    context = [*start, *taken[:before], *needle, *taken[before:], *question]
    return context, [_encode(tokenizer, f" {one}") for one in numbers], right


def _ask(
    reader: Reader,
    tokenizer: PreTrainedTokenizerBase,
    hay: Sequence[int],
    language: str,
    length: int,
    depth: int,
    number: int,
) -> tuple[bool, bool]:
    """Whether the model finds one needle by choice, and by generation."""
    context, continuations, right = prompt(tokenizer, hay, language, length, depth, number)
    likelihoods = reader.likelihoods(context, continuations)
    best = max(range(CHOICES), key=likelihoods.__getitem__)
    written = reader.write(context, len(continuations[right]))
    return best == right, list(written) == continuations[right]


def _load(model: Checkpoint, device: str | None) -> Reader:
    from kormo_plugins.evaluation.haystack.needle_reader import TransformersReader

    return TransformersReader(model.path, device)
