"""Diversity as numbers, and the page and card that show what became of a corpus."""

from __future__ import annotations

import json
import random
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
import yaml
from datasets import load_dataset

from kormo_plugins.corpus.build import build_source
from kormo_plugins.corpus.params import CorpusRecipe
from kormo_plugins.corpus.reports.diversity import (
    by_generator,
    compression_ratio,
    distinct,
    sampled,
    seed_overlap,
    self_bleu,
)
from kormo_plugins.corpus.reports.report import dataset_card, write_report
from kormo_plugins.documents.document import Document
from kormo_plugins.plugins.registry import Registry
from kormo_plugins.store.corpus_files import read_corpus

from .conftest import write_rows


def various(count: int, seed: int = 0) -> list[str]:
    dice = random.Random(seed)
    return [" ".join(f"낱말{dice.randint(0, 10**6)}" for _ in range(60)) for _ in range(count)]


def alike(count: int) -> list[str]:
    return [f"이 글은 {i % 3}번째 틀에 따라 쓴 글이며 내용은 모두 같고 숫자만 다르다. " * 3 for i in range(count)]


def test_every_measure_tells_poor_from_rich() -> None:
    rich, poor = various(40), alike(40)
    assert compression_ratio(poor) > 3 * compression_ratio(rich)
    assert distinct(rich, 2) > 0.95 and distinct(poor, 2) < 0.05
    assert self_bleu(poor) > 0.9 and self_bleu(rich) < 0.05
    assert self_bleu(["하나뿐인 글이다."]) == 0.0 == self_bleu([])
    assert seed_overlap(rich[0], rich[0]) == 1.0 and seed_overlap(rich[0], rich[1]) == 0.0


def test_the_sample_does_not_depend_on_the_order() -> None:
    documents = [Document(f"d{i}", text) for i, text in enumerate(various(300))]
    chosen = [d.id for d in sampled(documents, 20_000)]
    random.Random(1).shuffle(documents)
    assert [d.id for d in sampled(documents, 20_000)] == chosen
    assert 20_000 <= sum(len(d.text.encode()) for d in sampled(documents, 20_000)) < 22_000


def test_a_dominating_generator_is_pointed_out() -> None:
    def made(name: str, texts: list[str]) -> list[Document]:
        return [Document(f"{name}{i}", text, synthetic=True, generator=name) for i, text in enumerate(texts)]

    numbers = by_generator([*made("one", various(90)), *made("two", various(10, 1)), Document("h", "사람이 쓴 글")])
    assert numbers["one"]["dominates"] and not numbers["two"]["dominates"]
    assert numbers["human"]["share_of_synthetic"] is None
    assert sum(numbers[name]["share_of_synthetic"] for name in ("one", "two")) == pytest.approx(1, abs=1e-3)


