from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny import write_checkpoint

import bertx
from bertx.tasks.sentence_transformers import side_files, transformer_folder
from fixture_files import CASES
from support import BACKENDS, SIZES

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


EXPECTED = {
    "04_st_do_lower_case/folder": "expected.json",
    "05_st_default_prompt/default": "expected_default.json",
    "06_st_dense/labse_like": "expected_labse_like.json",
}


@pytest.mark.parametrize("case", EXPECTED)
def test_cases_of_others(tmp_path, case):
    """What sentence-transformers computed where the cases were made; saved and converted they give the same."""
    expected = json.loads((CASES / case).parent.joinpath(EXPECTED[case]).read_text())
    texts, vectors = expected["texts"], expected["vectors"]
    if "long" in expected:
        texts, vectors = [*texts, expected["long"]], [*vectors, expected["long_vector"]]
    model = bertx.load(CASES / case, backend="numpy")
    np.testing.assert_allclose(model(texts), vectors, atol=1e-5)
    model.save(tmp_path / "saved")
    bertx.convert(CASES / case, tmp_path / "converted", "npz")
    for folder in ("saved", "converted"):
        np.testing.assert_allclose(bertx.load(tmp_path / folder, backend="numpy")(texts), vectors, atol=1e-5)


# --- against sentence-transformers itself ----------------------------------------------------------

TEXTS = ["the happy dog", "The Cat sat on [MASK] the mat in the City .", "", "who walks in the house ? " * 9]
HIDDEN = SIZES["hidden_size"]


def _peer(folder):
    from sentence_transformers import SentenceTransformer

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return SentenceTransformer(str(folder), device="cpu", local_files_only=True)


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    return write_checkpoint(tmp_path_factory.mktemp("encoder"), "BertModel", {"do_lower_case": False})


def _write(folder, encoder, modules, **files):
    """A folder of modules: (class, its config or None, its tensors or None); files: name without .json → content."""
    shutil.copytree(encoder, folder)
    entries = [{"idx": 0, "name": "0", "path": "", "type": MODULE + "Transformer"}]
    for i, (kind, config, tensors) in enumerate(modules, 1):
        path = f"part{i}"
        entries.append({"idx": i, "name": str(i), "path": path, "type": MODULE + kind})
        if config is not None:
            (folder / path).mkdir()
            (folder / path / "config.json").write_text(json.dumps(config))
        if tensors:
            torch.save(tensors, folder / path / "pytorch_model.bin")
    (folder / "modules.json").write_text(json.dumps(entries))
    for name, content in files.items():
        (folder / f"{name}.json").write_text(json.dumps(content))
    return folder


def _pooling(*modes, **more):
    return ("Pooling", {"word_embedding_dimension": HIDDEN, "pooling_mode": list(modes), **more}, None)


def _dense(width, out, activation, bias=True, **more):
    generator = torch.Generator().manual_seed(width)
    tensors = {"linear.weight": torch.randn(out, width, generator=generator) / 5}
    if bias:
        tensors["linear.bias"] = torch.randn(out, generator=generator)
    if more.get("use_residual") and out != width:
        tensors["residual.weight"] = torch.randn(out, width, generator=generator) / 5
    config = {"in_features": width, "out_features": out, "bias": bias, "activation_function": activation, **more}
    return ("Dense", config, tensors)


