from __future__ import annotations

import json
import time
import warnings
from pathlib import Path

import numpy as np
import pytest

import bertx
from bertx.configs.bert import BertConfig
from bertx.registry import architectures, own_architecture, task_of_architecture
from bertx_weights import (
    BFLOAT16,
    CheckpointError,
    LoadReport,
    Row,
    StoredTensor,
    match,
    open_safetensors,
    schema_name,
    write_safetensors,
)
from support import BACKENDS, HEADS, SIZES, peer, save_peer

WORDS = "bert.embeddings.word_embeddings.weight"
DECODER = "cls.predictions.decoder.weight"
BIAS = "cls.predictions.bias"
DECODER_BIAS = "cls.predictions.decoder.bias"
IDS = np.random.default_rng(3).integers(0, SIZES["vocab_size"], (2, 7))


@pytest.fixture(scope="module")
def originals(tmp_path_factory):
    made = {}

    def get(head: str, **changes) -> Path:
        key = (head, *sorted(changes.items()))
        if key not in made:
            made[key] = save_peer(peer(head, **changes), tmp_path_factory.mktemp(head))
        return made[key]

    return get


@pytest.fixture
def variant(originals, tmp_path):
    """Rewrites a checkpoint: `edit` gets the tensors to change in place, `config` the keys to set (None: remove)."""

    def make(head: str, edit=None, config=None, **changes) -> Path:
        folder = originals(head, **changes)
        tensors = {name: tensor.copy() for name, tensor in open_safetensors(folder).items()}
        if edit is not None:
            tensors = edit(tensors) or tensors
        write_safetensors(tmp_path, tensors)
        values = json.loads((folder / "config.json").read_text()) | (config or {})
        (tmp_path / "config.json").write_text(json.dumps({k: v for k, v in values.items() if v is not None}))
        return tmp_path

    return make


def output(folder: Path, task: str | None = None) -> dict:
    return run(bertx.load(folder, task, backend="numpy"))


def run(model) -> dict:
    return model.forward(IDS[:, None] if model.task == "multiple-choice" else IDS)


def assert_loads_as(folder: Path, original: Path) -> LoadReport:
    model = bertx.load(folder, backend="numpy")
    expected = output(original)
    found = run(model)
    assert set(found) == set(expected)
    for name, value in expected.items():
        assert np.array_equal(found[name], value), name
    return model.load_report


def problems_of(folder: Path, task: str | None = None) -> list[str]:
    with pytest.raises(CheckpointError) as error:
        bertx.load(folder, task, backend="numpy")
    first, *lines = str(error.value).split("\n")
    assert str(folder) in first
    return [line.strip() for line in lines]


def renamed(tensors, old, new):
    return {name.replace(old, new): tensor for name, tensor in tensors.items()}


def legacy_layer_norms(tensors):
    return renamed(renamed(tensors, "LayerNorm.weight", "LayerNorm.gamma"), "LayerNorm.bias", "LayerNorm.beta")


def without_prefix(tensors):
    return {name.removeprefix("bert."): tensor for name, tensor in tensors.items()}


@pytest.mark.parametrize(
    ("stored", "meant"),
    [
        ("bert.embeddings.LayerNorm.gamma", "bert.embeddings.LayerNorm.weight"),
        ("embeddings.LayerNorm.beta", "bert.embeddings.LayerNorm.bias"),
        ("LayerNorm.gamma", "LayerNorm.weight"),
        ("encoder.layer.0.output.dense.weight", "bert.encoder.layer.0.output.dense.weight"),
        ("pooler.dense.bias", "bert.pooler.dense.bias"),
        ("cls.predictions.bias", "cls.predictions.bias"),
        ("classifier.gamma", "classifier.gamma"),
        ("embeddings_of_mine.weight", "embeddings_of_mine.weight"),
        ("gamma", "gamma"),
    ],
)
def test_published_variants_of_a_name_mean_one_schema_name(stored, meant):
    assert schema_name(stored) == meant
    assert schema_name(meant) == meant


