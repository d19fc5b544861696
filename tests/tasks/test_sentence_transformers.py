from __future__ import annotations

import json
import os

import pytest

import bertx
from bertx.tasks.sentence_transformers import side_files, transformer_folder

MODULE = "sentence_transformers.models."


def _folder(path, modules, *files):
    path.mkdir(exist_ok=True)
    entries = [{"idx": i, "name": str(i), "path": p, "type": MODULE + kind} for i, (kind, p) in enumerate(modules)]
    (path / "modules.json").write_text(json.dumps(entries))
    for name in files:
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_text("{}")
    return path


FILES = (
    "0_BERT/config.json",
    "0_BERT/model.safetensors",
    "0_BERT/sentence_roberta_config.json",
    "config_sentence_transformers.json",
    "pooling/config.json",
    "2_Dense/config.json",
    "2_Dense/model.safetensors",
    "2_Dense/pytorch_model.bin",
    "3_LSTM/lstm_config.json",
    "3_LSTM/pytorch_model.bin",
    "README.md",
    "onnx/model.onnx",
    "sentence_bert_config.json",
)
WANTED = [
    "0_BERT/sentence_roberta_config.json",
    "2_Dense/config.json",
    "2_Dense/model.safetensors",
    "3_LSTM/lstm_config.json",
    "3_LSTM/pytorch_model.bin",
    "config_sentence_transformers.json",
    "modules.json",
    "pooling/config.json",
]


def test_the_files_of_every_module_are_listed(tmp_path):
    modules = [
        ("BERT", "0_BERT"),
        ("Pooling", "pooling"),
        ("Dense", "2_Dense/"),
        ("LSTM", "3_LSTM"),
        ("Normalize", "4"),
    ]
    folder = _folder(tmp_path / "whole", modules, *FILES)
    assert side_files(folder) == WANTED
    assert transformer_folder(folder) == "0_BERT"
    small = _folder(tmp_path / "small", modules)
    assert side_files(small, [*FILES, "modules.json"]) == WANTED  # as a download does, with modules.json alone


def test_a_plain_checkpoint_has_none(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    assert side_files(tmp_path) == []
    assert side_files(tmp_path, ["config.json", "1_Pooling/config.json"]) == []
    assert transformer_folder(tmp_path) == ""


def _modules(text):
    return lambda folder: (folder / "modules.json").write_text(text)


def _link(folder):
    (folder / "1_Pooling/secret").symlink_to("/etc/hostname")


def _linked_folder(folder):
    (folder / "1_Pooling/more").symlink_to("/etc")


def _pipe(folder):
    os.mkfifo(folder / "config_sentence_transformers.json")


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (_modules("{}"), "expected a JSON list, found dict"),
        (_modules("[3]"), "entry 0 is 3, expected an object"),
        (_modules('[{"type": "sentence_transformers.models.Pooling"}]'), "path of entry 0 is None, expected a string"),
        (_modules('[{"type": ["x"], "path": ""}]'), r"type of entry 0 is \['x'\], expected a string"),
        (_modules('[{"type": "x", "path": "../outside"}]'), "path of entry 0 is '../outside', expected a subfolder"),
        (_modules('[{"type": "x", "path": "/etc"}]'), "path of entry 0 is '/etc', expected a subfolder"),
        (_modules('[{"type": "x", "path": "..\\\\outside"}]'), "path of entry 0 .* expected a subfolder"),
        (_link, "1_Pooling/secret, a link to .* outside the folder"),
        (_linked_folder, "1_Pooling/more, a link to .* outside the folder"),
        (_pipe, "config_sentence_transformers.json, which is no regular file"),
    ],
)
def test_files_elsewhere_are_refused(tmp_path, spoil, message):
    folder = _folder(tmp_path / "model", [("Transformer", ""), ("Pooling", "1_Pooling")], "1_Pooling/config.json")
    spoil(folder)
    with pytest.raises(bertx.CheckpointError, match=message):
        side_files(folder)
