"""Checkpoints made by hand to harm: each is refused with its place, and costs no more than its size."""

# ruff: noqa: E501  a list of values stays a list of few rows

from __future__ import annotations

import itertools
import json
import os
import pickle
import shutil
import struct
import warnings
import zipfile
import zlib
from pathlib import Path

import h5py
import msgpack
import mutations as m
import numpy as np
import pytest
import torch
from fuzz import CORPUS, FINE, SOFT, Guard, Watch

from bertx.registry import names_of
from bertx_weights import FORMATS as READERS
from bertx_weights import CheckpointError, open_checkpoint, write_safetensors
from bertx_weights.checkpoint import StoredTensor

MODEL = CORPUS / "BertModel"
FOLDERS = {
    "safetensors": MODEL / "safetensors",
    "pytorch": MODEL / "pytorch",
    "tensorflow": MODEL / "tensorflow",
    "flax": MODEL / "flax",
    "npz": MODEL / "safetensors",
    "keras-hub": MODEL / "keras_hub",
    "tf1": MODEL / "tf1",
    "tf2": MODEL / "tf2",
    "orbax": MODEL / "orbax_zarr",
}
WEIGHTS = {
    "safetensors": "model.safetensors",
    "pytorch": "pytorch_model.bin",
    "tensorflow": "tf_model.h5",
    "flax": "flax_model.msgpack",
    "npz": "model.npz",
    "keras-hub": "model.weights.h5",
    "tf1": "bert_model.ckpt.index",
    "tf2": "bert_model.ckpt-1.index",
    "orbax": "params/_METADATA",
}
SHARDED = {
    "safetensors": ("safetensors_sharded", "model.safetensors.index.json"),
    "pytorch": ("pytorch_sharded", "pytorch_model.bin.index.json"),
    "tensorflow": ("tensorflow_sharded", "tf_model.h5.index.json"),
    "flax": ("flax_sharded", "flax_model.msgpack.index.json"),
}
WORDS = "embeddings.word_embeddings.weight"
VOCABULARY, HIDDEN = 41, 12


@pytest.fixture(scope="module")
def guard(tmp_path_factory):
    made = Guard(tmp_path_factory.mktemp("guard"))
    yield made
    made.close()


@pytest.fixture
def refused(guard):
    """Examines a folder: it is refused, for these reasons."""

    def check(form: str, folder: Path, *said: str) -> None:
        outcome, detail = guard(form, folder)
        assert outcome == "refused" or outcome in SOFT.get(form, ()), (outcome, detail)
        for words in said:
            assert words in detail, detail[:2000]

    return check


@pytest.fixture
def copy(tmp_path):
    """A copy of a format's small checkpoint, to be changed."""

    def make(form: str, source: Path | None = None) -> Path:
        folder = tmp_path / "checkpoint"
        if form == "npz":
            folder.mkdir()
            checkpoint = open_checkpoint(FOLDERS["npz"], names_of)
            READERS["npz"].write(folder, checkpoint.config, checkpoint.tensors.values(), names_of(checkpoint.config))
        else:
            shutil.copytree(source or FOLDERS[form], folder, copy_function=shutil.copyfile)
        return folder

    return make


@pytest.mark.parametrize("form", FOLDERS)
def test_the_checkpoints_load_before_they_are_changed(copy, guard, form):
    outcome, detail = guard(form, copy(form))
    assert outcome in FINE and outcome != "refused", detail


# Pickle.


class Bomb:
    """Unpickled by whoever executes pickles, it makes a file."""

    def __init__(self, canary: Path):
        self.canary = canary

    def __reduce__(self):
        return os.system, (f"touch {self.canary}",)


class Calls:
    """Is unpickled as what a function gives."""

    def __init__(self, function, *args):
        self.made = function, args

    def __reduce__(self):
        return self.made


