"""--out: what is refused and leaves all as it was; a job that is killed anywhere goes on to the same bytes."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from cli_support import (
    BACKEND,
    KilledError,
    command,
    environment,
    run,
    run_process,
    some_texts,
    write_checkpoint,
    write_csv,
    write_jsonl,
    write_texts,
)

from bertx.model import Model

pytest_plugins = "cli_support"

SUFFIXES = (".jsonl", ".csv", ".npy", ".parquet")


def snapshot(folder: Path) -> dict[str, bytes]:
    """Every file below a folder."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def computed(monkeypatch):
    """The texts that the task is called with, as they are."""
    texts = []
    call = Model.__call__

    def spy(self, inputs, *args, **options):
        texts.extend(inputs)
        return call(self, inputs, *args, **options)

    monkeypatch.setattr(Model, "__call__", spy)
    return texts


@pytest.fixture
def job(checkpoint, small_window, tmp_path):
    """The arguments of an embed of 40 texts, in chunks of 8, and the texts."""
    texts = some_texts(40)
    return ["embed", checkpoint("embed"), "-i", write_texts(tmp_path / "in.txt", texts), *BACKEND], texts


# --- what is refused ------------------------------------------------------------------------------


def assert_refused(folder, *arguments, says, stdin=b""):
    """Exit code 2 and the reason; no file is written, changed or gone."""
    before = snapshot(folder)
    done = run(*arguments, stdin=stdin)
    assert done.code == 2, done
    assert done.out == ""
    for message in [says] if isinstance(says, str) else says:
        assert message in done.told
    assert snapshot(folder) == before


def test_wrong_usage_without_a_job(job, tmp_path):
    arguments, _ = job
    verb, folder, _, file, *backend = arguments
    out = tmp_path / "out.jsonl"
    refused = lambda *given, says: assert_refused(tmp_path, verb, folder, *backend, *given, says=says)  # noqa: E731
    refused("text", "--out", tmp_path / "out.txt", says=("ends in none of", ".parquet"))
    refused("text", "--out", tmp_path / "out", says="ends in none of")
    refused("--input", tmp_path / "no.txt", says="does not exist")
    refused("--input", folder, says="is a directory")
    (tmp_path / "in.pdf").touch()
    refused("--input", tmp_path / "in.pdf", says="ends in none of")
    refused("text", "--backend", "theano", says=("'theano' is none of torch", "numpy"))
    refused("text", "--resume", says="--resume goes on with an --out: say which")
    refused("text", "-o", out, "--resume", "--overwrite", says="give one of them")
    refused("text", "--input", file, "-o", out, says=("both texts and --input", "give one of them"))
    refused("text", "-o", out, "--poling", "mean", says="No such option: --poling")
    refused("text", "-o", out, "--batch-tokens", "0", says="--batch-tokens")
    assert_refused(tmp_path, "embedd", folder, "text", says="No such command 'embedd'")
    assert_refused(tmp_path, "embed", says="Missing argument")


def test_the_wrong_number_of_texts(checkpoint, tmp_path):
    for verb, texts, says in (
        ("answer", ["who?"], "expected QUESTION CONTEXT, found 1 texts"),
        ("answer", ["who?", "a", "b"], "expected QUESTION CONTEXT, found 3 texts"),
        ("choose", ["who?"], "expected QUESTION CHOICES …, found 1 texts"),
        ("next-sentence", ["one"], "expected TEXT TEXT_PAIR, found 1 texts"),
    ):
        assert_refused(tmp_path, verb, checkpoint(verb), *texts, *BACKEND, says=says)
    file = write_texts(tmp_path / "a.txt", ["who?"])
    says = "a line of text has no question and context: give .jsonl or .csv"
    assert_refused(tmp_path, "answer", checkpoint("answer"), "-i", file, *BACKEND, says=says)


