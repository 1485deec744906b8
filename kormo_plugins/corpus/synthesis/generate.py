"""The generator `openai_endpoint`: a model writes Korean documents from seed documents.

    generator:
      name: openai_endpoint
      url: http://localhost:8000/v1
      model: Qwen/Qwen3-30B-A3B
      style: rewrite
      seeds: {name: jsonl, path: data/seeds.jsonl}

Each document keeps its seed's id and the seed itself, so that the two can be compared. A seed without an answer after
all retries becomes a reject with the reason; the others are not requested again.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, ClassVar

from pydantic import Field, model_validator

from kormo_plugins.corpus.params import Choice, Strict
from kormo_plugins.corpus.step import Read, Rejected
from kormo_plugins.corpus.synthesis.prompts import FORMS, SYSTEM, Style, messages
from kormo_plugins.documents.document import Document, Reject
from kormo_plugins.endpoint.client import Client, Unreachable
from kormo_plugins.errors import KormoError, in_words
from kormo_plugins.hookspecs import Divisible, HasInputs, Params, Pins, Reader
from kormo_plugins.plugins.registry import registry
from kormo_plugins.store.fingerprint import identity

VERSION = 1

WHERE = "generator openai_endpoint"


class EndpointParams(Strict):
    """The endpoint, the model and the request settings."""

    RENAMED: ClassVar = {"longest_seed": "max_seed_characters"}

    url: str = Field(description="base URL of the endpoint (`http://localhost:8000/v1`)", pattern="^https?://")
    model: str = Field(description="model name at the endpoint, also recorded as the documents' generator")
    style: Style = Field(
        description="what is written: rewrite, answer (in Korean, about an English seed), translate, textbook or "
        "reasoning"
    )
    seeds: Choice = Field(description="reader of the seed documents, with its parameters")
    language: str = Field(default="ko", description="language of the generated text")
    license: str = Field(
        default="unknown",
        description="licence of the generated text (depends on the terms of the model and of the seeds)",
    )
    temperature: float = Field(
        default=0.7, ge=0, description="sampling temperature (Qwen3's recommendation without thinking)"
    )
    top_p: float = Field(default=0.8, gt=0, le=1, description="nucleus sampling probability (Qwen3's recommendation)")
    max_tokens: int = Field(
        default=4096, ge=1, description="maximum tokens of an answer; a longer one is truncated and rejected"
    )
    seed: int = Field(
        default=0, description="seed of the prompt variant, and of the sampling if the endpoint accepts one"
    )
    max_seed_characters: int = Field(
        default=12_000, ge=1, description="maximum characters of a seed document that are sent, from its beginning"
    )
    concurrency: int = Field(default=16, ge=1, description="concurrent requests per part")
    per_minute: float | None = Field(
        default=None, gt=0, description="maximum requests per minute and part; null: no limit"
    )
    timeout: float = Field(default=120.0, gt=0, description="timeout of a request in seconds")
    retries: int = Field(default=5, ge=0, description="retries after the first attempt")
    backoff: float = Field(
        default=1.0, ge=0, description="seconds before the first retry, doubled for each further one"
    )
    cache: Path = Field(
        default=Path("artifacts/answers"), description="folder of cached answers, by hash of the request"
    )
    key_variable: str = Field(
        default="OPENAI_API_KEY", description="environment variable with the API key, if the endpoint needs one"
    )

    @model_validator(mode="after")
    def _readable(self) -> EndpointParams:
        """A reader of seeds that is not known, or parameters that it does not take, are refused before any request."""
        registry().params("reader", self.seeds.name, self.seeds.values, f"{WHERE}: seeds")
        return self


class Endpoint:
    """Called with `(params, shard, shards)`; a shard is a shard of the seeds."""

    VERSION = 1

    def _seeds(self, params: EndpointParams) -> tuple[Reader, Params]:
        where = f"{WHERE}: seeds"
        values = registry().params("reader", params.seeds.name, params.seeds.values, where)
        return registry().load("reader", params.seeds.name, where), values

    def inputs(self, params: EndpointParams) -> dict[str, object]:
        """Everything that the documents depend on: the request and the seeds, but not the address or the request
        rate."""
        read, values = self._seeds(params)
        pace = {"url", "concurrency", "per_minute", "timeout", "retries", "backoff", "cache", "key_variable", "seeds"}
        seeds = read.inputs(values) if isinstance(read, HasInputs) else values.model_dump(mode="json")
        return params.model_dump(mode="json", exclude=pace) | {
            "seeds": seeds,
            "prompts": [SYSTEM[params.style], *FORMS[params.style]],
        }

    def parts(self, params: EndpointParams) -> int:
        """The number of parts of the seeds."""
        read, values = self._seeds(params)
        return read.parts(values) if isinstance(read, Divisible) else 1

    def pinned(self, params: EndpointParams) -> EndpointParams:
        """`params` with the commit of the seeds resolved, if they are on the hub."""
        read, values = self._seeds(params)
        if not isinstance(read, Pins):
            return params
        fixed = read.pinned(values).model_dump(mode="json", exclude_unset=True)
        return params.model_copy(update={"seeds": Choice(name=params.seeds.name, **fixed)})

    def __call__(self, params: EndpointParams, shard: int = 0, shards: int = 1) -> Read:
        """The documents of part `shard`, in the order of their seeds.

        Raises:
            KormoError: the endpoint is unreachable or refuses the key.
        """
        read, values = self._seeds(params)
        client = Client(
            params.url,
            params.cache,
            os.environ.get(params.key_variable, ""),
            params.timeout,
            params.retries,
            params.per_minute,
            params.backoff,
        )
        try:
            for seed, answer in _answers(client, params, read(values, shard, shards)):
                yield seed if isinstance(seed, Rejected) else _document(params, seed, answer)
        except Unreachable as error:
            raise KormoError(
                where=f"{WHERE}: url",
                found=in_words(error),
                why="the endpoint does not answer",
                do="start the server (`transformers serve`, vLLM, …), or correct url and key; answers are cached",
            ) from None


def _answers(client: Client, params: EndpointParams, seeds: Read) -> Iterator[tuple[Any, str | Reject]]:
    """Yields every seed with its answer, in order, with at most `concurrency` requests in flight."""
    waiting: deque[tuple[object, Future[str | Reject] | None]] = deque()
    pool = ThreadPoolExecutor(params.concurrency)
    try:
        for seed in seeds:
            future_answer = None if isinstance(seed, Rejected) else pool.submit(client.ask, _request(params, seed))
            waiting.append((seed, future_answer))
            if len(waiting) >= 2 * params.concurrency:
                first, future = waiting.popleft()
                yield first, future.result() if future else ""
        while waiting:
            first, future = waiting.popleft()
            yield first, future.result() if future else ""
    finally:
        pool.shutdown(cancel_futures=True)


def _request(params: EndpointParams, seed: Document) -> dict[str, object]:
    text = seed.text[: params.max_seed_characters]
    choice = int(identity([seed.id, params.seed])[:8], 16)
    return {
        "model": params.model,
        "messages": messages(params.style, text, choice),
        "temperature": params.temperature,
        "top_p": params.top_p,
        "max_tokens": params.max_tokens,
        "seed": params.seed,
    }


def _document(params: EndpointParams, seed: Document, answer: str | Reject) -> Document | Rejected:
    if isinstance(answer, Reject):
        return Rejected(seed, answer.reason, "generate")
    return Document(
        id=f"{params.style}-{seed.id}",
        text=answer,
        language=params.language,
        license=params.license,
        synthetic=True,
        generator=params.model,
        meta={"seed_id": seed.id, "style": params.style, "seed": seed.text[: params.max_seed_characters]},
    )


endpoint = Endpoint()