def zipped(path: Path, data_pkl: bytes, storages: dict[str, bytes] | None = None, compress: bool = False) -> None:
    """What torch.save writes, of any pickle."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED if compress else zipfile.ZIP_STORED) as archive:
        archive.writestr("archive/data.pkl", data_pkl)
        archive.writestr("archive/byteorder", "little")
        for name, content in (storages or {}).items():
            archive.writestr(f"archive/data/{name}", content)
        archive.writestr("archive/version", "3\n")


def state() -> dict:
    return dict(torch.load(FOLDERS["pytorch"] / "pytorch_model.bin", weights_only=True))


def saved_with(folder: Path, changes: dict, legacy: bool = False) -> Path:
    torch.save(state() | changes, folder / "pytorch_model.bin", _use_new_zipfile_serialization=not legacy)
    return folder


@pytest.mark.parametrize("where", ["a tensor", "the whole", "plain pickle", "protocol 4", "a shard", "a name"])
@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
def test_no_pickle_is_executed(copy, refused, tmp_path, where, legacy):
    canary = tmp_path / "canary"
    bomb = Bomb(canary)
    if where == "a shard":
        folder = copy("pytorch", CORPUS / "variants" / SHARDED["pytorch"][0])
        torch.save({"x": bomb}, folder / "pytorch_model-00002-of-00003.bin", _use_new_zipfile_serialization=not legacy)
    else:
        folder = copy("pytorch")
        path = folder / "pytorch_model.bin"
        if where in ("plain pickle", "protocol 4"):
            content = pickle.dumps({"x": bomb}, protocol=4 if where == "protocol 4" else 2)
            path.write_bytes(content) if legacy else zipped(path, content)
        else:
            content = {"a tensor": {**state(), "x": bomb}, "the whole": bomb, "a name": {**state(), (1, bomb): 5}}[
                where
            ]
            torch.save(content, path, _use_new_zipfile_serialization=not legacy)
    refused("pytorch", folder, ".bin", "no pickle", "weights_only=False", "safetensors")
    assert not canary.exists()
    if where == "the whole" and not legacy:  # the bomb is one
        torch.load(folder / "pytorch_model.bin", weights_only=False)
        assert canary.exists()


@pytest.mark.parametrize(
    "name", ["eval", "getattr", "__import__", "numpy.load", "torch.load", "torch.hub.load", "torch.serialization.load"]
)
def test_no_function_is_called_by_its_name(copy, refused, tmp_path, name):
    module, _, own = f"builtins.{name}".rpartition(".") if "." not in name else name.rpartition(".")
    folder = copy("pytorch")
    canary = tmp_path / "canary"
    argument = f"__import__('os').mknod({str(canary)!r})".encode()
    content = (
        b"\x80\x02c"
        + module.encode()
        + b"\n"
        + own.encode()
        + b"\nX"
        + struct.pack("<I", len(argument))
        + argument
        + b"\x85R."
    )
    zipped(folder / "pytorch_model.bin", content)
    refused("pytorch", folder, "weights_only=False")
    assert not canary.exists()


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
@pytest.mark.parametrize("kind", ["FloatTensor", "Tensor", "UntypedStorage"])
def test_what_memory_happened_to_hold_is_no_weight(copy, refused, kind, legacy):
    """weights_only calls torch.FloatTensor(41, 12), which is memory that nobody has written to."""
    sizes = (VOCABULARY, HIDDEN) if kind != "UntypedStorage" else (VOCABULARY * HIDDEN * 4,)
    made = Calls(getattr(torch, kind), *sizes)
    if kind == "UntypedStorage":
        empty = Calls(torch.Tensor)
        empty.__class__ = type(
            "Set", (Calls,), {"__reduce__": lambda self: (*self.made, (made, 0, (VOCABULARY, HIDDEN), (HIDDEN, 1)))}
        )
        made = empty
    refused("pytorch", saved_with(copy("pytorch"), {WORDS: made}, legacy), "pytorch_model.bin")


@pytest.mark.parametrize("kind", ["bytearray", "hex", "names", "many names"])
@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
def test_a_small_pickle_fills_no_memory_and_no_time(copy, refused, kind, legacy):
    folder = copy("pytorch")
    match kind:
        case "bytearray":
            refused("pytorch", saved_with(folder, {"x": Calls(bytearray, 2**30)}, legacy))
        case "hex":  # each of a few bytes doubles what there is; hex of bytes are bytes
            content = Calls(bytearray, 2**20)
            for _ in range(10):
                content = Calls(__import__("_codecs").encode, content, "hex")
            refused("pytorch", saved_with(folder, {"x": content}, legacy))
        case "names" | "many names":  # a name that is a tuple of itself twice, 60 times: hashing it takes 2**60 steps
            pairs = b")q\0" + b"".join(b"h" + bytes([i]) + b"\x86q" + bytes([i + 1]) for i in range(60))
            content = b"\x80\x02}" + pairs + b"K\x01s."
            if kind == "many names":
                content = (
                    b"\x80\x02}("
                    + b"".join(b"X" + struct.pack("<I", 6) + b"%06d" % i + b"K\x01" for i in range(10**5))
                    + b"u."
                )
            if legacy:
                (folder / "pytorch_model.bin").write_bytes(
                    pickle.dumps(0x1950A86A20F9469CFC6C, 2) + pickle.dumps(1001, 2) + pickle.dumps({}, 2) + content
                )
            else:
                zipped(folder / "pytorch_model.bin", content)
            refused("pytorch", folder)


def _rebuilt(size, stride, offset=0, *, metadata=None, extra=b"") -> bytes:
    """A state dict of one tensor on a storage of four floats, written as torch does, of any size and stride."""

    def integer(value: int) -> bytes:
        data = value.to_bytes((value.bit_length() + 8) // 8, "little", signed=True)
        return b"\x8a" + bytes([len(data)]) + data

    def text(value: str) -> bytes:
        return b"X" + struct.pack("<I", len(value)) + value.encode()

    storage = b"(" + text("storage") + b"ctorch\nFloatStorage\n" + text("0") + text("cpu") + b"K\x04tQ"
    sizes = b"(" + b"".join(map(integer, size)) + b"t(" + b"".join(map(integer, stride)) + b"t"
    hooks = b"\x89ccollections\nOrderedDict\n)R"
    call = (
        b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage + integer(offset) + sizes + hooks + (metadata or b"") + b"tR"
    )
    return b"\x80\x02}" + text(WORDS) + call + extra + b"s."


@pytest.mark.parametrize(
    ("size", "stride", "offset"),
    [
        ((VOCABULARY, HIDDEN), (0, 0), 0),
        ((VOCABULARY, HIDDEN), (0, 1), 0),
        ((10**6, 10**6), (0, 0), 0),
        ((2**32, 2**32), (0, 0), 0),
        ((2**32, 2**33), (0, 0), 0),
        ((2**62, 4), (4, 1), 0),
        ((2**63 - 1, 2**63 - 1), (2**63 - 1, 1), 0),
        ((2**64, 1), (1, 1), 0),
        ((-1, 4), (1, 1), 0),
        ((2, 2), (-1, 1), 0),
        ((2, 2), (2**62, 1), 0),
        ((2, 2), (2, 1), 1),
        ((2, 2), (2, 1), -1),
        ((2, 2), (2, 1), 2**62),
        ((2, 2), (2, 1), 2**63),
        ((4,), (1, 1), 0),
        ((0, 2**40, 2**40), (1, 1, 1), 0),
        ((0, 2**63 - 1), (1, 1), 0),
    ],
)
def test_a_tensor_beyond_its_storage_is_refused(copy, refused, size, stride, offset):
    folder = copy("pytorch")
    zipped(folder / "pytorch_model.bin", _rebuilt(size, stride, offset), {"0": bytes(16)})
    refused("pytorch", folder, str(folder))


def test_a_negated_tensor_is_read_or_refused(copy, guard):
    folder = copy("pytorch")
    tensors = state()
    tensors[WORDS] = torch._neg_view(tensors[WORDS])
    torch.save(tensors, folder / "pytorch_model.bin")
    outcome, detail = guard("pytorch", folder)
    assert outcome in FINE, (outcome, detail)


@pytest.mark.parametrize(
    "attribute", ["numel", "element_size", "untyped_storage", "detach", "layout", "shape", "dtype", "numpy", "view"]
)
def test_a_tensors_own_attributes_are_not_called(copy, guard, attribute):
    folder = copy("pytorch")
    tensor = state()[WORDS]
    made = Calls(
        torch._tensor._rebuild_from_type_v2, torch._utils._rebuild_tensor_v2, torch.Tensor, None, {attribute: 5}
    )
    inner = (tensor.untyped_storage(), 0, (VOCABULARY, HIDDEN), (HIDDEN, 1), False, {})

    class Typed(Calls):
        def __reduce__(self):
            storage = torch.storage.TypedStorage(wrap_storage=inner[0], dtype=torch.float32, _internal=True)
            return made.made[0], (made.made[1][0], torch.Tensor, (storage, *inner[1:]), {attribute: 5})

    outcome, detail = guard("pytorch", saved_with(folder, {WORDS: Typed(None)}))
    assert outcome in FINE, (outcome, detail)


@pytest.mark.parametrize("attribute", ["items", "keys", "get", "values", "__iter__"])
def test_a_dicts_own_attributes_are_not_called(copy, guard, attribute):
    from collections import OrderedDict

    folder = copy("pytorch")
    tensors = OrderedDict(state())
    setattr(tensors, attribute, 5)

    class Odd:
        def __reduce__(self):
            return OrderedDict, (), {attribute: 5}, None, iter(tensors.items()) if 0 else None

    torch.save(Odd(), folder / "pytorch_model.bin")
    outcome, detail = guard("pytorch", folder)
    assert outcome in FINE, (outcome, detail)


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
def test_tensors_of_other_kinds_are_refused(copy, refused, legacy):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        kinds = [
            torch.eye(3).to_sparse(),
            torch.eye(4).to_sparse_csr(),
            torch.quantize_per_tensor(torch.eye(3), 0.1, 0, torch.qint8),
            torch.empty(10**9, device="meta"),
            torch.ones(3, dtype=torch.float8_e4m3fn),
            [torch.ones(3)] * 3,
            {"x": torch.ones(3)},
            None,
            5,
        ]
    for made in kinds:
        folder = copy("pytorch")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            saved_with(folder, {"x": made}, legacy)
        refused("pytorch", folder, str(folder))
        shutil.rmtree(folder)


def test_a_compressed_zip_is_refused(copy, refused):
    folder = copy("pytorch")
    path = folder / "pytorch_model.bin"
    with zipfile.ZipFile(path) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    refused("pytorch", folder, "compressed")


@pytest.mark.parametrize("tail", [b"", bytes(10**5), b"PK\5\6" + bytes(18)], ids=["no end", "zeros", "two ends"])
def test_a_zip_that_python_and_torch_see_differently_is_no_bomb(copy, refused, tail):
    """A storage of 256 MiB in a quarter of one; what Python takes for no zip, torch might."""
    folder = copy("pytorch")
    path = folder / "pytorch_model.bin"
    zipped(path, _rebuilt((2, 2), (2, 1)).replace(b"K\x04tQ", b"J\0\0\0\4tQ"), {"0": bytes(2**28)}, compress=True)
    content = path.read_bytes()
    path.write_bytes((content[: content.rindex(b"PK\5\6")] if tail == b"" else content) + tail)
    refused("pytorch", folder)


def _evil(kind: str) -> bytes:
    """The pickle of a state dict that no scan of it should let pass."""
    if kind == "memory":
        return pickle.dumps({WORDS: Calls(torch.FloatTensor, VOCABULARY, HIDDEN)}, 2)
    # As above, and after each tuple a protocol: it leaves the stack as it is.
    pairs = b")\x80\x02q\0" + b"".join(b"h" + bytes([i]) + b"\x86\x80\x02q" + bytes([i + 1]) for i in range(60))
    return b"\x80\x02}" + pairs + b"K\x01s."


def _records(pairs: list[tuple[str, bytes]], at: int = 0) -> tuple[bytes, bytes, int]:
    """Local records, their directory, and how many they are, for the place where they will stand."""
    out, directory = bytearray(), b""
    for name, content in pairs:
        own = struct.pack("<HHHHHIIIHH", 20, 0, 0, 0, 0, zlib.crc32(content), len(content), len(content), len(name), 0)
        directory += (
            b"PK\1\2" + struct.pack("<H", 20) + own + struct.pack("<HHHII", 0, 0, 0, 0, at + len(out)) + name.encode()
        )
        out += b"PK\3\4" + own + name.encode() + content
    return bytes(out), directory, len(pairs)


def _end(count: int, size: int, offset: int) -> bytes:
    return b"PK\5\6" + struct.pack("<HHHHIIH", 0, 0, count, count, size, offset, 0)


def _archive(data_pkl: bytes, storage: int = 16) -> list[tuple[str, bytes]]:
    return [("a/data.pkl", data_pkl), ("a/byteorder", b"little"), ("a/data/0", bytes(storage)), ("a/version", b"3\n")]


@pytest.mark.parametrize("kind", ["memory", "time"])
def test_what_is_checked_is_what_is_read(copy, refused, kind):
    folder = copy("pytorch")
    path = folder / "pytorch_model.bin"
    evil, directory, count = _records(_archive(_evil(kind), storage=4096))
    path.write_bytes(evil + directory + _end(count, len(directory), len(evil)))
    refused("pytorch", folder, "no pickle")
    # Two directories: Python takes the one before the end and shifts its offsets, torch the one that the end names.
    harmless = _archive(_rebuilt((2, 2), (2, 1)))
    good = _records(harmless)[0]
    good_directory = _records(harmless, at=len(evil) - len(good))[1]
    path.write_bytes(evil + directory + good + good_directory + _end(count, len(directory), len(evil)))
    with zipfile.ZipFile(path) as archive:
        assert archive.read("a/data.pkl") == harmless[0][1]
    refused("pytorch", folder, "no pickle")


@pytest.mark.parametrize("kind", ["memory", "time"])
def test_a_zip_file_that_python_does_not_see_is_no_pickle(copy, refused, kind):
    """The mark of an end in the last bytes: Python finds no zip file but five harmless pickles, torch finds one."""
    folder = copy("pytorch")
    path = folder / "pytorch_model.bin"
    name = b"\n." + pickle.dumps(1, 2) * 4
    first = b"PK\3\4" + struct.pack("<HHHHHIIIHH", 20, 0, 0, 0, 0, 0, 0, 0, len(name), 0) + name
    records, directory, count = _records(_archive(_evil(kind)), at=len(first))
    path.write_bytes(first + records + directory + _end(count, len(directory), len(first + records)) + b"PK\5\6")
    assert not zipfile.is_zipfile(path)
    refused("pytorch", folder, "no pickle")


def test_storages_that_claim_too_much_are_refused(copy, refused):
    for legacy in (False, True):
        for count in (10**6, 10**10, 2**62, -1):
            folder = copy("pytorch")
            path = folder / "pytorch_model.bin"
            if legacy:
                torch.save({"x": torch.ones(4)}, path, _use_new_zipfile_serialization=False)
                content = path.read_bytes()
                number = count.to_bytes((count.bit_length() + 8) // 8, "little", signed=True)
                at = content.index(b"K\x04N")
                content = content[:at] + b"\x8a" + bytes([len(number)]) + number + content[at + 2 :]
                path.write_bytes(content)
            else:
                number = count.to_bytes((count.bit_length() + 8) // 8, "little", signed=True)
                pickled = _rebuilt((VOCABULARY, HIDDEN), (HIDDEN, 1)).replace(
                    b"K\x04tQ", b"\x8a" + bytes([len(number)]) + number + b"tQ"
                )
                zipped(path, pickled, {"0": bytes(16)})
            refused("pytorch", folder, "pytorch_model.bin")
            shutil.rmtree(folder)


def test_a_deeply_nested_pickle_is_refused(copy, refused):
    folder = copy("pytorch")
    zipped(folder / "pytorch_model.bin", b"\x80\x02" + b"]" * 10**5 + b"a" * (10**5 - 1) + b".")
    refused("pytorch", folder)
    zipped(folder / "pytorch_model.bin", b"\x80\x02}X\x01\0\0\0a" + b"]" * 10**5 + b"a" * (10**5 - 1) + b"s.")
    refused("pytorch", folder)


# NumPy.


def npz_of(folder: Path, entries: dict[str, bytes], method: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(folder / "model.npz", "w", method) as archive:
        for name, content in entries.items():
            archive.writestr(f"{name}.npy", content)
    return folder


def npz_entries(folder: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(folder / "model.npz") as archive:
        return {name.removesuffix(".npy"): archive.read(name) for name in archive.namelist()}


def npy(header: object, data: bytes = b"", version: tuple[int, int] = (1, 0), size: int | None = None) -> bytes:
    text = (header if isinstance(header, str) else repr(header)).encode("latin1") + b"\n"
    width = 2 if version == (1, 0) else 4
    return b"\x93NUMPY" + bytes(version) + (len(text) if size is None else size).to_bytes(width, "little") + text + data


def npy_header(descr: object = "<f4", shape: object = (VOCABULARY, HIDDEN)) -> dict:
    return {"descr": descr, "fortran_order": False, "shape": shape}


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED], ids=["stored", "deflated"])
@pytest.mark.parametrize(
    "content",
    [
        npy(npy_header("|O"), pickle.dumps(np.array([5], object))),
        npy(npy_header([("a", "|O")])),
        npy(npy_header("<f4", (10**6, 10**6))),
        npy(npy_header("<f4", (2**32, 2**32))),
        npy(npy_header("<f4", (2**62, 2**62))),
        npy(npy_header("<f4", (0, 2**62, 2**62))),
        npy(npy_header("<f4", (2**70,))),
        npy(npy_header("<f4", (-1, HIDDEN)), bytes(4 * HIDDEN)),
        npy(npy_header("<f4", (True, HIDDEN)), bytes(4 * HIDDEN)),
        npy(npy_header(("<f4", (10**9,)), (VOCABULARY, HIDDEN))),
        npy(npy_header(("<f4", (2,))), bytes(8 * VOCABULARY * HIDDEN)),
        npy(npy_header("|V2000000000")),
        npy(npy_header("|S0")),
        npy("-" * 9000 + "1"),
        npy("(" * 9000),
        npy("[" * 99 + "]" * 99),
        npy("'''"),
        npy("{'descr': '"),
        npy("{" + "'a': 1, " * 900 + "}"),
        npy("{'descr': '<f4', 'fortran_order': False, 'shape': (1L,)}"),
        npy(npy_header(), size=2**16 - 1),
        npy(npy_header(), version=(2, 0), size=2**32 - 1),
        npy("{" + " " * 60000 + "}", version=(2, 0)),
        npy(npy_header(), version=(9, 9)),
        b"\x93NUMPY",
        b"",
        b"PK\3\4",
    ],
    ids=range(27),
)
def test_an_array_that_is_none_is_refused(copy, refused, content, method):
    folder = copy("npz")
    refused("npz", npz_of(folder, npz_entries(folder) | {WORDS: content}, method), str(folder))


def test_a_zip_bomb_in_an_npz_is_refused(copy, refused):
    folder = copy("npz")
    entries = npz_entries(folder)
    bomb = npy(npy_header("<f4", (2**25,)), bytes(2**27))  # twice what `guard` lets a reader take
    for method in (zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA):
        refused("npz", npz_of(folder, entries | {"x": bomb}, method), str(folder))
    # In the header, which is read before the array is asked for.
    bomb = npy(" " * 2**27, version=(2, 0))
    refused("npz", npz_of(folder, entries | {"x": bomb}, zipfile.ZIP_DEFLATED), str(folder))
    # With a compressed size that the directory overstates.
    npz_of(folder, entries | {"x": bomb}, zipfile.ZIP_DEFLATED)
    content = bytearray((folder / "model.npz").read_bytes())
    at = content.rindex(b"PK\1\2")
    content[at + 20 : at + 24] = struct.pack("<I", 2**31)
    (folder / "model.npz").write_bytes(content)
    refused("npz", folder, str(folder))


@pytest.mark.parametrize("name", ["../x", "/x", "a/b", "", "x\0y", "x" * 60000])
def test_strange_names_in_an_npz_are_refused(copy, refused, name):
    folder = copy("npz")
    refused("npz", npz_of(folder, npz_entries(folder) | {name: npy(npy_header())}), str(folder))


def test_two_entries_of_one_name_in_an_npz_are_refused(copy, refused):
    folder = copy("npz")
    entries = npz_entries(folder)
    with zipfile.ZipFile(folder / "model.npz", "a") as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        archive.writestr(f"{WORDS}.npy", entries[WORDS][:-4] + b"\0\0\0\0")
    refused("npz", folder, WORDS)


def test_an_encrypted_entry_is_refused(copy, refused):
    folder = copy("npz")
    content = bytearray((folder / "model.npz").read_bytes())
    at = content.index(b"PK\1\2")
    content[at + 8] |= 1
    content[6] |= 1
    (folder / "model.npz").write_bytes(content)
    refused("npz", folder, "model.npz")


# msgpack.


def flax_tree() -> dict:
    return msgpack.unpackb((FOLDERS["flax"] / "flax_model.msgpack").read_bytes(), strict_map_key=False)


def flax_array(shape: object, name: object = "float32", buffer: object = b"", code: int = 1) -> msgpack.ExtType:
    return msgpack.ExtType(code, msgpack.packb([shape, name, buffer]))


def flax_of(folder: Path, words: object) -> Path:
    tree = flax_tree()
    tree["embeddings"]["word_embeddings"]["embedding"] = words
    (folder / "flax_model.msgpack").write_bytes(msgpack.packb(tree))
    return folder


WHOLE = bytes(4 * VOCABULARY * HIDDEN)


@pytest.mark.parametrize(
    "words",
    [
        msgpack.ExtType(2, msgpack.packb("1j")),
        msgpack.ExtType(3, msgpack.packb([[], "float32", bytes(4)])),
        msgpack.ExtType(5, b""),
        msgpack.ExtType(1, b""),
        msgpack.ExtType(1, b"\xc1"),
        msgpack.ExtType(1, b"\xdd\xff\xff\xff\xff"),
        msgpack.ExtType(1, b"\x91" * 10**5),
        msgpack.Timestamp(5),
        flax_array([VOCABULARY, HIDDEN], "object", WHOLE),
        flax_array([VOCABULARY, HIDDEN], "O", WHOLE),
        flax_array([VOCABULARY, HIDDEN], "f4,O", WHOLE),
        flax_array([VOCABULARY, HIDDEN], "(41,12)f4", WHOLE),
        flax_array([VOCABULARY, HIDDEN], "(10000,10000,10000)f4", WHOLE),
        flax_array([VOCABULARY, HIDDEN], "(", WHOLE),
        flax_array([VOCABULARY, HIDDEN], "f4,(", WHOLE),
        flax_array([VOCABULARY, HIDDEN], "V0", WHOLE),
        flax_array([VOCABULARY, HIDDEN], "S0", b""),
        flax_array([VOCABULARY, HIDDEN], None, WHOLE * 2),
        flax_array([VOCABULARY, HIDDEN], {"names": ["a"], "formats": ["O"]}, WHOLE),
        flax_array([VOCABULARY, HIDDEN], {"names": 5}, WHOLE),
        flax_array([VOCABULARY, HIDDEN], [["a", "f4"]], WHOLE),
        flax_array([VOCABULARY, HIDDEN], 5, WHOLE),
        flax_array([2**40, 2**40], "float32", b""),
        flax_array([0, 2**63, 2**63], "float32", b""),
        flax_array([2**64 - 1, 0], "float32", b""),
        flax_array([-1, HIDDEN], "float32", WHOLE),
        flax_array([1.0], "float32", bytes(4)),
        flax_array(None, "float32", bytes(4)),
        flax_array({"a": 1}, "float32", bytes(4)),
        flax_array([VOCABULARY, HIDDEN], "float32", "a" * len(WHOLE)),
        flax_array([VOCABULARY, HIDDEN], "float32", None),
        flax_array([VOCABULARY, HIDDEN], "float32", WHOLE[:-1]),
        flax_array([1] * 60, "float32", bytes(4)),
        {"__msgpack_chunked_array__": True},
        {"__msgpack_chunked_array__": True, "shape": {}, "chunks": {}},
        {"__msgpack_chunked_array__": True, "shape": {"0": 2**40}, "chunks": {"0": flax_array([1], "float32", bytes(4))}},
        {"__msgpack_chunked_array__": True, "shape": {"0": 2**63}, "chunks": {"0": flax_array([1], "float32", bytes(4))}},
        {"__msgpack_chunked_array__": True, "shape": {"0": -1}, "chunks": {"0": flax_array([1], "float32", bytes(4))}},
        {"__msgpack_chunked_array__": True, "shape": {"0": -1, "1": HIDDEN}, "chunks": {"0": flax_array([len(WHOLE) // 4], "float32", WHOLE)}},
        {"__msgpack_chunked_array__": True, "shape": {"0": 1}, "chunks": {"1": flax_array([1], "float32", bytes(4))}},
        {"__msgpack_chunked_array__": True, "shape": {"0": 1}, "chunks": {"0": 5}},
        {"__msgpack_chunked_array__": True, "shape": {"0": 1}, "chunks": {"0": {"a": 5}}},
        {"__msgpack_chunked_array__": True, "shape": 5, "chunks": 5},
        {"__msgpack_chunked_array__": True, "shape": [1], "chunks": [flax_array([1], "float32", bytes(4))]},
        {
            "__msgpack_chunked_array__": True,
            "shape": {"0": VOCABULARY, "1": HIDDEN},
            "chunks": {"0": flax_array([1], "float32", bytes(4)), "1": flax_array([VOCABULARY * HIDDEN - 1], "U99", bytes(396 * (VOCABULARY * HIDDEN - 1)))},
        },
        [],
        {},
        5,
        None,
        b"bytes",
        "text",
    ],
    ids=range(51),
)  # fmt: skip
def test_a_msgpack_leaf_that_is_no_array_is_refused(copy, refused, words):
    folder = flax_of(copy("flax"), words)
    refused("flax", folder, str(folder))


@pytest.mark.parametrize(
    "content",
    [
        b"\xdf\xff\xff\xff\xff",
        b"\xdd\xff\xff\xff\xff",
        b"\xc6\xff\xff\xff\xff",
        b"\xdb\xff\xff\xff\xff",
        b"\xc9\xff\xff\xff\xff\x01",
        b"\x81\xa1a" * 10**5,
        b"\x81\xa1a" * 900 + b"\xc0",
        b"\x81\xa1a" * 1020 + b"\xc0",
        b"\x91" * 10**5 + b"\xc0",
        b"\x81\x91" * 10**5,
        b"\xdf\x00\x01\x00\x00" + b"\xa1a\xc0" * 2**16,
        b"\x82\xa1a\xc0\xa1a\xc0",
        b"\x81\xc0\xc0",
        b"\xc1",
        b"",
        b"\x80\x80",
        b"\xc0" * 10**6,
        b"\xde\xff\xff" + b"".join(b"\xcd" + struct.pack(">H", i) + b"\xc0" for i in range(2**16 - 1)),
    ],
    ids=range(18),
)
def test_msgpack_of_another_structure_is_refused(copy, refused, content):
    folder = copy("flax")
    (folder / "flax_model.msgpack").write_bytes(content)
    refused("flax", folder, "flax_model.msgpack")


@pytest.mark.parametrize("depth", [800, 990, 1020])
def test_long_names_in_deep_maps_fill_no_memory(copy, refused, depth):
    """Each leaf's name is that of all maps around it: megabytes, for a leaf of ten bytes."""
    scalar = msgpack.packb(flax_array([], "int8", b"\0"))
    packer = msgpack.Packer()
    leaves = packer.pack_map_header(20000) + b"".join(packer.pack(str(i)) + scalar for i in range(20000))
    nested = b"".join(b"\x81" + packer.pack("x" * 4000) for _ in range(depth))
    folder = copy("flax")
    (folder / "flax_model.msgpack").write_bytes(nested + leaves)
    refused("flax", folder, "flax_model.msgpack")


