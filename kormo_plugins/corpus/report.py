"""What became of a corpus, as a page to look at: the funnel of each source, rejects with examples, lengths, languages,
diversity; and a dataset card in the hub's format. One HTML file without scripts, which opens anywhere and needs no
network.
"""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from kormo_plugins.corpus.diversity import by_generator
from kormo_plugins.corpus.params import CorpusRecipe
from kormo_plugins.documents import read_corpus

EXAMPLES = 3
"""Rejects shown for each reason."""
EXCERPT = 240
"""Characters of each that are shown."""

_STYLE = """
body{font:15px/1.5 system-ui,sans-serif;max-width:62rem;margin:2rem auto;padding:0 1rem;color:#1d2433}
h1{margin-bottom:0}h2{margin-top:2.5rem;border-bottom:1px solid #d5dbe6}h3{margin-bottom:.3rem}
table{border-collapse:collapse;width:100%}td,th{padding:.25rem .6rem;text-align:left;border-bottom:1px solid #e8ecf3}
td.n,th.n{text-align:right;font-variant-numeric:tabular-nums}
.bar{background:#e8ecf3;border-radius:3px;height:.9rem;min-width:8rem}
.bar i{display:block;height:100%;background:#3566c9;
border-radius:3px}blockquote{margin:.3rem 0;padding:.3rem .8rem;background:#f5f7fb;border-left:3px solid #c6cfdf;
white-space:pre-wrap;overflow-wrap:anywhere;font-size:.88rem}.wide{overflow-x:auto}.warn{color:#a33b00;font-weight:600}
small{color:#5b6475}
"""


def write_report(
    recipe: CorpusRecipe,
    folders: Mapping[str, Path],
    stats: Mapping[str, Mapping[str, Any]],
    out: Path,
    *,
    tokens: Mapping[str, int] | None = None,
    weights: Mapping[str, Any] | None = None,
) -> Path:
    """Writes `report.html` into the folder `out`.

    Args:
        folders: source -> folder of its documents (as `build_source` left it).
        stats: source -> what `build_source` returned.
        tokens: source -> tokens, where they have been counted.
        weights: the tree of weights of the mixture.
    Returns:
        the file's path.
    """
    title = f"Corpus {recipe.name}"
    body = [f"<h1>{_(title)}</h1>", _overview(recipe, stats, tokens or {})]
    if weights:
        body.append("<h2>Mixture</h2>" + _tree(weights, _total(weights)))
    for name in recipe.sources:
        body.append(f"<h2>{_(name)}</h2>" + _funnel(stats[name]) + _shapes(stats[name]) + _rejects(folders[name]))
    body.append("<h2>Diversity by generator</h2>" + _diversity(folders))
    page = f"<!doctype html><meta charset='utf-8'><title>{_(title)}</title><style>{_STYLE}</style>{''.join(body)}\n"
    out.mkdir(parents=True, exist_ok=True)
    path = out / "report.html"
    temporary = path.with_suffix(".tmp")
    temporary.write_text(page, encoding="utf-8")
    temporary.replace(path)
    return path


def _(text: object) -> str:
    return html.escape(str(text))


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """A table; a column whose head ends with a # holds numbers."""
    names = list(head)
    kinds = [" class=n" if name.endswith("#") else "" for name in names]
    cells = [f"<th{kind}>{_(name.rstrip('#'))}</th>" for name, kind in zip(names, kinds, strict=True)]
    lines = ["".join(f"<td{kind}>{cell}</td>" for cell, kind in zip(row, kinds, strict=True)) for row in rows]
    return (
        f"<div class=wide><table><tr>{''.join(cells)}</tr>{''.join(f'<tr>{line}</tr>' for line in lines)}</table></div>"
    )


def _lengths_rows(lengths: Mapping[str, int]) -> list[list[str]]:
    """Documents by length, short ones first; a manifest sorts its keys as text."""
    most = max(lengths.values(), default=1)
    powers = sorted((int(power), count) for power, count in lengths.items())
    return [[f"under {2**power:,}", f"{count:,}", _bar(count / most)] for power, count in powers]


def _bar(share: float) -> str:
    return f"<div class=bar><i style='width:{100 * min(1.0, max(0.0, share)):.1f}%'></i></div>"


def _overview(recipe: CorpusRecipe, stats: Mapping[str, Mapping[str, Any]], tokens: Mapping[str, int]) -> str:
    rows = []
    for name, source in recipe.sources.items():
        one = stats[name]
        made = source.written_by or (source.generator.name if source.generator else "")
        rows.append([
            _(name), _(source.language), _(source.license),
            f"synthetic ({_(made or 'unknown')})" if source.synthetic or source.generator else "not marked synthetic",
            f"{one['documents']:,}", f"{one['bytes'] / 1e6:,.2f}", f"{tokens[name]:,}" if name in tokens else "–",
            f"{100 * one['documents'] / max(1, one['read']['documents']):.1f}%", f"{one['held_out']['documents']:,}",
        ])  # fmt: skip
    head = ("source", "language", "licence", "origin", "documents#", "MB#", "tokens#", "kept#", "held out#")
    return _table(head, rows)


def _funnel(stats: Mapping[str, Any]) -> str:
    most = max(1, stats["steps"][0]["bytes_in"])
    rows = []
    for step in stats["steps"]:
        why = ", ".join(f"{_(reason)} ({count:,})" for reason, count in sorted(
            step["rejects"].items(), key=lambda item: -item[1]))  # fmt: skip
        rows.append([
            _(step["name"]), f"{step['documents_out']:,}", f"{step['bytes_out'] / 1e6:,.2f}",
            _bar(step["bytes_out"] / most), f"{step['changed']:,}", why or "–",
        ])  # fmt: skip
    return _table(("step", "documents left#", "MB left#", "", "changed#", "dropped"), rows)