@pytest.mark.parametrize("head", HEADS)
def test_every_head_that_transformers_wrote_is_used_whole(originals, head):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        report = bertx.load(originals(head), backend="numpy").load_report
    assert (report.source, report.target, report.problems) == (str(originals(head)), head, [])
    assert sorted(report.used.values()) == sorted(open_safetensors(originals(head)))
    assert report.initialised == report.unused == report.ignored == report.notes == []


@pytest.mark.parametrize("head", HEADS)
def test_gamma_and_beta_are_the_layer_norms(variant, originals, head):
    report = assert_loads_as(variant(head, legacy_layer_norms), originals(head))
    assert sum(name.endswith(("LayerNorm.gamma", "LayerNorm.beta")) for name in report.used.values()) >= 14


@pytest.mark.parametrize("edit", [without_prefix, lambda tensors: without_prefix(legacy_layer_norms(tensors))])
@pytest.mark.parametrize("head", ["BertForMaskedLM", "BertForSequenceClassification"])
def test_an_encoder_without_the_bert_prefix_loads_into_a_head(variant, originals, head, edit):
    assert_loads_as(variant(head, edit), originals(head))


def test_an_encoder_with_the_bert_prefix_loads_into_the_base_model(variant, originals):
    folder = variant("BertModel", lambda tensors: {f"bert.{name}": t for name, t in tensors.items()})
    assert_loads_as(folder, originals("BertModel"))


def test_a_base_model_without_pooler_is_one(variant, originals):
    folder = variant("BertModel", lambda tensors: {n: t for n, t in tensors.items() if "pooler" not in n})
    found = output(folder)
    assert found.get("pooler_output") is None
    assert np.array_equal(found["last_hidden_state"], output(originals("BertModel"))["last_hidden_state"])


def test_a_tensor_that_is_stored_twice_is_taken_once(variant, originals):
    def both(tensors):
        tensors["bert.embeddings.LayerNorm.gamma"] = tensors["bert.embeddings.LayerNorm.weight"].copy()

    report = assert_loads_as(variant("BertForMaskedLM", both), originals("BertForMaskedLM"))
    assert report.ignored == ["bert.embeddings.LayerNorm.weight, the same as bert.embeddings.LayerNorm.gamma"]


def test_two_stored_names_of_one_tensor_are_a_conflict(variant):
    def both(tensors):
        tensors["bert.embeddings.LayerNorm.gamma"] = tensors["bert.embeddings.LayerNorm.weight"] + 1e-3

    (line,) = problems_of(variant("BertForMaskedLM", both))
    assert line.startswith("conflicting: ")
    assert "bert.embeddings.LayerNorm.gamma" in line and "bert.embeddings.LayerNorm.weight" in line


def test_a_stored_tied_decoder_that_is_equal_is_taken(variant, originals):
    def store(tensors):
        tensors[DECODER] = tensors[WORDS].copy()

    report = assert_loads_as(variant("BertForMaskedLM", store), originals("BertForMaskedLM"))
    assert report.notes == report.unused == []


def test_word_embeddings_stored_only_as_the_tied_decoder_are_found(variant, originals):
    def move(tensors):
        tensors[DECODER] = tensors.pop(WORDS)

    report = assert_loads_as(variant("BertForMaskedLM", move), originals("BertForMaskedLM"))
    assert report.used[WORDS] == DECODER


def test_a_stored_tied_decoder_that_differs_is_an_error(variant):
    def differ(tensors):
        tensors[DECODER] = tensors[WORDS].copy()
        tensors[DECODER][-1, -1] += 1e-3

    (line,) = problems_of(variant("BertForMaskedLM", differ))
    assert line.startswith("conflicting: ") and WORDS in line and DECODER in line and "tie_word_embeddings" in line


@pytest.mark.parametrize("same", [True, False])
def test_tied_tensors_of_two_dtypes_are_compared_by_value(variant, same):
    def narrow(tensors):
        bits = (tensors[WORDS].view(np.uint32) >> 16).astype(np.uint16)
        tensors[WORDS] = (bits.astype(np.uint32) << 16).view(np.float32)
        tensors[DECODER] = (bits if same else bits ^ 1).view(BFLOAT16)

    folder = variant("BertForMaskedLM", narrow)
    if same:
        assert bertx.load(folder, backend="numpy").load_report.problems == []
    else:
        assert [line.split(":")[0] for line in problems_of(folder)] == ["conflicting"]


