"""Document steps that process many documents per call, such as a model on a GPU.

Between two such steps documents are processed one by one, as usual. Batch boundaries depend on the documents only, so
results do not depend on the executor or on restarts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import groupby, islice
from typing import Any

from kormo_plugins.corpus.passes.job import Tally
from kormo_plugins.corpus.step import Rejected
from kormo_plugins.documents.document import Document, Reject
from kormo_plugins.errors import KormoError
from kormo_plugins.hookspecs import BatchStep

BATCH = 256
"""Maximum number of documents per batch."""
Item = Document | Rejected
Through = Callable[[Document, list[object], list[Tally]], Item]


def in_batches(
    items: Iterator[Item],
    steps: Sequence[Any],
    tallies: Sequence[Tally],
    through: Through,
    is_text: Callable[..., bool],
) -> Iterator[Item]:
    """Yields the items after all steps, in their order.

    Args:
        tallies: of each step.
        through: runs one document through some steps and counts the results.
        is_text: whether a document is plain text; conversations and pairs are processed individually.
    Raises:
        KormoError: a step returned a different number of results than documents.
    """
    runs = [
        (batched, [*run])
        for batched, run in groupby(zip(steps, tallies, strict=True), lambda pair: isinstance(pair[0], BatchStep))
    ]
    while group := list(islice(items, BATCH)):
        for batched, run in runs:
            if batched:
                for step, tally in run:
                    group = _batch(group, step, tally, through, is_text)
            else:
                some, counts = [step for step, _ in run], [tally for _, tally in run]
                group = [item if isinstance(item, Rejected) else through(item, some, counts) for item in group]
        yield from group


def _batch(
    group: Sequence[Item], step: BatchStep, tally: Tally, through: Through, is_text: Callable[..., bool]
) -> list[Item]:
    texts = [item for item in group if isinstance(item, Document) and is_text(item)]
    before = [document.text for document in texts]
    results = list(step.batch(texts)) if texts else []
    if len(results) != len(texts):
        raise KormoError(
            where=f"step {tally.name}",
            found=f"{len(results)} results for {len(texts)} documents",
            why="the results cannot be matched to the documents",
            do="return one result per document, in their order (`BatchStep.batch`)",
        )
    answers = iter(zip(before, results, strict=True))
    items: list[Item] = []
    for item in group:
        if isinstance(item, Rejected):
            items.append(item)
        elif is_text(item):
            text, result = next(answers)
            item.text, given = text, _given(result)
            items.append(through(item, [given], [tally]))
        else:
            items.append(through(item, [step], [tally]))
    return items


def _given(result: Document | Reject) -> Callable[[Document], Document | Reject]:
    """Wraps a computed result as a step."""
    text = result.text if isinstance(result, Document) else ""

    def step(document: Document) -> Document | Reject:
        """Returns the result that `batch` computed, for any copy of the document."""
        if isinstance(result, Document):
            result.text = text
        return result

    return step