def test_a_missing_column_is_refused_with_those_there_are(checkpoint, tmp_path):
    file = write_csv(tmp_path / "a.csv", ["id", "body", "label"], [["1", "the dog", "x"]])
    arguments = ("embed", checkpoint("embed"), "-i", file, *BACKEND)
    assert_refused(tmp_path, *arguments, says="a.csv: no column 'text'; it has id, body, label: name yours")
    assert_refused(tmp_path, *arguments, "-c", "bdy", says="no column 'bdy'; it has id, body, label")
    assert run(*arguments, "-c", "body").code == 0
    question = ("answer", checkpoint("answer"), "-i", file, *BACKEND)
    assert_refused(tmp_path, *question, says="no column 'question', 'context'; it has")
    choices = ("choose", checkpoint("choose"), "-i", file, "-c", "body", "-c", "choices=label,b,c", *BACKEND)
    assert_refused(tmp_path, *choices, says="no column 'b', 'c'; it has id, body, label")
    empty = write_texts(tmp_path / "empty.csv", [])
    assert_refused(tmp_path, "embed", checkpoint("embed"), "-i", empty, *BACKEND, says="it has none")


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_an_out_that_is_there_is_replaced_only_with_overwrite(job, tmp_path, suffix):
    arguments, _ = job
    out = tmp_path / f"out{suffix}"
    out.write_text("mine")
    for resume in ((), ("--resume",)):
        assert_refused(tmp_path, *arguments, "-o", out, *resume, says=("is there already", "give --overwrite"))
    assert run(*arguments, "-o", out, "--overwrite").code == 0
    assert out.read_bytes() != b"mine"
    whole = out.read_bytes()
    assert run(*arguments, "-o", out, "--overwrite").code == 0
    assert out.read_bytes() == whole
    assert set(snapshot(tmp_path)) == {"in.txt", out.name}


def test_an_out_that_is_there_stays_until_its_successor_is_whole(job, killed, tmp_path):
    arguments, _ = job
    out = tmp_path / "out.jsonl"
    out.write_text("mine")
    killed(3, *arguments, "-o", out, "--overwrite")
    assert out.read_text() == "mine"
    assert run(*arguments, "-o", out, "--resume").code == 0
    assert len(out.read_text().splitlines()) == 40


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_an_unfinished_job_is_gone_on_with_only_when_asked_and_only_as_it_was(
    job, killed, checkpoint, tmp_path, suffix
):
    arguments, texts = job
    verb, folder, _, file, *backend = arguments
    out = tmp_path / f"out{suffix}"
    killed(2, *arguments, "-o", out)
    assert not out.exists()
    refused = lambda *given, says: assert_refused(tmp_path, *given, says=says)  # noqa: E731
    unfinished = (f"{out.name}.part is of an unfinished job: give --resume to go on, --overwrite to begin anew",)
    refused(*arguments, "-o", out, says=unfinished)
    again = (*arguments, "-o", out, "--resume")
    for options, changed in (
        (("--pooling", "cls"), "options pooling was None, is 'cls'"),
        (("--no-normalize",), "options normalize was None, is False"),
        (("--batch-tokens", "64"), "options batch_tokens was None, is 64"),
        (("--backend", "torch"), "backend numpy was "),
        (("--dtype", "float16"), "dtype was 'float32', is 'float16'"),
        (("--device", "cpu"), "device was None, is 'cpu'"),
    ):
        refused(*again, *options, says=(f"{out.name}.part is of another job ({changed}", "or begin with --overwrite"))
    other = write_checkpoint("BertModel", tmp_path / "other", seed=1)
    refused(
        verb,
        other,
        "-i",
        file,
        *backend,
        "-o",
        out,
        "--resume",
        says=("is of another job (model model.safetensors was ",),
    )
    another = "the first 16 records are not those that this job began with"
    for changed in (["other", *texts[1:]], texts[1:], texts[:10], [*texts[:15], f"{texts[15]} "], []):
        write_texts(tmp_path / "changed.txt", changed)
        refused(verb, folder, "-i", tmp_path / "changed.txt", *backend, "-o", out, "--resume", says=another)
    arguments_now = "is of another job (input form was 'txt', is 'arguments')"
    refused(verb, folder, *texts, *backend, "-o", out, "--resume", says=arguments_now)
    assert run(*again).code == 0
    assert run(*arguments, "-o", tmp_path / f"whole{suffix}").code == 0
    assert out.read_bytes() == (tmp_path / f"whole{suffix}").read_bytes()


