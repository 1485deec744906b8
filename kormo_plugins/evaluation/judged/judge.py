"""Opens the judge of a suite, so that errors show before the first answer is generated."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

from kormo_plugins.endpoint.client import Client
from kormo_plugins.errors import KormoError, in_words, redact
from kormo_plugins.evaluation.generation.batches import Sampling
from kormo_plugins.evaluation.generation.speaker import LocalSpeaker, ServedSpeaker
from kormo_plugins.evaluation.harness import LocalModel
from kormo_plugins.evaluation.judged.suite import JudgedSuite, JudgeSettings
from kormo_plugins.evaluation.judged.verdicts import Judge
from kormo_plugins.evaluation.models.checkpoint import Checkpoint, open_checkpoint
from kormo_plugins.plugins.registry import Registry

LOOPBACK = ("localhost", "127.0.0.1", "::1")
PATIENCE = 5.0
"""Seconds to wait for an address to accept a connection."""


def open_judge(suite: JudgedSuite, registry: Registry, load: Callable[[Checkpoint], LocalModel]) -> Judge | None:
    """The judge; None: the suite names none and `--judge none` was given.

    Args:
        load: returns the harness's model of a checkpoint.
    Raises:
        KormoError: no model name for the endpoint, no key for a remote endpoint, connection refused, or a checkpoint
            that is not a chat model.
    """
    settings = suite.judge
    if settings.url is not None:
        if not settings.model:
            raise KormoError(
                where="kormo eval: --judge-model",
                found="none",
                why=f"an endpoint may serve several models; which one of {redact(settings.url)} is the judge?",
                do="name the model as the endpoint does, with --judge-model or in the suite (judge.model)",
            )
        client = open_client(settings.url, settings.key_variable, suite.cache / "verdicts", settings, "--judge")
        return ServedSpeaker(client, settings.model, settings.concurrency)
    if settings.checkpoint is None:
        return None
    model = open_checkpoint(settings.checkpoint, registry)
    if not model.chat:
        raise KormoError(
            where=f"kormo eval: --judge {settings.checkpoint}",
            found="a base model",
            why="it has no chat template with an end token of its turns, and a verdict is the answer to a conversation",
            do="name a chat model",
        )
    return LocalSpeaker(model, suite.cache / "verdicts", lambda: load(model))


def open_client(url: str, key_variable: str | None, cache: Path, settings: JudgeSettings, option: str) -> Client:
    """A client of an endpoint, after a test connection.

    Args:
        key_variable: environment variable of the key; must be set for an endpoint on another machine.
        option: command line option, for error messages.
    Raises:
        KormoError: no key, or connection refused.
    """
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
    key = os.environ.get(key_variable, "") if key_variable else ""
    if key_variable and not key and host not in LOOPBACK:
        raise KormoError(
            where=f"kormo eval: {option} {redact(url)}",
            found=f"no environment variable {key_variable}",
            why="an endpoint on another machine needs a key",
            do=f"set {key_variable}, name another variable (judge.key_variable in a suite file), or null for no key",
        )
    try:
        socket.create_connection((host, port), PATIENCE).close()
    except OSError as error:
        raise KormoError(
            where=f"kormo eval: {option} {redact(url)}",
            found=in_words(error),
            why="it does not accept connections",
            do="start the server (vLLM, `transformers serve`, …), or correct the address; answers so far are kept",
        ) from None
    return Client(url, cache, key, settings.timeout, settings.retries, settings.per_minute, settings.backoff)


def judge_sampling(suite: JudgedSuite) -> Callable[[int], Sampling]:
    """The judge's sampling settings per repetition; the number of the repetition is the seed."""
    return lambda repeat: Sampling(suite.judge.max_tokens, suite.judge.temperature, 1.0, repeat)


def repeats(suite: JudgedSuite, judge: Judge | None) -> int:
    """Number of verdicts per answer: one if the judge is deterministic."""
    same = isinstance(judge, LocalSpeaker) and suite.judge.temperature == 0
    return 1 if same else suite.repeats
