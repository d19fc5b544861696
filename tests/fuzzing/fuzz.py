"""Fuzzing of the readers: mutated checkpoint folders, opened in a process that may be lost.

    python tests/fuzzing/fuzz.py FORMAT --count 10000 --seed 0

Case i of a seed is always the same folder. Each must load, or raise a CheckpointError that names the place. What does
not is printed, and one folder of each kind is kept in /tmp/fuzz-crashes: an exception of another type (escape), an
error without a place, memory beyond the size of the files, a file outside the folder that was opened, a hang, a crash,
a tensor of another shape or dtype than was announced, or other values where a checksum guards them (npz, and the
bundles of TensorFlow).
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import ctypes
import faulthandler
import json
import os
import random
import re
import resource
import select
import shutil
import subprocess
import sys
import tempfile
import time
import traceback
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from fixture_files import CASES, FIXTURES
from fixture_files import CHECKPOINTS as CORPUS

HERE = Path(__file__).parent
KEPT = Path("/tmp/fuzz-crashes")
FORMATS = ("safetensors", "pytorch", "tensorflow", "flax", "npz", "keras-hub", "tf1", "tf2", "orbax")
FINE = ("same", "different", "refused")
# Checkpoints of older or other writers, beside those of the corpus.
_CASES = {
    "safetensors": ("15_tf_flax_safetensors/tf",),
    "pytorch": ("22_bert_config_json/folder",),
    "keras-hub": ("10_kerashub/bfloat16", "10_kerashub/sharded"),
    "tensorflow": ("11_tf_h5/subclass", "23_tf_h5_of_4_2/TFBertModel"),
}
# Refused, but only after memory was asked for that the system did not give: torch does so for a legacy storage, and
# libhdf5 for a block that says it is longer than the file.
SOFT = dict.fromkeys(("pytorch", "tensorflow", "keras-hub"), ("allocation",))

_SECONDS = 5.0
_MEMORY = 64 * 2**20
_TIMES = 16
# Address space beyond what the libraries have at the start: they map arenas and stacks for threads of their own.
_ADDRESSES = {"tf1": 8 * 2**30, "tf2": 8 * 2**30, "orbax": 16 * 2**30}
_FOREIGN = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.txt", "checkpoint", "assets")
_ALLOCATION = re.compile("n(ot|able to) allocate|alloc.{0,20} failed|out of memory|bad_alloc|RESOURCE_EXHAUSTED")
_GUARDED = ("npz", "tf1", "tf2")


@dataclass
class Seed:
    """A checkpoint that loads.

    Attributes:
        name: where it is from.
        files: path → content.
        values: schema name → the values as the plan uses them.
        places: path → where its structure lies, between the tensors.
    """

    name: str
    files: dict[str, bytes]
    values: dict = field(default_factory=dict)
    places: dict = field(default_factory=dict)


def folders(form: str, corpus: Path) -> list[Path]:
    """The checkpoints of one format in a corpus; model.npz is made of safetensors."""
    start = {"keras-hub": "keras_hub", "npz": "safetensors"}.get(form, form)
    found = [
        path.parent for path in sorted(corpus.rglob("*config.json")) if path.name in ("config.json", "bert_config.json")
    ]
    of_form = [path for path in dict.fromkeys(found) if re.fullmatch(rf"{start}(_.*)?", path.name)]
    return of_form + [CASES / name for name in _CASES.get(form, ()) if corpus == CORPUS]


def seeds(form: str, corpus: Path, scratch: Path) -> list[Seed]:
    """The corpus of one format, read once as it is."""
    from bertx.registry import names_of
    from bertx_weights import FORMATS as READERS
    from bertx_weights import open_checkpoint

    made = []
    for folder in folders(form, corpus):
        if form == "npz":
            checkpoint = open_checkpoint(folder, names_of)
            target = scratch / f"npz-{len(made)}"
            target.mkdir()
            READERS["npz"].write(target, checkpoint.config, checkpoint.tensors.values(), names_of(checkpoint.config))
            if len(made) % 4 == 1:
                _compress(target / "model.npz")
            name, folder = f"{folder.relative_to(corpus)} as npz", target
        else:
            name = str(folder.relative_to(FIXTURES if corpus == CORPUS else corpus))
        files = {
            str(path.relative_to(folder)): path.read_bytes()
            for path in sorted(folder.rglob("*"))
            if path.is_file() and not set(path.relative_to(folder).parts) & set(_FOREIGN[: 5 if form != "orbax" else 4])
        }
        seed = Seed(name, {path: data for path, data in files.items() if not path.startswith("assets")})
        seed.values = {name: array.copy() for name, (array, _) in read(folder)[1].items()}
        seed.places = {path: _places(data, seed.values.values()) for path, data in seed.files.items()}
        made.append(seed)
    return made


def _compress(path: Path) -> None:
    import zipfile

    with zipfile.ZipFile(path) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in entries.items():
            archive.writestr(name, content)


def _places(data: bytes, arrays):
    from mutations import Places

    payload = []
    for array in arrays:
        for stored in (array, array.T):
            raw = stored.tobytes()
            at = data.find(raw) if len(raw) >= 32 else -1
            if at >= 0:
                payload.append((at, at + len(raw)))
                break
    structure, end = [], 0
    for start, stop in sorted(payload):
        structure.append((end, start))
        end = max(end, stop)
    return Places(len(data), [*structure, (end, len(data))])


# One mutated folder.


def generate(form: str, seed: int, case: int, corpus: list[Seed]) -> tuple[dict, Seed, list[str]]:
    """The files of a case, the checkpoint it was, and what was done to it."""
    import mutations as m

    rng = random.Random(f"{form}/{seed}/{case}")
    original = rng.choice(corpus)
    donor = rng.choice(corpus)
    files, done = dict(original.files), []
    for _ in range(rng.choices((1, 2, 3, 6), (70, 18, 8, 4))[0]):
        texts = [name for name, data in files.items() if name.endswith(".json") and isinstance(data, bytes)]
        weights = [name for name, data in files.items() if name not in texts and isinstance(data, bytes)]
        kind = rng.random()
        if kind < 0.06 and files:
            m.change_files(rng, files, donor.files)
            done.append("files")
        elif kind < 0.35 and form == "orbax" and not done and any(name.endswith("manifest.ocdbt") for name in files):
            m.change_store(rng, files)
            done.append("structured store")
        elif kind < 0.22 and texts:
            name = rng.choice(texts)
            try:
                files[name] = m.change_json(rng, files[name])
            except (RecursionError, OverflowError):  # of what an earlier change put there
                files[name] = m.change_bytes(rng, files[name])
            done.append(f"json {name}")
        elif weights:
            name = rng.choice(weights)
            other = donor.files.get(name, b"") or rng.choice(list(donor.files.values()))
            way = "structured" if rng.random() < 0.5 else "raw"
            try:
                changed = _structured(form, rng, name, files[name]) if way == "structured" else None
            except Exception:  # what was changed before has no structure any more
                changed = None
            if changed is None:
                way = "raw"
                places = original.places.get(name) if files[name] is original.files.get(name) else None
                changed = m.change_bytes(rng, files[name], places, other)
            files[name] = changed
            done.append(f"{way} {name}")
    return files, original, done


def _structured(form: str, rng: random.Random, name: str, data: bytes) -> bytes | None:
    import mutations as m

    match form:
        case "safetensors":
            return m.change_safetensors(rng, data)
        case "flax":
            return m.change_msgpack(rng, data)
        case "npz":
            return m.change_zip(rng, data, m.change_npy)
        case "pytorch":
            return m.change_pytorch(rng, data)
        case "tensorflow" | "keras-hub":
            return m.change_h5(rng, data)
        case "tf1" | "tf2":
            return m.change_index(rng, data) if name.endswith(".index") else None
    return m.change_orbax(rng, name, data)


def write(folder: Path, files: dict) -> None:
    """Makes the folder; what the file system refuses is left out."""
    folder.mkdir(parents=True)
    for name, content in files.items():
        path = folder / name
        with contextlib.suppress(OSError, ValueError):
            path.parent.mkdir(parents=True, exist_ok=True)
            if isinstance(content, bytes):
                path.write_bytes(content)
            else:
                content(path)


# What became of it.


class Wrong(Exception):  # noqa: N818
    """The reader gave what it should not."""


def read(folder: Path) -> tuple[object, dict]:
    """Opens a checkpoint as bertx.load does and reads what the plan uses: schema name → (values, stored tensor).

    Raises:
        Wrong: a tensor is not what was announced.
    """
    from bertx.checkpoints.load import config_of, plan
    from bertx.registry import names_of, schema
    from bertx_weights import CheckpointError, open_checkpoint
    from bertx_weights.dtypes import is_float

    checkpoint = open_checkpoint(folder, names_of)
    config = config_of(checkpoint)
    try:
        report, options = plan(checkpoint, None, config)
    except ValueError as error:
        if "with task=" not in str(error):
            raise
        report, options = plan(checkpoint, "text-classification", config)
    report.raise_for_problems()
    shapes = {row.name: row.shape for row in schema(report.target, config, **options)}
    values = {}
    for name, stored in report.used.items():
        tensor = checkpoint.tensors[stored]
        array = tensor.read()
        if not (array.shape == tensor.shape == shapes[name] and array.dtype == tensor.dtype and is_float(array.dtype)):
            announced = f"announced {tensor.shape} {tensor.dtype}, read {array.shape} {array.dtype}"
            raise Wrong(f"{stored}: row {shapes[name]}, {announced}")
        values[name] = array, tensor
    for path in checkpoint.files:
        root = folder.parent.parent if folder.parent.name == "snapshots" else folder
        if not path.resolve().is_relative_to(root.resolve()):
            raise Wrong(f"{path} lies outside")
    # A conversion reads the others too.
    for stored, tensor in checkpoint.tensors.items():
        if stored not in report.used.values():
            try:
                array = tensor.read()
            except CheckpointError:
                continue
            if array.shape != tensor.shape or array.dtype != tensor.dtype:
                raise Wrong(f"{stored}: announced {tensor.shape} {tensor.dtype}, read {array.shape} {array.dtype}")
    return checkpoint, values


def examine(form: str, folder: Path, original: Seed, done: list[str]) -> tuple[str, str]:
    """(outcome, in words) of a folder."""
    import numpy as np

    from bertx_weights import CheckpointError

    try:
        _, values = read(folder)
    except CheckpointError as error:
        said = str(error)
        chain, cause = [], error
        while cause is not None and len(chain) < 20:
            chain.append(cause)
            cause = cause.__cause__ or cause.__context__
        # Python's own parser says MemoryError of an expression that is nested too deeply.
        parsed = _place(chain[-1]).startswith("MemoryError") and "(ast.py" in _place(chain[-1])
        if not parsed and any(isinstance(link, MemoryError) or _ALLOCATION.search(str(link)) for link in chain):
            return "allocation", f"{_place(chain[-1])}; {said}"
        if str(folder) not in said:
            return "no place", said[:200]
        return "refused", said
    except Wrong as error:
        return "wrong", str(error)
    except BaseException as error:
        if isinstance(error, MemoryError):
            traceback.clear_frames(error.__traceback__)  # what filled the memory, to have some to say so
        return "escape", _place(error)
    equal = all(
        name not in original.values
        or (array.shape == original.values[name].shape and array.tobytes() == original.values[name].tobytes())
        for name, (array, _) in values.items()
    )
    if equal:
        return "same", ""
    raw_only = all(way.startswith(("raw", "json")) for way in done)
    if form in _GUARDED and raw_only:
        names = [
            n for n, (a, _) in values.items() if n in original.values and a.tobytes() != original.values[n].tobytes()
        ]
        return "wrong", f"{names[:3]} changed under a checksum: {done}"
    if form in ("safetensors", "pytorch", "flax", "npz", "tensorflow", "keras-hub"):
        stored = b"\0\0".join(path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file())
        for array, _ in values.values():
            if array.tobytes() not in stored and np.ascontiguousarray(array.T).tobytes() not in stored:
                return "different", f"not as stored: {done[0].split()[0]}"
    return "different", ""


def _place(error: BaseException) -> str:
    """Type, message and the last lines of ours that it passed."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [f for f in frames if "site-packages" not in f.filename and ("bertx" in f.filename)]
    at = f"{Path(own[-1].filename).name}:{own[-1].lineno} {own[-1].name}" if own else "?"
    deep = f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else "?"
    return f"{type(error).__name__} at {at} ({deep}): {str(error)[:160]}"


