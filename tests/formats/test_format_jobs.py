"""Several jobs on one target, and jobs that are killed: what is there is one checkpoint, whole, the old or the new."""

from __future__ import annotations

import ctypes
import json
import os
import random
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
from format_support import FIXTURES, copy_with_config, left_beside

import bertx
import bertx.checkpoints.replacing
from bertx.checkpoints.files import REPORT
from fake_hub import python

BASE = FIXTURES / "BertModel" / "safetensors"

# A process that takes jobs: each line is a list of them, each run in a process forked for it, all beginning at once.
# Answered is for each None, or the exception's name and message. With "kill" the job is killed after so many seconds.
_JOBS = """
import ctypes, json, os, signal, sys, time
import numpy, bertx, bertx.tasks, bertx.backend
import bertx.checkpoints.convert, bertx.checkpoints.replacing, bertx.checkpoints.save
bertx.backend.get_backend("numpy")
import bertx_numpy

def job(kind, source, target, options):
    if options.pop("without_exchange", False):
        bertx.checkpoints.replacing._exchange = lambda *paths: False
    model = bertx.load(source, backend="numpy")
    yield
    if kind == "convert":
        bertx.convert(source, target, options.pop("format", "safetensors"), **options)
    elif kind == "save":
        model.save(target)
    else:
        model.module.save_pretrained(target)

for line in sys.stdin:
    start, ready, children = os.pipe(), os.pipe(), []
    jobs = json.loads(line)
    for kind, source, target, options in jobs:
        kill = options.pop("kill", None)
        answer, answers = os.pipe()
        child = os.fork()
        if child == 0:
            said = None
            try:
                steps = job(kind, source, target, options)
                next(steps)
                os.write(ready[1], b".")
                os.read(start[0], 1)
                next(steps, None)
            except BaseException as error:
                said = [type(error).__name__, str(error)]
            os.write(answers, json.dumps(said).encode())
            os._exit(0)
        os.close(answers)
        children.append((child, answer, kill))
    for _ in jobs:
        os.read(ready[0], 1)
    os.write(start[1], b"." * len(jobs))
    said = []
    for child, answer, kill in children:
        if kill is not None:
            time.sleep(kill)
            os.kill(child, signal.SIGKILL)
        with open(answer, "rb") as file:
            said.append(json.loads(file.read() or b'["killed", ""]'))
        os.waitpid(child, 0)
    for end in (*start, *ready):
        os.close(end)
    print(json.dumps(said), flush=True)
"""


@pytest.fixture(scope="module")
def run_jobs():
    """Runs jobs (kind, source, target, options) at once, each in a process of its own; what each raised."""
    process = subprocess.Popen(
        [sys.executable, "-c", _JOBS], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
    )

    def run(*jobs):
        values = [(kind, str(source), str(target), options) for kind, source, target, options in jobs]
        process.stdin.write(json.dumps(values) + "\n")
        return json.loads(process.stdout.readline())

    yield run
    process.kill()
    process.communicate()


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    """Two models of the same sizes."""
    folder = tmp_path_factory.mktemp("sources")
    first, second = (copy_with_config(BASE, folder / name) for name in ("first", "second"))
    tensors = safetensors.numpy.load_file(second / "model.safetensors")
    safetensors.numpy.save_file(
        {name: array + np.float32(1) for name, array in tensors.items()}, second / "model.safetensors"
    )
    (second / "vocab.txt").write_text((second / "vocab.txt").read_text().replace("\nthe\n", "\nof\n"))
    (second / "tokenizer.json").unlink()
    return first, second


def content(folder: Path) -> tuple:
    """The weights and vocabulary of a whole checkpoint."""
    model = bertx.load(folder, backend="numpy")
    values = b"".join(array.tobytes() for _, array in sorted(model.tensors()))
    if (folder / REPORT).is_file():
        assert bertx.verify(folder).passed
    has_tokenizer = (folder / "vocab.txt").is_file()  # save_pretrained of a native model writes none
    return values, sorted(model.tokenizer.get_vocab().items()) if has_tokenizer else None


