"""Sections of the page: each is a function of the runs that returns HTML, or an empty string."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from kormo_plugins.measures.metrics_file import current_name
from kormo_plugins.measures.scores import SuiteRow
from kormo_plugins.reporting import charts
from kormo_plugins.reporting.markup import (
    duration,
    folded,
    number,
    percent,
    short,
    shown,
    table,
    text,
)
from kormo_plugins.reporting.recipes import changes, differences
from kormo_plugins.reporting.run import Run, trained

SOURCES = ("kormo.data.sources.", "kormo.data.mixture.weights.")
MANY = 30
"""Maximum rows of an expanded table; longer ones are collapsed."""


def final_numbers(run: Run) -> dict[str, str]:
    """Final numbers of a run, in the order of the page."""
    numbers: dict[str, str] = {}
    last, first = run.last("loss"), next((v for _, v in run.curve("loss")), None)
    if last is not None:
        numbers["loss, first logged"], numbers["loss, last logged"] = number(first), number(last)
    for key, name in (
        ("held_out/bits_per_byte", "bits per byte, held out"),
        ("held_out/bits_per_byte/ko", "bits per byte, Korean"),
        ("held_out/bits_per_byte/en", "bits per byte, English"),
        ("external_eval/bits_per_byte", "bits per byte, external text"),
    ):
        if (value := run.last(key)) is not None:
            numbers[name] = number(value)
    step = max((int(line.get("step", 0)) for line in run.lines), default=0)
    numbers["steps"] = f"{step:,}"
    if run.tokens_per_step:
        numbers["tokens"] = short(step * run.tokens_per_step)
    if parameters := run.facts.get("parameters"):
        numbers["parameters"] = short(float(parameters))
    steps, seconds = trained(run)
    if seconds:
        numbers["time"] = duration(seconds)
        if run.tokens_per_step and steps:
            numbers["tokens per second"] = number(steps * run.tokens_per_step / seconds, 3)
    if share := synthetic_share(run):
        numbers["synthetic text"] = share
    return numbers


def synthetic_share(run: Run) -> str:
    """Share of synthetic tokens of the run, estimated from each source's share of synthetic documents."""
    sources = (run.facts.get("mixture") or {}).get("sources") or {}
    if not sources:
        return ""
    return percent(sum(one["share"] * _synthetic(one) for one in sources.values()))


def _synthetic(source: Mapping[str, Any]) -> float:
    """Share of a source's documents that are synthetic."""
    made, total = source.get("synthetic") or {}, source.get("documents") or 0
    return min(1.0, made.get("yes", 0) / total) if total else 0.0


def summary(runs: Sequence[Run]) -> str:
    """Cards for one run; a table with a column per run for several."""
    if len(runs) == 1:
        cards = [f"<div><small>{text(k)}</small><b>{text(v)}</b></div>" for k, v in final_numbers(runs[0]).items()]
        return f"<div class=cards>{''.join(cards)}</div>"
    columns = [final_numbers(run) for run in runs]
    keys = list(dict.fromkeys(key for one in columns for key in one))
    rows = [[text(key), *(text(one.get(key, "–")) for one in columns)] for key in keys]
    return table(["", *(run.name for run in runs)], rows, "-" + "n" * len(runs))


def warning_lines(runs: Sequence[Run]) -> list[str]:
    """The warnings of all runs, with the run's name if there are several."""
    return [f"{run.name}: {line}" if len(runs) > 1 else line for run in runs for line in run.warnings]


def warnings(runs: Sequence[Run], more: Sequence[str] = ()) -> str:
    """The section of warnings: those of the runs, after `more`."""
    lines = [*more, *warning_lines(runs)]
    return f"<div class=warn><ul>{''.join(f'<li>{text(line)}</li>' for line in lines)}</ul></div>" if lines else ""


