"""Times bertx beside other libraries on this machine's processor.

    python benchmarks/run.py                         # every case
    python benchmarks/run.py dense short --rounds 9
    python benchmarks/run.py --quick                 # tiny sizes: shows that it works, and nothing of speed

Every contender loads the same weights in a process of its own and computes alone, with all cores: in a round each has
its turn, A B C A B C …, so that a machine whose speed drifts does so for all; three processes of each share the rounds,
since the memory of one may lie well or badly for 8 % of its time. One whose first output is not that of
the others, within 1e-3 (what is rounded: 0.5), is not timed. Prints tables, and writes results.json and ratios.png.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import fcntl
import json
import os
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from cases import BERTX, CASES, CONTENDERS, PRODUCTS, Case
from report import plot, print_tables, summary

HERE = Path(__file__).resolve().parent
BUILD = HERE.parent / "build" / "benchmarks"
LOGS = BUILD / "logs" / str(os.getpid())
PEER_PYTHON = HERE.parent / ".venv-transformers4" / "bin" / "python"
PAUSE = 0.3  # seconds before a turn: the threads of the last one go on spinning for up to 0.2


class ContenderError(Exception):
    """A contender that could not start or stopped: the end of what it wrote."""


class Worker:
    """The process of one contender."""

    def __init__(self, name: str, case: Case, folder: Path, least_seconds: float):
        """Starts it, and waits until it has computed once."""
        contender = CONTENDERS[name]
        stem = LOGS / name.replace(" ", "-").replace(",", "")
        stem.parent.mkdir(parents=True, exist_ok=True)
        self.log, self.output = stem.with_suffix(".log"), stem.with_suffix(".npy")
        job = {name: getattr(contender, name) for name in ("library", "variant", "imports")}
        job |= {name: getattr(case, name) for name in ("kind", "head", "rows", "length", "timed", "beams")}
        job |= {"folder": str(folder / contender.format), "output": str(self.output), "least_seconds": least_seconds}
        job["reads"] = "last_hidden_state" if case.head == "BertModel" else "logits"
        python = PEER_PYTHON if contender.peer else sys.executable
        if not Path(python).exists():
            raise ContenderError(f"{python} is not there: `make bench` installs it")
        start = time.perf_counter()
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [python, HERE / "worker.py", json.dumps(job)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env=environment() | contender.environment,
            )
        self.first = self._answer()
        self.started = time.perf_counter() - start

    def ask(self, word: str) -> dict:
        """Says a word to the process; gives its answer."""
        with contextlib.suppress(BrokenPipeError):  # then there is no answer either
            print(word, file=self.process.stdin, flush=True)
        return self._answer()

    def _answer(self) -> dict:
        line = self.process.stdout.readline()
        if not line:
            self.stop()
            raise ContenderError(self.log.read_text()[-2000:].strip() or f"exit code {self.process.returncode}")
        return json.loads(line)

    def stop(self) -> None:
        """Ends the process, and waits for that."""
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()


def environment() -> dict[str, str]:
    """All cores for everyone, no accelerator, nothing from the hub."""
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "RAYON_NUM_THREADS")
    names += ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS")
    quiet = {"TF_CPP_MIN_LOG_LEVEL": "3", "HF_HUB_OFFLINE": "1", "CUDA_VISIBLE_DEVICES": "", "JAX_PLATFORMS": "cpu"}
    # Without bytecode on disk an editable install would be compiled anew in each process, and the peers not.
    inherited = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return inherited | dict.fromkeys(names, str(os.cpu_count())) | quiet


def prepare(case: Case, names: list[str], tiny: bool) -> Path:
    """The folder of a case's checkpoint, in the formats that the contenders read."""
    size = "tiny" if tiny else "full"
    folder = BUILD / "checkpoints" / size / case.checkpoint
    formats = {CONTENDERS[name].format for name in names}
    command = [sys.executable, HERE / "checkpoints.py", folder, case.checkpoint, size, *sorted(formats)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment())
    if done.returncode:  # the contenders that need what is missing will not start
        print(done.stderr, file=sys.stderr)
    return folder


def measure(case: Case, names: list[str], rounds: int, quick: bool) -> dict[str, dict]:
    """Contender → its seconds in each round, its peak memory and its versions, or its error."""
    folder = prepare(case, names, quick)
    found: dict[str, dict] = {name: {"seconds": [], "peak": 0.0} for name in names}
    expected: dict[str, np.ndarray] = {}
    for group in case.groups:
        in_group = [name for name in group if name in names]
        for part in np.array_split(range(rounds), case.processes):
            workers: dict[str, Worker] = {}
            # What others are compared with starts first.
            for name in sorted(in_group, key=lambda name: name != "transformers torch"):
                if "error" not in found[name]:
                    print(f"{case.what}: {name}", file=sys.stderr)
                    try:
                        workers[name] = begin(case, name, folder, quick, found[name], expected)
                    except ContenderError as error:
                        found[name]["error"] = str(error)
            for name in [name for name in in_group if name in workers] * len(part):
                time.sleep(PAUSE)
                if "error" in found[name]:
                    continue
                try:
                    answer = turn(case, name, folder, workers[name])
                except ContenderError as error:
                    found[name]["error"] = str(error)
                    continue
                found[name]["seconds"].append(answer["seconds"])
                found[name]["peak"] = max(found[name]["peak"], answer["peak"])
            for worker in workers.values():
                worker.stop()
    for one in found.values():
        if "error" in one:
            del one["seconds"], one["peak"]
    return found


