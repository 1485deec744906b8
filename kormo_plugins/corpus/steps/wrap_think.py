"""Puts reasoning between `<think>` and `</think>`, the format of reasoning traces in KORMo's mid-training.

In the published account every sample of that stage is wrapped whole and `<think>` itself is excluded from the loss, so
that fine-tuning can later teach it as the trigger of reasoning. If a dataset separates reasoning and answer, only the
reasoning is wrapped and the answer follows after a blank line, as in the chat template. Text that already has matching
marks is unchanged; `reasoning</think>answer`, written by models whose prompt ends with `<think>`, gets the opening
mark.

The marks are tokens only for a source with `control_tokens: [<think>, </think>]`; elsewhere they are plain characters.
"""

from __future__ import annotations

import re
from dataclasses import replace

from pydantic import Field

from kormo_plugins.corpus.params import Strict
from kormo_plugins.documents.document import Document, Reject

THINK, END_THINK = "<think>", "</think>"
_MARK = re.compile(r"</?think>")


class WrapThinkParams(Strict):
    """Where the reasoning is stored."""

    reasoning: str | None = Field(
        default=None,
        description="kept column with the reasoning; the text is then the answer; null: the whole text is reasoning",
    )


class WrapThink:
    """Wraps reasoning in <think> marks."""

    VERSION = 2

    def __init__(self, params: WrapThinkParams) -> None:
        self.params = params

    def __call__(self, document: Document) -> Document | Reject:
        marks = _MARK.findall(document.text)
        if marks == [END_THINK] and document.text.partition(END_THINK)[0].strip():
            return replace(document, text=f"{THINK}\n{document.text.lstrip()}")
        if marks:
            paired = len(marks) % 2 == 0 and marks == [THINK, END_THINK] * (len(marks) // 2)
            return document if paired else Reject("marks of thought that do not match")
        if self.params.reasoning is None:
            return replace(document, text=f"{THINK}\n{document.text.strip()}\n{END_THINK}")
        reasoning = document.meta.get(self.params.reasoning)
        if not isinstance(reasoning, str) or not reasoning.strip():
            return Reject(f"no reasoning in the column {self.params.reasoning!r}")
        if _MARK.search(reasoning):
            return Reject("marks of thought inside the reasoning")
        return replace(document, text=f"{THINK}\n{reasoning.strip()}\n{END_THINK}\n\n{document.text.strip()}")
