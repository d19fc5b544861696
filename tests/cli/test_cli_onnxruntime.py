"""`backend="onnxruntime"`: exported files as models, bertx's own and those of others."""

from __future__ import annotations

import json
import shutil
import warnings

import numpy as np
import onnx
import pytest
import torch
import transformers
from cli_support import BACKEND, VERBS, run, write_checkpoint
from onnx import numpy_helper

import bertx
from bertx.backend import get_backend, known_backends, known_runtimes
from bertx.exporting.runtime import Runtime
from support import batch, differences, peer, peer_forward

pytest_plugins = "cli_support"
ORT = ("--backend", "onnxruntime")
# Those of a verb's checkpoint that a file computes.
RUN = [name for name in VERBS if name not in ("generate", "summarize")]


def exports(checkpoint, tmp_path_factory, form):
    """(verb) → the folder of the export of its checkpoint; each is made once."""
    made = {}

    def get(verb):
        if verb not in made:
            made[verb] = tmp_path_factory.mktemp(form) / verb
            assert bertx.export(checkpoint(verb), made[verb], form, task=VERBS[verb].task).passed
        return made[verb]

    return get


@pytest.fixture(scope="session")
def exported(checkpoint, tmp_path_factory):
    """Those of ONNX."""
    return exports(checkpoint, tmp_path_factory, "onnx")


class Others(torch.nn.Module):
    """A model of transformers with outputs as another exporter names them."""

    def __init__(self, model, name):
        super().__init__()
        self.model, self.name = model, name

    def forward(self, input_ids, attention_mask, token_type_ids):
        found = self.model(input_ids=input_ids, attention_mask=attention_mask, token_type_ids=token_type_ids)
        return {self.name: found[0]}


def write_others(model: transformers.PreTrainedModel, path, name: str) -> None:
    """PyTorch's exporter on the model of transformers."""
    path.parent.mkdir(parents=True, exist_ok=True)
    names = ("input_ids", "attention_mask", "token_type_ids")
    shapes = {one: {0: torch.export.Dim("batch"), 1: torch.export.Dim("sequence")} for one in names}
    example = {one: torch.ones(2, 7, dtype=torch.int64) for one in names}
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            Others(model.float().eval(), name),
            (),
            path,
            kwargs=example,
            input_names=list(names),
            output_names=[name],
            dynamic_shapes=shapes,
            external_data=False,
            dynamo=True,
            verbose=False,
        )


@pytest.fixture(scope="session")
def others(tmp_path_factory):
    """A folder as sentence-transformers has it: weights, config, tokenizer, modules, and onnx/model.onnx."""
    folder = write_checkpoint("BertModel", tmp_path_factory.mktemp("others") / "model")
    write_others(peer("BertModel"), folder / "onnx" / "model.onnx", "token_embeddings")
    return folder


def assert_alike(found, expected):
    """Results of a task, to what float32 rounds."""
    if isinstance(expected, dict):
        assert found.keys() == expected.keys()
        for key in expected:
            assert_alike(found[key], expected[key])
    elif isinstance(expected, (list, tuple)):
        assert len(found) == len(expected)
        for a, b in zip(found, expected, strict=True):
            assert_alike(a, b)
    elif isinstance(expected, (float, np.floating, np.ndarray)):
        np.testing.assert_allclose(found, expected, atol=2e-5)
    else:
        assert found == expected


@pytest.mark.parametrize("verb", RUN)
def test_the_tasks_run_on_a_file(exported, model, verb):
    loaded = bertx.load(exported(verb), backend="onnxruntime")
    assert (loaded.backend, loaded.task, loaded.device) == ("onnxruntime", VERBS[verb].task, "cpu")
    assert type(loaded.module).__name__ == "InferenceSession"
    assert_alike(VERBS[verb].rows(loaded, VERBS[verb].inputs), VERBS[verb].rows(model(verb), VERBS[verb].inputs))


@pytest.mark.parametrize("verb", ["embed", "classify"])
def test_the_command_line_runs_a_file(exported, checkpoint, tmp_path, verb):
    texts = ["the happy dog", "a cat walks in the city", "dog"]
    done, expected = run(verb, exported(verb), *texts, *ORT), run(verb, checkpoint(verb), *texts, *BACKEND)
    assert (done.code, done.err) == (0, "")
    assert_alike(done.rows, expected.rows)
    done = run(verb, exported(verb), *texts, *ORT, "-o", tmp_path / "out.jsonl")
    assert done.code == 0 and len((tmp_path / "out.jsonl").read_text().splitlines()) == 3


