"""The heads of BERT. Parameters that every head shares are described at BertModel.forward."""

from . import nn
from .encoder import BertModel, first_position, positions_at
from .layers.activations import activation
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


class BertPredictionHeadTransform(nn.Module):
    """Linear, activation, LayerNorm."""

    def __init__(self, config):
        super().__init__()
        self.dense = nn.Linear(config.hidden_size, config.hidden_size)
        self.activation = activation(config.hidden_act)
        self.LayerNorm = nn.LayerNorm(config.hidden_size, config.layer_norm_eps)

    def forward(self, hidden_states):
        """[..., H] → [..., H]."""
        return self.LayerNorm(self.activation(self.dense(hidden_states)))


class BertLMPredictionHead(nn.Module):
    """Scores of the vocabulary; the matrix is the word embeddings' own where the config ties them."""

    def __init__(self, config, word_embeddings):
        super().__init__()
        self.transform = BertPredictionHeadTransform(config)
        self.bias = nn.Parameter(config.vocab_size)
        tied = word_embeddings if config.tie_word_embeddings else None
        self.decoder = nn.Decoder(config.hidden_size, config.vocab_size, self.bias, tied)

    def forward(self, hidden_states):
        """[..., H] → [..., V]."""
        return self.decoder(self.transform(hidden_states))


class BertOnlyMLMHead(nn.Module):
    """Masked-word prediction."""

    def __init__(self, config, word_embeddings):
        super().__init__()
        self.predictions = BertLMPredictionHead(config, word_embeddings)

    def forward(self, hidden_states):
        """[B, T, H] → [B, T, V]."""
        return self.predictions(hidden_states)


class BertOnlyNSPHead(nn.Module):
    """Whether the second sentence follows the first."""

    def __init__(self, config):
        super().__init__()
        self.seq_relationship = nn.Linear(config.hidden_size, 2)

    def forward(self, pooled):
        """[B, H] → [B, 2]."""
        return self.seq_relationship(pooled)


class BertPreTrainingHeads(nn.Module):
    """Both heads of pre-training."""

    def __init__(self, config, word_embeddings):
        super().__init__()
        self.predictions = BertLMPredictionHead(config, word_embeddings)
        self.seq_relationship = nn.Linear(config.hidden_size, 2)

    def forward(self, hidden_states, pooled):
        """[B, T, H], [B, H] → [B, T, V], [B, 2]."""
        return self.predictions(hidden_states), self.seq_relationship(pooled)


def classifier_dropout(config):
    """The dropout before a classifier: `classifier_dropout`, or `hidden_dropout_prob` where that is null."""
    rate = config.hidden_dropout_prob if config.classifier_dropout is None else config.classifier_dropout
    return nn.Dropout(rate)


class BertWithLogits(nn.Model):
    """What the heads with one kind of logits share: the encoder, `logits`, and with labels `loss_function`.

    A head with `reads_first` needs the pooled output alone.
    """

    reads_first = False

    def forward(
        self,
        input_ids=None,
        attention_mask=None,
        token_type_ids=None,
        position_ids=None,
        *,
        inputs_embeds=None,
        labels=None,
        output_attentions=None,
        output_hidden_states=None,
        return_dict=None,
        mask_positions=None,
    ):
        """Inputs as for BertModel, labels as `loss_function` has them → `output_class`.

        mask_positions [B, K]: a head that scores every position then scores these only, K for T in logits and labels.
        """
        check_tensors(labels=labels, mask_positions=mask_positions)
        readout = first_position if self.reads_first else None
        if mask_positions is not None:
            if self.reads_first:
                raise ValueError(f"{type(self).__name__} reads the first position alone: it takes no mask_positions")
            readout = positions_at(mask_positions)
        encoded = self.bert(
            input_ids=input_ids,
            attention_mask=attention_mask,
            token_type_ids=token_type_ids,
            position_ids=position_ids,
            inputs_embeds=inputs_embeds,
            output_attentions=output_attentions,
            output_hidden_states=output_hidden_states,
            return_dict=True,
            readout=readout,
        )
        logits = self.logits(encoded.last_hidden_state, encoded.pooler_output)
        return self.output_class(
            loss=None if labels is None else self.loss_function(logits, labels),
            logits=logits,
            hidden_states=encoded.hidden_states,
            attentions=encoded.attentions,
        ).returned(return_dict, self.config)


