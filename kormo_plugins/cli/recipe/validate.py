"""`kormo recipe validate`: checks recipes, and imports little more than the checks need."""

from __future__ import annotations

from pathlib import Path

import click

from kormo_plugins.cli.support.output import json_option, print_json
from kormo_plugins.errors import EXIT_BAD_INPUT, KormoError, Notice, each
from kormo_plugins.recipe.checked import CheckedRecipe
from kormo_plugins.recipe.checks.validate import validate as check


@click.command()
@click.argument("files", type=click.Path(path_type=Path), nargs=-1, required=True, metavar="FILE…")
@click.option("--full", is_flag=True, help="Run Axolotl's own validators as well (imports torch: seconds).")
@json_option
def validate(files: tuple[Path, ...], full: bool, as_json: bool) -> None:
    """Check recipes, or dataset recipes: every key, value and component, and their combinations.

    All faults are reported at once, sorted by location; warnings are settings that are allowed but probably not
    intended. `-` reads standard input. The exit status is 2 if any of them is refused.
    """
    results: list[dict[str, object]] = []
    for file in files:
        try:
            report = check(file, full=_to_axolotl if full else None)
        except KormoError as error:
            faults = [_parts(fault) for fault in each(error)]
            results.append({"path": file, "ok": False, "error": faults[0], "errors": faults})
            if not as_json:
                click.echo(error.render(), err=True)
            continue
        results.append(
            {
                "path": file,
                "ok": True,
                "kind": report.kind,
                "keys": report.keys,
                "files": report.files,
                "full": full,
                "warnings": [_parts(warning) for warning in report.warnings],
            }
        )
        if not as_json:
            for warning in report.warnings:
                click.echo(warning.render(), err=True)
            click.echo(f"{file}: sound ({report.kind}, {report.keys} values from {_files(len(report.files))})")
    if as_json:
        print_json(results)
    if not all(result["ok"] for result in results):
        raise click.exceptions.Exit(EXIT_BAD_INPUT)


def _parts(message: KormoError | Notice) -> dict[str, str]:
    return {"where": message.where, "found": message.found, "why": message.why, "do": message.do}


def _to_axolotl(checked: CheckedRecipe) -> dict[str, object]:
    from kormo_plugins.pipeline.axolotl_keys import axolotl_values
    from kormo_plugins.recipe.load import Recipe

    return {**checked.resolved.values, **axolotl_values(Recipe.of(checked).axolotl_plan(), None)}


def _files(count: int) -> str:
    return f"{count} file{'s' * (count != 1)}"