def chain(record: Mapping[str, Any] | None) -> str:
    """Table of a chain's stages."""
    stages = (record or {}).get("stages") or []
    wanted = {
        "name": "stage",
        "status": "status",
        "recipe": "recipe",
        "seconds": "time",
        "steps": "steps",
        "tokens": "tokens",
        "loss_at_start": "loss at the start",
        "loss": "loss at the end",
        "output": "folder",
    }
    keys = [key for key in wanted if any(stage.get(key) is not None for stage in stages)]
    rows = [[_of_stage(key, stage.get(key)) for key in keys] for stage in stages]
    kinds = "".join("n" if key in ("seconds", "steps", "tokens", "loss_at_start", "loss") else "-" for key in keys)
    return table([wanted[key] for key in keys], rows, kinds) if rows else ""


def _of_stage(key: str, value: object) -> str:
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        return text(shown(value))
    return duration(value) if key == "seconds" else short(value) if key == "tokens" else number(value)


def curves(runs: Sequence[Run]) -> str:
    """All non-empty charts, and the last values of metrics without a chart."""
    drawn = charts.curves(runs)
    body = f"<div class=plots>{''.join(drawn)}</div>" if drawn else ""
    plain = ("step", "time", "epoch", "tokens", "sample")
    keys = [key for run in runs for key in run.keys() if not charts.charted(key) and key not in plain]  # noqa: SIM118
    keys = list(dict.fromkeys(keys))
    rows = [[text(key), *(number(run.last(key)) for run in runs)] for key in keys]
    more = table(["metric", *(run.name for run in runs)], rows, "k" + "n" * len(runs)) if rows else ""
    return body + (folded(f"Last values of all other metrics: {len(rows)}", more) if rows else "")


def evaluations(runs: Sequence[Run]) -> str:
    """Scores of `evaluation.json` in percent, with standard errors and the published scores."""
    rows: dict[tuple[object, ...], dict[str, SuiteRow]] = {}
    for run in runs:
        for row in run.evaluation.get("results") or ():
            if isinstance(row, Mapping) and isinstance(row.get("value"), (int, float)):
                key = (row.get("task"), row.get("metric", ""), row.get("shots"), row.get("n"))
                rows.setdefault(key, {})[run.name] = row
    if not rows:
        return ""
    published = list(
        dict.fromkeys(n for one in rows.values() for row in one.values() for n in row.get("published") or ())
    )
    have = [run.name for run in runs if run.evaluation.get("results")]
    cells = []
    for (task, metric, *_), mine in rows.items():
        some = next(iter(mine.values()))
        chance = some.get("chance")
        cells.append(
            [
                f"{text(task)} <small>{text(metric)}</small>",
                number(some.get("shots")),
                number(some.get("n")),
                *(_score(mine.get(name)) for name in have),
                percent(chance, 1) if isinstance(chance, (int, float)) else "–",
                *(_published(some, name) for name in published),
            ]
        )
    head = ["task", "shots", "n", *have, "chance", *published]
    notes = ["Percent, ± one standard error."]
    if published:
        notes.append("Published scores are those that KORMo's authors report.")
    notes += dict.fromkeys(note for one in rows.values() for row in one.values() for note in _notes(row))
    return table(head, cells, "-" + "n" * (len(head) - 1)) + f"<p><small>{'<br>'.join(map(text, notes))}</small></p>"


def _published(row: SuiteRow, model: str) -> str:
    score = (row.get("published") or {}).get(model)
    return f"{score:.2f}" if isinstance(score, (int, float)) else "–"


def _notes(row: SuiteRow) -> Iterable[str]:
    """Notes on a score."""
    if row.get("unverified"):
        yield f"{row.get('task')}: {row['unverified']}."
    if row.get("cut"):
        yield f"{row.get('task')}: {number(row['cut'])} prompts were truncated on the left."


def _score(row: SuiteRow | None) -> str:
    if row is None:
        return "–"
    error = row.get("stderr")
    spread = f" <small>± {100 * error:.1f}</small>" if isinstance(error, (int, float)) else ""
    stops = row.get("stops")
    ends = f"<br><small>{percent(stops, 0)} of the answers end</small>" if isinstance(stops, (int, float)) else ""
    return f"<b>{100 * row['value']:.1f}</b>{spread}{ends}"


