"""The model card's sentence about the loss: of two ends of the run, never of the same steps twice."""

from __future__ import annotations

import re

import pytest

from kormo_plugins.runs.publishing.model_card import loss_line


@pytest.mark.parametrize("count", [2, 3, 8, 19, 20, 50])
def test_beginning_and_end_share_no_step(count: int) -> None:
    line = loss_line([(5 * n, 10.0 - n / count) for n in range(1, count + 1)])
    assert line is not None
    (_, until), (since, _) = ([int(step) for step in pair] for pair in re.findall(r"steps (\d+)-(\d+)", line))
    assert until < since and since - until == 5 * (count - 2 * min(10, count // 2) + 1)


def test_a_run_that_logged_once_or_never() -> None:
    assert loss_line([(5, 3.25)]) == "Training loss: 3.2500 (step 5)."
    assert loss_line([]) is None
