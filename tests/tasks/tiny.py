"""Tiny checkpoints with a tokenizer, one for each task."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from support import SIZES, peer, save_peer

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
SENTENCE = "the a happy dog cat walks sat on mat in city who where it is house river query passage : . , ? ' -"
WORDS = SENTENCE.split()
PAD, CLS, SEP = 0, 2, 3
START = {"decoder_start_token_id": CLS, "pad_token_id": PAD, "eos_token_id": SEP}
LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789"


def vocabulary() -> list[str]:
    """As many tokens as `SIZES` says."""
    tokens = list(dict.fromkeys([*SPECIAL, *WORDS, *LETTERS, *(f"##{letter}" for letter in LETTERS)]))
    return tokens + [f"[unused{i}]" for i in range(SIZES["vocab_size"] - len(tokens))]


def write_tokenizer(folder: Path, **settings: Any) -> Path:
    """vocab.txt and tokenizer_config.json."""
    (folder / "vocab.txt").write_text("".join(f"{token}\n" for token in vocabulary()))
    settings = {"tokenizer_class": "BertTokenizer", "model_max_length": SIZES["max_position_embeddings"]} | settings
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    return folder


def write_checkpoint(folder: Path, head: str, tokenizer: dict[str, Any] | None = None, **changes: Any) -> Path:
    """A checkpoint of a head, `changes` being of its config."""
    return write_tokenizer(save_peer(peer(head, **changes), folder), **(tokenizer or {}))


def write_pair(folder: Path) -> tuple[Any, Path]:
    """(transformers' BERT2BERT, its folder); weights of 0.3 make texts that vary with the document."""
    import torch
    import transformers

    parts = [transformers.BertConfig(**SIZES | {"num_hidden_layers": 2, "pad_token_id": PAD}) for _ in range(2)]
    config = transformers.EncoderDecoderConfig.from_encoder_decoder_configs(*parts, **START)
    config.encoder._attn_implementation = config.decoder._attn_implementation = "eager"
    model = transformers.EncoderDecoderModel(config).eval()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.normal_(
                0, 1.2 if name == "decoder.bert.embeddings.position_embeddings.weight" else 0.3, generator=generator
            )
            if name.endswith("LayerNorm.weight"):
                parameter.add_(1)
            if name.endswith("bias"):
                parameter.zero_()
        model.decoder.cls.predictions.bias[SEP] += 3
    model.save_pretrained(folder)
    (folder / "generation_config.json").unlink()
    return model, write_tokenizer(folder)
