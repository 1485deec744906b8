"""What `--json` promises: JSON and nothing else on stdout, whatever a library prints."""

from __future__ import annotations

import json
import logging
import sys

import click
import pytest
from click.testing import CliRunner

from kormo_plugins.cli.support.output import json_option, print_json


@click.command()
@json_option
def talkative(as_json: bool) -> None:
    """Prints as DeepSpeed does, which logs to stdout as soon as it is imported."""
    print("by print")
    log = logging.Logger("talkative")  # a registered one would keep the handler of the test before
    log.addHandler(logging.StreamHandler(sys.stdout))
    log.warning("by a log")
    if as_json:
        print_json({"found": 1})


@pytest.mark.parametrize("words", [[], ["--json"]])
def test_what_libraries_print_is_not_among_the_json(words: list[str]) -> None:
    result = CliRunner().invoke(talkative, words)
    assert result.exit_code == 0
    talk = "by print\nby a log\n"
    if words:
        assert json.loads(result.stdout) == {"found": 1} and result.stderr == talk
    else:
        assert result.stdout == talk
