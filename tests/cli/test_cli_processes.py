"""What only a process of its own shows: terminals and pipes, and how much memory a long job takes."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import struct
import subprocess
import sys
import termios
import threading

import pytest
from cli_support import (
    BACKEND,
    VERBS,
    command,
    environment,
    run_process,
    some_texts,
    write_checkpoint,
    write_jsonl,
    write_texts,
)

pytest_plugins = "cli_support"

ESCAPE = "\x1b"
CONTROL = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07]*\x07)")


class Terminal:
    """A pseudo-terminal, 40 by 100: what is written there is read until the last writer closes it."""

    def __init__(self):
        self._mine, self.end = os.openpty()
        fcntl.ioctl(self.end, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 100, 0, 0))
        self._read = b""
        self._reader = threading.Thread(target=self._run)

    def _run(self):
        with contextlib.suppress(OSError):  # Linux says so that the other end is closed
            while block := os.read(self._mine, 65536):
                self._read += block

    def started(self):
        """To be called when the process has the terminal."""
        os.close(self.end)
        self._reader.start()

    def text(self) -> str:
        self._reader.join(60)
        os.close(self._mine)
        return self._read.decode()


def on_terminals(arguments, stdout=True, stderr=True, shared=False, **how):
    """Exit code, stdout and stderr of a process that has terminals for these; `shared`: one for both."""
    out = Terminal() if stdout else None
    err = out if shared else Terminal() if stderr else None
    process = subprocess.Popen(
        command(*arguments, **how),
        stdin=subprocess.DEVNULL,
        stdout=out.end if out else subprocess.PIPE,
        stderr=err.end if err else subprocess.PIPE,
        env=environment(),
    )
    for terminal in {out, err} - {None}:
        terminal.started()
    piped_out, piped_err = process.communicate(timeout=120)
    written = out.text() if out else piped_out.decode()
    told = "" if shared else err.text() if err else piped_err.decode()
    return process.returncode, written, told


def plain(text):
    """The lines of a terminal without control sequences and trailing blanks."""
    return [line.rstrip() for line in CONTROL.sub("", text).replace("\r\n", "\n").split("\n")]


@pytest.fixture(scope="module")
def texts(tmp_path_factory):
    """A file of 2,500 texts."""
    return write_texts(tmp_path_factory.mktemp("texts") / "texts.txt", some_texts(2500))


def test_pipes_get_json_lines_and_neither_bar_nor_escape_codes(checkpoint, texts, tmp_path):
    done = run_process("embed", checkpoint("embed"), "-i", texts, *BACKEND)
    assert done.code == 0
    assert [row["line"] for row in done.rows] == list(range(1, 2501))
    assert done.err == ""
    bad = write_texts(tmp_path / "bad.txt", ["nothing", "[MASK]"])
    done = run_process("fill-mask", checkpoint("fill-mask"), "-i", bad, *BACKEND)
    assert done.code == 1
    assert done.err.startswith("bertx: line 1 has no [MASK]")
    assert ESCAPE not in done.out + done.err
    for arguments in (("inspect", checkpoint("embed")), ("embed", "--help"), ("embed", "--nothing")):
        done = run_process(*arguments)
        assert ESCAPE not in done.out + done.err, arguments


def test_a_terminal_gets_a_table(checkpoint):
    code, written, told = on_terminals(
        ["fill-mask", checkpoint("fill-mask"), "the [MASK] [bold]dog[/bold]", "nothing", "-k", "2", *BACKEND],
        stderr=False,
    )
    assert code == 1
    assert told.startswith("bertx: line 2 has no [MASK]")
    assert ESCAPE not in told
    header, first, second, *rest = plain(written)
    assert header.split() == ["text", "words"]
    assert re.fullmatch(r"the \[MASK\] \[bold\]dog\[/bold\]  0\.\d{4}  \S+", first)
    assert re.fullmatch(r" +0\.\d{4}  \S+", second)
    assert rest == [""]


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_a_table_with_its_results(checkpoint, verb, tmp_path):
    file = write_jsonl(tmp_path / "in.jsonl", VERBS[verb].records[:2])
    code, written, told = on_terminals([verb, checkpoint(verb), "-i", file, *BACKEND], stderr=False)
    assert (code, told) == (0, "")
    shown = [name for name in VERBS[verb].results if name not in ("start", "end", "tokens")]
    header = plain(written)[0].split()
    assert [name for name in header if name in shown] == shown
    assert {"line", "error", "start", "end"}.isdisjoint(header)
    assert max(len(line) for line in plain(written)) <= 100


def test_a_terminal_on_stderr_gets_a_bar_and_the_pipe_its_json(checkpoint, texts):
    code, written, told = on_terminals(["embed", checkpoint("embed"), "-i", texts, *BACKEND], stdout=False)
    assert code == 0
    assert len(written.splitlines()) == 2500
    assert ESCAPE not in written
    assert "━" in told
    shown = CONTROL.sub("", told)
    assert "embed" in shown
    # The share done, the number, the rate, and the time left (0:00:03) or taken.
    assert re.search(r"100% 2,500 done, [\d,]+ a second \d:\d\d:\d\d", shown)
    shares = {int(share) for share in re.findall(r"(\d+)%", shown)}
    assert len(shares) > 2, "it moves"


def test_a_bar_and_failures_do_not_mix(checkpoint, tmp_path):
    file = write_texts(tmp_path / "in.txt", ["[MASK]", "nothing", "[MASK]"] * 400)
    code, _, told = on_terminals(["fill-mask", checkpoint("fill-mask"), "-i", file, *BACKEND], stdout=False)
    assert code == 1
    lines = [line.rpartition("\r")[2] for line in plain(told.replace(f"{ESCAPE}[2K", "\r"))]
    numbers = [int(line.split()[2]) for line in lines if line.startswith("bertx: line ")]
    assert numbers == list(range(2, 60, 3))
    assert "bertx: 400 of 1200 lines failed; the others are done" in lines


def test_arguments_have_no_bar(checkpoint):
    _, _, told = on_terminals(["embed", checkpoint("embed"), "the dog", *BACKEND], stdout=False)
    assert "━" not in told


def test_a_resumed_job_has_the_rate_of_its_own_work(checkpoint, small_window, killed, tmp_path):
    given = ["embed", checkpoint("embed"), "-i", write_texts(tmp_path / "in.txt", some_texts(40)), *BACKEND]
    given += ["-o", tmp_path / "out.npy"]
    killed(4, *given)
    # The last 8 texts take half a second and more: 16 a second at most, and 80 with those that were done before.
    code, _, told = on_terminals([*given, "--resume"], stdout=False, window=8, pause=0.5)
    assert code == 0
    shown = CONTROL.sub("", told)
    assert "32 done" in shown
    assert int(re.search(r"40 done, (\d+) a second \d:\d\d:\d\d", shown)[1]) <= 16


def test_nothing_to_work_on_on_a_terminal_is_wrong_usage(checkpoint):
    terminal = Terminal()
    process = subprocess.Popen(
        command("embed", checkpoint("embed"), *BACKEND),
        stdin=terminal.end,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(),
    )
    terminal.started()
    written, told = process.communicate(timeout=60)
    terminal.text()
    assert (process.returncode, written) == (2, b"")
    assert b"nothing to work on: give texts, --input FILE, or a pipe to stdin" in told


@pytest.mark.parametrize("arguments", [(), ("--pooling", "none")], ids=["", "tokens"])
def test_a_reader_that_closes_its_pipe_ends_the_job_quietly(checkpoint, texts, arguments):
    first = subprocess.Popen(
        command("embed", checkpoint("embed"), "-i", texts, *arguments, *BACKEND),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(),
    )
    head = subprocess.run(["head", "-1"], stdin=first.stdout, capture_output=True, timeout=60)
    first.stdout.close()
    told = first.stderr.read()
    first.stderr.close()
    assert json.loads(head.stdout)["line"] == 1
    assert told == b""
    assert first.wait(60) in (0, 1)


# --- memory ---------------------------------------------------------------------------------------

MEMORY = """
import sys
from pathlib import Path
from bertx.cli import main
try:
    main()
