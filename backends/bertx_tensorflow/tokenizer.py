"""TFBertTokenizer: BertTokenizer as TensorFlow operations, for models that are served on strings."""

import re
from tempfile import TemporaryDirectory

import keras
import tensorflow as tf
from tensorflow.lookup import KeyValueTensorInitializer, StaticHashTable

from bertx.backend import MissingExtraError
from bertx.tokenizer import TOKENIZER_JSON, BertTokenizer

_OPTIONS = {"padding": "longest", "truncation": True, "max_length": None, "pad_to_multiple_of": None}
_OPTIONS |= {"return_token_type_ids": True, "return_attention_mask": True}


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
        self._allow_non_tensor_positional_args, self.supports_jit = True, False  # lists are fine, XLA has no strings
        self.options, self.combine = {key: settings.pop(key, _OPTIONS[key]) for key in _OPTIONS}, combine_segments
        with TemporaryDirectory() as folder:
            if is_json := isinstance(vocab, str) and vocab.startswith("{"):
                tf.io.write_file(f"{folder}/{TOKENIZER_JSON}", vocab)
            own = BertTokenizer.from_pretrained(folder, **settings) if is_json else BertTokenizer(vocab, **settings)
        self.tokenizer, self.rules, self.model = own, own.backend_tokenizer, own.backend_tokenizer.model
        rules, model, added = self.rules, self.model, self.rules.get_added_tokens_decoder()
        found = [type(step).__name__ for step in (rules.normalizer, rules.pre_tokenizer, model)]
        found += own([""], [""], truncation=False)["input_ids"][0]
        found += [token.content for token in added.values() if token.normalized or token.single_word]
        if found != ["BertNormalizer", "BertPreTokenizer", "WordPiece", *own.build_inputs_with_special_tokens([], [])]:
            raise ValueError(f"the tokenizer has {found}: expected BERT's steps, [CLS] [SEP] [SEP], plain added tokens")
        # Looked up are added tokens and characters. A token becomes a word that no text has: "!103", for "!" is one.
        self.unit = "|".join([*sorted((re.escape(t.content) for t in added.values()), key=len)[::-1], "(?s:.)"])
        # Planes 4 to 13 are empty; a zero, which nothing else becomes, parts the others.
        text = "0".join(map(chr, [*range(48), *range(49, 0xD800), *range(0xE000, 0x40000), *range(0xE0000, 0x110000)]))
        words = " ".join(word for word, _ in rules.pre_tokenizer.pre_tokenize_str(rules.normalizer.normalize_str(text)))
        spelled = {c: s for c, s in zip(text.split("0"), words.split("0"), strict=True) if c != s}
        spelled |= {token.content: f" !{i} " for i, token in added.items()}
        self.spelled = StaticHashTable(KeyValueTensorInitializer([*spelled], [*spelled.values()]), b"\xff")
        ids = rules.get_vocab(with_added_tokens=False) | {f"!{i}": i for i in added}
        ids = StaticHashTable(KeyValueTensorInitializer([*ids], [*ids.values()], tf.string, tf.int64), -1)
        self.pieces = WordpieceTokenizer(ids, model.continuing_subword_prefix, 10**9, None, tf.int64, model.unk_token)

    @classmethod
    def from_pretrained(cls, source, revision=None, **changes):
        """From a BertTokenizer, or that of a checkpoint, `source` as in `bertx.load`; `changes` as for the class."""
        own = source if isinstance(source, BertTokenizer) else BertTokenizer.from_pretrained(source, revision)
        sides = {"padding_side": own.padding_side, "truncation_side": own.truncation_side}
        return cls(own.backend_tokenizer.to_str(), **(own.settings | sides | _OPTIONS | changes))

    from_tokenizer = from_pretrained

    def get_config(self):
        """What makes the layer anew."""
        return {"name": self.name, "vocab": self.rules.to_str(), **self.tokenizer.settings, **self.options}

    def call(self, text, text_pair=None, **options):
        """As BertTokenizer: strings [B] → int64 [B, T], ragged without padding.

        Args:
            text, text_pair: strings [B].
            options: padding ("longest", "max_length" or False), truncation (True or False), max_length,
                pad_to_multiple_of, return_token_type_ids, return_attention_mask.

        Raises:
            ValueError: an option that BertTokenizer refuses, or another one than these.
            InvalidArgumentError: a text longer than the max_length to pad to.
        """
        own, options = self.tokenizer, self.options | options
        if odd := {k: v for k, v in options.items() if k not in _OPTIONS or v in ("only_first", "only_second")}:
            raise ValueError(f"options {odd}, expected among {', '.join(_OPTIONS)}, with truncation True or False")
        blank = own([""], None if text_pair is None else [""], **options)  # refuses more
        rows = [self._tokenize(part) for part in (text, text_pair) if part is not None]
        lengths, limit = [row.row_lengths() for row in rows], options["max_length"] or own.model_max_length
        room = limit - 1 - len(rows) if limit and options["truncation"] in (True, "longest_first") else tf.int32.max
        for i, length in enumerate(lengths):
            others = sum(lengths) - length
            keep = tf.minimum(length, tf.maximum(room - others, (room + tf.cast(length + i > others, tf.int64)) // 2))
            end = length if own.truncation_side == "left" else keep
            rows[i] = tf.gather(rows[i], tf.ragged.range(end - keep, end), batch_dims=1)
        ids, types = self.combine(rows, own.cls_token_id, own.sep_token_id)
        columns = {"input_ids": ids, "token_type_ids": types, "attention_mask": tf.ones_like(ids)}
        if options["padding"] in (False, "do_not_pad"):
            return {key: columns[key] for key in blank}
        longest, multiple = ids.bounding_shape(1), options["pad_to_multiple_of"] or 1
        width = len(blank["input_ids"][0]) if options["padding"] == "max_length" else -(-longest // multiple) * multiple
        tf.debugging.assert_less_equal(longest, tf.cast(width, tf.int64), "a text has more tokens than max_length")
        flip = tf.reverse if own.padding_side == "left" else lambda rows, _: rows
        pads, shape = {"input_ids": own.pad_token_id}, tf.stack([-1, width])
        return {k: flip(flip(columns[k], [1]).to_tensor(pads.get(k) or 0, shape=shape), [1]) for k in blank}

    def _tokenize(self, text):
        text = tf.strings.unicode_transcode(tf.strings.as_string(tf.reshape(text, [-1])), "UTF-8", "UTF-8")
        units = tf.strings.split(tf.strings.regex_replace(text, self.unit, b"\xff\\0"), b"\xff")  # in no UTF-8
        spelled = self.spelled.lookup(units)
        words = tf.strings.split(tf.strings.reduce_join(tf.where(spelled == b"\xff", units, spelled), axis=-1))
        long = tf.strings.length(words, "UTF8_CHAR") > self.model.max_input_chars_per_word
        return self.pieces.tokenize(tf.where(long, self.model.unk_token, words)).merge_dims(1, 2)
