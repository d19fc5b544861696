"""An encoder and a decoder of any two architectures: transformers in float64 is the reference, on every backend."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
import transformers

import bertx
from bertx.backend import get_backend
from bertx.testing import SIZES
from bertx_weights import CheckpointError
from gradients import gradients_of
from support import BACKENDS, differences

SMALLER = SIZES | {"hidden_size": 32, "num_attention_heads": 4, "vocab_size": 97}
CONFIGS = {
    "bert": transformers.BertConfig,
    "roberta": transformers.RobertaConfig,
    "xlm-roberta": transformers.XLMRobertaConfig,
}
PAIRS = list(itertools.product(CONFIGS, CONFIGS))
IDS = {"decoder_start_token_id": 2, "pad_token_id": 1}
FLAGS = {"output_hidden_states": True, "output_attentions": True}
RUNS = [*((backend, "float32", 5e-6) for backend in BACKENDS), ("numpy", "float64", 1e-9)]


def _drawn(model):
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.normal_(0, 0.1, generator=generator)
            if name.endswith(("LayerNorm.weight", "layer_norm.weight")):
                parameter.add_(1)
    return model.eval()


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    """(encoder, decoder, smaller) → (transformers' model in float64, its checkpoint in float32); 2 + 2 layers."""
    made = {}

    def get(encoder, decoder, smaller=True):
        key = encoder, decoder, smaller
        if key not in made:
            sizes = SMALLER if smaller else SIZES
            own = {"num_hidden_layers": 2, "attn_implementation": "eager"}
            config = transformers.EncoderDecoderConfig.from_encoder_decoder_configs(
                CONFIGS[encoder](**SIZES | own), CONFIGS[decoder](**sizes | own), **IDS
            )
            config.encoder._attn_implementation = config.decoder._attn_implementation = "eager"
            model = _drawn(transformers.EncoderDecoderModel(config))
            folder = tmp_path_factory.mktemp(f"{encoder}2{decoder}")
            model.save_pretrained(folder)
            made[key] = model.double(), folder
        return made[key]

    return get


def inputs_of(padding, vocab_size=97):
    generator = np.random.default_rng(1)
    mask = np.ones((4, 11), np.int64)
    for i, hidden in enumerate((0, 1, 5, 9)):
        if padding == "right" and hidden:
            mask[i, -hidden:] = 0
        if padding == "left":
            mask[i, :hidden] = 0
    ids = np.where(mask == 0, 1, generator.integers(2, SIZES["vocab_size"], mask.shape))
    labels = generator.integers(2, vocab_size, (4, 7))
    labels[1, 4:] = -100
    labels[2, ::3] = -100
    inputs = {"input_ids": ids, "labels": labels}
    return inputs if padding is None else inputs | {"attention_mask": mask}


def asked(model, inputs, **flags):
    """What transformers says, the logits' loss in float64."""
    with torch.no_grad(), pytest.warns(FutureWarning) if "labels" in inputs else torch.no_grad():
        outputs = model(**{name: torch.from_numpy(value) for name, value in inputs.items()}, **flags)
    return {
        name: tuple(part.numpy() for part in value) if isinstance(value, tuple) else value.numpy()
        for name, value in outputs.items()
        if name != "past_key_values"
    }


@pytest.mark.parametrize(("encoder", "decoder"), PAIRS)
def test_equals_transformers_on_numpy(pairs, encoder, decoder):
    """Any pair: outputs, loss, all layers and attentions."""
    peer, folder = pairs(encoder, decoder)
    model = bertx.load(folder, backend="numpy", dtype="float64")
    assert (model.architecture, model.task) == ("EncoderDecoderModel", "summarization")
    for padding in (None, "right", "left"):
        inputs = inputs_of(padding)
        worst = differences(model.forward(**inputs, **FLAGS), asked(peer, inputs, **FLAGS, use_cache=False))
        assert max(worst.values()) <= 1e-9, worst


@pytest.mark.parametrize("smaller", [True, False])
@pytest.mark.parametrize(("encoder", "decoder"), [("bert", "roberta"), ("bert", "bert")])
@pytest.mark.parametrize(("backend", "dtype", "tolerance"), RUNS)
def test_equals_transformers(pairs, loaded, backend, dtype, tolerance, encoder, decoder, smaller):
    """Of the same size and of another, with `enc_to_dec_proj`."""
    peer, folder = pairs(encoder, decoder, smaller)
    model = loaded(folder, backend=backend, dtype=dtype)
    for padding in (None, "right", "left"):
        inputs = inputs_of(padding)
        expected = asked(peer, inputs, **FLAGS, use_cache=False)
        worst = differences(model.forward(**inputs, **FLAGS), expected)
        assert max(worst.values()) <= tolerance, worst
        plain = ("loss", "logits", "encoder_last_hidden_state")
        worst = differences(model.forward(**inputs), {name: expected[name] for name in plain})
        assert max(worst.values()) <= tolerance, worst


@pytest.mark.parametrize(("backend", "dtype", "tolerance"), RUNS)
def test_a_past_goes_on(pairs, loaded, backend, dtype, tolerance):
    """Token by token from what the encoder gave once, as at once."""
    peer, folder = pairs("bert", "roberta")
    inputs = inputs_of("right")
    ids = inputs.pop("labels") % 90 + 2
    expected = asked(peer, inputs | {"decoder_input_ids": ids}, use_cache=False)["logits"]
    module, tensor = loaded(folder, backend=backend, dtype=dtype).module, get_backend(backend).tensor
    mask = tensor(inputs["attention_mask"])
    encoded = module.get_encoder()(input_ids=tensor(inputs["input_ids"]), attention_mask=mask, return_dict=True)
    past, found = None, []
    for start, end in ((0, 3), (3, 4), (4, 7)):
        outputs = module(
            encoder_outputs=encoded,
            attention_mask=mask,
            decoder_input_ids=tensor(np.ascontiguousarray(ids[:, start:end])),
            past_key_values=past,
            use_cache=True,
        )
        past = outputs.past_key_values
        assert all(len(layer) == 4 for layer in past)
        found.append(np.asarray(outputs.logits.detach() if backend == "torch" else outputs.logits))
    assert np.abs(np.concatenate(found, 1) - expected).max() <= tolerance


@pytest.mark.parametrize("backend", ["torch", "jax", "tensorflow"])
def test_gradients(pairs, backend):
    peer, folder = pairs("bert", "roberta")
    inputs = inputs_of("right")
    peer.zero_grad()
    with pytest.warns(FutureWarning):
        peer(**{name: torch.from_numpy(value) for name, value in inputs.items()}).loss.backward()
    expected = {name: p.grad.numpy() for name, p in peer.named_parameters() if p.grad is not None}
    found = gradients_of(bertx.load(folder, backend=backend), inputs)
    largest = max(np.abs(gradient).max() for gradient in expected.values())
    assert any(".crossattention." in name for name in expected) and "enc_to_dec_proj.weight" in expected
    for name, gradient in expected.items():
        mine = found[name]
        if name.endswith("word_embeddings.weight"):
            pad = 0 if name.startswith("encoder") else 1  # transformers gives the padding token none as an input
            mine, gradient = np.delete(mine, pad, 0), np.delete(gradient, pad, 0)
        if name.endswith("decoder.roberta.embeddings.position_embeddings.weight"):
            mine, gradient = np.delete(mine, 1, 0), np.delete(gradient, 1, 0)
        assert np.abs(mine - gradient).max() <= 2e-6 * largest, name


# --- mistakes must be found -------------------------------------------------------------------------


def projection_forgotten(module, monkeypatch):
    size = module.config.decoder.hidden_size
    monkeypatch.setattr(module, "projected", lambda states: states[..., :size])


def mask_kept_from_the_decoder(module, monkeypatch):
    forward = module.decoder.forward
    module.decoder.forward = lambda **inputs: forward(**inputs | {"encoder_attention_mask": None})


def labels_not_shifted(module, monkeypatch):
    monkeypatch.setattr(module, "shifted", lambda labels: np.where(labels == -100, 1, labels))


@pytest.mark.parametrize("mutate", [projection_forgotten, mask_kept_from_the_decoder, labels_not_shifted])
def test_a_mutant_is_found(pairs, monkeypatch, mutate):
    peer, folder = pairs("bert", "bert")
    inputs = inputs_of("right")
    expected = asked(peer, inputs, use_cache=False)
    model = bertx.load(folder, backend="numpy")
    assert max(differences(model.forward(**inputs), expected).values()) <= 5e-6
    mutate(model.module, monkeypatch)
    assert max(differences(model.forward(**inputs), expected).values()) > 5e-6


def test_the_parity_report_has_all_of_it(pairs):
    from bertx.parity_report import output_names

    report = bertx.parity(pairs("bert", "roberta")[1], backends=["numpy"])
    assert report.passed
    config = bertx.load(pairs("bert", "roberta")[1], backend="numpy").config
    assert set(report.outputs()) == set(output_names(config, "EncoderDecoderModel"))


# --- the config -------------------------------------------------------------------------------------


def test_the_config_comes_back(pairs, tmp_path):
    peer, folder = pairs("bert", "roberta")
    config = bertx.load(folder, backend="numpy").config
    assert (config.encoder.hidden_size, config.decoder.hidden_size) == (48, 32)
    assert (config.hidden_size, config.decoder_vocab_size) == (48, 97)
    assert config.decoder.is_decoder and config.decoder.add_cross_attention and config.is_encoder_decoder
    config.save_pretrained(tmp_path)
    again = transformers.EncoderDecoderConfig.from_pretrained(tmp_path)
    for part in ("encoder", "decoder"):
        theirs, ours = getattr(peer.config, part).to_dict(), getattr(again, part).to_dict()
        assert {name for name in theirs if theirs[name] != ours[name]} <= {"dtype", "_name_or_path"}
    assert (again.decoder_start_token_id, again.pad_token_id) == (2, 1)
    assert type(config).from_pretrained(tmp_path) == config
    config.vocab_size = 97  # as scripts of transformers write
    assert type(config).from_dict(config.to_dict()).extra["vocab_size"] == 97


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"encoder": None}, "encoder is None, expected the config of a model"),
        ({"decoder": {"model_type": "gpt2"}}, "decoder: model_type is 'gpt2', bertx runs 'bert', 'roberta'"),
        ({"decoder": {"model_type": "bert", "hidden_size": 7}}, "decoder: .*hidden_size 7 is not divisible"),
        ({"decoder": {"model_type": "bert"}}, "the decoder's is_decoder and add_cross_attention are not both true"),
        ({"encoder": {"model_type": "bert", "is_decoder": True}}, "the encoder's is_decoder is true"),
        ({"decoder_start_token_id": 97}, "decoder_start_token_id is 97, expected null or an id from 0 to 96"),
        ({"tie_encoder_decoder": True}, "tie_encoder_decoder is true, and encoder and decoder have other model_type"),
    ],
)
def test_a_config_that_cannot_be(pairs, changes, message):
    values = pairs("bert", "roberta")[0].config.to_dict()
    with pytest.raises(ValueError, match=message):
        bertx.EncoderDecoderConfig.from_dict(values | changes)


