"""A judge on this machine that is known: it counts a secret word, or has a bias that was planted."""

from __future__ import annotations

import json
import re
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from kormo_plugins.evaluation.judged.probes import probes

PLANTED = probes()
GOOD = "탁월"
"""The word that the judge likes."""


class FakeJudge(ThreadingHTTPServer):
    """Args are attributes: `bias` is `none`, `first`, `longer`, `random`; `break_after` requests it answers 500."""

    daemon_threads = True
    bias = "none"
    style = "mt_bench"
    garbage_every = 0
    break_after = 0
    asked: list[dict[str, Any]]
    keys: Counter[str]


def last_answers(prompt: str) -> list[str]:
    """The answers that are to be judged: the last of each conversation."""
    found = []
    for block in re.findall(r"<conversation(?:_[AB])?>(.*?)</conversation(?:_[AB])?>", prompt, flags=re.S):
        found.append(re.split(r"\[(?:Assistant|도우미)\]\n", block)[-1].strip())
    return found


def quality(answer: str) -> float:
    """Of an answer of the planted kinds: whole sentences in their order, and the word that is liked."""
    if answer.startswith("("):
        return 0.0
    return 1.0 + answer.count(GOOD) + (answer.rstrip().endswith((".", "다.", "요."))) * 0.5


class _Handler(BaseHTTPRequestHandler):
    server: FakeJudge

    def do_POST(self) -> None:
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.asked.append(request)
        self.server.keys[self.headers.get("Authorization", "")] += 1
        broken = self.server.break_after and len(self.server.asked) > self.server.break_after
        body = json.dumps({"choices": [{"message": {"content": self._verdict(request)}, "finish_reason": "stop"}]})
        self.send_response(401 if broken else 200)
        self.end_headers()
        self.wfile.write(body.encode())

    def _verdict(self, request: dict[str, Any]) -> str:
        prompt = request["messages"][-1]["content"]
        answers = last_answers(prompt)
        if self.server.garbage_every and len(self.server.asked) % self.server.garbage_every == 0:
            return "I cannot decide."
        if len(answers) == 1:
            score = min(10, 1 + int(3 * quality(answers[0])) + request["seed"] % 2)
            return f"평가: 그렇다.\n점수: {score}" if self.server.style == "logickor" else f"So. [[{score}]]"
        first, second = answers
        if self.server.bias == "first":
            return "[[A]]"
        if self.server.bias == "longer":
            return "[[C]]" if len(first) == len(second) else f"[[{'A' if len(first) > len(second) else 'B'}]]"
        one, two = self._knows(first, prompt), self._knows(second, prompt)
        return "[[C]]" if one == two else f"[[{'A' if one > two else 'B'}]]"

    @staticmethod
    def _knows(answer: str, prompt: str) -> float:
        """An honest judge of planted answers: it has the good ones by heart, and sees filler as no better."""
        good = (one.better for one in PLANTED if one.question.turns[0] in prompt and answer.startswith(one.better))
        return 9.0 if next(good, "") else quality(answer)

    def log_message(self, *args: object) -> None:
        pass


@contextmanager
def fake_judge(**settings: Any) -> Iterator[FakeJudge]:
    """A judge that listens; its address is `url`."""
    server = FakeJudge(("127.0.0.1", 0), _Handler)
    server.asked, server.keys = [], Counter()
    for name, value in settings.items():
        setattr(server, name, value)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()


def url(server: FakeJudge) -> str:
    return f"http://127.0.0.1:{server.server_address[1]}/v1"
