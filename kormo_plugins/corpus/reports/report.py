"""The corpus report: the funnel of each source, rejects with examples, lengths, languages and diversity, as one HTML
file without scripts or external resources; and a dataset card in the hub's format.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from kormo_plugins.corpus.params import CorpusRecipe
from kormo_plugins.corpus.reports.clusters import read_clusters
from kormo_plugins.corpus.reports.diversity import by_generator
from kormo_plugins.corpus.reports.domains import losses
from kormo_plugins.reporting.document import write_page
from kormo_plugins.reporting.markup import markdown
from kormo_plugins.reporting.markup import text as _
from kormo_plugins.store.corpus_files import read_corpus

EXAMPLES = 3
"""Rejects shown per reason."""
EXCERPT = 240
"""Characters shown per reject."""


def write_report(
    recipe: CorpusRecipe,
    folders: Mapping[str, Path],
    stats: Mapping[str, Mapping[str, object]],
    out: Path,
    *,
    tokens: Mapping[str, int] | None = None,
    weights: Mapping[str, object] | None = None,
) -> Path:
    """Writes `report.html` into the folder `out`.

    Args:
        folders: source -> folder of its documents (written by `build_source`).
        stats: source -> statistics returned by `build_source`.
        tokens: source -> token count, for sources that have been tokenized.
        weights: the weight tree of the mixture.
    Returns:
        The file's path.
    """
    title = f"Corpus {recipe.name}"
    body = [_overview(recipe, stats, tokens or {})]
    if weights:
        body.append("<h2>Mixture</h2>" + _tree(weights, _total(weights)))
    body.append("<h2>Duplicates</h2>" + _duplicates(stats))
    body.append("<h2>Diversity by generator</h2>" + _diversity(folders))
    for name in recipe.sources:
        source_stats = stats[name]
        body.append(f"<h2>{_(name)}</h2>" + _funnel(source_stats, (tokens or {}).get(name)) + _shapes(source_stats))
        body.append(_unread(source_stats))
        body.append(_clusters(folders[name], _preferences(recipe, name)))
        body.append(_domains(folders[name]))
        body.append("<h3>Dropped documents, with examples</h3>" + _rejects(folders[name], source_stats))
    return write_page(title, "".join(body), out / "report.html")


_KINDS = {"#": "n", "*": "name", "+": "why"}


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """An HTML table. The last character of a column title gives its type: # numbers, * names, + sentences."""
    names = list(head)
    kinds = [f" class={_KINDS[name[-1]]}" if name and name[-1] in _KINDS else "" for name in names]
    cells = [f"<th{kind}>{_(name.rstrip('#*+'))}</th>" for name, kind in zip(names, kinds, strict=True)]
    lines = ["".join(f"<td{kind}>{cell}</td>" for cell, kind in zip(row, kinds, strict=True)) for row in rows]
    return (
        f"<div class=wide><table><tr>{''.join(cells)}</tr>{''.join(f'<tr>{line}</tr>' for line in lines)}</table></div>"
    )


def _lengths_rows(lengths: Mapping[str, int]) -> list[list[str]]:
    """Document counts by length, shortest first; a manifest sorts its keys as strings."""
    most = max(lengths.values(), default=1)
    powers = sorted((int(power), count) for power, count in lengths.items())
    return [[f"under {2**power:,}", f"{count:,}", _bar(count / most)] for power, count in powers]


def _bar(share: float, warn: bool = False) -> str:
    width = 100 * min(1.0, max(0.0, share))
    return f"<div class=bar><i{' class=alert' if warn else ''} style='width:{width:.1f}%'></i></div>"


def _overview(recipe: CorpusRecipe, stats: Mapping[str, Mapping[str, Any]], tokens: Mapping[str, int]) -> str:
    rows = []
    for name, source in recipe.sources.items():
        source_stats = stats[name]
        made = source.written_by or (source.generator.name if source.generator else "")
        rows.append(
            [
                _(name),
                _(source.language),
                _(source.license),
                f"synthetic ({_(made or 'unknown')})"
                if source.synthetic or source.generator
                else "not marked synthetic",
                f"{source_stats['documents']:,}",
                f"{source_stats['bytes'] / 1e6:,.2f}",
                f"{tokens[name]:,}" if name in tokens else "–",
                f"{100 * source_stats['documents'] / max(1, source_stats['read']['documents']):.1f}%",
                f"{source_stats['held_out']['documents']:,}",
            ]
        )
    head = ("source*", "language", "licence", "origin", "documents#", "MB#", "tokens#", "kept#", "held out#")
    return _table(head, rows)