def test_an_untied_decoder_is_its_own_matrix(variant, originals):
    untied = originals("BertForMaskedLM", tie_word_embeddings=False)
    assert DECODER in open_safetensors(untied)
    report = bertx.load(untied, backend="numpy").load_report
    assert report.used[DECODER] == DECODER and report.used[WORDS] == WORDS
    folder = variant(
        "BertForMaskedLM", lambda t: {n: v for n, v in t.items() if n != DECODER}, tie_word_embeddings=False
    )
    (line,) = problems_of(folder)
    assert line.startswith(f"missing: {DECODER}, expected [131, 48]")


def test_an_absent_decoder_and_bias_of_the_decoder_are_no_problem(variant, originals):
    def drop(tensors):
        return {name: t for name, t in tensors.items() if name not in (DECODER, DECODER_BIAS)}

    assert_loads_as(variant("BertForMaskedLM", drop), originals("BertForMaskedLM"))


def test_a_bias_stored_only_as_the_decoders_is_found(variant, originals):
    def move(tensors):
        bias = tensors.pop(BIAS)
        tensors[DECODER_BIAS] = bias

    report = assert_loads_as(variant("BertForMaskedLM", move), originals("BertForMaskedLM"))
    assert report.used[BIAS] == DECODER_BIAS and report.notes == []


def test_equal_biases_of_both_names_need_no_note(variant, originals):
    def both(tensors):
        tensors[DECODER_BIAS] = tensors[BIAS].copy()

    assert assert_loads_as(variant("BertForMaskedLM", both), originals("BertForMaskedLM")).notes == []


def test_of_two_untied_biases_the_decoders_counts_and_a_note_says_so(variant):
    def differ(tensors):
        tensors[DECODER_BIAS] = tensors[BIAS] + 10

    folder = variant("BertForMaskedLM", differ, tie_word_embeddings=False)
    stored = open_safetensors(folder)[DECODER_BIAS]
    model = bertx.load(folder, backend="numpy")
    assert np.array_equal(dict(model.tensors())[BIAS], stored)
    (note,) = model.load_report.notes
    assert BIAS in note and DECODER_BIAS in note and f"{DECODER_BIAS} is used" in note


@pytest.mark.parametrize("prefix", ["bert.", ""])
def test_stored_buffers_are_ignored_and_told(variant, originals, prefix):
    def add(tensors):
        tensors[f"{prefix}embeddings.position_ids"] = np.arange(37)[None]
        tensors[f"{prefix}embeddings.token_type_ids"] = np.zeros((1, 37), np.int64)

    report = assert_loads_as(variant("BertForMaskedLM", add), originals("BertForMaskedLM"))
    assert report.ignored == [f"{prefix}embeddings.position_ids", f"{prefix}embeddings.token_type_ids"]
    assert report.unused == []


def test_everything_that_does_not_fit_is_in_one_error(variant):
    query = "bert.encoder.layer.0.attention.self.query"
    dense = "bert.encoder.layer.2.output.dense"

    def spoil(tensors):
        tensors["bert.encoder.layer.1.attention.self.qeury.weight"] = tensors.pop(
            "bert.encoder.layer.1.attention.self.query.weight"
        )
        tensors[f"{query}.weight"] = tensors[f"{query}.weight"][:, :-1]
        tensors[f"{query}.bias"] = tensors[f"{query}.bias"].astype(np.int32)
        tensors[f"{dense}.weight"] = tensors[f"{dense}.weight"].T
        tensors["stray"] = np.zeros((2, 3), np.float16)
        tensors[DECODER] = tensors[WORDS] + 1

    assert problems_of(variant("BertForMaskedLM", spoil)) == [
        "missing: bert.encoder.layer.1.attention.self.query.weight, expected [48, 48], "
        "nearest in the checkpoint bert.encoder.layer.1.attention.self.qeury.weight",
        "unexpected: bert.encoder.layer.1.attention.self.qeury.weight [48, 48] float32, "
        "nearest schema name bert.encoder.layer.1.attention.self.query.weight",
        "unexpected: stray [2, 3] float16",
        f"wrong shape: {query}.weight, expected [48, 48], found [48, 47]",
        f"wrong shape: {dense}.weight, expected [48, 100], found [100, 48]",
        f"wrong dtype: {query}.bias, expected a floating dtype, found int32",
        f"conflicting: {WORDS} and {DECODER} differ, but the config ties them: set tie_word_embeddings to false",
    ]