class BertForMaskedLM(BertWithLogits):
    """Masked-word prediction (Devlin et al. 2019, section 3.1, task 1)."""

    output_class = MaskedLMOutput

    def __init__(self, config):
        super().__init__(config)
        self.bert = BertModel(config, add_pooling_layer=False)
        self.cls = BertOnlyMLMHead(config, self.bert.embeddings.word_embeddings)
        self.post_init()

    def logits(self, hidden_states, pooled):
        """→ [B, T, V]."""
        return self.cls(hidden_states)

    def loss_function(self, logits, labels):
        """labels [B, T] (−100: not counted) → []."""
        return cross_entropy(logits, labels)


class BertLMHeadModel(BertForMaskedLM):
    """Next-word prediction with the parameters of masked-word prediction; causal under `is_decoder`."""

    output_class = CausalLMOutput

    def forward(
        self,
        input_ids=None,
        attention_mask=None,
        token_type_ids=None,
        position_ids=None,
        *,
        inputs_embeds=None,
        labels=None,
        num_items_in_batch=None,
        past_key_values=None,
        use_cache=None,
        output_attentions=None,
        output_hidden_states=None,
        return_dict=None,
        mask_positions=None,
    ):
        """Inputs as for BertModel, labels and num_items_in_batch as `loss_function` has them; with labels no cache.

        mask_positions [B, K]: these positions only are scored, K for T in logits and labels.
        """
        check_tensors(labels=labels, mask_positions=mask_positions)
        encoded = self.bert(
            input_ids=input_ids,
            attention_mask=attention_mask,
            token_type_ids=token_type_ids,
            position_ids=position_ids,
            inputs_embeds=inputs_embeds,
            past_key_values=past_key_values,
            use_cache=use_cache if labels is None else False,
            output_attentions=output_attentions,
            output_hidden_states=output_hidden_states,
            return_dict=True,
            readout=None if mask_positions is None else positions_at(mask_positions),
        )
        logits = self.cls(encoded.last_hidden_state)
        return self.output_class(
            loss=None if labels is None else self.loss_function(logits, labels, num_items_in_batch),
            logits=logits,
            past_key_values=encoded.past_key_values,
            hidden_states=encoded.hidden_states,
            attentions=encoded.attentions,
        ).returned(return_dict, self.config)

    def loss_function(self, logits, labels, num_items_in_batch=None):
        """labels [B, T], the ids themselves: position t is scored on label t + 1 (−100: not counted) → [].

        num_items_in_batch: what the sum is divided by in place of how many are counted, as the Trainer gives it where
        a batch comes in several parts.
        """
        labels = nn.check_shape(labels, nn.shape(logits)[:-1], "labels")
        return cross_entropy(logits[:, :-1], labels[:, 1:], num_items=num_items_in_batch)


class BertForNextSentencePrediction(BertWithLogits):
    """Next-sentence prediction (Devlin et al. 2019, section 3.1, task 2)."""

    output_class = NextSentencePredictorOutput
    reads_first = True

    def __init__(self, config):
        super().__init__(config)
        self.bert = BertModel(config)
        self.cls = BertOnlyNSPHead(config)
        self.post_init()

    def forward(
        self,
        input_ids=None,
        attention_mask=None,
        token_type_ids=None,
        position_ids=None,
        *,
        inputs_embeds=None,
        labels=None,
        next_sentence_label=None,
        output_attentions=None,
        output_hidden_states=None,
        return_dict=None,
    ):
        """Inputs as for BertModel, labels [B]; next_sentence_label is the name that they had in TFBert."""
        return super().forward(
            input_ids,
            attention_mask,
            token_type_ids,
            position_ids,
            inputs_embeds=inputs_embeds,
            labels=next_sentence_label if labels is None else labels,
            output_attentions=output_attentions,
            output_hidden_states=output_hidden_states,
            return_dict=return_dict,
        )

    def logits(self, hidden_states, pooled):
        """→ [B, 2]; 0: the second sentence follows the first, 1: it is random."""
        return self.cls(pooled)

    def loss_function(self, logits, labels):
        """labels [B] (−100: not counted, but in TFBert as a loss of 0) → []."""
        return cross_entropy(logits, labels, ignored_count=self.customs.ignored_pairs_count, reshapes=True)