def _shapes(stats: Mapping[str, Any]) -> str:
    lengths, languages = stats["lengths"], stats["languages"]
    by_length = _lengths_rows(lengths)
    total = max(1, sum(entry["bytes"] for entry in languages.values()))
    by_language = [
        [_(code), f"{entry['documents']:,}", _bar(entry["bytes"] / total)] for code, entry in languages.items()
    ]
    return (
        "<h3>Characters</h3>" + _table(("length", "documents#", ""), by_length)
        + "<h3>Languages</h3>" + _table(("language", "documents#", "share of bytes"), by_language)
    )  # fmt: skip


def _rejects(folder: Path) -> str:
    shown: dict[tuple[str, str], list[str]] = {}
    for document in read_corpus(folder / "rejects"):
        mark = document.meta["rejected"]
        examples = shown.setdefault((mark["step"], mark["reason"]), [])
        if len(examples) < EXAMPLES:
            text = document.text[:EXCERPT] + ("…" if len(document.text) > EXCERPT else "")
            examples.append(f"<blockquote><small>{_(document.id)}</small>\n{_(text)}</blockquote>")
    found = [f"<h3>{_(step)}: {_(reason)}</h3>{''.join(texts)}" for (step, reason), texts in sorted(shown.items())]
    return "".join(found) or "<p>Nothing was dropped.</p>"


def _total(weights: Mapping[str, Any]) -> float:
    return sum(float(w["share"] if isinstance(w, Mapping) else w) for w in weights.values())


def _tree(weights: Mapping[str, Any], total: float, share: float = 1.0) -> str:
    items = []
    for name, weight in weights.items():
        mine = share * float(weight["share"] if isinstance(weight, Mapping) else weight) / max(total, 1e-12)
        below = weight.get("of") if isinstance(weight, Mapping) else None
        inner = _tree(below, _total(below), mine) if below else ""
        items.append(f"<li>{_(name)} <b>{100 * mine:.2f}%</b>{inner}</li>")
    return f"<ul>{''.join(items)}</ul>"


def _diversity(folders: Mapping[str, Path]) -> str:
    numbers = by_generator(document for folder in folders.values() for document in read_corpus(folder))
    rows = []
    for name, one in numbers.items():
        share = one["share_of_synthetic"]
        warning = " <span class=warn>dominates</span>" if one["dominates"] else ""
        rows.append([
            _(name), f"{one['documents']:,}", f"{one['compression']:.2f}", f"{one['distinct_2']:.3f}",
            f"{one['distinct_4']:.3f}", f"{one['self_bleu']:.3f}",
            "–" if one["seed_overlap"] is None else f"{one['seed_overlap']:.3f}",
            "–" if share is None else f"{100 * share:.1f}%{warning}",
        ])  # fmt: skip
    head = ("generator", "documents#", "compression#", "distinct-2#", "distinct-4#", "self-BLEU#", "seed overlap#",
            "share of synthetic#")  # fmt: skip
    warn = (
        "<p class=warn>One generator wrote most of the synthetic text: training on one generator alone collapses where "
        "several do not (KORMo, arXiv 2510.09426).</p>"
        if any(one["dominates"] for one in numbers.values())
        else ""
    )
    return _table(head, rows) + warn


def dataset_card(recipe: CorpusRecipe, stats: Mapping[str, Mapping[str, Any]]) -> str:
    """The README.md of the dataset on the hub: its YAML head, and what is in it."""
    import yaml

    documents = sum(one["documents"] for one in stats.values())
    languages = sorted({code for one in stats.values() for code in one["languages"] if len(code) == 2})
    licenses = sorted({source.license for source in recipe.sources.values()})
    head = {
        "pretty_name": recipe.name,
        "language": languages,
        "license": licenses[0].lower() if len(licenses) == 1 and " " not in licenses[0] else "other",
        "size_categories": [_size(documents)],
        "task_categories": ["text-generation"],
        "configs": [{"config_name": name, "data_files": f"{name}/part-*.jsonl.zst"} for name in recipe.sources],
    }
    told = yaml.safe_dump(head, allow_unicode=True, sort_keys=False).rstrip()
    lines = ["---", told, "---", "", f"# {recipe.name}", "",
             "| source | language | licence | origin | documents | bytes |", "|---|---|---|---|---|---|"]  # fmt: skip
    for name, source in recipe.sources.items():
        made = source.written_by or (source.generator.name if source.generator else "unknown")
        origin = f"synthetic, by {made}" if source.synthetic or source.generator else "not marked synthetic"
        size = f"{stats[name]['documents']:,} | {stats[name]['bytes']:,}"
        lines.append(f"| {name} | {source.language} | {source.license} | {origin} | {size} |")
    lines += ["", "Steps: " + (", ".join(step.name for step in recipe.steps) or "none") + ".", ""]
    return "\n".join(lines)


def _size(documents: int) -> str:
    """The hub's words for a size."""
    bounds = ((10**3, "n<1K"), (10**4, "1K<n<10K"), (10**5, "10K<n<100K"), (10**6, "100K<n<1M"), (10**7, "1M<n<10M"),
              (10**8, "10M<n<100M"), (10**9, "100M<n<1B"))  # fmt: skip
    return next((name for bound, name in bounds if documents < bound), "n>1B")