def test_another_column_does_not_go_on(checkpoint, small_window, killed, tmp_path):
    file = write_csv(tmp_path / "a.csv", ["text", "body"], [[text, text] for text in some_texts(40)])
    given = ("embed", checkpoint("embed"), "-i", file, *BACKEND, "-o", tmp_path / "out.csv")
    killed(2, *given)
    says = ("out.csv.part is of another job (columns text was ['text'], is ['body']", "or begin with --overwrite")
    assert_refused(tmp_path, *given, "--resume", "-c", "body", says=says)


def test_another_verb_does_not_go_on(job, killed, checkpoint, tmp_path):
    arguments, _ = job
    killed(2, *arguments, "-o", tmp_path / "out.jsonl")
    given = ("classify", checkpoint("classify"), *arguments[2:], "-o", tmp_path / "out.jsonl", "--resume")
    assert_refused(tmp_path, *given, says=("is of another job", "verb was 'embed', is 'classify'"))


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "cannot be read"),
        (b"{", "cannot be read"),
        (b"[]", "cannot be read"),
        (b'{"job": {}}', "cannot be read"),
        (None, "is shorter than"),
    ],
)
def test_a_broken_state_is_told(job, killed, tmp_path, content, says):
    arguments, _ = job
    out = tmp_path / "out.jsonl"
    killed(2, *arguments, "-o", out)
    part, state = tmp_path / "out.jsonl.part", tmp_path / "out.jsonl.part.json"
    if content is None:
        part.write_bytes(part.read_bytes()[:-1])
    else:
        state.write_bytes(content)
    assert_refused(tmp_path, *arguments, "-o", out, "--resume", says=(says, "--overwrite"))
    assert run(*arguments, "-o", out, "--overwrite").code == 0


def test_resume_of_nothing_begins(job, tmp_path):
    arguments, _ = job
    assert run(*arguments, "-o", tmp_path / "a.jsonl", "--resume").code == 0
    assert run(*arguments, "-o", tmp_path / "b.jsonl").code == 0
    assert (tmp_path / "a.jsonl").read_bytes() == (tmp_path / "b.jsonl").read_bytes()