REFUSED = "being written by another job"


@pytest.mark.parametrize(
    "kinds", [("convert", "convert"), ("save", "save"), ("save_pretrained", "save"), ("convert", "save")]
)
def test_of_two_jobs_on_one_target_one_wins_whole_and_the_other_is_refused(tmp_path, run_jobs, sources, kinds):
    wanted = [content(source) for source in sources]
    refused = 0
    for i in range(20):
        target = tmp_path / "new" / f"{i}" / "target"
        jobs = list(zip(kinds, sources, strict=True))
        if i % 2:
            jobs.reverse()
        answers = run_jobs(*((kind, source, target, {}) for kind, source in jobs))
        winners = [source for (_, source), answer in zip(jobs, answers, strict=True) if answer is None]
        for answer in answers:
            assert answer is None or answer[0] == "FileExistsError", answer
        refused += sum(REFUSED in answer[1] for answer in answers if answer)
        assert winners
        if kinds == ("convert", "convert"):
            assert len(winners) == 1  # the other one finds the target there, if it comes late
        values, vocabulary = content(target)
        found = [w[0] for w in wanted].index(values)
        assert sources[found] in winners
        if kinds != ("save_pretrained", "save"):  # the first writes no tokenizer
            assert vocabulary == wanted[found][1]
        assert left_beside(target.parent) == {"target"}
        assert not [name for name in left_beside(target) if name.startswith(".")]
    assert refused  # else they never met


def test_of_two_overwrites_at_a_time_each_is_whole(tmp_path, run_jobs, sources):
    wanted = [content(source) for source in sources]
    target = tmp_path / "target"
    bertx.convert(sources[0], target, "npz")
    refused = 0
    for i in range(10):
        forms = ("npz", "safetensors") if i % 2 else ("flax", "pytorch")
        answers = run_jobs(
            *(("convert", s, target, {"overwrite": True, "format": f}) for s, f in zip(sources, forms, strict=True))
        )
        assert None in answers
        refused += sum(REFUSED in answer[1] for answer in answers if answer)
        assert content(target) in [w for w, answer in zip(wanted, answers, strict=True) if answer is None]
        assert left_beside(tmp_path) == {"target"}
    assert refused


@pytest.mark.parametrize("exchange", [True, False])
def test_a_job_that_is_killed_leaves_the_old_or_the_new_whole(tmp_path, run_jobs, sources, exchange):
    target, generator = tmp_path / "target", random.Random(1)
    wanted = [content(source) for source in sources]
    bertx.convert(sources[0], target)
    options = {"overwrite": True, "without_exchange": not exchange, "verify": False}
    start = time.perf_counter()
    run_jobs(("convert", sources[0], target, options))
    took = time.perf_counter() - start
    killed = 0
    for i in range(40):
        kill = generator.uniform(0, 1.2 * took)
        (answer,) = run_jobs(("convert", sources[i % 2], target, {**options, "kill": kill}))
        killed += answer is not None
        if not exchange and not target.exists():  # between two renames: the next job puts it back
            with pytest.raises(FileExistsError, match="is there already"):
                bertx.convert(sources[0], target)
        assert content(target) in wanted, (i, answer)
    assert killed > 10
    bertx.convert(sources[1], target, overwrite=True)
    assert content(target) == wanted[1]
    assert left_beside(tmp_path) == {"target"}


def test_while_it_is_overwritten_a_target_is_never_gone(tmp_path, sources, monkeypatch):
    """After each step that moves a folder it is looked for: a reader would have to be lucky to meet the moment."""
    if not has_exchange():
        pytest.skip("this system has no renameat2")
    target, there = tmp_path / "target", []
    bertx.convert(sources[0], target)

    def watched(step):
        def moved(*paths):
            done = step(*paths)
            there.append((target / "model.safetensors").is_file())
            return done

        return moved

    for owner, name in (
        (Path, "rename"),
        (bertx.checkpoints.replacing, "_exchange"),
        (bertx.checkpoints.replacing, "_remove"),
    ):
        monkeypatch.setattr(owner, name, watched(getattr(owner, name)))
    bertx.convert(sources[1], target, overwrite=True)
    assert all(there) and len(there) >= 3
    assert content(target) == content(sources[1])


