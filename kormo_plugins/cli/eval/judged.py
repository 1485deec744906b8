"""`kormo eval --suite judged`: prepares judged suites before a model is loaded, then runs and prints them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import click

from kormo_plugins.cli.support.output import print_table
from kormo_plugins.errors import Faults, KormoError
from kormo_plugins.evaluation.generation.speaker import LocalSpeaker, ServedSpeaker
from kormo_plugins.evaluation.harness import LocalModel, Model
from kormo_plugins.evaluation.judged.judge import open_client, open_judge
from kormo_plugins.evaluation.judged.probes import SHOWN
from kormo_plugins.evaluation.judged.run import Prepared, evaluate_judged, prepare
from kormo_plugins.evaluation.judged.suite import JudgedSuite, JudgeSettings, load_judged, with_judge
from kormo_plugins.evaluation.models.checkpoint import Checkpoint
from kormo_plugins.evaluation.record import Record
from kormo_plugins.measures.scores import Interval, JudgedResult, Nativeness, PairResult, SingleResult
from kormo_plugins.plugins.registry import Registry

ANSWERS = Path("artifacts/answers/answers")
"""Cache folder for the answers of endpoints, as in the judged suites."""
Load = Callable[[Checkpoint], LocalModel]
Say = Callable[[str], None]


@dataclass(frozen=True)
class JudgedOptions:
    """Command line options of judged suites."""

    judge: str | None
    judge_model: str | None
    against: Path | None
    human: Path | None
    yes: bool
    endpoint: str | None
    endpoint_model: str | None
    data: Path | None
    limit: int | None
    batch_size: int | None


def refuse_unused(options: JudgedOptions, judged: Sequence[str]) -> None:
    """Refuses options of judged suites without such a suite, which would be ignored silently.

    Raises:
        KormoError: names the options.
    """
    given = {
        "--judge": options.judge,
        "--judge-model": options.judge_model,
        "--against": options.against,
        "--human": options.human,
    }
    unused = [name for name, value in given.items() if value is not None] + ["--yes"] * options.yes
    if unused and not judged:
        raise KormoError(
            where="kormo eval",
            found=", ".join(unused),
            why="these options only affect a judged suite, and none is selected",
            do="pass --suite judged (or mt_bench, ko_mt_bench, logickor, or a file) too",
        )
    if options.endpoint_model is not None and options.endpoint is None:
        raise KormoError(
            where="kormo eval: --endpoint-model",
            found=options.endpoint_model,
            why="only an endpoint takes a model name",
            do="pass --endpoint http://… too",
        )


def prepare_suites(
    names: Sequence[str], options: JudgedOptions, components: Registry, load: Load, say: Say
) -> list[Prepared]:
    """Prepares every judged suite with its questions and judge; errors are raised here."""
    prepared: list[Prepared] = []
    faults = Faults()
    for name in names:
        with faults.catch():
            suite = with_judge(load_judged(name), options.judge, options.judge_model)
            suite = suite.model_copy(update={"human": options.human or suite.human})
            judge = open_judge(suite, components, load)
            if judge is None and options.judge != "none":
                raise _no_judge(name)
            prepared.append(
                prepare(
                    Path(name).stem,
                    suite,
                    judge,
                    data=options.data,
                    limit=options.limit,
                    against=options.against,
                    yes=options.yes,
                    say=say,
                )
            )
    faults.raise_any()
    return prepared


def _no_judge(name: str) -> KormoError:
    return KormoError(
        where=f"kormo eval: --suite {name}",
        found="no judge",
        why="its answers are judged by another model",
        do="pass --judge http://…/v1 with --judge-model, --judge FOLDER of a chat model, or --judge none for the "
        "answers and the measures that need no judge",
    )


def open_speaker(
    options: JudgedOptions, suite: JudgedSuite, model: Checkpoint, load: Load
) -> LocalSpeaker | ServedSpeaker:
    """The evaluated model: local, or at its endpoint."""
    cache = suite.cache / "answers"
    if options.endpoint is None:
        return LocalSpeaker(model, cache, lambda: load(model), max_rows=options.batch_size)
    client = open_client(options.endpoint, "OPENAI_API_KEY", cache, JudgeSettings(), "--endpoint")
    return ServedSpeaker(client, options.endpoint_model or str(model.path), 32, model.hash)


def served_model(options: JudgedOptions, model: Checkpoint, load: Load) -> Model:
    """The harness's model with generation by the endpoint."""
    from kormo_plugins.evaluation.models.served import Served, ServedModel

    assert options.endpoint is not None
    client = open_client(options.endpoint, "OPENAI_API_KEY", ANSWERS, JudgeSettings(), "--endpoint")
    served = Served(client, options.endpoint_model or str(model.path))
    return ServedModel(model, served, lambda: load(model))


