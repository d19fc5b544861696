"""A hub on loopback that can be told to misbehave, and a process that loads from it."""

from __future__ import annotations

import contextlib
import hashlib
import http.server
import json
import os
import re
import socket
import subprocess
import sys
import threading
import urllib.parse
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

_LARGE = re.compile(r".*(\.safetensors|\.bin|\.h5|\.msgpack|\.npz|\.data-\d+-of-\d+)")


@dataclass
class Request:
    """What was asked for.

    Attributes:
        kind: "info" and "tree", the two listings; "head" and "get" of a file.
        name: the file; the revision of a listing.
        attempt: 1 where it was not asked before.
        start: of the range that is asked for, 0 without one.
    """

    kind: str
    name: str
    attempt: int
    start: int


@dataclass
class Answer:
    """What the hub says; the length is that of the content unless `headers` have one, or None for no such header.

    Attributes:
        status: 0 for an answer that never begins.
        ranges: whether a range is cut out of the content where one is asked for.
        cut: the connection is closed after so many bytes.
        stall: nothing more comes, but the connection stays open until `Repo.released`.
    """

    status: int = 200
    content: bytes = b""
    headers: dict[str, str | None] = field(default_factory=dict)
    ranges: bool = True
    cut: int | None = None
    stall: bool = False