def begin(case: Case, name: str, folder: Path, quick: bool, found: dict, expected: dict[str, np.ndarray]) -> Worker:
    """A contender's process, which has computed what the first of them did."""
    worker = Worker(name, case, folder, 0.02 if quick else 0.5)
    found["versions"] = worker.ask("versions")["versions"]
    if case.timed != "call":
        worker.stop()
    if name in PRODUCTS:
        return worker
    output = np.load(worker.output)
    activation = "tanh" if CONTENDERS[name].library == "keras_hub" else "exact"
    if activation == "tanh" and activation not in expected:
        checker = Worker("bertx numpy, tanh GELU", case, folder, 0)
        checker.stop()
        expected[activation] = np.load(checker.output)
    reference = expected.setdefault(activation, output)
    same = output.shape == reference.shape
    found["difference"] = float(np.abs(output - reference).max()) if same else float("inf")
    if not found["difference"] <= CONTENDERS[name].tolerance:
        worker.stop()
        raise ContenderError(f"computes something else: max |Δ| {found['difference']:.1e}")
    return worker


def turn(case: Case, name: str, folder: Path, worker: Worker) -> dict:
    """One contender's turn: a calculation of its process, or a new process."""
    if case.timed == "call":
        return worker.ask("run")
    worker = Worker(name, case, folder, 0)
    worker.stop()
    return {"seconds": worker.started if case.timed == "start" else worker.first["load"], **worker.first}


def machine() -> dict[str, object]:
    """What it was measured on."""
    model = platform.processor()
    if Path("/proc/cpuinfo").exists():
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        model = next((line.partition(": ")[2] for line in lines if line.startswith("model name")), model)
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return {
        "processor": model,
        "cores": os.cpu_count(),
        "memory_gib": round(memory, 1),
        "system": platform.platform(),
        "python": platform.python_version(),
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "load_before": round(os.getloadavg()[0], 2),
    }


@contextlib.contextmanager
def alone() -> Iterator[None]:
    """Refuses to measure beside another measurement of this checkout: each would slow the other down."""
    BUILD.mkdir(parents=True, exist_ok=True)
    with (BUILD / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise SystemExit("another benchmarks/run.py measures on this machine: wait for its end") from None
        yield


def main(arguments: list[str] | None = None) -> int:
    """Measures, prints, writes; gives 1 if a contender computed something else."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", nargs="*", metavar="CASE", help=", ".join(CASES))
    parser.add_argument("--rounds", type=int, default=None, help="7; with --quick 3")
    parser.add_argument("--out", type=Path, default=BUILD / "results", help="a folder; its other cases stay")
    parser.add_argument("--quick", action="store_true", help="tiny sizes")
    parser.add_argument("--contenders", nargs="*", default=list(CONTENDERS), help="only these; 'bertx' is all of bertx")
    asked = parser.parse_args(arguments)
    if unknown := set(asked.cases) - set(CASES):
        parser.error(f"no case {', '.join(unknown)}: there are {', '.join(CASES)}")
    wanted = {name for one in asked.contenders for name in (BERTX if one == "bertx" else (one,))}
    if unknown := wanted - set(CONTENDERS):
        parser.error(f"no contender {', '.join(unknown)}: there are {', '.join(CONTENDERS)}")
    rounds = asked.rounds or (3 if asked.quick else 7)
    asked.out.mkdir(parents=True, exist_ok=True)
    written = asked.out / "results.json"
    results = {"machine": machine(), "quick": asked.quick, "cases": {}}
    before = json.loads(written.read_text()) if written.exists() else results
    if before["machine"]["processor"] == results["machine"]["processor"] and before["quick"] == asked.quick:
        results["cases"] = {name: case for name, case in before["cases"].items() if name in CASES}
    for name in asked.cases or CASES:
        case = CASES[name].quick() if asked.quick else CASES[name]
        names = [one for group in case.groups for one in group if one in wanted]
        with contextlib.nullcontext() if asked.quick else alone():
            found = measure(case, names, rounds, asked.quick)
        results["cases"][name] = summary(name, found, asked.quick)
        print_tables(name, results["cases"][name])
        results["cases"] = {name: results["cases"][name] for name in CASES if name in results["cases"]}
        written.write_text(json.dumps(results, indent=1) + "\n")
    if any(case["ratios"] for case in results["cases"].values()):
        plot(results["cases"], asked.out / "ratios.png")
    print(f"in {asked.out}: {', '.join(sorted(path.name for path in asked.out.iterdir()))}")
    errors = [
        one["error"] for case in results["cases"].values() for one in case["contenders"].values() if "error" in one
    ]
    return int(any("something else" in error for error in errors))


if __name__ == "__main__":
    try:
        sys.exit(main())
    finally:
        shutil.rmtree(LOGS, ignore_errors=True)
