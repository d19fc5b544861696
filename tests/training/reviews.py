"""A small encoder with a tokenizer of its own words, and short reviews to train it on."""

from __future__ import annotations

import itertools
from pathlib import Path

import bertx_numpy
from bertx import BertConfig

SUBJECTS = ("the soup", "the room", "this book", "the film", "my phone", "the service", "the hotel", "the music")
OPINIONS = {
    "bad": ("was a disappointment", "is not worth the money", "made me angry", "was cold and late", "broke at once"),
    "good": ("was a delight", "is worth every cent", "made me smile", "was warm and quick", "never let me down"),
}
ROWS = [
    {"text": f"{subject} {opinion}", "label": label}
    for label in OPINIONS
    for subject, opinion in itertools.product(SUBJECTS, OPINIONS[label])
]
STARS = [{"text": row["text"], "label": 1.5 if row["label"] == "bad" else 4.5} for row in ROWS]
TAGS = [{"text": row["text"], "label": [row["label"], *(["food"] if "soup" in row["text"] else [])]} for row in ROWS]
WORDS = [
    {
        "tokens": row["text"].split(),
        "tags": ["O", "B-THING", *["O"] * (len(row["text"].split()) - 2)],
    }
    for row in ROWS
]


def write_vocabulary(folder: Path) -> int:
    """The words of the reviews; gives how many tokens there are."""
    words = sorted({word for row in ROWS for word in row["text"].split()})
    (folder / "vocab.txt").write_text("\n".join(("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *words)) + "\n")
    return 5 + len(words)


def write_encoder(folder: Path, **changes) -> Path:
    """A BertModel with the words of the reviews."""
    size = write_vocabulary(folder)
    shape = {"hidden_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 96}
    config = BertConfig(vocab_size=size, max_position_embeddings=32, initializer_range=0.1, **shape | changes)
    bertx_numpy.BertModel(config).save_pretrained(folder)
    return folder
