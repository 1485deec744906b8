"""A client of OpenAI-compatible endpoints with retries, a rate limit, and a cache.

An answer is cached in a file named by the hash of the whole request, so an interrupted run only repeats missing
requests, and the same recipe always gives the same documents.

`ask` requires a complete text (synthetic data); `complete` also accepts an empty or truncated answer (evaluation).
"""

from __future__ import annotations

import contextlib
import json
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar
from weakref import WeakValueDictionary

from kormo_plugins.documents.document import Reject
from kormo_plugins.errors import redact
from kormo_plugins.store.atomic import write_text
from kormo_plugins.store.fingerprint import identity

AGAIN = (408, 409, 425, 429, 500, 502, 503, 504)
"""HTTP statuses that are retried."""
LONGEST_WAIT = 60.0
"""Maximum seconds between two tries, whatever the server requests."""


CHAT = "chat/completions"
TEXT = "completions"
"""The two routes: a conversation as `messages`, and a text to continue as `prompt`."""

REDIRECTS = (301, 302, 303, 307, 308)
MAX_ANSWER = 16 << 20
"""Maximum bytes of an answer; a typical one has a few thousand."""


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Follows no redirects: urllib would send the key to any host."""

    def redirect_request(self, *args: object, **kwargs: object) -> None:
        """None: the redirect is raised as an HTTPError."""


_OPENER = urllib.request.build_opener(_NoRedirect)


class Unreachable(Exception):
    """The endpoint refuses connections or the key, or redirects; further requests would fail too."""


@dataclass(frozen=True)
class Answer:
    """An answer, and whether it ended (`stop`) or was truncated at the maximum length (`length`)."""

    text: str
    finish: str


HOPELESS = 4
"""Number of failed requests, without any answer, after which an endpoint counts as unreachable."""
T = TypeVar("T", str, Answer)


@dataclass
class Client:
    """Client of one endpoint; thread-safe.

    Args:
        url: base address, as in `http://localhost:8000/v1`.
        cache: folder of the answers.
        key: API key; never written to disk or logs.
        timeout: seconds for one request.
        retries: tries after the first.
        per_minute: requests per minute over all threads; None: no limit.
        backoff: seconds before the second try; doubled for each further one.
    """

    url: str
    cache: Path
    key: str = field(default="", repr=False)
    timeout: float = 120.0
    retries: int = 5
    per_minute: float | None = None
    backoff: float = 1.0
    _next: float = field(default=0.0, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)
    _asking: WeakValueDictionary[Path, threading.Lock] = field(default_factory=WeakValueDictionary, repr=False)
    _answered: bool = field(default=False, repr=False)
    _given_up: int = field(default=0, repr=False)

    def ask(self, request: dict[str, object]) -> str | Reject:
        """The text of a complete answer to a conversation, from the cache or the endpoint.

        Returns:
            the text, or the reason of the failure after all retries.
        Raises:
            Unreachable: the connection or the key is refused.
        """
        path = self._place(identity(request))
        with self._alone(path):
            cached = _kept(path)
            if cached is not None:
                return str(cached["text"])
            answer = self._try(request, CHAT, _text)
            if isinstance(answer, str):
                self._keep(path, {"request": request, "text": answer})
            return answer

    def complete(self, request: dict[str, object], route: str = CHAT) -> Answer | Reject:
        """An answer, which may be empty or truncated. Cache and errors as in `ask`."""
        path = self._place(identity([route, request]))
        with self._alone(path):
            cached = _kept(path)
            if cached is not None:
                return Answer(str(cached["text"]), str(cached["finish"]))
            answer = self._try(request, route, _completion)
            if isinstance(answer, Answer):
                self._keep(path, {"request": request, "text": answer.text, "finish": answer.finish})
            return answer

    def knows(self, request: dict[str, object], route: str = CHAT) -> bool:
        """Whether `complete` would answer from the cache."""
        return _kept(self._place(identity([route, request]))) is not None

    @contextlib.contextmanager
    def _alone(self, path: Path) -> Iterator[None]:
        """Serializes identical requests of several threads: a model may answer two of them differently, and the cache
        keeps only one."""
        with self._lock:
            lock = self._asking.setdefault(path, threading.Lock())
        with lock:
            yield

    def _place(self, key: str) -> Path:
        return self.cache / key[:2] / f"{key}.json"

    def _keep(self, path: Path, values: dict[str, object]) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text(path, json.dumps(values, ensure_ascii=False))

    def _try(self, request: dict[str, object], route: str, parse: Callable[[bytes], T]) -> T | Reject:
        reason, refused = "no answer", 0
        for attempt in range(self.retries + 1):
            self._wait_turn()
            wait = min(LONGEST_WAIT, self.backoff * 2**attempt)
            try:
                return parse(self._send(request, route))
            except urllib.error.HTTPError as error:
                reason = f"the endpoint answered {error.code}"
                if error.code in (401, 403):
                    raise Unreachable(reason) from None
                if error.code in REDIRECTS:
                    place = redact(str(error.headers.get("Location", "nowhere")))
                    raise Unreachable(f"{reason}: it sends to {place}, where neither key nor text is sent") from None
                if error.code not in AGAIN:
                    return Reject(reason)
                wait = _retry_after(error) or wait
            except (TimeoutError, urllib.error.URLError, OSError) as error:
                cause = getattr(error, "reason", error)
                reason = "the endpoint timed out" if isinstance(cause, TimeoutError) else "the connection broke"
                refused += isinstance(cause, ConnectionRefusedError)
                if refused > self.retries:
                    raise Unreachable(f"{redact(self.url)}: {cause}") from None
            except _Garbage as error:
                reason = str(error)
                if error.final:
                    return Reject(reason)
            if attempt < self.retries:
                time.sleep(wait)
        with self._lock:
            self._given_up += 1
            if not self._answered and self._given_up >= HOPELESS:
                raise Unreachable(f"{redact(self.url)}: {reason}, and no request has been answered yet")
        return Reject(reason)

    def _send(self, request: dict[str, object], route: str) -> bytes:
        headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {self.key}"} if self.key else {})
        url = f"{self.url.rstrip('/')}/{route}"
        http_request = urllib.request.Request(url, json.dumps(request).encode(), headers)
        with _OPENER.open(http_request, timeout=self.timeout) as answer:
            data: bytes = answer.read(MAX_ANSWER + 1)
        self._answered = True
        if len(data) > MAX_ANSWER:
            raise _Garbage(f"an answer of more than {MAX_ANSWER >> 20} MiB", final=True)
        return data

    def _wait_turn(self) -> None:
        if self.per_minute is None:
            return
        with self._lock:
            now = time.monotonic()
            turn = max(now, self._next)
            self._next = turn + 60.0 / self.per_minute
        time.sleep(max(0.0, turn - now))


class _Garbage(Exception):
    """An unusable answer; `final` if a retry would give the same."""

    def __init__(self, reason: str, final: bool = False) -> None:
        super().__init__(reason)
        self.final = final


def _kept(path: Path) -> dict[str, object] | None:
    """A cached answer; a damaged file is removed."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        return dict(values) if isinstance(values["text"], str) else None
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError):
        path.unlink()
        return None


