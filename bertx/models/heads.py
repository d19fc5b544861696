"""The heads, for any architecture. A class attribute of a head says each thing that other parts of bertx ask about it.

    task             its pipeline tag
    labels           label name → ("tokens" or "texts": what each of them is of; what their class numbers are below: a
                     field of the config, a number or "choices"; "positions" or "numbers" where they are these)
    label_aliases    other names of labels → theirs
    needs_labels     False for a head that has a loss without labels too
    logit_names      the names of what it scores
    scores           "tokens": each position; "first": the text, by its first position; "choices": each of C texts
    causal           whether it may run as a decoder, with past_key_values
    reads_pooler     whether its base model has a pooler
    label_smoothing  that of its cross-entropies, but of positions: 0, unless a Trainer sets it for an update

An architecture's own class adds `base_class`, the class without a head, and `add_layers` and `logits` where the layers
of its head are others than here.
"""

from . import nn
from .layers.arguments import check_tensors, check_tokens
from .layers.losses import binary_cross_entropy, cross_entropy, mean_squared_error
from .layers.outputs import (
    BertForPreTrainingOutput,
    CausalLMOutput,
    MaskedLMOutput,
    MultipleChoiceModelOutput,
    NextSentencePredictorOutput,
    QuestionAnsweringModelOutput,
    SequenceClassifierOutput,
    TokenClassifierOutput,
)
from .layers.readout import first_and_positions_at, first_position_of, positions_at


class Head(nn.Model):
    """A base model and layers that score what it gives. Arguments that heads share are described at BaseModel.forward.

    `add_layers` makes them, `logits` runs them, and `loss_function` compares what they give with labels.
    """

    labels = {"labels": ("tokens", "num_labels")}
    label_aliases = {}
    logit_names = ("logits",)
    scores = "tokens"
    causal = False
    reads_pooler = False
    label_smoothing = 0.0
    base_class: type

    def __init__(self, config):
        super().__init__(config)
        base = self.base_class(config, add_pooling_layer=self.reads_pooler)
        setattr(self, self.base_model_prefix, base)
        self.add_layers(config, base)
        self.post_init()

    def add_layers(self, config, base):
        """Gives the model the layers of its head, which may share those of its base model."""
        raise NotImplementedError

    def logits(self, hidden_states, pooled):
        """What the layers of the head give."""
        raise NotImplementedError

    def loss_function(self, logits, labels):
        """The loss of what `logits` gives."""
        raise NotImplementedError

    def cross_entropy(self, logits, labels, **options):
        """That of `layers.losses`, with the head's label smoothing."""
        return cross_entropy(logits, labels, smoothing=self.label_smoothing, **options)

    def encode(self, **inputs):
        """The outputs of the base model."""
        return getattr(self, self.base_model_prefix)(**inputs, return_dict=True)

    def finish(self, encoded, return_dict, **own):
        """The outputs of the head: its `own`, and the layers and the cache that the base model gave."""
        past = {"past_key_values": encoded.past_key_values} if self.causal else {}
        cross = {"cross_attentions": encoded.cross_attentions} if self.causal else {}
        output = self.output_class(
            **own, **past, hidden_states=encoded.hidden_states, attentions=encoded.attentions, **cross
        )
        return self.returned(output, return_dict)

    def forward(
        self,
        input_ids=None,
        attention_mask=None,
        token_type_ids=None,
        position_ids=None,
        *,
        inputs_embeds=None,
        head_mask=None,
        segments=None,
        labels=None,
        output_attentions=None,
        output_hidden_states=None,
        return_dict=None,
        mask_positions=None,
    ):
        """Inputs as for BaseModel, labels as `loss_function` has them → `output_class`.

        mask_positions [B, K]: a head that scores every position then scores these only, K for T in logits and labels.
        """
        check_tensors(labels=labels, mask_positions=mask_positions)
        readout = None if self.scores == "tokens" else first_position_of(segments)
        if mask_positions is not None:
            if readout is not None:
                raise ValueError(f"{type(self).__name__} reads the first position alone: it takes no mask_positions")
            readout = positions_at(mask_positions)
        encoded = self.encode(
            input_ids=input_ids,
            attention_mask=attention_mask,
            token_type_ids=token_type_ids,
            position_ids=position_ids,
            inputs_embeds=inputs_embeds,
            head_mask=head_mask,
            segments=segments,
            output_attentions=output_attentions,
            output_hidden_states=output_hidden_states,
            readout=readout,
        )
        logits = self.logits(encoded.last_hidden_state, encoded.pooler_output)
        loss = None if labels is None else self.loss_function(logits, labels)
        return self.finish(encoded, return_dict, loss=loss, logits=logits)


