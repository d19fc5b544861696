"""The names of a tokenizer's files, and what transformers calls the classes that read them."""

from __future__ import annotations

TOKENIZER_JSON = "tokenizer.json"
TOKENIZER_CONFIG = "tokenizer_config.json"
SPECIAL_TOKENS_MAP = "special_tokens_map.json"
ADDED_TOKENS = "added_tokens.json"
VOCAB = "vocab.txt"
VOCAB_JSON = "vocab.json"
MERGES = "merges.txt"
SENTENCE_PIECE = "sentencepiece.bpe.model"
# Those that hold the tokens of a tokenizer.
VOCABULARIES = (TOKENIZER_JSON, VOCAB, VOCAB_JSON, MERGES, SENTENCE_PIECE)
FILES = (*VOCABULARIES, TOKENIZER_CONFIG, SPECIAL_TOKENS_MAP, ADDED_TOKENS)

# The classes of each family. The first is bertx's own class; the others have the same rules.
BERT = ("BertTokenizer", "ConvBertTokenizer", "DistilBertTokenizer", "DPRContextEncoderTokenizer")
BERT += ("DPRQuestionEncoderTokenizer", "DPRReaderTokenizer", "ElectraTokenizer", "LayoutLMTokenizer")
BERT += ("LxmertTokenizer", "MobileBertTokenizer", "RealmTokenizer", "RetriBertTokenizer", "SqueezeBertTokenizer")
ROBERTA = ("RobertaTokenizer",)
XLM_ROBERTA = ("XLMRobertaTokenizer",)

# Classes that a file names for whatever its tokenizer.json holds.
GENERIC = ("PreTrainedTokenizer", "TokenizersBackend")
# Class → the model of its tokenizer.json; None where it may be any.
MODELS: dict[str, str | None] = dict.fromkeys(GENERIC)
MODELS |= dict.fromkeys(BERT, "WordPiece") | {"MPNetTokenizer": "WordPiece"}
MODELS |= dict.fromkeys((*ROBERTA, "LongformerTokenizer", "GPT2Tokenizer"), "BPE")
MODELS |= dict.fromkeys(("AlbertTokenizer", "CamembertTokenizer", *XLM_ROBERTA, "RemBertTokenizer"), "Unigram")
# Those that give no token_type_ids unless a call asks for them.
WITHOUT_TYPES = ("DistilBertTokenizer", "MPNetTokenizer", "LongformerTokenizer", "GPT2Tokenizer", "CamembertTokenizer")
WITHOUT_TYPES += (*ROBERTA, *XLM_ROBERTA)


def plain(name: str) -> str:
    """The name of a class without the "Fast" that may end it."""
    return name.removesuffix("Fast")
