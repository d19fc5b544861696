"""TFBertTokenizer: BertTokenizer as TensorFlow operations, for models that are served on strings."""

import re
from tempfile import TemporaryDirectory
from typing import Any

import keras
import tensorflow as tf
from tensorflow.lookup import KeyValueTensorInitializer, StaticHashTable  # pyright: ignore[reportMissingImports]

from bertx.backend import MissingExtraError
from bertx.tokenizers.base import UNLIMITED
from bertx.tokenizers.bert import FAMILY, BertTokenizer
from bertx.tokenizers.names import TOKENIZER_JSON
from bertx.tokenizers.settings import as_arguments

_OPTIONS = {"padding": "longest", "truncation": True, "max_length": None, "pad_to_multiple_of": None}
_OPTIONS |= {"return_token_type_ids": True, "return_attention_mask": True}
_NOT_UTF8 = b"\xff"  # in no text


@keras.saving.register_keras_serializable("bertx")
class TFBertTokenizer(keras.layers.Layer):
    """A Keras layer from strings to the ids of `bertx.BertTokenizer`, special tokens within a text included.

    It looks up what that one makes of each character, so that TensorFlow's Unicode tables have no say. They differ in
      * marks that stay where accents are stripped (spacing ones, and those newer than Unicode 8): two or more in a row
        keep the order of the text, and BertTokenizer sorts them;
      * bytes that are not UTF-8, which BertTokenizer does not take: they are U+FFFD, as with Python's "replace";
      * numbers, which are read as text, for Keras traces with floats what it exports;
      * a batch of no texts, which gives no rows;
      * what a ValueError refuses: added tokens that match normalised text or only whole words (`add_tokens`,
        `never_split`), other steps than BERT's in a tokenizer.json, truncation "only_first" and "only_second".
    """

    def __init__(self, vocab, name=None, **settings):
        """As BertTokenizer, or from the text of a tokenizer.json; `settings` may hold what `call` takes, for all calls.

        Raises:
            MissingExtraError: tensorflow-text is not installed.
            ValueError: a tokenizer that is refused.
        """
        super().__init__(name=name)
        try:
            from tensorflow_text import WordpieceTokenizer, combine_segments
        except ImportError as error:
            raise MissingExtraError("tensorflow-text is missing: pip install 'bertx[tensorflow-text]'") from error
        self._allow_non_tensor_positional_args = True  # lists are fine
        self.supports_jit = False  # XLA has no strings
        self.options = {key: settings.pop(key, default) for key, default in _OPTIONS.items()}
        self.combine = combine_segments
        self.tokenizer = _tokenizer_of(vocab, settings)
        _check_steps(self.tokenizer)
        rules = self.tokenizer.backend_tokenizer
        self.model = rules.model
        added = {token.content: i for i, token in rules.get_added_tokens_decoder().items()}
        # What is looked up: an added token, the longest that fits, else a character.
        self.unit = "|".join([*map(re.escape, sorted(added, key=len, reverse=True)), "(?s:.)"])
        # A token becomes a word that no text has: "!103", since BERT parts "!" from what follows.
        spelled = _spelling_of_characters(rules) | {token: f" !{i} " for token, i in added.items()}
        ids = rules.get_vocab(with_added_tokens=False) | {f"!{i}": i for i in added.values()}
        self.spelled = StaticHashTable(KeyValueTensorInitializer([*spelled], [*spelled.values()]), _NOT_UTF8)
        ids = StaticHashTable(KeyValueTensorInitializer([*ids], [*ids.values()], tf.string, tf.int64), -1)
        self.pieces = WordpieceTokenizer(
            ids,
            suffix_indicator=self.model.continuing_subword_prefix,
            max_bytes_per_word=10**9,  # the limit is one of characters: see _tokenize
            max_chars_per_token=None,
            token_out_type=tf.int64,  # pyright: ignore[reportArgumentType]
            unknown_token=self.model.unk_token,
        )

    @classmethod
    def from_pretrained(cls, source, revision=None, **changes):
        """From a BertTokenizer, or that of a checkpoint, `source` as in `bertx.load`; `changes` as for the class."""
        if isinstance(source, BertTokenizer) and revision is not None:
            raise ValueError(f"a tokenizer that is made has no revision {revision!r}: give a hub id, or leave it out")
        own = source if isinstance(source, BertTokenizer) else BertTokenizer.from_pretrained(source, revision)
        sides = {"padding_side": own.padding_side, "truncation_side": own.truncation_side}
        return cls(
            own.backend_tokenizer.to_str(), **(as_arguments(own.init_kwargs, FAMILY) | sides | _OPTIONS | changes)
        )

    from_tokenizer = from_pretrained

    def get_config(self):
        """What makes the layer anew."""
        return {
            "name": self.name,
            "vocab": self.tokenizer.backend_tokenizer.to_str(),
            **as_arguments(self.tokenizer.init_kwargs, FAMILY),
            **self.options,
        }

    def call(self, text, text_pair=None, **options):
        """As BertTokenizer: strings [B] → int64 [B, T], ragged without padding.

        Args:
            text, text_pair: strings [B]; pairs may also come as strings [B, 2].
            options: padding ("longest", "max_length" or False), truncation (True or False), max_length,
                pad_to_multiple_of, return_token_type_ids, return_attention_mask.

        Raises:
            ValueError: an option that BertTokenizer refuses, or another one than these; texts of another shape.
            InvalidArgumentError: a text longer than the max_length to pad to.
        """
        own, options = self.tokenizer, self.options | options
        if odd := {k: v for k, v in options.items() if k not in _OPTIONS or v in ("only_first", "only_second")}:
            raise ValueError(f"options {odd}, expected among {', '.join(_OPTIONS)}, with truncation True or False")
        text, text_pair = _columns(text, text_pair)
        # What BertTokenizer makes of nothing has the names to return and the width to pad to; it refuses the rest.
        blank = own([""], None if text_pair is None else [""], **options)
        rows = [self._tokenize(part) for part in (text, text_pair) if part is not None]
        limit = options["max_length"] or own.model_max_length
        if limit < UNLIMITED and options["truncation"] in (True, "longest_first"):
            rows = self._truncated(rows, limit - 1 - len(rows))
        ids, types = self.combine(rows, own.cls_token_id, own.sep_token_id)
        columns = {"input_ids": ids, "token_type_ids": types, "attention_mask": tf.ones_like(ids)}
        columns = {key: columns[key] for key in blank}
        if options["padding"] in (False, "do_not_pad"):
            return columns
        longest, multiple = ids.bounding_shape(1), options["pad_to_multiple_of"] or 1
        width = len(blank["input_ids"][0]) if options["padding"] == "max_length" else -(-longest // multiple) * multiple
        tf.debugging.assert_less_equal(longest, tf.cast(width, tf.int64), "a text has more tokens than max_length")
        return {key: self._padded(key, column, width) for key, column in columns.items()}

    def _truncated(self, rows, room):
        """Both texts to `room` tokens together, taken from the longer one first: each keeps half, or what is left."""
        lengths = [row.row_lengths() for row in rows]
        cut = []
        for i, (row, length) in enumerate(zip(rows, lengths, strict=True)):
            others = sum(lengths) - length
            half = (room + tf.cast(length + i > others, tf.int64)) // 2  # an odd one is the longer text's
            keep = tf.minimum(length, tf.maximum(room - others, half))
            end = length if self.tokenizer.truncation_side == "left" else keep
            cut.append(tf.gather(row, tf.ragged.range(end - keep, end), batch_dims=1))
        return cut

    def _padded(self, key, rows, width):
        pad = self.tokenizer.pad_token_id if key == "input_ids" else 0
        flip = (lambda rows: tf.reverse(rows, [1])) if self.tokenizer.padding_side == "left" else (lambda rows: rows)
        return flip(flip(rows).to_tensor(pad or 0, shape=tf.stack([-1, width])))

    def _tokenize(self, text):
        """Strings [B] → ids, ragged [B, T], without special tokens."""
        text = tf.strings.unicode_transcode(tf.strings.as_string(tf.reshape(text, [-1])), "UTF-8", "UTF-8")
        units = tf.strings.split(tf.strings.regex_replace(text, self.unit, _NOT_UTF8 + b"\\0"), _NOT_UTF8)
        spelled = self.spelled.lookup(units)
        words = tf.strings.split(tf.strings.reduce_join(tf.where(spelled == _NOT_UTF8, units, spelled), axis=-1))
        long = tf.strings.length(words, "UTF8_CHAR") > self.model.max_input_chars_per_word
        return self.pieces.tokenize(tf.where(long, self.model.unk_token, words)).merge_dims(1, 2)


def _columns(text, text_pair):
    """The texts and their pairs, strings [B] each, of which Keras may have made [B, 1]."""
    parts: Any = [None if part is None else tf.convert_to_tensor(part) for part in (text, text_pair)]
    text, text_pair = parts
    if text.shape.rank == 2 and text.shape[1] == 2 and text_pair is None:
        return text[:, 0], text[:, 1]
    for name, part in (("text", text), ("text_pair", text_pair)):
        if part is not None and (part.shape.rank or 0) > 1 and part.shape[1:] not in ([1], [None]):
            raise ValueError(f"{name} has the shape {tuple(part.shape)}, expected strings [B], or pairs [B, 2] alone")
    for part in (text, text_pair):
        if part is not None and part.shape.rank == 2:
            tf.debugging.assert_equal(tf.shape(part)[1], 1, "texts have more than one column: give the shape [B, 2]")
    return text, text_pair


def _tokenizer_of(vocab, settings):
    """A BertTokenizer of a vocabulary, or of the text of a tokenizer.json."""
    if not (isinstance(vocab, str) and vocab.startswith("{")):
        return BertTokenizer(vocab, **settings)
    with TemporaryDirectory() as folder:
        tf.io.write_file(f"{folder}/{TOKENIZER_JSON}", vocab)
        return BertTokenizer.from_pretrained(folder, **settings)


def _check_steps(tokenizer):
    """Raises ValueError for steps that are not BERT's, and added tokens that match more than their own letters."""
    rules = tokenizer.backend_tokenizer
    found = [type(step).__name__ for step in (rules.normalizer, rules.pre_tokenizer, rules.model)]
    found += tokenizer([""], [""], truncation=False)["input_ids"][0]
    found += [t.content for t in rules.get_added_tokens_decoder().values() if t.normalized or t.single_word]
    special = tokenizer.build_inputs_with_special_tokens([], [])
    if found != ["BertNormalizer", "BertPreTokenizer", "WordPiece", *special]:
        raise ValueError(f"the tokenizer has {found}: expected BERT's steps, [CLS] [SEP] [SEP], plain added tokens")


def _spelling_of_characters(rules):
    """What BertTokenizer makes of each character that does not stay as it is: words, parted by spaces."""
    # Planes 4 to 13 are empty; a zero, which nothing else becomes, parts the characters.
    places = [*range(48), *range(49, 0xD800), *range(0xE000, 0x40000), *range(0xE0000, 0x110000)]
    text = rules.normalizer.normalize_str("0".join(map(chr, places)))
    words = " ".join(word for word, _ in rules.pre_tokenizer.pre_tokenize_str(text)).split("0")
    return {chr(i): word for i, word in zip(places, words, strict=True) if chr(i) != word}