def run_suites(
    prepared: Sequence[Prepared], options: JudgedOptions, model: Checkpoint, record: Record, load: Load, say: Say
) -> list[JudgedResult]:
    """Runs the suites, adds the results to the record, and returns them."""
    results = []
    for one in prepared:
        speaker = open_speaker(options, one.suite, model, load)
        result = evaluate_judged(one, speaker, record.path.parent / "judged" / one.name, say)
        record.add_judged(one.name, result)
        results.append(result)
    return results


def _interval(one: Interval) -> list[str]:
    if one["mean"] is None:
        return ["", ""]
    return [f"{one['mean']:.2f}", f"{one['low']:.2f} to {one['high']:.2f}"]


def _number(value: float | None, percent: bool = False) -> str:
    if value is None:
        return ""
    return f"{100 * value:.1f}%" if percent else f"{value:.3f}"


def print_judged(results: Sequence[JudgedResult]) -> None:
    """Prints scores, pairs, the test of the judge, and the checks of language and length."""
    for result in results:
        click.echo(f"\n{result['title']} ({result['model']})")
        single, pairs, check = result.get("single"), result.get("pairs"), result.get("judge_check")
        for doubt in result.get("judge_doubts") or ():
            click.echo(f"doubt about the judge: {doubt}")
        if single:
            groups = {"all": single, **single["by_language"], **single["by_category"]}
            groups |= {f"turn {name}": one for name, one in single["by_turn"].items()}
            rows = [[name, str(one["n"]), *_interval(one)] for name, one in groups.items()]
            print_table(["score of 10", "conversations", "mean", "95%"], rows)
            click.echo(f"agreement between repetitions (Krippendorff's alpha): {_number(single['alpha']) or 'none'}")
            click.echo(f"score against length (rank correlation): {_number(single['length_correlation']) or 'none'}")
            _print_not_counted(single)
        if pairs:
            low, high = _number(pairs["low"], True), _number(pairs["high"], True)
            click.echo(f"against {pairs['against']}: wins {_number(pairs['mean'], True)} ({low} to {high})")
            click.echo(f"  at equal length {_number(pairs['length_controlled'], True) or 'unknown'}, ", nl=False)
            click.echo(f"same in both orders {_number(pairs['same_in_both_orders'], True)}, ", nl=False)
            click.echo(f"position bias {_number(pairs['position'], True)}")
            _print_not_counted(pairs)
        judge = result["judge"]
        if check and judge:
            click.echo(f"the judge ({judge['name']}) on {check['pairs']} planted pairs:")
            rows = [[title, _number(check[key], True), good] for key, (title, good) in SHOWN.items()]
            rows.append(["verdicts that could not be read", str(check["unread"]), "0"])
            print_table(["planted answers", "this judge", "a good one"], rows)
        rows = [
            [language, *(_number(one.get(key), key in ("hangul", "right_language", "level_kept")) for key in _CONTROLS)]
            for language, one in result["controls"].items()
        ]
        print_table(["language", *_CONTROLS.values()], rows)
        _print_nativeness(result["nativeness"])
        if result["unanswered"]:
            click.echo(f"turns without an answer: {result['unanswered']}")
        if result["cut"]:
            click.echo(f"answers cut at max_tokens: {result['cut']}")


_CONTROLS = {
    "hangul": "Hangul",
    "right_language": "right language",
    "switches": "foreign words of 100",
    "level_kept": "level kept",
    "characters": "characters",
}


def _print_nativeness(found: Nativeness | None) -> None:
    if found is None:
        return
    rows = [
        [one["title"], *(_number(text.get(name)) for text in found["texts"].values()), one["better"]]
        for name, one in found["measures"].items()
    ]
    print_table(["Korean without a judge", *found["texts"], "better"], rows)


def _print_not_counted(part: SingleResult | PairResult) -> None:
    for reason, count in part["not_counted"].items():
        click.echo(f"verdicts excluded from the means: {count:,} of {part['verdicts']:,} ({reason})")