def classifier_dropout(config):
    """The dropout before a classifier: `classifier_dropout`, or `hidden_dropout_prob` where that is null."""
    rate = config.hidden_dropout_prob if config.classifier_dropout is None else config.classifier_dropout
    return nn.Dropout(rate)


def classifier_layers(config, size):
    """The `dropout` and the `classifier`, a Linear, of a head."""
    return classifier_dropout(config), nn.Linear(config.hidden_size, size, axes=("label", "embed"))


class MaskedLM(Head):
    """Masked-word prediction (Devlin et al. 2019, section 3.1, task 1)."""

    task = "fill-mask"
    labels = {"labels": ("tokens", "vocab_size")}
    output_class = MaskedLMOutput

    def loss_function(self, logits, labels):
        """labels [B, T] (−100: not counted) → []."""
        return self.cross_entropy(logits, labels)


class CausalLM(Head):
    """Next-word prediction with the parameters of masked-word prediction; causal under `is_decoder`."""

    task = "text-generation"
    labels = {"labels": ("tokens", "vocab_size")}
    causal = True
    output_class = CausalLMOutput

    def forward(
        self,
        input_ids=None,
        attention_mask=None,
        token_type_ids=None,
        position_ids=None,
        *,
        inputs_embeds=None,
        head_mask=None,
        encoder_hidden_states=None,
        encoder_attention_mask=None,
        labels=None,
        num_items_in_batch=None,
        past_key_values=None,
        use_cache=None,
        output_attentions=None,
        output_hidden_states=None,
        return_dict=None,
        mask_positions=None,
    ):
        """Inputs as for BaseModel, labels and num_items_in_batch as `loss_function` has them; with labels no cache.

        mask_positions [B, K]: these positions only are scored, K for T in logits and labels.
        """
        check_tensors(labels=labels, mask_positions=mask_positions)
        encoded = self.encode(
            input_ids=input_ids,
            attention_mask=attention_mask,
            token_type_ids=token_type_ids,
            position_ids=position_ids,
            inputs_embeds=inputs_embeds,
            head_mask=head_mask,
            encoder_hidden_states=encoder_hidden_states,
            encoder_attention_mask=encoder_attention_mask,
            past_key_values=past_key_values,
            use_cache=use_cache if labels is None else False,
            output_attentions=output_attentions,
            output_hidden_states=output_hidden_states,
            readout=None if mask_positions is None else positions_at(mask_positions),
        )
        logits = self.logits(encoded.last_hidden_state, encoded.pooler_output)
        loss = None if labels is None else self.loss_function(logits, labels, num_items_in_batch)
        return self.finish(encoded, return_dict, loss=loss, logits=logits)

    def loss_function(self, logits, labels, num_items_in_batch=None):
        """labels [B, T], the ids themselves: position t is scored on label t + 1 (−100: not counted) → [].

        num_items_in_batch: what the sum is divided by in place of how many are counted, as the Trainer gives it where
        a batch comes in several parts.
        """
        labels = nn.check_shape(labels, nn.shape(logits)[:-1], "labels")
        return self.cross_entropy(logits[:, :-1], labels[:, 1:], num_items=num_items_in_batch)


class NextSentencePrediction(Head):
    """Next-sentence prediction (Devlin et al. 2019, section 3.1, task 2)."""

    task = "next-sentence-prediction"
    labels = {"labels": ("texts", 2)}
    label_aliases = {"next_sentence_label": "labels"}
    scores = "first"
    reads_pooler = True
    output_class = NextSentencePredictorOutput

    def forward(
        self,
        input_ids=None,
        attention_mask=None,
        token_type_ids=None,
        position_ids=None,
        *,
        inputs_embeds=None,
        head_mask=None,
        segments=None,
        labels=None,
        next_sentence_label=None,
        output_attentions=None,
        output_hidden_states=None,
        return_dict=None,
    ):
        """Inputs as for BaseModel, labels [B]; next_sentence_label is the name that they had in TFBert."""
        return super().forward(
            input_ids,
            attention_mask,
            token_type_ids,
            position_ids,
            inputs_embeds=inputs_embeds,
            head_mask=head_mask,
            segments=segments,
            labels=next_sentence_label if labels is None else labels,
            output_attentions=output_attentions,
            output_hidden_states=output_hidden_states,
            return_dict=return_dict,
        )

    def loss_function(self, logits, labels):
        """labels [B] (−100: not counted) → []; logits [B, 2], 0: the second sentence follows, 1: it is random."""
        return self.cross_entropy(logits, labels, reshapes=True)