NORMALIZE = ("Normalize", None, None)
MODES = ("cls", "max", "mean", "mean_sqrt_len_tokens", "weightedmean", "lasttoken")
PROMPTS = {"prompts": {"query": "query : ", "passage": "passage : "}, "default_prompt_name": "query"}
TORCH = "torch.nn.modules.activation."
VARIANTS = {
    **{mode: ([_pooling(mode)], {}) for mode in MODES},
    "order of a list": ([_pooling("mean", "cls")], {}),
    "order of flags": (
        [
            (
                "Pooling",
                {"pooling_mode_mean_tokens": True, "pooling_mode_cls_token": True, "embedding_dimension": HIDDEN},
                None,
            )
        ],
        {},
    ),
    "no flag is the mean": (
        [("Pooling", {"word_embedding_dimension": HIDDEN, "pooling_mode_cls_token": False}, None)],
        {},
    ),
    "lengths of the tokenizer's own": ([_pooling("mean")], {"sentence_bert_config": {"max_seq_length": 9}}),
    "older name": ([_pooling("mean")], {"sentence_roberta_config": {"max_seq_length": 8, "do_lower_case": True}}),
    "lower case": ([_pooling("mean")], {"sentence_bert_config": {"do_lower_case": True}}),
    **{
        f"prompt out of {mode}": ([_pooling(mode, include_prompt=False)], {"config_sentence_transformers": PROMPTS})
        for mode in MODES
    },
    "truncated": ([_pooling("mean"), NORMALIZE], {"config_sentence_transformers": {"truncate_dim": 7}}),
    "dense between": (
        [
            _pooling("mean", "max"),
            NORMALIZE,
            _dense(2 * HIDDEN, 10, TORCH + "GELU"),
            _dense(10, 10, TORCH + "Tanh"),
            NORMALIZE,
        ],
        {},
    ),
    "normalised before it is pooled": ([NORMALIZE, _pooling("cls"), ("Dropout", {"dropout": 0.5}, None)], {}),
    "residuals": (
        [
            _pooling("mean"),
            _dense(HIDDEN, 9, TORCH + "SiLU", bias=False, use_residual=True),
            _dense(9, 9, "torch.nn.modules.linear.Identity", use_residual=True),
        ],
        {},
    ),
    **{
        name: ([_pooling("mean"), _dense(HIDDEN, 9, TORCH + name)], {})
        for name in ("Sigmoid", "ReLU", "LeakyReLU", "ELU", "Softplus", "LogSigmoid", "Softsign", "Hardtanh")
    },
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_embeddings_equal_sentence_transformers(tmp_path, encoder, variant):
    modules, files = VARIANTS[variant]
    folder = _write(tmp_path / "model", encoder, modules, **files)
    expected = _peer(folder).encode(TEXTS)
    model = bertx.load(folder, backend="numpy")
    found = model(TEXTS)
    assert found.shape == expected.shape and model([]).shape == (0, expected.shape[1])
    np.testing.assert_allclose(found, expected, atol=1e-5)
    model.save(tmp_path / "saved")
    np.testing.assert_array_equal(bertx.load(tmp_path / "saved", backend="numpy")(TEXTS), found)
    np.testing.assert_allclose(_peer(tmp_path / "saved").encode(TEXTS), expected, atol=1e-5)


SHARDED = """
import sys, jax, numpy as np, bertx
model = bertx.load(sys.argv[1], backend="jax")
before = model(["the dog", "a cat"])
mesh = jax.make_mesh((1, 2), ("data", "model"), axis_types=(jax.sharding.AxisType.Auto,) * 2)
model.module.shard(mesh)
np.testing.assert_allclose(model(["the dog", "a cat"]), before, atol=1e-5)
"""


def test_a_model_on_several_devices_is_embedded_there():
    done = subprocess.run(
        [sys.executable, "-c", SHARDED, str(CASES / "06_st_dense/labse_like")],
        env={**os.environ, "XLA_FLAGS": "--xla_force_host_platform_device_count=2"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr


def test_prompts_by_name_and_as_text(tmp_path, encoder):
    folder = _write(tmp_path / "model", encoder, [_pooling("mean")], config_sentence_transformers=PROMPTS)
    model, peer = bertx.load(folder, backend="numpy"), _peer(folder)
    for options in (
        {},
        {"prompt": ""},
        {"prompt": "the dog : "},
        *({"prompt_name": n} for n in ("passage", "document")),
    ):
        np.testing.assert_allclose(model(TEXTS, **options), peer.encode(TEXTS, **options), atol=1e-5)
    np.testing.assert_allclose(model(TEXTS, prompt_name="query"), peer.encode_query(TEXTS), atol=1e-5)
    np.testing.assert_allclose(model(TEXTS, prompt_name="document"), peer.encode_document(TEXTS), atol=1e-5)
    with pytest.raises(ValueError, match="prompt_name is 'passages', the checkpoint has document, passage, query"):
        model(TEXTS, prompt_name="passages")
    with pytest.raises(ValueError, match="prompt or prompt_name, not both"):
        model(TEXTS, prompt="a", prompt_name="query")


def test_a_tuple_is_a_pair_with_one_embedding(tmp_path, encoder):
    folder = _write(tmp_path / "model", encoder, [_pooling("mean")], config_sentence_transformers=PROMPTS)
    model, peer = bertx.load(folder, backend="numpy"), _peer(folder)
    pair = ("the dog", "a cat sat")
    np.testing.assert_allclose(model(pair), peer.encode([pair])[0], atol=1e-5)
    alone = np.stack([model({"text": pair[0], "text_pair": pair[1]}), model("it")])
    np.testing.assert_allclose(model([pair, "it"]), alone, atol=1e-5)
    for wrong in (("a", "b", "c"), ("a",), ("a", 3), {"text": "a", "pair": "b"}, ["a", "b"], 5):
        with pytest.raises(TypeError, match=r"input 1 is .* expected a string, a tuple of two"):
            model(["a", wrong])


@pytest.fixture(scope="module")
def whole(tmp_path_factory, encoder):
    """A folder with all poolings, a Dense of each activation function, and a default prompt that is left out."""
    modules = [_pooling(*MODES, include_prompt=False), _dense(len(MODES) * HIDDEN, 9, TORCH + "Tanh")]
    modules += [
        _dense(9, 9, f"torch.nn.modules.activation.{name}", use_residual=True)
        for name in ("Sigmoid", "GELU", "SiLU", "LeakyReLU", "ELU", "Softplus", "LogSigmoid", "Softsign", "Hardtanh")
    ]
    files = {"config_sentence_transformers": PROMPTS | {"truncate_dim": 7}}
    return _write(tmp_path_factory.mktemp("whole") / "model", encoder, [*modules, NORMALIZE], **files)


@pytest.mark.parametrize("backend", BACKENDS)
def test_every_backend(whole, backend, monkeypatch):
    peer, model = _peer(whole), bertx.load(whole, backend=backend)
    forward, given = model._backend.forward, []
    monkeypatch.setattr(model._backend, "forward", lambda *args: given.append(forward(*args)) or given[-1])
    np.testing.assert_allclose(model(TEXTS), peer.encode(TEXTS), atol=1e-5)
    np.testing.assert_allclose(model(TEXTS, prompt=""), peer.encode(TEXTS, prompt=""), atol=1e-5)
    lengths = np.linalg.norm(model(TEXTS, normalize=True), axis=-1)
    np.testing.assert_allclose(lengths, 1, atol=1e-6)
    # [B, D] alone comes to the host.
    assert given and all(list(outputs) == ["sentence_embedding"] for outputs in given)
    assert all(outputs["sentence_embedding"].shape[1:] == (7,) for outputs in given)
    with pytest.raises(ValueError, match="pooling is 'mean', and the checkpoint's Dense takes several joined"):
        model(TEXTS, pooling="mean")


@pytest.mark.parametrize("backend", [*BACKENDS[1:]])
def test_bfloat16_is_pooled_in_float32(encoder, backend):
    model = bertx.load(encoder, backend=backend, dtype="bfloat16")
    vectors = model(TEXTS, pooling="none")
    found = model(TEXTS, pooling="mean")
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, [of_text.mean(0) for of_text in vectors], atol=2e-6)


def test_a_model_that_changes_is_not_embedded_as_it_was(encoder):
    """The parameters are the model's own, whatever is done to them; what is kept is made anew where it must be."""
    for backend in BACKENDS:
        model = bertx.load(encoder, backend=backend)
        before = model(TEXTS, pooling="mean")
        model.module.resize_token_embeddings(model.config.vocab_size + 3)
        np.testing.assert_allclose(model(TEXTS, pooling="mean"), before, atol=1e-6)
        model.module = bertx.load(encoder, backend=backend).to(backend).module
        np.testing.assert_allclose(model(TEXTS, pooling="mean"), before, atol=1e-6)
    model = bertx.load(encoder, backend="torch")
    before = model(TEXTS, pooling="mean")
    model.module.train()
    model(TEXTS, pooling="mean")
    assert all(block.training for block in model.module.modules())
    model.module.eval()
    with torch.no_grad():
        model.module.encoder.layer[-1].output.LayerNorm.bias += 1
    np.testing.assert_allclose(model(TEXTS, pooling="mean"), before + 1, atol=1e-5)
    model.module.double()
    assert model(TEXTS, pooling="mean").dtype == np.float64


@pytest.fixture
def compiled():
    """The names of the events of JAX's compiler."""
    import jax

    events: list[str] = []

    def listen(event, duration, **others):
        events.extend([event] if "backend_compile" in event else [])

    jax.monitoring.register_event_duration_secs_listener(listen)
    yield events
    jax.monitoring.unregister_event_duration_listener(listen)


def test_a_call_compiles_nothing_that_was_compiled(whole, compiled):
    model = bertx.load(whole, backend="jax", dtype="float16")
    first = model(TEXTS)
    assert compiled
    compiled.clear()
    np.testing.assert_array_equal(model(TEXTS), first)
    np.testing.assert_array_equal(model(TEXTS, prompt="query : "), first)
    np.testing.assert_array_equal(bertx.load(whole, backend="jax", dtype="float16")(TEXTS), first)
    assert not compiled


def test_the_encoder_in_a_folder_of_its_own(tmp_path, encoder):
    """As sentence-transformers wrote it before version 1: 0_BERT with the settings in it."""
    settings = {"sentence_bert_config": {"max_seq_length": 6, "do_lower_case": True}}
    flat = _write(tmp_path / "flat", encoder, [_pooling("mean"), NORMALIZE], **settings)
    folder = tmp_path / "old"
    shutil.copytree(flat, folder)
    (folder / "0_BERT").mkdir()
    for path in list(folder.iterdir()):
        if path.is_file() and path.name != "modules.json":
            path.rename(folder / "0_BERT" / path.name)
    modules = json.loads((folder / "modules.json").read_text())
    modules[0] |= {"path": "0_BERT", "type": MODULE + "BERT"}
    (folder / "modules.json").write_text(json.dumps(modules))
    expected = _peer(flat).encode(TEXTS)
    model = bertx.load(folder, backend="numpy")
    np.testing.assert_allclose(model(TEXTS), expected, atol=1e-5)
    assert bertx.BertTokenizer.from_pretrained(folder).get_vocab() == model.tokenizer.get_vocab()
    model.save(tmp_path / "saved")
    bertx.convert(folder, tmp_path / "converted")
    for copy in ("saved", "converted"):
        np.testing.assert_allclose(bertx.load(tmp_path / copy, backend="numpy")(TEXTS), expected, atol=1e-5)
    shutil.rmtree(folder / "0_BERT")
    with pytest.raises(bertx.CheckpointError, match="names the Transformer's folder 0_BERT, which is not there"):
        bertx.load(folder)


def test_a_router_is_refused_with_its_parts(tmp_path, encoder):
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.models import Pooling, Router, Transformer

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        query, document = ([Transformer(str(encoder)), Pooling(HIDDEN)] for _ in range(2))
        router = SentenceTransformer(modules=[Router.for_query_document(query, document)], device="cpu")
        router.save(str(tmp_path / "router"))
    message = r"modules .*\.Router, and bertx runs .* or load a part of it alone: .*query_0_Transformer"
    with pytest.raises(bertx.CheckpointError, match=message):
        bertx.load(tmp_path / "router", backend="numpy")
    bertx.load(tmp_path / "router" / "query_0_Transformer", backend="numpy")


REFUSED = {
    "custom class": ([("LSTM", {}, None)], {}, "does not run the modules sentence_transformers.models.LSTM"),
    "pooling mode": ([_pooling("mean", "median")], {}, "bertx pools by cls, max"),
    "pooling key": ([_pooling("mean", layers=[1, 2])], {}, "does not know layers"),
    "flag of text": ([("Pooling", {"pooling_mode_cls_token": "yes"}, None)], {}, "expected true or false"),
    "no config": ([("Pooling", None, None)], {}, "part1/config.json, which is not there"),
    "activation": ([_pooling("mean"), _dense(HIDDEN, 9, "os.system")], {}, "activation_function is 'os.system'"),
    "activation of torch": (
        [_pooling("mean"), _dense(HIDDEN, 9, TORCH + "PReLU")],
        {},
        "bertx runs torch.nn's Identity",
    ),
    "width": ([_pooling("mean"), _dense(HIDDEN + 1, 9, TORCH + "Tanh")], {}, "in_features is 49, .* gives 48"),
    "other feature": (
        [_pooling("mean"), _dense(HIDDEN, 9, TORCH + "Tanh", module_input_name="token_embeddings")],
        {},
        "module_input_name is 'token_embeddings'",
    ),
    "dense of tokens": (
        [_dense(HIDDEN, 9, TORCH + "Tanh", module_input_name="token_embeddings"), _pooling("mean")],
        {},
        "module_input_name is 'token_embeddings', .* run it with sentence-transformers",
    ),
    "tokens normalised": (
        [("Normalize", {"module_input_name": "token_embeddings"}, None), _pooling("mean")],
        {},
        "module_input_name is 'token_embeddings'",
    ),
    "dense first": ([_dense(HIDDEN, 9, TORCH + "Tanh"), _pooling("mean")], {}, "a Dense before any Pooling"),
    "pickle": (
        [_pooling("mean"), (*_dense(HIDDEN, 9, TORCH + "Tanh")[:2], {"linear.weight": Path("x")})],
        {},
        "executes no pickle",
    ),
    "bias missing": (
        [_pooling("mean"), (*_dense(HIDDEN, 9, TORCH + "Tanh")[:2], _dense(HIDDEN, 9, "", bias=False)[2])],
        {},
        r"linear.bias is None, expected \(9,\)",
    ),
    "sparse": (
        [_pooling("mean")],
        {"config_sentence_transformers": {"model_type": "SparseEncoder"}},
        "'SparseEncoder'",
    ),
    "unknown setting": ([_pooling("mean")], {"config_sentence_transformers": {"scale": 2}}, "does not know scale"),
    "unknown prompt": (
        [_pooling("mean")],
        {"config_sentence_transformers": {"default_prompt_name": "x"}},
        "default_prompt_name is 'x', which prompts does not have",
    ),
    "truncate_dim": ([_pooling("mean")], {"config_sentence_transformers": {"truncate_dim": 0}}, "truncate_dim is 0"),
    "arguments of the model": (
        [_pooling("mean")],
        {"sentence_bert_config": {"model_args": {"attn_implementation": "eager", "hidden_act": "relu"}}},
        "does not run model_args.hidden_act",
    ),
    "other output": (
        [_pooling("mean")],
        {
            "sentence_bert_config": {
                "modality_config": {"text": {"method": "forward", "method_output_name": "pooler_output"}}
            }
        },
        "modality_config is",
    ),
    "expansion": ([_pooling("mean")], {"sentence_bert_config": {"query_length": 12}}, "does not run query_length"),
    "lengths": ([_pooling("mean")], {"sentence_bert_config": {"max_seq_length": "9"}}, "max_seq_length is '9'"),
}


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("variant", REFUSED)
def test_what_is_not_run_is_refused_by_name(tmp_path, encoder, variant):
    modules, files, message = REFUSED[variant]
    folder = _write(tmp_path / "model", encoder, modules, **files)
    model = bertx.load(folder, backend="numpy")
    with pytest.raises(bertx.CheckpointError, match=message):
        model("a text")


# --- cross-encoders ---------------------------------------------------------------------------------

PAIRS = [("the dog", "a cat sat on the mat"), ("who ?", "it is a river"), ("a", "")]


@pytest.mark.parametrize(
    ("num_labels", "settings"),
    [
        (1, {"sbert_ce_default_activation_function": "torch.nn.modules.linear.Identity"}),
        (1, {"sbert_ce_default_activation_function": TORCH + "Sigmoid"}),
        (3, {"sentence_transformers": {"activation_fn": TORCH + "Sigmoid", "version": "4.0.1"}}),
        (3, {"sentence_transformers": {"activation_fn": "torch.nn.modules.linear.Identity"}}),
        (1, {"sentence_transformers": {"activation_fn": TORCH + "Tanh"}}),
    ],
)
def test_a_cross_encoder_computes_its_own_activation(tmp_path, num_labels, settings):
    from sentence_transformers import CrossEncoder

    folder = write_checkpoint(tmp_path / "model", "BertForSequenceClassification", num_labels=num_labels)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | settings))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        peer = CrossEncoder(str(folder), device="cpu", local_files_only=True)
        peer.prompts, peer.default_prompt_name = {"query": "query : "}, "query"
        expected = peer.predict(PAIRS, prompt=""), peer.predict(PAIRS)
        peer.save(str(tmp_path / "saved"))  # version 6 writes modules.json and the prompts
    for source, scores in ((folder, expected[0]), (tmp_path / "saved", expected[1])):
        model = bertx.load(source, backend="numpy")
        found = [{entry["label"]: entry["score"] for entry in model(pair, top_k=5)} for pair in PAIRS]
        by_label = [[row[model.config.id2label[i]] for i in range(num_labels)] for row in found]
        np.testing.assert_allclose(by_label, scores.reshape(len(PAIRS), -1), atol=1e-5)
        probabilities = [sum(e["score"] for e in m) for m in model(PAIRS, top_k=None, function_to_apply="softmax")]
        np.testing.assert_allclose(probabilities, 1, atol=1e-5)


@pytest.mark.parametrize(
    "settings",
    [
        {"sentence_transformers": {"activation_fn": "subprocess.Popen"}},
        {"sbert_ce_default_activation_function": TORCH + "Softmax"},
        {"sentence_transformers": {"scale": 3}},
        {"sentence_transformers": 3},
    ],
)
def test_a_cross_encoder_imports_nothing(tmp_path, settings):
    folder = write_checkpoint(tmp_path / "model", "BertForSequenceClassification")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | settings))
    with pytest.raises(bertx.CheckpointError, match=next(iter(settings))):
        bertx.load(folder, backend="numpy")(PAIRS)
