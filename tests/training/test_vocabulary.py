"""bertx.train_tokenizer and bertx train-tokenizer: text files become a tokenizer that transformers reads."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import transformers
from typer.testing import CliRunner

import bertx
from bertx.cli import app

TEXTS = ["The librarians of Zürich catalogued nineteenth-century photographs.", "They didn't; the photographs stayed."]
FILES = ["special_tokens_map.json", "tokenizer.json", "tokenizer_config.json", "vocab.txt"]


@pytest.fixture
def files(tmp_path):
    paths = [tmp_path / "one.txt", tmp_path / "two.txt"]
    paths[0].write_text("\n".join(TEXTS * 5), encoding="utf-8")
    paths[1].write_text("\n".join(f"{text} {i} times ☃" for i, text in enumerate(TEXTS * 9)), encoding="utf-8")
    return paths


def invoke(*arguments):
    return CliRunner().invoke(app, ["train-tokenizer", *map(str, arguments)], env={"COLUMNS": "200"})


@pytest.mark.parametrize("lower_case", [True, False])
def test_transformers_reads_what_is_written(files, lower_case, tmp_path):
    out = tmp_path / "folder" / "out"
    tokenizer = bertx.train_tokenizer(files, out=out, vocab_size=160, lower_case=lower_case)
    assert 100 < len(tokenizer) <= 160
    assert {path.name for path in out.iterdir()} <= set(FILES) and (out / "vocab.txt").exists()
    for reader in (transformers.AutoTokenizer, bertx.BertTokenizer):
        again = reader.from_pretrained(out)
        assert again.get_vocab() == tokenizer.get_vocab()
        for text in (*TEXTS, "THE Zurich ☃ 汉"):
            assert again(text)["input_ids"] == tokenizer(text)["input_ids"]
        assert again.tokenize("The The")[0] == ("the" if lower_case else "The")
    lines = (out / "vocab.txt").read_text(encoding="utf-8").splitlines()
    assert lines[:5] == ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    assert lines == [token for token, _ in sorted(tokenizer.get_vocab().items(), key=lambda item: item[1])]


def test_the_same_files_give_the_same_bytes_in_another_process(files, tmp_path):
    made = []
    for i, threads in enumerate(("1", "4")):
        out = tmp_path / f"out{i}"
        command = [sys.executable, "-m", "bertx", "train-tokenizer", *files, "-o", out, "--vocab-size", "110"]
        environment = os.environ | {"RAYON_NUM_THREADS": threads, "PYTHONHASHSEED": str(i)}
        done = subprocess.run(command, capture_output=True, text=True, env=environment)
        assert done.returncode == 0, done.stderr
        made.append({path.name: path.read_bytes() for path in out.iterdir()})
    assert made[0] == made[1]
    assert "a vocabulary of 110 tokens" in done.stderr


def test_options_of_the_verb(files, tmp_path):
    result = invoke(
        *files, "-o", tmp_path / "out", "--vocab-size", 90, "--cased", "--min-frequency", 4, "--limit-alphabet", 30
    )
    assert result.exit_code == 0, result.output
    tokenizer = bertx.BertTokenizer.from_pretrained(tmp_path / "out")
    again = bertx.train_tokenizer(
        files, out=tmp_path / "again", vocab_size=90, lower_case=False, min_frequency=4, limit_alphabet=30
    )
    assert tokenizer.get_vocab() == again.get_vocab() and not tokenizer.do_lower_case
    taken = invoke(*files, "-o", tmp_path / "out")
    assert isinstance(taken.exception, bertx.cli.records.WrongUsage) and "is there already" in str(taken.exception)


def test_what_cannot_be_learnt_from_is_told_and_nothing_is_written(files, tmp_path):
    def refused(match, given=files, kind=ValueError, **options):
        with pytest.raises(kind, match=match):
            bertx.train_tokenizer(given, out=tmp_path / "new" / "out", **options)
        assert not (tmp_path / "new").exists()

    (tmp_path / "blank.txt").write_text(" \n\n")
    (tmp_path / "latin.txt").write_bytes("good\nZürich\n".encode("latin-1"))
    (tmp_path / "other.txt").write_bytes(b"\xff")
    refused(r"(?s)vocab_size is 0.*min_frequency is True", vocab_size=0, min_frequency=True)
    refused("no files to learn from", given=[])
    refused("no such text files: .*lost.txt", given=[*files, tmp_path / "lost.txt"], kind=FileNotFoundError)
    refused("there is no text in", given=tmp_path / "blank.txt")
    refused(
        r"(?s)latin.txt: line 2 is not UTF-8: byte 0xfc.*other.txt: line 1 is not UTF-8",
        given=[*files, tmp_path / "latin.txt", tmp_path / "other.txt"],
    )
    refused("lower", lower="no", kind=TypeError)
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "file").write_text("x")
    with pytest.raises(FileExistsError, match="is there already"):
        bertx.train_tokenizer(files, out=tmp_path / "taken")