def test_documents_are_ranked_on_a_file(exported, checkpoint, tmp_path):
    (tmp_path / "docs.txt").write_text("the dog\na city and a train\nhappy dog\n")
    given = ("the happy dog", "--docs", tmp_path / "docs.txt")
    found, expected = run("rank", exported("embed"), *given, *ORT), run("rank", checkpoint("embed"), *given, *BACKEND)
    assert found.code == 0 and [row["row"] for row in found.rows] == [row["row"] for row in expected.rows]


@pytest.mark.parametrize("padding", [None, "right", "left"])
def test_a_forward_pass_gives_the_outputs_of_the_file(exported, checkpoint, padding):
    head = VERBS["fill-mask"].head
    inputs = batch(head, padding)
    found = bertx.load(exported("fill-mask"), backend="onnxruntime").forward(**inputs)
    assert max(differences(found, peer_forward(peer(head), inputs)).values()) <= 5e-6
    positions = np.array([[1, 2], [0, 0], [3, 1], [2, 4]])
    some = bertx.load(exported("fill-mask"), backend="onnxruntime").forward(**inputs, mask_positions=positions)
    expected = bertx.load(checkpoint("fill-mask"), backend="numpy").forward(**inputs, mask_positions=positions)
    np.testing.assert_allclose(some["logits"], expected["logits"], atol=5e-6)


def test_what_the_file_takes_and_is_not_given_is_as_the_spec_has_it(exported, checkpoint):
    ids = batch("BertForMaskedLM", None)["input_ids"]
    found = bertx.load(exported("fill-mask"), backend="onnxruntime").forward(input_ids=ids)
    expected = bertx.load(checkpoint("fill-mask"), backend="numpy").forward(input_ids=ids)
    np.testing.assert_allclose(found["logits"], expected["logits"], atol=5e-6)


# --- sentence embeddings ------------------------------------------------------------------------------

TEXTS = ["The happy dog walks.", "a cat", "dog"]


def test_a_file_that_pools_gives_embeddings_and_refuses_another_pooling(exported, model):
    file = bertx.load(exported("embed"), backend="onnxruntime")
    assert file.outputs == ("sentence_embedding",)
    np.testing.assert_allclose(file(TEXTS), model("embed")(TEXTS), atol=5e-6)
    np.testing.assert_allclose(file(TEXTS, normalize=True), model("embed")(TEXTS, normalize=True), atol=5e-6)
    for options, named in (({"pooling": "cls"}, "pooling"), ({"normalize": False}, "normalize")):
        with pytest.raises(ValueError, match=f"pooled already, and no last_hidden_state: it takes no other {named}"):
            file(TEXTS, **options)
    with pytest.raises(ValueError, match="sentence_embedding alone, and no last_hidden_state"):
        file(TEXTS, pooling="none")


@pytest.mark.parametrize("options", [{}, {"pooling": "max"}, {"normalize": False}, {"pooling": "none"}], ids=str)
def test_the_token_vectors_of_others_are_pooled_as_the_folder_says(others, options):
    file, own = (bertx.load(others, backend=backend) for backend in ("onnxruntime", "numpy"))
    assert file.outputs == ("last_hidden_state",)
    assert_alike(file(TEXTS, **options), own(TEXTS, **options))


# --- parity -------------------------------------------------------------------------------------------


def test_a_file_of_others_is_compared_with_the_weights_beside_it(others, tmp_path):
    report = bertx.parity(others, backends=["onnxruntime"])
    assert report.passed, str(report)
    assert set(report.outputs()) == {"last_hidden_state", "sentence_embedding"}
    assert report.versions["onnxruntime"].keys() == {"onnxruntime"}
    assert bertx.parity(others, backends=["onnxruntime", "numpy"]).passed


def other_gelu(folder):
    """What an exporter writes that takes the tanh approximation for GELU."""
    write_others(peer("BertModel", hidden_act="gelu_new"), folder / "onnx" / "model.onnx", "token_embeddings")


def one_bias(folder):
    path = folder / "onnx" / "model.onnx"
    graph = onnx.load(path)
    (tensor,) = [one for one in graph.graph.initializer if one.name.endswith("layer.1.attention.self.value.bias")]
    value = numpy_helper.to_array(tensor).copy()
    value[7] += 1e-2
    tensor.CopyFrom(numpy_helper.from_array(value, tensor.name))
    onnx.save(graph, path)


