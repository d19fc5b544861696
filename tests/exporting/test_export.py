"""bertx.export: each format in its runtime, beside transformers in float64 and the oracle; wrong ones are found."""

from __future__ import annotations

import importlib.util
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file
from typer.testing import CliRunner

import bertx
import bertx.exporting.export as exporting
from bertx.backend import get_backend
from bertx.cli import app
from bertx.exporting.formats import EXPORT_FORMATS, check_format
from bertx.parity_report import differences, embedding_settings
from documented_calls import working_in
from fixture_files import CASES, CHECKPOINTS, FIXTURES
from support import HEADS, batch, peer_forward

FORMATS = tuple(name for name in EXPORT_FORMATS if name != "aot-inductor")  # that compiles for a minute: see below
ROBERTA = ("RobertaForMaskedLM", "RobertaForQuestionAnswering", "XLMRobertaForSequenceClassification")
# One pair of each format that runs each time, with what formats have been seen to fail at: three axes, positions that
# are counted in the graph, a causal mask, several outputs.
QUICK = {
    ("onnx", "BertForMultipleChoice"),
    ("onnx", "RobertaForMaskedLM"),
    ("openvino", "BertForMultipleChoice"),
    ("openvino", "RobertaForMaskedLM"),
    ("pt2", "BertForPreTraining"),
    ("stablehlo", "BertForMultipleChoice"),
    ("saved-model", "BertLMHeadModel"),
    ("tflite", "BertForMultipleChoice"),
    ("tflite", "RobertaForMaskedLM"),
}
CLASSIFIER = CHECKPOINTS / "BertForSequenceClassification" / "safetensors"


def quick_or_slow(pairs, quick):
    """Parameters, those that are not `quick` marked: each export takes seconds."""
    return [pytest.param(*pair, marks=() if pair in quick else pytest.mark.slow) for pair in pairs]


