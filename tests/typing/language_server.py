"""Asks a Python language server, basedpyright's, where names are defined."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any, Self
from urllib.parse import unquote, urlparse


class LanguageServer:
    """A language server of a workspace, over its standard input and output."""

    def __init__(self, root: Path) -> None:
        self._server = subprocess.Popen(
            [Path(sys.executable).with_name("basedpyright-langserver"), "--stdio"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        self._last = 0
        folder = {"uri": root.as_uri(), "name": root.name}
        self._request("initialize", processId=None, rootUri=root.as_uri(), capabilities={}, workspaceFolders=[folder])
        self._send(method="initialized", params={})

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._server.kill()
        self._server.communicate()

    def open(self, path: Path, text: str) -> None:
        """Opens a file, which need not be on the disk, as an editor does."""
        self._send(
            method="textDocument/didOpen",
            params={"textDocument": {"uri": path.as_uri(), "languageId": "python", "version": 1, "text": text}},
        )

    def definitions(self, path: Path, line: int, character: int) -> list[tuple[Path, int]]:
        """(file, line) of each definition of the name at a position; lines count from 0."""
        position = {"line": line, "character": character}
        found = self._request("textDocument/definition", textDocument={"uri": path.as_uri()}, position=position)
        return [(Path(unquote(urlparse(each["uri"]).path)), each["range"]["start"]["line"]) for each in found or []]

    def _request(self, method: str, **params: Any) -> Any:
        self._last += 1
        self._send(id=self._last, method=method, params=params)
        while True:
            message = self._receive()
            if message.get("id") == self._last and "method" not in message:
                assert "error" not in message, message
                return message["result"]
            if "id" in message:  # the server asks: it has no settings but those of the workspace's pyproject.toml
                items = message.get("params", {}).get("items", [])
                self._send(id=message["id"], result=[{} for _ in items])

    def _send(self, **message: Any) -> None:
        data = json.dumps({"jsonrpc": "2.0", **message}).encode()
        assert self._server.stdin
        self._server.stdin.write(b"Content-Length: %d\r\n\r\n%s" % (len(data), data))
        self._server.stdin.flush()

    def _receive(self) -> dict[str, Any]:
        assert self._server.stdout
        length = 0
        while line := self._server.stdout.readline().strip():
            if line.lower().startswith(b"content-length:"):
                length = int(line.split(b":")[1])
        assert length, "the language server has ended"
        return json.loads(self._server.stdout.read(length))
