"""Reasoning between `<think>` and `</think>`, the form in which KORMo's mid-training reads traces.

The published account wraps each sample of that stage whole and leaves `<think>` itself out of the loss, so that fine-
tuning can later teach it as the trigger of thought. Where a data set keeps reasoning and answer apart, the reasoning
alone is wrapped and the answer follows after a blank line, as in the chat template. Text that has its marks already
stays as it is, if they match; `reasoning</think>answer`, as models write whose prompt ends with `<think>`, is given the
mark that opens it.

The marks are tokens only for a source that says `control_tokens: [<think>, </think>]`; elsewhere they are characters.
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
    """Where the reasoning is."""

    reasoning: str | None = Field(
        default=None, description="kept column with the reasoning, whose answer is the text; null: the text is a trace"
    )


class WrapThink:
    """Puts the marks of thought around reasoning."""

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
