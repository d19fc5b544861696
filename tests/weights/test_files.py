"""Files of a checkpoint folder: nothing outside is read, nothing half-written is left, one job writes at a time."""

from __future__ import annotations

import errno
import json
import os
import stat
import subprocess
import sys
import threading
import time

import pytest

from bertx_weights import CheckpointError, read_json, write_atomically
from bertx_weights.files import atomic_path, exists, inside, locked, read_bytes, read_text


def test_a_file_is_replaced_whole_and_nothing_else_is_left(tmp_path):
    (tmp_path / "a.json").write_bytes(b"old")
    with pytest.raises(RuntimeError), atomic_path(tmp_path / "a.json") as temporary:
        temporary.write_bytes(b"half")
        raise RuntimeError
    assert (tmp_path / "a.json").read_bytes() == b"old"
    write_atomically(tmp_path / "a.json", b"new")
    assert (tmp_path / "a.json").read_bytes() == b"new"
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]


def test_permissions_follow_the_umask_which_is_never_changed(tmp_path, monkeypatch):
    before = os.umask(0o027)
    monkeypatch.setattr(os, "umask", None)  # a call would fail
    try:
        write_atomically(tmp_path / "a", b"")
        assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o640
    finally:
        monkeypatch.undo()
        os.umask(before)


def test_what_a_killed_write_left_is_reused(tmp_path):
    code = (
        "import os, sys; from pathlib import Path; from bertx_weights.files import atomic_path\n"
        "with atomic_path(Path(sys.argv[1])) as path:\n    path.write_bytes(b'half'); os.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", code, tmp_path / "a"])
    assert not (tmp_path / "a").exists()
    assert list(tmp_path.iterdir())
    write_atomically(tmp_path / "a", b"whole")
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
    assert (tmp_path / "a").read_bytes() == b"whole"


def test_a_pipe_or_a_device_is_written_to_and_not_replaced(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    found = []
    reader = threading.Thread(target=lambda: found.append((tmp_path / "pipe").read_bytes()))
    reader.start()
    write_atomically(tmp_path / "pipe", b"content")
    reader.join(5)
    assert found == [b"content"]
    assert stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode)
    os.symlink("/dev/null", tmp_path / "nothing")
    write_atomically(tmp_path / "nothing", b"content")
    assert (tmp_path / "nothing").is_symlink()
    assert os.listdir(tmp_path) == ["pipe", "nothing"] or os.listdir(tmp_path) == ["nothing", "pipe"]


def test_threads_that_write_one_file_leave_one_of_their_contents(tmp_path):
    def write(i):
        for _ in range(20):
            write_atomically(tmp_path / "a", b"%d" % i * 1000)

    threads = [threading.Thread(target=write, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    content = (tmp_path / "a").read_bytes()
    assert len(content) == 1000 and len(set(content)) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_a_full_disk_is_reported_with_the_file(tmp_path):
    with pytest.raises(OSError, match=r"a.json") as caught, atomic_path(tmp_path / "a.json"):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert caught.value.errno == errno.ENOSPC
    with pytest.raises(FileNotFoundError, match=r"/none/a.json'$"):
        write_atomically(tmp_path / "none" / "a.json", b"")


def test_a_second_job_on_a_target_is_refused_and_told_whose_it_is(tmp_path):
    with (
        locked(tmp_path / "out"),
        pytest.raises(FileExistsError, match=rf"out is being written.*process {os.getpid()}"),
    ):
        locked(tmp_path / "out").__enter__()
    with locked(tmp_path / "out"):
        pass
    assert not list(tmp_path.iterdir())


def test_the_lock_of_a_killed_job_is_free(tmp_path):
    code = (
        "import sys, time; from pathlib import Path; from bertx_weights.files import locked\n"
        "with locked(Path(sys.argv[1])):\n    print('locked', flush=True); time.sleep(60)"
    )
    job = subprocess.Popen([sys.executable, "-c", code, tmp_path / "out"], stdout=subprocess.PIPE)
    assert job.stdout.readline() == b"locked\n"
    with pytest.raises(FileExistsError, match=f"process {job.pid}"):
        locked(tmp_path / "out").__enter__()
    job.kill()
    job.communicate()
    with locked(tmp_path / "out"):
        pass


def test_who_waits_for_a_lock_never_shares_it(tmp_path):
    inside_now, most = 0, 0

    def work():
        nonlocal inside_now, most
        for _ in range(30):
            with locked(tmp_path / "out", wait=True):
                inside_now += 1
                most = max(most, inside_now)
                time.sleep(0.0005)
                inside_now -= 1

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "name", ["../secret", "/etc/passwd", "", ".", "a//b", "a/../../secret", "a\\b", "a\0b", "x" * 999]
)
def test_a_name_that_leads_out_is_refused(tmp_path, name):
    (tmp_path / "secret").write_text("{}")
    folder = tmp_path / "folder"
    (folder / "a").mkdir(parents=True)
    with pytest.raises(CheckpointError, match=r"folder|not there|name"):
        inside(folder, name)


def test_a_link_out_of_the_folder_is_refused_whatever_the_file_is_called(tmp_path):
    (tmp_path / "secret").write_text("{}")
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "special_tokens_map.json").symlink_to(tmp_path / "secret")
    (folder / "sub").symlink_to(tmp_path)
    for name in ("special_tokens_map.json", "sub/secret"):
        assert exists(folder, name)
        with pytest.raises(CheckpointError, match="outside the folder"):
            inside(folder, name)
    (folder / "round").symlink_to("round")
    with pytest.raises(CheckpointError, match="round"):
        inside(folder, "round")