class Repo:
    """A model on the hub: commits, branches and tags; `meddle` may change an answer before it is sent.

    With `moved_to` it has another name now, to which the hub sends on who asks for the old one.
    """

    def __init__(self, hub_id: str, files: dict[str, bytes]):
        self.hub_id = hub_id
        self.commits: dict[str, dict[str, bytes]] = {}
        self.refs: dict[str, str] = {}
        self.requests: list[Request] = []
        self.moved_to: str | None = None
        self.meddle: Callable[[Request, Answer], Answer | None] = lambda request, answer: None
        self.stalled, self.released = threading.Event(), threading.Event()
        self.head = self.commit(files)

    def commit(self, files: dict[str, bytes], ref: str = "main") -> str:
        """The hash of a new commit of these files, which a branch or tag then means."""
        commit = hashlib.sha1(f"{self.hub_id} {len(self.commits)}".encode()).hexdigest()
        self.commits[commit] = dict(files)
        self.refs[ref] = commit
        return commit

    @property
    def fetched(self) -> list[str]:
        """The files whose content was sent, in the order of their names, as often as it was."""
        return sorted(request.name for request in self.requests if request.kind == "get")

    def answer(self, kind: str, revision: str, name: str, details: bool) -> Answer:
        """What a hub that is well says."""
        commit = self.refs.get(revision, revision)
        if commit not in self.commits:
            return Answer(404, b'{"error": "Revision not found"}', {"X-Error-Code": "RevisionNotFound"})
        files = self.commits[commit]
        if kind == "info":
            siblings = [{"rfilename": file} | (_sibling(file, files[file]) if details else {}) for file in files]
            return Answer(200, json.dumps({"id": self.hub_id, "sha": commit, "siblings": siblings}).encode())
        if kind == "tree":
            return Answer(200, json.dumps([_tree_entry(file, content) for file, content in files.items()]).encode())
        if name not in files:
            return Answer(404, b"", {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": commit})
        return Answer(200, files[name], {"X-Repo-Commit": commit, "ETag": f'"{_etag(name, files[name])}"'})


def _is_large(name: str) -> bool:
    return _LARGE.fullmatch(name) is not None


def _git_hash(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def _etag(name: str, content: bytes) -> str:
    return hashlib.sha256(content).hexdigest() if _is_large(name) else _git_hash(content)


def _sibling(name: str, content: bytes) -> dict:
    """What the hub declares of a file; the large ones lie in LFS, under their SHA-256."""
    declared = {"size": len(content), "blobId": _git_hash(content)}
    if _is_large(name):
        declared["lfs"] = {"sha256": _etag(name, content), "size": len(content), "pointerSize": 134}
    return declared


def _tree_entry(name: str, content: bytes) -> dict:
    entry = {"type": "file", "path": name, "size": len(content), "oid": _git_hash(content)}
    if _is_large(name):
        entry["lfs"] = {"oid": _etag(name, content), "size": len(content), "pointerSize": 134}
    return entry


class FakeHub(http.server.BaseHTTPRequestHandler):
    """The routes that a download takes; large files come from another host name, as from the hub's CDN."""

    def log_message(self, *args):
        pass

    def do_HEAD(self):
        self.do_GET()

    def do_GET(self):
        path, _, query = self.path.partition("?")
        listing = re.fullmatch(r"/api/models/([^/]+/[^/]+)(?:/(revision|tree)/([^/]+))?/?", path)
        file = re.fullmatch(r"(/cdn)?/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path)
        repo = self.server.repos.get(listing[1] if listing else file[2] if file else "")
        if repo is None:
            return self.send(Answer(404, b'{"error": "Repository not found"}', {"X-Error-Code": "RepoNotFound"}))
        if repo.moved_to:
            to = self.path.replace(repo.hub_id, repo.moved_to, 1)
            return self.send(Answer(307, b"Moved", {"Location": to}))
        if listing:
            kind = "tree" if listing[2] == "tree" else "info"
            revision = name = urllib.parse.unquote(listing[3] or "main")
        else:
            kind = "head" if self.command == "HEAD" else "get"
            revision, name = urllib.parse.unquote(file[3]), urllib.parse.unquote(file[4])
        answer = repo.answer(kind, revision, name, "blobs" in query)
        if file and not file[1] and answer.status == 200 and _is_large(name):
            # Where it is, under the headers that say what it is.
            linked = {"X-Linked-ETag": answer.headers["ETag"], "X-Linked-Size": str(len(answer.content))}
            to = f"http://localhost:{self.server.server_port}/cdn{self.path}"
            answer = Answer(302, b"Found", {**answer.headers, **linked, "ETag": '"redirect"', "Location": to})
            if kind == "get":
                return self.send(answer)  # what counts is where it leads
        return self.send(self.change(repo, kind, name, answer), repo)

    def change(self, repo: Repo, kind: str, name: str, answer: Answer) -> Answer:
        asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        with self.server.lock:
            attempt = 1 + sum(before.kind == kind and before.name == name for before in repo.requests)
            request = Request(kind, name, attempt, int(asked[1]) if asked else 0)
            repo.requests.append(request)
        answer = repo.meddle(request, answer) or answer
        if asked and answer.ranges and answer.status == 200:
            part, whole = answer.content[request.start :], len(answer.content)
            place = {"Content-Range": f"bytes {request.start}-{whole - 1}/{whole}"}
            return Answer(206, part, {**answer.headers, **place}, True, answer.cut, answer.stall)
        return answer

    def send(self, answer: Answer, repo: Repo | None = None) -> None:
        if answer.status:
            self.send_response(answer.status)
            for name, value in {"Content-Length": str(len(answer.content)), **answer.headers}.items():
                if value is not None:
                    self.send_header(name, value)
            self.end_headers()
        if self.command != "HEAD":
            with contextlib.suppress(ConnectionError):
                self.wfile.write(answer.content[: answer.cut])
        if answer.stall:
            repo.stalled.set()
            repo.released.wait(60)


class Server(http.server.ThreadingHTTPServer):
    """A hub of repos."""

    daemon_threads = True
    block_on_close = False

    def __init__(self):
        super().__init__(("127.0.0.1", 0), FakeHub)
        self.repos: dict[str, Repo] = {}
        self.lock = threading.Lock()

    @property
    def address(self) -> str:
        """The endpoint, for HF_ENDPOINT."""
        return f"http://127.0.0.1:{self.server_port}"

    def add(self, files: dict[str, bytes]) -> Repo:
        """A new repo of its own name."""
        repo = Repo(f"someone/tiny-bert-{len(self.repos)}", files)
        self.repos[repo.hub_id] = repo
        return repo

    def handle_error(self, request, client_address):
        """Says nothing: a client that goes away in the middle is what some tests are about."""


@contextlib.contextmanager
def serving() -> Iterator[Server]:
    """A hub that answers while the block runs."""
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield server
        finally:
            for repo in server.repos.values():
                repo.released.set()
            server.shutdown()
            thread.join()


def unreachable() -> str:
    """An endpoint where nobody answers."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        return f"http://127.0.0.1:{free.getsockname()[1]}"


# What a file's mode forbids is then forbidden to root as well: CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH are dropped.
_OBEY_MODES = """
import ctypes, os, sys
for capability in (1, 2):
    ctypes.CDLL(None).prctl(24, capability, 0, 0, 0)
os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
"""


def python(*arguments: object, obeys_modes: bool = True) -> list[str]:
    """The command of a Python process, in which root may do no more than other users if it `obeys_modes`."""
    return [sys.executable, *(["-c", _OBEY_MODES] if obeys_modes else []), *map(str, arguments)]


# huggingface_hub waits before it tries again, and takes ten megabytes at a time.
_WORKER = """
import json, sys, time
import huggingface_hub.constants
time.sleep = lambda seconds: None
huggingface_hub.constants.DOWNLOAD_CHUNK_SIZE = 4096
import numpy as np
import bertx, bertx.hub.sources
from bertx.configs.bert import BertConfig

def load(source, revision):
    model = bertx.load(source, backend="numpy", revision=revision)
    outputs = model.forward(np.arange(8).reshape(2, 4))
    return [str(model.load_report.source), sum(float(np.abs(value).sum()) for value in outputs.values())]

def resolve(source, revision):
    return [str(bertx.hub.sources.resolve(source, revision)), 0]

def tokenizer(source, revision):
    return ["tokenizer", len(bertx.BertTokenizer.from_pretrained(source, revision=revision))]

def config(source, revision):
    return ["config", BertConfig.from_pretrained(source, revision=revision).hidden_size]

for line in sys.stdin:
    what, source, revision = json.loads(line)
    try:
        answer = globals()[what](source, revision)
    except Exception as error:
        answer = [type(error).__name__, str(error)]
    print(json.dumps(answer), flush=True)
"""


class Elsewhere:
    """A process of its own that loads: huggingface_hub reads its settings when it is imported."""

    def __init__(self, home: Path, endpoint: str, obeys_modes: bool = False, **environment: str):
        settings = {
            "HF_HOME": str(home),
            "HF_ENDPOINT": endpoint,
            "HF_HUB_DISABLE_XET": "1",
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "HF_HUB_ETAG_TIMEOUT": "2",
            "HF_HUB_DOWNLOAD_TIMEOUT": "2",
            "NO_PROXY": "*",
            "no_proxy": "*",
        }
        kept = {key: value for key, value in os.environ.items() if not re.match("HF_|.*proxy", key, re.IGNORECASE)}
        home.mkdir(exist_ok=True)
        self.home, self.stderr = home, home / "stderr.txt"
        with open(self.stderr, "a") as stderr:
            self.process = subprocess.Popen(
                python("-c", _WORKER, obeys_modes=obeys_modes),
                env=kept | settings | environment,
                cwd=home,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
                text=True,
            )

    def __enter__(self) -> Elsewhere:
        return self

    def __exit__(self, *raised) -> None:
        self.kill()

    def kill(self) -> None:
        """SIGKILL: no handler runs, nothing is tidied up."""
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            with contextlib.suppress(OSError):
                pipe.close()

    def finish(self) -> str:
        """What came on stdout and was not asked for, once the process has ended by itself."""
        return self.process.communicate(timeout=60)[0]

    @property
    def alive(self) -> bool:
        """Whether it can be asked."""
        return self.process.poll() is None

    def start(self, what: str, source: str, revision: str | None = None) -> None:
        """Asks without waiting for the answer."""
        self.process.stdin.write(json.dumps([what, source, revision]) + "\n")
        self.process.stdin.flush()

    def answer(self, seconds: float = 60) -> list:
        """What it says, the only line that may come on stdout; a process that says nothing in time is killed."""
        with contextlib.closing(_Timer(seconds, self.process.kill)):
            line = self.process.stdout.readline()
        assert line, f"no answer in {seconds} s:\n{self.stderr.read_text()[-2000:]}"
        return json.loads(line)

    def ask(self, what: str, source: str, revision: str | None = None, seconds: float = 60) -> list:
        """The answer to a question."""
        self.start(what, source, revision)
        return self.answer(seconds)

    def load(self, source: str, revision: str | None = None, seconds: float = 60) -> list:
        """[the folder, Σ|output|] of bertx.load, or [the name of the exception, its message]."""
        return self.ask("load", source, revision, seconds)

    def cached(self, repo: Repo) -> dict[str, bytes]:
        """The files of a repo's snapshots in the cache, by path under snapshots/."""
        snapshots = self.folder(repo) / "snapshots"
        files = [path for path in snapshots.rglob("*") if path.is_file()]
        return {str(path.relative_to(snapshots)): path.read_bytes() for path in files}

    def folder(self, repo: Repo) -> Path:
        """Where the cache keeps a repo."""
        return self.home / "hub" / f"models--{repo.hub_id.replace('/', '--')}"


class _Timer(threading.Timer):
    def __init__(self, seconds: float, action: Callable[[], None]):
        super().__init__(seconds, action)
        self.start()

    close = threading.Timer.cancel


def folder_files(folder: Path) -> dict[str, bytes]:
    """The files of a folder, by their path in it."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}
