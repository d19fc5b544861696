"""The folder of fixtures as the tests read it, put together from tests/fixtures.

A fixture is a folder that a test reads, mostly a checkpoint as its real writer wrote it. tests/fixtures has each of
them at its place, with three exceptions that `FIXTURES`, a copy in a temporary folder, has complete:

- shared/: files that many fixtures have in common (a tokenizer, a head's config.json) are stored once, and shared.json
  says which folders have them: {"tokenizer": ["checkpoints/Bert*/flax", …]} puts the files of shared/tokenizer into
  each of those;
- the many small files that Orbax writes are one `params.zip` in place of the folder `params`;
- an h5 file, most of which is empty, is compressed: `tf_model.h5.gz`.

The make_*.py beside the fixtures write into `FIXTURES` and call `store` at the end.
"""

from __future__ import annotations

import atexit
import gzip
import json
import os
import re
import shutil
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

STORED = Path(__file__).parent / "fixtures"
_SHARED = STORED / "shared"
_VARIABLE = "BERTX_TEST_FIXTURES"  # the processes that a test run starts read the same copy


def shared_files() -> Iterator[tuple[str, Path]]:
    """(path in `FIXTURES`, the stored file) of each file that is shared."""
    for name, patterns in json.loads((STORED / "shared.json").read_text()).items():
        files = [path for path in sorted((_SHARED / name).rglob("*")) if path.is_file()]
        for pattern in patterns:
            folders = sorted(STORED.glob(pattern))
            if not folders or not files:
                raise ValueError(f"{STORED / 'shared.json'}: {name}: there is no {'file' if folders else pattern}")
            for folder in folders:
                for path in files:
                    yield str(folder.relative_to(STORED) / path.relative_to(_SHARED / name)), path


def assemble(target: Path) -> None:
    """Makes the complete folder."""
    ignored = shutil.ignore_patterns("shared", "shared.json", "__pycache__")
    shutil.copytree(STORED, target, dirs_exist_ok=True, ignore=ignored)
    for archive in target.rglob("orbax*/*.zip"):
        with zipfile.ZipFile(archive) as opened:
            opened.extractall(archive.with_suffix(""))
        archive.unlink()
    for compressed in target.rglob("*.h5.gz"):
        compressed.with_suffix("").write_bytes(gzip.decompress(compressed.read_bytes()))
        compressed.unlink()
    for name, path in shared_files():
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target / name)


def store(folder: Path) -> None:
    """Replaces a folder of tests/fixtures by its counterpart in `FIXTURES`, without what is shared.

    Raises:
        ValueError: a file differs from the shared one that shared.json puts at its place.
    """
    shared = dict(shared_files())
    files = {str(path.relative_to(FIXTURES)): path for path in sorted(folder.rglob("*")) if path.is_file()}
    changed = [name for name in files if name in shared and files[name].read_bytes() != shared[name].read_bytes()]
    if changed:
        raise ValueError(f"{changed} differ from what {_SHARED} has for them: mend it and shared.json first")
    shutil.rmtree(STORED / folder.relative_to(FIXTURES), ignore_errors=True)
    for name, path in files.items():
        if name in shared:
            continue
        orbax = re.fullmatch("(.*/orbax[^/]*/[^/]+)/(.*)", name)
        target = STORED / (f"{orbax[1]}.zip" if orbax else f"{name}.gz" if path.suffix == ".h5" else name)
        target.parent.mkdir(parents=True, exist_ok=True)
        if orbax:
            with zipfile.ZipFile(target, "a") as archive:
                archive.writestr(zipfile.ZipInfo(orbax[2]), path.read_bytes(), zipfile.ZIP_DEFLATED)
        elif path.suffix == ".h5":
            target.write_bytes(gzip.compress(path.read_bytes(), mtime=0))
        else:
            shutil.copyfile(path, target)


def _made() -> Path:
    if _VARIABLE in os.environ:
        return Path(os.environ[_VARIABLE])
    folder, process = Path(tempfile.mkdtemp(prefix="bertx-fixtures-")), os.getpid()
    assemble(folder)
    os.environ[_VARIABLE] = str(folder)
    atexit.register(lambda: process == os.getpid() and shutil.rmtree(folder, ignore_errors=True))
    return folder


FIXTURES = _made()
CHECKPOINTS = FIXTURES / "checkpoints"
CASES = FIXTURES / "cases"
