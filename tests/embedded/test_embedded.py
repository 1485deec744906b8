"""The embedded corpus: the same for the same parameters, no two documents alike, correct in what it says."""

from __future__ import annotations

import contextlib
import io
import random
import re
import sys
import unicodedata
from collections import Counter
from fractions import Fraction
from functools import lru_cache
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from kormo_plugins.documents.document import Document
from kormo_plugins.embedded import lexicon as lexicons
from kormo_plugins.embedded.generate import GENRES, EmbeddedParams, generate, write_document
from kormo_plugins.errors import KormoError
from kormo_plugins.plugins.registry import registry

from .korean_checks import wrong_particles

STYLES = (0, 1, 2)


@lru_cache(maxsize=16)
def corpus(language: str = "all", style: int = 0, megabytes: float = 1.0, genre: str = "") -> tuple[Document, ...]:
    genres = [genre] if genre else None
    return tuple(generate(EmbeddedParams(language=language, style=style, megabytes=megabytes, genres=genres)))


def size(documents: tuple[Document, ...]) -> int:
    return sum(len(document.text.encode()) for document in documents)


# ---- as a component


def test_it_is_a_generator_component() -> None:
    params = registry().params("generator", "embedded", {"language": "ko", "megabytes": 0.05})
    documents = list(registry().load("generator", "embedded")(params, 0, 1))
    assert documents and all(
        (d.synthetic, d.generator, d.license, d.language) == (True, "embedded", "Apache-2.0", "ko") for d in documents
    )


@pytest.mark.parametrize(
    ("values", "named"),
    [({"genre": ["story"]}, "genres"), ({"genres": ["storys"]}, "story"), ({"megabytes": 0}, "megabytes"),
     ({"language": "jp"}, "language"), ({"genres": []}, "genres"), ({"genres": ["news", "news"]}, "twice")],
)  # fmt: skip
def test_bad_parameters_are_told(values: dict[str, object], named: str) -> None:
    with pytest.raises(KormoError) as caught:
        registry().params("generator", "embedded", values)
    assert named in caught.value.render()


# ---- determinism


def test_union_of_shards_is_the_corpus() -> None:
    params = EmbeddedParams(megabytes=1.1)
    whole = {d.id: d.text for d in generate(params)}
    parts = [d for shard in range(3) for d in generate(params, shard, 3)]
    assert len(parts) == len(whole) and {d.id: d.text for d in parts} == whole


def test_a_document_is_a_function_of_its_name() -> None:
    for document in random.Random(0).sample(corpus(), 40):
        _, style, seed, language, genre, number = document.id.split("-")
        assert write_document(language, genre, int(number), int(seed), int(style), 1e9) == document.text


def test_bytes_are_pinned() -> None:
    """The same on every machine and Python: one digest over the languages and styles."""
    import hashlib

    digest = hashlib.sha256()
    for style in STYLES:
        for document in generate(EmbeddedParams(megabytes=0.1, style=style)):
            digest.update(document.text.encode())
    assert digest.hexdigest()[:16] == "fceb758efb5a3c2d"


def test_seed_and_style_change_the_text() -> None:
    texts = {
        (seed, style): next(iter(generate(EmbeddedParams(megabytes=0.05, seed=seed, style=style)))).text
        for seed in (0, 1) for style in STYLES
    }  # fmt: skip
    assert len(set(texts.values())) == len(texts)


@pytest.mark.parametrize("megabytes", [0.1, 0.25, 1.0, 1.37])
def test_budget(megabytes: float) -> None:
    assert size(corpus(megabytes=megabytes)) == pytest.approx(megabytes * 1e6, rel=0.01)


# ---- diversity


def test_every_genre_in_every_language() -> None:
    seen = {(d.language, d.meta["genre"]) for d in corpus()}
    assert seen == {(language, genre) for language in ("ko", "en", "mul") for genre in GENRES}