def mixtures(runs: Sequence[Run]) -> str:
    """The data of each run; runs with the same mixture share a figure."""
    groups: list[tuple[list[str], Mapping[str, object]]] = []
    for run in runs:
        mixture = run.facts.get("mixture")
        if not mixture:
            continue
        same = next((one for one in groups if one[1]["sources"] == mixture["sources"]), None)
        if same is not None:
            same[0].append(run.name)
        else:
            groups.append(([run.name], mixture))
    parts = []
    for place, (names, mixture) in enumerate(groups):
        title = f"<h3>{text(', '.join(names))}</h3>" if len(runs) > 1 else ""
        parts.append(title + _mixture(f"m{place}", mixture))
    return "".join(parts)


def _mixture(name: str, mixture: Mapping[str, Any]) -> str:
    sources = mixture["sources"]
    nodes = [("/", str(mixture.get("name") or "mixture"), "", 1.0)]
    nodes += _nodes(mixture.get("weights") or {}, "/", sources)
    placed = {label for _, label, _, _ in nodes}
    nodes += [(f"/{source}", source, "/", one["share"]) for source, one in sources.items() if source not in placed]
    rows = []
    for source, one in sources.items():
        writers = ", ".join(str(w) for w in (one.get("generators") or {})) or "–"
        rows.append(
            [
                text(source),
                text(one.get("language", "")),
                percent(one["weight"], 2),
                percent(one["share"], 2),
                number(one["documents"]),
                short(one["tokens"]),
                number(one["epochs"], 3),
                percent(one["fill"], 2),
                percent(_synthetic(one), 0),
                text(writers),
                text(one.get("license", "")),
            ]
        )
    head = (
        "source",
        "language",
        "target share",
        "actual share",
        "documents",
        "tokens",
        "epochs",
        "row fill",
        "synthetic",
        "generators",
        "licence",
    )
    return charts.sunburst(name, nodes) + table(head, rows, "--nnnnnnn--")


def _nodes(weights: Mapping[str, object], parent: str, sources: Mapping[str, Any]) -> list[tuple[str, str, str, float]]:
    nodes = []
    for name, node in weights.items():
        key = f"{parent.rstrip('/')}/{name}"
        members = node.get("of") if isinstance(node, Mapping) else None
        if members:
            nodes += [(key, name, parent, 0.0), *_nodes(members, key, sources)]
        elif name in sources:
            nodes.append((key, name, parent, float(sources[name]["share"])))
    return nodes


def recipes(runs: Sequence[Run]) -> str:
    """Differences between the runs' recipes; changes of each from its parent; each in full."""
    parts = []
    if len(runs) > 1:
        parts.append(f"<h3>Differences</h3>{_differences(runs)}")
    for run in runs:
        title = f"<h3>{text(run.name)}</h3>" if len(runs) > 1 else ""
        parts.append(title + _lineage(run) + _full(run))
    return "".join(parts)


def _differences(runs: Sequence[Run]) -> str:
    """Table of the keys that differ between recipes; keys of data sources are collapsed, as there may be hundreds."""
    rows: dict[bool, list[list[str]]] = {True: [], False: []}
    for key, values in differences(runs):
        rows[key.startswith(SOURCES)].append([text(key), *(text(shown(value)) for value in values)])
    if not rows[True] and not rows[False]:
        return "<p>The recipes differ only in names, folders and logging.</p>"
    head, kinds = ["key", *(run.name for run in runs)], "k" + "v" * len(runs)
    made = [_table_or_folded("keys", head, rows[False], kinds)] if rows[False] else []
    if rows[True]:
        made.append(folded(f"{len(rows[True])} keys of the data's sources", table(head, rows[True], kinds)))
    return "".join(made)


def _table_or_folded(what: str, head: Sequence[str], rows: Sequence[Sequence[str]], kinds: str) -> str:
    made = table(head, rows, kinds)
    return made if len(rows) <= MANY else folded(f"The {len(rows)} {what}", made)


def _lineage(run: Run) -> str:
    extends = run.facts.get("extends")
    named = f"<p>{text(run.record.get('recipe', ''))}" if run.record.get("recipe") else "<p>"
    if not extends:
        return f"{named}</p>" if run.record.get("recipe") else ""
    parents = " and ".join(text(parent) for parent in extends["parents"])
    rows = [[text(k), text(shown(before)), text(shown(now))] for k, before, now in changes(extends["changed"])]
    intro = f"{named} extends {parents} and sets {len(rows)} values of its own.</p>"
    return intro + (_table_or_folded("values", ("key", "before", "now"), rows, "kvv") if rows else "")