class BertForSequenceClassification(BertWithLogits):
    """A Linear on the pooled output: one label, several, or numbers, by `problem_type`.

    Where the config has no `problem_type`, one label in all means regression, integer labels mean
    one of them, floating labels [B, L] mean several: transformers' rule. As there, the first loss sets it in the
    config, which a saved checkpoint keeps.
    """

    output_class = SequenceClassifierOutput
    reads_first = True

    def __init__(self, config):
        super().__init__(config)
        self.bert = BertModel(config)
        self.dropout = classifier_dropout(config)
        self.classifier = nn.Linear(config.hidden_size, config.num_labels)
        self.num_labels = config.num_labels
        self.post_init()

    @property
    def problem_type(self):
        """That of the config."""
        return self.config.problem_type

    @problem_type.setter
    def problem_type(self, value):
        """Sets that of the config."""
        self.config.problem_type = value

    def logits(self, hidden_states, pooled):
        """→ [B, L]."""
        return self.classifier(self.dropout(pooled))

    def loss_function(self, logits, labels):
        """labels [B] integers; [B, L] zeros and ones; or [B] or [B, L] numbers → []."""
        problem = self.problem_type
        if problem is None and self.num_labels == 1:
            problem = "regression"
        if problem is None:
            # A column of class numbers, which Keras gives as floats, is no row of zeros and ones.
            per_label = nn.is_floating(labels) and len(labels.shape) == 2 and labels.shape[1] in (self.num_labels, None)
            problem = "multi_label_classification" if per_label else "single_label_classification"
        if problem == "regression":
            loss = mean_squared_error(logits, labels)
        elif problem == "multi_label_classification":
            loss = binary_cross_entropy(logits, labels)
        else:
            loss = cross_entropy(logits, labels, reshapes=True)
        if self.problem_type is None:
            self.keep_problem_type(problem)
        return loss


class BertForTokenClassification(BertWithLogits):
    """A Linear on every position."""

    output_class = TokenClassifierOutput

    def __init__(self, config):
        super().__init__(config)
        self.bert = BertModel(config, add_pooling_layer=False)
        self.dropout = classifier_dropout(config)
        self.classifier = nn.Linear(config.hidden_size, config.num_labels)
        self.post_init()

    def logits(self, hidden_states, pooled):
        """→ [B, T, L]."""
        return self.classifier(self.dropout(hidden_states))

    def loss_function(self, logits, labels):
        """labels [B, T] (−100: not counted) → []."""
        return cross_entropy(logits, labels)


class BertForPreTraining(nn.Model):
    """Masked-word and next-sentence heads (Devlin et al. 2019, section 3.1)."""

    output_class = BertForPreTrainingOutput

    def __init__(self, config):
        super().__init__(config)
        self.bert = BertModel(config)
        self.cls = BertPreTrainingHeads(config, self.bert.embeddings.word_embeddings)
        self.post_init()

    def forward(
        self,
        input_ids=None,
        attention_mask=None,
        token_type_ids=None,
        position_ids=None,
        *,
        inputs_embeds=None,
        labels=None,
        next_sentence_label=None,
        output_attentions=None,
        output_hidden_states=None,
        return_dict=None,
    ):
        """labels [B, T] (−100: not counted) and next_sentence_label [B]: the loss is the sum of both, given both."""
        check_tensors(labels=labels, next_sentence_label=next_sentence_label)
        encoded = self.bert(
            input_ids=input_ids,
            attention_mask=attention_mask,
            token_type_ids=token_type_ids,
            position_ids=position_ids,
            inputs_embeds=inputs_embeds,
            output_attentions=output_attentions,
            output_hidden_states=output_hidden_states,
            return_dict=True,
        )
        prediction_logits, relationship_logits = self.cls(encoded.last_hidden_state, encoded.pooler_output)
        loss = None
        if labels is not None and next_sentence_label is not None:
            # As sequences of one: the loss of a sequence is a mean on every backend.
            next_sentence_logits = nn.reshape(relationship_logits, (-1, 1, 2))
            loss = cross_entropy(prediction_logits, labels)
            loss = loss + cross_entropy(
                next_sentence_logits, next_sentence_label, name="next_sentence_label", reshapes=True
            )
        return self.output_class(
            loss=loss,
            prediction_logits=prediction_logits,
            seq_relationship_logits=relationship_logits,
            hidden_states=encoded.hidden_states,
            attentions=encoded.attentions,
        ).returned(return_dict, self.config)


