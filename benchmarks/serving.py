"""`bertx serve` beside infinity-emb, and sentence-transformers (a classifier: transformers) behind Starlette.

    python benchmarks/serving.py [--clients 1 8 64] [--seconds 10] [--rounds 5] [--kinds embed classify] [--out FILE]
    python -m venv infinity && infinity/bin/pip install torch==2.13.0 "infinity-emb[server,torch]==0.0.78"
    python benchmarks/serving.py --infinity infinity/bin/infinity_emb

Closed loops: each client sends its next text as soon as it has the answer to the last, on one connection; texts are of
4 to 128 words. Rounds are interleaved: a round measures each server once. A server of the peers is what people write
first: a worker of a thread pool calls `encode` with the text of a request. "the library" is bertx without a server: the
same texts, in lists of as many as there are clients. A server that answers something else is not measured.
"""

from __future__ import annotations

import argparse
import asyncio
import http.client
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from cases import MINILM
from checkpoints import write_random

SENTENCE = "the dog walks to a green house in the old city where people read of rivers and trains that run at night"
PATHS = {"embed": "/embed", "classify": "/predict"}
LABELS = 4
TOLERANCE = 1e-3


class Protocol:
    """How a server is asked for one text, and what of its answer are the numbers."""

    def __init__(self, kind: str, is_infinity: bool):
        self.kind, self.is_infinity = kind, is_infinity
        self.path = {"embed": "/embeddings", "classify": "/classify"}[kind] if is_infinity else PATHS[kind]

    def body(self, text: str) -> bytes:
        """The request."""
        return json.dumps({"input": [text], "model": "m"} if self.is_infinity else {"inputs": text}).encode()

    def numbers(self, answer: bytes) -> list[float]:
        """An embedding, or the scores in the order of the labels."""
        found = json.loads(answer)
        found = found["data"][0] if self.is_infinity else found
        if self.kind == "embed":
            return found["embedding"] if self.is_infinity else found[0]
        while isinstance(found[0], list):
            found = found[0]
        return [one["score"] for one in sorted(found, key=lambda one: one["label"])]


def texts(number: int) -> list[str]:
    generator = random.Random(7)
    lengths = [min(128, max(4, round(generator.lognormvariate(3, 0.8)))) for _ in range(number)]
    return [" ".join(generator.choices(SENTENCE.split(), k=length)) for length in lengths]


# --- the servers ----------------------------------------------------------------------------------


def peer(kind: str, folder: str, port: int) -> None:
    """sentence-transformers, or transformers' classifier, behind Starlette."""
    import uvicorn
    from starlette.applications import Starlette
    from starlette.concurrency import run_in_threadpool
    from starlette.responses import JSONResponse
    from starlette.routing import Route

    if kind == "embed":
        from sentence_transformers import SentenceTransformer

        model = SentenceTransformer(folder, device="cpu")

        def answer(body):
            return model.encode([body["inputs"]], normalize_embeddings=True).tolist()
    else:
        from transformers import pipeline

        classify = pipeline("text-classification", folder, device="cpu", top_k=None)

        def answer(body):
            return classify(body["inputs"], truncation=True)

    async def handle(request):
        return JSONResponse(await run_in_threadpool(answer, await request.json()))

    async def health(request):
        return JSONResponse({})

    routes = [Route(PATHS[kind], handle, methods=["POST"]), Route("/health", health)]
    uvicorn.run(Starlette(routes=routes), host="127.0.0.1", port=port, log_level="error")