class SequenceClassification(Head):
    """A label of a text, several, or numbers, by `problem_type`.

    Where the config has no `problem_type`, one label in all means regression, integer labels mean
    one of them, floating labels [B, L] mean several: transformers' rule. As there, the first loss sets it in the
    config, which a saved checkpoint keeps.
    """

    task = "text-classification"
    labels = {"labels": ("texts", "num_labels")}
    scores = "first"
    reads_pooler = True
    output_class = SequenceClassifierOutput

    def add_layers(self, config, base):
        """Dropout and a Linear on the pooled output."""
        self.dropout, self.classifier = classifier_layers(config, config.num_labels)
        self.num_labels = config.num_labels

    def logits(self, hidden_states, pooled):
        """→ [B, L]."""
        return self.classifier(self.dropout(pooled))

    @property
    def problem_type(self):
        """That of the config."""
        return self.config.problem_type

    @problem_type.setter
    def problem_type(self, value):
        """Sets that of the config."""
        self.config.problem_type = value

    def loss_function(self, logits, labels):
        """labels [B] integers; [B, L] zeros and ones; or [B] or [B, L] numbers → []."""
        problem, num_labels = self.problem_type, self.config.num_labels
        if problem is None and num_labels == 1:
            problem = "regression"
        if problem is None:
            # A column of class numbers, which Keras gives as floats, is no row of zeros and ones.
            per_label = nn.is_floating(labels) and len(labels.shape) == 2 and labels.shape[1] in (num_labels, None)
            problem = "multi_label_classification" if per_label else "single_label_classification"
        if problem == "regression":
            loss = mean_squared_error(logits, labels)
        elif problem == "multi_label_classification":
            loss = binary_cross_entropy(logits, labels)
        else:
            loss = self.cross_entropy(logits, labels, reshapes=True)
        if self.problem_type is None:
            self.keep_problem_type(problem)
        return loss


class TokenClassification(Head):
    """A label of each position."""

    task = "token-classification"
    output_class = TokenClassifierOutput

    def add_layers(self, config, base):
        """Dropout and a Linear."""
        self.dropout, self.classifier = classifier_layers(config, config.num_labels)

    def logits(self, hidden_states, pooled):
        """→ [B, T, L]."""
        return self.classifier(self.dropout(hidden_states))

    def loss_function(self, logits, labels):
        """labels [B, T] (−100: not counted) → []."""
        return self.cross_entropy(logits, labels)


class PreTraining(Head):
    """Masked-word and next-sentence prediction (Devlin et al. 2019, section 3.1)."""

    task = "pretraining"
    labels = {"labels": ("tokens", "vocab_size"), "next_sentence_label": ("texts", 2)}
    logit_names = ("prediction_logits", "seq_relationship_logits")
    reads_pooler = True
    output_class = BertForPreTrainingOutput

    def forward(
        self,
        input_ids=None,
        attention_mask=None,
        token_type_ids=None,
        position_ids=None,
        *,
        inputs_embeds=None,
        head_mask=None,
        segments=None,
        labels=None,
        next_sentence_label=None,
        output_attentions=None,
        output_hidden_states=None,
        return_dict=None,
        mask_positions=None,
    ):
        """labels [B, T] (−100: not counted) and next_sentence_label [B]: the loss is the sum of both, given both.

        mask_positions [B, K]: words are predicted at these positions only, K for T in prediction_logits and labels.

        Raises:
            ValueError: both mask_positions and segments: the first positions are those of padded rows.
        """
        check_tensors(labels=labels, next_sentence_label=next_sentence_label, mask_positions=mask_positions)
        if mask_positions is not None and segments is not None:
            raise ValueError("mask_positions of this head are of padded rows: they go without segments")
        encoded = self.encode(
            input_ids=input_ids,
            attention_mask=attention_mask,
            token_type_ids=token_type_ids,
            position_ids=position_ids,
            inputs_embeds=inputs_embeds,
            head_mask=head_mask,
            segments=segments,
            output_attentions=output_attentions,
            output_hidden_states=output_hidden_states,
            readout=None if mask_positions is None else first_and_positions_at(mask_positions),
        )
        states = encoded.last_hidden_state if mask_positions is None else encoded.last_hidden_state[:, 1:]
        prediction, relationship = self.logits(states, encoded.pooler_output)
        loss = None
        if labels is not None and next_sentence_label is not None:
            loss = self.cross_entropy(prediction, labels)
            loss = loss + self.cross_entropy(
                relationship, next_sentence_label, name="next_sentence_label", reshapes=True
            )
        return self.finish(
            encoded, return_dict, loss=loss, prediction_logits=prediction, seq_relationship_logits=relationship
        )