pytestmark = [
    pytest.mark.filterwarnings("ignore::UserWarning:keras"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings(r"ignore:\s*Warning. tf.lite.Interpreter:UserWarning"),
]


@pytest.fixture(autouse=True)
def _libraries(request):
    """Skips the formats whose libraries are not installed here."""
    form = getattr(request.node, "callspec", None) and request.node.callspec.params.get("form")
    for library in EXPORT_FORMATS[form].libraries if form in EXPORT_FORMATS else ():
        if importlib.util.find_spec(library) is None:
            pytest.skip(f"{library} is not installed")


def opened(folder: Path, form: str):
    """What an artefact gives of a batch, in its own runtime."""
    return get_backend(EXPORT_FORMATS[form].backend).exporter(form).open(folder / EXPORT_FORMATS[form].file)


@pytest.mark.parametrize(
    ("form", "head"),
    quick_or_slow([(form, head) for form in FORMATS for head in (*HEADS, *ROBERTA)], QUICK),
)
def test_a_head_gives_what_transformers_gives(peers, tmp_path, form, head):
    model, folder = peers(head)
    report = bertx.export(folder, tmp_path / "out", form)
    assert report.passed, str(report)
    run = opened(tmp_path / "out", form)
    for padding, rows in ((None, 1), ("right", 4), ("left", 3)):
        inputs = batch(head, padding, batch_size=rows)
        expected, found = peer_forward(model, inputs), run(inputs)
        assert set(found) == set(expected) == set(report.outputs())
        for name, value in expected.items():
            assert np.asarray(found[name]).shape == value.shape
            assert np.abs(found[name] - value).max() <= 5e-6, (padding, name)
    # The shortest and the longest that the model takes.
    for length in (1, bertx.load(folder, backend="numpy").config.max_sequence_length):
        inputs = {name: np.resize(value, (*value.shape[:-1], length)) for name, value in batch(head, None).items()}
        expected, found = peer_forward(model, inputs), run(inputs)
        for name, value in expected.items():
            assert np.abs(found[name] - value).max() <= 5e-6, (length, name)


@pytest.mark.parametrize(
    ("form", "kind"),
    quick_or_slow(
        [(form, kind) for form in FORMATS for kind in ("relative_key", "relative_key_query")],
        {("onnx", "relative_key"), ("openvino", "relative_key")},
    ),
)
def test_relative_positions(tmp_path, form, kind):
    source = FIXTURES / "relative_positions" / kind
    if form == "onnx":
        with pytest.raises(
            ValueError, match=f"position_embedding_type is '{kind}', which PyTorch's ONNX exporter does"
        ):
            bertx.export(source, tmp_path / "out", form)
        assert not list(tmp_path.iterdir())
        return
    report = bertx.export(source, tmp_path / "out", form)
    assert report.passed, str(report)


# --- the folder ---------------------------------------------------------------------------------------


def read_call(folder: Path) -> str:
    """The block of Python in a folder's README."""
    (block,) = re.findall(r"^```python\n(.*?)^```$", (folder / "README.md").read_text(), re.MULTILINE | re.DOTALL)
    return block


def assert_the_call_runs(folder: Path, source: Path) -> None:
    names: dict = {}
    with working_in(folder):
        exec(compile(read_call(folder), "README.md", "exec"), names)
    inputs = {name: names["tokens"][name] for name in names["names"]}
    expected = bertx.load(source, backend="numpy").forward(**inputs)
    assert set(names["outputs"]) == set(expected)
    for name, value in expected.items():
        np.testing.assert_allclose(np.asarray(names["outputs"][name]), value, atol=5e-6)


@pytest.mark.parametrize("form", FORMATS)
def test_the_folder_has_the_tokenizer_a_call_and_the_report(tmp_path, form):
    target = tmp_path / "out"
    report = bertx.export(CLASSIFIER, target, form)
    names = {path.name for path in target.iterdir()}
    assert {EXPORT_FORMATS[form].file, "config.json", "vocab.txt", "README.md", "parity.json"} <= names
    assert not any(name.startswith(".") or name.endswith(".safetensors") for name in names)
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    written = json.loads((target / "parity.json").read_text())
    assert written["passed"] is report.passed is True
    assert {row["output"] for row in written["rows"]} == {"logits"}
    runtime = EXPORT_FORMATS[form].runtime
    assert written["versions"][form][runtime] in (target / "README.md").read_text()
    assert bertx.BertConfig.from_pretrained(target) == bertx.BertConfig.from_pretrained(CLASSIFIER).replace(
        architectures=("BertForSequenceClassification",), dtype="float32"
    )
    assert_the_call_runs(target, CLASSIFIER)


@pytest.mark.parametrize("has_tokenizer", [True, False])
def test_the_call_of_several_choices_and_of_a_checkpoint_without_a_tokenizer(tmp_path, peers, has_tokenizer):
    source = (
        CHECKPOINTS / "BertForMultipleChoice" / "safetensors" if has_tokenizer else peers("BertForMultipleChoice")[1]
    )
    assert bertx.export(source, tmp_path / "out", "pt2").passed
    assert ("AutoTokenizer" in read_call(tmp_path / "out")) is has_tokenizer
    assert_the_call_runs(tmp_path / "out", source)


# --- sentence embeddings ------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def all_modes(peers, tmp_path_factory):
    """A folder of sentence-transformers that joins every pooling."""
    folder = tmp_path_factory.mktemp("modes") / "model"
    shutil.copytree(peers("BertModel")[1], folder)
    modules = [("", "Transformer"), ("1_Pooling", "Pooling")]
    types = [{"path": path, "type": f"sentence_transformers.models.{kind}"} for path, kind in modules]
    (folder / "modules.json").write_text(json.dumps(types))
    (folder / "1_Pooling").mkdir()
    modes = ("cls_token", "max_tokens", "mean_tokens", "mean_sqrt_len_tokens", "weightedmean_tokens", "lasttoken")
    (folder / "1_Pooling" / "config.json").write_text(json.dumps({f"pooling_mode_{mode}": True for mode in modes}))
    return folder


@pytest.mark.parametrize(
    ("form", "source"),
    quick_or_slow(
        [(form, source) for form in FORMATS for source in ("dense", "modes")],
        {*((form, "modes") for form in ("onnx", "tflite")), *((form, "dense") for form in FORMATS[1:-1])},
    ),
)
def test_a_sentence_embedding_is_pooled_in_the_file(all_modes, tmp_path, form, source):
    folder = CASES / "06_st_dense" / "labse_like" if source == "dense" else all_modes
    report = bertx.export(folder, tmp_path / "out", form)
    assert report.passed, str(report)
    assert list(report.outputs()) == ["sentence_embedding"]
    assert (tmp_path / "out" / "modules.json").exists()
    model = bertx.load(folder, backend="numpy", dtype="float64")
    settings = embedding_settings(model)
    inputs = batch("BertModel", "left")
    inputs = {
        name: inputs[name] % limit
        for name, limit in (("input_ids", model.config.vocab_size), ("token_type_ids", model.config.type_vocab_size))
    } | {"attention_mask": inputs["attention_mask"]}
    expected = model.embedder(settings.modules, settings.truncate_dim)(**inputs)
    found = opened(tmp_path / "out", form)(inputs)["sentence_embedding"]
    np.testing.assert_allclose(found, expected, atol=5e-6)


# --- wrong artefacts ----------------------------------------------------------------------------------


def changed(folder: Path, target: Path, **settings) -> Path:
    """A copy of a checkpoint with another config, or with one bias changed."""
    shutil.copytree(folder, target)
    if settings:
        config = json.loads((target / "config.json").read_text())
        (target / "config.json").write_text(json.dumps(config | settings))
        return target
    tensors = load_file(target / "model.safetensors")
    bias = tensors["bert.encoder.layer.1.attention.self.value.bias"].copy()
    bias[7] += 1e-2
    tensors["bert.encoder.layer.1.attention.self.value.bias"] = bias
    save_file(tensors, target / "model.safetensors", metadata={"format": "pt"})
    return target


WRONG = [*((form, "bias") for form in FORMATS), ("onnx", "gelu")]
SLOW = [("pt2", "gelu"), ("pt2", "epsilon"), ("aot-inductor", "bias")]


@pytest.mark.parametrize(("form", "wrong"), quick_or_slow([*WRONG, *SLOW], WRONG))
def test_a_wrong_artefact_is_found_and_exits_with_1(peers, monkeypatch, tmp_path, form, wrong):
    """The oracle has the checkpoint, and the format's backend another one."""
    source = peers("BertForPreTraining")[1]
    settings = {"bias": {}, "gelu": {"hidden_act": "gelu_new"}, "epsilon": {"layer_norm_eps": 1e-5}}[wrong]
    other, real_load = changed(source, tmp_path / "other", **settings), exporting.load

    def load(given, task, backend, **options):
        return real_load(given if backend == "numpy" else other, task, backend, **options)

    monkeypatch.setattr(exporting, "load", load)
    arguments = ["export", str(source), str(tmp_path / "out"), "--to", form, "--json", str(tmp_path / "report.json")]
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 1, done.output
    assert "parity does not hold" in done.output
    for path in (tmp_path / "out" / "parity.json", tmp_path / "report.json"):
        written = json.loads(path.read_text())
        assert not written["passed"] and any(not row["passed"] for row in written["rows"])


def test_an_output_of_another_shape_does_not_pass():
    found = {"logits": [np.zeros((1, 5))]}
    assert differences(found, {"logits": [np.zeros((4, 5))]}) == {"logits": np.inf}


# --- refusals -----------------------------------------------------------------------------------------


def test_a_job_that_fails_leaves_nothing(monkeypatch, tmp_path):
    exporter = type(get_backend("torch").exporter("pt2"))

    def fails(self, module, path, *others):
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr(exporter, "export", fails)
    with pytest.raises(OSError, match="No space left"):
        bertx.export(CLASSIFIER, tmp_path / "deep" / "out", "pt2")
    assert not list(tmp_path.iterdir())


def test_a_target_that_is_there_is_left(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("mine")
    with pytest.raises(FileExistsError, match="out is there already, and is not overwritten: remove it, or give"):
        bertx.export(CLASSIFIER, tmp_path / "out", "pt2")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["mine.txt"]


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("AOTI", "aot-inductor"),
        ("ov", "openvino"),
        ("savedmodel", "saved-model"),
        ("LiteRT", "tflite"),
        ("ONNX", "onnx"),
        ("tflight", "tflite"),
        ("npz", None),
    ],
)
def test_an_unknown_format_is_named(tmp_path, given, meant):
    tail = rf"; did you mean {meant}\?$" if meant else "$"
    with pytest.raises(ValueError, match=rf"format is '{given}', expected one of {', '.join(EXPORT_FORMATS)}{tail}"):
        check_format(given)
    with pytest.raises(ValueError, match=f"format is '{given}'"):
        bertx.export(CLASSIFIER, tmp_path / "out", given)
    done = CliRunner().invoke(app, ["export", str(CLASSIFIER), str(tmp_path / "out"), "--to", given])
    assert done.exit_code == 2 and not list(tmp_path.iterdir())