def test_the_hubs_cache_may_link_to_its_own_blobs_only(tmp_path, monkeypatch):
    model = tmp_path / "models--a--b"
    snapshot = model / "snapshots" / ("0" * 40)
    (snapshot / "1_Pooling").mkdir(parents=True)
    (model / "blobs").mkdir()
    (model / "refs").mkdir()
    for folder in ("blobs", "refs"):
        (model / folder / "x").write_text("{}")
    (snapshot / "config.json").symlink_to("../../blobs/x")
    (snapshot / "1_Pooling" / "config.json").symlink_to("../../../blobs/x")
    (snapshot / "other.json").symlink_to("../../refs/x")
    (tmp_path / "linked").symlink_to(snapshot)
    monkeypatch.chdir(snapshot)
    for folder in (snapshot, tmp_path / "linked", type(snapshot)("."), type(snapshot)("../" + "0" * 40)):
        for name in ("config.json", "1_Pooling/config.json"):
            assert read_json(inside(folder, name)) == {}
        assert read_json(inside(folder / "1_Pooling", "config.json")) == {}
        with pytest.raises(CheckpointError, match="outside the folder"):
            inside(folder, "other.json")


def test_only_regular_files_of_a_size_are_read(tmp_path):
    os.mkfifo(tmp_path / "pipe.json")
    (tmp_path / "folder.json").mkdir()
    for name in ("pipe.json", "folder.json"):
        with pytest.raises(CheckpointError, match="no regular file"):
            inside(tmp_path, name)
        with pytest.raises(CheckpointError, match=r"regular file|directory"):
            read_bytes(tmp_path / name)
    (tmp_path / "large").write_bytes(b"x" * 11)
    with pytest.raises(CheckpointError, match="11 bytes, expected at most 10"):
        read_bytes(tmp_path / "large", largest=10)
    (tmp_path / "latin").write_bytes(b"caf\xe9")
    with pytest.raises(CheckpointError, match="latin is not UTF-8: byte 0xe9 at 3"):
        read_text(tmp_path / "latin")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[1]", "expected a JSON object, found list"),
        ("{", "not JSON"),
        ("{" + '"a": {' * 70 + "}" * 71, "nested more than 64 deep"),
        ('{"a": ' + "[" * 10**5 + "]" * 10**5 + "}", "not JSON|nested"),
        ('{"a": [{"b": "\\ud800"}]}', "'a.b' holds a lone surrogate"),
        ('{"\\udfff": 1}', "lone surrogate"),
        ('{"a": ' + "9" * 5000 + "}", "not JSON"),
    ],
)
def test_json_that_no_checkpoint_has_is_refused_with_the_file(tmp_path, text, problem):
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(CheckpointError, match=f"config.json: .*({problem})"):
        read_json(inside(tmp_path, "config.json"))


def test_json_of_another_kind_can_be_asked_for(tmp_path):
    (tmp_path / "modules.json").write_text(json.dumps([{"type": "x"}]))
    assert read_json(inside(tmp_path, "modules.json"), list) == [{"type": "x"}]