# --- going on -------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("chunks", [0, 1, 3])
def test_a_resumed_job_computes_only_what_is_not_on_disk(job, killed, computed, tmp_path, suffix, chunks):
    arguments, texts = job
    out = tmp_path / f"out{suffix}"
    assert run(*arguments, "-o", tmp_path / f"whole{suffix}").code == 0
    assert computed == texts
    killed(chunks, *arguments, "-o", out)
    kept = (tmp_path / f"{out.name}.part").read_bytes()
    computed.clear()
    assert run(*arguments, "-o", out, "--resume").code == 0
    assert computed == texts[8 * chunks :]
    assert out.read_bytes() == (tmp_path / f"whole{suffix}").read_bytes()
    if suffix in (".jsonl", ".csv"):
        assert out.read_bytes().startswith(kept)
    assert set(snapshot(tmp_path)) == {"in.txt", out.name, f"whole{suffix}"}


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_torn_tail_is_cut_off(job, killed, tmp_path, suffix):
    arguments, _ = job
    out = tmp_path / f"out{suffix}"
    assert run(*arguments, "-o", tmp_path / f"whole{suffix}").code == 0
    killed(2, *arguments, "-o", out)
    with open(f"{out}.part", "ab") as part:
        part.write(b'{"line": 17, "text": "to' * 1000)
    assert run(*arguments, "-o", out, "--resume").code == 0
    assert out.read_bytes() == (tmp_path / f"whole{suffix}").read_bytes()


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("kind", ["jsonl", "csv"])
def test_bad_lines_before_and_after_the_kill(checkpoint, small_window, killed, tmp_path, suffix, kind):
    texts = some_texts(60)
    bad = (2, 3, 15, 16, 17, 40, 59)
    if kind == "jsonl":
        rows = [b'{"text": "\xff"}' if i in bad else {"text": text} for i, text in enumerate(texts)]
        file = write_jsonl(tmp_path / "in.jsonl", [row for one in rows for row in (one, b"")])
    else:
        rows = [b"short" if i in bad else [text, "two\nlines"] for i, text in enumerate(texts)]
        file = write_csv(tmp_path / "in.csv", ["text", "n"], rows)
    arguments = ("embed", checkpoint("embed"), "-i", file, *BACKEND)
    whole = run(*arguments, "-o", tmp_path / f"whole{suffix}")
    assert whole.code == 1
    out = tmp_path / f"out{suffix}"
    killed(2, *arguments, "-o", out)
    killed(3, *arguments, "-o", out, "--resume")
    done = run(*arguments, "-o", out, "--resume")
    assert done.code == 1
    assert out.read_bytes() == (tmp_path / f"whole{suffix}").read_bytes()
    # Those that were told before are counted, not told again.
    assert "7 of 60 lines failed; the others are done" in done.err
    assert done.err.splitlines() == whole.err.splitlines()[-3:]


def test_a_job_whose_failures_all_came_before_the_kill_exits_with_1(checkpoint, small_window, killed, tmp_path):
    file = write_texts(tmp_path / "in.txt", ["nothing", *["[MASK]"] * 30])
    arguments = ("fill-mask", checkpoint("fill-mask"), "-i", file, "-o", tmp_path / "out.csv", *BACKEND)
    killed(2, *arguments)
    done = run(*arguments, "--resume")
    assert done.code == 1
    assert done.err == "bertx: 1 of 31 lines failed; the others are done\n"


def test_an_input_that_has_grown_is_gone_on_with(job, killed, tmp_path):
    arguments, texts = job
    killed(2, *arguments, "-o", tmp_path / "out.jsonl")
    write_texts(tmp_path / "in.txt", [*texts, *some_texts(10, seed=1)])
    assert run(*arguments, "-o", tmp_path / "out.jsonl", "--resume").code == 0
    assert run(*arguments, "-o", tmp_path / "whole.jsonl").code == 0
    assert (tmp_path / "out.jsonl").read_bytes() == (tmp_path / "whole.jsonl").read_bytes()
    assert len((tmp_path / "out.jsonl").read_text().splitlines()) == 50


def test_stdin_is_gone_on_with_too(job, killed, computed, tmp_path):
    arguments, texts = job
    verb, folder, _, file, *backend = arguments
    piped = (verb, folder, *backend, "-o", tmp_path / "out.npy")
    killed(2, *piped, stdin=file.read_bytes())
    computed.clear()
    assert run(*piped, "--resume", stdin=file.read_bytes()).code == 0
    assert computed == texts[16:]
    assert run(*arguments, "-o", tmp_path / "whole.npy").code == 0
    assert (tmp_path / "out.npy").read_bytes() == (tmp_path / "whole.npy").read_bytes()
    killed(2, *piped[:-1], tmp_path / "other.npy", stdin=file.read_bytes())
    given = (*piped[:-1], tmp_path / "other.npy", "--resume")
    assert_refused(tmp_path, *given, says="the first 16 records are not", stdin=b"other\n" * 40)