def test_a_head_without_tensors_is_refused(tmp_path):
    with (
        pytest.warns(UserWarning, match="initialised"),
        pytest.raises(bertx.CheckpointError, match=r"has no .*, and the artefact would have random ones: train a Bert"),
    ):
        bertx.export(CLASSIFIER, tmp_path / "out", "pt2", task="question-answering")
    assert not list(tmp_path.iterdir())


def test_models_of_two_parts_and_cross_attention_are_refused(tmp_path, peers):
    folder = FIXTURES / "encoder_decoder" / "mixed" / "safetensors"
    with pytest.raises(ValueError, match="EncoderDecoderModel writes token after token"):
        bertx.export(folder, tmp_path / "out", "pt2")
    with pytest.raises(ValueError, match="attends to the states of an encoder"):
        bertx.export(peers("BertLMHeadModel", add_cross_attention=True)[1], tmp_path / "out", "pt2")
    assert not list(tmp_path.iterdir())


def test_a_backend_exports_its_own_formats():
    for name in ("numpy", "torch"):
        with pytest.raises(ValueError, match=f"the {name} backend exports no tflite"):
            get_backend(name).exporter("tflite")
    assert {form.backend for form in EXPORT_FORMATS.values()} == {"torch", "jax", "tensorflow"}
    for form in EXPORT_FORMATS.values():
        assert "exporter" in get_backend(form.backend).capabilities()