except SystemExit as left:
    assert not left.code, left.code
lines = Path("/proc/self/status").read_text().splitlines()
print(next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM:")))
"""


def peak(*arguments):
    """The most memory that a process of this job held, in MB."""
    done = subprocess.run(
        [sys.executable, "-c", MEMORY, *map(str, arguments)], capture_output=True, env=environment(), timeout=600
    )
    assert done.returncode == 0, done.stderr
    return float(done.stdout)


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
# A parquet file is made in groups of 2 ** 15 rows, one of which is in memory: 100,000 rows have whole ones.
@pytest.mark.parametrize(("suffix", "limit"), [(".npy", 30), (".parquet", 60)])
def test_memory_stays_flat_over_100_000_texts(tmp_path, suffix, limit):
    sizes = {"num_hidden_layers": 1, "hidden_size": 12, "num_attention_heads": 2, "intermediate_size": 16}
    given = ("embed", write_checkpoint("BertModel", tmp_path / "model", **sizes), *BACKEND)
    texts = some_texts(100_000)
    small, large = write_texts(tmp_path / "s.txt", texts[:10_000]), write_texts(tmp_path / "l.txt", texts)
    before = peak(*given, "-i", small, "-o", tmp_path / f"small{suffix}")
    after = peak(*given, "-i", large, "-o", tmp_path / f"large{suffix}")
    print(f"{suffix}: {before:.0f} MB for 10,000 texts, {after:.0f} MB for 100,000")
    assert after - before < limit


# --- known bugs -----------------------------------------------------------------------------------


def test_the_bar_and_the_table_do_not_mix_on_one_terminal(checkpoint, tmp_path):
    file = write_texts(tmp_path / "in.txt", ["the dog", "a cat"])
    code, written, _ = on_terminals(["embed", checkpoint("embed"), "-i", file, *BACKEND], shared=True)
    assert code == 0
    lines = [line.rpartition("\r")[2] for line in plain(written.replace(f"{ESCAPE}[2K", "\r"))]
    assert any(line.split()[:2] == ["text", "embedding"] or line.split() == ["text", "embedding"] for line in lines)


def test_a_table_of_generated_text_is_readable(checkpoint):
    _, written, _ = on_terminals(["generate", checkpoint("generate"), "the dog", *BACKEND], stderr=False)
    assert "tokens" not in plain(written)[0].split()
    assert len(plain(written)) <= 4


def test_a_text_does_not_command_the_terminal(checkpoint, tmp_path):
    file = write_texts(tmp_path / "in.txt", [f"the dog{ESCAPE}]0;owned\x07 {ESCAPE}[2J"])
    _, written, _ = on_terminals(["embed", checkpoint("embed"), "-i", file, *BACKEND], stderr=False)
    assert f"{ESCAPE}]0;" not in written
    assert f"{ESCAPE}[2J" not in written


@pytest.mark.parametrize(
    "arguments",
    [("fill-mask", "a [MASK]", "--target", "qwertz"), ("classify", "the dog", "--untrained")],
    ids=["target", "head"],
)
def test_a_warning_is_told_as_the_rest_is(checkpoint, arguments):
    verb, text, *options = arguments
    done = run_process(verb, checkpoint("fill-mask"), text, *options, *BACKEND)
    assert done.code == 0
    assert done.err.startswith("bertx: ")
    assert ".py" not in done.err


def test_a_table_shows_texts_as_they_are(checkpoint, tmp_path):
    file = write_texts(tmp_path / "in.txt", ["犬\u3000猫", "le chien\u00a0!", "a\tb", "👩\u200d💻"])
    _, written, _ = on_terminals(["classify", checkpoint("classify"), "-i", file, *BACKEND], stderr=False)
    assert "\ufffd" not in written