@pytest.mark.parametrize("backend", BACKENDS)
def test_what_does_not_fit_is_an_error(pairs, loaded, backend):
    module, tensor = loaded(pairs("bert", "roberta")[1], backend=backend).module, get_backend(backend).tensor
    inputs = inputs_of("right")
    with pytest.raises(ValueError, match="give decoder_input_ids, or decoder_inputs_embeds, or labels"):
        module(tensor(inputs["input_ids"]))
    config = module.config.replace(decoder_start_token_id=None)
    package = type(module)
    other = package(config)
    with pytest.raises(ValueError, match="decoder_start_token_id is null in the config"):
        other(tensor(inputs["input_ids"]), labels=tensor(inputs["labels"]))
    with pytest.raises(ValueError, match=r"call resize_token_embeddings of model\.encoder or of model\.decoder"):
        module.resize_token_embeddings(200)


def test_inputs_of_arrays_are_checked(pairs, loaded):
    model = loaded(pairs("bert", "roberta")[1], backend="numpy")
    inputs = inputs_of("right")
    with pytest.raises(ValueError, match=r"the encoder: .*input_ids\[0, 0\] is 131, expected 0 to 130.*"):
        model.forward(**inputs | {"input_ids": inputs["input_ids"] * 0 + 131})
    with pytest.raises(ValueError, match=r"labels\[0, 0\] is 97, expected 0 to 96"):
        model.forward(**inputs | {"labels": inputs["labels"] * 0 + 97})
    with pytest.raises(ValueError, match="are of 3 and 4 rows"):
        model.forward(**inputs | {"labels": inputs["labels"][1:]})
    with pytest.raises(TypeError, match=r"EncoderDecoderModel takes input_ids, .*; it was given strange"):
        model.forward(**inputs, strange=1)