class Tags(HTMLParser):
    """Fails on tags that do not match, and gathers the text."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        assert tag != "script"
        if tag not in ("meta",):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def test_page_and_card(tmp_path: Path, components: Registry) -> None:
    path = write_rows(tmp_path / "a.jsonl", ["짧다", "<script>alert('나쁜 글')</script>", *various(20)])
    source = {"reader": {"name": "jsonl", "path": str(path)}, "license": "CC-BY-4.0", "language": "ko"}
    recipe = CorpusRecipe.model_validate({
        "name": "demo", "sources": {"web": source}, "held_out": {"documents": 1},
        "steps": [{"name": "length", "minimum": 40}],
    })  # fmt: skip
    folder = tmp_path / "web"
    folder.mkdir()
    stats = {"web": build_source("web", recipe.sources["web"], recipe, components, folder)}
    page = write_report(
        recipe, {"web": folder}, stats, tmp_path, tokens={"web": 1234}, weights={"ko": {"share": 2, "of": {"web": 1}}}
    )
    parsed = Tags()
    parsed.feed(page.read_text(encoding="utf-8"))
    assert not set(parsed.open) - {"style"}
    for expected in (
        "too short (2)",
        "1,234",
        "alert('나쁜 글')",
        "web 100.00%",
        "CC-BY-4.0",
        "No duplicates were found",
    ):
        assert expected in parsed.text, expected
    card = dataset_card(recipe, stats)
    head = yaml.safe_load(card.split("---")[1])
    assert head["license"] == "cc-by-4.0" and head["language"] == ["ko"] and head["size_categories"] == ["n<1K"]
    assert "| web | ko | CC-BY-4.0 | not marked synthetic | 19 |" in card
    # With the card beside it, the folder is a dataset that `datasets` opens by the source's name.
    (tmp_path / "README.md").write_text(card, encoding="utf-8")
    opened = load_dataset(str(tmp_path), "web", split="train", cache_dir=str(tmp_path / "cache"))
    assert opened["text"] == [document.text for document in read_corpus(folder)]


def test_the_page_shows_duplicates_and_a_dominating_generator(tmp_path: Path, components: Registry) -> None:
    texts = various(12)
    near = texts[1].rsplit(" ", 3)[0] + " 바뀐 낱말 셋"
    path = write_rows(tmp_path / "a.jsonl", [*texts, texts[0], near])
    sources = {
        "one": {"reader": {"name": "jsonl", "path": str(path)}, "synthetic": True, "written_by": "one writer"},
        "two": {"generator": {"name": "embedded", "language": "ko", "megabytes": 0.002}},
    }
    steps = [{"name": "exact_dedup"}, {"name": "minhash_dedup"}]
    recipe = CorpusRecipe.model_validate({"sources": sources, "held_out": {"documents": 0}, "steps": steps})
    stats, folders = {}, {}
    for name, source in recipe.sources.items():
        folders[name] = tmp_path / name
        folders[name].mkdir()
        stats[name] = build_source(name, source, recipe, components, folders[name])
    page = write_report(recipe, folders, stats, tmp_path, tokens={"one": 5 * stats["one"]["bytes"]})
    parsed = Tags()
    parsed.feed(page.read_text(encoding="utf-8"))
    rows = parsed.text.replace("%", "%\n")
    assert "oneexact duplicate17.14%" in rows and "onenear duplicate17.14%" in rows
    assert "one writer dominates" in parsed.text and "One generator wrote most" in parsed.text
    funnel = [row for row in page.read_text(encoding="utf-8").split("<tr>") if row.startswith("<td class=name>read")]
    assert f"{5 * stats['one']['steps'][0]['bytes_out']:,}" in funnel[0]  # tokens by those of what stays
    assert "minhash_dedup: 2 documents; the first was kept" in parsed.text


def test_the_page_says_which_copy_was_kept(tmp_path: Path, components: Registry) -> None:
    """With `prefer` it need not be the first one of the source."""
    text = various(1)[0]
    rows = [{"id": f"d{year}", "text": text, "date": f"{year}-01-01"} for year in (2019, 2024)]
    path = tmp_path / "a.jsonl"
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    recipe = CorpusRecipe.model_validate({
        "sources": {"web": {"reader": {"name": "jsonl", "path": str(path), "columns": {"keep": ["date"]}}}},
        "held_out": {"documents": 0},
        "steps": [{"name": "minhash_dedup", "prefer": ["newest", "longest"]}],
    })  # fmt: skip
    folder = tmp_path / "web"
    folder.mkdir()
    stats = {"web": build_source("web", recipe.sources["web"], recipe, components, folder)}
    page = write_report(recipe, {"web": folder}, stats, tmp_path).read_text(encoding="utf-8")
    assert "2 documents; the preferred copy was kept and is listed first (prefer: newest, longest)" in page
    assert page.index("<blockquote>d2024") < page.index("<blockquote>d2019") and "the first was kept" not in page


@pytest.mark.parametrize("licenses", [("CC-BY-4.0",), ("Apache-2.0", "CC0-1.0"), ("as stated by the dataset card",)])
def test_the_card_is_one_that_the_hub_reads(licenses: tuple[str, ...]) -> None:
    """Read by huggingface_hub, which also finds each source as a configuration of the dataset."""
    from huggingface_hub import DatasetCard

    sources = {f"s{i}": {"reader": {"name": "jsonl", "path": "x"}, "license": one} for i, one in enumerate(licenses)}
    recipe = CorpusRecipe.model_validate({"name": "demo: a", "sources": sources})
    found = {"documents": 5000, "bytes": 9, "languages": {"ko": {}, "en": {}, "und": {}}}
    data = DatasetCard(dataset_card(recipe, dict.fromkeys(sources, found))).data
    assert (
        data.language == ["en", "ko"] and data.pretty_name == "demo: a" and data.task_categories == ["text-generation"]
    )
    assert [one["config_name"] for one in data.configs] == list(sources)
    if licenses[0].startswith("as stated"):
        assert (data.license, data.license_name, data.license_link) == ("other", "by-source", "README.md")
    else:
        assert data.license == (["apache-2.0", "cc0-1.0"] if len(licenses) > 1 else "cc-by-4.0")


def test_lengths_stand_in_the_order_of_numbers() -> None:
    """A manifest sorts its keys as text, where 10 comes before 5."""
    from kormo_plugins.corpus.reports.report import _lengths_rows

    assert [row[0] for row in _lengths_rows({"10": 3, "5": 1, "9": 2})] == ["under 32", "under 512", "under 1,024"]
