"""Mutations of checkpoint folders: bytes, structures per format, files. All drawn from one random.Random."""

# ruff: noqa: E501  a list of values stays a list of few rows

from __future__ import annotations

import io
import json
import os
import pickletools
import random
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

Files = dict[str, bytes | Callable[[Path], None]]
"""Path in the folder → its content, or what makes it: a link, a FIFO, a folder."""

NUMBERS = sorted({
    *(value + delta for value in (0, 2**7, 2**8, 2**15, 2**16, 2**31, 2**32, 2**63, 2**64) for delta in (-1, 0, 1)),
    -(2**31), -(2**63), 2, 3, 5, 12, 13, 41, 100, 4096, 10**6, 10**9, 10**12, 2**40, 2**47, 2**62, 2**61 - 1, 2**128,
})  # fmt: skip
STRINGS = (
    "", ".", "..", "../outside", "../outside/config.json", "/etc/passwd", "/dev/zero", "a\0b", "\ud800", "ä" * 40, "x" * 5000,
    "model.safetensors", "config.json", "BertModel", "F32", "BF16", "I64", "F4", "float32", "float99", "bfloat16", "O", "|O8",
    "U3", "S0", "V8", "f4,f4", "(2,3)f4", "M8", "<f8", ">f4", "gelu", "NaN", "1e999", "__metadata__", "-1", "0", "²", "{i}", "%s",
)  # fmt: skip


def number(rng: random.Random) -> int:
    return rng.choice(NUMBERS) + (rng.randint(-16, 16) if rng.random() < 0.2 else 0)


# Bytes.


class Places:
    """Where to change a file: rather in what is structure than in what is the bytes of a tensor."""

    def __init__(self, length: int, structure: list[tuple[int, int]] | None = None):
        self.length = length
        self.structure = [span for span in structure or [] if span[1] > span[0]]

    def pick(self, rng: random.Random) -> int:
        if self.length == 0:
            return 0
        kind = rng.random()
        if self.structure and kind < 0.75:
            begin, end = rng.choices(self.structure, [end - begin for begin, end in self.structure])[0]
            return rng.randrange(begin, end)
        if kind < 0.85:
            return rng.randrange(min(self.length, 64))
        if kind < 0.92:
            return self.length - 1 - rng.randrange(min(self.length, 64))
        return rng.randrange(self.length)


def change_bytes(rng: random.Random, data: bytes, places: Places | None = None, donor: bytes = b"") -> bytes:
    """One change of some bytes."""
    places = places or Places(len(data))
    at = min(places.pick(rng), max(len(data) - 1, 0))
    step = rng.choice((1, 2, 3, 4, 8, 16, 64, 512))
    length = rng.randint(1, step)
    kind = rng.choices(
        ("bit", "byte", "integer", "add", "truncate", "extend", "double", "delete", "swap", "splice", "fill", "random"),
        (14, 12, 20, 8, 4, 2, 5, 5, 4, 5, 5, 4),
    )[0]
    if not data:
        return rng.randbytes(length)
    out = bytearray(data)
    if kind == "bit":
        out[at] ^= 1 << rng.randrange(8)
    elif kind == "byte":
        out[at] = rng.choice((0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256)))
    elif kind in ("integer", "add"):
        width, order = rng.choice((1, 2, 4, 8)), rng.choice(("little", "little", "big"))
        if rng.random() < 0.6:
            at -= at % width
        old = int.from_bytes(out[at : at + width], order)
        value = old + rng.randint(-9, 9) if kind == "add" else rng.choice((number(rng), len(data), len(data) - at))
        out[at : at + width] = (value % 256**width).to_bytes(width, order)[: len(out) - at]
    elif kind == "truncate":
        del out[at:]
    elif kind == "extend":
        out += rng.choice((bytes(length), rng.randbytes(length), data[:length], b" " * length))
    elif kind == "double":
        out[at:at] = out[at : at + length] * rng.choice((1, 1, 1, 2, 50))
    elif kind == "delete":
        del out[at : at + length]
    elif kind == "swap":
        other = places.pick(rng)
        a, b = out[at : at + length], out[other : other + length]
        size = min(len(a), len(b))
        out[at : at + size], out[other : other + size] = b[:size], a[:size]
    elif kind == "splice" and donor:
        begin = rng.choice((at % len(donor), rng.randrange(len(donor))))
        out[at : at + length] = donor[begin : begin + length]
    elif kind == "fill":
        size = len(out[at : at + length])
        out[at : at + length] = bytes([rng.choice((0, 0xFF, 0x20, rng.randrange(256)))]) * size
    else:
        size = len(out[at : at + length])
        out[at : at + length] = rng.randbytes(size)
    return bytes(out)


# JSON.