# HDF5.


def h5_of(form: str, folder: Path, change) -> Path:
    with h5py.File(folder / WEIGHTS[form], "r+") as file:
        found = []
        place = "word_embeddings" if form == "tensorflow" else "reversible_embedding"
        file.visititems(
            lambda name, item: found.append(item) if isinstance(item, h5py.Dataset) and place in name else None
        )
        name, values = found[0].name, found[0][()]
        parent = found[0].parent
        del parent[name.rpartition("/")[2]]
        change(file, parent, name.rpartition("/")[2], values)
    return folder


def _external(file, parent, name, values):
    parent[name] = h5py.ExternalLink("../outside/seed.h5", "/x")


def _external_absolute(file, parent, name, values):
    parent[name] = h5py.ExternalLink("/etc/passwd", "/x")


def _soft(file, parent, name, values):
    file["elsewhere"] = values
    parent[name] = h5py.SoftLink("/elsewhere")


def _dangling(file, parent, name, values):
    parent[name] = h5py.SoftLink("/nowhere")


def _virtual(file, parent, name, values):
    layout = h5py.VirtualLayout(values.shape, values.dtype)
    layout[...] = h5py.VirtualSource("../outside/seed.h5", "/x", values.shape)
    parent.create_virtual_dataset(name, layout)