# --- a warm start -----------------------------------------------------------------------------------


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_warm_start_has_the_tensors_of_both(peers, backend):
    from bertx.checkpoints.warm_start import warm_start

    own = {"num_hidden_layers": 2}
    encoder, decoder = peers("BertForMaskedLM", **own), peers("RobertaForMaskedLM", **own, **_OTHER)
    with pytest.warns(UserWarning, match=r"has new .*layer\.\*\.crossattention.*enc_to_dec_proj.* which are drawn"):
        model = warm_start(encoder[1], decoder[1], backend, changes=IDS)
    tensors = dict(model.tensors())
    stored = encoder[0].state_dict()
    for name, value in stored.items():
        if name.startswith("bert."):
            assert np.array_equal(tensors[f"encoder.{name[5:]}"], value.float().numpy()), name
    of_decoder = decoder[0].state_dict()
    # What is tied may come once, under the name of the embeddings.
    assert {name for name in of_decoder if f"decoder.{name}" not in tensors} <= {"lm_head.decoder.weight"}
    for name in of_decoder.keys() & {name.removeprefix("decoder.") for name in tensors}:
        value = of_decoder[name]
        assert np.array_equal(tensors[f"decoder.{name}"], value.float().numpy()), name
    new = set(model.load_report.initialised)
    assert new == {name for name in tensors if ".crossattention." in name or "pooler" in name or "enc_to_dec" in name}
    assert model.load_report.used["encoder.embeddings.word_embeddings.weight"]
    assert model.config.decoder_start_token_id == 2