def _funnel(stats: Mapping[str, Any], tokens: int | None) -> str:
    """Documents remaining after each step. Only the final documents are tokenized, so the tokens at earlier steps are
    estimated from their tokens per byte."""
    most = max(1, stats["steps"][0]["bytes_in"])
    per_byte = tokens / max(1, stats["bytes"]) if tokens is not None else 0.0
    rows = []
    for step in stats["steps"]:
        why = ", ".join(f"{_(reason)} ({count:,})" for reason, count in _most_first(step["rejects"]))
        size = step["bytes_out"]
        counted = [f"{per_byte * size:,.0f}"] if tokens is not None else []
        rows.append(
            [
                _(step["name"]),
                f"{step['documents_out']:,}",
                f"{size / 1e6:,.2f}",
                *counted,
                _bar(size / most),
                f"{step['changed']:,}",
                why or "–",
            ]
        )
    about = ["tokens kept (estimated)#"] if tokens is not None else []
    return _table(("step*", "documents kept#", "MB kept#", *about, "", "changed#", "dropped, by reason+"), rows)


def _unread(stats: Mapping[str, Any]) -> str:
    """Files from which (almost) nothing was read; "" if there are none."""
    unread_files = stats.get("unread")
    if not unread_files:
        return ""
    rows = [
        [_(file["name"]), f"{file['documents']:,}", f"{file['rejects']:,}", _(file["reason"])]
        for file in unread_files["listed"]
    ]
    head = ("file*", "documents#", "rejects#", "most common reason+")
    return f"<h3>Files from which (almost) nothing was read: {unread_files['files']:,}</h3>" + _table(head, rows)


def _most_first(counts: Mapping[str, int]) -> list[tuple[str, int]]:
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))


def _duplicates(stats: Mapping[str, Mapping[str, Any]]) -> str:
    """Documents dropped as exact or near duplicates."""
    rows = []
    for name, source_stats in stats.items():
        read = max(1, source_stats["read"]["documents"])
        for step in source_stats["steps"]:
            for reason, count in _most_first(step["rejects"]):
                if reason.startswith(("exact duplicate", "near duplicate")):
                    rows.append([_(name), _(reason), f"{count:,}", f"{100 * count / read:.2f}%", _bar(count / read)])
    head = ("source*", "reason+", "documents#", "share of documents read#", "")
    return _table(head, rows) if rows else "<p>No duplicates were found, or no deduplication step ran.</p>"


def _preferences(recipe: CorpusRecipe, source: str) -> dict[str, list[str]]:
    """Step -> what its `prefer` names, for the steps of a source that have such a list."""
    chosen = {step.name: step.values.get("prefer") for step in recipe.steps_of(recipe.sources[source])}
    return {step: list(map(str, prefer)) for step, prefer in chosen.items() if isinstance(prefer, list | tuple)}


def _which_was_kept(prefer: Sequence[str]) -> str:
    """Which copy of a cluster was kept; ties go to the first copy."""
    if not prefer:
        return "the first was kept"
    return f"the preferred copy was kept and is listed first (prefer: {', '.join(prefer)})"


def _clusters(folder: Path, preferences: Mapping[str, Sequence[str]]) -> str:
    """The largest duplicate clusters: the kept document and some of the dropped ones.

    Args:
        preferences: step -> what its `prefer` names; a step that is missing keeps the first copy.
    """
    shown = []
    for step, clusters in read_clusters(folder).items():
        kept = _which_was_kept(preferences.get(step, ()))
        for cluster in clusters["largest"]:
            samples = "".join(
                f"<blockquote>{_(sample['id'])}\n{_(sample['text'])}</blockquote>" for sample in cluster["samples"]
            )
            head = f"{_(step)}: {cluster['documents']:,} documents; {_(kept)}"
            shown.append(f"<details><summary>{head}</summary>{samples}</details>")
    return "<h3>Largest duplicate clusters</h3>" + "".join(shown) if shown else ""