@pytest.mark.parametrize(
    ("verb", "suffix"), [("tag", ".csv"), ("answer", ".parquet"), ("generate", ".jsonl"), ("summarize", ".csv")]
)
def test_other_verbs_go_on_to_the_same_bytes(checkpoint, small_window, killed, tmp_path, verb, suffix):
    records = [{"text": text} for text in some_texts(30)]
    if verb == "answer":
        records = [{"question": f"who {i}?", "context": one["text"]} for i, one in enumerate(records)]
    file = write_jsonl(tmp_path / "in.jsonl", records)
    options = ("--max-new-tokens", "2", "--sample") if verb in ("generate", "summarize") else ()
    arguments = (verb, checkpoint(verb), "-i", file, *options, *BACKEND)
    assert run(*arguments, "-o", tmp_path / f"whole{suffix}").code == 0
    killed(2, *arguments, "-o", tmp_path / f"out{suffix}")
    assert run(*arguments, "-o", tmp_path / f"out{suffix}", "--resume").code == 0
    assert (tmp_path / f"out{suffix}").read_bytes() == (tmp_path / f"whole{suffix}").read_bytes()


class Disk:
    """Counts what makes a write last, a rename or a removal, and kills at one of them; nothing happens after that."""

    def __init__(self, patch, kill_at=None):
        self.events, self.dead, self._kill_at = [], False, kill_at
        for owner, name in ((os, "fsync"), (Path, "replace"), (Path, "unlink")):
            patch.setattr(owner, name, self._watched(name, getattr(owner, name)))

    def _watched(self, name, call):
        def watched(subject, *args, **options):
            self.dead = self.dead or len(self.events) == self._kill_at
            if self.dead:
                raise KilledError
            self.events.append((name, str(subject)))
            return call(subject, *args, **options)

        return watched


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_killed_at_any_moment_the_out_is_whole_or_gone_on_with(job, monkeypatch, tmp_path, suffix):
    arguments, texts = job
    write_texts(tmp_path / "in.txt", texts[:20])
    out = tmp_path / f"out{suffix}"
    with monkeypatch.context() as patch:
        disk = Disk(patch)
        assert run(*arguments, "-o", tmp_path / f"whole{suffix}").code == 0
    moments = len(disk.events)
    assert moments >= 3 * 3 + 2  # the part, its state and a rename for each chunk; and the end
    whole = (tmp_path / f"whole{suffix}").read_bytes()
    for moment in range(moments):
        with monkeypatch.context() as patch:
            disk = Disk(patch, kill_at=moment)
            assert run(*arguments, "-o", out).code == -9
        if out.exists():
            assert out.read_bytes() == whole, disk.events[-1]
        done = run(*arguments, "-o", out, "--resume")
        assert done.code == 0, (moment, disk.events, done)
        assert out.read_bytes() == whole, (moment, disk.events[-1])
        assert set(snapshot(tmp_path)) == {"in.txt", out.name, f"whole{suffix}"}, (moment, disk.events)
        out.unlink()


# --- a process that is killed ---------------------------------------------------------------------


def start(*arguments, window=8, pause=0.03):
    return subprocess.Popen(
        command(*arguments, window=window, pause=pause),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(),
    )


def wait_for_records(process, out, records):
    """Until the state of an unfinished file tells of so many; gives how many it tells of."""
    state = Path(f"{out}.part.json")
    end = time.monotonic() + 60
    while time.monotonic() < end and process.poll() is None:
        with contextlib.suppress(FileNotFoundError):
            if (done := json.loads(state.read_bytes())["records"]) >= records:
                return done
        time.sleep(0.001)
    process.kill()
    raise AssertionError(f"no {records} records: {process.communicate()}")


