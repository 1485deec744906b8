"""Models that answer conversations: a local checkpoint, or a model behind an OpenAI-compatible endpoint.

Both cache every answer in a file named by the hash of model, conversation and settings, so that an interrupted run only
repeats missing requests. A base model is prompted in the form of question and answer.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from kormo_plugins.documents.document import Reject
from kormo_plugins.endpoint.client import Answer, Client, in_order
from kormo_plugins.errors import KormoError, in_words
from kormo_plugins.evaluation.generation.batches import Sampling
from kormo_plugins.evaluation.harness import LocalModel
from kormo_plugins.evaluation.models.checkpoint import Checkpoint, tokenizer_of
from kormo_plugins.evaluation.plan import render
from kormo_plugins.store.atomic import write_text
from kormo_plugins.store.fingerprint import identity

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

Turn = dict[str, str]
"""`{role, content}`."""
LEAST_ROOM = 8
"""Minimum tokens left for an answer; with fewer, the conversation is rejected as too long."""
PLAIN = {"ko": ("질문: ", "답:"), "en": ("Q: ", "A:")}
"""Prefixes of question and answer for a model without a chat template."""


class Speaker(Protocol):
    """A model that answers conversations."""

    @property
    def name(self) -> str:
        """For people."""
        ...

    def reply(self, conversations: Sequence[Sequence[Turn]], sampling: Sampling) -> list[Answer | Reject]:
        """The next turn of each conversation, in order, or why there is none."""
        ...


@dataclass
class LocalSpeaker:
    """Answers with a local checkpoint.

    Args:
        model: the checkpoint.
        cache: folder of the answers.
        load: returns the harness's model; called when the first answer is not in the cache.
        language: of the question and answer prefixes for a base model.
    """

    model: Checkpoint
    cache: Path
    load: Callable[[], LocalModel]
    language: str = "ko"
    max_rows: int | None = None
    _loaded: LocalModel | None = None

    @property
    def name(self) -> str:
        """Folder and hash of the weights."""
        return f"{self.model.path.name} ({self.model.hash})"

    def place(self, conversation: Sequence[Turn], sampling: Sampling) -> Path:
        """The cache file of an answer."""
        inputs = [self.model.hash, self.model.chat, [list(turn.items()) for turn in conversation], vars(sampling)]
        key = identity(inputs)
        return self.cache / key[:2] / f"{key}.json"

    def has(self, conversation: Sequence[Turn], sampling: Sampling) -> bool:
        """Whether the answer is kept already."""
        return _read(self.place(conversation, sampling)) is not None

    def reply(self, conversations: Sequence[Sequence[Turn]], sampling: Sampling) -> list[Answer | Reject]:
        """See `Speaker`; a conversation longer than the model's context is rejected."""
        places = [self.place(one, sampling) for one in conversations]
        replies: list[Answer | Reject | None] = [_read(path) for path in places]
        first = {place: row for row, place in reversed(list(enumerate(places)))}  # duplicates are answered once
        open_rows = [row for place, row in first.items() if replies[row] is None]
        if open_rows:
            for row, answer in self._ask({row: conversations[row] for row in sorted(open_rows)}, sampling):
                replies[row] = answer
                if isinstance(answer, Answer):
                    places[row].parent.mkdir(parents=True, exist_ok=True)
                    kept = {"request": list(conversations[row]), "text": answer.text, "finish": answer.finish}
                    write_text(places[row], json.dumps(kept, ensure_ascii=False))
        answers = [replies[first[place]] for place in places]
        return [one if one is not None else Reject("no answer") for one in answers]

    def _ask(
        self, conversations: dict[int, Sequence[Turn]], sampling: Sampling
    ) -> Iterator[tuple[int, Answer | Reject]]:
        from kormo_plugins.evaluation.generation.decode import Decoder

        self._loaded = self._loaded or self.load()
        tokenizer = tokenizer_of(self.model.path)
        ends, rooms = self._loaded.ends, self.model.positions or 1 << 20
        groups: dict[int, list[tuple[int, list[int]]]] = {}
        for row, conversation in conversations.items():
            ids = self._ids(tokenizer, conversation)
            new = min(sampling.max_tokens, rooms - len(ids))
            if new < min(LEAST_ROOM, sampling.max_tokens):
                yield row, Reject("the conversation is longer than the model's context")
            else:
                groups.setdefault(new, []).append((row, ids))
        stop = sampling.stop if self.model.chat else tuple(f"\n{question.strip()}" for question, _ in PLAIN.values())

        def decode(ids: list[int]) -> str:
            """Ids as text, without special tokens."""
            return str(tokenizer.decode(ids, skip_special_tokens=True))

        decoder = Decoder(self._loaded.model, decode, ends, int(tokenizer.pad_token_id or 0))
        for new, rows in sorted(groups.items(), reverse=True):
            settings = Sampling(new, sampling.temperature, sampling.top_p, sampling.seed, stop)
            for place, written in decoder.write([ids for _, ids in rows], settings, self.max_rows):
                text, cut = decode(written.ids), False
                for one in stop:
                    head, mark, _ = text.partition(one)
                    text, cut = head, cut or bool(mark)
                finish = "stop" if written.ended or cut else "length"
                yield rows[place][0], Answer(text.strip(), finish)

    def _ids(self, tokenizer: PreTrainedTokenizerBase, conversation: Sequence[Turn]) -> list[int]:
        if self.model.chat:
            return list(tokenizer.encode(render(tokenizer, list(conversation)), add_special_tokens=False))
        question, answer = PLAIN[self.language]
        marks = {"user": question, "assistant": f"{answer} ", "system": ""}
        text = "\n".join(f"{marks[turn['role']]}{turn['content']}" for turn in conversation)
        return list(tokenizer.encode(f"{text}\n{answer}"))


@dataclass
class ServedSpeaker:
    """A model behind an endpoint.

    Args:
        model: its name at the endpoint.
        concurrency: concurrent requests.
        hash: of the served weights, if known; part of the cache key.
    """

    client: Client
    model: str
    concurrency: int = 8
    hash: str = ""

    @property
    def name(self) -> str:
        """The name at the endpoint."""
        return self.model

    def request(self, conversation: Sequence[Turn], sampling: Sampling) -> dict[str, object]:
        """The body of the request."""
        stop = {"stop": list(sampling.stop)} if sampling.stop else {}
        user = {"user": self.hash} if self.hash else {}
        return {
            "model": self.model,
            "messages": [dict(turn) for turn in conversation],
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "max_tokens": sampling.max_tokens,
            "seed": sampling.seed,
            **stop,
            **user,
        }

    def has(self, conversation: Sequence[Turn], sampling: Sampling) -> bool:
        """Whether the answer is kept already."""
        return self.client.knows(self.request(conversation, sampling))

    def reply(self, conversations: Sequence[Sequence[Turn]], sampling: Sampling) -> list[Answer | Reject]:
        """See `Speaker`.

        Raises:
            Unreachable: the endpoint refuses the connection or the key.
        """
        requests = [self.request(one, sampling) for one in conversations]
        return list(in_order(self.client.complete, requests, self.concurrency))


def _read(path: Path) -> Answer | None:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        return Answer(str(values["text"]), str(values["finish"]))
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError):
        path.unlink()
        return None


def unreachable(where: str, error: Exception) -> KormoError:
    """The error of an unreachable endpoint."""
    return KormoError(
        where=where,
        found=in_words(error),
        why="the endpoint does not answer",
        do="start the server (vLLM, `transformers serve`, …), or correct address and key; answers so far are kept",
    )