def _virtual_self(file, parent, name, values):
    file["elsewhere"] = values
    layout = h5py.VirtualLayout(values.shape, values.dtype)
    layout[...] = h5py.VirtualSource(".", "/elsewhere", values.shape)
    parent.create_virtual_dataset(name, layout)


def _external_storage(file, parent, name, values):
    parent.create_dataset(name, values.shape, values.dtype, external=[("/etc/passwd", 0, values.nbytes)])


def _huge(file, parent, name, values):
    parent.create_dataset(name, (2**40, 2**10), "f4", fillvalue=1)


def _huge_chunks(file, parent, name, values):
    parent.create_dataset(name, (2**20, 2**20), "f4", chunks=(2**10, 2**10))


def _unstored(file, parent, name, values):
    parent.create_dataset(name, values.shape, "f4", fillvalue=7)


def _unstored_chunks(file, parent, name, values):
    parent.create_dataset(name, values.shape, "f4", chunks=True, fillvalue=7)


def _gzip_bomb(file, parent, name, values):
    parent.create_dataset(
        name, (2**13, 2**13), "f4", chunks=(2**10, 2**10), compression="gzip", data=np.zeros((2**13, 2**13), "f4")
    )


def _one_of_many_chunks(file, parent, name, values):
    parent.create_dataset(name, (2**13, 2**13), "f4", chunks=(2**10, 2**10))[:1, :1] = 1


def _vlen(file, parent, name, values):
    parent.create_dataset(name, (4,), h5py.vlen_dtype("f4"))[0] = np.ones(10, "f4")


def _string(file, parent, name, values):
    parent.create_dataset(name, data=["a"] * 5, dtype=h5py.string_dtype())


def _reference(file, parent, name, values):
    parent.create_dataset(name, (2,), h5py.ref_dtype)[0] = file.ref


def _compound(file, parent, name, values):
    parent.create_dataset(name, (2,), np.dtype([("a", "f4"), ("b", "f4")]))


def _array_type(file, parent, name, values):
    parent.create_dataset(name, (VOCABULARY,), np.dtype(("f4", (HIDDEN,))))


def _enum(file, parent, name, values):
    parent.create_dataset(name, values.shape, h5py.enum_dtype({"A": 0}, "i4"))


def _complex(file, parent, name, values):
    parent.create_dataset(name, data=values.astype("c8"))


def _opaque(file, parent, name, values):
    parent.create_dataset(name, values.shape, h5py.opaque_dtype(np.dtype("V4")))


def _null(file, parent, name, values):
    parent.create_dataset(name, data=h5py.Empty("f4"))


def _scalar(file, parent, name, values):
    parent.create_dataset(name, data=np.float32(5))


def _named_type(file, parent, name, values):
    parent[name] = np.dtype("f4")


def _cycle(file, parent, name, values):
    parent[name] = file["/"]


def _cycles(file, parent, name, values):
    for i in range(10):
        parent[f"{name}{i}"] = parent


def _ladder(file, parent, name, values):
    made = [parent.create_group(f"ladder{i}") for i in range(14)]
    for a, b in itertools.pairwise(made):
        for i in range(8):
            a[str(i)] = b


def _many(file, parent, name, values):
    for i in range(20000):
        parent.create_group(f"{name}{i}")


def _many_names_of_one(file, parent, name, values):
    file["elsewhere"] = np.zeros(2**22, "f4")
    for i in range(5000):
        parent[f"{name}{i}"] = file["elsewhere"]


_H5 = (
    _external, _external_absolute, _soft, _dangling, _virtual, _virtual_self, _external_storage, _huge, _huge_chunks, _unstored,
    _unstored_chunks, _gzip_bomb, _one_of_many_chunks, _vlen, _string, _reference, _compound, _array_type, _enum, _complex, _opaque,
    _null, _scalar, _named_type, _cycle, _cycles, _ladder, _many, _many_names_of_one,
)  # fmt: skip


@pytest.mark.parametrize("change", _H5, ids=lambda change: change.__name__.strip("_"))
@pytest.mark.parametrize("form", ["tensorflow", "keras-hub"])
def test_an_h5_file_that_is_more_than_arrays_is_refused(copy, refused, form, change):
    folder = h5_of(form, copy(form), change)
    refused(form, folder, str(folder))


def test_a_filter_that_is_a_plugin_is_not_looked_for_in_the_folder(copy, refused):
    def change(file, parent, name, values):
        created = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        created.set_chunk(values.shape)
        created.set_filter(32015, h5py.h5z.FLAG_OPTIONAL, ())
        h5py.h5d.create(parent.id, name.encode(), h5py.h5t.NATIVE_FLOAT, h5py.h5s.create_simple(values.shape), created)
        parent[name].id.write_direct_chunk((0, 0), values.tobytes())

    refused("tensorflow", h5_of("tensorflow", copy("tensorflow"), change), "tf_model.h5")


