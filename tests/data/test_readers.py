"""Readers: rows by their number, from the disk."""

from __future__ import annotations

import csv
import json
import sys
import tracemalloc

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bertx.data import DataError, labels_of, read
from bertx_weights import MissingExtraError

ROWS = [{"text": f"Grüße {i}, “so”", "label": i % 3} for i in range(7)]


def write(path, content):
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def test_json_lines(tmp_path):
    lines = [json.dumps(row, ensure_ascii=index % 2 == 0) for index, row in enumerate(ROWS)]
    path = write(tmp_path / "a.jsonl", "\ufeff" + "\n\n".join(lines[:4]) + "\r\n" + "\n".join(lines[4:]))
    rows = read(path)
    assert list(rows) == ROWS
    assert rows[-1] == ROWS[-1]
    assert rows.place(1) == "line 3"  # blank lines count, and are no rows
    with pytest.raises(IndexError, match=r"a\.jsonl has 7 rows: there is no row 7"):
        rows[7]


@pytest.mark.parametrize("form", ["csv", "tsv"])
def test_tables(tmp_path, form):
    path = tmp_path / f"a.{form}"
    texts = ["plain", 'a "quoted", one', "of\ntwo\nlines", "tab\there", "", "grüße\u2028\x0b"]
    with open(path, "w", newline="") as file:
        writer = csv.writer(file, delimiter="\t" if form == "tsv" else ",")
        writer.writerow(["text", "label"])
        writer.writerows([text, i] for i, text in enumerate(texts))
    rows = read(path)
    assert rows.column_names == ("text", "label")
    assert [row["text"] for row in rows] == [text or None for text in texts]
    assert [row["label"] for row in rows] == list("012345")
    assert [rows.place(i) for i in range(6)] == [f"line {n}" for n in (2, 3, 4, 7, 8, 9)]
    assert rows[4] == {"text": None, "label": "4"}


def test_another_delimiter(tmp_path):
    rows = read(write(tmp_path / "a.csv", "text;label\r\na, b;1\r\n"), delimiter=";")
    assert list(rows) == [{"text": "a, b", "label": "1"}]


def test_parquet(tmp_path):
    table = pa.Table.from_pylist([{**row, "tags": ["x", str(i)]} for i, row in enumerate(ROWS)])
    pq.write_table(table, tmp_path / "a.parquet", row_group_size=2)
    rows = read(tmp_path / "a.parquet")
    assert rows.column_names == ("text", "label", "tags")
    assert [rows[i] for i in (6, 0, 3)] == [{**ROWS[i], "tags": ["x", str(i)]} for i in (6, 0, 3)]
    assert len(rows) == 7


def test_parquet_of_datasets_has_the_names_of_its_labels(tmp_path):
    named = {"names": ["bad", "good"], "_type": "ClassLabel"}
    features = {"label": named, "tags": {"feature": named, "_type": "List"}, "text": {"dtype": "string"}}
    table = pa.table({"label": [1, 0], "tags": [[1], [0]], "text": ["a", "b"]})
    metadata = {"huggingface": json.dumps({"info": {"features": features}})}
    pq.write_table(table.replace_schema_metadata(metadata), tmp_path / "a.parquet")
    rows = read(tmp_path / "a.parquet")
    assert labels_of(rows) == labels_of(rows, "tags") == labels_of(rows[1:]) == ("bad", "good")
    pq.write_table(table.replace_schema_metadata({"huggingface": "no"}), tmp_path / "b.parquet")
    assert labels_of(read(tmp_path / "b.parquet")) == ("0", "1")


def test_parquet_without_pyarrow(tmp_path, monkeypatch):
    path = write(tmp_path / "a.parquet", b"PAR1")
    with pytest.raises(ValueError, match=r"a\.parquet is no parquet file, or damaged"):
        read(path)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MissingExtraError, match=r"needs pyarrow, not installed here: pip install 'bertx\[parquet\]'"):
        read(path)