def test_a_wrong_shape_under_a_legacy_name_is_told_by_the_stored_name(variant):
    def spoil(tensors):
        tensors = without_prefix(legacy_layer_norms(tensors))
        tensors["embeddings.LayerNorm.gamma"] = np.ones(47, np.float32)
        return tensors

    assert problems_of(variant("BertForMaskedLM", spoil)) == [
        "wrong shape: embeddings.LayerNorm.gamma, expected [48], found [47]"
    ]


def head_dropped(tensors):
    return {name: tensor for name, tensor in tensors.items() if not name.startswith(("cls.", "classifier", "qa_out"))}


@pytest.mark.parametrize("head", [head for head in HEADS if head != "BertModel"])
def test_a_head_that_the_config_promises_and_the_file_lacks_is_an_error(variant, head):
    lines = problems_of(variant(head, head_dropped))
    assert lines and all(line.startswith("missing: c") or line.startswith("missing: qa_outputs") for line in lines)


@pytest.mark.parametrize("head", [head for head in HEADS if head != "BertModel"])
def test_a_head_asked_for_by_name_is_initialised_with_a_warning(originals, head):
    with pytest.warns(UserWarning, match="initialised for " + head) as caught:
        model = bertx.load(originals("BertModel"), HEADS[head], backend="numpy")
    assert caught[0].filename == __file__
    assert model.task == HEADS[head]
    fresh = model.load_report.initialised
    assert fresh and all(name.startswith(("cls.", "classifier.", "qa_outputs.")) for name in fresh)
    assert all(name in str(caught[0].message) and f"initialised: {name}" in str(model.load_report) for name in fresh)
    tensors = dict(model.tensors())
    for name in fresh:
        if name.endswith("LayerNorm.weight"):
            assert np.all(tensors[name] == 1), name
        elif name.endswith("bias"):
            assert np.all(tensors[name] == 0), name
        else:
            assert 0.01 < tensors[name].std() < 0.03, name


@pytest.mark.filterwarnings("ignore:.*initialised for:UserWarning")
@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("task", ["fill-mask", "text-classification"])
def test_an_initialised_head_is_the_same_each_time_and_on_every_backend(originals, backend, task):
    def load(name):
        return {n: np.array(t) for n, t in bertx.load(originals("BertModel"), task, backend=name).tensors()}

    expected, found, again = load("numpy"), load(backend), load(backend)
    names = bertx.load(originals("BertModel"), task, backend="numpy").load_report.initialised
    assert names and set(found) - {DECODER} == set(expected) - {DECODER}
    for name in found.keys() & expected.keys():
        assert np.array_equal(found[name], expected[name]), name
        assert np.array_equal(found[name], again[name]), name


@pytest.mark.filterwarnings("ignore:.*initialised for:UserWarning")
def test_two_initialised_matrices_are_not_the_same_numbers(originals):
    tensors = dict(bertx.load(originals("BertModel"), "question-answering", backend="numpy").tensors())
    other = dict(bertx.load(originals("BertModel"), "next-sentence-prediction", backend="numpy").tensors())
    assert tensors["qa_outputs.weight"].shape == other["cls.seq_relationship.weight"].shape
    assert not np.array_equal(tensors["qa_outputs.weight"], other["cls.seq_relationship.weight"])


@pytest.mark.filterwarnings("ignore:.*initialised for:UserWarning")
def test_a_head_half_stored_is_completed(variant):
    folder = variant("BertForMaskedLM", lambda t: {n: v for n, v in t.items() if n != BIAS})
    (line,) = problems_of(folder)
    assert line.startswith(f"missing: {BIAS}, expected [131]")
    report = bertx.load(folder, "fill-mask", backend="numpy").load_report
    assert report.initialised == [BIAS]


