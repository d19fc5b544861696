"""Forms of input, the columns that are kept, shards, vectors, progress, help and completion; and rank."""

from __future__ import annotations

import datetime
import gzip
import json
import re
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from cli_support import (
    BACKEND,
    LONGEST,
    VERBS,
    assert_same,
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

TEXTS = ["the happy dog", 'a "cat", in\tthe house', "ünïcode 漢字", ""]


@pytest.fixture
def embed(checkpoint):
    """(*arguments): the rows of `bertx embed`, which takes all of them."""

    def get(*arguments, stdin=b""):
        done = run("embed", checkpoint("embed"), *arguments, *BACKEND, stdin=stdin)
        assert done.code == 0, done
        return done.rows

    return get


def wrong(*arguments, says, stdin=b""):
    done = run(*arguments, *BACKEND, stdin=stdin)
    assert (done.code, done.out) == (2, ""), done
    for message in [says] if isinstance(says, str) else says:
        assert message in done.told, done


# --- forms of input -------------------------------------------------------------------------------


def written(folder, form):
    """A file of TEXTS with a column id, and the lines that its records begin at."""
    file = folder / f"in.{form}"
    rows = [{"id": i, "text": text} for i, text in enumerate(TEXTS)]
    if form == "parquet":
        pq.write_table(pa.Table.from_pylist(rows), file)
        return file, None
    if form == "json":
        file.write_text(json.dumps(rows, indent=1, ensure_ascii=False), encoding="utf-8")
        return file, None
    if form == "jsonl":
        return write_jsonl(file, rows), range(1, 5)
    if form == "txt":
        return write_texts(file, TEXTS), range(1, 5)
    write_csv(file, ["id", "text"], [[str(row["id"]), row["text"]] for row in rows])
    if form == "tsv":
        cells = [
            [str(row["id"]), f'"{text}"' if "\t" in (text := row["text"].replace('"', '""')) else text] for row in rows
        ]
        file.write_text("".join("\t".join(line) + "\n" for line in [["id", "text"], *cells]), encoding="utf-8")
    return file, range(2, 6)


@pytest.mark.parametrize("form", ["txt", "jsonl", "json", "csv", "tsv", "parquet"])
def test_each_form_gives_the_same_texts(embed, model, tmp_path, form):
    file, lines = written(tmp_path, form)
    rows = embed("-i", file)
    assert [row["text"] for row in rows] == TEXTS
    assert [row["row"] for row in rows] == [0, 1, 2, 3]
    assert [row.get("line") for row in rows] == (list(lines) if lines else [None] * 4)
    np.testing.assert_array_equal(np.array([row["embedding"] for row in rows], np.float32), model("embed")(TEXTS))
    other = file.rename(tmp_path / "data.bin")
    assert embed("-i", other, "--input-format", form) == rows
    if form != "parquet":
        packed = tmp_path / f"in.{form}.GZ"
        packed.write_bytes(gzip.compress(other.read_bytes()))
        assert embed("-i", packed) == rows
        assert embed("--input-format", form, stdin=other.read_bytes()) == rows
        assert embed("--input-format", form, stdin=packed.read_bytes()) == rows
    else:
        done = run("embed", tmp_path, "--input-format", form, *BACKEND, stdin=other.read_bytes())
        assert (done.code, "cannot be read from a pipe" in done.told) == (2, True)


def test_what_is_no_such_form(checkpoint, tmp_path):
    folder = checkpoint("embed")
    bad = tmp_path / "a"
    bad.write_bytes(b'{"text": "a"}')
    wrong("embed", folder, "-i", bad, says=("ends in none of .txt, .jsonl", "give --input-format"))
    wrong("embed", folder, "-i", bad, "--input-format", "json", says="is not a JSON array, expected one")
    done = run("embed", folder, "-i", bad, "--input-format", "parquet", *BACKEND)
    assert (done.code, "is no parquet file, or damaged" in done.told) == (1, True)
    wrong("embed", folder, "a", "--input-format", "xls", says="none of txt, jsonl, json, csv, tsv, parquet")
    whole = gzip.compress("".join(f"{text}\n" for text in some_texts(5000)).encode())
    packed = tmp_path / "cut.txt.gz"
    for content in (whole[:-100], whole[:200] + b"\x00" * 50 + whole[250:]):
        packed.write_bytes(content)
        done = run("embed", folder, "-i", packed, "-o", tmp_path / "out.npy", *BACKEND)
        assert (done.code, "cut.txt.gz is a damaged .gz file" in done.told) == (1, True), done
        for left in tmp_path.glob("out*"):
            left.unlink()


def test_delimiters_and_encodings(embed, checkpoint, tmp_path):
    table = tmp_path / "a.csv"
    table.write_bytes("id;text\n1;där Hund\n2;ein|e\n".encode("latin-1"))
    rows = embed("-i", table, "--delimiter", ";", "--encoding", "latin-1")
    assert [row["text"] for row in rows] == ["där Hund", "ein|e"]
    lines = tmp_path / "a.jsonl"
    lines.write_bytes('{"text": "där Hund"}\n{"text": "漢字"}\n'.encode("utf-16"))
    assert [row["text"] for row in embed("-i", lines, "--encoding", "utf-16")] == ["där Hund", "漢字"]
    piped = embed("--input-format", "tsv", "--encoding", "cp1252", stdin="text\tn\n“x”\t1\n".encode("cp1252"))
    assert piped[0]["text"] == "“x”"
    folder = checkpoint("embed")
    done = run("embed", folder, "--encoding", "ascii", *BACKEND, stdin="dog\nd\xf6g\n".encode("latin-1"))
    assert done.rows[1]["error"] == "has bytes that are not ascii"
    wrong("embed", folder, "--encoding", "klingon", says="is no text encoding", stdin=b"a")
    wrong("embed", folder, "--encoding", "base64", says="is no text encoding", stdin=b"a")
    wrong("embed", folder, "--delimiter", "ab", "-i", table, says="is not one character")
    wrong("embed", folder, "--delimiter", ";", says="--delimiter is of a table", stdin=b"the dog")


@pytest.mark.parametrize("form", ["txt", "jsonl", "csv"])
def test_what_is_not_utf8_says_how_to_give_its_encoding_once(checkpoint, form):
    texts = {
        "txt": "där Hund\nöd\n",
        "jsonl": '{"text": "där Hund"}\n{"text": "öd"}\n',
        "csv": "text,n\ndär Hund,1\nöd,2\n",
    }[form]
    given = ("--input-format", form, *BACKEND)
    done = run("embed", checkpoint("embed"), *given, stdin=texts.encode("latin-1"))
    assert (done.code, done.told.count("--encoding latin-1")) == (1, 1)
    done = run("embed", checkpoint("embed"), *given, "--encoding", "latin-1", stdin=texts.encode("latin-1"))
    assert [row["text"] for row in done.rows] == ["där Hund", "öd"]
    assert done.code == 0 and "--encoding" not in done.told


def test_a_json_array_that_is_not_utf8_says_how_to_give_its_encoding(checkpoint):
    given = ("--input-format", "json")
    wrong("embed", checkpoint("embed"), *given, says="--encoding latin-1", stdin='["där"]'.encode("latin-1"))


# --- kept columns ---------------------------------------------------------------------------------


def test_columns_are_kept_by_name_and_all_of_them(checkpoint, embed, tmp_path):
    rows = [{"id": 7, "text": "the dog", "tags": ["a"], "note": None}, {"id": "8", "text": "a cat", "more": 1.5}]
    file = write_jsonl(tmp_path / "in.jsonl", rows)
    found = embed("-i", file, "--keep", "id,tags")
    assert [{name: row.get(name) for name in ("id", "tags")} for row in found] == [
        {"id": 7, "tags": ["a"]},
        {"id": "8", "tags": None},
    ]
    assert list(found[0]) == ["line", "row", "id", "tags", "text", "embedding"]
    every = embed("-i", file, "--keep", "all")
    assert {name: every[0][name] for name in ("id", "tags", "note")} == {"id": 7, "tags": ["a"], "note": None}
    assert every[1]["more"] == 1.5 and "tags" not in every[1]
    body = write_csv(tmp_path / "in.csv", ["id", "body", "title"], [["007", "the dog", "t, 1"]])
    assert list(embed("-i", body, "-c", "body", "--keep", "all")[0]) == [
        "line",
        "row",
        "id",
        "title",
        "text",
        "embedding",
    ]
    given = ("embed", checkpoint("embed"), "-c", "body", "-i", body, *BACKEND)
    for suffix in (".csv", ".parquet"):
        assert run(*given, "--keep", "title,id", "-o", tmp_path / f"out{suffix}").code == 0
    assert (tmp_path / "out.csv").read_text().splitlines()[0] == "line,row,title,id,text,embedding,error"
    assert pq.read_table(tmp_path / "out.parquet")["id"].to_pylist() == ["007"]
    done = run("embed", checkpoint("embed"), "-i", file, "--keep", "tags", "-o", tmp_path / "json.parquet", *BACKEND)
    assert done.code == 0
    assert pq.read_table(tmp_path / "json.parquet")["tags"].to_pylist() == ['["a"]', None]


def test_what_cannot_be_kept_is_refused(checkpoint, tmp_path):
    folder = checkpoint("classify")
    table = write_csv(tmp_path / "a.csv", ["text", "score", "id"], [["the dog", "1", "2"]])
    lines = write_jsonl(tmp_path / "a.jsonl", [{"text": "the dog", "score": 1, "id": 2}, {"text": "a", "label": 1}])
    given = ("classify", folder, "-i")
    for file in (table, lines):
        wrong(*given, file, "--keep", "idd", says="no column 'idd' to keep; it has text, score, id")
        wrong(*given, file, "--keep", "score", says="has the column 'score', which the output has too")
    wrong(*given, table, "--keep", "all", says="has the column 'score', which the output has too")
    done = run(*given, lines, "--keep", "all", *BACKEND)
    assert done.code == 1
    assert [("which the output has too" in row["error"]) for row in done.rows] == [True, True]
    out = tmp_path / "out.csv"
    wrong(*given, lines, "--keep", "all", "-o", out, says="give --keep the names of those to keep")
    wrong("classify", folder, "the dog", "--keep", "id", says="--keep is of a file with columns")
    wrong("classify", folder, "--keep", "id", says="--keep is of a file with columns", stdin=b"the dog\n")


def test_parquet_keeps_the_types_of_its_columns(checkpoint, tmp_path):
    table = pa.table(
        {
            "id": pa.array([1, None], pa.int16()),
            "day": pa.array([datetime.date(2020, 1, 2), None]),
            "parts": pa.array([[1.5], []], pa.list_(pa.float32())),
            "body": ["the dog", "a cat"],
        }
    )
    file = tmp_path / "in.parquet"
    pq.write_table(table, file)
    given = ("embed", checkpoint("embed"), "-i", file, "-c", "body", "--keep", "all", *BACKEND)
    for suffix in (".parquet", ".csv", ".jsonl"):
        assert run(*given, "-o", tmp_path / f"out{suffix}").code == 0
    made = pq.read_table(tmp_path / "out.parquet")
    assert made.column_names == ["row", "id", "day", "parts", "text", "embedding", "error"]
    for name in ("id", "day", "parts"):
        assert made[name].to_pylist() == table[name].to_pylist()
        assert made.schema.field(name).type == table.schema.field(name).type
    first = json.loads((tmp_path / "out.jsonl").read_text().splitlines()[0])
    assert (first["id"], first["day"], first["parts"]) == (1, "2020-01-02", [1.5])
    assert (tmp_path / "out.csv").read_text().splitlines()[1].startswith("0,1,2020-01-02,[1.5],the dog,")


def test_a_number_that_is_not_finite_is_kept_as_null(embed):
    row = embed("-c", "text", "--keep", "n", stdin=b'{"text": "a", "n": [NaN, 1]}\n')[0]
    assert row["n"] == [None, 1]


# --- shards ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["txt", "csv", "parquet"])
def test_shards_are_together_the_whole(embed, checkpoint, killed, small_window, tmp_path, form):
    texts = some_texts(50)
    file = tmp_path / f"in.{form}"
    if form == "parquet":
        pq.write_table(pa.table({"text": texts}), file)
    else:
        write_texts(file, texts if form == "txt" else ["text", *texts])
    whole = embed("-i", file)
    parts = [embed("-i", file, "--shard", f"{i}/3") for i in (1, 2, 3)]
    assert [len(part) for part in parts] == [17, 17, 16]
    merged = sorted((row for part in parts for row in part), key=lambda row: row["row"])
    assert [(row["row"], row.get("line"), row["text"]) for row in merged] == [
        (row["row"], row.get("line"), row["text"]) for row in whole
    ]
    given = ("embed", checkpoint("embed"), "-i", file, "--shard", "2/3", *BACKEND, "-o")
    killed(1, *given, tmp_path / "out.jsonl")
    wrong(
        *given[:-1], "--shard", "1/3", "-o", tmp_path / "out.jsonl", "--resume", says="is of another job (input shard"
    )
    assert run(*given, tmp_path / "out.jsonl", "--resume").code == 0
    assert run(*given, tmp_path / "alone.jsonl").code == 0
    assert (tmp_path / "out.jsonl").read_bytes() == (tmp_path / "alone.jsonl").read_bytes()
    assert "nothing to do" in run(*given, tmp_path / "out.jsonl", "--resume").told


@pytest.mark.parametrize("shard", ["0/3", "4/3", "1", "1/0", "a/b", "-1/3"])
def test_a_shard_that_cannot_be(checkpoint, shard):
    wrong("embed", checkpoint("embed"), "--shard", shard, says="is not I/N with I from 1 to N", stdin=b"a")


@pytest.mark.parametrize("form", ["json", "parquet", "txt.gz"])
def test_other_forms_are_gone_on_with(checkpoint, killed, small_window, tmp_path, form):
    texts = some_texts(40)
    file = tmp_path / f"in.{form}"
    write = {
        "json": lambda: file.write_text(json.dumps(texts)),
        "parquet": lambda: pq.write_table(pa.table({"text": texts}), file),
        "txt.gz": lambda: file.write_bytes(gzip.compress("\n".join(texts).encode())),
    }[form]
    write()
    given = ("embed", checkpoint("embed"), "-i", file, *BACKEND, "-o")
    killed(2, *given, tmp_path / "out.npy")
    before, texts[3] = texts[3], "another"
    write()
    wrong(*given, tmp_path / "out.npy", "--resume", says="the first 16 records are not those")
    texts[3] = before
    write()
    assert run(*given, tmp_path / "out.npy", "--resume").code == 0
    assert run(*given, tmp_path / "whole.npy").code == 0
    assert (tmp_path / "out.npy").read_bytes() == (tmp_path / "whole.npy").read_bytes()


# --- lengths and vectors --------------------------------------------------------------------------


def test_texts_are_cut_at_max_length(embed, model, checkpoint):
    long, short = "the happy dog walks in the city", "the happy dog"
    cut, expected = embed(long, short, "--max-length", "5")
    np.testing.assert_allclose(cut["embedding"], expected["embedding"], atol=1e-6)
    np.testing.assert_allclose(cut["embedding"], model("embed")(short), atol=1e-6)
    assert embed(long)[0]["embedding"] != cut["embedding"]
    folder = checkpoint("embed")
    wrong("embed", folder, long, "--max-length", LONGEST + 1, says=f"takes {LONGEST} tokens")
    wrong("embed", folder, long, "--max-length", "2", says="at least 3")
    wrong("generate", checkpoint("generate"), long, "--max-length", "5", says="--max-new-tokens")
    question = ("answer", checkpoint("answer"), "who?", "the dog walks " * 20, "--max-length")
    assert run(*question, "12", *BACKEND).code == 0
    assert run(*question, "4", *BACKEND).code in (1, 2)  # no room for a context


def test_max_length_is_within_that_of_a_sentence_transformers_folder(model, tmp_path):
    folder = write_checkpoint("BertModel", tmp_path / "short")
    (folder / "sentence_bert_config.json").write_text(json.dumps({"max_seq_length": 8, "do_lower_case": False}))
    texts = ("the happy dog walks in the city", "the happy dog")
    wrong("embed", folder, *texts, "--max-length", "9", says="takes 8 tokens")
    cut, expected = run("embed", folder, *texts, "--max-length", "5", *BACKEND).rows
    np.testing.assert_allclose(cut["embedding"], expected["embedding"], atol=1e-6)


def test_vectors_of_half_the_size(checkpoint, model, tmp_path):
    texts = some_texts(5)
    given = (
        "embed",
        checkpoint("embed"),
        "-i",
        write_jsonl(tmp_path / "in.jsonl", [*texts, 7]),
        "--vectors",
        "float16",
    )
    for suffix in (".npy", ".parquet", ".jsonl", ".csv"):
        assert run(*given, "-o", tmp_path / f"out{suffix}", *BACKEND).code == 1
    expected = model("embed")(texts).astype(np.float16)
    array = np.load(tmp_path / "out.npy")
    assert array.dtype == np.float16
    np.testing.assert_array_equal(array[:5], expected)
    assert np.isnan(array[5]).all()
    table = pq.read_table(tmp_path / "out.parquet")
    assert table.schema.field("embedding").type == pa.list_(pa.float16(), 48)
    assert table["embedding"].to_pylist()[5] is None
    np.testing.assert_array_equal(np.array(table["embedding"].to_pylist()[:5], np.float16), expected)
    rows = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    np.testing.assert_array_equal(np.array([row["embedding"] for row in rows[:5]], np.float16), expected)
    wrong(*given[:4], "--vectors", "int4", says="is none of float32, float16, int8")
    wrong(*given, "--pooling", "none", says="--vectors float16 is of one vector")


def test_int8_vectors_with_a_scale_for_each(checkpoint, model, tmp_path):
    texts = some_texts(5)
    file = write_jsonl(tmp_path / "in.jsonl", [*texts, 7])
    expected = model("embed")(texts)
    given = ("embed", checkpoint("embed"), "-i", file, "--vectors", "int8", *BACKEND, "-o")
    for name in ("out.npy", "out.parquet", "out.jsonl"):
        assert run(*given, tmp_path / name).code == 1
    array = np.load(tmp_path / "out.npy")
    assert array.dtype == np.int8 and not array[5].any()
    np.testing.assert_array_equal(np.abs(array[:5]).max(1), 127)
    table = pq.read_table(tmp_path / "out.parquet")
    assert table.schema.field("embedding").type == pa.list_(pa.int8(), 48)
    rows = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    for vectors, scales in (
        (table["embedding"].to_pylist()[:5], table["embedding_scale"].to_pylist()[:5]),
        ([row["embedding"] for row in rows[:5]], [row["embedding_scale"] for row in rows[:5]]),
    ):
        np.testing.assert_array_equal(vectors, array[:5])
        found = np.array(vectors) * np.array(scales)[:, None]
        np.testing.assert_allclose(found, expected, atol=np.abs(expected).max() / 254 * 1.001)
    wrong(*given[:4], "--vectors", "int8", "--keep", "embedding_scale", says="embedding_scale")


def test_a_vector_that_float16_cannot_hold_is_a_failed_row(tmp_path):
    from safetensors.numpy import load_file, save_file

    folder = write_checkpoint("BertModel", tmp_path / "large")
    (folder / "modules.json").unlink()
    tensors = load_file(folder / "model.safetensors")
    last = max(name for name in tensors if name.endswith("output.LayerNorm.weight") and "attention" not in name)
    tensors[last] *= 1e6
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    done = run("embed", folder, "the dog", "--pooling", "mean", "--vectors", "float16", *BACKEND)
    assert done.code == 1
    assert done.rows[0]["error"] == "gives a vector that float16 cannot hold"


# --- progress, help, completion -------------------------------------------------------------------


def test_a_stderr_that_is_no_terminal_gets_a_line_now_and_then(checkpoint, small_window, monkeypatch, tmp_path):
    from bertx.cli import progress

    file = write_texts(tmp_path / "in.txt", some_texts(40))
    given = ("embed", checkpoint("embed"), "-i", file, *BACKEND)
    assert run(*given).err == ""
    monkeypatch.setattr(progress, "EVERY", 0)
    lines = run(*given).err.splitlines()
    assert len(lines) == 5
    assert all(re.fullmatch(r"bertx: embed: \d+%, \d+ done, [\d,]+ a second", line) for line in lines)
    assert lines[-1].startswith("bertx: embed: 100%, 40 done")
    assert progress.EVERY == 0


@pytest.mark.parametrize(
    "verb", [*VERBS, "rank", "search", "serve", "parity", "export", "inspect", "convert", "backends", "demo"]
)
def test_the_help_of_a_verb_has_examples_and_exit_codes(verb):
    out = run(verb, "--help").out
    assert f"bertx {verb}" in out.partition("Examples:")[2]
    assert re.search(r"Exit codes?: 0", out)


def test_the_examples_of_the_help_are_commands():
    import shlex

    import typer.main

    from bertx.cli import app

    group = typer.main.get_command(app)
    found = 0
    for name, one in (("bertx", group), *group.commands.items()):
        for line in (one.epilog or "").splitlines():
            if line.startswith("  bertx "):
                _, named, *arguments = shlex.split(line)
                assert one is group or named == name
                verb = group.commands[named]
                known = {option for one in verb.params for option in (*one.opts, *one.secondary_opts)}
                assert {word for word in arguments if word.startswith("-")} <= known, line
                found += 1
    assert found >= 25 and len(group.epilog.splitlines()) > 5


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        ("embed x --backend t", ["torch", "tensorflow"]),
        ("parity x --backend n", ["numpy"]),
        ("convert x y --to ke", ["keras-hub"]),
        ("inspect x --task fill", ["fill-mask"]),
        ("convert x y --task multi", ["multiple-choice"]),
        ("embed x --input-format js", ["jsonl", "json"]),
    ],
)
def test_a_shell_completes_names(words, offered):
    typed = ["bertx", *words.split()]
    asked = {"_BERTX_COMPLETE": "complete_bash", "COMP_WORDS": " ".join(typed), "COMP_CWORD": str(len(typed) - 1)}
    script = "import sys; sys.argv = ['bertx']; from bertx.cli import main; main()"
    done = subprocess.run([sys.executable, "-c", script], env=environment() | asked, capture_output=True, text=True)
    assert sorted(done.stdout.split()) == sorted(offered), done.stderr