def test_a_library_that_is_not_installed_is_named(monkeypatch, tmp_path):
    monkeypatch.setattr(exporting.importlib.util, "find_spec", lambda name: None if name == "onnxscript" else name)
    with pytest.raises(bertx.MissingExtraError, match=r"onnx needs onnxscript.*pip install 'bertx\[onnx\]'"):
        bertx.export(CLASSIFIER, tmp_path / "out", "onnx")


# --- compiled -----------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_package_of_aot_inductor_takes_any_batch_and_length(tmp_path):
    report = bertx.export(CLASSIFIER, tmp_path / "out", "aot-inductor")
    assert report.passed, str(report)
    run, oracle = opened(tmp_path / "out", "aot-inductor"), bertx.load(CLASSIFIER, backend="numpy", dtype="float64")
    generator = np.random.default_rng(0)
    for rows, length in ((1, 1), (3, 7), (2, oracle.config.max_sequence_length)):
        inputs = {"input_ids": generator.integers(0, oracle.config.vocab_size, (rows, length))}
        inputs |= {"attention_mask": inputs["input_ids"] * 0 + 1, "token_type_ids": inputs["input_ids"] % 2}
        np.testing.assert_allclose(run(inputs)["logits"], oracle.forward(**inputs)["logits"], atol=5e-6)
    assert_the_call_runs(tmp_path / "out", CLASSIFIER)


