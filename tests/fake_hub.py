"""A model hub on the loopback interface: repositories, branches and commits in memory, as huggingface_hub asks.

It takes every file inside the commit itself (`uploadMode: regular`), so nothing needs large-file storage.
"""

from __future__ import annotations

import base64
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote

API = re.compile(r"^/api/(?P<kind>models|datasets)/(?P<repo>[^/]+/[^/]+)(?P<rest>/.*)?$")
FILE = re.compile(r"^/(?P<repo>[^/]+/[^/]+)/resolve/(?P<revision>[^/]+)/(?P<path>.+)$")
OID = "0" * 40


@dataclass
class Hub:
    """What the hub holds: repository -> revision -> path -> bytes, and every request in order."""

    url: str = ""
    repositories: dict[str, dict[str, dict[str, bytes]]] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)
    refuse: bool = False


class _Handler(BaseHTTPRequestHandler):
    hub: Hub

    def log_message(self, *args: Any) -> None:
        """Silent."""

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.hub.requests.append(f"POST {self.path}")
        if self.hub.refuse:
            return self._answer(403, {"error": "not allowed"})
        if self.path == "/api/repos/create":
            asked = json.loads(body)
            name = f"{asked.get('organization') or 'me'}/{asked['name']}"
            self.hub.repositories.setdefault(name, {"main": {}})
            return self._answer(200, {"url": f"{self.hub.url}/{name}"})
        if self.path == "/api/validate-yaml":
            return self._answer(200, {"errors": [], "warnings": []})
        match = API.match(unquote(self.path.split("?")[0]))
        assert match, self.path
        self._repository(self.hub.repositories[match["repo"]], match["rest"], body)

    def _repository(self, revisions: dict[str, dict[str, bytes]], rest: str, body: bytes) -> None:
        action, _, revision = rest.strip("/").partition("/")
        if action == "branch":
            status = 409 if revision in revisions else 200
            revisions.setdefault(revision, {})
            return self._answer(status, {"error": "exists"} if status == 409 else {})
        if action == "preupload":
            names = [entry["path"] for entry in json.loads(body)["files"]]
            regular = {"uploadMode": "regular", "shouldIgnore": False}
            return self._answer(200, {"files": [{"path": name, **regular} for name in names]})
        assert action == "commit", rest
        for line in body.splitlines():
            entry = json.loads(line)
            if entry["key"] == "file":
                value = entry["value"]
                revisions[revision][value["path"]] = base64.b64decode(value["content"])
        self._answer(200, {"success": True, "commitUrl": f"{self.hub.url}/commit/{OID}", "commitOid": OID})

    def do_HEAD(self) -> None:
        self._file(False)

    def do_GET(self) -> None:
        self.hub.requests.append(f"GET {self.path}")
        if self.path == "/api/whoami-v2":  # Axolotl asks when a recipe names a repository
            return self._answer(200, {"type": "user", "name": "me", "orgs": []})
        match = API.match(unquote(self.path.split("?")[0]))
        if match is None:
            return self._file(True)
        if match["repo"] not in self.hub.repositories:
            return self._answer(404, {"error": "no such repository"})
        revisions = self.hub.repositories[match["repo"]]
        rest = (match["rest"] or "").strip("/")
        if rest == "refs":
            branches = [{"name": name, "ref": f"refs/heads/{name}", "targetCommit": OID} for name in revisions]
            return self._answer(200, {"branches": branches, "tags": [], "converts": []})
        revision = rest.partition("/")[2] or "main"
        files = [{"rfilename": name} for name in revisions[revision]]
        self._answer(200, {"id": match["repo"], "sha": revision, "siblings": files, "private": False})

    def _file(self, whole: bool) -> None:
        match = FILE.match(unquote(self.path))
        content = match and self.hub.repositories[match["repo"]].get(match["revision"], {}).get(match["path"])
        if content is None:
            return self._answer(404, {"error": "no such file"})
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("ETag", f'"{hash(content)}"')
        self.send_header("X-Repo-Commit", match["revision"] if match else OID)
        self.end_headers()
        if whole:
            self.wfile.write(content)

    def _answer(self, status: int, value: Any) -> None:
        content = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


@contextmanager
def serving() -> Iterator[Hub]:
    """A hub that is served until the block ends."""
    hub = Hub()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"hub": hub}))
    hub.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
