"""Loss and bits per byte on held-out documents, by language, source and domain.

A loss per token is only comparable between models with the same tokenizer; bits per byte are comparable between all
(`kormo_plugins/measures/bits_per_byte.py`). Each document is scored as a whole, alone in its row:

    nll(document) = sum over the tokens of its text of -ln p(token | BOS, the tokens before it)

For a conversation, and the chosen answer of a pair, the tokens that the recipe trains on are scored: answers and their
end tokens, as rendered by the chat template, divided by the bytes of the answers.

A document longer than a row is scored in windows. Each token is predicted exactly once, with at least half a window of
context. The end-of-document token is not predicted, since it encodes no byte of the text.

Sums are reduced over all ranks before division, so the result does not depend on the number of ranks.
"""

from __future__ import annotations

import heapq
import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import xxhash
from numpy.typing import NDArray

from kormo_plugins.console.rank import group_rank
from kormo_plugins.documents.conversation import is_trained, messages_of, with_messages
from kormo_plugins.documents.document import Document
from kormo_plugins.documents.message import message_text
from kormo_plugins.documents.preference_pair import pair_of
from kormo_plugins.errors import KormoError
from kormo_plugins.measures.bits_per_byte import bits_per_byte, text_bytes
from kormo_plugins.measures.metrics_file import EXTERNAL_EVAL
from kormo_plugins.monitoring.monitor import Monitor, RunView, Texts, shard_batches, summed
from kormo_plugins.monitoring.params import HeldOutParams
from kormo_plugins.shards.encoder import Encoder
from kormo_plugins.store.corpus_files import read_corpus

if TYPE_CHECKING:
    from transformers import PreTrainedModel


log = logging.getLogger(__name__)
MOST_DOMAINS = 40
"""With more domains (web hosts, for example), separate numbers are not useful and not logged."""
CHUNK = 1024
"""Tokens whose float32 log-probabilities are computed at a time: 0.5 GB for the 10B's vocabulary."""


@dataclass(frozen=True)
class Text:
    """One document to score.

    Args:
        ids: int64 [tokens], including the start token.
        bytes: of the text that the predicted tokens encode.
        groups: groups that it belongs to.
        predicted: bool [tokens], which of `ids` are scored; None: all but the first.
    """

    ids: NDArray[np.int64]
    bytes: int
    groups: tuple[str, ...]
    predicted: NDArray[np.bool_] | None = None

    @property
    def tokens(self) -> int:
        """Number of predicted tokens."""
        return len(self.ids) - 1 if self.predicted is None else int(self.predicted[1:].sum())


@dataclass(frozen=True)
class Window:
    """Tokens [start, end) of a text; those from `scored` on are predicted in this window."""

    text: int
    start: int
    end: int
    scored: int


class HeldOut(Monitor):
    """Logs `held_out/…` and `external_eval/…`."""

    name = "held_out"

    def __init__(self, params: HeldOutParams) -> None:
        super().__init__(params.every_steps)
        self.params = params
        self.texts: list[Text] = []

    def open(self, run: RunView) -> None:
        """Selects and encodes the documents.

        Raises:
            KormoError: no document at all, or a tokenizer with neither start nor end token.
        """
        super().open(run)
        chosen = [*self._groups("held_out", run.held_out), *self._groups(EXTERNAL_EVAL, run.external_eval)]
        if not chosen:
            raise KormoError(
                where="kormo.monitor.held_out",
                found="no held-out documents",
                why="there is nothing to measure the loss on",
                do="set held_out.documents in the dataset recipe, name texts under kormo.monitor.external_eval, or set "
                "kormo.monitor.held_out: null",
            )
        self.texts = encoded(chosen, run)

    def measure(self, model: PreTrainedModel, step: int) -> dict[str, float]:
        """The measures of every group."""
        assert self.run is not None
        nll = score(model, self.texts, self.run.sequence_len, self.run.micro_batch_size, self.run.special.get("pad", 0))
        return by_group(self.texts, nll)

    def _groups(self, prefix: str, sources: Mapping[str, Texts]) -> list[tuple[Document, tuple[str, ...], Texts]]:
        grouped = []
        for name, texts in sources.items():
            for document in smallest(read_all(texts), self.params.documents):
                grouped.append((document, groups_of(prefix, name, document, self.params.domain), texts))
        domains = {group for _, groups, _ in grouped for group in groups if "/domain/" in group}
        if len(domains) > MOST_DOMAINS:
            log.warning("%s: %d domains are too many to log one by one; none is logged", prefix, len(domains))
            return [(d, tuple(g for g in groups if "/domain/" not in g), texts) for d, groups, texts in grouped]
        return grouped