def has_exchange() -> bool:
    return hasattr(ctypes.CDLL(None), "renameat2")


def test_leftovers_of_a_killed_job_are_removed_by_the_next(tmp_path, sources):
    target = tmp_path / "target"
    bertx.convert(sources[1], target)
    for name in (".target.bertx-new", ".target.bertx-old"):
        (tmp_path / name / "sub").mkdir(parents=True)
        (tmp_path / name / "sub" / "model.safetensors").write_bytes(b"half")
    (tmp_path / ".target.lock").write_text("12345")
    bertx.convert(sources[0], target, overwrite=True)
    assert left_beside(tmp_path) == {"target"} and content(target) == content(sources[0])


def test_an_old_checkpoint_that_was_moved_away_is_put_back(tmp_path, sources):
    """Killed between the two renames of a system without an exchange."""
    bertx.convert(sources[0], tmp_path / ".target.bertx-old")
    with pytest.raises(bertx.CheckpointError, match=r"interrupted, and what was there is .*\.target\.bertx-old"):
        bertx.load(tmp_path / "target", backend="numpy")
    with pytest.raises(FileExistsError, match="is there already"):
        bertx.convert(sources[1], tmp_path / "target")
    assert content(tmp_path / "target") == content(sources[0]) and left_beside(tmp_path) == {"target"}


def test_a_save_while_another_job_writes_is_refused(tmp_path, sources):
    model = bertx.load(sources[0], backend="numpy")
    model.save(tmp_path / "target")
    before = {path.name: path.read_bytes() for path in (tmp_path / "target").iterdir()}
    with bertx.checkpoints.replacing.new_folder(tmp_path / "target", overwrite=True):
        for save in (model.save, model.module.save_pretrained):
            with pytest.raises(FileExistsError, match=f"{REFUSED} .process {os.getpid()}."):
                save(tmp_path / "target")
        with pytest.raises(FileExistsError, match=REFUSED):
            bertx.convert(sources[0], tmp_path / "target", overwrite=True)
        assert {path.name: path.read_bytes() for path in (tmp_path / "target").iterdir()} == before


def test_a_save_is_into_the_folder_here(tmp_path, sources, monkeypatch):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    bertx.load(sources[0], backend="numpy").save(".")
    assert content(Path()) == content(sources[0])
    assert left_beside(tmp_path) == {"here"}


def test_a_save_over_a_conversion_takes_its_report_away(tmp_path, sources):
    bertx.convert(sources[0], tmp_path / "target")
    bertx.load(sources[1], backend="numpy").save(tmp_path / "target")
    assert not (tmp_path / "target" / REPORT).exists()


_CLOSED = """
import pathlib, sys, bertx
source, here = map(pathlib.Path, sys.argv[1:])
model = bertx.load(source, backend="numpy")
for what in (model.save, model.module.save_pretrained, lambda target: bertx.convert(source, target, overwrite=True)):
    try:
        what(here / "target")
        print("MARK written")
    except Exception as error:
        print("MARK", type(error).__name__, error)
"""


def test_a_model_is_saved_to_a_folder_whose_parent_may_not_be_written(tmp_path, sources):
    """As where a volume is mounted; a conversion needs room beside the folder, and names its target."""
    here = tmp_path / "here"
    (here / "target").mkdir(parents=True)
    here.chmod(0o555)
    done = subprocess.run(python("-c", _CLOSED, sources[0], here), capture_output=True, text=True)
    here.chmod(0o755)
    said = [line.removeprefix("MARK ") for line in done.stdout.splitlines() if line.startswith("MARK")]
    denied = f"PermissionError [Errno 13] Permission denied: '{here / 'target'}'"
    assert said == ["written", "written", denied], done
    assert content(here / "target") == content(sources[0])
    assert not [name for name in (*left_beside(here), *left_beside(here / "target")) if name.startswith(".")]


# --- a full disk, and what may not be read --------------------------------------------------------