class _Raw:
    """JSON text that json would not write."""

    def __init__(self, text: str):
        self.text = text


def json_value(rng: random.Random, old: object = None) -> object:
    """Something else in the place of a value."""
    kind = rng.random()
    if isinstance(old, (int, float)) and not isinstance(old, bool) and kind < 0.5:
        return rng.choice((number(rng), old + rng.choice((-1, 1, 0.5)), -old, float(old), str(old), _Raw(f"{old}e300")))
    if isinstance(old, str) and kind < 0.4:
        return rng.choice((old + "x", old[:-1], old.upper(), f"../{old}", f"/{old}", f"{old}\0", f"./{old}", [old]))
    if isinstance(old, list) and old and kind < 0.4:
        return rng.choice(
            (old[:-1], [*old, old[-1]], old[::-1], [[*old]], old * 3, [*old[:-1], json_value(rng, old[-1])])
        )
    return rng.choice((
        number(rng), number(rng), rng.choice(STRINGS), rng.choice(STRINGS), None, True, False, [], {}, [[]], {"a": 1}, 0.5, -0.0,
        ["BertModel", 5], {"0": ["x"]}, [number(rng), number(rng)], {"0": number(rng)},
        _Raw("NaN"), _Raw("-Infinity"), _Raw("1e999"), _Raw("1" * 400), _Raw("1" * 5000), _Raw("[" * 3000 + "]" * 3000),
        _Raw("[" * 100000), _Raw('{"a":' * 500 + "1" + "}" * 500),
    ))  # fmt: skip


def change_json(rng: random.Random, text: bytes, keep: float = 0.9) -> bytes:
    """A JSON file with some of its values changed, `keep` the share that is still JSON."""
    if rng.random() > keep:
        return change_bytes(rng, text)
    try:
        tree = json.loads(text)
    except (ValueError, RecursionError):
        return change_bytes(rng, text)
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        tree = change_tree(rng, tree)
    raws: list[str] = []

    def plain(value: object) -> object:
        if isinstance(value, _Raw):
            raws.append(value.text)
            return f"\x01raw{len(raws) - 1}\x01"
        if isinstance(value, dict):
            return {name: plain(child) for name, child in value.items()}
        return [plain(child) for child in value] if isinstance(value, list) else value

    out = json.dumps(plain(tree))
    for i, raw in enumerate(raws):
        out = out.replace(json.dumps(f"\x01raw{i}\x01"), raw)
    if rng.random() < 0.03 and isinstance(tree, dict) and tree:
        name = rng.choice(list(tree))
        out = out.rstrip()[:-1] + f", {json.dumps(name)}: {rng.randrange(99)}}}"
    return out.encode("utf-8", "surrogatepass" if rng.random() < 0.5 else "replace")


def change_tree(rng: random.Random, tree: object) -> object:
    """One change in nested dicts and lists."""
    if isinstance(tree, dict) and tree and rng.random() < 0.93:
        name = rng.choice(list(tree))
        kind = rng.random()
        if isinstance(tree[name], (dict, list)) and kind < 0.7:
            return {**tree, name: change_tree(rng, tree[name])}
        if kind < 0.8:
            return {**tree, name: json_value(rng, tree[name])}
        if kind < 0.87:
            return {key: value for key, value in tree.items() if key != name}
        if kind < 0.93:
            other = rng.choice((*STRINGS, f"{name}x", str(rng.choice(list(tree)))))
            return {other if key == name else key: value for key, value in tree.items()}
        return {**tree, name: tree[rng.choice(list(tree))]}
    if isinstance(tree, list) and tree and rng.random() < 0.85:
        at = rng.randrange(len(tree))
        return [*tree[:at], change_tree(rng, tree[at]), *tree[at + 1 :]]
    return json_value(rng, tree)


# safetensors.


