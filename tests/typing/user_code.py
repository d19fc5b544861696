"""What users write, as a type checker sees it: test_pyright.py checks this file, and nothing runs it."""

from __future__ import annotations

from typing import Any, assert_type

import keras
import numpy as np
import tensorflow as tf
import torch
from flax import nnx
from jax import Array

import bertx
import bertx_jax
import bertx_numpy
import bertx_tensorflow
import bertx_torch
from bertx.tokenizers.base import PreTrainedTokenizer
from bertx_jax import FlaxBertForSequenceClassification
from bertx_tensorflow import TFBertForMaskedLM, TFBertTokenizer, TFRobertaModel
from bertx_torch import BertForSequenceClassification, BertModel, RobertaForQuestionAnswering, XLMRobertaForMaskedLM


def load_and_run() -> None:
    model = bertx.load("bert-base", task="fill-mask", backend="jax", dtype="bfloat16")
    assert_type(model, bertx.Model)
    assert_type(model.backend, str)
    assert_type(model.tokenizer, PreTrainedTokenizer)
    assert_type(model("A [MASK] day."), Any)
    encoded = model.tokenizer(["a text", "another"], padding=True, return_tensors="np")
    assert_type(encoded, bertx.BatchEncoding)
    outputs = model.forward(input_ids=np.array([[101, 102]]), output_hidden_states=True)
    assert_type(outputs, dict[str, Any])
    assert_type(model.to("torch"), bertx.Model)
    model.save("folder")
    report = bertx.parity("bert-base", backends=["torch", "jax"])
    assert_type(report, bertx.ParityReport)
    assert_type(bertx.convert("folder", "other", format="safetensors"), bertx.ConversionReport)


def fine_tune_torch(batch: dict[str, torch.Tensor]) -> float:
    model = BertForSequenceClassification.from_pretrained("bert-base-uncased", num_labels=3)
    assert_type(model, BertForSequenceClassification)
    assert_type(model.config, bertx.BertConfig)
    assert_type(model.bert, BertModel)
    module: torch.nn.Module = model.to("cuda").train()
    optimizer = torch.optim.AdamW(module.parameters(), lr=2e-5)
    outputs = model(batch["input_ids"], attention_mask=batch["attention_mask"], labels=batch["labels"])
    assert_type(outputs, bertx_torch.SequenceClassifierOutput)
    assert_type(outputs.logits, torch.Tensor)
    assert_type(outputs.loss, torch.Tensor | None)
    assert_type(outputs.hidden_states, tuple[torch.Tensor, ...] | None)
    assert_type(outputs["logits"], Any)
    assert_type(model(batch["input_ids"], return_dict=False), tuple[Any, ...])
    assert_type(model.forward(input_ids=batch["input_ids"]), bertx_torch.SequenceClassifierOutput)
    loss = outputs.loss
    assert loss is not None
    loss.backward()
    optimizer.step()
    model.save_pretrained("folder", max_shard_size="5GB")
    return loss.item()


def other_heads_torch(input_ids: torch.Tensor) -> None:
    answer = RobertaForQuestionAnswering.from_pretrained("roberta-base")(input_ids)
    assert_type(answer.start_logits, torch.Tensor)
    assert_type(RobertaForQuestionAnswering.from_pretrained("roberta-base").config, bertx.RobertaConfig)
    assert_type(XLMRobertaForMaskedLM.from_pretrained("xlm-roberta-base")(input_ids).logits, torch.Tensor)
    encoder, info = BertModel.from_pretrained("bert-base", add_pooling_layer=False, output_loading_info=True)
    assert_type(encoder, BertModel)
    assert_type(info, dict[str, Any])
    assert_type(encoder(input_ids).last_hidden_state, torch.Tensor)
    assert_type(encoder(input_ids).pooler_output, torch.Tensor | None)
    assert_type(BertModel(bertx.BertConfig(num_hidden_layers=2)), BertModel)


def fine_tune_tensorflow(dataset: tf.data.Dataset, texts: list[str]) -> None:
    model = bertx_tensorflow.TFBertForSequenceClassification.from_pretrained("bert-base-uncased")
    native: keras.Model = model
    native.compile(optimizer="adam")
    model.fit(dataset, epochs=1)
    assert_type(model.config, bertx.BertConfig)
    masked = TFBertForMaskedLM.from_pretrained("bert-base")
    outputs = masked({"input_ids": tf.constant([[101, 102]])}, training=False)
    assert_type(outputs, bertx_tensorflow.TFMaskedLMOutput)
    assert_type(masked(tf.constant([[101, 102]]), attention_mask=None).logits, tf.Tensor)
    assert_type(TFRobertaModel.from_pretrained("roberta-base").config, bertx.RobertaConfig)
    TFBertTokenizer.from_pretrained("bert-base")(texts)


def run_jax(input_ids: Array, key: Array) -> Array:
    model = FlaxBertForSequenceClassification.from_pretrained("bert-base", dtype="bfloat16")
    module: nnx.Module = model
    nnx.split(module)
    outputs = model(input_ids, params=model.params, train=True, dropout_rng=key)
    assert_type(outputs, bertx_jax.FlaxSequenceClassifierOutput)
    assert_type(outputs.logits, Array)
    return model.forward(np.zeros((1, 8), int)).logits


def run_numpy(input_ids: np.ndarray) -> None:
    model = bertx_numpy.BertForMaskedLM.from_pretrained("bert-base", dtype="float64")
    assert_type(model(input_ids).logits, np.ndarray)
    model.no_such_method()  # pyright: ignore[reportAttributeAccessIssue]
    model(texts=input_ids)  # pyright: ignore[reportCallIssue]


def unknown_names_are_errors(model: BertForSequenceClassification, input_ids: torch.Tensor) -> None:
    print(bertx_torch.BertForNothing)  # pyright: ignore[reportAttributeAccessIssue]
    model(input_ids, no_such_argument=1)  # pyright: ignore[reportCallIssue]
    print(model(input_ids).no_such_field)  # pyright: ignore[reportAttributeAccessIssue]
    model.from_pretrained(3)  # pyright: ignore[reportArgumentType]