def test_a_chunk_that_claims_more_than_the_file_has_is_refused(copy, refused):
    """A dataset as the config wants it, of 12 GiB, whose one chunk says in the B-tree that it has 4 GiB."""
    folder = copy("tensorflow")
    rows = 2**28

    def change(file, parent, name, values):
        made = parent.create_dataset(name, (rows, HIDDEN), "f4", chunks=(rows // 4, 1), compression="gzip")
        made.id.write_direct_chunk((0, 0), b"x" * 997)

    h5_of("tensorflow", folder, change)
    content = (folder / "tf_model.h5").read_bytes()
    assert content.count(struct.pack("<I", 997)) == 1
    (folder / "tf_model.h5").write_bytes(content.replace(struct.pack("<I", 997), b"\xff\xff\xff\xff"))
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"vocab_size": rows, "pad_token_id": 0}))
    refused("tensorflow", folder, str(folder))


# safetensors.


def safetensors_of(folder: Path, header: object, data: bytes = b"", size: int | None = None) -> Path:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    (folder / "model.safetensors").write_bytes(
        (len(text) if size is None else size).to_bytes(8, "little") + text + data
    )
    return folder


def _entry(shape, begin, end, dtype="F32"):
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


@pytest.mark.parametrize("size", [0, 1, 7, 2**20, 2**31, 2**32, 2**63 - 1, 2**63, 2**64 - 1])
def test_a_header_of_a_wrong_length_is_refused(copy, refused, size):
    refused(
        "safetensors",
        safetensors_of(copy("safetensors"), {WORDS: _entry([4], 0, 16)}, bytes(16), size),
        "model.safetensors",
    )


@pytest.mark.parametrize(
    "header",
    [
        {"a": _entry([4], 0, 16), "b": _entry([4], 8, 24)},
        {"a": _entry([4], 0, 16), "b": _entry([4], 0, 16)},
        {"a": _entry([4], 0, 16), "b": _entry([1], 20, 24)},
        {"a": _entry([4], 8, 24)},
        {"a": _entry([2**32, 2**32], 0, 24)},
        {"a": _entry([2**63, 2], 0, 24)},
        {"a": _entry([2**64], 0, 24)},
        {"a": _entry([6], 24, 0)},
        {"a": _entry([6], -24, 0)},
        {"a": _entry([6], 2**64 - 24, 2**64)},
        {"a": _entry([6], 0.0, 24.0)},
        {"a": _entry(["6"], 0, 24)},
        {"a": _entry([-6], 0, 24)},
        {"a": _entry(6, 0, 24)},
        {"a": _entry([6], 0, 24, "F31")},
        {"a": _entry([6], 0, 24, "F8_E4M3")},
        {"a": _entry([48], 0, 24, "F4")},
        {"a": _entry([6], 0, 24), "b": _entry([0, 2**63 - 1], 24, 24)},
        {"a": _entry([6], 0, 24), "b": _entry([0, 2**40, 2**40], 24, 24)},
        {"a": _entry([6], 0, 24), "b": _entry([2**63, 0], 24, 24)},
        {"a": _entry([1] * 70, 0, 4), "b": _entry([5], 4, 24)},
        {"a": 5},
        {"a": {}},
        {"a": [[6], "F32", [0, 24]]},
        {"__metadata__": 5, "a": _entry([6], 0, 24)},
        {"__metadata__": {"a": 5}, "a": _entry([6], 0, 24)},
        [],
        5,
        None,
        b'{"a":{"dtype":"F32","shape":[6],"data_offsets":[0,24]},"a":{"dtype":"F32","shape":[6],"data_offsets":[0,24]}}',
        b'{"a":{"dtype":"F32","shape":[6],"shape":[6],"data_offsets":[0,24]}}',
        b'{"a":' * 10**5 + b"1" + b"}" * 10**5,
        b"[" * 10**5,
        b'{"a":{"dtype":"F32","shape":[NaN],"data_offsets":[0,24]}}',
        b'{"\\ud800":{"dtype":"F32","shape":[6],"data_offsets":[0,24]}}',
        b'{"\xff":{"dtype":"F32","shape":[6],"data_offsets":[0,24]}}',
        b"",
    ],
    ids=range(37),
)
def test_a_safetensors_header_that_lies_is_refused(copy, refused, header):
    refused("safetensors", safetensors_of(copy("safetensors"), header, bytes(24)), "checkpoint")


@pytest.mark.parametrize("form", ["safetensors", "flax", "npz", "tensorflow"])
def test_many_strange_tensors_cost_no_minutes(copy, refused, form):
    """Each unexpected name is compared with all that are known, to say which is the nearest."""
    names = [f"bert.encoder.layer.{i}.attention.output.dense.weigth" for i in range(20000)]
    folder = copy(form)
    empty = np.empty(0, "f4")
    match form:
        case "safetensors":
            write_safetensors(folder, {name: StoredTensor.of_array(name, empty) for name in names})
        case "flax":
            (folder / "flax_model.msgpack").write_bytes(msgpack.packb({name: flax_array([0]) for name in names}))
        case "npz":
            npz_of(folder, {name: npy(npy_header("<f4", (0,))) for name in names})
        case "tensorflow":
            with h5py.File(folder / "tf_model.h5", "w") as file:
                for name in names[:5000]:
                    file[name] = np.float32(1)
    refused(form, folder, str(folder))


# Few bytes that are many tensors.


@pytest.mark.parametrize("form", ["tensorflow", "keras-hub"])
@pytest.mark.parametrize("kind", ["groups", "a circle", "datasets"])
def test_what_has_several_names_in_an_h5_file_is_refused(copy, refused, form, kind):
    """Ten links to each group make 10¹⁴ paths of fourteen groups."""

    def change(file, parent, name, values):
        parent[name] = values
        if kind == "groups":
            group = file.create_group("a")
            for _ in range(13):
                below = group.create_group("0")
                for i in range(1, 10):
                    group[str(i)] = below
                group = below
        elif kind == "a circle":
            file.create_group("a")["up"] = file["/"]
        else:
            file["again"] = parent[name]

    folder = h5_of(form, copy(form), change)
    refused(form, folder, str(folder), "by another name")


def large_of(folder: Path, file: str = "config.json", **changes: int) -> dict[str, tuple[int, ...]]:
    """The config of a larger model, and the shapes of its tensors by their hub names."""
    from bertx import BertConfig
    from bertx.registry import schema

    path = folder / file
    values = json.loads(path.read_text()) | changes
    path.write_text(json.dumps(values))
    return {row.name: row.shape for row in schema("BertModel", BertConfig.from_dict(values))}