class MultipleChoice(Head):
    """A score for each of C texts, softmax over them; every input is [B, C, T]."""

    task = "multiple-choice"
    labels = {"labels": ("texts", "choices")}
    scores = "choices"
    reads_pooler = True
    output_class = MultipleChoiceModelOutput

    def add_layers(self, config, base):
        """Dropout and a Linear on the pooled output."""
        self.dropout, self.classifier = classifier_layers(config, 1)

    def logits(self, hidden_states, pooled):
        """→ [B·C, 1]."""
        return self.classifier(self.dropout(pooled))

    def forward(
        self,
        input_ids=None,
        attention_mask=None,
        token_type_ids=None,
        position_ids=None,
        *,
        inputs_embeds=None,
        head_mask=None,
        segments=None,
        labels=None,
        output_attentions=None,
        output_hidden_states=None,
        return_dict=None,
    ):
        """Ids and masks [B, C, T], inputs_embeds [B, C, T, H], labels [B]; hidden states are [B·C, T, H].

        segments [B, C, T]: the texts are packed in one row; ids are [1, S], and so on.
        """
        merge = merge_choices if segments is None else _unchanged
        check_tensors(
            attention_mask=attention_mask, token_type_ids=token_type_ids, position_ids=position_ids, labels=labels
        )
        check_tensors(segments=segments)
        if segments is None:
            check_tokens(input_ids, inputs_embeds, "B, C, T")
        elif nn.rank(segments) not in (3, None):
            raise ValueError(f"segments has the shape {list(segments.shape)}, expected [B, C, T]")
        encoded = self.encode(
            input_ids=merge(input_ids),
            attention_mask=merge(attention_mask),
            token_type_ids=merge(token_type_ids),
            position_ids=merge(position_ids),
            inputs_embeds=merge(inputs_embeds),
            head_mask=head_mask,
            segments=merge_choices(segments),
            output_attentions=output_attentions,
            output_hidden_states=output_hidden_states,
            readout=first_position_of(merge_choices(segments)),
        )
        given = inputs_embeds if input_ids is None else input_ids
        choices = nn.shape(given if segments is None else segments)[1]
        logits = nn.reshape(self.logits(encoded.last_hidden_state, encoded.pooler_output), (-1, choices))
        loss = None if labels is None else self.cross_entropy(logits, labels, reshapes=True)
        return self.finish(encoded, return_dict, loss=loss, logits=logits)


def _unchanged(tensor):
    return tensor


def merge_choices(tensor):
    """[B, C, ...] → [B·C, ...]; None stays None."""
    return None if tensor is None else nn.reshape(tensor, (-1, *nn.shape(tensor)[2:]))


class QuestionAnswering(Head):
    """Where the answer starts and ends (Devlin et al. 2019, section 4.2)."""

    task = "question-answering"
    labels = {"start_positions": ("texts", "positions"), "end_positions": ("texts", "positions")}
    logit_names = ("start_logits", "end_logits")
    output_class = QuestionAnsweringModelOutput

    def add_layers(self, config, base):
        """A Linear."""
        self.qa_outputs = nn.Linear(config.hidden_size, 2, axes=("label", "embed"))

    def logits(self, hidden_states, pooled):
        """→ [B, T, 2], of the start and of the end."""
        return self.qa_outputs(hidden_states)

    def forward(
        self,
        input_ids=None,
        attention_mask=None,
        token_type_ids=None,
        position_ids=None,
        *,
        inputs_embeds=None,
        head_mask=None,
        segments=None,
        start_positions=None,
        end_positions=None,
        output_attentions=None,
        output_hidden_states=None,
        return_dict=None,
    ):
        """start_positions, end_positions [B]: one past the end is not counted, one below 0 counts as 0.

        Raises:
            ValueError: both labels and segments: labels are positions in padded rows.
        """
        check_tensors(start_positions=start_positions, end_positions=end_positions)
        encoded = self.encode(
            input_ids=input_ids,
            attention_mask=attention_mask,
            token_type_ids=token_type_ids,
            position_ids=position_ids,
            inputs_embeds=inputs_embeds,
            head_mask=head_mask,
            segments=segments,
            output_attentions=output_attentions,
            output_hidden_states=output_hidden_states,
        )
        logits = self.logits(encoded.last_hidden_state, encoded.pooler_output)
        start_logits, end_logits = logits[..., 0], logits[..., 1]
        loss = None
        if start_positions is not None and end_positions is not None:
            if segments is not None:
                raise ValueError("start_positions and end_positions are of padded rows: they go without segments")
            start_loss = position_loss(start_logits, start_positions, "start_positions")
            loss = (start_loss + position_loss(end_logits, end_positions, "end_positions")) / 2
        return self.finish(encoded, return_dict, loss=loss, start_logits=start_logits, end_logits=end_logits)


def position_loss(logits, positions, name):
    """Cross-entropy of a position in the sequence; logits [B, T], positions [B] → []."""
    length = nn.shape(logits)[1]
    positions = nn.clip(nn.class_numbers(positions, name), 0, length)
    return cross_entropy(logits, positions, ignore_index=length, name=name, reshapes=True)