_FULL = """
import sys, pathlib, warnings
import bertx, bertx_numpy
folder = pathlib.Path(sys.argv[1])
for form in sys.argv[3:]:
    try:
        bertx.convert(sys.argv[2], folder / "target", form, verify=False)
        print("MARK", form, "written")
    except Exception as error:
        print("MARK", form, type(error).__name__, str(error).replace("\\n", " / "))
    print("MARK", form, sorted(path.name for path in folder.iterdir()))
model = bertx.load(sys.argv[2], backend="numpy")
for save in (model.save, model.module.save_pretrained):
    try:
        save(folder / "target")
        print("MARK save written")
    except Exception as error:
        print("MARK save", type(error).__name__, str(error).replace("\\n", " / "))
    print("MARK save", sorted(path.name for path in folder.rglob("*")))
"""


def in_a_small_disk(folder: Path, *arguments: object) -> list[str]:
    """What a program with a disk of 40 KB at `folder` says."""
    folder.mkdir()
    mount = f'mount -t tmpfs -o size=40k tmpfs {folder} && exec "$@"'
    command = ["unshare", "--mount", "--map-root-user", "sh", "-c", mount, "sh", sys.executable, "-c", _FULL, folder]
    done = subprocess.run([*map(str, (*command, *arguments))], capture_output=True, text=True)
    if "MARK" not in done.stdout:
        pytest.skip(f"no disk can be mounted here: {done.stderr[-200:]}")
    return [line.removeprefix("MARK ") for line in done.stdout.splitlines() if line.startswith("MARK")]


@pytest.mark.parametrize(
    "forms", [("safetensors", "pytorch", "tensorflow", "flax", "npz", "keras-hub"), ("orbax",), ("tf1", "tf2")]
)
def test_a_full_disk_is_named_and_nothing_is_left(tmp_path, forms):
    # Of KerasHub's presets the encoder computes the tanh GELU, of the original release the exact one.
    source = copy_with_config(BASE, tmp_path / "source", hidden_act="gelu_new" if "keras-hub" in forms else "gelu")
    place = tmp_path / "disk"
    said = in_a_small_disk(place, source, *forms)
    for form in forms:
        assert f"{form} OSError [Errno 28] No space left on device: '{place / 'target'}'" in said, said
        assert f"{form} []" in said
    saved = [line for line in said if line.startswith("save OSError")]
    assert len(saved) == 2 and all(str(place / "target") in line for line in saved), said


_UNREADABLE = """
import pathlib, sys, bertx
for place in sys.argv[1:]:
    folder = pathlib.Path(place)
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        mode = path.stat().st_mode
        path.chmod(0)
        for what in (bertx.load, bertx.inspect):
            try:
                what(folder, **({"backend": "numpy", "task": "feature-extraction"} if what is bertx.load else {}))
                print("MARK", path, "loads")
            except Exception as error:
                print("MARK", path, type(error).__name__, str(error).replace("\\n", " / "))
        path.chmod(mode)
"""


@pytest.mark.parametrize("orbax", [False, True])
def test_a_file_that_may_not_be_read_is_said_to_be_that(tmp_path, orbax):
    """Not that it is not whole, which a new download would mend."""
    names = [path.name for path in (FIXTURES / "BertModel").iterdir() if path.name.startswith("orbax") == orbax]
    folders = [Path(shutil.copytree(FIXTURES / "BertModel" / name, tmp_path / name)) for name in names]
    done = subprocess.run(python("-c", _UNREADABLE, *folders), capture_output=True, text=True)
    lines = [line.removeprefix("MARK ") for line in done.stdout.splitlines() if line.startswith("MARK")]
    assert len(lines) > 2 * len(folders), done.stderr
    for line in lines:
        path, _, said = line.partition(" ")
        if said != "loads":
            assert said.startswith("CheckpointError") and "cannot be read: Permission denied" in said, line
            assert path in said, line
    # What is read is refused: of each format at least the weights and the config.
    for folder in folders:
        assert sum(line.startswith(f"{folder}/") and not line.endswith(" loads") for line in lines) >= 2