def _full(run: Run) -> str:
    return folded("Full recipe", f"<pre>{text(run.recipe_text)}</pre>") if run.recipe_text else ""


def samples(runs: Sequence[Run]) -> str:
    """Continuations of the finished models, and those during training."""
    parts = []
    for run in runs:
        if not run.samples and not run.written:
            continue
        title = f"<h3>{text(run.name)}</h3>" if len(runs) > 1 else ""
        last = max((one.get("step", 0) for one in run.written), default=0)
        final = run.samples or [one for one in run.written if one.get("step", 0) == last]
        quotes = [_quote(one.get("prompt", ""), one.get("text", "")) for one in final]
        parts.append(title + (f"<div class=samples>{''.join(quotes)}</div>" if quotes else "") + _on_the_way(run))
    return "".join(parts)


def _on_the_way(run: Run) -> str:
    steps = sorted({int(one.get("step", 0)) for one in run.written})
    if not steps:
        return ""
    rows = []
    for prompt in dict.fromkeys(one.get("prompt", "") for one in run.written):
        for step in _some(steps):
            one = next((o for o in run.written if o.get("step") == step and o.get("prompt") == prompt), None)
            if one is not None:
                rows.append([f"{step:,}", f"<b>{text(prompt)}</b>{text(' '.join(one['text'].split()))}"])
    return folded("Samples during training, with the same random seed", table(("step", "text"), rows, "n-"))


def _some(steps: Sequence[int], most: int = 6) -> list[int]:
    """The first, the last and some steps in between."""
    if len(steps) <= most:
        return list(steps)
    return sorted({steps[round(i * (len(steps) - 1) / (most - 1))] for i in range(most)})


def _quote(prompt: str, written: str) -> str:
    return f"<blockquote><b>{text(prompt)}</b>{text(written)}</blockquote>"


def machines(runs: Sequence[Run]) -> str:
    """Table of hardware and versions."""
    return _side_by_side(runs, lambda run: {**_hardware(run), **(run.record.get("versions") or {})})


def _hardware(run: Run) -> dict[str, object]:
    hardware = run.facts.get("hardware")
    if not hardware:
        return {}
    cards = [f"{card['name']} ({card['memory'] / 2**30:.0f} GiB)" for card in hardware["accelerators"]]
    kinds = [f"{cards.count(card)} × {card}" for card in dict.fromkeys(cards)]
    return {
        "system": hardware["system"],
        "processor": hardware["processor"],
        "cores": hardware["cores"],
        "memory": f"{hardware['memory'] / 2**30:.1f} GiB",
        "accelerators": ", ".join(kinds) or "none",
        "ranks": hardware["ranks"],
        "threads per rank": hardware["threads"],
    }


def hashes(runs: Sequence[Run]) -> str:
    """Table of the hashes of all inputs."""

    def of(run: Run) -> dict[str, object]:
        """Input -> hash, shortened for more than two runs."""
        by_input: dict[str, Any] = {f"identity: {k}": v for k, v in (run.record.get("identity") or {}).items()}
        if run.record.get("recipe_sha256"):
            by_input["recipe (sha256)"] = run.record["recipe_sha256"]
        by_input |= {current_name(name): hash for name, hash in (run.facts.get("artifacts") or {}).items()}
        if len(runs) > 2:  # the first digits suffice
            by_input = {key: value[:16] + "…" if len(str(value)) > 20 else value for key, value in by_input.items()}
        return by_input

    return _side_by_side(runs, of)


def _side_by_side(runs: Sequence[Run], of: Any) -> str:
    columns: list[dict[str, object]] = [of(run) for run in runs]
    keys: Iterable[str] = dict.fromkeys(key for one in columns for key in one)
    rows = [[text(key), *(text(shown(one.get(key))) for one in columns)] for key in keys]
    return table(["", *(run.name for run in runs)], rows, "-" + "v" * len(runs)) if rows else ""
