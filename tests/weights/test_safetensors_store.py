from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import safetensors
import safetensors.numpy
import safetensors.torch
import torch

import bertx_weights.files
from bertx_weights import BFLOAT16, CheckpointError, StoredTensor, as_float, open_safetensors, write_safetensors
from support import peer, save_peer

FILE = "model.safetensors"
INDEX = "model.safetensors.index.json"
PLAIN_DTYPES = ("f8", "f4", "f2", "i8", "i4", "i2", "i1", "u8", "u4", "u2", "u1", "?")
SHAPES = ((), (1,), (0,), (3, 0, 2), (5, 7), (2, 3, 4))


def random_tensor(dtype, shape, seed=0):
    dtype = np.dtype(dtype)
    count = int(np.prod(shape, dtype=np.int64))
    raw = np.random.default_rng(seed).integers(0, 256, count * dtype.itemsize, np.uint8)
    return ((raw & 1) if dtype.kind == "b" else raw).view(dtype).reshape(shape)


def one_of_each():
    tensors = {f"{d}.{shape}": random_tensor(d, shape) for d in PLAIN_DTYPES for shape in SHAPES}
    return tensors | {f"bf16.{shape}": random_tensor(BFLOAT16, shape) for shape in SHAPES}


def assert_same_bits(found, expected):
    assert set(found) == set(expected)
    for name, tensor in expected.items():
        assert (found[name].dtype, found[name].shape) == (tensor.dtype, tensor.shape), name
        assert found[name].tobytes() == tensor.tobytes(), name


def write_raw(path: Path, header: dict | bytes, data: bytes = b"", length: int | None = None) -> Path:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes((len(text) if length is None else length).to_bytes(8, "little") + text + data)
    return path


def entry(begin, end, shape, dtype="F32"):
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


def write_shards(folder: Path, shards: dict[str, dict[str, np.ndarray]]) -> Path:
    for name, tensors in shards.items():
        safetensors.numpy.save_file(tensors, folder / name)
    weight_map = {tensor: name for name, tensors in shards.items() for tensor in tensors}
    (folder / INDEX).write_text(json.dumps({"metadata": {"total_size": 0}, "weight_map": weight_map}))
    return folder


def two_shards(folder: Path) -> Path:
    return write_shards(
        folder,
        {
            "model-00001-of-00002.safetensors": {"a": np.arange(6, dtype=np.float32)},
            "model-00002-of-00002.safetensors": {"b": np.ones((2, 2), np.float16)},
        },
    )


def message_of(folder: Path) -> str:
    with pytest.raises(CheckpointError) as error:
        open_safetensors(folder)
    return str(error.value)


def test_every_dtype_and_shape_comes_back_bit_for_bit(tmp_path):
    write_safetensors(tmp_path, one_of_each())
    assert_same_bits(open_safetensors(tmp_path), one_of_each())


def test_transposed_and_strided_tensors_are_written_in_their_logical_order(tmp_path):
    base = random_tensor("f4", (5, 7))
    write_safetensors(tmp_path, {"transposed": base.T, "strided": base[::2, ::3]})
    found = open_safetensors(tmp_path)
    assert found["transposed"].tobytes() == np.ascontiguousarray(base.T).tobytes()
    assert found["strided"].tolist() == base[::2, ::3].tolist()


def test_a_big_endian_tensor_keeps_its_values(tmp_path):
    write_safetensors(tmp_path, {"a": np.arange(4, dtype=">f4")})
    assert open_safetensors(tmp_path)["a"].tolist() == [0, 1, 2, 3]


def test_safetensors_numpy_reads_the_bits_that_were_written(tmp_path):
    tensors = {name: t for name, t in one_of_each().items() if t.dtype != BFLOAT16}
    write_safetensors(tmp_path, tensors)
    assert_same_bits(safetensors.numpy.load_file(tmp_path / FILE), tensors)