def test_zeros_that_unfold_to_more_are_refused(copy, refused):
    """2.5 MB of a compressed archive are 2.5 GB."""
    folder = copy("npz")
    shapes = large_of(folder, vocab_size=2**20)
    with zipfile.ZipFile(folder / "model.npz", "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name, shape in shapes.items():
            with archive.open(f"{name}.npy", "w") as entry:
                np.lib.format.write_array(entry, np.zeros(shape, "f8"))
    assert (folder / "model.npz").stat().st_size < 2**20
    refused("npz", folder, str(folder), "times its files'")


def test_a_storage_that_many_tensors_share_is_refused(copy, refused):
    folder = copy("pytorch")
    shapes = large_of(folder, num_hidden_layers=300, intermediate_size=20000)
    storage = torch.zeros(max(map(np.prod, shapes.values())))
    tensors = {name: storage[: int(np.prod(shape))].reshape(shape) for name, shape in shapes.items()}
    torch.save(tensors, folder / "pytorch_model.bin")
    refused("pytorch", folder, str(folder), "times its files'")


def test_values_that_many_variables_share_are_refused(copy, refused):
    """The entries of a bundle may name the same bytes."""
    from bertx_weights.formats import tf1
    from bertx_weights.naming.rules import Naming, table_of
    from bertx_weights.naming.tables import both_ways

    folder = copy("tf1")
    shapes = large_of(folder, "bert_config.json", num_hidden_layers=300, intermediate_size=20000)
    _, writing = both_ways(table_of(names_of({}), Naming(), tf1.RULE), 300)
    data = bytes(4 * 20000 * HIDDEN)
    (folder / "bert_model.ckpt.data-00000-of-00001").write_bytes(data)

    def change(entries):
        header = entries[b""]
        entries.clear()
        entries[b""] = header
        for name, shape in shapes.items():
            stored, layout = writing[f"bert.{name}"]
            size = 4 * int(np.prod(shape))
            sizes = _shape(*(shape[::-1] if layout == "kernel" else shape))
            entries[stored.encode()] = bundle_entry(shape=sizes, size=size, crc=m.masked(m.crc32c(b"")))

    refused("tf1", index_of(folder, "tf1", change), str(folder), "times its files'")


@pytest.mark.parametrize("form", FOLDERS)
def test_more_layers_than_any_model_has_are_refused_at_once(copy, refused, form):
    folder = copy(form)
    file = "bert_config.json" if form in ("tf1", "tf2") else "config.json"
    values = json.loads((folder / file).read_text())
    of_keras = values["config"] if form == "keras-hub" else values
    of_keras["num_layers" if form == "keras-hub" else "num_hidden_layers"] = 5000
    (folder / file).write_text(json.dumps(values))
    if form == "safetensors":  # as many tensors as layers
        empty = np.empty(0, "f4")
        write_safetensors(folder, {f"x{i}": StoredTensor.of_array(f"x{i}", empty) for i in range(6000)})
    refused(form, folder, str(folder), "num_hidden_layers is 5000")


# Index files, names and links.


BAD_NAMES = (
    "../outside/{}",
    "/etc/passwd",
    "./{}",
    "a/../{}",
    "sub/{}",
    "..",
    ".",
    "",
    "a\0b",
    "\ud800",
    "x" * 5000,
    "folder",
    "fifo",
    "~/{}",
)


@pytest.mark.parametrize("name", [*BAD_NAMES, 5, None, [], {}, True], ids=repr)
@pytest.mark.parametrize("form", SHARDED)
def test_an_index_names_files_of_its_folder_only(copy, refused, guard, form, name):
    variant, index = SHARDED[form]
    folder = copy(form, CORPUS / "variants" / variant)
    (folder / "folder").mkdir()
    os.mkfifo(folder / "fifo")
    values = json.loads((folder / index).read_text())
    shard = next(iter(values["weight_map"].values()))
    outside = folder.parent / "outside"
    outside.mkdir()
    shutil.copyfile(folder / shard, outside / shard)
    (folder / "sub").mkdir()
    shutil.copyfile(folder / shard, folder / "sub" / shard)
    bad = name.format(shard) if isinstance(name, str) else name
    values["weight_map"] = {key: bad if value == shard else value for key, value in values["weight_map"].items()}
    (folder / index).write_text(json.dumps(values))
    refused(form, folder, str(folder))


@pytest.mark.parametrize("form", FOLDERS)
@pytest.mark.parametrize("kind", ["outside", "device", "loop", "nowhere", "fifo", "folder", "socket"])
def test_weights_that_are_no_file_of_the_folder_are_refused(copy, refused, form, kind):
    import socket

    folder = copy(form)
    name = WEIGHTS[form]
    path = folder / name
    outside = folder.parent / "outside"
    outside.mkdir()
    shutil.copyfile(path, outside / path.name)
    path.unlink()
    match kind:
        case "outside":
            path.symlink_to(outside / path.name)
        case "device":
            path.symlink_to("/dev/zero")
        case "loop":
            path.symlink_to(path.name)
        case "nowhere":
            path.symlink_to("nowhere")
        case "fifo":
            os.mkfifo(path)
        case "folder":
            path.mkdir()
        case "socket":
            here = Path.cwd()
            os.chdir(path.parent)
            try:
                with socket.socket(socket.AF_UNIX) as made:
                    made.bind(path.name)
            finally:
                os.chdir(here)
    refused(form, folder, str(folder))


@pytest.mark.parametrize("form", FOLDERS)
@pytest.mark.parametrize("kind", ["outside", "device", "fifo", "folder"])
def test_a_config_that_is_no_file_of_the_folder_is_refused(copy, refused, form, kind):
    folder = copy(form)
    path = folder / ("bert_config.json" if form in ("tf1", "tf2") else "config.json")
    other = folder.parent / "outside.json"
    path.rename(other)
    match kind:
        case "outside":
            path.symlink_to(other)
        case "device":
            path.symlink_to("/dev/zero")
        case "fifo":
            os.mkfifo(path)
        case "folder":
            path.mkdir()
    refused(form, folder, str(folder))


@pytest.mark.parametrize("form", ["tf1", "tf2", "orbax"])
def test_data_that_leads_out_of_the_folder_is_refused(copy, refused, form):
    folder = copy(form)
    outside = folder.parent / "outside"
    outside.mkdir()
    for path in [
        path
        for path in sorted(folder.rglob("*"))
        if path.is_file() and (".data-" in path.name or path.name in ("0", "0.0"))
    ]:
        other = outside / f"{len(list(outside.iterdir()))}"
        path.rename(other)
        path.symlink_to(other)
    refused(form, folder, str(folder))


def test_a_folder_of_orbax_that_leads_out_is_refused(copy, refused):
    folder = copy("orbax")
    (folder / "params").rename(folder.parent / "outside")
    (folder / "params").symlink_to(folder.parent / "outside")
    refused("orbax", folder, str(folder))


def test_an_array_of_orbax_that_leads_out_is_refused(copy, refused):
    folder = copy("orbax")
    array = next(path for path in sorted((folder / "params").iterdir()) if path.is_dir() and "word" in path.name)
    array.rename(folder.parent / "outside")
    array.symlink_to(folder.parent / "outside")
    refused("orbax", folder, str(folder))


@pytest.mark.parametrize("form", FOLDERS)
def test_the_hubs_cache_may_link_to_its_blobs(copy, guard, form):
    source = copy(form)
    cache = source.parent / "models--a--b"
    (cache / "blobs").mkdir(parents=True)
    snapshot = cache / "snapshots" / "0123"
    for i, path in enumerate(sorted(path for path in source.rglob("*") if path.is_file())):
        link = snapshot / path.relative_to(source)
        link.parent.mkdir(parents=True, exist_ok=True)
        path.rename(cache / "blobs" / f"{i:04}")
        link.symlink_to(os.path.relpath(cache / "blobs" / f"{i:04}", link.parent))
    outcome, detail = guard(form, snapshot)
    # Of Orbax' folders only the regular files are taken.
    assert outcome in FINE and (outcome != "refused" or form == "orbax"), (outcome, detail)


@pytest.mark.parametrize(
    "name",
    ["**.index", "[x.index", "?.index", ".index", "a.index", "x-².index", "x-" + "9" * 200 + ".index", "\n.index"],
)
@pytest.mark.parametrize("kind", ["file", "fifo", "device", "folder"])
def test_a_strange_index_beside_a_checkpoint_harms_nothing(copy, guard, name, kind):
    folder = copy("tf1")
    path = folder / name
    {
        "file": lambda: path.write_bytes(b"x"),
        "fifo": lambda: os.mkfifo(path),
        "device": lambda: path.symlink_to("/dev/zero"),
        "folder": path.mkdir,
    }[kind]()
    (folder / f"{path.stem}.data-00000-of-00001").write_bytes(b"x")
    outcome, detail = guard("tf1", folder)
    assert outcome in FINE, (outcome, detail)


@pytest.mark.parametrize(
    "name", ["a-²/_METADATA", "²/default/_METADATA", "9999999999/default/_METADATA", "a/b/c/d/e/_METADATA"]
)
def test_a_strange_folder_beside_an_orbax_checkpoint_harms_nothing(copy, guard, name):
    folder = copy("orbax")
    (folder / name).parent.mkdir(parents=True)
    (folder / name).write_text("{}")
    outcome, detail = guard("orbax", folder)
    assert outcome in FINE, (outcome, detail)


# Configs.


CONFIGS = {
    "layers": {"num_hidden_layers": 10**12, "num_layers": 10**12},
    "more layers": {"num_hidden_layers": 10**5, "num_layers": 10**5},
    "negative layers": {"num_hidden_layers": -(10**12), "num_layers": -(10**12)},
    "layers as text": {"num_hidden_layers": "2", "num_layers": "2"},
    "half a layer": {"num_hidden_layers": 2.5, "num_layers": 2.5},
    "no number of layers": {"num_hidden_layers": None, "num_layers": None},
    "a list of layers": {"num_hidden_layers": [2], "num_layers": [2]},
    "true layers": {"num_hidden_layers": True, "num_layers": True},
    "hidden": {"hidden_size": 3 * 10**12, "hidden_dim": 3 * 10**12},
    "hidden beyond 64 bits": {"hidden_size": 3 * 10**40, "hidden_dim": 3 * 10**40},
    "vocabulary": {"vocab_size": 10**15, "vocabulary_size": 10**15},
    "heads": {"num_attention_heads": 0, "num_heads": 0},
    "labels": {"num_labels": 10**12, "id2label": None},
    "labels as text": {"num_labels": "x"},
    "label names": {"id2label": {"0": []}, "label2id": None},
    "label ids": {"id2label": {"9" * 5000: "a"}},
    "label ids of another script": {"id2label": {"²": "a"}},
    "epsilon": {"layer_norm_eps": 10**400},
    "dropout": {"hidden_dropout_prob": 10**400, "dropout": 10**400},
    "activation": {"hidden_act": "os.system"},
    "activations": {"hidden_act": ["gelu"]},
    "architectures": {"architectures": [None]},
    "an architecture": {"architectures": 5},
    "architectures in architectures": {"architectures": [["BertModel"]]},
    "decoder": {"is_decoder": [1]},
    "cache": {"use_cache": {}},
    "ties": {"tie_word_embeddings": []},
    "start": {"bos_token_id": []},
    "end": {"eos_token_id": {}},
    "dtype": {"dtype": {"a": 1}},
    "problem": {"problem_type": []},
    "positions": {"position_embedding_type": []},
    "type": {"model_type": []},
    "padding": {"pad_token_id": []},
}


@pytest.mark.parametrize("form", FOLDERS)
@pytest.mark.parametrize("case", CONFIGS)
def test_a_config_that_lies_is_an_error_with_its_place(copy, guard, form, case):
    folder = copy(form)
    path = folder / ("bert_config.json" if form in ("tf1", "tf2") else "config.json")
    values = json.loads(path.read_text())
    if form == "keras-hub":
        values["config"] |= CONFIGS[case]
        (folder / "bert_config.json").write_text(json.dumps(CONFIGS[case]))
    path.write_text(json.dumps(values | CONFIGS[case]))
    outcome, detail = guard(form, folder)
    assert outcome in FINE, (outcome, detail)


TEXTS = {
    "100 MB": b'{"a": "' + b"x" * 10**8 + b'"}',
    "100 MB of space": b"{" + b" " * 10**8 + b"}",
    "60 MB of objects": b'{"a": [' + b"{}," * (20 * 10**6) + b"0]}",
    "deep": b'{"a": ' + b"[" * 10**5 + b"]" * 10**5 + b"}",
    "deep objects": b'{"a": ' * 10**5 + b"1" + b"}" * 10**5,
    "a long number": b'{"vocab_size": ' + b"9" * 10**6 + b"}",
    "not UTF-8": b'{"a": "\xff"}',
    "UTF-16": '{"a": 1}'.encode("utf-16"),
    "a mark": b"\xef\xbb\xbf{}",
    "a list": b"[]",
    "nothing": b"",
    "NaN": b'{"layer_norm_eps": NaN}',
    "infinite": b'{"layer_norm_eps": 1e999}',
    "zero bytes": b"\0" * 1000,
}


@pytest.mark.parametrize("form", FOLDERS)
@pytest.mark.parametrize("text", TEXTS)
def test_a_config_that_is_no_json_of_its_size_is_refused(copy, refused, form, text):
    folder = copy(form)
    name = "bert_config.json" if form in ("tf1", "tf2") else "config.json"
    (folder / name).write_bytes(TEXTS[text])
    refused(form, folder, name)


@pytest.mark.parametrize("task", [b"{}", b"[]", b'{"class_name": "BertTextClassifier"}', b'{"class_name": "BertTextClassifier", "config": []}',
                                  b'{"class_name": "BertTextClassifier", "config": {"num_classes": 1000000000000}}',
                                  b'{"class_name": "BertTextClassifier", "config": {"num_classes": "x"}}', b'{"class_name": []}'])  # fmt: skip
def test_a_task_of_a_preset_that_lies_is_refused(copy, guard, task):
    folder = copy("keras-hub", CORPUS / "BertForSequenceClassification" / "keras_hub")
    (folder / "task.json").write_bytes(task)
    outcome, detail = guard("keras-hub", folder)
    assert outcome in FINE, (outcome, detail)


# TensorFlow's bundle.


def index_of(folder: Path, form: str, change) -> Path:
    """Rewrites the index of a bundle, its checksums right; `change` gets the entries, key → fields."""
    path = folder / WEIGHTS[form]
    entries = dict(m.read_table(path.read_bytes()))
    change(entries)
    path.write_bytes(m.write_table(sorted(entries.items())))
    return folder


def _shape(*sizes: int) -> bytes:
    return b"".join(b"\x12" + m.varint(len(size)) + size for size in (b"\x08" + m.varint(n) for n in sizes))


MATRIX = _shape(VOCABULARY, HIDDEN)


def bundle_entry(dtype=1, shape=MATRIX, shard=0, offset=0, size=4 * VOCABULARY * HIDDEN, crc=None, extra=b"") -> bytes:
    out = b"\x08" + m.varint(dtype) + b"\x12" + m.varint(len(shape)) + shape
    out += (b"\x18" + m.varint(shard) if shard else b"") + b"\x20" + m.varint(offset) + b"\x28" + m.varint(size)
    return out + (b"\x35" + struct.pack("<I", crc) if crc is not None else b"") + extra


@pytest.mark.parametrize(
    "entry",
    [
        bundle_entry(shape=_shape(2**40, 2**20)),
        bundle_entry(shape=_shape(2**62, 2**62)),
        bundle_entry(shape=_shape(0, 2**62, 2**62)),
        bundle_entry(shape=_shape(2**64 - 1, HIDDEN)),
        bundle_entry(shape=_shape(2**64 - 2, HIDDEN)),
        bundle_entry(shape=_shape(*[1] * 300)),
        bundle_entry(shape=b"\x18\x01"),
        bundle_entry(shape=b"\xff\xff"),
        bundle_entry(size=2**40),
        bundle_entry(size=2**64 - 1),
        bundle_entry(size=0),
        bundle_entry(offset=2**40),
        bundle_entry(offset=2**64 - 8),
        bundle_entry(offset=2**63),
        bundle_entry(shard=1),
        bundle_entry(shard=2**31 - 1),
        bundle_entry(shard=2**64 - 1),
        bundle_entry(dtype=0),
        bundle_entry(dtype=7),
        bundle_entry(dtype=7, size=10**9),
        bundle_entry(dtype=20),
        bundle_entry(dtype=21),
        bundle_entry(dtype=22),
        bundle_entry(dtype=25),
        bundle_entry(dtype=101),
        bundle_entry(dtype=119),
        bundle_entry(dtype=9999),
        bundle_entry(extra=b"\x3a\x00"),
        bundle_entry(extra=b"\x3a\x06\x0a\x04\x08\x00\x10\x05"),
        bundle_entry(extra=b"\x3a\x0c\x0a\x0a\x08\xff\xff\xff\xff\xff\xff\xff\xff\x01"),
        bundle_entry(shape=_shape(2**40, HIDDEN), extra=b"\x3a\x00"),
        b"",
        b"\xff",
        b"\x08",
        b"\x12\xff\xff\xff\xff\x0f",
        b"\x0b" * 10**4,
        bytes(100),
    ],
    ids=range(37),
)
@pytest.mark.parametrize("form", ["tf1", "tf2"])
def test_an_index_that_lies_is_refused(copy, refused, form, entry):
    def change(entries):
        key = next(key for key in entries if b"word_embeddings" in key or b"layer_with_weights-0/embeddings" in key)
        entries[key] = entry

    folder = index_of(copy(form), form, change)
    refused(form, folder, str(folder))


@pytest.mark.parametrize(
    "header",
    [
        b"",
        b"\x08\x00",
        b"\x08\x02",
        b"\x08" + m.varint(2**31 - 1),
        b"\x08" + m.varint(2**64 - 1),
        b"\x08\x01\x10\x01",
        b"\x08\x01\x1a\x03\x08\xff\x7f",
        b"\x08\x01\x1a\x04\x10\xff\xff\x7f",
        b"\xff" * 20,
    ],
    ids=range(9),
)
@pytest.mark.parametrize("form", ["tf1", "tf2"])
def test_a_bundles_header_that_lies_is_refused(copy, guard, form, header):
    outcome, detail = guard(form, index_of(copy(form), form, lambda entries: entries.update({b"": header})))
    assert outcome in FINE, (outcome, detail)


def test_keys_of_slices_are_refused(copy, guard):
    """TensorFlow keeps the parts of a variable under keys that it decodes."""
    for key in (b"\0", b"\0\x01", b"\0" + b"\xff" * 30, b"\0word_embeddings\0\x01\0\x01", b"\xff" * 10, b"a" * 10**5):
        folder = copy("tf1")
        index_of(folder, "tf1", lambda entries, key=key: entries.update({key: bundle_entry()}))
        outcome, detail = guard("tf1", folder)
        assert outcome in FINE, (outcome, detail)
        shutil.rmtree(folder)


@pytest.mark.parametrize("form", ["tf1", "tf2"])
@pytest.mark.parametrize("kept", [0, 1, 100, -1])
def test_truncated_data_of_a_bundle_is_refused(copy, refused, form, kept):
    folder = copy(form)
    path = next(folder.glob("*.data-*"))
    path.write_bytes(path.read_bytes()[:kept])
    refused(form, folder, str(folder))


@pytest.mark.parametrize("form", ["tf1", "tf2"])
def test_an_index_with_another_byte_is_refused(copy, refused, form):
    folder = copy(form)
    path = folder / WEIGHTS[form]
    start, size = m.table_blocks(path.read_bytes())[2]
    data = bytearray(path.read_bytes())
    data[start + size // 2] ^= 1
    path.write_bytes(data)
    refused(form, folder, str(folder))


@pytest.mark.parametrize("form", ["tf1", "tf2"])
def test_a_table_whose_blocks_lie_is_refused(copy, guard, form):
    source = (FOLDERS[form] / WEIGHTS[form]).read_bytes()
    start, size = m.table_blocks(source)[2]

    def with_block(block: bytes, kind: int = 0) -> bytes:
        out = bytearray(source)
        out[start : start + size + 5] = (
            block.ljust(size, b"\0")[:size]
            + bytes([kind])
            + struct.pack("<I", m.masked(m.crc32c(block.ljust(size, b"\0")[:size] + bytes([kind]))))
        )
        return bytes(out)

    block = source[start : start + size]
    tables = [
        with_block(block[:-4] + struct.pack("<I", 2**32 - 1)),
        with_block(block[:-4] + struct.pack("<I", 2**30)),
        with_block(block[:-4] + struct.pack("<I", 0)),
        with_block(block[:-8] + struct.pack("<II", 2**31, 1)),
        with_block(b"\xff" * size),
        with_block(b"\x05\xff\xff\xff\xff\x0f" + block[6:]),
        with_block(b"\0\xff\xff\xff\xff\x0f\x01" + block[7:]),
        with_block(m.varint(2**31) + b"\x01" + block[6:], 1),
        with_block(m.varint(2**32 - 1) + block[5:], 1),
        with_block(block, 7),
        source[:-48] + m.varint(2**62) + m.varint(2**62) + m.varint(2**63) + m.varint(2**63) + bytes(4) + source[-8:],
        source[:-48] + m.varint(0) + m.varint(0) + m.varint(0) + m.varint(0) + bytes(36) + source[-8:],
        source[:-48] + b"\xff" * 40 + source[-8:],
        source[-48:],
        source[-8:],
    ]
    for table in tables:
        folder = copy(form)
        (folder / WEIGHTS[form]).write_bytes(table)
        outcome, detail = guard(form, folder)
        assert outcome == "refused", (outcome, detail)
        shutil.rmtree(folder)


@pytest.mark.parametrize("form", ["tf1", "tf2"])
def test_an_index_that_unfolds_to_more_is_refused(copy, refused, form):
    folder = copy(form)
    path = folder / WEIGHTS[form]
    source = path.read_bytes()
    entries = dict(m.read_table(source))
    # The index of the table names the same block again and again.
    start, size = m.table_blocks(source)[2]
    many = b"".join(
        m.varint(0)
        + m.varint(4)
        + m.varint(4)
        + struct.pack(">I", i)
        + (m.varint(start) + m.varint(size)).ljust(4, b"\0")
        for i in range(200000)
    )
    many += struct.pack("<II", 0, 1)
    meta = m.table_blocks(source)[0]
    table = source[:-48] + many + b"\0" + struct.pack("<I", m.masked(m.crc32c(many + b"\0")))
    footer = m.varint(meta[0]) + m.varint(meta[1]) + m.varint(len(source) - 48) + m.varint(len(many))
    path.write_bytes(table + footer.ljust(40, b"\0") + source[-8:])
    refused(form, folder, str(folder))
    # Each key is that before it and a letter more.
    block = b"".join(m.varint(i) + m.varint(1) + m.varint(0) + b"a" for i in range(60000)) + struct.pack("<II", 0, 1)
    table = block + b"\0" + struct.pack("<I", m.masked(m.crc32c(block + b"\0")))
    empty = struct.pack("<II", 0, 1)
    table += empty + b"\0" + struct.pack("<I", m.masked(m.crc32c(empty + b"\0")))
    handle = m.varint(0) + m.varint(len(block))
    index = m.varint(0) + m.varint(1) + m.varint(len(handle)) + b"z" + handle + struct.pack("<II", 0, 1)
    footer = m.varint(len(block) + 5) + m.varint(8) + m.varint(len(table)) + m.varint(len(index))
    table += (
        index + b"\0" + struct.pack("<I", m.masked(m.crc32c(index + b"\0"))) + footer.ljust(40, b"\0") + source[-8:]
    )
    object_graph = b"_CHECKPOINTABLE_OBJECT_GRAPH" if b"_CHECKPOINTABLE_OBJECT_GRAPH" in entries else b""
    path.write_bytes(object_graph + table if not object_graph else table[:-48] + object_graph + table[-48:])
    refused(form, folder, str(folder))


def test_two_entries_of_one_key_in_a_bundle_are_refused(copy, refused):
    folder = copy("tf1")
    path = folder / WEIGHTS["tf1"]
    entries = m.read_table(path.read_bytes())
    path.write_bytes(m.write_table([*entries, entries[-1]]))
    refused("tf1", folder, str(folder))


def test_scalars_where_a_vector_is_expected_are_refused(copy, refused):
    folder = copy("tf1", CORPUS / "BertForSequenceClassification" / "tf1")
    for name in (b"output_bias", b"output_weights"):
        index_of(folder, "tf1", lambda entries, name=name: entries.update({name: bundle_entry(shape=b"", size=4)}))
    refused("tf1", folder, str(folder))


# Orbax.


def orbax_words(folder: Path) -> Path:
    return next(path for path in (folder / "params").iterdir() if "word_embeddings" in path.name)


def zarr_of(folder: Path, **changes: object) -> Path:
    path = orbax_words(folder) / ".zarray"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    return folder


@pytest.mark.parametrize(
    "changes",
    [
        {"shape": [2**40, HIDDEN]},
        {"shape": [2**40, HIDDEN], "fill_value": 0},
        {"shape": [2**62, 2**62]},
        {"shape": [10**5, 10**5], "chunks": [10**5, 10**5], "fill_value": 0},
        {"shape": [10**5, 10**5], "chunks": [10, 10], "fill_value": 0},
        {"chunks": [2**40, HIDDEN]},
        {"chunks": [2**20, 2**20]},
        {"chunks": [0, 0]},
        {"chunks": [-1, -1]},
        {"chunks": [1, 1]},
        {"dtype": "|O"},
        {"dtype": "|S1000000000"},
        {"dtype": "<f8"},
        {"dtype": 5},
        {"compressor": {"id": "pickle"}},
        {"compressor": {"id": "zstd", "level": 10**9}},
        {"compressor": None},
        {"order": "X"},
        {"zarr_format": 99},
        {"dimension_separator": "../"},
        {"shape": "x"},
        {"shape": []},
    ],
    ids=range(22),
)
def test_zarr_metadata_that_lies_is_refused(copy, refused, changes):
    folder = zarr_of(copy("orbax"), **changes)
    refused("orbax", folder, str(folder))


@pytest.mark.parametrize("content", [None, b"", b"x", zlib.compress(bytes(10**6)), b"\x28\xb5\x2f\xfd" + b"\xff" * 20])
def test_a_chunk_that_is_none_is_refused(copy, refused, content):
    folder = copy("orbax")
    path = orbax_words(folder) / "0.0"
    path.unlink() if content is None else path.write_bytes(content)
    refused("orbax", folder, str(folder))


def test_a_chunk_that_unfolds_to_more_is_refused(copy, refused):
    import pyarrow

    folder = copy("orbax")
    (orbax_words(folder) / "0.0").write_bytes(pyarrow.compress(bytes(2**30), codec="zstd", asbytes=True))
    refused("orbax", folder, str(folder))


def _zarr_bomb(folder: Path) -> Path:
    """A matrix as the config wants it, of 4 GiB, whose chunk of zeros takes 130 kB."""
    rows = 2**30 // HIDDEN
    zarr_of(folder, shape=[rows, HIDDEN], chunks=[rows, HIDDEN], fill_value=0)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"vocab_size": rows}))
    for name in ("_METADATA", "array_metadatas/process_0"):
        path = folder / "params" / name
        text = path.read_text().replace(f"[{VOCABULARY}, {HIDDEN}]", f"[{rows}, {HIDDEN}]")
        path.write_text(text)
    (orbax_words(folder) / "0.0").unlink()
    return folder