def _domains(folder: Path) -> str:
    """The domains with the most dropped documents, where a threshold may be wrong (see step `per_domain`)."""
    rows = [
        [
            _(domain),
            _("; ".join(f"{step}: {reason} ({count:,})" for (step, reason), count in loss.reasons.most_common(3))),
            f"{loss.dropped:,}",
            f"{100 * loss.dropped / (loss.dropped + loss.kept):.0f}%",
        ]
        for domain, loss in losses(read_corpus(folder), read_corpus(folder / "rejects")).items()
    ]
    head = ("domain*", "most common reasons+", "dropped#", "share of the domain#")
    return "<h3>Dropped by domain</h3>" + _table(head, rows) if rows else ""


def _shapes(stats: Mapping[str, Any]) -> str:
    lengths, languages = stats["lengths"], stats["languages"]
    by_length = _lengths_rows(lengths)
    total = max(1, sum(entry["bytes"] for entry in languages.values()))
    by_language = [
        [_(code), f"{entry['documents']:,}", _bar(entry["bytes"] / total)] for code, entry in languages.items()
    ]
    return (
        "<h3>Length in characters</h3>"
        + _table(("length", "documents#", ""), by_length)
        + "<h3>Languages</h3>"
        + _table(("language", "documents#", "share of bytes"), by_language)
    )


def _rejects(folder: Path, stats: Mapping[str, Any]) -> str:
    """Every reject reason, most frequent first, with expandable examples."""
    shown: dict[tuple[str, str], list[str]] = {}
    for document in read_corpus(folder / "rejects"):
        mark = document.meta["rejected"]
        examples = shown.setdefault((mark["step"], mark["reason"]), [])
        if len(examples) < EXAMPLES:
            text = document.text[:EXCERPT] + ("…" if len(document.text) > EXCERPT else "")
            examples.append(f"<blockquote><small>{_(document.id)}</small>\n{_(text)}</blockquote>")
    counted = {(step["name"], why): count for step in stats["steps"] for why, count in step["rejects"].items()}
    sections = [
        f"<details><summary><b>{_(step)}</b>: {_(reason)} ({counted.get((step, reason), len(texts)):,})</summary>"
        f"{''.join(texts)}</details>"
        for (step, reason), texts in sorted(shown.items(), key=lambda item: (-counted.get(item[0], 0), item[0]))
    ]
    return "".join(sections) or "<p>No document was dropped.</p>"


def _total(weights: Mapping[str, Any]) -> float:
    return sum(float(w["share"] if isinstance(w, Mapping) else w) for w in weights.values())


def _tree(weights: Mapping[str, Any], total: float, share: float = 1.0) -> str:
    items = []
    for name, weight in weights.items():
        node_share = share * float(weight["share"] if isinstance(weight, Mapping) else weight) / max(total, 1e-12)
        below = weight.get("of") if isinstance(weight, Mapping) else None
        inner = _tree(below, _total(below), node_share) if below else ""
        items.append(f"<li>{_(name)} <b>{100 * node_share:.2f}%</b>{inner}</li>")
    return f"<ul>{''.join(items)}</ul>"