def test_safetensors_numpy_files_are_read_bit_for_bit(tmp_path):
    tensors = {name: t for name, t in one_of_each().items() if t.dtype != BFLOAT16}
    safetensors.numpy.save_file(tensors, tmp_path / FILE)
    assert_same_bits(open_safetensors(tmp_path), tensors)


def test_bfloat16_is_written_as_torch_reads_it(tmp_path):
    tensor = random_tensor(BFLOAT16, (5, 7))
    write_safetensors(tmp_path, {"a": tensor})
    read = safetensors.torch.load_file(tmp_path / FILE)["a"]
    assert read.dtype == torch.bfloat16 and read.shape == (5, 7)
    assert read.view(torch.int16).numpy().tobytes() == tensor.tobytes()


@pytest.mark.parametrize(
    "dtype", [torch.bfloat16, torch.float16, torch.float32, torch.float64, torch.int64, torch.bool]
)
def test_what_torch_wrote_has_the_same_bits_and_values(tmp_path, dtype):
    tensor = torch.randn(6, 5, generator=torch.Generator().manual_seed(0)).mul(3).to(dtype)
    safetensors.torch.save_file({"a": tensor, "empty": tensor[:0].clone()}, tmp_path / FILE)
    found = open_safetensors(tmp_path)
    assert found["empty"].shape == (0, 5)
    if dtype == torch.bfloat16:
        assert found["a"].dtype == BFLOAT16
        assert np.array_equal(as_float(found["a"], "float32"), tensor.float().numpy())
    else:
        assert found["a"].tobytes() == tensor.numpy().tobytes()


def test_the_file_says_that_it_is_for_pytorch_as_transformers_requires(tmp_path):
    write_safetensors(tmp_path, {"a": np.zeros(2, np.float32)})
    with safetensors.safe_open(tmp_path / FILE, framework="np") as opened:
        assert opened.metadata() == {"format": "pt"}