@pytest.mark.parametrize("task", [None, "fill-mask", "text-classification"])
@pytest.mark.parametrize("lost", [WORDS, "bert.encoder.layer.2.output.LayerNorm.bias"])
@pytest.mark.filterwarnings("ignore:.*initialised for:UserWarning")
def test_a_missing_tensor_of_the_encoder_is_always_an_error(variant, task, lost):
    folder = variant("BertForMaskedLM", lambda t: {n: v for n, v in t.items() if n != lost})
    (line,) = problems_of(folder, task)
    assert line.startswith(f"missing: {lost}, expected ")


@pytest.mark.filterwarnings("ignore:.*initialised for:UserWarning")
def test_the_tensors_of_another_head_are_unused_not_unexpected(originals):
    report = bertx.load(originals("BertForPreTraining"), "question-answering", backend="numpy").load_report
    stored = open_safetensors(originals("BertForPreTraining"))
    assert report.unused == sorted(name for name in stored if name.startswith(("cls.", "bert.pooler.")))
    assert report.problems == [] and "unused: cls.predictions.bias" in str(report)


def test_the_base_of_a_head_is_taken_with_its_pooler(originals):
    report = bertx.load(originals("BertForPreTraining"), "feature-extraction", backend="numpy").load_report
    assert report.initialised == [] and "bert.pooler.dense.weight" in report.used.values()
    assert all(name.startswith("cls.") for name in report.unused)


@pytest.mark.parametrize("head", ["BertModel", "BertForMaskedLM", "BertForTokenClassification"])
def test_a_config_that_counts_too_few_layers_is_an_error(variant, head):
    lines = problems_of(variant(head, config={"num_hidden_layers": 2}))
    assert len(lines) == 16 and all(line.startswith("unexpected: ") and "encoder.layer.2." in line for line in lines)


@pytest.mark.parametrize("head", ["BertModel", "BertForMaskedLM", "BertForTokenClassification"])
def test_a_config_that_counts_too_many_layers_is_an_error(variant, head):
    lines = problems_of(variant(head, config={"num_hidden_layers": 4}))
    assert len(lines) == 16 and all(line.startswith("missing: ") and "encoder.layer.3." in line for line in lines)


@pytest.mark.parametrize(
    ("key", "value", "where"),
    [
        ("vocab_size", 130, "embeddings.word_embeddings.weight, expected [130, 48], found [131, 48]"),
        ("type_vocab_size", 2, "embeddings.token_type_embeddings.weight, expected [2, 48], found [3, 48]"),
        ("max_position_embeddings", 512, "embeddings.position_embeddings.weight, expected [512, 48], found [37, 48]"),
        ("intermediate_size", 99, "encoder.layer.1.output.dense.weight, expected [48, 99], found [48, 100]"),
    ],
)
def test_a_config_whose_sizes_lie_is_an_error(variant, key, value, where):
    assert any(line.endswith(where) for line in problems_of(variant("BertModel", config={key: value})))


def test_a_classifier_of_another_number_of_labels_is_an_error_even_if_asked_for(variant):
    labels = {str(i): f"L{i}" for i in range(7)}
    folder = variant("BertForSequenceClassification", config={"id2label": labels, "label2id": None})
    assert problems_of(folder, "text-classification") == [
        "wrong shape: classifier.bias, expected [7], found [5]",
        "wrong shape: classifier.weight, expected [7, 48], found [5, 48]",
    ]


@pytest.mark.parametrize("written", ["TFBertForMaskedLM", "FlaxBertForMaskedLM", "BertForMaskedLM"])
def test_names_of_other_frameworks_are_the_same_head(variant, originals, written):
    folder = variant("BertForMaskedLM", config={"architectures": [written]})
    assert_loads_as(folder, originals("BertForMaskedLM"))


@pytest.mark.parametrize("architecture", architectures("bert"))
@pytest.mark.parametrize("prefix", ["", "TF", "Flax"])
def test_the_architecture_of_the_config_counts_before_the_tensors(architecture, prefix):
    config = BertConfig(architectures=(f"{prefix}{architecture}",))
    assert own_architecture(config, {"qa_outputs.weight"}) == architecture


