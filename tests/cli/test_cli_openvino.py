"""`backend="openvino"`: IR files as models, bertx's own and those of others; the rest is in test_cli_onnxruntime.py."""

from __future__ import annotations

import shutil
import subprocess
import sys
import threading

import numpy as np
import pytest
from cli_support import BACKEND, VERBS, run, write_checkpoint
from test_cli_onnxruntime import TEXTS, assert_alike, exports, one_bias, other_gelu, write_others

import bertx
from bertx.exporting.openvino_library import openvino
from support import batch, differences, peer, peer_forward

pytest_plugins = "cli_support"
OPENVINO = ("--backend", "openvino")


@pytest.fixture(scope="session")
def exported(checkpoint, tmp_path_factory):
    """Those of OpenVINO's IR."""
    return exports(checkpoint, tmp_path_factory, "openvino")


def write_ir(folder):
    """openvino/openvino_model.xml as sentence-transformers has it, of onnx/model.onnx."""
    model = openvino.Core().read_model(folder / "onnx" / "model.onnx")
    openvino.save_model(model, folder / "openvino" / "openvino_model.xml", compress_to_fp16=False)
    return folder


@pytest.fixture(scope="session")
def others(tmp_path_factory):
    """A folder as sentence-transformers has it: weights, config, tokenizer, modules, and its openvino/ folder."""
    folder = write_checkpoint("BertModel", tmp_path_factory.mktemp("others") / "model")
    write_others(peer("BertModel"), folder / "onnx" / "model.onnx", "last_hidden_state")
    return write_ir(folder)


@pytest.mark.parametrize("verb", ["embed", "classify", "answer", "choose"])
def test_the_tasks_run_on_a_file(exported, model, verb):
    loaded = bertx.load(exported(verb), backend="openvino")
    assert (loaded.backend, loaded.task, loaded.device) == ("openvino", VERBS[verb].task, "cpu")
    assert isinstance(loaded.module, openvino.CompiledModel)
    assert_alike(VERBS[verb].rows(loaded, VERBS[verb].inputs), VERBS[verb].rows(model(verb), VERBS[verb].inputs))


@pytest.mark.parametrize("padding", [None, "right", "left"])
def test_a_forward_pass_gives_the_outputs_of_the_file(exported, padding):
    inputs = batch("BertForSequenceClassification", padding)
    found = bertx.load(exported("classify"), backend="openvino").forward(**inputs)
    assert max(differences(found, peer_forward(peer("BertForSequenceClassification"), inputs)).values()) <= 5e-6


def test_the_command_line_runs_a_file(exported, checkpoint, tmp_path):
    texts = ["the happy dog", "a cat walks in the city", "dog"]
    done, expected = (
        run("classify", exported("classify"), *texts, *OPENVINO),
        run("classify", checkpoint("classify"), *texts, *BACKEND),
    )
    assert (done.code, done.err) == (0, "")
    assert_alike(done.rows, expected.rows)
    assert run("classify", exported("classify"), *texts, *OPENVINO, "-o", tmp_path / "out.jsonl").code == 0


def test_it_computes_in_float32_whatever_the_processor_has(exported, monkeypatch):
    given, compile_model = [], openvino.Core.compile_model

    def spy(self, model, device, options):
        given.append((device, options))
        return compile_model(self, model, device, options)

    monkeypatch.setattr(openvino.Core, "compile_model", spy)
    module = bertx.load(exported("classify"), backend="openvino").module
    assert given == [("CPU", {"INFERENCE_PRECISION_HINT": "f32"})]
    assert module.get_property("INFERENCE_PRECISION_HINT") == openvino.Type.f32


def test_several_threads_run_one_file(exported):
    model = bertx.load(exported("classify"), backend="openvino")
    batches = [{"input_ids": np.full((rows, 5 + rows), rows + 5)} for rows in (1, 2, 3, 4)]
    expected = [model.forward(**inputs)["logits"] for inputs in batches]
    failed = []

    def repeat(inputs, wanted):
        for _ in range(50):
            if not np.array_equal(model.forward(**inputs)["logits"], wanted):
                failed.append(wanted)

    threads = [threading.Thread(target=repeat, args=pair) for pair in zip(batches, expected, strict=True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed


@pytest.mark.parametrize("options", [{}, {"pooling": "max"}, {"pooling": "none"}], ids=str)
def test_the_token_vectors_of_others_are_pooled_as_the_folder_says(others, options):
    file, own = (bertx.load(others, backend=backend) for backend in ("openvino", "numpy"))
    assert file.outputs == ("last_hidden_state",)
    assert_alike(file(TEXTS, **options), own(TEXTS, **options))


def test_a_file_of_others_is_compared_with_the_weights_beside_it(others):
    report = bertx.parity(others, backends=["openvino"])
    assert report.passed, str(report)
    assert set(report.outputs()) == {"last_hidden_state", "sentence_embedding"}
    assert report.versions["openvino"].keys() == {"openvino"}


@pytest.mark.parametrize("mutate", [other_gelu, one_bias], ids=lambda mutate: mutate.__name__)
def test_a_wrong_file_is_found(others, tmp_path, mutate):
    folder = shutil.copytree(others, tmp_path / "wrong")
    mutate(folder)
    done = run("parity", write_ir(folder), *OPENVINO)
    assert done.code == 1 and "parity does not hold" in done.out


def test_the_files_of_a_model_are_its_graph_and_its_weights(exported):
    from bertx.backend import get_backend
    from bertx.exporting.artefacts import find_artefact

    found = find_artefact(exported("classify"), None, get_backend("openvino")).files
    assert list(found) == ["openvino_model.bin", "openvino_model.xml"] and all(found.values())


def test_what_does_not_run_is_refused(exported, checkpoint, tmp_path):
    def refused(folder, match, error=bertx.CheckpointError, **options):
        with pytest.raises(error, match=match):
            bertx.load(folder, backend="openvino", **options)

    refused(checkpoint("classify"), r"has no openvino_model\.xml or openvino/openvino_model\.xml, which the openvino")
    refused(exported("classify"), "runs float32; asked for dtype 'float16'", ValueError, dtype="float16")
    refused(exported("classify"), "sees cpu.* here; asked for device 'tpu'", ValueError, device="tpu")
    folder = shutil.copytree(exported("classify"), tmp_path / "copy")
    (folder / "openvino_model.bin").unlink()
    refused(folder, "openvino_model.xml is no file that the openvino backend opens")
    (folder / "openvino_model.xml").write_text("not a graph")
    refused(folder, "openvino_model.xml is no file that the openvino backend opens")
    with pytest.raises(ValueError, match="has no parameters to hand out"):
        bertx.load(exported("classify"), backend="openvino").to("numpy")
    with pytest.raises(ValueError, match=r"'ov'.*; did you mean openvino\?$"):
        bertx.load(folder, backend="ov")


def test_nothing_is_told_to_others():
    """Telemetry forks the process to send what was called; its place is taken by the library's own stub."""
    script = "import bertx_openvino.backend, openvino.tools.ovc as ovc; print(type(ovc.telemetry).__module__)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "openvino.tools.ovc.telemetry_stub"
