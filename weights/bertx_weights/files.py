"""The files of a checkpoint folder: read from nowhere else, written whole or not at all, by one job at a time."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

from .errors import CheckpointError

try:
    import fcntl
except ImportError:  # Windows: jobs are not kept apart there
    fcntl = None

# --- writing --------------------------------------------------------------------------------------


@contextlib.contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """A path beside `path` to write to; it replaces `path` when the block ends well, else it is removed.

    What is no regular file, such as /dev/null or a named pipe, is never replaced: the content is written to it.
    A file that a killed process left half-written is reused by the next write.
    """
    if is_special(path):
        with tempfile.TemporaryDirectory() as folder:
            temporary = Path(folder) / "content"
            yield temporary
            with open(temporary, "rb") as content:
                write_through(path, content)
        return
    temporary = hidden_beside(path, "tmp")
    try:
        with locked(temporary, wait=True):
            temporary.unlink(missing_ok=True)
            # A new file, with the permissions that the umask leaves.
            os.close(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666))
            try:
                yield temporary
                with open(temporary, "rb") as written:
                    os.fsync(written.fileno())
                temporary.replace(path)
            finally:
                temporary.unlink(missing_ok=True)
    except OSError as error:  # a full disk names no file, and the names of ours say nothing to a user
        ours = error.filename is None or os.path.basename(str(error.filename)).startswith(temporary.name)
        if error.errno is None or not ours:
            raise
        raise OSError(error.errno, error.strerror, str(path)) from error


def write_atomically(path: Path, content: bytes) -> None:
    """Writes a file; a write that is killed leaves the old file whole."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)


def is_special(path: Path) -> bool:
    """Whether a path is no file or folder, but a device, a pipe or a socket, or names an open file of the process."""
    place = os.path.normpath(path.absolute())
    if place.startswith(("/dev/", "/proc/")) and not place.startswith("/dev/shm/"):
        return True  # /dev/stdout is a link, to whatever stdout is
    try:
        mode = os.stat(path).st_mode
    except OSError:
        return False
    return not stat.S_ISREG(mode) and not stat.S_ISDIR(mode)


def write_through(path: Path, content: IO[bytes]) -> None:
    """Copies the rest of a file to a special one (`is_special`), which is not replaced.

    Raises:
        OSError: with the path, also where the device is full.
    """
    try:
        with open(path, "ab") as target:  # what stdout is may be a file that has something in it
            shutil.copyfileobj(content, target)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error


@contextlib.contextmanager
def locked(target: Path, wait: bool = False) -> Iterator[None]:
    """Keeps every other process and thread from a block that is locked for the same target.

    The lock is on a file `.NAME.lock` beside the target, which is removed at the end. The system drops the lock of a
    process that was killed; its file is reused. Where the file system has no locks the block runs without one.

    Args:
        target: a file or folder, there or not; its parent must be there.
        wait: whether to wait for the other; False raises.

    Raises:
        FileExistsError: another job holds the lock; the message names its process.
    """
    path = hidden_beside(target, "lock")
    handle = _acquire(path, target, wait)
    try:
        yield
    finally:
        if handle is not None:
            try:
                # Before it is unlocked: who waits for it finds that it is gone, and begins anew.
                path.unlink(missing_ok=True)
            finally:
                os.close(handle)


def hidden_beside(path: Path, suffix: str) -> Path:
    """The hidden file or folder that belongs to `path` while that is being written: .NAME.SUFFIX."""
    return path.with_name(f".{path.name.removeprefix('.')}.{suffix}")


def _acquire(path: Path, target: Path, wait: bool) -> int | None:
    while fcntl is not None:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o666)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            if _is_same(handle, path):
                os.truncate(handle, 0)
                os.write(handle, b"%d" % os.getpid())
                return handle
        except BlockingIOError:
            owner = os.pread(handle, 20, 0).decode("ascii", "replace")
            os.close(handle)
            raise FileExistsError(
                f"{target} is being written by another job (process {owner or 'unknown'}): "
                "wait until it ends, or give another target"
            ) from None
        except OSError:  # a file system without locks
            os.close(handle)
            path.unlink(missing_ok=True)
            return None
        except BaseException:  # Ctrl-C while it waits: an open file would keep the lock
            os.close(handle)
            raise
        os.close(handle)
    return None


def _is_same(handle: int, path: Path) -> bool:
    """Whether a path still is the open file."""
    try:
        return os.path.samestat(os.fstat(handle), os.stat(path, follow_symlinks=False))
    except FileNotFoundError:
        return False


# --- reading --------------------------------------------------------------------------------------

LARGEST = 64 * 2**20
LARGEST_JSON = 8 * 2**20  # of a config, an index or a report; of Python objects it takes a second
_DEEPEST = 64


def exists(folder: Path, name: str) -> bool:
    """Whether a folder has an entry of that name, whatever it is; `inside` says whether it can be read."""
    return os.path.lexists(folder / name)


def inside(folder: Path, name: str, named_by: Path | None = None) -> Path:
    """The path of a regular file of a checkpoint folder, or of its subfolders ("1_Pooling/config.json").

    Only the hub's cache may have links, to its own blobs.

    Raises:
        CheckpointError: the name or a link leads out of the folder, or there is no such file, or it may not be read.
    """
    by = f"{named_by} names" if named_by else f"{folder} has"
    if not name or "\\" in name or any(part in ("", ".", "..") for part in name.split("/")):
        raise CheckpointError(f"{by} {name!r:.80}: expected a file of the same folder")
    path = folder / name
    try:
        real = path.resolve()
        mode = os.stat(path).st_mode
    except FileNotFoundError:
        raise CheckpointError(f"{by} {name}, which is not there") from None
    except (OSError, ValueError, RuntimeError) as error:  # a name that no file can have, links in a circle
        raise CheckpointError(f"{by} {name!r:.80}: {getattr(error, 'strerror', None) or error}") from error
    if not any(real.is_relative_to(root) for root in _roots(folder.resolve())):
        raise CheckpointError(f"{by} {name}, a link to {real} outside the folder: copy the file here")
    if not stat.S_ISREG(mode):
        raise CheckpointError(f"{by} {name}, which is no regular file")
    try:  # else each format would take it for a file that is not whole
        os.close(os.open(path, os.O_RDONLY | os.O_CLOEXEC | getattr(os, "O_NONBLOCK", 0)))
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror or error}") from error
    return path


