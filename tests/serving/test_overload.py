"""Ten times as many requests as the server can answer: it refuses most, answers the rest in time, and recovers."""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from serving_support import client_of, serve

pytest_plugins = "serving_support"

# OVERLOAD_SECONDS=60 is the run of the issue.
SECONDS = float(os.environ.get("OVERLOAD_SECONDS", "8"))
LIMIT, TIMES = 16, 10
HEAVY = json.dumps({"inputs": ["the happy dog walks in the city " * 4] * 4}).encode()
ORDINARY = {"inputs": ["the happy dog walks", "a cat"]}


class Load:
    """Clients with a connection each, and what they were answered."""

    def __init__(self, port: int):
        self.port = port
        self.accepted: list[float] = []
        self.refused = 0
        self.retry_after: set[str] = set()
        self.others: list[str] = []

    def run(self, clients: int, seconds: float, per_second: float | None = None) -> float:
        """Requests of so many clients, as fast as they are answered or at a rate; accepted ones a second."""
        before, begin = len(self.accepted), time.perf_counter()
        pause = clients / per_second if per_second else 0.0
        asyncio.run(self._all(clients, begin + seconds, pause))
        return (len(self.accepted) - before) / (time.perf_counter() - begin)

    async def _all(self, clients: int, end: float, pause: float) -> None:
        await asyncio.gather(*(self._client(end, pause, pause * i / clients) for i in range(clients)))

    async def _client(self, end: float, pause: float, first: float) -> None:
        await asyncio.sleep(first)
        while (began := time.perf_counter()) < end:
            reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
            try:
                head = f"POST /embed HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: {len(HEAVY)}\r\n"
                writer.write(head.encode() + b"Content-Type: application/json\r\n\r\n" + HEAVY)
                answer = await reader.read()
            except OSError as error:
                self.others.append(repr(error))
                continue
            finally:
                writer.close()
                with suppress(OSError):
                    await writer.wait_closed()
            took = time.perf_counter() - began
            self._note(answer.partition(b"\r\n\r\n")[0].decode("latin-1").lower(), took)
            await asyncio.sleep(max(0.0, pause - took))

    def _note(self, head: str, took: float) -> None:
        status = head.split(" ")[1] if head else "nothing"
        if status == "200":
            self.accepted.append(took)
        elif status == "429":
            self.refused += 1
            self.retry_after.add(head.partition("retry-after:")[2].partition("\r\n")[0].strip())
        else:
            self.others.append(status)


def memory(pid: int, what: str) -> float:
    """MiB of a process: VmRSS, or VmHWM, the most it ever had."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(what)) / 1024


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads the memory of a process from /proc")
def test_ten_times_as_many_requests_as_it_can_answer(folder_of):
    with serve(folder_of("embedder"), "--max-concurrent-requests", LIMIT) as process:
        client = client_of(process)

        def ordinary():
            began = time.perf_counter()
            answer = client.post("/embed", ORDINARY)
            return time.perf_counter() - began, answer

        expected = np.array(ordinary()[1].json, np.float32)
        usual = statistics.median(ordinary()[0] for _ in range(20))
        calm = Load(client.port)
        capacity = calm.run(LIMIT, 2)
        assert not calm.refused and not calm.others, calm.others
        before = memory(process.pid, "VmRSS")

        load = Load(client.port)
        load.run(TIMES * LIMIT, SECONDS, TIMES * capacity)
        ended = time.perf_counter()
        while True:
            took, answer = ordinary()
            if answer.status == 200 and took < 2 * usual + 0.02:
                break
            assert time.perf_counter() - ended < 5, (answer, took, usual)
        recovered = time.perf_counter() - ended
        after, most = memory(process.pid, "VmRSS"), memory(process.pid, "VmHWM")
        p99 = sorted(load.accepted)[len(load.accepted) * 99 // 100]
        print(
            f"{SECONDS:g} s: {capacity:.0f} requests a second at most, {len(load.accepted)} accepted with "
            f"p99 {p99:.3f} s, {load.refused} refused; {before:.0f} MiB before, {most:.0f} at most, {after:.0f} after; "
            f"an ordinary request {usual * 1000:.1f} ms before, as fast again after {recovered:.3f} s"
        )
        assert not load.others, load.others[:5]
        assert np.abs(np.array(answer.json, np.float32) - expected).max() < 1e-6
        assert load.refused > len(load.accepted) > 0
        assert load.retry_after and all(one.isdecimal() and int(one) >= 1 for one in load.retry_after)
        # What it holds at once takes LIMIT / rate to answer, at the rate of these seconds: other tests run beside it.
        assert p99 < 4 * LIMIT * SECONDS / len(load.accepted) + 0.5
        assert most < before + 100