def _diversity(folders: Mapping[str, Path]) -> str:
    numbers = by_generator(document for folder in folders.values() for document in read_corpus(folder))
    rows = []
    for name, measures in sorted(
        numbers.items(), key=lambda item: (item[1]["share_of_synthetic"] is None, -item[1]["bytes"])
    ):
        share = measures["share_of_synthetic"]
        warning = " <span class=alert>dominates</span>" if measures["dominates"] else ""
        rows.append(
            [
                _(name) + warning,
                "–" if share is None else f"{100 * share:.1f}%",
                "" if share is None else _bar(share, measures["dominates"]),
                f"{measures['documents']:,}",
                f"{measures['compression']:.2f}",
                f"{measures['distinct_2']:.3f}",
                f"{measures['distinct_4']:.3f}",
                f"{measures['self_bleu']:.3f}",
                "–" if measures["seed_overlap"] is None else f"{measures['seed_overlap']:.3f}",
            ]
        )
    head = (
        "generator*",
        "share of synthetic text#",
        "",
        "documents#",
        "compression#",
        "distinct-2#",
        "distinct-4#",
        "self-BLEU#",
        "seed overlap#",
    )
    warn = (
        "<p class=alert>One generator wrote most of the synthetic text: training on a single generator collapses, "
        "training on several does not (KORMo, arXiv 2510.09426).</p>"
        if any(measures["dominates"] for measures in numbers.values())
        else ""
    )
    legend = (
        "<p><small>Compression: uncompressed over compressed bytes; higher is less diverse. distinct-n: share of "
        "distinct word n-grams; higher is more diverse. self-BLEU: BLEU of each text against the others; higher is "
        "less diverse. Seed overlap: share of 8-word runs that also occur in the seed. All on samples of the same "
        "size.</small></p>"
    )
    return warn + _table(head, rows) + legend


def dataset_card(recipe: CorpusRecipe, stats: Mapping[str, Mapping[str, Any]]) -> str:
    """The dataset's README.md for the hub: YAML front matter and a table of the sources.

    On the hub each source is a configuration in a folder of its name (written by `kormo data build`).
    """
    documents = sum(source_stats["documents"] for source_stats in stats.values())
    languages = sorted(
        {code for source_stats in stats.values() for code in source_stats["languages"] if len(code) == 2}
    )
    hub_ids = [
        reader.values["dataset"]
        for source in recipe.sources.values()
        if (reader := source.reader) and reader.name == "hub"
    ]
    synthetic = any(source.synthetic or source.generator for source in recipe.sources.values())
    head = {
        "pretty_name": recipe.name,
        "language": languages,
        **_license(recipe),
        "size_categories": [_size(documents)],
        "task_categories": ["text-generation"],
        **({"tags": ["synthetic"]} if synthetic else {}),
        **({"source_datasets": sorted(set(hub_ids))} if hub_ids else {}),
        "configs": [{"config_name": name, "data_files": f"{name}/part-*.jsonl.zst"} for name in recipe.sources],
    }
    front_matter = yaml.safe_dump(head, allow_unicode=True, sort_keys=False).rstrip()
    lines = [
        "---",
        front_matter,
        "---",
        "",
        f"# {markdown(recipe.name)}",
        "",
        "| source | language | licence | origin | documents | bytes |",
        "|---|---|---|---|---|---|",
    ]
    for name, source in recipe.sources.items():
        made = source.written_by or (source.generator.name if source.generator else "unknown")
        origin = f"synthetic, by {made}" if source.synthetic or source.generator else "not marked synthetic"
        size = f"{stats[name]['documents']:,} | {stats[name]['bytes']:,}"
        cells = " | ".join(markdown(cell) for cell in (name, source.language, source.license, origin))
        lines.append(f"| {cells} | {size} |")
    lines += ["", "Steps: " + (", ".join(step.name for step in recipe.steps) or "none") + ".", ""]
    return "\n".join(lines)


def _license(recipe: CorpusRecipe) -> dict[str, object]:
    """The hub's licence keys: SPDX identifiers if all sources have one, else a link to where licences are listed."""
    licenses = sorted({source.license.lower() for source in recipe.sources.values()})
    if all(" " not in one for one in licenses):
        return {"license": licenses[0] if len(licenses) == 1 else licenses}
    return {"license": "other", "license_name": "by-source", "license_link": "README.md"}


def _size(documents: int) -> str:
    """The hub's size category."""
    bounds = (
        (10**3, "n<1K"),
        (10**4, "1K<n<10K"),
        (10**5, "10K<n<100K"),
        (10**6, "100K<n<1M"),
        (10**7, "1M<n<10M"),
        (10**8, "10M<n<100M"),
        (10**9, "100M<n<1B"),
    )
    return next((name for bound, name in bounds if documents < bound), "n>1B")
