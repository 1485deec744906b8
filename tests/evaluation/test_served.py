"""A server for generation: the same prompts, cut at the same stop words, each asked once."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from kormo_plugins.endpoint.client import Client
from kormo_plugins.errors import KormoError
from kormo_plugins.evaluation.models.served import Served, ServedModel


class Server(ThreadingHTTPServer):
    daemon_threads = True
    asked: list[tuple[str, dict[str, Any]]]
    status = 200


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_POST(self) -> None:
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.asked.append((self.path, request))
        text = f" {len(request['prompt'])} {request['seed']}\n그리고 끝"
        finish = "length" if request["max_tokens"] < 20 else "stop"
        self.send_response(self.server.status)
        self.end_headers()
        self.wfile.write(json.dumps({"choices": [{"text": text, "finish_reason": finish}]}).encode())

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server(("127.0.0.1", 0), Handler)
    made.asked = []
    threading.Thread(target=made.serve_forever, daemon=True).start()
    yield made
    made.shutdown()


def model(server: Server, opened: Any, tmp_path: Path, **more: Any) -> ServedModel:
    client = Client(f"http://127.0.0.1:{server.server_address[1]}/v1", tmp_path / "answers", retries=0, **more)

    def load() -> Any:
        raise AssertionError("no weights are needed for generation")

    return ServedModel(opened, Served(client, "m", 4), load)


def requests(kwargs: dict[str, Any], prompts: list[str]) -> list[Any]:
    from lm_eval.api.instance import Instance

    return [Instance("generate_until", {}, (prompt, kwargs), n) for n, prompt in enumerate(prompts)]


def test_prompts_go_as_text_and_answers_are_kept(server: Server, opened: Any, tmp_path: Path) -> None:
    asked = requests({"until": ["\n"], "max_gen_toks": 64}, ["하나", "둘째", "하나", "긴 물음"])
    texts = model(server, opened, tmp_path).generate_until(asked)
    assert texts == [" 2 0", " 2 0", " 2 1", " 4 0"]
    assert {path for path, _ in server.asked} == {"/v1/completions"}
    assert all(one["stop"] == ["\n"] and one["temperature"] == 0.0 for _, one in server.asked)
    again = model(server, opened, tmp_path)
    assert again.generate_until(asked) == texts and len(server.asked) == 4
    assert again.ended("하나", 64)
    cut = model(server, opened, tmp_path)
    cut.generate_until(requests({"until": [], "max_gen_toks": 9, "do_sample": True, "temperature": 0.6}, ["하나"]))
    assert not cut.ended("하나", 9) and server.asked[-1][1]["temperature"] == 0.6


def test_a_server_that_refuses_is_one_message(server: Server, opened: Any, tmp_path: Path) -> None:
    asked = requests({"until": []}, ["하나"])
    server.status = 400
    with pytest.raises(KormoError, match="a missing answer"):
        model(server, opened, tmp_path).generate_until(asked)
    server.status = 401
    with pytest.raises(KormoError, match="the endpoint does not answer"):
        model(server, opened, tmp_path).generate_until(asked)


def test_a_task_is_scored_through_a_server(server: Server, opened: Any, registry: Any, tmp_path: Path) -> None:
    from kormo_plugins.evaluation import run
    from kormo_plugins.evaluation.record import Record

    record = Record(tmp_path / "out", opened)
    lines = run.find_lines((), ["mini_instruct_ko"], 5, registry)
    rows = run.evaluate(lines, opened, record, registry, load=lambda: model(server, opened, tmp_path), say=print)
    assert rows[0]["n"] == 5 and len(server.asked) == 5