def test_texts_and_documents(tmp_path):
    path = write(tmp_path / "a.txt", "\n One. \nTwo\u2028 of it.\r\n\n\n  \nThree.\nFour.")
    assert list(read(path)) == [{"text": text} for text in ("One.", "Two\u2028 of it.", "Three.", "Four.")]
    rows = read(path, "documents")
    assert list(rows) == [{"sentences": ["One.", "Two\u2028 of it."]}, {"sentences": ["Three.", "Four."]}]
    assert [rows.place(i) for i in range(2)] == ["line 2", "line 7"]


def test_conll(tmp_path):
    content = (
        "-DOCSTART- -X- O O\n\nEU NNP B-NP B-ORG\nrejects VBZ B-VP O\n\n-DOCSTART- -X- O O\n\nPeter NNP B-NP B-PER\n"
    )
    rows = read(write(tmp_path / "a.conll", content))
    expected = [{"tokens": ["EU", "rejects"], "tags": ["B-ORG", "O"]}, {"tokens": ["Peter"], "tags": ["B-PER"]}]
    assert list(rows) == expected
    assert rows.place(1) == "line 8"
    assert [row["tags"] for row in read(tmp_path / "a.conll", tag_column=1)] == [["NNP", "VBZ"], ["NNP"]]
    tabs = write(tmp_path / "b.iob2", "1\tNew York\tB-LOC\r\n2\ta\u00a0b\tO\r\n")
    assert list(read(tabs, word_column=1)) == [{"tokens": ["New York", "a\u00a0b"], "tags": ["B-LOC", "O"]}]
    wrong = read(write(tmp_path / "c.conll", "EU B-ORG\n\na O\nlonely\n"))
    with pytest.raises(DataError, match=r"c.conll: 1 row cannot be used:\n  line 3 has 'lonely' on its line 1"):
        wrong[1]


SQUAD = {
    "version": "v2.0",
    "data": [
        {
            "title": "Zürich",
            "paragraphs": [
                {
                    "context": "Zürich is a city.",
                    "qas": [
                        {"id": "1", "question": "What?", "answers": [{"text": "a city", "answer_start": 10}]},
                        {"id": "2", "question": "Who?", "answers": [], "is_impossible": True, "plausible_answers": [1]},
                    ],
                },
                {"context": "Nobody.", "qas": [{"id": "3", "question": "Who?", "answers": "wrong"}]},
            ],
        }
    ],
}


def test_squad(tmp_path):
    rows = read(write(tmp_path / "a.json", json.dumps(SQUAD)))
    shared = {"title": "Zürich", "context": "Zürich is a city."}
    answers = {"text": ["a city"], "answer_start": [10]}
    assert rows[0] == {**shared, "id": "1", "question": "What?", "answers": answers}
    none = {"text": [], "answer_start": []}
    assert rows[1] == {**shared, "id": "2", "question": "Who?", "answers": none, "is_impossible": True}
    assert len(rows) == 3
    with pytest.raises(DataError, match=r"row 2 is .*, expected a question of SQuAD with a list of answers"):
        rows[2]


def test_an_array_of_objects(tmp_path):
    rows = read(write(tmp_path / "a.json", json.dumps(ROWS)))
    assert list(rows) == ROWS
    with pytest.raises(ValueError, match=r"neither an array of objects nor of SQuAD's form"):
        read(write(tmp_path / "b.json", '{"data": [{"text": "a"}]}'))
    with pytest.raises(ValueError, match=r"c\.json is not JSON"):
        read(write(tmp_path / "c.json", '{"data": ['))
    with pytest.raises(DataError, match="row 1 is 3, expected a JSON object"):
        read(write(tmp_path / "d.json", '[{"a": 1}, 3]'))[1]