@pytest.mark.parametrize("mutate", [other_gelu, one_bias], ids=lambda mutate: mutate.__name__)
def test_a_wrong_file_is_found(others, tmp_path, mutate):
    folder = shutil.copytree(others, tmp_path / "wrong")
    mutate(folder)
    report = bertx.parity(folder, backends=["onnxruntime"])
    assert not report.passed
    assert {row.output for row in report.rows if not row.passed} == {"last_hidden_state", "sentence_embedding"}
    done = run("parity", folder, *ORT)
    assert done.code == 1 and "parity does not hold" in done.out
    assert run("parity", others, *ORT).code == 0


def test_without_weights_there_is_no_oracle(exported):
    with pytest.raises(bertx.CheckpointError, match=r"the oracle is made of the weights that model\.onnx was exported"):
        bertx.parity(exported("classify"), backends=["onnxruntime"])


def test_a_backend_that_runs_files_is_taken_only_by_its_name(others):
    assert "onnxruntime" in known_runtimes() and "onnxruntime" not in known_backends()
    assert isinstance(get_backend("onnxruntime"), Runtime)
    assert "onnxruntime" not in bertx.installed_backends() and bertx.load(others).backend != "onnxruntime"
    assert "onnxruntime" in run("backends").out
    with pytest.raises(ValueError, match=r"'ort'.*; did you mean onnxruntime\?$"):
        bertx.load(others, backend="ort")


# --- refusals -----------------------------------------------------------------------------------------


def test_what_a_file_does_not_do_is_refused_by_name(exported, checkpoint, tmp_path):
    file = bertx.load(exported("classify"), backend="onnxruntime")
    inputs = batch("BertForSequenceClassification", None)
    with pytest.raises(ValueError, match="the file gives logits, no attentions and no hidden_states: run the"):
        file.forward(**inputs, output_hidden_states=True, output_attentions=True)
    with pytest.raises(ValueError, match="it has no input position_ids"):
        file.forward(**inputs, position_ids=inputs["input_ids"] * 0)
    with pytest.raises(ValueError, match="has no parameters to hand out: load the checkpoint"):
        file.to("numpy")
    with pytest.raises(ValueError, match="has no parameters to hand out"):
        file.save(tmp_path / "saved")
    with pytest.raises(ValueError, match="generates no text"):
        _ = file.decoder
    with pytest.raises(ValueError, match="trains no models"):
        get_backend("onnxruntime").trainer()
    with pytest.raises(ValueError, match=r"builds no BertForSequenceClassification of tensors: bertx\.export"):
        bertx.load(checkpoint("classify"), backend="numpy").to("onnxruntime")
    with pytest.raises(ValueError, match="runs float32; asked for dtype 'float16'"):
        bertx.load(exported("classify"), backend="onnxruntime", dtype="float16")
    with pytest.raises(ValueError, match="sees cpu here; asked for device 'tpu'"):
        bertx.load(exported("classify"), backend="onnxruntime", device="tpu")
    assert not list(tmp_path.iterdir())


def test_a_folder_without_a_file_that_runs_is_refused(exported, checkpoint, tmp_path):
    def refused(folder, match, **options):
        with pytest.raises(bertx.CheckpointError, match=match):
            bertx.load(folder, backend="onnxruntime", **options)

    refused(checkpoint("classify"), r"has no model\.onnx or onnx/model\.onnx, which the onnxruntime backend runs")
    folder = shutil.copytree(exported("classify"), tmp_path / "copy")
    refused(
        folder, "gives logits, and a BertForQuestionAnswering gives start_logits, end_logits", task="question-answering"
    )
    (folder / "config.json").rename(folder / "other.json")
    refused(folder, r"has no config\.json, which says what model\.onnx computes")
    config = json.loads((folder / "other.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"model_type": "distilbert", "architectures": None}))
    refused(folder, "config.json: model_type is 'distilbert'")
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "model.onnx").write_bytes(b"not a graph")
    refused(folder, "model.onnx is no file that the onnxruntime backend opens")
    (folder / "model.onnx").rename(folder / "model_quantized.onnx")
    refused(folder, r"it has model_quantized\.onnx: copy the one that you mean to model\.onnx")
    done = run("classify", folder, "a", *ORT)
    assert done.code == 1 and "model_quantized.onnx" in done.err


def test_search_runs_a_file(exported, checkpoint, tmp_path):
    vectors = tmp_path / "vectors.npy"
    assert run("embed", checkpoint("embed"), "the happy dog", "a cat", "-o", vectors, *BACKEND).code == 0
    done = run("search", exported("embed"), vectors, "the happy dog", *ORT)
    assert (done.code, [row["row"] for row in done.rows]) == (0, [0, 1]), done
    assert done.rows[0]["score"] == pytest.approx(1, abs=1e-5)
