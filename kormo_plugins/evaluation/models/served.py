"""The harness's model with a server for generation: prompts go to an OpenAI-compatible endpoint, likelihoods stay here.

    kormo eval RUN --endpoint http://localhost:8000/v1

vLLM and `transformers serve` batch requests as they come, on all of a machine's cards. A prompt is sent as text
(`/completions`), the chat template having been applied here, so that what is asked is what the checkpoint is asked on
this machine. Multiple choice is scored by likelihood, for which servers differ in what they give; the checkpoint itself
does it.

Answers are kept by the hash of the weights, the prompt and the settings; a killed evaluation asks again only for the
rest.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from lm_eval.api.model import LM
from lm_eval.models.utils import normalize_gen_kwargs, postprocess_generated_text

from kormo_plugins.documents.document import Reject
from kormo_plugins.endpoint.client import TEXT, Answer, Client, Unreachable, in_order
from kormo_plugins.errors import KormoError
from kormo_plugins.evaluation.generation.speaker import unreachable
from kormo_plugins.evaluation.harness import AnswerSettings, Instance, LocalModel, Request
from kormo_plugins.evaluation.models.checkpoint import Checkpoint, tokenizer_of
from kormo_plugins.evaluation.plan import render

MAX_STOPS = 4
"""Stop words that the protocol takes; more are cut off here."""


@dataclass(frozen=True)
class Served:
    """An endpoint that serves the checkpoint.

    Args:
        model: its name there.
        concurrency: requests at the same time; the server makes batches of them.
    """

    client: Client
    model: str
    concurrency: int = 32


class ServedModel(LM):
    """A checkpoint that is asked through its server.

    Args:
        checkpoint: what is served.
        load: gives the harness's own model of it, for likelihoods.
    """

    max_gen_toks = 256

    def __init__(self, checkpoint: Checkpoint, served: Served, load: Callable[[], LocalModel]) -> None:
        super().__init__()
        self.checkpoint, self.served, self._load = checkpoint, served, load
        self.tokenizer = tokenizer_of(checkpoint.path)
        self._ended: dict[str, bool] = {}
        self._local: LocalModel | None = None
        self._chat = False

    @property
    def tokenizer_name(self) -> str:
        """For the harness's record."""
        return str(self.checkpoint.path)

    def speak(self, chat: bool) -> None:
        """Whether the next prompts come from the chat template."""
        self._chat = chat
        if self._local is not None:
            self._local.speak(chat)

    def apply_chat_template(self, chat_history: list[dict[str, str]], add_generation_prompt: bool = True) -> str:
        """A conversation through the chat template, thinking switched off."""
        return partial(render, self.tokenizer)(chat_history, add_generation_prompt)

    def loglikelihood(self, requests: Sequence[Instance], disable_tqdm: bool = False) -> object:
        """By the checkpoint on this machine."""
        if self._local is None:
            self._local = self._load()
            self._local.speak(self._chat)
        return self._local.loglikelihood(requests, disable_tqdm=disable_tqdm or not sys.stderr.isatty())

    def loglikelihood_rolling(self, requests: Sequence[Instance], disable_tqdm: bool = False) -> object:
        """By the checkpoint on this machine."""
        self._local = self._local or self._load()
        return self._local.loglikelihood_rolling(requests, disable_tqdm=True)

    def generate_until(self, requests: Sequence[Request], disable_tqdm: bool = False) -> list[str]:
        """The texts that follow the requests' prompts, in their order.

        Raises:
            KormoError: the endpoint gives nothing, or refused a request after all tries.
        """
        asked = [self._request(*request.args) for request in requests]
        draws: Counter[str] = Counter()
        for request, one in zip(requests, asked, strict=True):  # a prompt asked several times gets several draws
            one["seed"] = draws[request.args[0]]
            draws[request.args[0]] += 1
        try:
            complete = partial(self.served.client.complete, route=TEXT)
            answers = list(in_order(complete, asked, self.served.concurrency))
        except Unreachable as error:
            raise unreachable("kormo eval: --endpoint", error) from None
        return [self._text(request, answer) for request, answer in zip(requests, answers, strict=True)]

    def _request(self, prompt: str, settings: AnswerSettings) -> dict[str, object]:
        kwargs = normalize_gen_kwargs(settings, self.max_gen_toks)
        stops = [one for one in kwargs["until"] if one]
        sampled = bool(kwargs.get("do_sample"))
        stop = {"stop": stops[:MAX_STOPS]} if stops else {}
        return {
            "model": self.served.model,
            "prompt": prompt,
            "max_tokens": int(kwargs["max_gen_toks"]),
            "temperature": float(kwargs["temperature"]) if sampled else 0.0,
            "top_p": float(kwargs.get("top_p", 1.0)) if sampled else 1.0,
            "user": self.checkpoint.hash,
            **stop,
        }

    def _text(self, request: Request, answer: Answer | Reject) -> str:
        prompt, settings = request.args
        if isinstance(answer, Reject):
            raise KormoError(
                where="kormo eval: --endpoint",
                found=answer.reason,
                why="a question without an answer cannot be scored as if it had a wrong one",
                do="look at the server's log, then run the same command again: answers so far are kept",
            )
        self._ended[prompt] = answer.finish == "stop"
        return str(postprocess_generated_text(answer.text, list(settings.get("until") or ()), None))

    def ended(self, prompt: str, new: int) -> bool:
        """Whether the answer to a prompt ended by itself."""
        return self._ended[prompt]