def test_lengths_vary() -> None:
    lengths = sorted(len(d.text) for style in STYLES for d in corpus(style=style))
    assert lengths[0] < 120 and lengths[len(lengths) // 2] < 1500 and lengths[-1] > 8000
    assert sum(length > 3500 for length in lengths) < 0.2 * len(lengths)


@pytest.mark.parametrize("style", STYLES)
def test_each_document_names_its_hero_and_town(style: int) -> None:
    """Why no two are alike: the two names are the document's number, another for each."""
    from kormo_plugins.embedded.worlds import identity

    names = set()
    for document in corpus(style=style):
        number, language = int(document.id.split("-")[-1]), document.language
        slots = identity(lexicons.lexicon(style), language, number, ("embedded", 0, style, language))
        for side in ("ko", "en") if language == "mul" else (language,):
            assert getattr(slots["p"], side) in document.text, document.id
            assert getattr(slots["town"], side) in document.text, document.id
        names.add((language, slots["p"], slots["town"]))
    assert len(names) == len(corpus(style=style))


def distinct_share(documents: tuple[Document, ...], n: int = 5) -> float:
    seen: set[tuple[str, ...]] = set()
    total = 0
    for document in documents:
        words = document.text.split()
        grams = [tuple(words[i : i + n]) for i in range(len(words) - n + 1)]
        total += len(grams)
        seen.update(grams)
    return len(seen) / total


@pytest.mark.parametrize("language", ["ko", "en", "mul"])
def test_diversity(language: str) -> None:
    import zstandard

    documents = corpus(language, megabytes=2.0)
    texts = [d.text for d in documents]
    assert len(set(texts)) == len(texts)
    data = "\n".join(texts).encode()
    assert len(data) / len(zstandard.ZstdCompressor(level=3).compress(data)) < 8
    assert distinct_share(documents) > 0.6


@pytest.mark.soak
def test_no_two_documents_alike_in_20_megabytes() -> None:
    seen: set[str] = set()
    shapes: set[str] = set()
    count = 0
    for document in generate(EmbeddedParams(megabytes=20)):
        seen.add(document.text)
        shapes.add(re.sub(r"\d+", "0", document.text))
        count += 1
    assert len(seen) == count and len(shapes) == count


def test_styles_can_be_told_apart() -> None:
    """Naive Bayes on the words of one half of the documents knows the style of the other half's."""
    import math

    halves = {style: corpus("ko", style, 1.0) for style in STYLES}
    profiles = {}
    for style, documents in halves.items():
        counts = Counter(word for d in documents[::2] for word in set(d.text.split()))
        profiles[style] = {word: math.log(n + 0.1) for word, n in counts.items()}
    right = total = 0
    for style, documents in halves.items():
        for document in documents[1::2]:
            words = set(document.text.split())
            score = {s: sum(p.get(w, math.log(0.1)) for w in words) for s, p in profiles.items()}
            right += max(score, key=score.__getitem__) == style
            total += 1
    assert right / total > 0.85


# ---- correct text


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("language", ["ko", "en", "mul"])
def test_clean_text(language: str, style: int) -> None:
    for document in corpus(language, style):
        text = document.text
        prose = re.sub(r"```.*?```", "", text, flags=re.S) if document.meta["genre"] == "code" else text
        assert unicodedata.is_normalized("NFC", text), document.id
        assert text == text.strip() and "\n\n\n\n" not in text, document.id
        if document.meta["genre"] != "code":
            assert "  " not in prose and not re.search(r"[{}@]|«|»", prose), document.id
            assert not re.search(r" [.,?!](?:\s|$)|[.,]{2}| \n|\n ", prose), document.id
        assert not re.search(r"은는|는은|을를|를을|으로로|로으로|다다[.\s]", prose), document.id
        if language == "en":
            assert not re.search(r"[가-힣]", text), document.id


@pytest.mark.parametrize("style", STYLES)
def test_particles(style: int) -> None:
    # a noun of one syllable and a particle can be another word (감는, 강가): those are left to the tables
    lists = (entries for name, entries in lexicons.all_words().items() if name[:2] not in ("v.", "a."))
    nouns = {entry[0] for entries in lists for entry in entries if " " not in entry[0] and len(entry[0]) > 1}
    text = "\n".join(d.text for d in corpus("ko", style) if d.meta["genre"] != "code")
    assert wrong_particles(text, nouns) == []


def test_the_particle_checker_can_fail() -> None:
    bad = "책를 나무을 3는 4은 물으로 길를 산로 나무으로 나무이에요 책예요 사과은"
    assert len(wrong_particles(bad, {"책", "나무", "사과"})) >= 10


def test_english_articles() -> None:
    text = "\n".join(d.text for style in STYLES for d in corpus("en", style) if d.meta["genre"] != "code")
    assert re.findall(r"\b[Aa] [aeio]\w+", re.sub(r"\b[Aa] one", "", text)) == []
    assert re.findall(r"\b[Aa]n (?!hour|honest|hanbok)[^aeiouAEIOU\W]\w+", text) == []


_NUMBER = r"(?:\d{1,3}(?:,\d{3})+|\d+)"
_TERM = rf"(?:\({_NUMBER} \+ {_NUMBER}\)|{_NUMBER})"
_SIDE = rf"{_TERM}(?: ?[-+×÷/] ?{_TERM})*"
CHAIN = re.compile(rf"(?<!x \+ )(?<![\d,./x])({_SIDE}(?: = {_SIDE})+)(?!\d|x)")
"""Sums that are stated to be equal; the left side of an equation in x is none."""


def _numbers(text: str) -> str:
    return text.replace(",", "").replace("×", "*").replace("÷", "/")


@pytest.mark.parametrize("language", ["ko", "en", "mul"])
def test_arithmetic_is_right(language: str) -> None:
    checked = 0
    for style in STYLES:
        for document in corpus(language, style, 0.5, "arithmetic"):
            for chain in CHAIN.findall(document.text):
                values = [_value(_numbers(side)) for side in chain.split(" = ")]
                assert len(set(values)) == 1, (document.id, chain)
                checked += 1
    assert checked > 1000


def _value(expression: str) -> Fraction:
    """The value of a sum of integers, computed exactly and not by the generator's code."""
    tokens = re.findall(r"\d+|[-+*/()]", expression)

    def atom() -> Fraction:
        token = tokens.pop(0)
        if token == "(":
            value = total()
            tokens.pop(0)
            return value
        return Fraction(int(token))

    def term() -> Fraction:
        value = atom()
        while tokens and tokens[0] in "*/":
            value = value * atom() if tokens.pop(0) == "*" else value / atom()
        return value

    def total() -> Fraction:
        value = term()
        while tokens and tokens[0] in "+-":
            value = value + term() if tokens.pop(0) == "+" else value - term()
        return value

    value = total()
    assert not tokens, expression
    return value


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("language", ["ko", "en", "mul"])
def test_code_runs_and_prints_what_the_text_says(language: str, style: int) -> None:
    ran = 0
    for document in corpus(language, style, 0.3, "code"):
        if "```" not in document.text:  # a bare module with assertions
            if language != "mul":
                exec(document.text, {})
                ran += 1
            continue
        blocks = re.findall(r"```(python|text)\n(.*?)\n```", document.text, flags=re.S)
        printed = []
        for kind, body in blocks:
            if kind == "python":
                out = io.StringIO()
                with contextlib.redirect_stdout(out):
                    exec(body, {})
                printed.append(out.getvalue().strip())
        stated = [body for kind, body in blocks if kind == "text"]
        assert sorted(printed) == sorted(stated), document.id
        ran += len(printed)
    assert ran > 50 or (language == "mul" and style == 2)


def test_every_phrase_fills_in_every_level() -> None:
    """All pairs of all banks, filled from a full world: no form is unknown and no slot is left."""
    from kormo_plugins.korean.morphology import REGISTERS
    from kormo_plugins.store.keyed_random import KeyedRandom

    for templates in lexicons.all_phrases().values():
        for template in templates:
            for register in REGISTERS:
                template._compile("ko", register)
            template._compile("en", "plain")
            keys = [set(re.findall(r"\{(@?[a-z_.]+\d*)", text)) for text in (template.ko, template.en)]
            drawn = [{key for key in side if key[0] == "@"} for side in keys]
            assert drawn[0] == drawn[1], (template.ko, template.en)
    assert KeyedRandom("a").uniform() == KeyedRandom("a").uniform() != KeyedRandom("b").uniform()
