"""What a tokenizer will lack once it is trained: languages without a source, tokens given by name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from kormo_plugins.errors import KormoError, closest
from kormo_plugins.recipe.files.resolve import Resolved
from kormo_plugins.tokenizer.layout import NEWLINE_RUNS, SPECIAL_TOKENS, read_tokenizer_json
from kormo_plugins.tokenizer.params import TokenizerParams

OURS = "kormo_bpe"
UNKNOWN = "und"
"""The language of a source that declares none."""


def tokenizer_can_be_had(recipe: Resolved) -> Iterator[KormoError]:
    """Rows need a tokenizer, and a tokenizer that is trained needs documents."""
    data, tokenizer = recipe.get("kormo.data"), recipe.get("kormo.tokenizer")
    if data is not None and tokenizer is None and recipe.get("kormo.from_run") is None:
        yield KormoError(
            where=recipe.where("kormo.tokenizer"),
            found="nothing",
            why="without a tokenizer kormo.data cannot become tokens",
            do="set kormo.tokenizer (train, path or hub) or kormo.from_run",
        )
    if data is None and recipe.get("kormo.tokenizer.train") is not None:
        yield KormoError(
            where=recipe.where("kormo.tokenizer.train"),
            found="train without kormo.data",
            why="a tokenizer is trained on the recipe's own documents",
            do="set kormo.data, or kormo.tokenizer: {path: …}",
        )


def shares_have_sources(recipe: Resolved) -> Iterator[KormoError]:
    """Each language with a share of the vocabulary must be that of a source, if the sources declare their languages."""
    trained, languages = recipe.get("kormo.tokenizer.train"), _languages(recipe)
    if not isinstance(trained, Mapping) or trained.get("name") != OURS or not languages:
        return
    shares = trained.get("shares", TokenizerParams.model_fields["shares"].default)
    for language in shares if isinstance(shares, Mapping) else ():
        if not {str(language), str(language).partition("-")[0]} & languages:  # `keep: [zh]` lets zh-Hant through
            yield KormoError(
                where=recipe.where(f"kormo.tokenizer.train.shares.{language}"),
                found=f"a share of {language}, with sources in {', '.join(sorted(languages))}",
                why="no source is in that language, so the share cannot be met",
                do=closest(str(language), languages)
                or "add a source in that language, or set shares for these languages only (`shares: {}` uses all text "
                "as it is)",
            )


def ignored_tokens_exist(recipe: Resolved) -> Iterator[KormoError]:
    """Tokens excluded from the loss by name must be tokens of the tokenizer, if it is already known."""
    tokens = recipe.get("kormo.collator.ignore_tokens")
    known = _added_tokens(recipe) if isinstance(tokens, list) else []
    for token in tokens if known else ():
        if isinstance(token, str) and token not in known:
            named = [name for name in known if name.strip()]
            yield KormoError(
                where=recipe.where("kormo.collator.ignore_tokens"),
                found=repr(token),
                why="the tokenizer has no such added token, so nothing would be excluded from the loss",
                do=closest(token, named, f"name one of: {', '.join(named)}"),
            )


def _languages(recipe: Resolved) -> set[str]:
    """The languages of the documents, as declared or as a step `language` keeps them; empty if a column or a generator
    determines them."""
    data = recipe.get("kormo.data")
    sources = data.get("sources") if isinstance(data, Mapping) else None
    languages: set[str] = set()
    for source in sources.values() if isinstance(sources, Mapping) else ():
        steps = source.get("steps") if source.get("steps") is not None else data.get("steps") or ()
        columns = (source.get("reader") or {}).get("columns") or {}
        language = source.get("language", UNKNOWN)
        said_elsewhere = "language" in columns or (source.get("generator") is not None and language == UNKNOWN)
        if said_elsewhere:
            return set()
        kept = [_kept(step) for step in steps if _name(step) == "language"]
        if not all(kept):
            return set()
        languages |= set(kept[-1]) if kept else {str(language)}
    return languages


def _kept(step: object) -> list[str]:
    """The languages that a step `language` lets through; none if it lets every one through, or names them itself."""
    keep = step.get("keep") if isinstance(step, Mapping) and step.get("model") is None else None
    return [str(code) for code in keep] if isinstance(keep, list | tuple) else []


def _name(step: object) -> object:
    return step.get("name") if isinstance(step, Mapping) else step


def _added_tokens(recipe: Resolved) -> list[str]:
    trained, path = recipe.get("kormo.tokenizer.train"), recipe.get("kormo.tokenizer.path")
    if isinstance(trained, Mapping) and trained.get("name") == OURS:
        return [*(token for _, token in SPECIAL_TOKENS), *NEWLINE_RUNS]
    if isinstance(path, str) and (Path(path) / "tokenizer.json").is_file():
        return [token["content"] for token in read_tokenizer_json(Path(path))["added_tokens"]]
    return []