class Server:
    """A server in a process of its own."""

    def __init__(self, name: str, kind: str, folder: str, port: int, infinity: str | None):
        self.port, self.protocol = port, Protocol(kind, name == "infinity-emb")
        if name == "bertx serve":
            command = [sys.executable, "-m", "bertx", "serve", folder, "--backend", "torch", "--port", str(port)]
        elif name == "infinity-emb":
            command = [infinity, "v2", "--model-id", folder, "--served-model-name", "m", "--engine", "torch"]
            command += ["--device", "cpu", "--dtype", "float32", "--url-prefix", "", "--port", str(port)]
            command += ["--log-level", "error"]
        else:
            command = [sys.executable, __file__, "--peer", kind, folder, str(port)]
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - as long as the process
        environment = os.environ | {"HF_HUB_OFFLINE": "1", "DO_NOT_TRACK": "1", "INFINITY_ANONYMOUS_USAGE_STATS": "0"}
        self._process = subprocess.Popen(command, stderr=self._log, stdout=self._log, env=environment)

    def wait(self) -> None:
        """Until it answers."""
        end = time.monotonic() + 180
        while time.monotonic() < end:
            if self._process.poll() is not None:
                break
            try:
                connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
                connection.request("GET", "/health")
                if connection.getresponse().status == 200:
                    return
            except OSError:
                time.sleep(0.2)
        self._log.seek(0)
        raise SystemExit(f"a server did not start:\n{self._log.read().decode()[-2000:]}")

    def ask(self, text: str) -> list[float]:
        """The numbers that it gives of a text."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        headers = {"Content-Type": "application/json"}
        connection.request("POST", self.protocol.path, self.protocol.body(text), headers)
        return self.protocol.numbers(connection.getresponse().read())

    def stop(self) -> None:
        """Ends it."""
        self._process.terminate()
        self._process.wait(60)
        self._log.close()


# --- the clients ----------------------------------------------------------------------------------


async def loop(port: int, path: str, bodies: list[bytes], first: int, end: float, took: list[float]) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    number = first
    while (began := time.perf_counter()) < end:
        body = bodies[number % len(bodies)]
        number += 1
        head = (
            f"POST {path} HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        writer.write(head.encode() + body)
        lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
        if " 200 " not in lines.partition("\r\n")[0]:
            raise SystemExit(f"an answer was {lines.partition(chr(13))[0]}")
        length = int(lines.partition("content-length:")[2].partition("\r\n")[0])
        await reader.readexactly(length)
        took.append(time.perf_counter() - began)
    writer.close()


async def load(server: Server, clients: int, seconds: float) -> dict[str, float]:
    bodies = [server.protocol.body(text) for text in texts(997)]
    took: list[float] = []
    begin, asked = time.perf_counter(), (server.port, server.protocol.path, bodies)
    await asyncio.gather(*(loop(*asked, 31 * i, begin + seconds, took) for i in range(clients)))
    passed = time.perf_counter() - begin
    took.sort()
    quantiles = {f"p{q}": took[min(len(took) - 1, len(took) * q // 100)] for q in (50, 95, 99)}
    return {"per_second": len(took) / passed, **quantiles}


def library(folder: str, clients: int, seconds: float, kind: str) -> dict[str, float]:
    import bertx

    model, all_texts = bertx.load(folder, backend="torch"), texts(997)
    options = {"normalize": True} if kind == "embed" else {"top_k": None}
    model(all_texts[:clients], **options)
    done, begin = 0, time.perf_counter()
    while (now := time.perf_counter()) < begin + seconds:
        part = [all_texts[(done + i) % len(all_texts)] for i in range(clients)]
        model(part, **options)
        done += clients
    return {"per_second": done / (now - begin)}


# --- the table ------------------------------------------------------------------------------------


def folder_of(kind: str, where: Path) -> str:
    from bertx.hub.sources import resolve

    minilm = str(resolve(MINILM))
    if kind == "embed":
        return minilm
    import checkpoints

    checkpoints.ARCHITECTURES["serving"] = (
        "BertForSequenceClassification",
        {"hidden_size": 384, "num_hidden_layers": 6, "intermediate_size": 1536, "num_labels": LABELS},
    )
    write_random(where / "classifier", "serving", tiny=False)
    return str(where / "classifier")


def check(servers: dict[str, Server]) -> None:
    """Whether all give the same numbers."""
    for text in texts(20):
        expected, *others = (server.ask(text) for server in servers.values())
        for name, other in zip(list(servers)[1:], others, strict=True):
            worst = max(abs(a - b) for a, b in zip(expected, other, strict=True))
            if worst > TOLERANCE:
                raise SystemExit(f"{name} answers something else: {worst:.1e} from bertx")


def measure(
    kind: str, folder: str, clients: list[int], seconds: float, rounds: int, infinity: str | None
) -> list[dict]:
    names = ["bertx serve", "infinity-emb", "peer"] if infinity else ["bertx serve", "peer"]
    servers = {name: Server(name, kind, folder, 18080 + i, infinity) for i, name in enumerate(names)}
    found = []
    try:
        for server in servers.values():
            server.wait()
        check(servers)
        for server in servers.values():
            asyncio.run(load(server, max(clients), 2))
        for number in range(rounds):
            for count in clients:
                for name, server in servers.items():
                    result = asyncio.run(load(server, count, seconds))
                    found.append({"kind": kind, "server": name, "clients": count, "round": number, **result})
    finally:
        for server in servers.values():
            server.stop()
    for number in range(rounds):  # afterwards, since it has the cores to itself
        for count in clients:
            command = [sys.executable, __file__, "--library", kind, folder, str(count), str(seconds)]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            result = json.loads(done.stdout.splitlines()[-1])
            found.append({"kind": kind, "server": "the library", "clients": count, "round": number, **result})
    return found


def table(found: list[dict]) -> str:
    lines = [
        "| kind | clients | server | texts a second | p50 ms | p99 ms |",
        "| --- | ---: | --- | ---: | ---: | ---: |",
    ]
    for key in dict.fromkeys((one["kind"], one["clients"], one["server"]) for one in found):
        rounds = [one for one in found if (one["kind"], one["clients"], one["server"]) == key]
        rate = statistics.median(one["per_second"] for one in rounds)
        known = [q for q in ("p50", "p99") if q in rounds[0]]
        times = [f"{1000 * statistics.median(one[q] for one in rounds):.1f}" for q in known] or ["", ""]
        kind, clients, server = key
        lines.append(f"| {kind} | {clients} | {server} | {rate:.0f} | {times[0]} | {times[1]} |")
    return "\n".join(lines)


def ratios(found: list[dict]) -> str:
    """The throughput of bertx serve as a part of each other's: the median of the rounds, the least and the most."""
    lines = ["", "| kind | clients | throughput of | as | median | rounds |", "| --- | ---: | --- | --- | ---: | --- |"]
    rate = {(one["kind"], one["clients"], one["server"], one["round"]): one["per_second"] for one in found}
    for kind, clients in dict.fromkeys((one["kind"], one["clients"]) for one in found):
        for other in ("infinity-emb", "peer", "the library"):
            each = [
                per_second / rate[kind, clients, other, key[3]]
                for key, per_second in rate.items()
                if key[:3] == (kind, clients, "bertx serve") and (kind, clients, other, key[3]) in rate
            ]
            if each:
                spread = f"{min(each):.2f}–{max(each):.2f}"
                lines.append(
                    f"| {kind} | {clients} | bertx serve | {other} | {statistics.median(each):.2f} | {spread} |"
                )
    return "\n".join(lines)


def main() -> None:
    if sys.argv[1:2] == ["--peer"]:
        return peer(sys.argv[2], sys.argv[3], int(sys.argv[4]))
    if sys.argv[1:2] == ["--library"]:
        kind, folder, clients, seconds = sys.argv[2:6]
        return print(json.dumps(library(folder, int(clients), float(seconds), kind)))
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 8, 64])
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--kinds", nargs="+", choices=list(PATHS), default=list(PATHS))
    parser.add_argument("--infinity", help="the infinity_emb of an environment of its own")
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    found: list[dict] = []
    with tempfile.TemporaryDirectory() as where:
        for kind in given.kinds:
            folder = folder_of(kind, Path(where))
            found += measure(kind, folder, given.clients, given.seconds, given.rounds, given.infinity)
    print(table(found))
    print(ratios(found))
    if given.out:
        machine = {"cores": os.cpu_count(), "date": time.strftime("%Y-%m-%d")}
        given.out.write_text(json.dumps({"machine": machine, "results": found}, indent=1))


if __name__ == "__main__":
    main()