def make(params: HeldOutParams) -> HeldOut:
    """The run callback `held_out`."""
    return HeldOut(params)


def read_all(texts: Texts) -> Iterable[Document]:
    """Reads the documents of all folders."""
    for folder in texts.folders:
        yield from read_corpus(folder)


def smallest(documents: Iterable[Document], count: int) -> list[Document]:
    """The `count` documents with text whose ids have the smallest hashes, in that order."""

    def key(document: Document) -> tuple[int, str]:
        """Hash of the id, then the id: the order does not depend on files."""
        return xxhash.xxh3_64_intdigest(document.id.encode("utf-8", "surrogatepass")), document.id

    return heapq.nsmallest(count, (document for document in documents if document.text), key=key)


def groups_of(prefix: str, source: str, document: Document, domain: Sequence[str]) -> tuple[str, ...]:
    """The groups of a document: all, its language, source, domain and writer."""
    groups = [prefix, f"{prefix}/{document.language}", f"{prefix}/source/{source}"]
    named = next((document.meta[field] for field in domain if document.meta.get(field)), None)
    if named is not None:
        groups.append(f"{prefix}/domain/{named}")
    writer = (document.generator or "unknown") if document.synthetic else "human"
    return (*groups, f"{prefix}/writer/{writer}")


def encoded(chosen: Sequence[tuple[Document, tuple[str, ...], Texts]], run: RunView) -> list[Text]:
    """Encodes the documents with the encoder of the shards, with the start token prepended; conversations as turns if
    the run trains on turns."""
    first = run.special.get("bos", run.special.get("eos"))
    if run.tokenizer is None or first is None:
        raise KormoError(
            where="kormo.monitor.held_out",
            found="no tokenizer prepared by kormo-plugins" if run.tokenizer is None else "no start or end token",
            why="the first token of a document is predicted from the start token",
            do="set kormo.tokenizer",
        )
    texts: list[Text | None] = []
    plain: dict[tuple[str, ...], list[int]] = {}  # control tokens -> places of the documents without turns
    for place, (document, groups, where) in enumerate(chosen):
        turns = conversation_of(document) if run.conversations else None
        if run.conversations is None or turns is None:
            plain.setdefault(where.control_tokens, []).append(place)
            texts.append(None)
            continue
        turn_ids, _, trained = run.conversations([turns])
        texts.append(Text(turn_ids.astype(np.int64), answer_bytes(turns), groups, trained.astype(bool)))
    for control_tokens, places in plain.items():
        documents = [chosen[place][0] for place in places]
        rows = with_start(run.tokenizer, first, [d.text for d in documents], [d.id for d in documents], control_tokens)
        for place, document, ids in zip(places, documents, rows, strict=True):
            texts[place] = Text(ids, text_bytes(document.text), chosen[place][1])
    return [text for text in texts if text is not None]


def with_start(
    tokenizer: Path, first: int, texts: Sequence[str], names: Sequence[str], control_tokens: tuple[str, ...] = ()
) -> list[NDArray[np.int64]]:
    """The ids of each text after the start token `first`; int64 [1 + tokens].

    They are those of the shards, which are compared with `tokenizers`; for so few texts, loading a faster engine and
    proving that it agrees takes longer than it saves.
    """
    ids, lengths = Encoder(tokenizer, control_tokens, engine="tokenizers").encode(texts, names)
    parts = np.split(ids.astype(np.int64), np.cumsum(lengths)[:-1])
    return [np.concatenate([[first], part]) for part in parts]


def conversation_of(document: Document) -> Document | None:
    """The document as a conversation, for a pair the one with the chosen answer; None for a plain text."""
    pair = pair_of(document)
    if pair is not None:
        return with_messages(document, [*pair.prompt, pair.chosen])
    return document if messages_of(document) is not None else None


def answer_bytes(document: Document) -> int:
    """UTF-8 bytes of the trained parts of a conversation: every answer and tool call of weight 1, and the reasoning
    after the last question."""
    messages = messages_of(document) or []
    last_question = max((place for place, message in enumerate(messages) if message["role"] == "user"), default=-1)
    total = 0
    for place, message in enumerate(messages):
        if is_trained(message):
            thought = message.get("reasoning_content", "") if place > last_question else ""
            total += text_bytes(message_text({**message, "reasoning_content": ""})) + text_bytes(thought)
    return total