class BertForMultipleChoice(nn.Model):
    """A score for each of C texts, softmax over them; every input is [B, C, T]."""

    output_class = MultipleChoiceModelOutput

    def __init__(self, config):
        super().__init__(config)
        self.bert = BertModel(config)
        self.dropout = classifier_dropout(config)
        self.classifier = nn.Linear(config.hidden_size, 1)
        self.post_init()

    def forward(
        self,
        input_ids=None,
        attention_mask=None,
        token_type_ids=None,
        position_ids=None,
        *,
        inputs_embeds=None,
        labels=None,
        output_attentions=None,
        output_hidden_states=None,
        return_dict=None,
    ):
        """Ids and masks [B, C, T], inputs_embeds [B, C, T, H], labels [B]; hidden states are [B·C, T, H]."""
        check_tensors(
            attention_mask=attention_mask, token_type_ids=token_type_ids, position_ids=position_ids, labels=labels
        )
        check_tokens(input_ids, inputs_embeds, "B, C, T")
        encoded = self.bert(
            input_ids=merge_choices(input_ids),
            attention_mask=merge_choices(attention_mask),
            token_type_ids=merge_choices(token_type_ids),
            position_ids=merge_choices(position_ids),
            inputs_embeds=merge_choices(inputs_embeds),
            output_attentions=output_attentions,
            output_hidden_states=output_hidden_states,
            return_dict=True,
            readout=first_position,
        )
        choices = nn.shape(input_ids if input_ids is not None else inputs_embeds)[1]
        logits = nn.reshape(self.classifier(self.dropout(encoded.pooler_output)), (-1, choices))
        return self.output_class(
            loss=None if labels is None else cross_entropy(logits, labels, reshapes=True),
            logits=logits,
            hidden_states=encoded.hidden_states,
            attentions=encoded.attentions,
        ).returned(return_dict, self.config)


def merge_choices(tensor):
    """[B, C, ...] → [B·C, ...]; None stays None."""
    return None if tensor is None else nn.reshape(tensor, (-1, *nn.shape(tensor)[2:]))


class BertForQuestionAnswering(nn.Model):
    """Where the answer starts and ends (Devlin et al. 2019, section 4.2)."""

    output_class = QuestionAnsweringModelOutput

    def __init__(self, config):
        super().__init__(config)
        self.bert = BertModel(config, add_pooling_layer=False)
        self.qa_outputs = nn.Linear(config.hidden_size, 2)
        self.post_init()

    def forward(
        self,
        input_ids=None,
        attention_mask=None,
        token_type_ids=None,
        position_ids=None,
        *,
        inputs_embeds=None,
        start_positions=None,
        end_positions=None,
        output_attentions=None,
        output_hidden_states=None,
        return_dict=None,
    ):
        """start_positions, end_positions [B]: a place past the end is not counted, one below 0 counts as 0."""
        check_tensors(start_positions=start_positions, end_positions=end_positions)
        encoded = self.bert(
            input_ids=input_ids,
            attention_mask=attention_mask,
            token_type_ids=token_type_ids,
            position_ids=position_ids,
            inputs_embeds=inputs_embeds,
            output_attentions=output_attentions,
            output_hidden_states=output_hidden_states,
            return_dict=True,
        )
        logits = self.qa_outputs(encoded.last_hidden_state)
        start_logits, end_logits = logits[..., 0], logits[..., 1]
        loss = None
        if start_positions is not None and end_positions is not None:
            start_loss = position_loss(start_logits, start_positions, "start_positions")
            loss = (start_loss + position_loss(end_logits, end_positions, "end_positions")) / 2
        return self.output_class(
            loss=loss,
            start_logits=start_logits,
            end_logits=end_logits,
            hidden_states=encoded.hidden_states,
            attentions=encoded.attentions,
        ).returned(return_dict, self.config)


def position_loss(logits, positions, name):
    """Cross-entropy of a position in the sequence; logits [B, T], positions [B] → []."""
    length = nn.shape(logits)[1]
    positions = nn.clip(nn.class_numbers(positions, name), 0, length)
    return cross_entropy(logits, positions, ignore_index=length, name=name, reshapes=True)