def test_an_array_of_which_nothing_is_stored_is_refused(copy, refused):
    folder = _zarr_bomb(copy("orbax"))
    refused("orbax", folder, str(folder))


NAMES = ("../x", "/etc/passwd", "a/b", "..", ".", "", "a\0b", "x" * 5000, "params", "value", "²")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("source", ["orbax_zarr", "orbax"])
def test_names_in_the_metadata_of_orbax_lead_nowhere(copy, refused, source, name):
    folder = copy("orbax", MODEL / source)
    path = folder / "params" / "_METADATA"
    tree = json.loads(path.read_text())
    entry = next(value for key, value in tree["tree_metadata"].items() if "word" in key)
    entry["key_metadata"][0]["key"] = name
    path.write_text(json.dumps(tree))
    refused("orbax", folder, str(folder))


@pytest.mark.parametrize(
    "change",
    [
        {"tree_metadata": None},
        {"tree_metadata": []},
        {"tree_metadata": {}},
        {"tree_metadata": {"a": 5}},
        {"use_ocdbt": True},
        {"use_ocdbt": "x"},
        {"use_zarr3": True},
        {"use_zarr3": []},
        {"store_array_data_equal_to_fill_value": False},
        {"custom_metadata": [[[[[]]]]]},
        {"value_metadata_tree": {"category": "namedtuple", "module_name": "os", "class_name": "system", "entries": []}},
        {"value_metadata_tree": 5},
    ],
    ids=range(12),
)
def test_metadata_of_orbax_that_lies_harms_nothing(copy, guard, change):
    folder = copy("orbax")
    path = folder / "params" / "_METADATA"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    outcome, detail = guard("orbax", folder)
    assert outcome in FINE, (outcome, detail)