def kill_twice(arguments, records, out, **how):
    """Kills a job at a third and what goes on with it at two thirds; gives the bytes that are then on disk."""
    part, state = Path(f"{out}.part"), Path(f"{out}.part.json")
    before = 0
    for resume, share in (((), 1 / 3), (("--resume",), 2 / 3)):
        process = start(*arguments, "-o", out, *resume, **how)
        reached = wait_for_records(process, out, records * share)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        assert process.returncode == -signal.SIGKILL
        assert not out.exists()
        kept = json.loads(state.read_bytes())
        assert before < reached <= kept["records"] < records
        assert part.stat().st_size >= kept["bytes"] > 0
        before = reached
    return part.read_bytes()[: kept["bytes"]]


@pytest.fixture
def long_job(checkpoint, small_window, tmp_path):
    """The arguments of a job of 30 chunks with a bad line here and there."""
    rows = [{"text": text} for text in some_texts(30 * 8)]
    for i in (5, 50, 130, 235):
        rows[i] = b"no JSON"
    file = write_jsonl(tmp_path / "in.jsonl", rows)
    return ["embed", checkpoint("embed"), "-i", file, *BACKEND], len(rows)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_job_killed_at_a_third_and_again_gives_the_bytes_of_one_that_was_not(long_job, tmp_path, suffix):
    arguments, records = long_job
    out, whole = tmp_path / f"out{suffix}", tmp_path / f"whole{suffix}"
    kept = kill_twice(arguments, records, out)
    done = run_process(*arguments, "-o", out, "--resume", window=8)
    assert done.code == 1
    assert done.out == ""
    assert f"4 of {records} lines failed" in done.err
    assert run(*arguments, "-o", whole).code == 1
    assert out.read_bytes() == whole.read_bytes()
    if suffix in (".jsonl", ".csv"):
        assert out.read_bytes().startswith(kept)
    # A kill in the moment of a write leaves its temporary file, which is hidden and of no harm.
    assert {path.name for path in tmp_path.glob("[!.]*")} == {"in.jsonl", out.name, whole.name}


def test_the_same_with_chunks_of_their_real_size_and_no_pause(checkpoint, tmp_path):
    texts = some_texts(9 * 1024)
    arguments = ["embed", checkpoint("embed"), "-i", write_texts(tmp_path / "in.txt", texts), *BACKEND]
    kill_twice(arguments, len(texts), tmp_path / "out.npy", window=0)
    assert run(*arguments, "-o", tmp_path / "out.npy", "--resume").code == 0
    assert run(*arguments, "-o", tmp_path / "whole.npy").code == 0
    assert (tmp_path / "out.npy").read_bytes() == (tmp_path / "whole.npy").read_bytes()


def test_what_an_earlier_process_did_is_not_touched(long_job, tmp_path):
    """The part is only added to: its first bytes are marked, and come out marked."""
    arguments, records = long_job
    out = tmp_path / "out.jsonl"
    process = start(*arguments, "-o", out)
    wait_for_records(process, out, records / 3)
    process.kill()
    process.communicate()
    with open(f"{out}.part", "r+b") as part:
        part.write(b"marked")
    assert run_process(*arguments, "-o", out, "--resume", window=8).code == 1
    assert out.read_bytes().startswith(b"marked")


def test_ctrl_c_says_how_to_go_on_and_keeps_what_is_done(long_job, tmp_path):
    arguments, records = long_job
    out = tmp_path / "out.jsonl"
    process = start(*arguments, "-o", out)
    wait_for_records(process, out, records / 3)
    process.send_signal(signal.SIGINT)
    written, told = process.communicate(timeout=60)
    assert process.returncode == 1
    assert written == b""
    told = told.decode()
    kept = json.loads(Path(f"{out}.part.json").read_bytes())["records"]
    assert f"bertx: stopped; {kept} records are in {out}.part: go on with --resume" in told
    assert "Traceback" not in told
    assert not out.exists()
    assert run(*arguments, "-o", out, "--resume").code == 1
    whole = tmp_path / "whole.jsonl"
    assert run(*arguments, "-o", whole).code == 1
    assert out.read_bytes() == whole.read_bytes()