def test_a_view_keeps_the_lines_of_its_rows(tmp_path):
    rows = read(write(tmp_path / "a.jsonl", '{"a": 0}\n{"a": 1}\n{"a": 2}\nno\n{"a": 4}\n'))
    view = rows[1:][::2]
    assert len(view) == 2
    assert view[0] == {"a": 1}
    assert view.path == rows.path
    with pytest.raises(DataError, match=r"a\.jsonl: 1 row cannot be used:\n  line 4 is not JSON") as error:
        view[-1]
    assert set(error.value.problems) == {1}


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("a.jsonl", b'{"a": "\xff"}', "line 1 is not UTF-8: byte 0xff"),
        ("a.jsonl", b"[1]", r"line 1 is \[1\], expected a JSON object"),
        ("a.csv", b"text,label\na\n", "line 2 has 1 columns, the header 2"),
        ("a.csv", b'text,label\n"a"b,1\n', "line 2 is not CSV"),
        ("a.csv", b"text\n\xff\n", "line 2 is not UTF-8"),
        ("a.txt", b"\xff\n", "line 1 is not UTF-8"),
    ],
)
def test_rows_that_cannot_be_read_are_reported_by_line(tmp_path, name, content, expected):
    with pytest.raises(DataError, match=expected):
        read(write(tmp_path / name, content))[0]


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("a.jsonl", "", "a.jsonl is empty"),
        ("a.jsonl", "\n \n", "a.jsonl has no rows"),
        ("a.csv", "text,label\n", "a.csv has no rows"),
        ("a.csv", "text,text\na,b\n", "two columns are called 'text'"),
        ("a.xml", "<a>", "its name does not say what it is: give format, one of jsonl, csv"),
        ("a.jsonl.gz", "x", "is compressed"),
    ],
)
def test_files_without_rows_and_unknown_ones_are_refused(tmp_path, name, content, expected):
    with pytest.raises(ValueError, match=expected):
        read(write(tmp_path / name, content))


def test_options_that_do_not_fit_are_refused(tmp_path):
    path = write(tmp_path / "a.jsonl", '{"a": 1}')
    with pytest.raises(ValueError, match="format is 'xml', expected one of jsonl"):
        read(path, "xml")
    with pytest.raises(ValueError, match="delimiter is of a table"):
        read(path, delimiter=";")
    with pytest.raises(ValueError, match="is a folder"):
        read(tmp_path, "jsonl")
    with pytest.raises(FileNotFoundError):
        read(tmp_path / "none.jsonl")
    with pytest.raises(TypeError, match="int is neither a path nor a table"):
        read(3)


def test_a_table_of_datasets_is_given_back():
    class Table(list):
        column_names = ["text"]

    table = Table([{"text": "a"}])
    assert read(table) is table


def test_a_file_that_shrinks_is_noticed(tmp_path):
    rows = read(write(tmp_path / "a.jsonl", '{"a": 1}\n{"a": 2}\n'))
    write(tmp_path / "a.jsonl", '{"a": 1}\n')
    with pytest.raises(DataError, match="line 2 is no longer there: the file has been changed"):
        rows[1]


@pytest.mark.parametrize("form", ["jsonl", "csv", "txt", "documents", "conll", "parquet"])
def test_no_file_is_in_memory_as_a_whole(tmp_path, form):
    path, line = tmp_path / "a", "word " * 400
    lines = {
        "jsonl": json.dumps({"text": line}) + "\n",
        "csv": f"{line}\n",
        "txt": f"{line}\n",
        "documents": f"{line}\n\n",
        "conll": "word O\n" * 60 + "\n",
    }
    if form == "parquet":
        pq.write_table(pa.table({"text": [f"{line}{i}" for i in range(4000)]}), path)
    else:
        write(path, lines[form] * 4000)
    read(path, form)  # what is imported, and what pyarrow keeps for itself
    tracemalloc.start()
    rows = read(path, form)
    assert len(rows) >= 3999
    rows[17], rows[3000]
    kept, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert kept < 500_000  # of 8 MB
