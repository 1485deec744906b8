"""Synthesis against a server that misbehaves: every seed ends as one document or one named reject, and none is asked
twice for what was answered."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from kormo_plugins.corpus.step import Rejected
from kormo_plugins.corpus.synthesis.generate import EndpointParams, endpoint
from kormo_plugins.corpus.synthesis.prompts import FORMS, SYSTEM, messages
from kormo_plugins.endpoint.client import Client, Unreachable
from kormo_plugins.errors import KormoError

from .conftest import write_rows


class Server(ThreadingHTTPServer):
    """Answers by a plan: for each seed a list of faults that come before the answer."""

    daemon_threads = True
    plan: dict[str, list[str]]
    asked: Counter[str]
    open_now: int = 0
    most_open: int = 0
    elsewhere: str = ""


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_POST(self) -> None:
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        seed = request["messages"][-1]["content"].split("SEED ")[-1].split()[0]
        self.server.asked[seed] += 1
        self.server.open_now += 1
        self.server.most_open = max(self.server.most_open, self.server.open_now)
        faults = self.server.plan.get(seed, [])
        fault = faults.pop(0) if faults else ""
        time.sleep(0.6 if fault == "slow" else 0.005)
        self.server.open_now -= 1
        body: Any = {"choices": [{"message": {"content": f"{seed}에 대한 글이다."}, "finish_reason": "stop"}]}
        if fault == "empty":
            body["choices"][0]["message"]["content"] = " "
        if fault == "cut":
            body["choices"][0]["finish_reason"] = "length"
        data = b"<html>" if fault == "garbage" else json.dumps(body).encode()
        self.send_response(int(fault) if fault.isdigit() else 200)
        if fault == "429":
            self.send_header("Retry-After", "0.01")
        if fault.startswith("30"):
            self.send_header("Location", self.server.elsewhere)
        self.end_headers()
        with contextlib.suppress(OSError):  # the client may have given up
            self.wfile.write(data)

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server(("127.0.0.1", 0), Handler)
    made.plan, made.asked = {}, Counter()
    threading.Thread(target=made.serve_forever, daemon=True).start()
    yield made
    made.shutdown()


def params(server: Server, tmp_path: Path, seeds: int, **more: Any) -> EndpointParams:
    path = write_rows(tmp_path / "seeds.jsonl", [f"SEED s{i} about things" for i in range(seeds)])
    return EndpointParams.model_validate({
        "url": f"http://127.0.0.1:{server.server_address[1]}/v1", "model": "m", "style": "rewrite", "concurrency": 4,
        "seeds": {"name": "jsonl", "path": str(path)}, "cache": str(tmp_path / "cache"), "timeout": 0.3,
        "backoff": 0.01, "retries": 2, **more,
    })  # fmt: skip


def test_faults_are_retried_or_told_and_answers_never_asked_for_twice(server: Server, tmp_path: Path) -> None:
    server.plan = {
        "s1": ["429", "503"], "s2": ["garbage"], "s3": ["slow"], "s4": ["empty", "500"],
        "s5": ["400"], "s6": ["429"] * 9, "s7": ["slow"] * 9, "s8": ["garbage"] * 9, "s9": ["cut"],
    }  # fmt: skip
    asked = params(server, tmp_path, 20)
    items = list(endpoint(asked))
    written = [item for item in items if not isinstance(item, Rejected)]
    rejects = {item.document.id: item.reason for item in items if isinstance(item, Rejected)}
    assert rejects == {
        "d5": "the endpoint answered 400", "d6": "the endpoint answered 429", "d7": "the endpoint timed out",
        "d8": "garbage instead of an answer", "d9": "the answer was cut at max_tokens",
    }  # fmt: skip
    assert [d.meta["seed_id"] for d in written] == [f"d{i}" for i in range(20) if f"d{i}" not in rejects]
    assert all(
        d.synthetic and d.generator == "m" and d.text == f"s{d.meta['seed_id'][1:]}에 대한 글이다." for d in written
    )
    before = Counter(server.asked)
    server.plan = {}
    again = list(endpoint(asked))
    assert len(again) == 20 and not any(isinstance(item, Rejected) for item in again)
    assert {seed for seed, count in server.asked.items() if count > before[seed]} == {"s5", "s6", "s7", "s8", "s9"}


def test_a_damaged_answer_is_asked_for_again(server: Server, tmp_path: Path) -> None:
    asked = params(server, tmp_path, 3)
    first = [item.text for item in endpoint(asked)]
    for path in (tmp_path / "cache").rglob("*.json"):
        path.write_text("{")
    assert [item.text for item in endpoint(asked)] == first
    assert sum(server.asked.values()) == 6


def test_the_rate_and_the_number_of_open_requests_are_bounded(server: Server, tmp_path: Path) -> None:
    begin = time.monotonic()
    list(endpoint(params(server, tmp_path, 5, per_minute=1200)))
    assert time.monotonic() - begin >= 4 * 60 / 1200
    list(endpoint(params(server, tmp_path, 60)))
    assert server.most_open <= 4


def test_an_endpoint_that_serves_nobody_is_given_up(server: Server, tmp_path: Path) -> None:
    server.plan = {f"s{i}": ["500"] * 99 for i in range(20)}
    with pytest.raises(KormoError, match="answered 500, and no request has been answered yet"):
        list(endpoint(params(server, tmp_path, 20)))
    assert sum(server.asked.values()) < 30


def test_nobody_there(tmp_path: Path) -> None:
    client = Client("http://127.0.0.1:9", tmp_path, retries=1, backoff=0.001)
    with pytest.raises(Unreachable):
        client.ask({"model": "m"})


def test_a_refused_key_stops_at_once(server: Server, tmp_path: Path) -> None:
    server.plan = {f"s{i}": ["401"] * 3 for i in range(40)}
    with pytest.raises(KormoError, match="401"):
        list(endpoint(params(server, tmp_path, 40)))
    assert sum(server.asked.values()) <= 8


def test_inputs_see_the_request_and_not_the_pace(server: Server, tmp_path: Path) -> None:
    one = endpoint.inputs(params(server, tmp_path, 3))
    assert one == endpoint.inputs(params(server, tmp_path, 3, concurrency=9, url="http://elsewhere/v1"))
    assert one != endpoint.inputs(params(server, tmp_path, 3, temperature=0.1))
    assert one != endpoint.inputs(params(server, tmp_path, 4))


@pytest.mark.parametrize("style", SYSTEM)
def test_a_seed_with_braces_is_sent_as_it_is(style: Any) -> None:
    seed = "{0} {seed} {{x}} %s"
    for choice in range(len(FORMS[style])):
        assert seed in messages(style, seed, choice)[1]["content"]


@pytest.mark.parametrize("status", ["301", "302", "303", "307", "308"])
def test_a_key_is_sent_to_no_other_host(
    server: Server, tmp_path: Path, status: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """urllib follows redirects, and sends the `Authorization` header along."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-very-secret-key-of-mine")
    other = Server(("127.0.0.1", 0), Handler)
    other.plan, other.asked = {}, Counter()
    threading.Thread(target=other.serve_forever, daemon=True).start()
    server.elsewhere = f"http://user:password@127.0.0.1:{other.server_address[1]}/v1?token=abcdef"
    server.plan = {f"s{i}": [status] * 9 for i in range(3)}
    try:
        with pytest.raises(KormoError) as error:
            list(endpoint(params(server, tmp_path, 3)))
    finally:
        other.shutdown()
    assert not other.asked
    told = error.value.render()
    assert "where neither key nor text is sent" in told and "127.0.0.1" in told
    assert not any(secret in told for secret in ("sk-very", "password", "abcdef"))


def test_an_answer_without_end_is_no_answer(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from kormo_plugins.endpoint import client

    monkeypatch.setattr(client, "MAX_ANSWER", 10)
    asked = client.Client(f"http://127.0.0.1:{server.server_address[1]}/v1", tmp_path / "answers", retries=0)
    reject = asked.ask({"messages": [{"content": "SEED s1 x"}]})
    assert not isinstance(reject, str) and "an answer of more than" in reject.reason
    assert "sk-" not in repr(client.Client("http://x", tmp_path, key="sk-very-secret"))
