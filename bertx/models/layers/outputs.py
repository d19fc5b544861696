"""What a model returns: the hub's output names, by attribute, by key and by index."""

import inspect

from .. import nn


class ModelOutput(nn.OutputBase):
    """Named outputs; a field that was not computed is absent as a key and None as an attribute.

    An integer or slice indexes the fields that are there, in order, as in transformers. The loss is one number; that of
    a TensorFlow model has TFBert's shapes, [B] for labels [B] and else [1], and its mean is that number.
    """

    def __init__(self, *args, **fields):
        super().__init__({key: value for key, value in dict(*args, **fields).items() if value is not None})

    fields = ()

    def __init_subclass__(cls):
        super().__init_subclass__()
        cls.fields = (*cls.fields, *inspect.get_annotations(cls))
        nn.register_output(cls)

    def __getattr__(self, name):
        if name in self:
            return self[name]
        if name in type(self).fields:
            return None
        raise AttributeError(f"{type(self).__name__} has no field {name!r}")

    def __getitem__(self, key):
        return super().__getitem__(key) if isinstance(key, str) else self.to_tuple()[key]

    def to_tuple(self):
        """The fields that are there, in order."""
        return tuple(self.values())


class BaseModelOutput(ModelOutput):
    """last_hidden_state [B, T, H]; hidden_states, 1 + layers of [B, T, H]; attentions, layers of [B, N, T, T].

    past_key_values, of a decoder: for each layer the keys and the values of all positions so far, [B, N, P + T, D], and
    where it attends to an encoder those of the encoder's states, [B, N, S, D]. cross_attentions, of such a decoder:
    layers of [B, N, T, S].
    """

    last_hidden_state: object
    hidden_states: object
    past_key_values: object
    attentions: object
    cross_attentions: object


class BaseModelOutputWithPooling(ModelOutput):
    """As BaseModelOutput, with pooler_output [B, H]: tanh of a Linear of the first position."""

    last_hidden_state: object
    pooler_output: object
    past_key_values: object
    hidden_states: object
    attentions: object
    cross_attentions: object


class BertForPreTrainingOutput(ModelOutput):
    """loss []; prediction_logits [B, T, V]; seq_relationship_logits [B, 2], 0: B follows A, 1: B is random."""

    loss: object
    prediction_logits: object
    seq_relationship_logits: object
    hidden_states: object
    attentions: object


class _LogitsOutput(ModelOutput):
    loss: object
    logits: object
    hidden_states: object
    attentions: object


class CausalLMOutput(ModelOutput):
    """loss []; logits [B, T, V], of the next token at each position; past_key_values as in BaseModelOutput."""

    loss: object
    logits: object
    past_key_values: object
    hidden_states: object
    attentions: object
    cross_attentions: object


class MaskedLMOutput(_LogitsOutput):
    """loss []; logits [B, T, V]."""


class NextSentencePredictorOutput(_LogitsOutput):
    """loss []; logits [B, 2], 0: the second sentence follows the first, 1: it is random."""


class SequenceClassifierOutput(_LogitsOutput):
    """loss []; logits [B, L]."""


class MultipleChoiceModelOutput(_LogitsOutput):
    """loss []; logits [B, C]."""


class TokenClassifierOutput(_LogitsOutput):
    """loss []; logits [B, T, L]."""


class QuestionAnsweringModelOutput(ModelOutput):
    """loss []; start_logits [B, T]; end_logits [B, T]."""

    loss: object
    start_logits: object
    end_logits: object
    hidden_states: object
    attentions: object


class Seq2SeqLMOutput(ModelOutput):
    """loss []; logits [B, T, V], of the decoder's next tokens; encoder_last_hidden_state [B, S, H].

    past_key_values, of the decoder, and cross_attentions as in BaseModelOutput; the layers and the attentions of both.
    """

    loss: object
    logits: object
    past_key_values: object
    decoder_hidden_states: object
    decoder_attentions: object
    cross_attentions: object
    encoder_last_hidden_state: object
    encoder_hidden_states: object
    encoder_attentions: object


class SentenceEmbeddingOutput(ModelOutput):
    """sentence_embedding [B, D]."""

    sentence_embedding: object


class PredictionOutput(ModelOutput):
    """scores and indices of what is likeliest, and of question answering null_scores: see `models.predictions`."""

    scores: object
    indices: object
    null_scores: object


class SentenceSimilarityOutput(ModelOutput):
    """loss []; sentence_embedding [B, K, D]."""

    loss: object
    sentence_embedding: object


PUBLIC = (
    "BaseModelOutputWithPooling",
    "BertForPreTrainingOutput",
    "CausalLMOutput",
    "MaskedLMOutput",
    "MultipleChoiceModelOutput",
    "NextSentencePredictorOutput",
    "QuestionAnsweringModelOutput",
    "Seq2SeqLMOutput",
    "SequenceClassifierOutput",
    "TokenClassifierOutput",
)
"""What models return: the names that users import."""
