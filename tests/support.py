"""Checkpoints with weights that hide nothing, made by transformers, and batches to run on them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
import transformers

from bertx.testing import BATCH, CHOICES, LENGTH, SIZES

BACKENDS = ("numpy", "torch", "jax", "tensorflow")
HEADS = {
    "BertModel": "feature-extraction",
    "BertForPreTraining": "pretraining",
    "BertLMHeadModel": "text-generation",
    "BertForMaskedLM": "fill-mask",
    "BertForNextSentencePrediction": "next-sentence-prediction",
    "BertForSequenceClassification": "text-classification",
    "BertForMultipleChoice": "multiple-choice",
    "BertForTokenClassification": "token-classification",
    "BertForQuestionAnswering": "question-answering",
}


def peer(head: str, seed: int = 0, **changes) -> transformers.PreTrainedModel:
    """A transformers model in float64: weights N(0, 0.1), random biases and LayerNorms, float32 values."""
    own = {"is_decoder": head.endswith(("LMHeadModel", "ForCausalLM"))}
    if head.endswith("ForQuestionAnswering"):
        own["num_labels"] = 2
    settings = SIZES | own | changes
    model_class = getattr(transformers, head)
    if head == "EncoderDecoderModel":
        config = pair_config(settings)
    else:
        config = model_class.config_class(**settings, attn_implementation="eager")
    model = model_class(config).eval()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.normal_(0, 0.1, generator=generator)
            if name.endswith(("LayerNorm.weight", "layer_norm.weight")):
                parameter.add_(1)
    return model.double()


def pair_config(settings: dict) -> transformers.EncoderDecoderConfig:
    """The config of a BERT2BERT, of two models of these settings; token 2 begins a text, and 3 ends it."""
    parts = [transformers.BertConfig(**settings | {"is_decoder": False}) for _ in range(2)]
    ids = {"decoder_start_token_id": 2, "pad_token_id": 0, "eos_token_id": 3}
    config = transformers.EncoderDecoderConfig.from_encoder_decoder_configs(*parts, **ids)
    config.encoder._attn_implementation = config.decoder._attn_implementation = "eager"
    return config


def save_peer(model: transformers.PreTrainedModel, folder: Path) -> Path:
    """Writes a copy of the peer in float32, with transformers' own writer."""
    copy = type(model)(model.config)
    copy.load_state_dict({name: tensor.float() for name, tensor in model.state_dict().items()})
    copy.save_pretrained(folder)
    return folder


def batch(head: str, padding: str | None, seed: int = 1, batch_size: int = BATCH) -> dict[str, np.ndarray]:
    """Random ids and token types, rows of different length, padded on the right, the left or not at all."""
    generator = np.random.default_rng(seed)
    shape = (batch_size, CHOICES, LENGTH) if head.endswith("ForMultipleChoice") else (batch_size, LENGTH)
    mask = np.ones(shape, np.int64)
    if padding is not None:
        rows = mask.reshape(-1, LENGTH)
        for i in range(1, len(rows)):
            hidden = int(generator.integers(1, LENGTH - 1))
            rows[i, -hidden:] = 0
            if padding == "left":
                rows[i] = rows[i, ::-1]
    return {
        "input_ids": generator.integers(0, SIZES["vocab_size"], shape),
        "attention_mask": mask,
        "token_type_ids": generator.integers(0, SIZES["type_vocab_size"], shape),
    }


def labels(head: str, seed: int = 2, batch_size: int = BATCH) -> dict[str, np.ndarray]:
    """Labels of the kind that a head takes, some of them not counted."""
    generator = np.random.default_rng(seed)

    def some(limit, *shape):
        return generator.integers(0, limit, shape)

    per_token = some(SIZES["vocab_size"], batch_size, LENGTH)
    per_token[:, ::3] = -100
    match head.removeprefix("XLM").replace("Roberta", "Bert").replace("BertForCausalLM", "BertLMHeadModel"):
        case "BertModel":
            return {}
        case "BertForPreTraining":
            return {"labels": per_token, "next_sentence_label": some(2, batch_size)}
        case "BertForQuestionAnswering":
            return {"start_positions": some(LENGTH, batch_size), "end_positions": some(LENGTH + 5, batch_size)}
        case "BertForTokenClassification":
            return {"labels": np.where(per_token == -100, -100, per_token % SIZES["num_labels"])}
        case "BertForSequenceClassification":
            return {"labels": some(SIZES["num_labels"], batch_size)}
        case "BertForMultipleChoice":
            return {"labels": some(CHOICES, batch_size)}
        case "BertForNextSentencePrediction":
            return {"labels": some(2, batch_size)}
    return {"labels": per_token}


_CAUSAL = (transformers.BertLMHeadModel, transformers.RobertaForCausalLM, transformers.XLMRobertaForCausalLM)


def peer_forward(model: transformers.PreTrainedModel, inputs: dict[str, np.ndarray], **flags) -> dict:
    """What transformers says, as NumPy float64."""
    tensors = {name: torch.from_numpy(value) for name, value in inputs.items()}
    tensors = {name: t.double() if t.is_floating_point() else t for name, t in tensors.items()}
    with torch.no_grad():
        outputs = model(**tensors, **flags)
        if "loss" in outputs and isinstance(model, _CAUSAL):
            # transformers computes this one loss in float32 even for a float64 model.
            logits, following = outputs["logits"][:, :-1], tensors["labels"][:, 1:]
            outputs["loss"] = torch.nn.functional.cross_entropy(logits.flatten(0, 1), following.flatten())
    return {
        name: tuple(v.numpy() for v in value) if isinstance(value, tuple) else value.numpy()
        for name, value in outputs.items()
        if name not in ("past_key_values", "cross_attentions")
    }


def differences(found: dict, expected: dict) -> dict[str, float]:
    """max |Δ| of every output, hidden state and attention; the names must be the same."""
    assert set(found) == set(expected), (sorted(found), sorted(expected))
    result = {}
    for name, value in expected.items():
        pairs = zip(found[name], value, strict=True) if isinstance(value, tuple) else [(found[name], value)]
        for i, (a, b) in enumerate(pairs):
            assert a.shape == b.shape, (name, a.shape, b.shape)
            result[f"{name}.{i}"] = float(np.abs(a.astype(np.float64) - b).max())
    return result
