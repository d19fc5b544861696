"""Writes the weights that all contenders load, once: python benchmarks/checkpoints.py FOLDER NAME SIZE FORMAT …

NAME is a key of ARCHITECTURES, whose weights are random, or "minilm", the published all-MiniLM-L6-v2; SIZE is "full"
or "tiny". In FOLDER each format has a folder of its own; one that is there is not written again.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from cases import BERT_BASE, LABELS, MINILM, TINY

import bertx
from bertx.checkpoints.init import initial_values
from bertx.checkpoints.save import save_model
from bertx.checkpoints.warm_start import warm_start
from bertx.hub.sources import resolve
from bertx.registry import schema

# Checkpoint → its class, and what it has other than bert-base; "bert2bert" is made of two of "base6".
ARCHITECTURES = {
    "base": ("BertModel", {}),
    "base6": ("BertModel", {"num_hidden_layers": 6}),
    "masked": ("BertForMaskedLM", {}),
    "causal6": ("BertLMHeadModel", {"num_hidden_layers": 6, "is_decoder": True}),
    "classifier6": ("BertForSequenceClassification", {"num_hidden_layers": 6, "num_labels": LABELS}),
    "classifier12": ("BertForSequenceClassification", {"num_labels": LABELS}),
}

# Folder → (format, dtype) of `bertx.export`.
EXPORTS = {
    "onnx-int8": ("onnx", "int8"),
    "openvino": ("openvino", "float32"),
    "openvino-int8": ("openvino", "int8"),
}


def write_random(folder: Path, checkpoint: str, tiny: bool) -> None:
    """A checkpoint with weights N(0, 0.02), N(0, 0.1) for tiny ones, and the tokenizer of all-MiniLM."""
    architecture, changes = ARCHITECTURES[checkpoint]
    sizes = BERT_BASE | changes | (TINY if tiny else {})
    config = bertx.BertConfig(**sizes, initializer_range=0.1 if tiny else 0.02)
    rows = [row for row in schema(architecture, config) if row.tied_to is None]
    value_of = initial_values(rows, config)
    save_model(folder, architecture, config, ((row.name, value_of(row.name, row.shape)) for row in rows))
    bertx.BertTokenizer.from_pretrained(MINILM).save_pretrained(folder)


def write_encoder_decoder(half: Path, folder: Path, tiny: bool) -> None:
    """A model whose encoder and decoder are the same random checkpoint, which is written into `half`."""
    write_random(half, "base6", tiny)
    ids = {"decoder_start_token_id": 101, "eos_token_id": 102, "pad_token_id": 0}
    warm_start(half, half, "numpy", changes=ids).save(folder)


def write_onnx(source: Path, folder: Path) -> None:
    """The model of bertx_torch, exported by PyTorch; any batch and length."""
    import torch

    model = bertx.load(source, backend="torch")
    names = ("input_ids", "attention_mask", "token_type_ids")
    reads = "last_hidden_state" if model.architecture == "BertModel" else "logits"

    class OneOutput(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.model = model.module

        def forward(self, *inputs):
            return self.model(**dict(zip(names, inputs, strict=True)))[reads]

    ids = torch.arange(1000, 1032).reshape(2, 16)
    inputs = (ids, torch.ones_like(ids), torch.zeros_like(ids))
    any_size = {0: torch.export.Dim.AUTO, 1: torch.export.Dim.AUTO}
    folder.mkdir(parents=True)
    torch.onnx.export(
        *(OneOutput().eval(), inputs, folder / "model.onnx"),
        input_names=names,
        output_names=[reads],
        dynamic_shapes=((any_size,) * 3,),
        dynamo=True,
        verbose=False,
    )
    model.tokenizer.save_pretrained(folder)


def write(folder: Path, checkpoint: str, wanted: str, tiny: bool) -> None:
    """One format of one checkpoint, in `folder / wanted`, which appears when it is whole."""
    source, target = folder / "safetensors", folder / f"{wanted}.part"
    if (folder / wanted).exists():
        return
    shutil.rmtree(target, ignore_errors=True)
    if wanted == "safetensors" and checkpoint == "minilm":
        shutil.copytree(resolve(MINILM), target)
    elif wanted == "safetensors" and checkpoint == "bert2bert":
        write_encoder_decoder(folder / "half", target, tiny)
    elif wanted == "safetensors":
        write_random(target, checkpoint, tiny)
    elif wanted == "onnx":
        write_onnx(source, target)
    elif wanted in EXPORTS:
        form, dtype = EXPORTS[wanted]
        bertx.export(source, target, form, dtype=dtype)
    elif wanted == "tanh":  # the same weights, for who has no other GELU
        shutil.copytree(source, target)
        config = bertx.BertConfig.from_pretrained(source).replace(hidden_act="gelu_new")
        (target / "config.json").write_text(config.to_json_string())
    elif wanted == "keras-hub":
        write(folder, checkpoint, "tanh", tiny)
        bertx.convert(folder / "tanh", target, wanted, verify=False)
    else:
        bertx.convert(source, target, wanted, verify=False)  # the contenders' outputs are compared
    target.rename(folder / wanted)


def main(where: str, checkpoint: str, size: str, *formats: str) -> int:
    """Writes what is not there; 1 if a format could not be written."""
    failed = 0
    for wanted in ("safetensors", *sorted({*formats} - {"safetensors"})):
        try:
            write(Path(where), checkpoint, wanted, tiny=size == "tiny")
        except Exception as error:
            print(f"{checkpoint} could not be written as {wanted}: {error}", file=sys.stderr)
            failed = 1
    return failed


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
