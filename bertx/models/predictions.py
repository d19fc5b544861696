"""What tasks read of a head's scores, computed where the model runs: no more than this comes back to the host.

Probabilities are of float32 or wider. Of equal ones the first comes first, on every backend.
"""

from . import nn
from .layers.outputs import PredictionOutput
from .layers.segments import Segments
from .over_model import OverModel


class Predictions(OverModel):
    """A model with a head, and what a task reads of its outputs.

    Attributes:
        arrays: the arguments of `forward` that are arrays, beside those of the model.
    """

    task = "predictions"
    output_class = PredictionOutput
    arrays = ()

    def __init__(self, config):
        super().__init__(config)
        self.post_init()

    def outputs(self, **inputs):
        """What the model gives of those inputs that are there."""
        given = {name: value for name, value in inputs.items() if value is not None}
        flags = {"output_attentions": False, "output_hidden_states": False, "return_dict": True}
        return getattr(self, self.base_model_prefix)(**given, **flags)


class WordPredictions(Predictions):
    """The likeliest words of the vocabulary at some positions."""

    arrays = ("targets",)

    def forward(
        self,
        input_ids=None,
        attention_mask=None,
        token_type_ids=None,
        position_ids=None,
        *,
        count,
        segments=None,
        mask_positions=None,
        targets=None,
        return_dict=None,
    ):
        """Inputs as for a MaskedLM → scores and indices [B, K, count], the likeliest first.

        Args:
            input_ids, attention_mask, token_type_ids, position_ids, segments: the tokens.
            count: how many words; where the vocabulary has fewer, all.
            mask_positions: [B, K], where words are wanted.
            targets: [V], 0 for a word that is not wanted: its score is −1. None wants all.
            return_dict: as for BaseModel.
        """
        outputs = self.outputs(
            input_ids=input_ids,
            attention_mask=attention_mask,
            token_type_ids=token_type_ids,
            position_ids=position_ids,
            segments=segments,
            mask_positions=mask_positions,
        )
        probabilities = nn.softmax(nn.at_least_float32(outputs["logits"]))
        if targets is not None:
            probabilities = nn.where(nn.as_bool(targets), probabilities, -1.0)
        scores, indices = nn.top_k(probabilities, count)
        return self.returned(self.output_class(scores=scores, indices=indices), return_dict)


class LabelPredictions(Predictions):
    """The label of each token."""

    def forward(
        self,
        input_ids=None,
        attention_mask=None,
        token_type_ids=None,
        position_ids=None,
        *,
        every_label=False,
        segments=None,
        return_dict=None,
    ):
        """Inputs as for a TokenClassification → scores and indices [B, T] of the likeliest label.

        every_label: the scores of all labels [B, T, L] instead, and no indices.
        """
        outputs = self.outputs(
            input_ids=input_ids,
            attention_mask=attention_mask,
            token_type_ids=token_type_ids,
            position_ids=position_ids,
            segments=segments,
        )
        scores, indices = nn.softmax(nn.at_least_float32(outputs["logits"])), None
        if not every_label:
            scores, indices = (best[..., 0] for best in nn.top_k(scores, 1))
        return self.returned(self.output_class(scores=scores, indices=indices), return_dict)


class SpanPredictions(Predictions):
    """The likeliest spans of a context (Devlin et al. 2019, section 4.2), and how likely it has no answer."""

    arrays = ("context_mask", "max_lengths")

    def forward(
        self,
        input_ids=None,
        attention_mask=None,
        token_type_ids=None,
        position_ids=None,
        *,
        count,
        width,
        segments=None,
        context_mask=None,
        max_lengths=None,
        return_dict=None,
    ):
        """Inputs as for a QuestionAnswering → scores and indices [B, count], the likeliest first, and null_scores [B].

        A score is the product of the probabilities of both ends among the tokens of the context and the first of the
        row, which stands for no answer. A span from token i to token j has the index i · width + j − i; one outside of
        the context has the score 0.

        Args:
            input_ids, attention_mask, token_type_ids, position_ids, segments: the tokens.
            count: how many spans; where there are fewer, all.
            width: how many tokens a span of the batch has at most.
            context_mask: as input_ids, 1 for a token of the context.
            max_lengths: [B], how many tokens a span of each row has at most.
            return_dict: as for BaseModel.
        """
        outputs = self.outputs(
            input_ids=input_ids,
            attention_mask=attention_mask,
            token_type_ids=token_type_ids,
            position_ids=position_ids,
            segments=segments,
        )
        of_tokens = [outputs["start_logits"], outputs["end_logits"], context_mask]
        if segments is not None:
            packed = Segments(segments, nn.shape(of_tokens[0])[1])
            of_tokens = [packed.rows(value) for value in of_tokens]
        scores, null_scores = span_scores(*of_tokens, max_lengths, width)
        scores, indices = nn.top_k(scores, count)
        return self.returned(self.output_class(scores=scores, indices=indices, null_scores=null_scores), return_dict)


def span_scores(start_logits, end_logits, context_mask, max_lengths, width):
    """[B, T] of each, max_lengths [B] → of the spans [B, T · width], by their indices, and of none [B]."""
    length = nn.shape(start_logits)[1]
    positions = nn.arange(length, like=start_logits)
    in_context = nn.as_bool(context_mask)
    readable = in_context | (positions == 0)
    start, end = (
        nn.softmax(nn.where(readable, nn.at_least_float32(logits), -10000.0)) for logits in (start_logits, end_logits)
    )
    null_scores = start[:, 0] * end[:, 0]
    counted = nn.cast_like(in_context, start)
    further = nn.arange(width, like=start_logits)
    last = nn.reshape(positions, (-1, 1)) + further
    # [1, T, B] at [1, T · width]: the positions are the same in all rows.
    ends = nn.reshape(nn.transpose(end * counted, (1, 0)), (1, length, -1))
    ends = nn.take_positions(ends, nn.reshape(nn.where(last < length, last, 0), (1, -1)))
    scores = nn.reshape(nn.transpose(ends, (2, 1, 0)), (-1, length, width))
    scores = nn.reshape(start * counted, (-1, length, 1)) * scores
    allowed = (last < length) & (further < nn.reshape(max_lengths, (-1, 1, 1)))
    return nn.reshape(nn.where(allowed, scores, 0.0), (-1, length * width)), null_scores