def test_without_a_compiler_there_is_no_package(tmp_path):
    inductor = pytest.importorskip("torch._inductor.config")
    with (
        inductor.patch({"cpp.cxx": ("no-such-compiler",)}),
        pytest.raises(bertx.MissingExtraError, match=r"finds no compiler here: install g\+\+ or clang, or name one"),
    ):
        bertx.export(CLASSIFIER, tmp_path / "out", "aot-inductor")
    assert not list(tmp_path.iterdir())


# --- texts --------------------------------------------------------------------------------------------

PAIRS = (["A text.", "Zürich: “漢字”, [MASK] 😀", ""], ["Its second part.", "x", "it is long " * 99])


@pytest.mark.slow
def test_a_saved_model_takes_texts(tmp_path):
    import tensorflow as tf

    target = tmp_path / "out"
    done = CliRunner().invoke(
        app, ["export", str(CLASSIFIER), str(target), "--to", "saved-model", "--tokenizer-in-graph"]
    )
    assert done.exit_code == 0, done.output
    report = json.loads((target / "parity.json").read_text())
    assert [row["output"] for row in report["rows"]] == ["logits", "from texts: logits"]
    signatures = tf.saved_model.load(str(target / "saved_model")).signatures
    assert {*signatures} == {"serving_default", "texts", "pairs"}
    tokenizer = bertx.load(CLASSIFIER, backend="numpy").tokenizer
    for name, columns in (("texts", PAIRS[:1]), ("texts", PAIRS[1:]), ("pairs", PAIRS)):
        tokens = tokenizer(*columns, padding=True, truncation=True, return_tensors="np")
        expected = signatures["serving_default"](**{key: tf.constant(value) for key, value in tokens.items()})
        named = dict(zip(("text", "text_pair"), map(tf.constant, columns), strict=False))
        found = signatures[name](**named)
        np.testing.assert_allclose(found["logits"], expected["logits"], atol=1e-6)
    names: dict = {}
    with working_in(target):
        exec(compile(read_call(target), "README.md", "exec"), names)
    expected = bertx.load(CLASSIFIER, backend="numpy")
    for found, texts in ((names["outputs"], (["A text.", "Another."],)), (names["pairs"], (["A text."], PAIRS[1][:1]))):
        tokens = tokenizer(*texts, padding=True, return_tensors="np")
        np.testing.assert_allclose(found["logits"], expected.forward(**tokens)["logits"], atol=5e-6)


@pytest.mark.slow
def test_another_tokenizer_in_the_graph_is_found(monkeypatch, tmp_path):
    layer = pytest.importorskip("bertx_tensorflow").TFBertTokenizer
    made = layer.from_pretrained
    monkeypatch.setattr(
        layer, "from_pretrained", lambda source, **options: made(source, padding_side="left", **options)
    )
    report = bertx.export(CLASSIFIER, tmp_path / "out", "saved-model", tokenizer_in_graph=True)
    assert [row.passed for row in report.rows] == [True, False], str(report)


@pytest.mark.slow
def test_texts_of_a_sentence_transformers_folder_are_cut_as_it_says(tmp_path):
    import tensorflow as tf

    folder = shutil.copytree(CASES / "06_st_dense" / "labse_like", tmp_path / "folder")
    (folder / "sentence_bert_config.json").write_text(json.dumps({"max_seq_length": 6, "do_lower_case": False}))
    texts = ["one two three four five six seven eight nine", "ten"]
    report = bertx.export(folder, tmp_path / "out", "saved-model", tokenizer_in_graph=True, texts=texts)
    assert report.passed and list(report.outputs()) == ["sentence_embedding", "from texts: sentence_embedding"]
    signatures = tf.saved_model.load(str(tmp_path / "out" / "saved_model")).signatures
    found = signatures["texts"](text=tf.constant(texts))["sentence_embedding"]
    np.testing.assert_allclose(found, bertx.load(folder, backend="numpy")(texts), atol=5e-6)