# --- rank -----------------------------------------------------------------------------------------


def test_rank_by_the_cosine_of_embeddings(checkpoint, model, small_window, tmp_path):
    from bertx.tasks.feature_extraction import cosine_similarity

    texts = some_texts(60)
    file = write_jsonl(tmp_path / "docs.jsonl", [{"id": f"d{i}", "body": text} for i, text in enumerate(texts)])
    given = ("rank", checkpoint("embed"), "the happy dog", "--docs", file, "-c", "body", "--keep", "id", "-k", "7")
    done = run(*given, *BACKEND)
    assert (done.code, done.err) == (0, "")
    scores = cosine_similarity(model("embed")(["the happy dog"]), model("embed")(texts))[0]
    best = np.argsort(-scores)[:7]
    assert [row["row"] for row in done.rows] == best.tolist()
    assert [row["id"] for row in done.rows] == [f"d{i}" for i in best]
    assert [row["rank"] for row in done.rows] == list(range(1, 8))
    np.testing.assert_allclose([row["score"] for row in done.rows], scores[best], atol=1e-6)
    assert run(*given, *BACKEND, "-o", tmp_path / "out.parquet").code == 0
    assert pq.read_table(tmp_path / "out.parquet")["text"].to_pylist() == [texts[i] for i in best]
    piped = run("rank", checkpoint("embed"), "the happy dog", *BACKEND, stdin="\n".join(texts).encode())
    assert [row["row"] for row in piped.rows[:7]] == best.tolist()