def test_writing_to_a_tensor_does_not_change_the_file(tmp_path):
    write_safetensors(tmp_path, {"a": np.zeros(8, np.float32)})
    before = (tmp_path / FILE).read_bytes()
    tensor = open_safetensors(tmp_path)["a"]
    tensor[:] = 7
    assert tensor.tolist() == [7] * 8
    assert (tmp_path / FILE).read_bytes() == before
    assert open_safetensors(tmp_path)["a"].tolist() == [0] * 8


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="resident memory is read from /proc")
def test_opening_a_large_file_reads_next_to_nothing(tmp_path):
    def resident():
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    size = 200_000_000
    with write_raw(tmp_path / FILE, {"a": entry(0, size, [size // 4])}).open("r+b") as file:
        file.truncate(file.seek(0, os.SEEK_END) + size)
    before = resident()
    tensors = open_safetensors(tmp_path)
    assert tensors["a"].nbytes == size
    assert resident() - before < 20_000_000


def test_a_tensor_at_an_odd_offset_is_read_and_aligned(tmp_path):
    values = np.arange(5, dtype=np.float64)
    header = {"a": entry(0, 3, [3], "U8"), "b": entry(3, 43, [5], "F64"), "c": entry(43, 47, [2], "BF16")}
    for padding in range(8):
        text = json.dumps(header).encode() + b" " * padding
        write_raw(tmp_path / FILE, text, b"\x01\x02\x03" + values.tobytes() + b"\x80\x3f\x00\x40")
        found = open_safetensors(tmp_path)
        assert found["a"].tolist() == [1, 2, 3]
        assert found["b"].tolist() == values.tolist() and found["b"].flags.aligned
        assert as_float(found["c"], "float32").tolist() == [1.0, 2.0]


def test_the_same_folder_can_be_written_while_its_tensors_are_mapped(tmp_path):
    write_safetensors(tmp_path, {"a": np.arange(4, dtype=np.float32)})
    mapped = open_safetensors(tmp_path)
    write_safetensors(tmp_path, {"a": mapped["a"][::-1]})
    assert mapped["a"].tolist() == [0, 1, 2, 3]
    assert open_safetensors(tmp_path)["a"].tolist() == [3, 2, 1, 0]


def test_shards_made_by_hand_are_one_set_of_tensors(tmp_path):
    found = open_safetensors(two_shards(tmp_path))
    assert_same_bits(found, {"a": np.arange(6, dtype=np.float32), "b": np.ones((2, 2), np.float16)})


def test_shards_that_transformers_wrote_hold_what_its_single_file_holds(tmp_path):
    model = peer("BertForPreTraining")
    save_peer(model, tmp_path / "whole")
    model.float().save_pretrained(tmp_path / "sharded", max_shard_size="40KB")
    assert len(list((tmp_path / "sharded").glob("*.safetensors"))) > 2
    assert_same_bits(open_safetensors(tmp_path / "sharded"), open_safetensors(tmp_path / "whole"))


def test_a_whole_file_wins_over_an_index_beside_it(tmp_path):
    two_shards(tmp_path)
    safetensors.numpy.save_file({"whole": np.zeros(1, np.float32)}, tmp_path / FILE)
    assert set(open_safetensors(tmp_path)) == {"whole"}


@pytest.mark.parametrize("kept", [0, 3, 8, 20, -4000, -1])
def test_a_truncated_file_is_named(tmp_path, kept):
    write_safetensors(tmp_path, {"a": np.ones(1000, np.float32), "b": np.ones(1000, np.float32)})
    content = (tmp_path / FILE).read_bytes()[:kept]
    (tmp_path / FILE).write_bytes(content)
    message = message_of(tmp_path)
    assert str(tmp_path / FILE) in message and f"{len(content)} bytes" in message


@pytest.mark.parametrize(
    ("header", "data", "length"),
    [
        (b"\x00garbage\xff not json", b"", None),
        (b'{"a": ', b"", None),
        (b"[]", b"", None),
        (b'{"a": 3}', b"", None),
        (b"{}", b"", 2**63),
        (b"{}", b"", 99_999_999),
        (b"", b"", None),
        ({"a": entry(0, 8, [2]), "b": entry(4, 12, [2])}, bytes(12), None),
        ({"a": entry(0, 8, [2]), "b": entry(12, 20, [2])}, bytes(20), None),
        ({"a": entry(0, 8, [3])}, bytes(8), None),
        ({"a": entry(8, 0, [2])}, bytes(8), None),
        ({"a": entry(0, 8, [2])}, bytes(9), None),
        ({"a": entry(0, 2**62, [2**60])}, bytes(8), None),
        ({"a": entry(0, 8, [2], "F33")}, bytes(8), None),
    ],
    ids=[
        "garbage",
        "cut",
        "list",
        "number",
        "huge",
        "long",
        "empty",
        "overlap",
        "hole",
        "shape",
        "backwards",
        "rest",
        "large",
        "dtype",
    ],
)
def test_a_corrupt_header_is_an_error_that_names_the_file(tmp_path, header, data, length):
    write_raw(tmp_path / FILE, header, data, length)
    assert str(tmp_path / FILE) in message_of(tmp_path)


def test_a_dtype_that_cannot_be_held_is_named_with_its_tensor(tmp_path):
    write_raw(tmp_path / FILE, {"odd.one": entry(0, 2, [2], "F8_E4M3")}, bytes(2))
    message = message_of(tmp_path)
    assert str(tmp_path / FILE) in message and "odd.one" in message and "F8_E4M3" in message


def test_an_empty_folder_says_what_was_expected(tmp_path):
    message = message_of(tmp_path)
    assert str(tmp_path) in message and FILE in message and "found nothing" in message


def test_other_files_in_the_folder_are_listed(tmp_path):
    (tmp_path / "pytorch_model.bin").touch()
    (tmp_path / "config.json").touch()
    assert message_of(tmp_path).endswith("found config.json, pytorch_model.bin")


def test_a_missing_shard_is_named(tmp_path):
    (two_shards(tmp_path) / "model-00002-of-00002.safetensors").unlink()
    message = message_of(tmp_path)
    assert str(tmp_path / INDEX) in message and "model-00002-of-00002.safetensors" in message
    assert "model-00001" not in message


def test_a_truncated_shard_is_named(tmp_path):
    shard = two_shards(tmp_path) / "model-00002-of-00002.safetensors"
    shard.write_bytes(shard.read_bytes()[:-1])
    assert str(shard) in message_of(tmp_path)


def test_a_shard_that_lacks_a_tensor_is_named_with_it(tmp_path):
    two_shards(tmp_path)
    index = json.loads((tmp_path / INDEX).read_text())
    index["weight_map"]["lost"] = "model-00001-of-00002.safetensors"
    (tmp_path / INDEX).write_text(json.dumps(index))
    message = message_of(tmp_path)
    assert str(tmp_path / INDEX) in message and "lost (in model-00001-of-00002.safetensors)" in message


@pytest.mark.parametrize(
    "shard", ["../x.safetensors", "/x.safetensors", "sub/x.safetensors", "..", ".", "", 3, None, ["x"]]
)
def test_an_index_cannot_name_a_file_outside_the_folder(tmp_path, shard):
    folder = tmp_path / "checkpoint"
    (folder / "sub").mkdir(parents=True)
    for place in (tmp_path / "x.safetensors", folder / "sub/x.safetensors"):
        safetensors.numpy.save_file({"a": np.zeros(1, np.float32)}, place)
    (folder / INDEX).write_text(json.dumps({"weight_map": {"a": shard}}))
    message = message_of(folder)
    assert str(folder / INDEX) in message and str(shard) in message


@pytest.mark.parametrize(
    "text", ["", "not json", "[]", "3", "null", "{}", '{"weight_map": []}', '{"weight_map": null}']
)
def test_an_index_that_is_none_is_named(tmp_path, text):
    (tmp_path / INDEX).write_text(text)
    assert str(tmp_path / INDEX) in message_of(tmp_path)


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b'{"weight_map": {"a": "\xff"}}'])
def test_an_index_that_is_no_text_is_named(tmp_path, content):
    (tmp_path / INDEX).write_bytes(content)
    assert str(tmp_path / INDEX) in message_of(tmp_path)


def _failing(name="z"):
    """A tensor whose values cannot be read: the write fails when the others are written."""

    def fail():
        raise OSError("no space left")

    return StoredTensor(name, name, (100,), np.dtype("<f4"), fail)


def test_a_write_that_fails_half_way_leaves_the_old_file_and_no_other(tmp_path):
    write_safetensors(tmp_path, {"a": np.ones(100, np.float32)})
    before = (tmp_path / FILE).read_bytes()
    with pytest.raises(OSError, match="no space left"):
        write_safetensors(tmp_path, {"a": np.zeros(100, np.float32), "z": _failing()})
    assert (tmp_path / FILE).read_bytes() == before
    assert os.listdir(tmp_path) == [FILE]


def test_a_write_that_fails_keeps_the_old_shards(tmp_path):
    before = sorted(os.listdir(two_shards(tmp_path)))
    with pytest.raises(OSError, match="no space left"):
        write_safetensors(tmp_path, {"a": np.zeros(3, np.float32), "z": _failing()})
    assert sorted(os.listdir(tmp_path)) == before
    assert set(open_safetensors(tmp_path)) == {"a", "b"}


def test_a_killed_write_leaves_the_old_file_whole(tmp_path):
    write_safetensors(tmp_path, {"a": np.ones(100, np.float32)})
    before = (tmp_path / FILE).read_bytes()
    script = """
import os, pathlib, signal, sys
import numpy as np
from bertx_weights import StoredTensor, write_safetensors
def kill():
    os.kill(os.getpid(), signal.SIGKILL)
killing = StoredTensor("z", "z", (100,), np.dtype("<f4"), kill)
write_safetensors(pathlib.Path(sys.argv[1]), {"a": np.zeros(100, np.float32), "z": killing})
"""
    done = subprocess.run([sys.executable, "-c", script, str(tmp_path)], capture_output=True, timeout=60)
    assert done.returncode == -signal.SIGKILL
    assert (tmp_path / FILE).read_bytes() == before
    assert open_safetensors(tmp_path)["a"].tolist() == [1.0] * 100


def test_the_content_is_on_disk_before_it_takes_the_name(tmp_path, monkeypatch):
    events = []
    fsync, replace = os.fsync, Path.replace
    monkeypatch.setattr(bertx_weights.files.os, "fsync", lambda handle: (events.append("fsync"), fsync(handle)))
    monkeypatch.setattr(Path, "replace", lambda self, to: (events.append("replace"), replace(self, to))[1])
    write_safetensors(tmp_path, {"a": np.ones(1, np.float32)})
    assert events == ["fsync", "replace"]


def test_the_file_has_the_permissions_of_any_new_file(tmp_path):
    (tmp_path / "other").touch()
    write_safetensors(tmp_path, {"a": np.ones(1, np.float32)})
    assert (tmp_path / FILE).stat().st_mode == (tmp_path / "other").stat().st_mode


def test_old_shards_go_once_the_new_file_stands(tmp_path):
    (two_shards(tmp_path) / "tokenizer.json").touch()
    write_safetensors(tmp_path, {"new": np.zeros(2, np.float32)})
    assert sorted(os.listdir(tmp_path)) == [FILE, "tokenizer.json"]
    assert set(open_safetensors(tmp_path)) == {"new"}


def test_shards_can_be_rewritten_as_one_file_in_their_own_folder(tmp_path):
    mapped = open_safetensors(two_shards(tmp_path))
    write_safetensors(tmp_path, mapped)
    assert os.listdir(tmp_path) == [FILE]
    assert_same_bits(
        open_safetensors(tmp_path), {"a": np.arange(6, dtype=np.float32), "b": np.ones((2, 2), np.float16)}
    )


def test_an_index_that_names_the_whole_file_does_not_take_the_new_one_with_it(tmp_path):
    write_shards(tmp_path, {FILE: {"old": np.zeros(2, np.float32)}})  # as mlx writes them
    write_safetensors(tmp_path, {"new": np.ones(2, np.float32)})
    assert open_safetensors(tmp_path)["new"].tolist() == [1, 1]


def test_only_weight_files_are_removed_as_shards(tmp_path):
    (tmp_path / "tokenizer.json").write_text("{}")
    (tmp_path / INDEX).write_text(json.dumps({"weight_map": {"a": "tokenizer.json"}}))
    write_safetensors(tmp_path, {"new": np.ones(2, np.float32)})
    assert (tmp_path / "tokenizer.json").read_text() == "{}"


def test_an_old_index_cannot_make_a_write_remove_a_file_elsewhere(tmp_path):
    outside = tmp_path / "precious.safetensors"
    outside.write_bytes(b"precious")
    folder = tmp_path / "checkpoint"
    folder.mkdir()
    (folder / INDEX).write_text(json.dumps({"weight_map": {"a": "../precious.safetensors"}}))
    with contextlib.suppress(CheckpointError):
        write_safetensors(folder, {"new": np.ones(2, np.float32)})
    assert outside.read_bytes() == b"precious"


@pytest.mark.parametrize("text", ["not json", "{}", '{"weight_map": {"a": "../x.safetensors"}}'])
def test_a_broken_old_index_does_not_stop_a_write(tmp_path, text):
    (tmp_path / INDEX).write_text(text)
    write_safetensors(tmp_path, {"new": np.ones(2, np.float32)})
    assert open_safetensors(tmp_path)["new"].tolist() == [1, 1]


def test_a_dtype_that_safetensors_lacks_leaves_no_file(tmp_path):
    with pytest.raises(Exception, match="complex128"):
        write_safetensors(tmp_path, {"a": np.zeros(2, np.complex128)})
    assert os.listdir(tmp_path) == []