def test_what_the_tokenizer_in_the_graph_does_not_do_is_refused(tmp_path):
    def refused(source, match, form="saved-model"):
        with pytest.raises(ValueError, match=match):
            bertx.export(source, tmp_path / "out", form, tokenizer_in_graph=True)

    refused(CLASSIFIER, "the format onnx has no tokenizer in its file: leave .* out, or take saved-model", "onnx")
    refused(CHECKPOINTS / "BertForMultipleChoice" / "safetensors", "reads a question and several choices, which the")
    folder = shutil.copytree(CASES / "06_st_dense" / "labse_like", tmp_path / "folder")
    settings = {"prompts": {"query": "query: "}, "default_prompt_name": "query"}
    (folder / "config_sentence_transformers.json").write_text(json.dumps(settings))
    refused(folder, "the checkpoint puts 'query: ' before each text, which the tokenizer in the graph does not do")
    assert not (tmp_path / "out").exists()


# --- the command line ---------------------------------------------------------------------------------


def test_the_command_prints_the_report(tmp_path):
    texts = tmp_path / "texts.txt"
    texts.write_text("A first text.\n\nA second one.\n")
    given = ["export", CLASSIFIER, tmp_path / "out", "--to", "pt2", "--texts", texts, "--json", tmp_path / "r.json"]
    done = subprocess.run(
        [sys.executable, "-m", "bertx", *map(str, given)], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert "logits" in done.stdout and "pt2" in done.stdout and "parity holds" in done.stdout
    assert json.loads((tmp_path / "r.json").read_text()) == json.loads((tmp_path / "out" / "parity.json").read_text())
    again = CliRunner().invoke(app, [str(value) for value in given])
    assert isinstance(again.exception, FileExistsError)


# --- fewer digits -------------------------------------------------------------------------------------

DTYPES = [
    ("onnx", "int8"),
    ("onnx", "float16"),
    ("openvino", "int8"),
    ("openvino", "float16"),
    ("tflite", "int8"),
    ("tflite", "float16"),
    ("pt2", "bfloat16"),
    ("stablehlo", "float16"),
    ("saved-model", "bfloat16"),
]


@pytest.mark.parametrize(
    ("form", "dtype"), quick_or_slow(DTYPES, {("onnx", "int8"), ("openvino", "int8"), ("tflite", "float16")})
)
def test_what_fewer_digits_cost_is_told(peers, tmp_path, form, dtype):
    report = bertx.export(peers("BertForSequenceClassification")[1], tmp_path / "out", form, dtype=dtype)
    assert report.dtype == dtype
    assert set(report.outputs()) == {"logits", "first choice"}
    (logits,) = report.outputs()["logits"].values()
    # Far more than float32 rounds, and less than a direction is worth.
    assert 1e-9 < logits.difference < 5e-3, str(report)
    assert f"as {form}, {dtype}" in (tmp_path / "out" / "README.md").read_text()
    assert json.loads((tmp_path / "out" / "parity.json").read_text())["dtype"] == dtype


@pytest.mark.parametrize("form", ["onnx", "openvino", pytest.param("tflite", marks=pytest.mark.slow)])
def test_int8_is_a_fourth_of_the_weights_and_embeds(tmp_path, form):
    folder = CASES / "06_st_dense" / "labse_like"
    sizes = {}
    for dtype in ("float32", "int8"):
        report = bertx.export(folder, tmp_path / dtype, form, dtype=dtype)
        weights = {"openvino": "openvino_model.bin"}.get(form, EXPORT_FORMATS[form].file)
        sizes[dtype] = (tmp_path / dtype / weights).stat().st_size
    assert list(report.outputs()) == ["sentence_embedding", "order of the texts"]
    assert sizes["int8"] < sizes["float32"]


def test_a_dtype_that_a_format_has_not_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"the format pt2 has float32, bfloat16, float16; asked for dtype 'int8'"):
        bertx.export(CLASSIFIER, tmp_path / "out", "pt2", dtype="int8")
    with pytest.raises(ValueError, match=r"asked for dtype 'fp16'; did you mean float16\?"):
        bertx.export(CLASSIFIER, tmp_path / "out", "onnx", dtype="fp16")