def change_safetensors(rng: random.Random, data: bytes) -> bytes:
    length = int.from_bytes(data[:8], "little")
    header = data[8 : 8 + length]
    if rng.random() < 0.3:
        tree = json.loads(header)
        names = [name for name in tree if name != "__metadata__"]
        a, b = rng.choice(names), rng.choice(names)
        entry = dict(tree[a])
        kind = rng.randrange(6)
        if kind == 0:  # the same values of another shape
            shape = entry["shape"]
            entry["shape"] = rng.choice(
                (shape[::-1], [*shape, 1], [0, *shape], [2**32, 2**32], [], [2**63, 0], [0, 2**62, 2**62])
            )
        elif kind == 1:
            entry["dtype"] = rng.choice(("F16", "BF16", "F64", "I32", "U8", "BOOL", "F8_E4M3", "F4", "C64", "f32", ""))
        elif kind == 2:
            entry["data_offsets"] = tree[b]["data_offsets"]
        elif kind == 3:
            entry["data_offsets"] = [number(rng), number(rng)]
        elif kind == 4:
            entry = {
                "dtype": "F32",
                "shape": rng.choice(([0], [0, 2**63 - 1], [2**64, 0], [0, 2**40, 2**40])),
                "data_offsets": [0, 0],
            }
        else:
            begin, end = entry["data_offsets"]
            entry["data_offsets"] = [begin + rng.choice((-4, 0, 1, 4)), end + rng.choice((-4, 0, 1, 4))]
        tree[rng.choice((a, a, f"{a}x"))] = entry
        changed = json.dumps(tree).encode()
    else:
        changed = change_json(rng, header)
    if rng.random() < 0.7:
        changed += b" " * (-len(changed) % 8)
    size = len(changed) if rng.random() < 0.9 else number(rng) % 2**64
    return size.to_bytes(8, "little") + changed + data[8 + length :]


# msgpack.


