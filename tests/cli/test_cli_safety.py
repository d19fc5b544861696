"""Nothing random, misread, mixed or lost without a word: heads, forms of input, locks, signals, devices, streams."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from cli_support import (
    BACKEND,
    VERBS,
    command,
    environment,
    run,
    some_texts,
    write_checkpoint,
    write_csv,
    write_jsonl,
    write_texts,
)

pytest_plugins = "cli_support"

ESCAPE = "\x1b"


def refused(done, *says):
    assert done.code == 2, done
    assert done.out == ""
    for message in says:
        assert message in done.told, done
    return done


def process(*arguments, **how):
    given = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | how
    return subprocess.Popen(command(*arguments), env=environment(), **given)


# --- a head that the checkpoint has not -----------------------------------------------------------


@pytest.mark.filterwarnings("always:.*initialised for:UserWarning")
@pytest.mark.parametrize(
    "verb", [verb for verb in VERBS if verb not in ("embed", "fill-mask", "generate", "summarize")]
)
def test_a_verb_refuses_a_checkpoint_without_its_head(checkpoint, verb, tmp_path):
    file = write_jsonl(tmp_path / "in.jsonl", VERBS[verb].records[:1])
    given = (verb, checkpoint("fill-mask"), "-i", file, "-o", tmp_path / "out.jsonl", *BACKEND)
    done = refused(run(*given), f"has no head for {VERBS[verb].task} (", "its own head is of fill-mask", "--untrained")
    assert "initialised" not in done.err  # the model was not even made
    assert sorted(os.listdir(tmp_path)) == ["in.jsonl"]
    done = run(*given, "--untrained")
    assert done.code == 0
    assert "train the model before you rely on it" in done.err


def test_an_encoder_writes_no_summaries(checkpoint, tmp_path):
    out = tmp_path / "out.jsonl"
    done = run("summarize", checkpoint("fill-mask"), "the happy dog", "-o", out, "--untrained", *BACKEND)
    assert (done.code, done.out) == (1, "")
    assert "bert has no head for 'summarization'; it has those for feature-extraction, fill-mask" in done.told
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("verb", ["fill-mask", "classify"])
def test_an_encoder_alone_has_no_head(checkpoint, verb):
    text = VERBS[verb].records[0]["text"]
    refused(run(verb, checkpoint("embed"), text, *BACKEND), "has no head for", "of feature-extraction")


def test_a_head_that_is_there_in_part_is_none(checkpoint, tmp_path):
    from safetensors.numpy import load_file, save_file

    folder = write_checkpoint("BertForSequenceClassification", tmp_path / "part")
    tensors = load_file(folder / "model.safetensors")
    del tensors["classifier.bias"]
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    done = run("classify", folder, "the dog", *BACKEND)
    assert done.code in (1, 2)
    assert done.out == ""
    assert "classifier.bias" in done.told


# --- input that is not what it is read as ---------------------------------------------------------

LOOKS = {
    "jsonl": b'{"id": 1, "text": "the dog"}\n{"id": 2, "text": "a cat"}\n',
    "json": b'[{"id": 1, "text": "the dog"}]\n',
    "csv": b"id,text\n1,the dog\n2,a cat\n",
    "tsv": b"id\ttext\n1\tthe dog\n",
}


@pytest.mark.parametrize("form", LOOKS)
def test_what_looks_like_a_table_or_json_is_not_read_as_text(checkpoint, tmp_path, form):
    folder = checkpoint("embed")
    file = tmp_path / "data.txt"
    file.write_bytes(LOOKS[form])
    for done in (run("embed", folder, *BACKEND, stdin=LOOKS[form]), run("embed", folder, "-i", file, *BACKEND)):
        refused(done, f"--input-format {form} to read it so", "--input-format txt to read each line as a text")
    done = run("embed", folder, *BACKEND, "--input-format", form, stdin=LOOKS[form])
    assert (done.code, done.rows[0]["text"]) == (0, "the dog")
    done = run("embed", folder, *BACKEND, "--input-format", "txt", stdin=LOOKS[form])
    assert (done.code, done.rows[0]["text"]) == (0, LOOKS[form].decode().split("\n")[0])


@pytest.mark.parametrize(
    "head", [b"text\n", b'"text";"label"\n', b"name,body\nAnn,the dog\n", b"[\n", b"\xef\xbb\xbfid,text\n"]
)
def test_other_tables_and_arrays_on_stdin(checkpoint, head):
    refused(run("embed", checkpoint("embed"), *BACKEND, stdin=head + b"the dog\n"), "--input-format")


@pytest.mark.parametrize(
    "text", ["{not json}", "Yes, no, maybe", "[MASK] and", "text, and more of it", "a,b", '"text" is a word']
)
def test_a_text_that_is_one_is_read(checkpoint, text):
    done = run("embed", checkpoint("embed"), *BACKEND, stdin=f"{text}\nthe dog\n".encode())
    assert (done.code, [row["text"] for row in done.rows]) == (0, [text, "the dog"])


def test_texts_with_as_many_commas_are_texts(checkpoint):
    done = run("embed", checkpoint("embed"), *BACKEND, stdin=b"Hello, world\nthe dog, the cat\n")
    assert (done.code, [row["text"] for row in done.rows]) == (0, ["Hello, world", "the dog, the cat"])


def test_a_table_is_not_read_as_json_lines(checkpoint):
    done = run("embed", checkpoint("embed"), "-c", "body", *BACKEND, stdin=b"id,body\n1,the dog\n")
    refused(done, "looks like CSV: give --input-format csv to read it so")
    done = run("embed", checkpoint("embed"), "-c", "body", "--input-format", "csv", *BACKEND, stdin=b"id,body\n1,dog\n")
    assert done.rows[0]["text"] == "dog"
    assert run("embed", checkpoint("embed"), "-c", "text", *BACKEND, stdin=b'"text"\n').code == 0


# --- one job at a time ----------------------------------------------------------------------------


@pytest.mark.parametrize("pairs", [3, pytest.param(20, marks=pytest.mark.slow)])
@pytest.mark.parametrize("option", [(), ("--overwrite",), ("--resume",)], ids=["", "overwrite", "resume"])
def test_two_jobs_on_one_out_one_is_whole_and_the_other_refuses(checkpoint, tmp_path, option, pairs):
    texts = write_texts(tmp_path / "in.txt", some_texts(1500))
    out = tmp_path / "out.jsonl"
    given = ("embed", checkpoint("embed"), "-i", texts, *BACKEND, "-o")
    assert run(*given, tmp_path / "alone.jsonl").code == 0
    for _ in range(pairs):
        jobs = [process(*given, out, *option) for _ in range(2)]
        told = [(job.communicate(timeout=120)[1].decode(), job.returncode) for job in jobs]
        codes = sorted(code for _, code in told)
        assert out.read_bytes() == (tmp_path / "alone.jsonl").read_bytes(), told
        assert codes[0] == 0, told
        for message, code in told:
            if code:
                assert code == 2
                assert "is being written by another job" in message or "is there already" in message
        if not option:
            assert codes == [0, 2]
        assert sorted(os.listdir(tmp_path)) == ["alone.jsonl", "in.txt", "out.jsonl"]
        out.unlink()


def test_a_job_that_holds_an_out_is_named(checkpoint, tmp_path):
    from bertx_weights.files import locked

    given = ("embed", checkpoint("embed"), "the dog", *BACKEND, "-o", tmp_path / "new" / "out.npy")
    (tmp_path / "new").mkdir()
    with locked(tmp_path / "new" / "out.npy"):
        for option in ((), ("--overwrite",), ("--resume",)):
            refused(run(*given, *option), f"is being written by another job (process {os.getpid()})")
    assert run(*given).code == 0


# --- a job that is finished, or stopped -----------------------------------------------------------


@pytest.fixture
def job(checkpoint, small_window, tmp_path):
    return ["embed", checkpoint("embed"), "-i", write_texts(tmp_path / "in.txt", some_texts(20)), *BACKEND]


@pytest.mark.parametrize("suffix", [".jsonl", ".csv", ".npy", ".parquet"])
def test_resume_of_what_is_whole_has_nothing_to_do(job, tmp_path, suffix):
    out = tmp_path / f"out{suffix}"
    assert run(*job, "-o", out, "--resume").code == 0
    before = out.stat()
    done = run(*job, "-o", out, "--resume")
    assert (done.code, done.told) == (0, f"bertx: {out} is whole: nothing to do ")
    assert (out.stat().st_ino, out.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    refused(run(*job, "-o", out, "--resume", "--pooling", "cls"), "is whole, and of another job", "--overwrite")
    write_texts(tmp_path / "in.txt", [*some_texts(20), "more"])
    refused(run(*job, "-o", out, "--resume"), "is whole, and of another input", "--overwrite")


def test_resume_of_what_failed_in_part_says_so_again(checkpoint, tmp_path):
    given = ("fill-mask", checkpoint("fill-mask"), "the [MASK]", "nothing", *BACKEND, "-o", tmp_path / "out.csv")
    assert run(*given).code == 1
    done = run(*given, "--resume")
    assert (done.code, "nothing to do; 1 of its lines failed" in done.told) == (1, True)


@pytest.mark.parametrize("sign", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_says_how_to_go_on_and_keeps_what_is_done(checkpoint, tmp_path, sign):
    texts = write_texts(tmp_path / "in.txt", some_texts(400))
    out = tmp_path / "out.jsonl"
    given = ("embed", checkpoint("embed"), "-i", texts, *BACKEND, "-o", out)
    job = subprocess.Popen(
        command(*given, window=8, pause=0.05), stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, env=environment()
    )
    state = Path(f"{out}.part.json")
    while not state.exists() or json.loads(state.read_bytes())["records"] < 24:
        assert job.poll() is None
        time.sleep(0.01)
    job.send_signal(sign)
    told = job.communicate(timeout=60)[1].decode()
    kept = json.loads(state.read_bytes())["records"]
    assert job.returncode == 1
    assert f"bertx: stopped; {kept} records are in {out}.part: go on with --resume" in told
    assert len(Path(f"{out}.part").read_text().splitlines()) == kept
    assert sorted(os.listdir(tmp_path)) == ["in.txt", "out.jsonl.part", "out.jsonl.part.json"]


def test_a_state_without_its_part_is_removed(job, tmp_path):
    (tmp_path / "out.jsonl.part.json").write_text("{}")
    assert run(*job, "-o", tmp_path / "out.jsonl").code == 0
    assert sorted(os.listdir(tmp_path)) == ["in.txt", "out.jsonl"]


# --- the same model and input, by content ---------------------------------------------------------


def test_another_model_of_the_same_size_and_time_does_not_go_on(job, killed, tmp_path):
    folder = write_checkpoint("BertModel", tmp_path / "model")
    job[1] = folder
    killed(1, *job, "-o", tmp_path / "out.jsonl")
    weights = folder / "model.safetensors"
    times = weights.stat()
    content = bytearray(weights.read_bytes())
    content[len(content) // 2] ^= 1
    weights.write_bytes(content)
    os.utime(weights, ns=(times.st_atime_ns, times.st_mtime_ns))
    refused(run(*job, "-o", tmp_path / "out.jsonl", "--resume"), "is of another job (model model.safetensors was")
    content[len(content) // 2] ^= 1
    weights.write_bytes(content)  # the same again, at another time
    assert run(*job, "-o", tmp_path / "out.jsonl", "--resume").code == 0


def test_another_side_file_of_the_same_size_and_time_does_not_go_on(job, killed, tmp_path):
    folder = write_checkpoint("BertModel", tmp_path / "model")
    job[1] = folder
    killed(1, *job, "-o", tmp_path / "out.jsonl")
    vocabulary = folder / "vocab.txt"
    times = vocabulary.stat()
    vocabulary.write_text(vocabulary.read_text().replace("\ndog\n", "\ngod\n"))
    os.utime(vocabulary, ns=(times.st_atime_ns, times.st_mtime_ns))
    refused(run(*job, "-o", tmp_path / "out.jsonl", "--resume"), "is of another job (model vocab.txt was")


# --- devices, pipes and links ---------------------------------------------------------------------


def test_devices_and_links_are_written_through(checkpoint, tmp_path):
    folder = checkpoint("embed")
    null = Path("/dev/null")
    before = null.stat()
    assert run("inspect", folder, "--json", null).code == 0
    assert run("embed", folder, "the dog", *BACKEND, "-o", null).code == 0
    assert (null.stat().st_rdev, null.stat().st_ino) == (before.st_rdev, before.st_ino)
    assert stat.S_ISCHR(null.stat().st_mode)
    link = tmp_path / "link.jsonl"
    link.symlink_to("real.jsonl")
    assert run("embed", folder, "the dog", *BACKEND, "-o", link).code == 0
    assert link.is_symlink() and json.loads((tmp_path / "real.jsonl").read_text())["text"] == "the dog"
    report = tmp_path / "link.json"
    report.symlink_to(tmp_path / "report.json")
    assert run("inspect", folder, "--json", report).code == 0
    assert report.is_symlink() and json.loads((tmp_path / "report.json").read_text())["loads"]


@pytest.mark.parametrize("suffix", [".jsonl", ".csv", ".npy", ".parquet", ""])
def test_a_named_pipe_gets_the_bytes_of_the_file(checkpoint, tmp_path, suffix):
    given = ("embed", checkpoint("embed"), "the dog", "a cat", *BACKEND, "-o")
    assert run(*given, tmp_path / f"whole{suffix or '.jsonl'}").code == 0
    pipe = tmp_path / f"pipe{suffix}"
    os.mkfifo(pipe)
    read = []
    reader = threading.Thread(target=lambda: read.append(pipe.read_bytes()))
    reader.start()
    assert run(*given, pipe).code == 0
    reader.join(30)
    assert read == [(tmp_path / f"whole{suffix or '.jsonl'}").read_bytes()]
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    refused(run(*given, pipe, "--resume"), "--resume goes on with a file")


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="opens /dev/stdout")
def test_dev_stdout_is_stdout(checkpoint, tmp_path):
    with open(tmp_path / "rows", "wb") as rows:
        job = process("embed", checkpoint("embed"), "the dog", *BACKEND, "-o", "/dev/stdout", stdout=rows)
        assert job.wait(60) == 0, job.stderr.read()
    job.stderr.close()
    assert json.loads((tmp_path / "rows").read_text())["text"] == "the dog"
    assert Path("/dev/stdout").is_symlink()


# --- streams that are closed, or full -------------------------------------------------------------


def shell(line, **names):
    """A line of sh, with `bertx` for the command."""
    program = " ".join(f"'{part}'" for part in command())
    done = subprocess.run(
        ["sh", "-c", line.replace("bertx", program)],
        capture_output=True,
        env=environment() | {name: str(value) for name, value in names.items()},
        timeout=120,
    )
    return done.returncode, done.stdout.decode(), done.stderr.decode()


def test_closed_streams(checkpoint, tmp_path):
    names = {"MODEL": checkpoint("embed"), "OUT": tmp_path / "out.jsonl"}
    code, _, told = shell('bertx embed "$MODEL" -b numpy <&-', **names)
    assert (code, told) == (2, "bertx: nothing to work on: stdin is closed; give texts or --input FILE\n")
    code, _, told = shell('bertx embed "$MODEL" dog -b numpy >&-', **names)
    assert (code, told) == (2, "bertx: stdout is closed: give --out FILE\n")
    code, _, told = shell('bertx embed "$MODEL" dog -b numpy -o "$OUT" <&- >&- 2>&-', **names)
    assert code == 0
    assert len((tmp_path / "out.jsonl").read_text().splitlines()) == 1  # and nothing of what the libraries print
    code, _, told = shell('bertx inspect "$MODEL" >&-', **names)
    assert (code, told) == (0, "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="has no /dev/full")
@pytest.mark.parametrize("line", ['bertx embed "$MODEL" dog -b numpy', 'bertx inspect "$MODEL"'])
def test_a_full_stdout_is_named_in_one_line(checkpoint, line):
    code, _, told = shell(f"{line} > /dev/full", MODEL=checkpoint("embed"))
    assert (code, told) == (1, "bertx: stdout: No space left on device\n")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="has no /dev/full")
@pytest.mark.parametrize("line", ['embed "$MODEL" dog -b numpy -o /dev/full', 'inspect "$MODEL" --json /dev/full'])
def test_a_full_device_is_named_in_one_line(checkpoint, line):
    code, _, told = shell(f"bertx {line}", MODEL=checkpoint("embed"))
    assert (code, told) == (1, "bertx: /dev/full: No space left on device\n")


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits the size of files")
@pytest.mark.parametrize("suffix", [".jsonl", ".npy", ".parquet"])
@pytest.mark.parametrize("room", [500, 20_000])
def test_a_full_disk_is_named_in_one_line(checkpoint, tmp_path, suffix, room):
    out = tmp_path / f"out{suffix}"
    limit = f"import resource; resource.setrlimit(resource.RLIMIT_FSIZE, ({room}, {room}))"
    given = ("embed", checkpoint("embed"), "-i", write_texts(tmp_path / "in.txt", some_texts(400)), *BACKEND, "-o", out)
    done = subprocess.run(command(*given, window=8, before=limit), capture_output=True, env=environment(), timeout=120)
    lines = done.stderr.decode().splitlines()
    assert done.returncode == 1
    assert len(lines) == 1 and "out" in lines[0] and "File too large" in lines[0], lines
    if room == 500:  # not one chunk is on disk: nothing is left
        assert sorted(os.listdir(tmp_path)) == ["in.txt"]


def test_targets_are_checked_before_the_work(checkpoint, tmp_path, monkeypatch):
    from bertx.cli import verbs

    monkeypatch.setattr(verbs, "loaded", lambda *given: pytest.fail("the model is loaded"))
    (tmp_path / "file").touch()
    folder = checkpoint("embed")
    for arguments in (
        ("embed", folder, "the dog", "-o", tmp_path / "file" / "out.jsonl"),
        ("classify", checkpoint("classify"), "the dog", "-o", tmp_path / "out.npy"),
        ("inspect", folder, "--json", tmp_path / "file" / "report.json"),
        ("parity", folder, "-b", "numpy", "--json", tmp_path / "file" / "report.json"),
        ("convert", folder, tmp_path / "target", "--json", tmp_path / "file" / "report.json"),
        ("rank", folder, "dog", "--docs", write_texts(tmp_path / "d.txt", ["dog"]), "-o", tmp_path / "file" / "o.csv"),
    ):
        done = run(*arguments)
        assert (done.code, done.out) == (2, ""), done
        assert "cannot be written" in done.told or ".npy file holds" in done.told
    assert sorted(os.listdir(tmp_path)) == ["d.txt", "file"]


def test_the_folder_of_a_report_is_made_and_goes_where_nothing_comes_into_it(checkpoint, tmp_path):
    assert run("inspect", checkpoint("embed"), "--json", tmp_path / "new" / "a" / "report.json").code == 0
    assert json.loads((tmp_path / "new" / "a" / "report.json").read_text())["loads"]
    assert run("inspect", tmp_path / "nothing", "--json", tmp_path / "other" / "report.json").code == 1
    assert run("embed", tmp_path / "nothing", "a", "-o", tmp_path / "other" / "out.jsonl", *BACKEND).code == 1
    assert os.listdir(tmp_path) == ["new"]


# --- what is printed ------------------------------------------------------------------------------

EVIL = f"x{ESCAPE}]0;owned\x07{ESCAPE}[2J\x9b31m\r\u202e"


def assert_harmless(done):
    for text in (done.out, done.err):
        assert not [letter for letter in (ESCAPE, "\x07", "\x9b", "\r", "\u202e") if letter in text], repr(text)
    return done


def test_no_verb_prints_an_escape_sequence(tmp_path, monkeypatch):
    folder = write_checkpoint("BertForSequenceClassification", tmp_path / EVIL)
    config = json.loads((folder / "config.json").read_text())
    config["id2label"] = {"0": EVIL, **{str(i): f"L{i}" for i in range(1, 5)}}
    config["label2id"] = {label: int(i) for i, label in config["id2label"].items()}
    (folder / "config.json").write_text(json.dumps(config))
    table = write_csv(tmp_path / "t.csv", [EVIL], [["a"]])
    lines = write_jsonl(tmp_path / "t.jsonl", [{"txt": 1, EVIL: 2}, {"text": 5}, {"text": "ok", EVIL: EVIL}])
    for arguments in (
        ("inspect", folder),
        ("parity", folder, "-b", "numpy"),
        ("convert", folder, tmp_path / f"{EVIL}2"),
        ("convert", folder, folder),
        ("classify", folder, EVIL, "-k", "5", *BACKEND),
        ("classify", folder, "-i", table, *BACKEND),
        ("classify", folder, "-i", lines, *BACKEND),
        ("classify", folder, "-i", lines, "--keep", "all", *BACKEND),
        ("classify", tmp_path / EVIL / "no", "a", *BACKEND),
        ("fill-mask", folder, "a", *BACKEND),
        ("classify", folder, "-i", f"{EVIL}.txt"),
        ("classify", folder, "-o", f"{EVIL}.txt"),
        ("classify", folder, "--backend", EVIL),
        ("classify", folder, f"--{EVIL}"),
        ("inspect", folder, "--task", EVIL),
        (EVIL,),
    ):
        assert_harmless(run(*arguments))


def test_printable_changes_only_what_a_terminal_acts_on():
    from bertx.printable import printable

    assert printable("犬\u3000 👩\u200d💻 é\t\n") == "犬\u3000 👩\u200d💻 é\t\n"
    assert printable("\x1b[2J\x9b\r\x7f\u202e\ud800") == "\\x1b[2J\\x9b\\r\\x7f\\u202e\\ud800"


def test_the_command_line_says_its_own_options(checkpoint, tmp_path):
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "config.json").touch()
    done = run("convert", checkpoint("embed"), tmp_path / "there")
    assert done.code in (1, 2)
    assert "--overwrite" in done.told
    assert "overwrite=True" not in done.told


def test_an_error_names_the_column_that_the_user_has(checkpoint, tmp_path):
    rows = [{"body": 7}, {"body": "a \ud800"}, {"body": "the dog"}]
    raw = [json.dumps(row).encode() for row in rows]
    done = run("embed", checkpoint("embed"), "-i", write_jsonl(tmp_path / "a.jsonl", raw), "-c", "body", *BACKEND)
    assert [row.get("error") for row in done.rows] == [
        "has 7 in 'body', expected a string",
        "has a lone surrogate, which is no text, in 'body'",
        None,
    ]
    choices = write_csv(tmp_path / "a.csv", ["question", "a", "b"], [["who?", "dog", b"\xff"[:0].decode()]])
    done = run("choose", checkpoint("choose"), "-i", choices, "-c", "choices=a,b", *BACKEND)
    assert done.rows[0]["error"] == "has 1 choices: give at least two"


def test_a_surrogate_in_a_column_that_is_kept_fails_its_row_alone(checkpoint, tmp_path):
    raw = [b'{"text": "a", "id": "\\ud800"}', b'{"text": "the dog", "id": 2}']
    file = write_jsonl(tmp_path / "a.jsonl", raw)
    for suffix in (".jsonl", ".csv", ".parquet"):
        out = tmp_path / f"out{suffix}"
        done = run("embed", checkpoint("embed"), "-i", file, "--keep", "id", "-o", out, *BACKEND)
        assert done.code == 1
        assert "bertx: line 1 has a lone surrogate, which is no text, in 'id'" in done.told
    good = json.loads((tmp_path / "out.jsonl").read_text().splitlines()[1])
    assert (good["id"], good["row"], np.shape(good["embedding"])) == (2, 1, (48,))


def test_json_replaces_an_earlier_report_and_nothing_else(checkpoint, tmp_path):
    folder = checkpoint("classify")
    config = (folder / "config.json").read_bytes()
    (tmp_path / "notes.csv").write_text("a,b\n")
    for path in (folder / "config.json", folder / "model.safetensors", tmp_path / "notes.csv"):
        refused(run("inspect", folder, "--json", path), f"{path} is there already and is no report of bertx")
    assert (folder / "config.json").read_bytes() == config
    assert run("inspect", folder, "--json", tmp_path / "report.json").code == 0
    (tmp_path / "empty.json").touch()
    for path in (tmp_path / "report.json", tmp_path / "empty.json"):
        assert run("inspect", folder, "--json", path).code == 0


def test_a_job_does_not_write_what_it_reads(checkpoint, tmp_path):
    table = tmp_path / "in.jsonl"
    table.write_text('{"text": "the dog", "id": 1}\n')
    before = table.read_bytes()
    (tmp_path / "link.jsonl").symlink_to(table)
    for out in (table, tmp_path / "link.jsonl"):
        refused(
            run("embed", checkpoint("embed"), "-i", table, "-o", out, "--overwrite", *BACKEND), "is what the job reads"
        )
        done = run("rank", checkpoint("embed"), "dog", "--docs", table, "-o", out, "--overwrite", *BACKEND)
        refused(done, "is what the job reads")
    assert table.read_bytes() == before


def test_a_column_of_bytes_is_kept_in_parquet_alone(checkpoint, tmp_path):
    pa = pytest.importorskip("pyarrow")
    import pyarrow.parquet as pq

    pq.write_table(pa.table({"text": ["the dog"], "raw": [b"\xff\x00"]}), tmp_path / "in.parquet")
    given = ("embed", checkpoint("embed"), "-i", tmp_path / "in.parquet", "--keep", "raw", *BACKEND)
    for suffix in (".jsonl", ".csv"):
        refused(run(*given, "-o", tmp_path / f"out{suffix}"), "the column 'raw' is of them")
    assert run(*given, "-o", tmp_path / "out.parquet").code == 0
    assert pq.read_table(tmp_path / "out.parquet")["raw"].to_pylist() == [b"\xff\x00"]


@pytest.mark.filterwarnings("always:.*its labels mean nothing:UserWarning")
def test_a_classifier_of_another_head_is_none_of_this(checkpoint):
    """A token classifier's weights have the same names and shapes."""
    folder = checkpoint("classify")
    refused(run("tag", folder, "the dog", *BACKEND), "its classifier was trained in a BertForSequenceClassification")
    done = run("tag", folder, "the dog", *BACKEND, "--untrained")
    assert done.code == 0 and "its labels mean nothing" in done.told
    looked = run("inspect", folder, "--task", "token-classification")
    assert "as a BertForTokenClassification its labels mean nothing" in looked.told + str(looked)


def test_a_file_given_as_a_text_is_refused(checkpoint, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "texts.csv").write_text("text\nthe dog\n")
    refused(run("embed", checkpoint("embed"), "texts.csv", *BACKEND), "texts.csv is a file: give it with --input")
    assert run("embed", checkpoint("embed"), "none.csv", *BACKEND).code == 0


@pytest.mark.parametrize("text", ['\n  {"text": "the cat"}\n', '["the cat", "a dog"]\n', '\n\n["the cat"]\n'])
def test_json_after_blank_lines_or_in_one_array_is_no_text(checkpoint, text):
    refused(run("embed", checkpoint("embed"), *BACKEND, stdin=text.encode()), "--input-format")


def test_a_header_of_one_column_names_the_delimiter_to_try(checkpoint, tmp_path):
    (tmp_path / "in.csv").write_text("id;text\n1;the dog\n")
    refused(run("embed", checkpoint("embed"), "-i", tmp_path / "in.csv", *BACKEND), "give --delimiter ';'")
