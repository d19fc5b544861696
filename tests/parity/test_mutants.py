"""A parity test that cannot fail shows nothing: each of these mistakes must be caught by the tolerances."""

from __future__ import annotations

import numpy as np
import pytest

import bertx
from bertx import parity_report
from bertx_numpy import base_model, nn
from bertx_numpy.backend import NumpyBackend
from bertx_numpy.layers.activations import ACTIVATIONS
from fixture_files import CASES
from support import batch, differences, peer_forward

HEAD = "BertForPreTraining"


def _layer(model):
    return model.module.bert.encoder.layer[1]


def other_gelu(model, monkeypatch):
    _layer(model).intermediate.activation = ACTIVATIONS["gelu_new"]


def another_epsilon(model, monkeypatch):
    # PyTorch's own default, everywhere: what a backend that forgets to pass it on would do.
    for block in (model.module.bert.embeddings, *(layer.output for layer in model.module.bert.encoder.layer)):
        block.LayerNorm.eps = 1e-5


def a_square_matrix_transposed(model, monkeypatch):
    weight = _layer(model).attention.output.dense.weight
    weight.value = weight.value.T.copy()


def query_and_key_swapped(model, monkeypatch):
    attention = _layer(model).attention.self
    attention.query, attention.key = attention.key, attention.query


def token_types_dropped(model, monkeypatch):
    forward = model.module.bert.embeddings.forward
    model.module.bert.embeddings.forward = lambda token_type_ids, **rest: forward(token_type_ids=None, **rest)


def mask_dropped(model, monkeypatch):
    monkeypatch.setattr(base_model, "attention_bias", lambda *_: None)


def positions_shifted(model, monkeypatch):
    table = model.module.bert.embeddings.position_embeddings.weight
    table.value = np.roll(table.value, 1, axis=0)


def scale_forgotten(model, monkeypatch):
    _layer(model).attention.self.head_size = 1
    attention = nn.attention
    monkeypatch.setattr(nn, "attention", lambda q, k, v, b, scale, *rest: attention(q, k, v, b, 1.0, *rest))
    _layer(model).attention.self.head_size = model.config.hidden_size // model.config.num_attention_heads


def pooler_reads_the_last_position(model, monkeypatch):
    pooler = model.module.bert.pooler
    pooler.forward = lambda hidden_states: nn.tanh(pooler.dense(hidden_states[:, -1]))


def decoder_bias_forgotten(model, monkeypatch):
    predictions = model.module.cls.predictions
    predictions.bias.value = np.zeros_like(predictions.bias.value)


MUTANTS = [
    other_gelu,
    another_epsilon,
    a_square_matrix_transposed,
    query_and_key_swapped,
    token_types_dropped,
    mask_dropped,
    positions_shifted,
    scale_forgotten,
    pooler_reads_the_last_position,
    decoder_bias_forgotten,
]


@pytest.mark.parametrize("mutate", MUTANTS, ids=lambda mutate: mutate.__name__)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_head_test_catches(peers, monkeypatch, mutate, dtype):
    peer, folder = peers(HEAD)
    model = bertx.load(folder, backend="numpy", dtype=dtype)
    inputs = batch(HEAD, "right")
    expected = peer_forward(peer, inputs)
    limit = {"float32": 5e-6, "float64": 1e-9}[dtype]
    assert max(differences(model.forward(**inputs), expected).values()) <= limit
    mutate(model, monkeypatch)
    assert max(differences(model.forward(**inputs), expected).values()) > limit


# Those that change the model, not the spec and with it the oracle; on the masked LM those that it has the parts for.
IN_A_BACKEND = [mutate for mutate in MUTANTS if mutate not in (mask_dropped, scale_forgotten)]
ON_A_MASKED_LM = [mutate for mutate in IN_A_BACKEND if mutate is not pooler_reads_the_last_position]


@pytest.mark.parametrize(
    ("source", "mutate"),
    [("random", mutate) for mutate in IN_A_BACKEND] + [("python:cognition/model", mutate) for mutate in ON_A_MASKED_LM],
    ids=lambda value: getattr(value, "__name__", value),
)
def test_the_parity_report_catches_it_in_a_backend(peers, monkeypatch, source, mutate):
    source = peers(HEAD)[1] if source == "random" else source
    real_load = parity_report.load

    def load_mutated(*args, **options):
        model = real_load(*args, **options)
        if options.get("dtype") != "float64":
            mutate(model, monkeypatch)
        return model

    monkeypatch.setattr(parity_report, "load", load_mutated)
    report = bertx.parity(source, backends=["numpy"])
    assert not report.passed


# --- the modules of sentence-transformers ------------------------------------------------------------


def another_pooling(head):
    head.steps[0].modes = ("mean",)


def a_dense_bias_changed(head):
    head.steps[1].linear.bias.value = head.steps[1].linear.bias.value + np.float32(1e-4)


def another_activation(head):
    head.steps[1].activation = nn.sigmoid


def embeddings_not_normalized(head):
    del head.steps[2]


HEAD_MUTANTS = [another_pooling, a_dense_bias_changed, another_activation, embeddings_not_normalized]


@pytest.mark.parametrize("mutate", [*HEAD_MUTANTS, None], ids=lambda mutate: getattr(mutate, "__name__", "none"))
def test_the_parity_report_catches_it_in_a_sentence_embedding(monkeypatch, mutate):
    real_load, build = parity_report.load, NumpyBackend.build
    compared = []  # the backend that is compared has been loaded: what the oracle and its noise are is known

    def load(*args, **options):
        compared.extend([True] if options.get("dtype") != "float64" else [])
        return real_load(*args, **options)

    def build_mutated(self, model_class, config, value_of, dtype, device, options):
        built = build(self, model_class, config, value_of, dtype, device, options)
        if mutate is not None and compared and "modules" in options:
            mutate(built)
        return built

    monkeypatch.setattr(NumpyBackend, "build", build_mutated)
    monkeypatch.setattr(parity_report, "load", load)
    report = bertx.parity(CASES / "06_st_dense/labse_like", backends=["numpy"])
    failed = {row.output for row in report.rows if not row.passed}
    assert failed == ({"sentence_embedding"} if mutate else set())