def windows(lengths: Sequence[int], longest: int) -> list[Window]:
    """Windows of at most `longest` tokens that predict every token but the first of each text exactly once.

    Args:
        lengths: tokens of each text, the start token included.
        longest: maximum tokens of a window, at least 2.
    """
    pieces = []
    for text, length in enumerate(lengths):
        scored, start = 1, 0
        while scored < length:
            end = min(length, start + longest)
            pieces.append(Window(text, start, end, scored))
            scored = end
            start = end - max(1, longest // 2)
    return pieces


def score(model: PreTrainedModel, texts: Sequence[Text], window: int, rows: int, pad: int) -> NDArray[np.float64]:
    """Negative log-likelihood of each text in nats, the same on every rank; float64 [texts].

    Args:
        model: a causal language model in evaluation mode.
        window: maximum tokens of a row.
        rows: full rows per batch; more rows if they are shorter.
        pad: padding id on the right; not visible to earlier tokens.
    """
    import torch

    device = next(model.parameters()).device
    total = torch.zeros(len(texts), dtype=torch.float64, device=device)
    pieces = sorted(windows([len(t.ids) for t in texts], window), key=lambda w: (w.end - w.start, w.text, w.start))
    for batch, counts in shard_batches(batched(pieces, rows * window), *group_rank()):
        losses = _losses(model, batch, texts, pad, device)
        if counts:
            total.index_add_(0, torch.tensor([w.text for w in batch], device=device), losses)
    return np.asarray(summed(total).cpu().numpy(), np.float64)


def batched(pieces: Sequence[Window], places: int) -> list[list[Window]]:
    """Windows sorted by length, in batches of at most `places` tokens including padding (or of one window)."""
    batches: list[list[Window]] = []
    for piece in pieces:
        if batches and (len(batches[-1]) + 1) * (piece.end - piece.start) <= places:
            batches[-1].append(piece)
        else:
            batches.append([piece])
    return batches


def _losses(model: PreTrainedModel, batch: Sequence[Window], texts: Sequence[Text], pad: int, device: Any) -> Any:
    """Sum of -ln p over the scored tokens of each window; float64 [windows]."""
    import torch
    import torch.nn.functional as F

    width = max(w.end - w.start for w in batch)
    ids = torch.full((len(batch), width), pad, dtype=torch.long)
    wanted = torch.zeros((len(batch), width), dtype=torch.bool)
    for row, w in enumerate(batch):
        ids[row, : w.end - w.start] = torch.from_numpy(texts[w.text].ids[w.start : w.end])
        predicted = texts[w.text].predicted
        scored = True if predicted is None else torch.from_numpy(predicted[w.scored : w.end])
        wanted[row, w.scored - w.start : w.end - w.start] = scored
    ids, wanted = ids.to(device), wanted.to(device)
    places = torch.arange(width, device=device).expand(len(batch), width)
    # No mask: attention is causal, so no scored token attends to the padding.
    logits = model(input_ids=ids, position_ids=places, use_cache=False).logits.flatten(0, 1)
    # All positions in one line, so that no slice of the logits is copied; the last of a row predicts nothing.
    following = F.pad(ids[:, 1:], (0, 1), value=pad).flatten()
    losses = [
        F.cross_entropy(some.float(), targets, reduction="none").double()
        for some, targets in zip(logits.split(CHUNK), following.split(CHUNK), strict=True)
    ]
    return (torch.cat(losses).view(len(batch), width)[:, :-1] * wanted[:, 1:]).sum(1)


def by_group(texts: Sequence[Text], nll: NDArray[np.float64]) -> dict[str, float]:
    """`PREFIX/loss` (nats per token) and `PREFIX/bits_per_byte` of all texts, and the same for each group:
    `PREFIX/bits_per_byte/ko`, `PREFIX/bits_per_byte/source/NAME`, `…/domain/NAME`, `…/writer/NAME`."""
    sums: dict[str, list[float]] = {}
    for text, value in zip(texts, nll.tolist(), strict=True):
        for group in text.groups:
            one = sums.setdefault(group, [0.0, 0, 0])
            one[0] += value
            one[1] += text.tokens
            one[2] += text.bytes
    metrics: dict[str, float] = {}
    for group, (nats, tokens, size) in sums.items():
        prefix, _, rest = group.partition("/")
        tail = f"/{rest}" if rest else ""
        metrics[f"{prefix}/bits_per_byte{tail}"] = bits_per_byte(nats, int(size))
        metrics[f"{prefix}/loss{tail}"] = nats / tokens
    return metrics