@pytest.mark.parametrize("kind", ["deep", "large", "empty", "no JSON", "value types", "key types"])
def test_the_metadata_of_orbax_is_read_with_care(copy, guard, kind):
    folder = copy("orbax")
    path = folder / "params" / "_METADATA"
    tree = json.loads(path.read_text())
    match kind:
        case "deep":
            path.write_bytes(b'{"tree_metadata": ' + b"[" * 10**5 + b"]" * 10**5 + b"}")
        case "large":
            path.write_bytes(b'{"tree_metadata": {}, "x": "' + b"x" * 10**8 + b'"}')
        case "empty":
            path.write_bytes(b"")
        case "no JSON":
            path.write_bytes(b"\x80\x04.")
        case "value types":
            for i, entry in enumerate(tree["tree_metadata"].values()):
                entry["value_metadata"]["value_type"] = ("string", "scalar", "None", "os.system", 5, "np.ndarray")[
                    i % 6
                ]
            path.write_text(json.dumps(tree))
        case "key types":
            for i, entry in enumerate(tree["tree_metadata"].values()):
                entry["key_metadata"][0]["key_type"] = (1, 2, 3, 99, "x", None)[i % 6]
            path.write_text(json.dumps(tree))
    outcome, detail = guard("orbax", folder)
    assert outcome in FINE, (outcome, detail)


def test_a_manifest_that_names_files_elsewhere_is_refused(copy, refused):
    """The names of data files in an OCDBT manifest, pointed out of the folder, its checksum right."""
    folder = copy("orbax", MODEL / "orbax")
    path = folder / "params" / "manifest.ocdbt"
    content = path.read_bytes()
    outside = folder.parent / "outside"
    outside.mkdir()
    data = next((folder / "params" / "d").iterdir())
    body = m._unfolded(content[14:-4])
    print(body)
    at = body.index(b"d/" + data.name.encode())
    name = b"../../outside/" + data.name.encode()
    lengths = body.rindex(bytes([34]), 0, at)
    body = body[:lengths] + bytes([len(name)]) + body[lengths + 1 : at] + name + body[at + 34 :]
    data.rename(outside / data.name)
    node = content[:4] + (len(body) + 18).to_bytes(8, "little") + content[12:13] + b"\0" + body
    path.write_bytes(node + struct.pack("<I", m.crc32c(node)))
    refused("orbax", folder, str(folder))


def test_no_file_is_written_by_a_reader(copy, guard):
    for form in FOLDERS:
        folder = copy(form)
        before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
        guard(form, folder)
        assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before
        shutil.rmtree(folder)


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_a_link_out_of_the_folder_is_refused_and_not_opened(copy, tmp_path, name):
    folder, outside = copy("safetensors"), tmp_path / "elsewhere"
    outside.mkdir()
    (folder / name).rename(outside / name)
    (folder / name).symlink_to(outside / name)
    watch = Watch(outside)
    with pytest.raises(CheckpointError, match=f"{name}, a link to .* outside the folder"):
        open_checkpoint(folder, names_of)
    assert not watch.seen()