def change_msgpack(rng: random.Random, data: bytes) -> bytes:
    import msgpack

    def pack(tree: object) -> bytes:
        return msgpack.packb(tree, strict_types=False)

    if rng.random() < 0.25:  # a marker or a length
        places = [i for i, byte in enumerate(data) if byte >= 0xC0 or 0x80 <= byte < 0xA0]
        out = bytearray(data)
        at = rng.choice(places)
        out[at] = rng.choice((*range(0x80, 0xA0), *range(0xC0, 0xE0)))
        if rng.random() < 0.5:
            width = rng.choice((1, 2, 4))
            out[at + 1 : at + 1 + width] = (number(rng) % 256**width).to_bytes(width, "big")
        return bytes(out)
    tree = msgpack.unpackb(data, strict_map_key=False)

    def array(ext: object) -> object:
        shape, name, buffer = msgpack.unpackb(ext.data)
        kind = rng.randrange(8)
        if kind == 0:
            shape = rng.choice(
                (
                    shape[::-1],
                    [*shape, 1],
                    [0, 2**40, 2**40],
                    [number(rng)],
                    [-1],
                    [-1, -1],
                    None,
                    {},
                    "a",
                    [True],
                    [1.5],
                )
            )
        elif kind == 1:
            name = rng.choice(
                (*STRINGS, None, 7, [], {}, [["a", "f4"]], {"names": ["a"], "formats": ["f4"]}, b"f4", "float16")
            )
        elif kind == 2:
            buffer = rng.choice((buffer[:-1], buffer + b"\0", b"", "text", 5, None, buffer * 2))
        elif kind == 3:
            return msgpack.ExtType(rng.choice((0, 1, 2, 3, 5, 127)), ext.data)
        elif kind == 4:
            return msgpack.ExtType(1, change_bytes(rng, ext.data, Places(min(len(ext.data), 40))))
        elif kind == 5:
            return msgpack.ExtType(
                1, pack(rng.choice(([shape, name], [shape, name, buffer, 1], shape, 5, "abc", {0: 1, 1: 2, 2: 3})))
            )
        elif kind == 6:
            return rng.choice((msgpack.Timestamp(5, 5), buffer, shape, None, 3, 0.5, "a", [ext], {"a": ext}, {}, []))
        else:
            half = len(buffer) // 8 * 4
            parts = {"0": [[half // 4], name, buffer[:half]], "1": [[(len(buffer) - half) // 4], name, buffer[half:]]}
            chunks = {i: msgpack.ExtType(1, pack(part)) for i, part in parts.items()}
            made = {
                "__msgpack_chunked_array__": True,
                "shape": {str(i): n for i, n in enumerate(shape)},
                "chunks": chunks,
            }
            return change_packed(made) if rng.random() < 0.8 else made
        return msgpack.ExtType(1, pack([shape, name, buffer]))

    def change_packed(node: object) -> object:
        if isinstance(node, msgpack.ExtType):
            return array(node)
        if not isinstance(node, dict) or not node or rng.random() < 0.03:
            return rng.choice(
                (*STRINGS[:5], 5, -1, 2**64 - 1, None, [], {}, [5] * 20, 0.5, b"x", True, {5: 6}, {"": {}})
            )
        name = rng.choice(list(node))
        kind = rng.random()
        if kind < 0.85:
            return {**node, name: change_packed(node[name])}
        if kind < 0.9:
            return {key: child for key, child in node.items() if key != name}
        if kind < 0.95:
            other = rng.choice(
                (f"{name}x", "", "/", "a/b", "..", 5, "__msgpack_chunked_array__", "shape", "chunks", b"bytes")
            )
            return {other if key == name else key: child for key, child in node.items()}
        return {**node, rng.choice(("x", "chunks", "0", f"{name}/y")): node[name]}

    for _ in range(rng.choice((1, 1, 2))):
        tree = change_packed(tree)
    try:
        return pack(tree)
    except (UnicodeEncodeError, OverflowError, ValueError):
        return change_bytes(rng, data)


# Zip: NumPy's and PyTorch's.


def change_zip(rng: random.Random, data: bytes, change_entry: Callable[[random.Random, str, bytes], bytes]) -> bytes:
    """Entries changed, their checksums right; or renamed, doubled, dropped, compressed."""
    source = zipfile.ZipFile(io.BytesIO(data))
    entries = [(entry.filename, source.read(entry), zipfile.ZIP_STORED) for entry in source.infolist()]
    for _ in range(rng.choice((1, 1, 2))):
        if not entries:
            break
        weights = [4 if name.endswith((".pkl", ".npy", "byteorder", "version")) else 1 for name, _, _ in entries]
        at = rng.choices(range(len(entries)), weights)[0]
        name, content, method = entries[at]
        kind = rng.random()
        if kind < 0.75:
            entries[at] = name, change_entry(rng, name, content), method
        elif kind < 0.8:
            others = (
                "../x.npy",
                "/x.npy",
                "x",
                "x.npy.npy",
                f"{name}.npy",
                name.upper(),
                rng.choice(entries)[0],
                f"{name}/",
            )
            entries[at] = rng.choice(others), content, method
        elif kind < 0.85:
            del entries[at]
        elif kind < 0.9:
            entries.insert(rng.randrange(len(entries)), (rng.choice((name, f"{name}x.npy")), content, method))
        else:
            method = rng.choice((zipfile.ZIP_DEFLATED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA))
            entries[at] = name, content, method
            if rng.random() < 0.2:
                entries = [(name, content, method) for name, content, _ in entries]
    out = io.BytesIO()
    import warnings

    with warnings.catch_warnings(), zipfile.ZipFile(out, "w") as target:
        warnings.simplefilter("ignore")  # two entries of one name
        for name, content, method in entries:
            target.writestr(zipfile.ZipInfo(name), content, compress_type=method)
    changed = out.getvalue()
    if rng.random() < 0.25:  # the directory at the end, or the local headers
        starts = [i for i in range(len(changed) - 4) if changed[i : i + 4] in (b"PK\1\2", b"PK\3\4", b"PK\5\6")]
        start = rng.choice(starts)
        changed = change_bytes(rng, changed, Places(len(changed), [(start + 4, min(start + 46, len(changed)))]))
    return changed


_DESCRS = (
    "<f4", ">f4", "<f2", "<f8", "<f16", "<i4", "|O", "|O8", "|S0", "<U3", "|V8", "<M8[s]", "|b1", "<c8", "f4,f4", "(2,3)<f4", "",
    ("<f4", (2,)), ("<f4", (10**9,)), [("bfloat16", "<u2")], [("a", "<f4")], [("a", "|O")], {"names": ["a"], "formats": ["O"]}, 5, None,
)  # fmt: skip


def change_npy(rng: random.Random, name: str, content: bytes) -> bytes:
    if content[:6] != b"\x93NUMPY" or rng.random() < 0.3:
        return change_bytes(rng, content, Places(min(len(content), 128)))
    width = 2 if content[6] == 1 else 4
    length = int.from_bytes(content[8 : 8 + width], "little")
    header, rest = content[8 + width : 8 + width + length], content[8 + width + length :]
    try:
        import ast

        values = ast.literal_eval(header.decode("latin1"))
    except (ValueError, SyntaxError):
        return change_bytes(rng, content, Places(min(len(content), 128)))
    kind = rng.randrange(8)
    if kind == 0:
        values["descr"] = rng.choice(_DESCRS)
    elif kind == 1:
        shape = values["shape"]
        others = (
            shape[::-1],
            (*shape, 1),
            (0, 2**62, 2**62),
            (2**62, 2**62),
            (-1,),
            (number(rng),),
            [1],
            5,
            None,
            (True,),
            (1.0,),
        )
        values["shape"] = rng.choice(others)
    elif kind == 2:
        values["fortran_order"] = rng.choice((True, 1, None, "x"))
    elif kind == 3:
        values[rng.choice(("x", "descr", "shape"))] = rng.choice(_DESCRS)
    text = repr(values)
    if kind == 4:
        text = rng.choice(
            (
                "-" * 9000 + "1",
                "(" * 5000,
                "[" * 90,
                "{",
                "'",
                "'''",
                "\\",
                "1L",
                "(1L,)",
                "\0",
                "{}",
                "5",
                "a b",
                "x = 5",
                " 1\n 2",
            )
        )
    elif kind == 5:
        text = change_bytes(rng, text.encode()).decode("latin1")
    elif kind == 6:
        text += " " * rng.choice((100, 9000, 60000))
    version = rng.choice(((1, 0), (1, 0), (2, 0), (3, 0), (4, 0), (0, 0)))
    body = text.encode("latin1", "replace") + b"\n"
    width = 2 if version == (1, 0) else 4
    size = min(len(body), 256**width - 1) if kind != 7 else number(rng) % 256**width
    return b"\x93NUMPY" + bytes(version) + size.to_bytes(width, "little") + body + rest


_GLOBALS = (
    b"os\nsystem\n", b"builtins\neval\n", b"torch\nFloatStorage\n", b"torch\nQInt8Storage\n", b"torch._utils\n_rebuild_parameter\n",
    b"torch._utils\n_rebuild_sparse_tensor\n", b"torch._utils\n_rebuild_qtensor\n", b"torch._tensor\n_rebuild_from_type_v2\n",
    b"torch._utils\n_rebuild_meta_tensor_no_storage\n", b"torch\nSize\n", b"torch\nTensor\n", b"builtins\nbytearray\n", b"builtins\nset\n",
    b"torch._utils\n_rebuild_tensor_v3\n", b"torch\nfloat16\n", b"torch\ndevice\n", b"collections\nCounter\n", b"builtins\ncomplex\n",
)  # fmt: skip


def change_pickle(rng: random.Random, content: bytes) -> bytes:
    """Opcodes changed, dropped, doubled, swapped; the numbers and globals of some replaced."""
    try:
        starts = [(op, arg, at) for op, arg, at in pickletools.genops(content)]
    except Exception:
        return change_bytes(rng, content)
    ends = [at for _, _, at in starts[1:]] + [starts[-1][2] + 1]
    parts = [content[at:end] for (_, _, at), end in zip(starts, ends, strict=True)]
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        at = rng.randrange(len(parts))
        kind = rng.random()
        name = starts[at][0].name if at < len(starts) else ""
        if kind < 0.35:
            numbers = [i for i, (op, _, _) in enumerate(starts) if op.name in ("BININT", "BININT1", "BININT2", "LONG1")]
            if numbers:
                at = rng.choice(numbers)
                parts[at : at + 1] = [_pickled_number(rng)]
        elif kind < 0.5:
            globals_ = [i for i, (op, _, _) in enumerate(starts) if op.name == "GLOBAL"]
            if globals_:
                at = rng.choice(globals_)
                parts[at : at + 1] = [b"c" + rng.choice(_GLOBALS)]
        elif kind < 0.6:
            del parts[at]
        elif kind < 0.7:
            parts.insert(at, parts[rng.randrange(len(parts))])
        elif kind < 0.8:
            other = rng.randrange(len(parts))
            parts[at], parts[other] = parts[other], parts[at]
        elif kind < 0.9:
            parts[at] = rng.choice(
                (b"N", b"\x88", b"]", b"}", b")", b"K\x05", b"R", b"b", b"0", b"2", b"t", b"(", b"Q", b"\x85", b"\x86")
            )
        elif name:
            parts[at] = change_bytes(rng, parts[at])
        if not parts:
            return b"."
        if len(parts) != len(starts):
            starts = starts[: len(parts)]
            if not starts:
                break
    return b"".join(parts)


def _pickled_number(rng: random.Random) -> bytes:
    value = number(rng)
    size = max((value.bit_length() + 8) // 8, 1)
    return b"\x8a" + bytes([size]) + value.to_bytes(size, "little", signed=True)


def change_pytorch(rng: random.Random, data: bytes) -> bytes:
    def entry(rng: random.Random, name: str, content: bytes) -> bytes:
        if name.endswith(".pkl"):
            return change_pickle(rng, content)
        if name.endswith("byteorder"):
            return rng.choice((b"big", b"little", b"x", b""))
        return change_bytes(rng, content)

    if data[:2] == b"PK":
        return change_zip(rng, data, entry)
    # Legacy: four pickles after one another, then the storages.
    source = io.BytesIO(data)
    parts = []
    for _ in range(5):
        start = source.tell()
        for _ in pickletools.genops(source):
            pass
        parts.append(data[start : source.tell()])
    rest = data[source.tell() :]
    at = rng.choices(range(6), (1, 1, 1, 6, 4, 4))[0]
    if at == 5:
        rest = change_bytes(rng, rest, Places(min(len(rest), 16)))
    else:
        parts[at] = change_pickle(rng, parts[at])
    return b"".join(parts) + rest


# HDF5.


def change_h5(rng: random.Random, data: bytes) -> bytes:
    """What the library itself can write: links, other datasets, cycles."""
    import h5py
    import numpy as np

    buffer = io.BytesIO(data)
    with h5py.File(buffer, "r+") as file:
        groups, arrays = [file], []
        file.visititems(lambda name, item: (groups if isinstance(item, h5py.Group) else arrays).append(item))
        for _ in range(rng.choice((1, 1, 2))):
            dataset, group = rng.choice(arrays), rng.choice(groups)
            if not dataset.id.valid or not group.id.valid:
                continue
            parent, name = dataset.parent, dataset.name.rpartition("/")[2]
            values = dataset[()]
            kind = rng.randrange(16)
            free = f"x{rng.randrange(10**6)}"
            if kind in (0, 1, 2):
                del parent[name]
                arrays.remove(dataset)
                links = (h5py.SoftLink("/"), h5py.SoftLink("/nowhere"), h5py.ExternalLink("../outside/seed.h5", "/"))
                parent[name] = links[kind] if rng.random() < 0.7 else file
            elif kind == 3:
                group[free] = rng.choice((file, group, parent, dataset))
            elif kind in (4, 5, 6, 7):
                del parent[name]
                arrays.remove(dataset)
                shape = rng.choice(
                    (values.shape, values.shape[::-1], (*values.shape, 1), (2**20, 2**11), (2**40,), (0,), ())
                )
                dtype = rng.choice(("f4", ">f4", "f2", "f8", "i4", "S4", "S4", "u1", "?", "c8"))
                huge = int(np.prod(shape, dtype=object)) > 10**6
                options = {"chunks": (min(shape[0], 64), *shape[1:2])[: len(shape)]} if huge and len(shape) else {}
                if kind == 7 and shape and 0 not in shape:
                    options |= {"compression": "gzip", "chunks": True if not huge else options["chunks"]}
                made = parent.create_dataset(name, shape, dtype, **options)
                if shape == values.shape and dtype in ("f4", ">f4", "f2", "f8"):
                    made[...] = values
            elif kind == 8:
                dataset.attrs[free] = rng.choice((5, "x" * 100, values))
            elif kind == 9:
                parent.move(name, rng.choice((f"{name}x", free, "bias:0", "0")))
            elif kind == 10:
                del parent[name]
                arrays.remove(dataset)
            elif kind == 11:
                del parent[name]
                arrays.remove(dataset)
                layout = h5py.VirtualLayout(values.shape or (1,), "f4")
                layout[...] = h5py.VirtualSource(rng.choice((".", "../outside/seed.h5")), "/x", values.shape or (1,))
                parent.create_virtual_dataset(name, layout)
            elif kind == 12:
                del parent[name]
                arrays.remove(dataset)
                parent[name] = np.dtype(rng.choice(("f4", "i2")))
            elif kind == 13:
                del parent[name]
                arrays.remove(dataset)
                parent.create_dataset(name, data=values, maxshape=[None] * values.ndim, shuffle=True, fletcher32=True)
            elif kind == 14:
                del parent[name]
                arrays.remove(dataset)
                parent.create_dataset(name, data=["a"], dtype=h5py.string_dtype())
            else:
                made = group.create_group(free)
                made["up"] = group
    changed = buffer.getvalue()
    return change_bytes(rng, changed) if rng.random() < 0.2 else changed


# TensorFlow's bundle.

_CRC = []


def crc32c(data: bytes) -> int:
    if not _CRC:
        for byte in range(256):
            for _ in range(8):
                byte = byte >> 1 ^ (0x82F63B78 if byte & 1 else 0)
            _CRC.append(byte)
    value, table = 0xFFFFFFFF, _CRC
    for byte in data:
        value = table[(value ^ byte) & 0xFF] ^ value >> 8
    return value ^ 0xFFFFFFFF


def masked(crc: int) -> int:
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) % 2**32


def varint(value: int) -> bytes:
    value %= 2**64
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def read_varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at


def table_blocks(data: bytes) -> list[tuple[int, int]]:
    """Where the blocks of a table lie: data, metaindex, index."""
    at = len(data) - 48
    meta, at = read_varint(data, at)
    meta_size, at = read_varint(data, at)
    index, at = read_varint(data, at)
    index_size, at = read_varint(data, at)
    found = [(meta, meta_size), (index, index_size)]
    for _, value in block_entries(data[index : index + index_size]):
        start, after = read_varint(value, 0)
        found.append((start, read_varint(value, after)[0]))
    return found


def block_entries(block: bytes) -> list[tuple[bytes, bytes]]:
    end = len(block) - 4 - 4 * int.from_bytes(block[-4:], "little")
    at, key, found = 0, b"", []
    while at < end:
        shared, at = read_varint(block, at)
        own, at = read_varint(block, at)
        size, at = read_varint(block, at)
        key = key[:shared] + block[at : at + own]
        found.append((key, block[at + own : at + own + size]))
        at += own + size
    return found


def read_table(data: bytes) -> list[tuple[bytes, bytes]]:
    entries = []
    for start, size in table_blocks(data)[2:]:
        entries += block_entries(data[start : start + size])
    return entries


def write_table(entries: list[tuple[bytes, bytes]]) -> bytes:
    """A table with one block of data and right checksums."""
    out = bytearray()

    def block(pairs: list[tuple[bytes, bytes]]) -> bytes:
        start, restarts = len(out), []
        for key, value in pairs:
            restarts.append(len(out) - start)
            out.extend(varint(0) + varint(len(key)) + varint(len(value)) + key + value)
        out.extend(b"".join(struct.pack("<I", at) for at in restarts or [0]) + struct.pack("<I", len(restarts or [0])))
        handle = varint(start) + varint(len(out) - start)
        out.append(0)
        out.extend(struct.pack("<I", masked(crc32c(bytes(out[start:])))))
        return handle

    handle = block(entries)
    meta = block([])
    index = block([(entries[-1][0] + b"\xff" if entries else b"\xff", handle)])
    footer = meta + index
    return bytes(out) + footer + bytes(40 - len(footer)) + struct.pack("<Q", 0xDB4775248B80FB57)


def fields(message: bytes) -> list[tuple[int, int, int | bytes]]:
    """(number, wire type, value) of a protobuf message."""
    at, found = 0, []
    while at < len(message):
        tag, at = read_varint(message, at)
        kind = tag & 7
        if kind == 0:
            value, at = read_varint(message, at)
        elif kind == 2:
            size, at = read_varint(message, at)
            value, at = message[at : at + size], at + size
        else:
            size = {1: 8, 5: 4}[kind]
            value, at = message[at : at + size], at + size
        found.append((tag >> 3, kind, value))
    return found


def message_of(found: list[tuple[int, int, int | bytes]]) -> bytes:
    out = b""
    for number_, kind, value in found:
        out += varint(number_ << 3 | kind)
        out += varint(value) if kind == 0 else varint(len(value)) + value if kind == 2 else value
    return out


def change_message(rng: random.Random, message: bytes) -> bytes:
    try:
        found = fields(message)
    except (IndexError, KeyError):
        return change_bytes(rng, message)
    if not found or rng.random() < 0.1:
        number_ = rng.randint(1, 8)
        value = rng.choice(((0, number(rng)), (2, b"\x08" + varint(number(rng))), (2, b""), (5, rng.randbytes(4))))
        found.insert(rng.randint(0, len(found)), (number_, *value))
        return message_of(found)
    at = rng.randrange(len(found))
    number_, kind, value = found[at]
    what = rng.random()
    if what < 0.1:
        del found[at]
    elif what < 0.2:
        found.insert(at, found[rng.randrange(len(found))])
    elif what < 0.25:
        found[at] = rng.choice((number_ + 1, rng.randint(1, 8))), kind, value
    elif what < 0.3:
        return change_bytes(rng, message)
    elif kind == 0:
        found[at] = number_, kind, rng.choice((number(rng), value + rng.randint(-4, 4), value * 2, rng.randrange(30)))
    elif kind == 2:
        found[at] = number_, kind, change_message(rng, value)
    else:
        found[at] = number_, kind, rng.randbytes(len(value))
    return message_of(found)


def change_index(rng: random.Random, data: bytes) -> bytes:
    """The table of a bundle, its checksums made right again."""
    if rng.random() < 0.3:  # the bytes of a block
        start, size = rng.choice(table_blocks(data))
        out = bytearray(data)
        block = change_bytes(rng, bytes(out[start : start + size]))[:size].ljust(size, b"\0")
        out[start : start + size] = block
        kind = out[start + size] = rng.choice((0, 0, 0, 0, 1, 2, 255))
        out[start + size + 1 : start + size + 5] = struct.pack("<I", masked(crc32c(block + bytes([kind]))))
        return bytes(out)
    entries = read_table(data)
    for _ in range(rng.choice((1, 1, 2))):
        at = rng.randrange(len(entries)) if rng.random() < 0.9 else 0
        key, value = entries[at]
        kind = rng.random()
        if kind < 0.75:
            entries[at] = key, change_message(rng, value)
        elif kind < 0.8 and len(entries) > 1:
            del entries[at]
        elif kind < 0.87:
            entries[at] = change_bytes(rng, key), value
        elif kind < 0.94:
            entries[at] = key, entries[rng.randrange(len(entries))][1]
        else:
            entries.insert(at, (rng.choice((key, key + b"x")), value))
    if rng.random() < 0.8:
        entries.sort()
    return write_table(entries)


# OCDBT, of Orbax.


def _unfolded(body: bytes) -> bytes:
    import pyarrow

    return pyarrow.input_stream(pyarrow.BufferReader(body), compression="zstd").read()


def change_ocdbt(rng: random.Random, data: bytes) -> bytes:
    """A manifest, or a node in a data file: what is compressed in it changed, its checksum made right again."""
    starts = [at for at in range(len(data) - 16) if data[at : at + 4] in (b"\x0c\xdb\x3a\x2a", b"\x0c\xdb\x20\xde")]
    if not starts:
        return change_bytes(rng, data)
    start = rng.choice(starts)
    size = int.from_bytes(data[start + 4 : start + 12], "little")
    if size > len(data) - start or size < 20:
        return change_bytes(rng, data)
    body = data[start + 14 : start + size - 4]
    body = _unfolded(body) if data[start + 13] == 1 else body
    if rng.random() < 0.2:
        for old in (b"d/", b"ocdbt.process_0/"):
            new = rng.choice((b"../", b"/etc/", b"../outside/", b"d/../../", b"\0/", b"/"))
            body = body.replace(old, new[: len(old)].ljust(len(old), b"."), 1)
    else:
        body = change_bytes(rng, body)
    node = (
        data[start : start + 4]
        + (14 + len(body) + 4).to_bytes(8, "little")
        + data[start + 12 : start + 13]
        + b"\0"
        + body
    )
    return data[:start] + node + struct.pack("<I", crc32c(node)) + data[start + size :]


def change_zarr(rng: random.Random, name: str, content: bytes) -> bytes:
    """A value of a zarr store: its metadata, or a chunk."""
    return change_json(rng, content) if name.endswith((".zarray", "zarr.json")) else change_bytes(rng, content)


def change_store(rng: random.Random, files: Files) -> None:
    """Values of an OCDBT store, written by TensorStore itself."""
    import tempfile

    import tensorstore

    manifests = [name for name in files if name.endswith("manifest.ocdbt")]
    root = min(manifests, key=len).removesuffix("manifest.ocdbt")
    with tempfile.TemporaryDirectory() as folder:
        for name, content in files.items():
            path = Path(folder, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        store = tensorstore.KvStore.open({"driver": "ocdbt", "base": f"file://{folder}/{root}"}).result()
        for key in rng.sample(sorted(store.list().result()), rng.choice((1, 1, 2))):
            name, kind = key.decode(), rng.random()
            if kind < 0.9:
                store.write(key, change_zarr(rng, name, store.read(key).result().value)).result()
            else:
                store.delete_range(tensorstore.KvStore.KeyRange(key, key + b"\0")).result()
        del store
        for path in Path(folder).rglob("*"):
            if path.is_file():
                files[str(path.relative_to(folder))] = path.read_bytes()


def change_orbax(rng: random.Random, name: str, data: bytes) -> bytes:
    if name.endswith(".zarray") or data[:1] == b"{":
        return change_json(rng, data)
    return change_ocdbt(rng, data)


# Files.


def _link(target: str) -> Callable[[Path], None]:
    return lambda path: path.symlink_to(target)


def _fifo(path: Path) -> None:
    os.mkfifo(path)


def _folder(path: Path) -> None:
    path.mkdir()


def change_files(rng: random.Random, files: Files, donors: Files) -> None:
    """A file that is missing, empty, renamed, doubled, or no file at all."""
    name = rng.choice(sorted(files))
    kind = rng.randrange(10)
    base = name.rpartition("/")[2]
    if kind == 0:
        del files[name]
    elif kind == 1:
        files[name] = b""
    elif kind == 2:
        files[name] = _fifo
    elif kind == 3:
        files[name] = _folder
    elif kind == 4:
        files[name] = _link(
            rng.choice((f"../outside/{base}", "/dev/zero", "/dev/null", base, "nowhere", ".", "..", "/etc/passwd"))
        )
    elif kind == 5:
        new = f"{name[: len(name) - len(base)]}{rng.choice(('x', 'é', '[', '**.index', ' ', '-²', '.index', base + '.1', base.upper()))}"
        files[new] = files.pop(name)
    elif kind == 6 and donors:
        other = rng.choice(sorted(donors))
        files[name] = donors[other]
    elif kind == 7:
        files[
            rng.choice((f"{name}.index", "**.index", "model.index", f"a/{base}", "a-²/_METADATA", "²/d/_METADATA"))
        ] = files[name]
    elif kind == 8:
        other = rng.choice(sorted(files))
        files[name], files[other] = files[other], files[name]
    else:
        files[name] = bytes(rng.choice((1, 8, 100, 4096))) if rng.random() < 0.5 else rng.randbytes(200)