def test_an_unknown_architecture_is_passed_over_for_the_next():
    config = BertConfig(architectures=("MyBert", "FlaxBertForCausalLM"))
    assert own_architecture(config, set()) == "BertLMHeadModel"


@pytest.mark.parametrize(
    "head", [head for head in HEADS if head not in ("BertForSequenceClassification", "BertForTokenClassification")]
)
def test_a_config_without_architectures_leaves_the_head_to_the_tensors(variant, head):
    folder = variant(head, config={"architectures": None})
    if head == "BertForMultipleChoice":
        with pytest.raises(ValueError, match=r"multiple-choice: say which with task="):
            bertx.load(folder, backend="numpy")
        assert bertx.load(folder, "multiple-choice", backend="numpy").load_report.initialised == []
    else:
        model = bertx.load(folder, backend="numpy")
        assert (model.architecture, model.task) == (head, task_of_architecture(head))


def test_an_unknown_architecture_is_no_reason_to_read_the_head_from_the_tensors(variant, originals):
    folder = variant("BertModel", config={"architectures": ["SentenceBert"]})
    with pytest.raises(CheckpointError, match="architectures names SentenceBert, which bertx does not have"):
        bertx.load(folder, backend="numpy")
    expected = output(originals("BertModel"))
    found = output(folder, "feature-extraction")
    assert all(np.array_equal(found[name], expected[name]) for name in expected)


def test_matching_takes_no_longer_for_each_row_where_there_are_more():
    def seconds(count):
        rows = [Row(f"bert.encoder.layer.{i}.x.weight", (1,), "linear") for i in range(count)]
        start = time.perf_counter()
        match(rows, {}, source="s", target="t", known_names=tuple, may_initialise=lambda name: False)
        return time.perf_counter() - start

    seconds(1000)
    assert seconds(40_000) < 40 * max(seconds(4000), 0.01)  # it was 100 times as long


def test_a_folder_without_config_says_so(variant):
    folder = variant("BertModel")
    (folder / "config.json").unlink()
    with pytest.raises(CheckpointError, match=r"no config\.json"):
        bertx.load(folder, backend="numpy")


def test_match_groups_tied_rows_and_reports_in_order():
    rows = [Row("a", (2,), "linear"), Row("b", (2,), "linear", tied_to="a"), Row("c", (1,), "linear")]
    stored = {"b": np.zeros(2, np.float32), "x": np.zeros(1), "other": np.zeros(1)}
    stored = {name: StoredTensor.of_array(name, array) for name, array in stored.items()}
    report = match(
        rows,
        stored,
        source="s",
        target="t",
        known_names=lambda: {"c", "other"},
        may_initialise=lambda name: False,
    )
    assert report.used == {"a": "b"}
    assert report.unused == ["other"]
    assert report.problems == ["missing: c, expected [1]", "unexpected: x [1] float64"]
    with pytest.raises(CheckpointError) as error:
        report.raise_for_problems()
    assert "missing: c" in str(error.value) and "unexpected: x" in str(error.value)


def test_bfloat16_and_float16_checkpoints_are_weights(variant):
    def narrow(tensors):
        return {
            name: (t.view(np.uint32) >> 16).astype(np.uint16).view(BFLOAT16) if i % 2 else t.astype(np.float16)
            for i, (name, t) in enumerate(tensors.items())
        }

    folder = variant("BertForMaskedLM", narrow)
    assert bertx.load(folder, backend="numpy").load_report.problems == []
    assert np.isfinite(output(folder)["logits"]).all()


def test_a_saved_variant_comes_back_under_the_schemas_names(variant, originals, tmp_path_factory):
    folder = variant("BertForMaskedLM", lambda tensors: without_prefix(legacy_layer_norms(tensors)))
    target = tmp_path_factory.mktemp("saved")
    bertx.load(folder, backend="numpy").save(target)
    assert_loads_as(target, originals("BertForMaskedLM"))
    assert set(open_safetensors(target)) == set(open_safetensors(originals("BertForMaskedLM")))
