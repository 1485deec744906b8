"""The harness's model with generation by an OpenAI-compatible endpoint; likelihoods are computed locally.

    kormo eval RUN --endpoint http://localhost:8000/v1

vLLM and `transformers serve` batch requests on all GPUs of a machine. The chat template is applied here and the prompt
is sent as text (`/completions`), so that prompts are the same as for a local checkpoint. Multiple choice is scored by
likelihood with the local checkpoint, since servers return likelihoods in different forms.

Answers are cached by the hash of weights, prompt and settings, so an interrupted evaluation only repeats missing
requests.
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
"""Maximum stop words of the protocol; further ones are applied here."""


@dataclass(frozen=True)
class Served:
    """An endpoint that serves the checkpoint.

    Args:
        model: its name at the endpoint.
        concurrency: concurrent requests, which the server batches.
    """

    client: Client
    model: str
    concurrency: int = 32


class ServedModel(LM):
    """A checkpoint queried through its server.

    Args:
        checkpoint: the served checkpoint.
        load: returns the harness's model of it, for likelihoods.
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
        """The name of the tokenizer, for the harness's record."""
        return str(self.checkpoint.path)

    def speak(self, chat: bool) -> None:
        """Sets whether the next prompts are rendered with the chat template."""
        self._chat = chat
        if self._local is not None:
            self._local.speak(chat)

    def apply_chat_template(self, chat_history: list[dict[str, str]], add_generation_prompt: bool = True) -> str:
        """Renders a conversation with the chat template, with thinking disabled."""
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
        """Generated texts in the order of the requests.

        Raises:
            KormoError: the endpoint does not answer, or refused a request after all retries.
        """
        completions = [self._request(*request.args) for request in requests]
        draws: Counter[str] = Counter()
        for request, one in zip(requests, completions, strict=True):  # repeated prompts get independent samples
            one["seed"] = draws[request.args[0]]
            draws[request.args[0]] += 1
        try:
            complete = partial(self.served.client.complete, route=TEXT)
            answers = list(in_order(complete, completions, self.served.concurrency))
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
                why="a missing answer must not be scored as a wrong one",
                do="look at the server's log, then run the same command again: answers so far are kept",
            )
        self._ended[prompt] = answer.finish == "stop"
        return str(postprocess_generated_text(answer.text, list(settings.get("until") or ()), None))

    def ended(self, prompt: str, new: int) -> bool:
        """Whether the answer to a prompt ended with an end token."""
        return self._ended[prompt]