_OTHER = {"hidden_size": 32, "num_attention_heads": 4}


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_warm_start_by_the_class(peers, loaded, tmp_path, backend):
    """As transformers names it; what is saved loads again, on any backend, and there too in transformers."""
    folder = peers("BertForMaskedLM", num_hidden_layers=2)[1]
    chosen = get_backend(backend)
    cls = chosen.model_class("EncoderDecoderModel")
    with pytest.warns(UserWarning, match="has new"):
        module = cls.from_encoder_decoder_pretrained(folder, folder, **IDS, decoder_hidden_dropout_prob=0.0)
    assert module.config.decoder.hidden_dropout_prob == 0 and module.config.encoder.hidden_dropout_prob == 0.1
    module.save_pretrained(tmp_path)
    inputs = inputs_of("right", SIZES["vocab_size"])
    expected = bertx.load(tmp_path, backend="numpy", dtype="float64").forward(**inputs)
    theirs = transformers.EncoderDecoderModel.from_pretrained(tmp_path).double().eval()
    assert max(differences(expected, asked(theirs, inputs, use_cache=False)).values()) <= 1e-9
    found = bertx.load(tmp_path, backend=backend).forward(**inputs)
    assert max(differences(found, expected).values()) <= 5e-6


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_warm_start_of_shared_parameters(peers, tmp_path, backend):
    from bertx.checkpoints.warm_start import warm_start

    folder = peers("BertForMaskedLM", num_hidden_layers=2)[1]
    with pytest.warns(UserWarning, match="has new"):
        model = warm_start(folder, folder, backend, changes=IDS | {"tie_encoder_decoder": True})
    shared = model.module.num_parameters()
    with pytest.warns(UserWarning, match="has new"):
        apart = warm_start(folder, folder, backend, changes=IDS).module.num_parameters()
    assert shared < 0.75 * apart
    inputs = inputs_of("right", SIZES["vocab_size"])
    model.save(tmp_path)
    again = bertx.load(tmp_path, backend="numpy", dtype="float64")
    assert max(differences(model.forward(**inputs), again.forward(**inputs)).values()) <= 5e-6


def test_a_class_that_is_made_of_nothing_else(peers):
    import bertx_torch

    folder = peers("BertForMaskedLM", num_hidden_layers=2)[1]
    with pytest.raises(TypeError, match="BertModel is not made of an encoder and a decoder"):
        bertx_torch.BertModel.from_encoder_decoder_pretrained(folder, folder)


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"num_layers": 1}, TypeError, "num_layers: expected fields of EncoderDecoderConfig"),
        (
            {"encoder_model": 1},
            TypeError,
            "encoder_model: expected fields of BertConfig, .*encoder_hidden_size",
        ),
        ({"decoder_is_decoder": False}, ValueError, "decoder_is_decoder is False, expected True: leave it out"),
        ({"tie_encoder_decoder": "no"}, ValueError, "tie_encoder_decoder is 'no', expected true or false"),
    ],
)
def test_what_a_warm_start_cannot_change(peers, changes, error, message):
    import bertx_torch

    folder = peers("BertForMaskedLM", num_hidden_layers=2)[1]
    with pytest.raises(error, match=message):
        bertx_torch.EncoderDecoderModel.from_encoder_decoder_pretrained(folder, folder, **IDS, **changes)


def test_an_encoder_decoder_is_no_part_of_another(pairs):
    from bertx.checkpoints.warm_start import warm_start

    folder = pairs("bert", "roberta")[1]
    with pytest.raises(CheckpointError, match="it is an EncoderDecoder already, and no encoder"):
        warm_start(folder, folder, "numpy")