def _roots(folder: Path) -> Iterator[Path]:
    """Where the files of a folder may lie: in it, and for a snapshot of the hub's cache among the model's blobs."""
    yield folder
    for place in (folder, *folder.parents):
        if place.parent.name == "snapshots" and place.parent.parent.name.startswith("models--"):
            yield place.parent.parent / "blobs"


def read_bytes(path: Path, largest: int = LARGEST) -> bytes:
    """The content of a small file that `inside` gave.

    Raises:
        CheckpointError: it cannot be read, is no regular file, or has more than `largest` bytes.
    """
    try:
        # Without O_NONBLOCK a named pipe would wait for a writer.
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | getattr(os, "O_NONBLOCK", 0))
        with open(handle, "rb") as file:
            found = os.fstat(handle)
            if not stat.S_ISREG(found.st_mode):
                raise CheckpointError(f"{path} is no regular file")
            content = file.read(largest + 1) if found.st_size <= largest else b""
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror or error}") from error
    if found.st_size > largest or len(content) > largest:
        raise CheckpointError(f"{path} has {found.st_size} bytes, expected at most {largest}")
    return content


def read_text(path: Path, largest: int = LARGEST) -> str:
    """The content of a small UTF-8 file that `inside` gave.

    Raises:
        CheckpointError: as `read_bytes`, or it is not UTF-8.
    """
    try:
        return read_bytes(path, largest).decode("utf-8")
    except UnicodeDecodeError as error:
        raise CheckpointError(
            f"{path} is not UTF-8: byte 0x{error.object[error.start]:02x} at {error.start}"
        ) from error


def read_json(path: Path, kind: type = dict, largest: int = LARGEST_JSON) -> Any:
    """The value of a JSON file that `inside` gave, of one kind: an object, or a list.

    Raises:
        CheckpointError: as `read_text`; it is not JSON or of another kind; or it is nested deeper than any file of a
            checkpoint, or holds text that is no Unicode.
    """
    return parse_json(read_text(path, largest), path, kind)


def parse_json(text: str, path: Path, kind: type = dict) -> Any:
    """The value of the text of a JSON file; raises as `read_json`."""
    try:
        values = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{path}: not JSON: {error}") from error
    if not isinstance(values, kind):
        expected = {dict: "object", list: "list"}[kind]
        raise CheckpointError(f"{path}: expected a JSON {expected}, found {type(values).__name__}")
    if problem := _problem(values, _SURROGATE.search(text) is not None):
        raise CheckpointError(f"{path}: {problem}")
    return values


_CONTAINERS = {dict, list}
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")  # in JSON, where it is written as an escape


def _problem(values: Any, has_surrogates: bool) -> str | None:
    """Why a JSON value is none that a checkpoint has, if so. A vocabulary has 100,000 parts: this is quick for them."""
    level, key = [("", values)], ""
    for _ in range(_DEEPEST - 1):  # what the innermost hold is a level too
        below = []
        for key, value in level:
            named = value.items() if isinstance(value, dict) else [("", part) for part in value]
            if has_surrogates:
                for name, part in named:
                    if _is_no_text(name) or _is_no_text(part):
                        return f"{ascii(f'{key}.{name}'.strip('.'))[:80]} holds a lone surrogate, which is no text"
            if not _CONTAINERS.isdisjoint(map(type, value.values() if isinstance(value, dict) else value)):
                below += [(f"{key}.{name}".strip("."), part) for name, part in named if type(part) in _CONTAINERS]
        if not below:
            return None
        level = below
    return f"{key[:80]} is nested more than {_DEEPEST} deep"


def _is_no_text(part: Any) -> bool:
    return isinstance(part, str) and any("\ud800" <= letter <= "\udfff" for letter in part)


def shards(folder: Path, index: str) -> dict[str, Path]:
    """The files that an index names: tensor → file.

    Raises:
        CheckpointError: the index is none, or one of its files is missing or lies elsewhere.
    """
    path = inside(folder, index)
    weight_map = read_json(path).get("weight_map")
    if not isinstance(weight_map, dict):
        raise CheckpointError(f"{path}: expected a weight_map from tensors to files")
    if strange := [repr(name) for name in weight_map.values() if not isinstance(name, str) or "/" in name]:
        raise CheckpointError(f"{path}: a shard must be a file of the same folder, found {', '.join(strange[:9])}")
    problems, found = [], {}
    for name in sorted(set(weight_map.values())):
        try:
            found[name] = inside(folder, name, path)
        except CheckpointError as error:
            problems.append(str(error))
    if problems:
        raise CheckpointError("\n  ".join(problems))
    return {tensor: found[name] for tensor, name in weight_map.items()}


def check_index(folder: Path, index: str, expected: Mapping[str, Path], found: Mapping[str, Path]) -> None:
    """Raises CheckpointError for tensors that the index names and its files do not hold."""
    lost = sorted(f"{name} (in {path.name})" for name, path in expected.items() if found.get(name) != path)
    if lost:
        raise CheckpointError(f"{folder / index} names tensors that their shards do not hold: {', '.join(lost)}")
