"""Every page that we write is opened in Chromium with hostile names, texts and licences: nothing in it runs or loads.

Each payload would write into the page, or fetch, if it were anything but text. The page's policy would stop it too; so
each page is opened once more without its policy.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from kormo_plugins.cli.data import mixture_tree
from kormo_plugins.corpus.params import CorpusRecipe
from kormo_plugins.corpus.reports.report import dataset_card, write_report
from kormo_plugins.documents.document import Document, write_documents
from kormo_plugins.evaluation.haystack import needle_page
from kormo_plugins.evaluation.judged.answers import Answered
from kormo_plugins.evaluation.judged.controls import Control
from kormo_plugins.evaluation.judged.page import write_judged_page
from kormo_plugins.evaluation.judged.questions import Question
from kormo_plugins.evaluation.judged.verdicts import Verdict
from kormo_plugins.experiments.ablation.markdown import markdown as ablation_markdown
from kormo_plugins.reporting.ablation import read_ablation
from kormo_plugins.reporting.ladder import write_ladder
from kormo_plugins.reporting.page import write_report as run_report
from kormo_plugins.runs.talk import talk_page
from kormo_plugins.tokenizer.comparison import page as tokenizer_page

from .made_runs import EVIL as WEAKER
from .made_runs import write_ablation_folder, write_evaluation, write_run
from .test_page import browse

RUN = "document.documentElement.setAttribute('data-pwned','1')"
EVIL = (
    f"<script>{RUN}</script><img src=x onerror={RUN}>\"><svg onload={RUN}>'</title></style></textarea>"
    '<a href="javascript:0">a</a><a href="http://127.0.0.1:9/">b</a>{{7*7}}\x1b]52;c;ZWNobw==\x07\u202egpj.exe'
)
POLICY = re.compile(r'<meta http-equiv="?Content-Security-Policy"?[^>]*>', re.IGNORECASE)


def corpus(folder: Path) -> Path:
    source = {"reader": {"name": "jsonl", "path": "x"}, "license": EVIL, "language": EVIL[:200], "written_by": EVIL}
    recipe = CorpusRecipe.model_validate({"name": EVIL, "sources": {"web": {**source, "synthetic": True}}})
    recipe = recipe.model_copy(update={"sources": {EVIL: recipe.sources["web"]}})
    (folder / "c" / "rejects").mkdir(parents=True)
    mark = {"step": EVIL, "reason": EVIL}
    write_documents(folder / "c" / "rejects" / "part-00000.jsonl.zst", [Document(EVIL, EVIL, meta={"rejected": mark})])
    write_documents(folder / "c" / "part-00000.jsonl.zst", [Document(EVIL, EVIL, generator=EVIL, synthetic=True)])
    step = {"name": EVIL, "documents_in": 2, "documents_out": 1, "bytes_in": 9, "bytes_out": 5, "changed": 0,
            "rejects": {EVIL: 1}}  # fmt: skip
    one = {"documents": 1, "bytes": 5, "characters": 5, "read": {"documents": 2, "bytes": 9}, "steps": [step],
           "held_out": {"documents": 0, "bytes": 0}, "lengths": {"3": 1}, "renamed": 0, "rejected": 1,
           "languages": {EVIL: {"documents": 1, "bytes": 5}}}  # fmt: skip
    (folder / "README.md").write_text(dataset_card(recipe, {EVIL: one}))
    return write_report(recipe, {EVIL: folder / "c"}, {EVIL: one}, folder)


def a_run(folder: Path) -> Path:
    run = write_run(folder / "run", name=EVIL, recipe=EVIL, amendments=[EVIL])
    write_evaluation(run, task=EVIL, suite=EVIL, unverified=EVIL)
    return run_report([run], folder / "page.html")


def a_chain(folder: Path) -> Path:
    stages = [{"name": EVIL, "status": EVIL, "seconds": 1.0, "output": str(write_run(folder / "run", name=EVIL))}]
    (folder / "chain.json").write_text(json.dumps({"chain": EVIL, "stages": stages}))
    return run_report([folder], folder / "page.html")


def an_ablation(folder: Path) -> Path:
    made = write_ablation_folder(folder)
    text = (made / "ablation.json").read_text()
    (made / "ablation.json").write_text(text.replace(json.dumps(WEAKER)[1:-1], json.dumps(EVIL)[1:-1]))
    (folder / "README.md").write_text(ablation_markdown(read_ablation(made)))
    return run_report([made], folder / "page.html")


def tokenizers(folder: Path) -> Path:
    measures = dict.fromkeys(
        ("bytes_per_token", "characters_per_token", "tokens_per_eojeol", "single_byte_share", "entropy_bits"), 1.0
    )
    one = {"size": 9, "unused": 1, "unused_share": 0.1, "languages": {EVIL: measures}, "sources": {EVIL: measures},
           "all": measures, "longest": [EVIL], "terms": {EVIL: {"tokens": 1, "uses": 1}}}  # fmt: skip
    result = {"documents": 1, "bytes": 9, "tokenizers": {EVIL: one}}
    tokenizer_page.write_page(result, folder / "page.html")
    return folder / "page.html"


def a_mixture(folder: Path) -> Path:
    counts = dict.fromkeys(mixture_tree.SUMMED, 5) | {"fill": 0.5, "weight": 1.0, "share": 1.0}
    stats = {"sources": {EVIL: counts}, "tokens": 5, "steps": 1}
    mixture_tree.write_page(mixture_tree.tree(EVIL, {EVIL: 1}, stats), stats, folder / "page.html")
    return folder / "page.html"


def needles(folder: Path) -> Path:
    cells = [
        {"language": language, "length": 128, "depth": 0, "choice": 0.5, "generated": 0.5} for language in ("ko", "en")
    ]
    found: dict[str, Any] = {"lengths": [128], "depths": [0], "cells": cells, "tries": 4, "chance": 0.1,
                             "haystack": EVIL, "published": {"ko": EVIL}}  # fmt: skip
    needle_page.write(found, folder / "page.html")
    return folder / "page.html"


def judged(folder: Path) -> Path:
    question = Question(EVIL, EVIL, (EVIL,), (EVIL,), "ko")
    mean = {"mean": 5.0, "low": 4.0, "high": 6.0, "n": 1, "alpha": 0.5}
    told = {"not_counted": {EVIL: 1}, "verdicts": 2}
    result = {
        "suite": EVIL, "title": EVIL, "model": EVIL, "judge": {"name": EVIL}, "unanswered": 0, "published": {EVIL: 5.0},
        "single": {**mean, **told, "length_correlation": 0.1, "by_language": {"ko": mean}, "by_turn": {"1": mean},
                   "by_category": {EVIL: mean}},
        "pairs": {**mean, **told, "against": EVIL, "length_controlled": 0.5, "wins": 1, "ties": 0, "losses": 0,
                  "same_in_both_orders": 1.0, "position": 0.0},
        "controls": {"ko": {"hangul": 0.5}},
        "nativeness": {"texts": {EVIL: {EVIL: 1.0}}, "measures": {EVIL: {"title": EVIL, "better": EVIL}}},
    }  # fmt: skip
    verdicts = [
        Verdict(EVIL, "single", 0, False, 0, 5.0, None, EVIL, ""),
        Verdict(EVIL, "pair", 0, True, 0, None, None, EVIL, EVIL),
    ]
    answered = [Answered(question, (EVIL,), (EVIL,))]
    controls = [Control(0.5, True, 1.0, (EVIL,), EVIL, True, 9)]
    return write_judged_page(result, answered, controls, verdicts, {EVIL: [EVIL]}, folder / "page.html")


def a_ladder(folder: Path) -> Path:
    at = [{"tokens": 1000, "loss": 2.0, "low": 1.9, "high": 2.1}]
    line = {"target": EVIL, "size": EVIL, "before": True, "at": at, "time": EVIL, "sha256": EVIL}
    run = {"name": EVIL, "size": EVIL, "hash": EVIL, "seed": 1, "parameters": 1000, "synthetic": 0.0, "target": True,
           "state": EVIL, "reason": EVIL, "seconds": 1.0, "folder": EVIL, "points": [[1000, 2.0]]}  # fmt: skip
    record = {"ladder": EVIL, "base": EVIL, "question": EVIL, "metric": EVIL, "law": None, "predictions": [line],
              "runs": [run]}  # fmt: skip
    return write_ladder(record, folder / "page.html")


WRITERS: dict[str, list[Callable[[Path], Path]]] = {
    "corpus/reports/report.py": [corpus],
    "reporting/page.py": [a_run, a_chain],
    "reporting/ablation.py": [an_ablation],
    "reporting/ladder.py": [a_ladder],
    "evaluation/judged/page.py": [judged],
    "evaluation/haystack/needle_page.py": [needles],
    "tokenizer/comparison/page.py": [tokenizers],
    "cli/data/mixture_tree.py": [a_mixture],
}
"""Module that makes a page -> pages of its that are opened here."""
SERVED = {"runs/talk/talk_page.py"}
"""Modules whose page a library draws; opened by a test of their own."""
QUICK = (a_run, corpus)
PAGES = [
    write if write in QUICK else pytest.param(write, marks=pytest.mark.soak)
    for writers in WRITERS.values()
    for write in writers
]


def test_no_page_is_forgotten() -> None:
    package = Path(mixture_tree.__file__).parents[2]
    making = re.compile(r"import gradio|<html|reporting\.document import|\bhttp\.server\b", re.IGNORECASE)
    found = {
        path.relative_to(package).as_posix() for path in package.rglob("*.py") if making.search(path.read_text("utf-8"))
    }
    assert found == {*WRITERS, *SERVED}, "every page is opened in a browser with hostile names: add it here"


@pytest.mark.skipif(shutil.which("chromium") is None, reason="no chromium to open the page in")
@pytest.mark.parametrize("write", PAGES, ids=lambda write: write.__name__)
def test_nothing_hostile_runs_or_loads(write: Callable[[Path], Path], tmp_path: Path) -> None:
    page = write(tmp_path)
    source = page.read_text(encoding="utf-8")
    assert POLICY.search(source) and "\x1b" not in source and "\u202e" not in source
    page.write_text(POLICY.sub("", source), encoding="utf-8")
    done = browse(page, tmp_path)
    dom = done.stdout
    assert "data-pwned=" not in dom.split(">", 2)[1] and "<html" in dom, done.stderr[-500:]
    shown = re.sub(r"<script\b.*?</script>", "", dom, flags=re.DOTALL)
    assert not re.search(r"<(?:img|svg)[^>]*\bon(?:error|load)=|<a [^>]*href=\"(?:javascript|http)", shown)
    assert "gpj.exe" in shown and "49" not in re.findall(r"&lt;/a&gt;(\d\d)", shown)


@pytest.mark.soak
@pytest.mark.xfail(strict=True, reason="Gradio keeps the links that a model writes, `javascript:` among them")
@pytest.mark.skipif(shutil.which("chromium") is None, reason="no chromium to open the page in")
def test_nothing_hostile_runs_on_the_chat_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A model's folder is called so, and it has answered so."""
    gradio = pytest.importorskip("gradio")
    said = [{"role": role, "content": EVIL} for role in ("user", "assistant")]
    monkeypatch.setattr(gradio, "Chatbot", partial(gradio.Chatbot, value=said))
    blocks = talk_page.page([SimpleNamespace(name=EVIL, is_chat=True)])  # type: ignore[list-item]
    blocks.launch(server_name=talk_page.LOOPBACK, share=False, quiet=True, prevent_thread_lock=True)
    try:
        done = browse(str(blocks.local_url), tmp_path)
    finally:
        blocks.close()
    html = re.search("<html[^>]*>", done.stdout)
    assert html and "data-pwned=" not in html.group(), done.stderr[-500:]
    shown = re.sub(r"<script\b.*?</script>", "", done.stdout, flags=re.DOTALL)
    assert "gpj.exe" in shown and not re.search(r"<(?:img|svg)[^>]*\bon(?:error|load)=", shown)
    assert not re.search(r'<a [^>]*href="(?:javascript|http://127.0.0.1:9/)', shown)


@pytest.mark.parametrize("write", [corpus, an_ablation], ids=lambda write: write.__name__)
def test_no_card_writes_html_or_headings(write: Callable[[Path], Path], tmp_path: Path) -> None:
    parser = pytest.importorskip("markdown_it").MarkdownIt("commonmark", {"html": True}).enable("table")
    write(tmp_path)
    card = re.sub(r"\A---\n.*?\n---\n", "", (tmp_path / "README.md").read_text(encoding="utf-8"), flags=re.DOTALL)
    assert card.isprintable() or not re.search(r"[\x00-\x08\x0b-\x1f\u202e]", card)
    tokens = parser.parse(card)
    inner = [child.type for token in tokens for child in token.children or ()]
    assert not {"html_block"} & {token.type for token in tokens}
    assert not {"html_inline", "link_open", "image"} & set(inner)