def test_ctrl_c_without_an_out(job, monkeypatch):
    arguments, _ = job
    calls = []

    def embedder(self, *modules):
        embed = real(self, *modules)

        def counted(**given):
            calls.append(given)
            if len(calls) == 3:
                raise KeyboardInterrupt
            return embed(**given)

        return counted

    real = Model.embedder
    monkeypatch.setattr(Model, "embedder", embedder)
    done = run(*arguments)
    assert (done.code, done.err) == (1, "bertx: stopped\n")
    assert len(done.rows) in (8, 16)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits the size of files")
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_full_disk_is_told_and_the_job_gone_on_with(long_job, tmp_path, suffix):
    arguments, _ = long_job
    out = tmp_path / f"out{suffix}"
    limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))"
    given = command(*arguments, "-o", out, window=8, before=limit)
    process = subprocess.run(given, capture_output=True, env=environment(), timeout=120)
    assert process.returncode == 1
    assert b"File too large" in process.stderr
    assert b"Traceback" not in process.stderr
    assert not out.exists()
    whole = tmp_path / f"whole{suffix}"
    assert run(*arguments, "-o", out, "--resume").code == 1
    assert run(*arguments, "-o", whole).code == 1
    assert out.read_bytes() == whole.read_bytes()


# --- what was lost once ---------------------------------------------------------------------------


def test_another_dtype_does_not_go_on(job, killed, tmp_path):
    arguments, _ = job
    killed(2, *arguments, "-o", tmp_path / "out.jsonl", "--dtype", "float16")
    given = (*arguments, "-o", tmp_path / "out.jsonl", "--resume", "--dtype", "float32")
    assert_refused(tmp_path, *given, says="dtype")


def test_other_arguments_do_not_go_on(job, killed, tmp_path):
    verb, folder, *_ = job[0]
    out = ("-o", tmp_path / "out.jsonl", *BACKEND)
    killed(1, verb, folder, *(f"dog {i}" for i in range(20)), *out)
    others = [f"cat {i}" for i in range(20)]
    assert_refused(tmp_path, verb, folder, *others, *out, "--resume", says="are not those")


def test_an_out_in_the_folder_of_the_checkpoint_is_gone_on_with(job, killed, tmp_path):
    arguments, _ = job
    folder = write_checkpoint("BertModel", tmp_path / "model")
    arguments[1] = folder
    killed(2, *arguments, "-o", folder / "out.jsonl")
    assert run(*arguments, "-o", folder / "out.jsonl", "--resume").code == 0


def test_a_refused_job_leaves_no_part(checkpoint, small_window, tmp_path):
    file = write_csv(tmp_path / "a.csv", ["body"], [["the dog"]])
    out = tmp_path / "out.jsonl"
    assert_refused(tmp_path, "embed", checkpoint("embed"), "-i", file, "-o", out, *BACKEND, says="no column 'text'")


@pytest.mark.parametrize(
    ("verb", "options"),
    [
        ("embed", ("--pooling", "sum")),
        ("embed", ("--dtype", "float128")),
        ("embed", ("--device", "cuda:99")),
        ("classify", ("--function", "tanh")),
        ("tag", ("--aggregation", "all")),
        ("tag", ("--stride", "100")),
        ("generate", ("--temperature", "0")),
        ("generate", ("--top-p", "2")),
    ],
)
def test_an_option_outside_its_range_is_wrong_usage(checkpoint, tmp_path, verb, options):
    out = tmp_path / "out.jsonl"
    says = (options[1],)
    assert_refused(tmp_path, verb, checkpoint(verb), "the dog", *options, "-o", out, *BACKEND, says=says)


def test_a_model_that_cannot_do_it_leaves_no_part(checkpoint, tmp_path):
    done = run("generate", checkpoint("fill-mask"), "the dog", "-o", tmp_path / "out.jsonl", *BACKEND)
    assert done.code == 2
    assert "needs a causal model" in done.err
    assert list(tmp_path.iterdir()) == []
