"""A client of the YAML language server, over stdio: what an editor asks and is told."""

from __future__ import annotations

import json
import subprocess
import threading
from pathlib import Path
from queue import Empty, Queue
from types import TracebackType
from typing import Any

PATIENCE = 30
"""Seconds to wait for an answer before the server counts as stuck."""


class LanguageServer:
    """`with LanguageServer(command, folder) as server:`; the server reads schemas from disk alone."""

    def __init__(self, command: str, folder: Path) -> None:
        self.process = subprocess.Popen([command, "--stdio"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.DEVNULL)  # fmt: skip
        self.folder, self.number, self.files, self.inbox = folder, 0, 0, Queue[dict[str, Any]]()
        threading.Thread(target=self._read, daemon=True).start()

    def __enter__(self) -> LanguageServer:
        capabilities = {"workspace": {"configuration": True}, "textDocument": {"completion": {"completionItem": {}}}}
        self.ask("initialize", {"processId": None, "rootUri": self.folder.as_uri(), "capabilities": capabilities})
        self._send({"method": "initialized", "params": {}})
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.process.kill()
        self.process.wait()

    def fresh(self, kind: str) -> Path:
        """A path that was not used yet: the server remembers a file's answers."""
        self.files += 1
        return self.folder / kind / f"{self.files}.yml"

    def open(self, path: Path, text: str) -> list[str]:
        """Opens `text` as the file `path`; the messages that the editor would underline."""
        document = {"uri": path.as_uri(), "languageId": "yaml", "version": 1, "text": text}
        self._send({"method": "textDocument/didOpen", "params": {"textDocument": document}})
        while True:
            found = self._next()
            if found.get("method") == "textDocument/publishDiagnostics" and found["params"]["uri"] == path.as_uri():
                return [one["message"] for one in found["params"]["diagnostics"]]

    def complete(self, path: Path, text: str) -> dict[str, str]:
        """What is offered where `|` stands in the text: label -> documentation."""
        before, _, after = text.partition("|")
        self.open(path, before + after)
        place = {"line": before.count("\n"), "character": len(before.rpartition("\n")[2])}
        found = self.ask("textDocument/completion", {"textDocument": {"uri": path.as_uri()}, "position": place})
        return {item["label"]: str(item.get("documentation", "")) for item in found["items"]}

    def ask(self, method: str, params: dict[str, Any]) -> Any:
        """The result of a request."""
        self.number += 1
        self._send({"id": self.number, "method": method, "params": params})
        while (found := self._next()).get("id") != self.number or "method" in found:
            pass
        assert "error" not in found, found
        return found["result"]

    def _next(self) -> dict[str, Any]:
        """The next message; what the server asks is answered on the way."""
        try:
            found = self.inbox.get(timeout=PATIENCE)
        except Empty:
            raise AssertionError("the language server does not answer") from None
        if "id" in found and "method" in found:
            # its settings: validate and complete, and take no schema from the network
            settings = {"validate": True, "completion": True, "hover": True, "schemaStore": {"enable": False}}
            asked = found["params"].get("items", ()) if isinstance(found.get("params"), dict) else ()
            answer = [settings if item.get("section") == "yaml" else {} for item in asked]
            self._send({"id": found["id"], "result": answer if asked else None})
        return found

    def _send(self, message: dict[str, Any]) -> None:
        assert self.process.stdin is not None
        data = json.dumps({"jsonrpc": "2.0", **message}).encode()
        self.process.stdin.write(b"Content-Length: %d\r\n\r\n%s" % (len(data), data))
        self.process.stdin.flush()

    def _read(self) -> None:
        assert self.process.stdout is not None
        out = self.process.stdout
        while header := out.readline():
            length = int(header.split(b":")[1])
            out.readline()
            self.inbox.put(json.loads(out.read(length)))