def test_rank_of_several_files(checkpoint, tmp_path):
    texts = some_texts(30)
    (tmp_path / "docs").mkdir()
    parts = [write_texts(tmp_path / "docs" / f"{i}.txt", texts[i * 10 : i * 10 + 10]) for i in range(3)]
    given = ("rank", checkpoint("embed"), "the happy dog", *BACKEND, "--docs")
    whole = run(*given, write_texts(tmp_path / "whole.txt", texts)).rows
    expected = [row | {"file": str(parts[row["row"] // 10]), "line": row["row"] % 10 + 1} for row in whole]
    each = [word for part in parts for word in ("--docs", part)][1:]
    for files in ([tmp_path / "docs" / "*.txt"], parts, each):
        done = run(*given, *files)
        assert (done.code, done.err) == (0, "")
        assert_same(done.rows, expected)
    wrong(*given, tmp_path / "no*.txt", says="no*.txt: no file matches")
    wrong(*given, tmp_path / "docs", says="is a directory")
    wrong(*given, parts[0], "--docs", parts[0], says="is given twice")
    wrong(*given, parts[0], tmp_path / "lost.txt", says="both texts and --docs")
    wrong("rank", checkpoint("embed"), "--docs", *parts, "the happy dog", says="files come last, after --docs")
    wrong("rank", checkpoint("embed"), "the happy dog", "it runs", says="expected one query", stdin=b"a")
    refused = run(*given, parts[0], parts[1], "-o", parts[1], "--overwrite")
    assert refused.code == 2 and parts[1].read_text() == "".join(f"{text}\n" for text in texts[10:20])


def test_rank_by_the_scores_of_a_cross_encoder(loaded, tmp_path):
    folder = write_checkpoint("BertForSequenceClassification", tmp_path / "cross", num_labels=1)
    texts = some_texts(30)
    model = loaded(folder, backend="numpy")
    scores = np.array([one["score"] for one in model([("who walks?", text) for text in texts])])
    done = run("rank", folder, "who walks?", "--docs", write_texts(tmp_path / "d.txt", texts), "-k", "5", *BACKEND)
    assert [row["row"] for row in done.rows] == np.argsort(-scores, kind="stable")[:5].tolist()
    np.testing.assert_allclose([row["score"] for row in done.rows], np.sort(scores)[::-1][:5], atol=1e-6)
    wrong("rank", folder, "who?", "--pooling", "mean", says="is a cross-encoder", stdin=b"a")


def test_rank_refuses_what_has_no_one_score(checkpoint, tmp_path):
    wrong("rank", checkpoint("classify"), "who?", says="has 5 labels", stdin=b"a")
    folder = write_checkpoint("BertModel", tmp_path / "plain")
    (folder / "modules.json").unlink()
    wrong("rank", folder, "who?", says="give --pooling, such as mean or cls", stdin=b"a")
    assert run("rank", folder, "who?", "--pooling", "mean", *BACKEND, stdin=b"a\nb\n").code == 0
    wrong("rank", folder, "who?", "--pooling", "sum", says="sum", stdin=b"a")
    done = run("rank", checkpoint("embed"), "who?", "-c", "text", *BACKEND, stdin=b'{"text": "the dog"}\n{"text": 5}\n')
    assert done.code == 1
    assert [row["row"] for row in done.rows] == [0]
    assert "line 2 has 5 in 'text'" in done.told
    assert run("rank", checkpoint("embed"), "who?", *BACKEND, stdin=b"").rows == []


def test_the_command_has_its_own_process(checkpoint, tmp_path):
    file = write_texts(tmp_path / "d.txt", ["the dog", "a cat"])
    given = command("rank", checkpoint("embed"), "dog", "--docs", file, *BACKEND)
    done = subprocess.run(given, capture_output=True, env=environment(), timeout=60)
    assert (done.returncode, len(done.stdout.splitlines()), done.stderr) == (0, 2, b"")