def _completion(answer: bytes) -> Answer:
    try:
        choice = json.loads(answer)["choices"][0]
        text = choice["message"]["content"] if "message" in choice else choice["text"]
        finish = choice.get("finish_reason")
    except (ValueError, KeyError, IndexError, TypeError, AttributeError):
        raise _Garbage("garbage instead of an answer") from None
    if text is not None and not isinstance(text, str):
        raise _Garbage("garbage instead of an answer")
    return Answer(text or "", "length" if finish == "length" else "stop")


def _text(answer: bytes) -> str:
    completion = _completion(answer)
    if completion.finish == "length":
        raise _Garbage("the answer was cut at max_tokens", final=True)
    if not completion.text.strip():
        raise _Garbage("an empty answer")
    return completion.text.strip()


S = TypeVar("S")
R = TypeVar("R")


def in_order(ask: Callable[[S], R], questions: Iterable[S], concurrency: int) -> Iterator[R]:
    """Yields the answers in the order of the questions, with `concurrency` requests at a time.

    When one raises, the remaining requests are not sent.
    """
    pool = ThreadPoolExecutor(concurrency)
    try:
        yield from pool.map(ask, questions)
    finally:
        pool.shutdown(cancel_futures=True)


def _retry_after(error: urllib.error.HTTPError) -> float | None:
    try:
        return min(LONGEST_WAIT, max(0.0, float(error.headers.get("Retry-After", ""))))
    except ValueError:
        return None
