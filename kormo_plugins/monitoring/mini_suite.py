"""The run callback `mini`: accuracy on the mini suite's questions with four options, while the model trains.

Each option is appended to its question, and the most likely text is the answer; the tokens of the question are the same
in all four. This is `acc` of `kormo eval --suite mini`, on fewer items and without the harness.

The questions are those of `evaluation/mini.py`, scored as in `held_out.py`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kormo_plugins.errors import KormoError
from kormo_plugins.evaluation.mini import LANGUAGES, items
from kormo_plugins.monitoring.held_out import Text, score, with_start
from kormo_plugins.monitoring.monitor import Monitor, RunView
from kormo_plugins.monitoring.params import MiniParams

if TYPE_CHECKING:
    from transformers import PreTrainedModel


FAMILIES = ("choice", "cloze", "reading", "arithmetic")


class Mini(Monitor):
    """Logs `mini/acc`, `mini/acc/ko`, `mini/acc/en` and `mini/acc/FAMILY`; chance is 0.25."""

    name = "mini"

    def __init__(self, params: MiniParams) -> None:
        super().__init__(params.every_steps)
        self.params = params
        self.texts: list[Text] = []
        self.asked: list[tuple[str, str, int]] = []

    def open(self, run: RunView) -> None:
        """Encodes every question with every option.

        Raises:
            KormoError: no tokenizer of ours.
        """
        super().open(run)
        first = run.special.get("bos", run.special.get("eos"))
        if run.tokenizer is None or first is None:
            raise KormoError(
                where="kormo.monitor.mini",
                found="no tokenizer prepared by kormo-plugins",
                why="questions are encoded with it",
                do="set kormo.tokenizer, or kormo.monitor.mini: null",
            )
        questions = [
            (language, family, item)
            for language in LANGUAGES
            for family in FAMILIES
            for item in items(family, language, self.params.items)
        ]
        self.asked = [(language, family, item["answer"]) for language, family, item in questions]
        options = [(item["question"] + option, item["id"]) for _, _, item in questions for option in item["choices"]]
        rows = with_start(run.tokenizer, first, [text for text, _ in options], [name for _, name in options])
        self.texts = [Text(ids, 1, ()) for ids in rows]

    def measure(self, model: PreTrainedModel, step: int) -> dict[str, float]:
        """Accuracy of all, and by language and family."""
        assert self.run is not None
        pad = self.run.special.get("pad", 0)
        nll = score(model, self.texts, self.run.sequence_len, self.run.micro_batch_size, pad)
        right = nll.reshape(len(self.asked), -1).argmin(axis=1) == [answer for _, _, answer in self.asked]
        metrics = {"mini/acc": float(right.mean())}
        for place, names in ((0, LANGUAGES), (1, FAMILIES)):
            for name in names:
                metrics[f"mini/acc/{name}"] = float(right[[asked[place] == name for asked in self.asked]].mean())
        return metrics


def make(params: MiniParams) -> Mini:
    """The run callback `mini`."""
    return Mini(params)