def _shape_of(said: str, folder: Path) -> str:
    """A message without what differs from case to case, to be counted."""
    first = said.replace(str(folder), "").split("\n")[0]
    return re.sub(r"[\d'\"].*", "", first)[:60]


# The process that may be lost.


def _copy(folder: Path, target: Path) -> None:
    shutil.rmtree(target, ignore_errors=True)
    if folder.is_dir():
        subprocess.run(["cp", "-a", str(folder), str(target)], check=False)


def _status(key: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(key):
            return int(line.split()[1]) * 1024
    return 0


class Watch:
    """Whether a file of a folder was opened, by whatever library; the folder must have no subfolders."""

    def __init__(self, folder: Path):
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._fd = self._libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        self._libc.inotify_add_watch(self._fd, os.fsencode(folder), 0x20)  # IN_OPEN

    def seen(self) -> bool:
        try:
            return bool(os.read(self._fd, 65536))
        except BlockingIOError:
            return False


class Observer:
    """Examines folders one after another in this process, and sees what each costs."""

    def __init__(self, scratch: Path, addresses: int):
        self.cases = scratch / "cases"
        self.outside = self.cases / "outside"
        self.outside.mkdir(parents=True, exist_ok=True)
        self._watch = Watch(self.outside)
        self._trace = open(scratch / "trace", "w")  # noqa: SIM115
        faulthandler.enable(self._trace)
        limit = _status("VmSize") + addresses
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))

    def __call__(self, form: str, folder: Path, original: Seed, done: list[str]) -> dict:
        size = sum(path.lstat().st_size for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
        before = _status("VmRSS")
        Path("/proc/self/clear_refs").write_text("5")
        self._watch.seen()
        started = time.monotonic()
        faulthandler.dump_traceback_later(_SECONDS, exit=True, file=self._trace)
        outcome, detail = examine(form, folder, original, done)
        faulthandler.cancel_dump_traceback_later()
        took, grown = time.monotonic() - started, _status("VmHWM") - before
        if self._watch.seen():
            outcome, detail = "outside", f"{outcome}: {detail}"
        elif grown > _TIMES * size + _MEMORY and outcome in FINE:
            outcome, detail = "memory", f"{grown >> 20} MiB for {size} bytes: {outcome} {detail}"
        return {"outcome": outcome, "detail": detail, "s": round(took, 4), "grown": grown}


def _prepare():
    """A channel to the parent in the place of the standard output, which the libraries write to."""
    import logging
    import warnings

    out = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    return out


def work(form: str, seed: int, begin: int, end: int, corpus: Path, scratch: Path) -> None:
    """Examines cases; a line of JSON for each on the standard output, before and after."""
    out = _prepare()
    known = seeds(form, corpus, scratch)
    observe = Observer(scratch, _ADDRESSES.get(form, 2**30))
    for one in known:
        for name, data in one.files.items():
            (observe.outside / name.rpartition("/")[2]).write_bytes(data)
    shutil.copy(next(observe.outside.iterdir()), observe.outside / "seed.h5")
    print(json.dumps({"ready": len(known)}), file=out)
    for case in range(begin, end):
        files, original, done = generate(form, seed, case, known)
        folder = observe.cases / "case"
        shutil.rmtree(folder, ignore_errors=True)
        write(folder, files)
        print(json.dumps({"start": case, "done": done, "seed": original.name}), file=out)
        line = observe(form, folder, original, done)
        if line["outcome"] not in FINE:
            _copy(folder, scratch / "bad")
        print(json.dumps({"case": case, **line}), file=out)
    out.flush()
    os._exit(0)  # without waiting for the threads of the libraries


def serve(scratch: Path) -> None:
    """Examines the folders that the standard input names, as a JSON list of format and folder a line."""
    import h5py  # noqa: F401
    import msgpack  # noqa: F401
    import orbax.checkpoint  # noqa: F401
    import torch  # noqa: F401

    out = _prepare()
    for form in FORMATS[:3] + FORMATS[3:4] + FORMATS[5:]:
        read(folders(form, CORPUS)[0])
    observe = Observer(scratch, _ADDRESSES["orbax"])
    print(json.dumps({"ready": 1}), file=out)
    for line in sys.stdin:
        form, folder = json.loads(line)
        print(json.dumps(observe(form, Path(folder), Seed("", {}), [])), file=out)
    os._exit(0)


class Guard:
    """A process that examines hostile folders for a test, replaced when it is lost."""

    def __init__(self, scratch: Path):
        self._scratch = scratch
        self._worker = None

    def _start(self) -> None:
        with open(self._scratch / "stderr", "wb") as stderr:
            command = [sys.executable, __file__, "--serve", "--scratch", str(self._scratch)]
            pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": stderr}
            self._worker = subprocess.Popen(command, text=True, **pipes)
        if "ready" not in self._worker.stdout.readline():
            raise RuntimeError((self._scratch / "stderr").read_text(errors="replace")[-3000:])

    def __call__(self, form: str, folder: Path) -> tuple[str, str]:
        """(outcome, in words)"""
        if self._worker is None:
            self._start()
        self._worker.stdin.write(json.dumps([form, str(folder)]) + "\n")
        self._worker.stdin.flush()
        line = self._worker.stdout.readline()
        if line:
            found = json.loads(line)
            return found["outcome"], found["detail"]
        self.close()
        trace = (self._scratch / "trace").read_text()
        code, self._worker = self._worker.returncode, None
        return ("hang" if "Timeout" in trace else f"crash by signal {-code}" if code < 0 else f"exit {code}"), trace[
            :2000
        ]

    def close(self) -> None:
        if self._worker is not None:
            self._worker.stdin.close()
            self._worker.wait()
            self._worker.stdout.close()


@dataclass
class Result:
    """What a run found: outcome → how many; and of each bad kind the first case."""

    form: str
    outcomes: collections.Counter = field(default_factory=collections.Counter)
    refused: collections.Counter = field(default_factory=collections.Counter)
    bad: dict[str, tuple[int, str]] = field(default_factory=dict)
    counts: collections.Counter = field(default_factory=collections.Counter)
    seconds: float = 0.0
    slowest: float = 0.0
    grown: int = 0

    @property
    def files(self) -> int:
        return sum(self.outcomes.values())

    @property
    def failures(self) -> dict[str, int]:
        """The outcomes that must not be → how many."""
        fine = FINE + SOFT.get(self.form, ())
        return {outcome: count for outcome, count in self.outcomes.items() if outcome not in fine}

    def __str__(self) -> str:
        lines = [
            f"{self.form}: {self.files} files, {dict(self.outcomes)}, "
            f"{self.files / max(self.seconds, 1e-9):.0f} files/s, {self.seconds:.0f} s, "
            f"slowest {self.slowest:.2f} s, most memory {self.grown >> 20} MiB"
        ]
        lines += [f"  {self.counts[kind]}x case {case}: {kind} {said}" for kind, (case, said) in self.bad.items()]
        return "\n".join(lines)


def run(
    form: str,
    count: int,
    seed: int = 0,
    corpus: Path = CORPUS,
    begin: int = 0,
    batch: int = 1000,
    keep: Path | None = KEPT,
    progress: bool = False,
) -> Result:
    """Examines `count` cases of a format in processes of `batch`; one that dies costs its case and is replaced."""
    result, case, end = Result(form), begin, begin + count
    while case < end:
        scratch = Path(
            tempfile.mkdtemp(prefix=f"bertx-fuzz-{form}-", dir="/dev/shm" if Path("/dev/shm").is_dir() else None)
        )
        try:
            case = _batch(result, form, seed, case, min(case + batch, end), corpus, scratch, keep)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
        if progress:
            print(f"… {case}/{end} {dict(result.outcomes)}", flush=True)
    return result


def _batch(
    result: Result, form: str, seed: int, begin: int, end: int, corpus: Path, scratch: Path, keep: Path | None
) -> int:
    command = [
        sys.executable,
        __file__,
        form,
        "--seed",
        str(seed),
        "--worker",
        str(begin),
        str(end),
        "--corpus",
        str(corpus),
    ]
    with open(scratch / "stderr", "wb") as stderr:
        worker = subprocess.Popen([*command, "--scratch", str(scratch)], stdout=subprocess.PIPE, stderr=stderr)
    buffer, current, done, ready = b"", None, begin, False
    while True:
        waiting = 180 if not ready else 4 * _SECONDS
        if not select.select([worker.stdout], [], [], waiting)[0]:
            worker.kill()
            worker.wait()
            break
        chunk = os.read(worker.stdout.fileno(), 65536)
        if not chunk:
            worker.wait()
            break
        *lines, buffer = (buffer + chunk).split(b"\n")
        for line in map(json.loads, lines):
            if "ready" in line:
                ready = True
                started = time.monotonic()
            elif "start" in line:
                current = line
            else:
                _count(result, form, seed, line, current, scratch, keep)
                done, current = line["case"] + 1, None
    worker.stdout.close()
    if not ready:
        raise RuntimeError(f"the worker did not start: {(scratch / 'stderr').read_text(errors='replace')[-3000:]}")
    result.seconds += time.monotonic() - started
    if done < end and current is not None:
        trace = (scratch / "trace").read_text()
        hang = "Timeout" in trace or worker.returncode == -9
        own = re.findall(r'File "[^"]*(?:bertx|weights)/([^"]*)", line (\d+) in (\w+)', trace)
        kind = (
            "hang"
            if hang
            else f"crash by signal {-worker.returncode}"
            if worker.returncode < 0
            else f"exit {worker.returncode}"
        )
        line = {"case": done, "outcome": kind, "detail": f"{own[0] if own else trace[-300:]}", "s": 0, "grown": 0}
        folder = _count(result, form, seed, line, current, scratch, keep)
        if folder:
            shutil.copy(scratch / "trace", folder.parent / f"{folder.name}.trace")
            shutil.copy(scratch / "stderr", folder.parent / f"{folder.name}.stderr")
        done += 1
    elif done < end:
        raise RuntimeError(f"the worker left: {(scratch / 'stderr').read_text(errors='replace')[-3000:]}")
    return done


def _count(
    result: Result, form: str, seed: int, line: dict, current: dict, scratch: Path, keep: Path | None
) -> Path | None:
    outcome, detail = line["outcome"], line["detail"]
    result.outcomes[outcome] += 1
    result.slowest = max(result.slowest, line["s"])
    result.grown = max(result.grown, line["grown"])
    if outcome == "refused":
        result.refused[_shape_of(detail, scratch / "cases" / "case")] += 1
    if outcome in FINE and not detail.startswith("not as stored"):
        return None
    kind = f"{outcome}: {re.sub(r'[0-9]+', '#', detail.split(': ')[0])[:110] if outcome != 'wrong' else detail[:40]}"
    result.counts[kind] += 1
    if kind in result.bad:
        return None
    result.bad[kind] = line["case"], f"{detail}  [{current['seed']}: {', '.join(current['done'])}]"
    if keep is None:
        return None
    target = keep / f"{form}-{seed}-{line['case']}"
    keep.mkdir(exist_ok=True)
    # The process goes on while this is written: its own copy may be of a later case, which is why there is --write.
    _copy(scratch / ("cases/case" if outcome.startswith(("hang", "crash", "exit")) else "bad"), target)
    return target


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("format", choices=FORMATS, nargs="?")
    parser.add_argument("--count", type=int, default=10000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--begin", type=int, default=0)
    parser.add_argument("--corpus", type=Path, default=CORPUS)
    parser.add_argument("--keep", type=Path, default=KEPT)
    parser.add_argument("--write", type=Path, help="only write case BEGIN to this folder")
    parser.add_argument("--worker", type=int, nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--scratch", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    sys.path.insert(0, str(HERE))
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    if options.serve:
        serve(options.scratch)
    if options.format is None:
        parser.error("which format?")
    if options.worker:
        work(options.format, options.seed, *options.worker, options.corpus, options.scratch)
    if options.write:
        with tempfile.TemporaryDirectory() as scratch:
            known = seeds(options.format, options.corpus, Path(scratch))
        files, original, done = generate(options.format, options.seed, options.begin, known)
        write(options.write, files)
        print(original.name, done)
        return 0
    result = run(
        options.format, options.count, options.seed, options.corpus, options.begin, keep=options.keep, progress=True
    )
    print(result)
    for said, count in result.refused.most_common(25):
        print(f"  refused {count}x {said}")
    return int(bool(result.failures))


if __name__ == "__main__":
    raise SystemExit(main())
