"""Made by tools/make_stubs.py from bertx.models: the classes of bertx_tensorflow, with types."""

from typing import Any, Literal, overload

import tensorflow as tf

from bertx.configs.bert import BertConfig
from bertx.configs.encoder_decoder import EncoderDecoderConfig
from bertx.configs.roberta import RobertaConfig
from bertx.configs.xlm_roberta import XLMRobertaConfig

from .nn import Model
from .tokenizer import TFBertTokenizer as TFBertTokenizer

class _ModelOutput(dict[str, Any]):
    def __getitem__(self, key: str | int | slice, /) -> Any: ...
    def to_tuple(self) -> tuple[Any, ...]: ...

class TFBaseModelOutputWithPooling(_ModelOutput):
    last_hidden_state: tf.Tensor
    pooler_output: tf.Tensor | None
    past_key_values: tuple[tuple[tf.Tensor, ...], ...] | None
    hidden_states: tuple[tf.Tensor, ...] | None
    attentions: tuple[tf.Tensor, ...] | None
    cross_attentions: tuple[tf.Tensor, ...] | None

class TFBertForPreTrainingOutput(_ModelOutput):
    loss: tf.Tensor | None
    prediction_logits: tf.Tensor
    seq_relationship_logits: tf.Tensor
    hidden_states: tuple[tf.Tensor, ...] | None
    attentions: tuple[tf.Tensor, ...] | None

class TFCausalLMOutput(_ModelOutput):
    loss: tf.Tensor | None
    logits: tf.Tensor
    past_key_values: tuple[tuple[tf.Tensor, ...], ...] | None
    hidden_states: tuple[tf.Tensor, ...] | None
    attentions: tuple[tf.Tensor, ...] | None
    cross_attentions: tuple[tf.Tensor, ...] | None

class TFMaskedLMOutput(_ModelOutput):
    loss: tf.Tensor | None
    logits: tf.Tensor
    hidden_states: tuple[tf.Tensor, ...] | None
    attentions: tuple[tf.Tensor, ...] | None

class TFMultipleChoiceModelOutput(_ModelOutput):
    loss: tf.Tensor | None
    logits: tf.Tensor
    hidden_states: tuple[tf.Tensor, ...] | None
    attentions: tuple[tf.Tensor, ...] | None

class TFNextSentencePredictorOutput(_ModelOutput):
    loss: tf.Tensor | None
    logits: tf.Tensor
    hidden_states: tuple[tf.Tensor, ...] | None
    attentions: tuple[tf.Tensor, ...] | None

class TFQuestionAnsweringModelOutput(_ModelOutput):
    loss: tf.Tensor | None
    start_logits: tf.Tensor
    end_logits: tf.Tensor
    hidden_states: tuple[tf.Tensor, ...] | None
    attentions: tuple[tf.Tensor, ...] | None

class TFSeq2SeqLMOutput(_ModelOutput):
    loss: tf.Tensor | None
    logits: tf.Tensor
    past_key_values: tuple[tuple[tf.Tensor, ...], ...] | None
    decoder_hidden_states: tuple[tf.Tensor, ...] | None
    decoder_attentions: tuple[tf.Tensor, ...] | None
    cross_attentions: tuple[tf.Tensor, ...] | None
    encoder_last_hidden_state: tf.Tensor
    encoder_hidden_states: tuple[tf.Tensor, ...] | None
    encoder_attentions: tuple[tf.Tensor, ...] | None

class TFSequenceClassifierOutput(_ModelOutput):
    loss: tf.Tensor | None
    logits: tf.Tensor
    hidden_states: tuple[tf.Tensor, ...] | None
    attentions: tuple[tf.Tensor, ...] | None

class TFTokenClassifierOutput(_ModelOutput):
    loss: tf.Tensor | None
    logits: tf.Tensor
    hidden_states: tuple[tf.Tensor, ...] | None
    attentions: tuple[tf.Tensor, ...] | None

class TFBertPreTrainedModel(Model):
    config: BertConfig

class TFRobertaPreTrainedModel(Model):
    config: RobertaConfig

class TFXLMRobertaPreTrainedModel(Model):
    config: XLMRobertaConfig

class TFBertModel(TFBertPreTrainedModel):
    """BERT without a head (Devlin et al. 2019): embeddings, encoder and, unless left out, the pooler."""

    embeddings: Any
    encoder: Any
    pooler: Any
    def __init__(self, config: BertConfig, add_pooling_layer: bool = True, **options: Any) -> None: ...
    @overload
    def call(
        self,
        input_ids: Any = None,
        attention_mask: Any = None,
        token_type_ids: Any = None,
        position_ids: Any = None,
        *,
        inputs_embeds: Any = None,
        head_mask: Any = None,
        encoder_hidden_states: Any = None,
        encoder_attention_mask: Any = None,
        past_key_values: Any = None,
        use_cache: bool | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: Literal[True] | None = None,
        readout: Any = None,
        segments: Any = None,
        training: bool | None = None,
    ) -> TFBaseModelOutputWithPooling: ...
    @overload
    def call(
        self,
        input_ids: Any = None,
        attention_mask: Any = None,
        token_type_ids: Any = None,
        position_ids: Any = None,
        *,
        inputs_embeds: Any = None,
        head_mask: Any = None,
        encoder_hidden_states: Any = None,
        encoder_attention_mask: Any = None,
        past_key_values: Any = None,
        use_cache: bool | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: Literal[False],
        readout: Any = None,
        segments: Any = None,
        training: bool | None = None,
    ) -> tuple[Any, ...]: ...
    @overload
    def __call__(
        self,
        input_ids: Any = None,
        attention_mask: Any = None,
        token_type_ids: Any = None,
        position_ids: Any = None,
        *,
        inputs_embeds: Any = None,
        head_mask: Any = None,
        encoder_hidden_states: Any = None,
        encoder_attention_mask: Any = None,
        past_key_values: Any = None,
        use_cache: bool | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: Literal[True] | None = None,
        readout: Any = None,
        segments: Any = None,
        training: bool | None = None,
    ) -> TFBaseModelOutputWithPooling: ...
    @overload
    def __call__(
        self,
        input_ids: Any = None,
        attention_mask: Any = None,
        token_type_ids: Any = None,
        position_ids: Any = None,
        *,
        inputs_embeds: Any = None,
        head_mask: Any = None,
        encoder_hidden_states: Any = None,
        encoder_attention_mask: Any = None,
        past_key_values: Any = None,
        use_cache: bool | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: Literal[False],
        readout: Any = None,
        segments: Any = None,
        training: bool | None = None,
    ) -> tuple[Any, ...]: ...

class TFBertForMaskedLM(TFBertPreTrainedModel):
    """Masked-word prediction (Devlin et al. 2019, section 3.1, task 1)."""

    bert: TFBertModel
    cls: Any
    def __init__(self, config: BertConfig, **options: Any) -> None: ...
    @overload
    def call(
        self,
        input_ids: Any = None,
        attention_mask: Any = None,
        token_type_ids: Any = None,
        position_ids: Any = None,
        *,
        inputs_embeds: Any = None,
        head_mask: Any = None,
        segments: Any = None,
        labels: Any = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: Literal[True] | None = None,
        mask_positions: Any = None,
        training: bool | None = None,
    ) -> TFMaskedLMOutput: ...
    @overload
    def call(
        self,
        input_ids: Any = None,
        attention_mask: Any = None,
        token_type_ids: Any = None,
        position_ids: Any = None,
        *,
        inputs_embeds: Any = None,
        head_mask: Any = None,
        segments: Any = None,
        labels: Any = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: Literal[False],
        mask_positions: Any = None,
        training: bool | None = None,
    ) -> tuple[Any, ...]: ...
    @overload
    def __call__(
        self,
        input_ids: Any = None,
        attention_mask: Any = None,
        token_type_ids: Any = None,
        position_ids: Any = None,
        *,
        inputs_embeds: Any = None,
        head_mask: Any = None,
        segments: Any = None,
        labels: Any = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: Literal[True] | None = None,
        mask_positions: Any = None,
        training: bool | None = None,
    ) -> TFMaskedLMOutput: ...
    @overload
    def __call__(
        self,
        input_ids: Any = None,
        attention_mask: Any = None,
        token_type_ids: Any = None,
        position_ids: Any = None,
        *,
        inputs_embeds: Any = None,
        head_mask: Any = None,
        segments: Any = None,
        labels: Any = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: Literal[False],
        mask_positions: Any = None,
        training: bool | None = None,
    ) -> tuple[Any, ...]: ...

class TFBertLMHeadModel(TFBertPreTrainedModel):
    """Next-word prediction with the parameters of masked-word prediction; causal under `is_decoder`."""

    bert: TFBertModel
    cls: Any
    def __init__(self, config: BertConfig, **options: Any) -> None: ...
    @overload
    def call(
        self,
        input_ids: Any = None,
        attention_mask: Any = None,
        token_type_ids: Any = None,
        position_ids: Any = None,
        *,
        inputs_embeds: Any = None,
        head_mask: Any = None,
        encoder_hidden_states: Any = None,
        encoder_attention_mask: Any = None,
        labels: Any = None,
        num_items_in_batch: Any = None,
        past_key_values: Any = None,
        use_cache: bool | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: Literal[True] | None = None,
        mask_positions: Any = None,
        training: bool | None = None,
    ) -> TFCausalLMOutput: ...
    @overload
    def call(
        self,
        input_ids: Any = None,
        attention_mask: Any = None,
        token_type_ids: Any = None,
        position_ids: Any = None,
        *,
        inputs_embeds: Any = None,
        head_mask: Any = None,
        encoder_hidden_states: Any = None,
        encoder_attention_mask: Any = None,
        labels: Any = None,
        num_items_in_batch: Any = None,
        past_key_values: Any = None,
        use_cache: bool | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: Literal[False],
        mask_positions: Any = None,
        training: bool | None = None,
    ) -> tuple[Any, ...]: ...
    @overload
    def __call__(
        self,
        input_ids: Any = None,
        attention_mask: Any = None,
        token_type_ids: Any = None,
        position_ids: Any = None,
        *,
        inputs_embeds: Any = None,
        head_mask: Any = None,
        encoder_hidden_states: Any = None,
        encoder_attention_mask: Any = None,
        labels: Any = None,
        num_items_in_batch: Any = None,
        past_key_values: Any = None,
        use_cache: bool | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: Literal[True] | None = None,
        mask_positions: Any = None,
        training: bool | None = None,
    ) -> TFCausalLMOutput: ...
    @overload
    def __call__(
        self,
        input_ids: Any = None,
        attention_mask: Any = None,
        token_type_ids: Any = None,
        position_ids: Any = None,
        *,
        inputs_embeds: Any = None,
        head_mask: Any = None,
        encoder_hidden_states: Any = None,
        encoder_attention_mask: Any = None,
        labels: Any = None,
        num_items_in_batch: Any = None,
        past_key_values: Any = None,
        use_cache: bool | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: Literal[False],
        mask_positions: Any = None,
        training: bool | None = None,
    ) -> tuple[Any, ...]: ...

class TFBertForNextSentencePrediction(TFBertPreTrainedModel):
    """Next-sentence prediction (Devlin et al. 2019, section 3.1, task 2)."""

    bert: TFBertModel
    cls: Any
    def __init__(self, config: BertConfig, **options: Any) -> None: ...
    @overload
    def call(
        self,
        input_ids: Any = None,
        attention_mask: Any = None,
        token_type_ids: Any = None,
        position_ids: Any = None,
        *,
        inputs_embeds: Any = None,
        head_mask: Any = None,
        segments: Any = None,
        labels: Any = None,
        next_sentence_label: Any = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: Literal[True] | None = None,
        training: bool | None = None,
    ) -> TFNextSentencePredictorOutput: ...
    @overload
    def call(
        self,
        input_ids: Any = None,
        attention_mask: Any = None,
        token_type_ids: Any = None,
        position_ids: Any = None,
        *,
        inputs_embeds: Any = None,
        head_mask: Any = None,
        segments: Any = None,
        labels: Any = None,
        next_sentence_label: Any = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: Literal[False],
        training: bool | None = None,
    ) -> tuple[Any, ...]: ...
    @overload
    def __call__(
        self,
        input_ids: Any = None,
        attention_mask: Any = None,
        token_type_ids: Any = None,
        position_ids: Any = None,
        *,
        inputs_embeds: Any = None,
        head_mask: Any = None,
        segments: Any = None,
        labels: Any = None,
        next_sentence_label: Any = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: Literal[True] | None = None,
        training: bool | None = None,
    ) -> TFNextSentencePredictorOutput: ...
    @overload
    def __call__(
        self,
        input_ids: Any = None,
        attention_mask: Any = None,
        token_type_ids: Any = None,
        position_ids: Any = None,
        *,
        inputs_embeds: Any = None,
        head_mask: Any = None,
        segments: Any = None,
        labels: Any = None,
        next_sentence_label: Any = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: Literal[False],
        training: bool | None = None,
    ) -> tuple[Any, ...]: ...

class TFBertForPreTraining(TFBertPreTrainedModel):
    """Masked-word and next-sentence heads (Devlin et al. 2019, section 3.1)."""

    bert: TFBertModel
    cls: Any
    def __init__(self, config: BertConfig, **options: Any) -> None: ...
    @overload
    def call(
        self,
        input_ids: Any = None,
        attention_mask: Any = None,
        token_type_ids: Any = None,
        position_ids: Any = None,
        *,
        inputs_embeds: Any = None,
        head_mask: Any = None,
        segments: Any = None,
        labels: Any = None,
        next_sentence_label: Any = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: Literal[True] | None = None,
        mask_positions: Any = None,
        training: bool | None = None,
    ) -> TFBertForPreTrainingOutput: ...
    @overload
    def call(
        self,
        input_ids: Any = None,
        attention_mask: Any = None,
        token_type_ids: Any = None,
        position_ids: Any = None,
        *,
        inputs_embeds: Any = None,
        head_mask: Any = None,
        segments: Any = None,
        labels: Any = None,
        next_sentence_label: Any = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: Literal[False],
        mask_positions: Any = None,
        training: bool | None = None,
    ) -> tuple[Any, ...]: ...
    @overload
    def __call__(
        self,
        input_ids: Any = None,
        attention_mask: Any = None,
        token_type_ids: Any = None,
        position_ids: Any = None,
        *,
        inputs_embeds: Any = None,
        head_mask: Any = None,
        segments: Any = None,
        labels: Any = None,
        next_sentence_label: Any = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: Literal[True] | None = None,
        mask_positions: Any = None,
        training: bool | None = None,
    ) -> TFBertForPreTrainingOutput: ...
    @overload
    def __call__(
        self,
        input_ids: Any = None,
        attention_mask: Any = None,
        token_type_ids: Any = None,
        position_ids: Any = None,
        *,
        inputs_embeds: Any = None,
        head_mask: Any = None,
        segments: Any = None,
        labels: Any = None,
        next_sentence_label: Any = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: Literal[False],
        mask_positions: Any = None,
        training: bool | None = None,
    ) -> tuple[Any, ...]: ...

class TFBertForSequenceClassification(TFBertPreTrainedModel):
    """A Linear on the pooled output: one label, several, or numbers, by `problem_type`."""

    bert: TFBertModel
    dropout: Any
    classifier: Any
    def __init__(self, config: BertConfig, **options: Any) -> None: ...
    @overload
    def call(
        self,
        input_ids: Any = None,
        attention_mask: Any = None,
        token_type_ids: Any = None,
        position_ids: Any = None,
        *,
        inputs_embeds: Any = None,
        head_mask: Any = None,
        segments: Any = None,
        labels: Any = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: Literal[True] | None = None,
        mask_positions: Any = None,
        training: bool | None = None,
    ) -> TFSequenceClassifierOutput: ...
    @overload
    def call(
        self,
        input_ids: Any = None,
        attention_mask: Any = None,
        token_type_ids: Any = None,
        position_ids: Any = None,
        *,
        inputs_embeds: Any = None,
        head_mask: Any = None,
        segments: Any = None,
        labels: Any = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: Literal[False],
        mask_positions: Any = None,
        training: bool | None = None,
    ) -> tuple[Any, ...]: ...
    @overload
    def __call__(
        self,
        input_ids: Any = None,
        attention_mask: Any = None,
        token_type_ids: Any = None,
        position_ids: Any = None,
        *,
        inputs_embeds: Any = None,
        head_mask: Any = None,
        segments: Any = None,
        labels: Any = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: Literal[True] | None = None,
        mask_positions: Any = None,
        training: bool | None = None,
    ) -> TFSequenceClassifierOutput: ...
    @overload
    def __call__(
        self,
        input_ids: Any = None,
        attention_mask: Any = None,
        token_type_ids: Any = None,
        position_ids: Any = None,
        *,
        inputs_embeds: Any = None,
        head_mask: Any = None,
        segments: Any = None,
        labels: Any = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: Literal[False],
        mask_positions: Any = None,
        training: bool | None = None,
    ) -> tuple[Any, ...]: ...

class TFBertForTokenClassification(TFBertPreTrainedModel):
    """A Linear on every position."""

    bert: TFBertModel
    dropout: Any
    classifier: Any
    def __init__(self, config: BertConfig, **options: Any) -> None: ...
    @overload
    def call(
        self,
        input_ids: Any = None,
        attention_mask: Any = None,
        token_type_ids: Any = None,
        position_ids: Any = None,
        *,
        inputs_embeds: Any = None,
        head_mask: Any = None,
        segments: Any = None,
        labels: Any = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: Literal[True] | None = None,
        mask_positions: Any = None,
        training: bool | None = None,
    ) -> TFTokenClassifierOutput: ...
    @overload
    def call(
        self,
        input_ids: Any = None,
        attention_mask: Any = None,
        token_type_ids: Any = None,
        position_ids: Any = None,
        *,
        inputs_embeds: Any = None,
        head_mask: Any = None,
        segments: Any = None,
        labels: Any = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: Literal[False],
        mask_positions: Any = None,
        training: bool | None = None,
    ) -> tuple[Any, ...]: ...
    @overload
    def __call__(
        self,
        input_ids: Any = None,
        attention_mask: Any = None,
        token_type_ids: Any = None,
        position_ids: Any = None,
        *,
        inputs_embeds: Any = None,
        head_mask: Any = None,
        segments: Any = None,
        labels: Any = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: Literal[True] | None = None,
        mask_positions: Any = None,
        training: bool | None = None,
    ) -> TFTokenClassifierOutput: ...
    @overload
    def __call__(
        self,
        input_ids: Any = None,
        attention_mask: Any = None,
        token_type_ids: Any = None,
        position_ids: Any = None,
        *,
        inputs_embeds: Any = None,
        head_mask: Any = None,
        segments: Any = None,
        labels: Any = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: Literal[False],
        mask_positions: Any = None,
        training: bool | None = None,
    ) -> tuple[Any, ...]: ...

class TFBertForMultipleChoice(TFBertPreTrainedModel):
    """A score for each of C texts, softmax over them; every input is [B, C, T]."""

    bert: TFBertModel
    dropout: Any
    classifier: Any
    def __init__(self, config: BertConfig, **options: Any) -> None: ...
    @overload
    def call(
        self,
        input_ids: Any = None,
        attention_mask: Any = None,
        token_type_ids: Any = None,
        position_ids: Any = None,
        *,
        inputs_embeds: Any = None,
        head_mask: Any = None,
        segments: Any = None,
        labels: Any = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: Literal[True] | None = None,
        training: bool | None = None,
    ) -> TFMultipleChoiceModelOutput: ...
    @overload
    def call(
        self,
        input_ids: Any = None,
        attention_mask: Any = None,
        token_type_ids: Any = None,
        position_ids: Any = None,
        *,
        inputs_embeds: Any = None,
        head_mask: Any = None,
        segments: Any = None,
        labels: Any = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: Literal[False],
        training: bool | None = None,
    ) -> tuple[Any, ...]: ...
    @overload
    def __call__(
        self,
        input_ids: Any = None,
        attention_mask: Any = None,
        token_type_ids: Any = None,
        position_ids: Any = None,
        *,
        inputs_embeds: Any = None,
        head_mask: Any = None,
        segments: Any = None,
        labels: Any = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: Literal[True] | None = None,
        training: bool | None = None,
    ) -> TFMultipleChoiceModelOutput: ...
    @overload
    def __call__(
        self,
        input_ids: Any = None,
        attention_mask: Any = None,
        token_type_ids: Any = None,
        position_ids: Any = None,
        *,
        inputs_embeds: Any = None,
        head_mask: Any = None,
        segments: Any = None,
        labels: Any = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: Literal[False],
        training: bool | None = None,
    ) -> tuple[Any, ...]: ...

class TFBertForQuestionAnswering(TFBertPreTrainedModel):
    """Where the answer starts and ends (Devlin et al. 2019, section 4.2)."""

    bert: TFBertModel
    qa_outputs: Any
    def __init__(self, config: BertConfig, **options: Any) -> None: ...
    @overload
    def call(
        self,
        input_ids: Any = None,
        attention_mask: Any = None,
        token_type_ids: Any = None,
        position_ids: Any = None,
        *,
        inputs_embeds: Any = None,
        head_mask: Any = None,
        segments: Any = None,
        start_positions: Any = None,
        end_positions: Any = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: Literal[True] | None = None,
        training: bool | None = None,
    ) -> TFQuestionAnsweringModelOutput: ...
    @overload
    def call(
        self,
        input_ids: Any = None,
        attention_mask: Any = None,
        token_type_ids: Any = None,
        position_ids: Any = None,
        *,
        inputs_embeds: Any = None,
        head_mask: Any = None,
        segments: Any = None,
        start_positions: Any = None,
        end_positions: Any = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: Literal[False],
        training: bool | None = None,
    ) -> tuple[Any, ...]: ...
    @overload
    def __call__(
        self,
        input_ids: Any = None,
        attention_mask: Any = None,
        token_type_ids: Any = None,
        position_ids: Any = None,
        *,
        inputs_embeds: Any = None,
        head_mask: Any = None,
        segments: Any = None,
        start_positions: Any = None,
        end_positions: Any = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: Literal[True] | None = None,
        training: bool | None = None,
    ) -> TFQuestionAnsweringModelOutput: ...
    @overload
    def __call__(
        self,
        input_ids: Any = None,
        attention_mask: Any = None,
        token_type_ids: Any = None,
        position_ids: Any = None,
        *,
        inputs_embeds: Any = None,
        head_mask: Any = None,
        segments: Any = None,
        start_positions: Any = None,
        end_positions: Any = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: Literal[False],
        training: bool | None = None,
    ) -> tuple[Any, ...]: ...

class TFEncoderDecoderModel(Model):
    """A model without a head reads a text, and one that predicts the next word writes another.

    Where the sizes differ, `enc_to_dec_proj` takes the encoder's states to the decoder's; with `tie_encoder_decoder` in
    the config both have the same parameters, but for the pooler, cross-attention and what scores words."""

    encoder: Any
    decoder: Any
    def __init__(self, config: EncoderDecoderConfig, **options: Any) -> None: ...
    @overload
    def call(
        self,
        input_ids: Any = None,
        attention_mask: Any = None,
        decoder_input_ids: Any = None,
        decoder_attention_mask: Any = None,
        *,
        encoder_outputs: Any = None,
        past_key_values: Any = None,
        inputs_embeds: Any = None,
        decoder_inputs_embeds: Any = None,
        labels: Any = None,
        token_type_ids: Any = None,
        position_ids: Any = None,
        decoder_token_type_ids: Any = None,
        decoder_position_ids: Any = None,
        head_mask: Any = None,
        decoder_head_mask: Any = None,
        use_cache: bool | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: Literal[True] | None = None,
        mask_positions: Any = None,
        training: bool | None = None,
    ) -> TFSeq2SeqLMOutput: ...
    @overload
    def call(
        self,
        input_ids: Any = None,
        attention_mask: Any = None,
        decoder_input_ids: Any = None,
        decoder_attention_mask: Any = None,
        *,
        encoder_outputs: Any = None,
        past_key_values: Any = None,
        inputs_embeds: Any = None,
        decoder_inputs_embeds: Any = None,
        labels: Any = None,
        token_type_ids: Any = None,
        position_ids: Any = None,
        decoder_token_type_ids: Any = None,
        decoder_position_ids: Any = None,
        head_mask: Any = None,
        decoder_head_mask: Any = None,
        use_cache: bool | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: Literal[False],
        mask_positions: Any = None,
        training: bool | None = None,
    ) -> tuple[Any, ...]: ...
    @overload
    def __call__(
        self,
        input_ids: Any = None,
        attention_mask: Any = None,
        decoder_input_ids: Any = None,
        decoder_attention_mask: Any = None,
        *,
        encoder_outputs: Any = None,
        past_key_values: Any = None,
        inputs_embeds: Any = None,
        decoder_inputs_embeds: Any = None,
        labels: Any = None,
        token_type_ids: Any = None,
        position_ids: Any = None,
        decoder_token_type_ids: Any = None,
        decoder_position_ids: Any = None,
        head_mask: Any = None,
        decoder_head_mask: Any = None,
        use_cache: bool | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: Literal[True] | None = None,
        mask_positions: Any = None,
        training: bool | None = None,
    ) -> TFSeq2SeqLMOutput: ...
    @overload
    def __call__(
        self,
        input_ids: Any = None,
        attention_mask: Any = None,
        decoder_input_ids: Any = None,
        decoder_attention_mask: Any = None,
        *,
        encoder_outputs: Any = None,
        past_key_values: Any = None,
        inputs_embeds: Any = None,
        decoder_inputs_embeds: Any = None,
        labels: Any = None,
        token_type_ids: Any = None,
        position_ids: Any = None,
        decoder_token_type_ids: Any = None,
        decoder_position_ids: Any = None,
        head_mask: Any = None,
        decoder_head_mask: Any = None,
        use_cache: bool | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: Literal[False],
        mask_positions: Any = None,
        training: bool | None = None,
    ) -> tuple[Any, ...]: ...

class TFRobertaModel(TFRobertaPreTrainedModel):
    """RoBERTa without a head: embeddings, encoder and, unless left out, the pooler."""

    embeddings: Any
    encoder: Any
    pooler: Any
    def __init__(self, config: RobertaConfig, add_pooling_layer: bool = True, **options: Any) -> None: ...
    @overload
    def call(
        self,
        input_ids: Any = None,
        attention_mask: Any = None,
        token_type_ids: Any = None,
        position_ids: Any = None,
        *,
        inputs_embeds: Any = None,
        head_mask: Any = None,
        encoder_hidden_states: Any = None,
        encoder_attention_mask: Any = None,
        past_key_values: Any = None,
        use_cache: bool | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: Literal[True] | None = None,
        readout: Any = None,
        segments: Any = None,
        training: bool | None = None,
    ) -> TFBaseModelOutputWithPooling: ...
    @overload
    def call(
        self,
        input_ids: Any = None,
        attention_mask: Any = None,
        token_type_ids: Any = None,
        position_ids: Any = None,
        *,
        inputs_embeds: Any = None,
        head_mask: Any = None,
        encoder_hidden_states: Any = None,
        encoder_attention_mask: Any = None,
        past_key_values: Any = None,
        use_cache: bool | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: Literal[False],
        readout: Any = None,
        segments: Any = None,
        training: bool | None = None,
    ) -> tuple[Any, ...]: ...
    @overload
    def __call__(
        self,
        input_ids: Any = None,
        attention_mask: Any = None,
        token_type_ids: Any = None,
        position_ids: Any = None,
        *,
        inputs_embeds: Any = None,
        head_mask: Any = None,
        encoder_hidden_states: Any = None,
        encoder_attention_mask: Any = None,
        past_key_values: Any = None,
        use_cache: bool | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: Literal[True] | None = None,
        readout: Any = None,
        segments: Any = None,
        training: bool | None = None,
    ) -> TFBaseModelOutputWithPooling: ...
    @overload
    def __call__(
        self,
        input_ids: Any = None,
        attention_mask: Any = None,
        token_type_ids: Any = None,
        position_ids: Any = None,
        *,
        inputs_embeds: Any = None,
        head_mask: Any = None,
        encoder_hidden_states: Any = None,
        encoder_attention_mask: Any = None,
        past_key_values: Any = None,
        use_cache: bool | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: Literal[False],
        readout: Any = None,
        segments: Any = None,
        training: bool | None = None,
    ) -> tuple[Any, ...]: ...

class TFRobertaForMaskedLM(TFRobertaPreTrainedModel):
    """Masked-word prediction."""

    roberta: TFRobertaModel
    lm_head: Any
    def __init__(self, config: RobertaConfig, **options: Any) -> None: ...
    @overload
    def call(
        self,
        input_ids: Any = None,
        attention_mask: Any = None,
        token_type_ids: Any = None,
        position_ids: Any = None,
        *,
        inputs_embeds: Any = None,
        head_mask: Any = None,
        segments: Any = None,
        labels: Any = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: Literal[True] | None = None,
        mask_positions: Any = None,
        training: bool | None = None,
    ) -> TFMaskedLMOutput: ...
    @overload
    def call(
        self,
        input_ids: Any = None,
        attention_mask: Any = None,
        token_type_ids: Any = None,
        position_ids: Any = None,
        *,
        inputs_embeds: Any = None,
        head_mask: Any = None,
        segments: Any = None,
        labels: Any = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: Literal[False],
        mask_positions: Any = None,
        training: bool | None = None,
    ) -> tuple[Any, ...]: ...
    @overload
    def __call__(
        self,
        input_ids: Any = None,
        attention_mask: Any = None,
        token_type_ids: Any = None,
        position_ids: Any = None,
        *,
        inputs_embeds: Any = None,
        head_mask: Any = None,
        segments: Any = None,
        labels: Any = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: Literal[True] | None = None,
        mask_positions: Any = None,
        training: bool | None = None,
    ) -> TFMaskedLMOutput: ...
    @overload
    def __call__(
        self,
        input_ids: Any = None,
        attention_mask: Any = None,
        token_type_ids: Any = None,
        position_ids: Any = None,
        *,
        inputs_embeds: Any = None,
        head_mask: Any = None,
        segments: Any = None,
        labels: Any = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: Literal[False],
        mask_positions: Any = None,
        training: bool | None = None,
    ) -> tuple[Any, ...]: ...

class TFRobertaForCausalLM(TFRobertaPreTrainedModel):
    """Next-word prediction with the parameters of masked-word prediction; causal under `is_decoder`."""

    roberta: TFRobertaModel
    lm_head: Any
    def __init__(self, config: RobertaConfig, **options: Any) -> None: ...
    @overload
    def call(
        self,
        input_ids: Any = None,
        attention_mask: Any = None,
        token_type_ids: Any = None,
        position_ids: Any = None,
        *,
        inputs_embeds: Any = None,
        head_mask: Any = None,
        encoder_hidden_states: Any = None,
        encoder_attention_mask: Any = None,
        labels: Any = None,
        num_items_in_batch: Any = None,
        past_key_values: Any = None,
        use_cache: bool | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: Literal[True] | None = None,
        mask_positions: Any = None,
        training: bool | None = None,
    ) -> TFCausalLMOutput: ...
    @overload
    def call(
        self,
        input_ids: Any = None,
        attention_mask: Any = None,
        token_type_ids: Any = None,
        position_ids: Any = None,
        *,
        inputs_embeds: Any = None,
        head_mask: Any = None,
        encoder_hidden_states: Any = None,
        encoder_attention_mask: Any = None,
        labels: Any = None,
        num_items_in_batch: Any = None,
        past_key_values: Any = None,
        use_cache: bool | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: Literal[False],
        mask_positions: Any = None,
        training: bool | None = None,
    ) -> tuple[Any, ...]: ...
    @overload
    def __call__(
        self,
        input_ids: Any = None,
        attention_mask: Any = None,
        token_type_ids: Any = None,
        position_ids: Any = None,
        *,
        inputs_embeds: Any = None,
        head_mask: Any = None,
        encoder_hidden_states: Any = None,
        encoder_attention_mask: Any = None,
        labels: Any = None,
        num_items_in_batch: Any = None,
        past_key_values: Any = None,
        use_cache: bool | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: Literal[True] | None = None,
        mask_positions: Any = None,
        training: bool | None = None,
    ) -> TFCausalLMOutput: ...
    @overload
    def __call__(
        self,
        input_ids: Any = None,
        attention_mask: Any = None,
        token_type_ids: Any = None,
        position_ids: Any = None,
        *,
        inputs_embeds: Any = None,
        head_mask: Any = None,
        encoder_hidden_states: Any = None,
        encoder_attention_mask: Any = None,
        labels: Any = None,
        num_items_in_batch: Any = None,
        past_key_values: Any = None,
        use_cache: bool | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: Literal[False],
        mask_positions: Any = None,
        training: bool | None = None,
    ) -> tuple[Any, ...]: ...

class TFRobertaForSequenceClassification(TFRobertaPreTrainedModel):
    """Two Linears on the first position: one label, several, or numbers, by `problem_type`."""

    roberta: TFRobertaModel
    classifier: Any
    def __init__(self, config: RobertaConfig, **options: Any) -> None: ...
    @overload
    def call(
        self,
        input_ids: Any = None,
        attention_mask: Any = None,
        token_type_ids: Any = None,
        position_ids: Any = None,
        *,
        inputs_embeds: Any = None,
        head_mask: Any = None,
        segments: Any = None,
        labels: Any = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: Literal[True] | None = None,
        mask_positions: Any = None,
        training: bool | None = None,
    ) -> TFSequenceClassifierOutput: ...
    @overload
    def call(
        self,
        input_ids: Any = None,
        attention_mask: Any = None,
        token_type_ids: Any = None,
        position_ids: Any = None,
        *,
        inputs_embeds: Any = None,
        head_mask: Any = None,
        segments: Any = None,
        labels: Any = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: Literal[False],
        mask_positions: Any = None,
        training: bool | None = None,
    ) -> tuple[Any, ...]: ...
    @overload
    def __call__(
        self,
        input_ids: Any = None,
        attention_mask: Any = None,
        token_type_ids: Any = None,
        position_ids: Any = None,
        *,
        inputs_embeds: Any = None,
        head_mask: Any = None,
        segments: Any = None,
        labels: Any = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: Literal[True] | None = None,
        mask_positions: Any = None,
        training: bool | None = None,
    ) -> TFSequenceClassifierOutput: ...
    @overload
    def __call__(
        self,
        input_ids: Any = None,
        attention_mask: Any = None,
        token_type_ids: Any = None,
        position_ids: Any = None,
        *,
        inputs_embeds: Any = None,
        head_mask: Any = None,
        segments: Any = None,
        labels: Any = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: Literal[False],
        mask_positions: Any = None,
        training: bool | None = None,
    ) -> tuple[Any, ...]: ...

class TFRobertaForTokenClassification(TFRobertaPreTrainedModel):
    """A Linear on every position."""

    roberta: TFRobertaModel
    dropout: Any
    classifier: Any
    def __init__(self, config: RobertaConfig, **options: Any) -> None: ...
    @overload
    def call(
        self,
        input_ids: Any = None,
        attention_mask: Any = None,
        token_type_ids: Any = None,
        position_ids: Any = None,
        *,
        inputs_embeds: Any = None,
        head_mask: Any = None,
        segments: Any = None,
        labels: Any = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: Literal[True] | None = None,
        mask_positions: Any = None,
        training: bool | None = None,
    ) -> TFTokenClassifierOutput: ...
    @overload
    def call(
        self,
        input_ids: Any = None,
        attention_mask: Any = None,
        token_type_ids: Any = None,
        position_ids: Any = None,
        *,
        inputs_embeds: Any = None,
        head_mask: Any = None,
        segments: Any = None,
        labels: Any = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: Literal[False],
        mask_positions: Any = None,
        training: bool | None = None,
    ) -> tuple[Any, ...]: ...
    @overload
    def __call__(
        self,
        input_ids: Any = None,
        attention_mask: Any = None,
        token_type_ids: Any = None,
        position_ids: Any = None,
        *,
        inputs_embeds: Any = None,
        head_mask: Any = None,
        segments: Any = None,
        labels: Any = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: Literal[True] | None = None,
        mask_positions: Any = None,
        training: bool | None = None,
    ) -> TFTokenClassifierOutput: ...
    @overload
    def __call__(
        self,
        input_ids: Any = None,
        attention_mask: Any = None,
        token_type_ids: Any = None,
        position_ids: Any = None,
        *,
        inputs_embeds: Any = None,
        head_mask: Any = None,
        segments: Any = None,
        labels: Any = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: Literal[False],
        mask_positions: Any = None,
        training: bool | None = None,
    ) -> tuple[Any, ...]: ...

class TFRobertaForMultipleChoice(TFRobertaPreTrainedModel):
    """A score for each of C texts, softmax over them; every input is [B, C, T]."""

    roberta: TFRobertaModel
    dropout: Any
    classifier: Any
    def __init__(self, config: RobertaConfig, **options: Any) -> None: ...
    @overload
    def call(
        self,
        input_ids: Any = None,
        attention_mask: Any = None,
        token_type_ids: Any = None,
        position_ids: Any = None,
        *,
        inputs_embeds: Any = None,
        head_mask: Any = None,
        segments: Any = None,
        labels: Any = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: Literal[True] | None = None,
        training: bool | None = None,
    ) -> TFMultipleChoiceModelOutput: ...
    @overload
    def call(
        self,
        input_ids: Any = None,
        attention_mask: Any = None,
        token_type_ids: Any = None,
        position_ids: Any = None,
        *,
        inputs_embeds: Any = None,
        head_mask: Any = None,
        segments: Any = None,
        labels: Any = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: Literal[False],
        training: bool | None = None,
    ) -> tuple[Any, ...]: ...
    @overload
    def __call__(
        self,
        input_ids: Any = None,
        attention_mask: Any = None,
        token_type_ids: Any = None,
        position_ids: Any = None,
        *,
        inputs_embeds: Any = None,
        head_mask: Any = None,
        segments: Any = None,
        labels: Any = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: Literal[True] | None = None,
        training: bool | None = None,
    ) -> TFMultipleChoiceModelOutput: ...
    @overload
    def __call__(
        self,
        input_ids: Any = None,
        attention_mask: Any = None,
        token_type_ids: Any = None,
        position_ids: Any = None,
        *,
        inputs_embeds: Any = None,
        head_mask: Any = None,
        segments: Any = None,
        labels: Any = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: Literal[False],
        training: bool | None = None,
    ) -> tuple[Any, ...]: ...

class TFRobertaForQuestionAnswering(TFRobertaPreTrainedModel):
    """Where the answer starts and ends."""

    roberta: TFRobertaModel
    qa_outputs: Any
    def __init__(self, config: RobertaConfig, **options: Any) -> None: ...
    @overload
    def call(
        self,
        input_ids: Any = None,
        attention_mask: Any = None,
        token_type_ids: Any = None,
        position_ids: Any = None,
        *,
        inputs_embeds: Any = None,
        head_mask: Any = None,
        segments: Any = None,
        start_positions: Any = None,
        end_positions: Any = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: Literal[True] | None = None,
        training: bool | None = None,
    ) -> TFQuestionAnsweringModelOutput: ...
    @overload
    def call(
        self,
        input_ids: Any = None,
        attention_mask: Any = None,
        token_type_ids: Any = None,
        position_ids: Any = None,
        *,
        inputs_embeds: Any = None,
        head_mask: Any = None,
        segments: Any = None,
        start_positions: Any = None,
        end_positions: Any = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: Literal[False],
        training: bool | None = None,
    ) -> tuple[Any, ...]: ...
    @overload
    def __call__(
        self,
        input_ids: Any = None,
        attention_mask: Any = None,
        token_type_ids: Any = None,
        position_ids: Any = None,
        *,
        inputs_embeds: Any = None,
        head_mask: Any = None,
        segments: Any = None,
        start_positions: Any = None,
        end_positions: Any = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: Literal[True] | None = None,
        training: bool | None = None,
    ) -> TFQuestionAnsweringModelOutput: ...
    @overload
    def __call__(
        self,
        input_ids: Any = None,
        attention_mask: Any = None,
        token_type_ids: Any = None,
        position_ids: Any = None,
        *,
        inputs_embeds: Any = None,
        head_mask: Any = None,
        segments: Any = None,
        start_positions: Any = None,
        end_positions: Any = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: Literal[False],
        training: bool | None = None,
    ) -> tuple[Any, ...]: ...

class TFXLMRobertaModel(TFXLMRobertaPreTrainedModel):
    """XLM-RoBERTa without a head."""

    embeddings: Any
    encoder: Any
    pooler: Any
    def __init__(self, config: XLMRobertaConfig, add_pooling_layer: bool = True, **options: Any) -> None: ...
    @overload
    def call(
        self,
        input_ids: Any = None,
        attention_mask: Any = None,
        token_type_ids: Any = None,
        position_ids: Any = None,
        *,
        inputs_embeds: Any = None,
        head_mask: Any = None,
        encoder_hidden_states: Any = None,
        encoder_attention_mask: Any = None,
        past_key_values: Any = None,
        use_cache: bool | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: Literal[True] | None = None,
        readout: Any = None,
        segments: Any = None,
        training: bool | None = None,
    ) -> TFBaseModelOutputWithPooling: ...
    @overload
    def call(
        self,
        input_ids: Any = None,
        attention_mask: Any = None,
        token_type_ids: Any = None,
        position_ids: Any = None,
        *,
        inputs_embeds: Any = None,
        head_mask: Any = None,
        encoder_hidden_states: Any = None,
        encoder_attention_mask: Any = None,
        past_key_values: Any = None,
        use_cache: bool | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: Literal[False],
        readout: Any = None,
        segments: Any = None,
        training: bool | None = None,
    ) -> tuple[Any, ...]: ...
    @overload
    def __call__(
        self,
        input_ids: Any = None,
        attention_mask: Any = None,
        token_type_ids: Any = None,
        position_ids: Any = None,
        *,
        inputs_embeds: Any = None,
        head_mask: Any = None,
        encoder_hidden_states: Any = None,
        encoder_attention_mask: Any = None,
        past_key_values: Any = None,
        use_cache: bool | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: Literal[True] | None = None,
        readout: Any = None,
        segments: Any = None,
        training: bool | None = None,
    ) -> TFBaseModelOutputWithPooling: ...
    @overload
    def __call__(
        self,
        input_ids: Any = None,
        attention_mask: Any = None,
        token_type_ids: Any = None,
        position_ids: Any = None,
        *,
        inputs_embeds: Any = None,
        head_mask: Any = None,
        encoder_hidden_states: Any = None,
        encoder_attention_mask: Any = None,
        past_key_values: Any = None,
        use_cache: bool | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: Literal[False],
        readout: Any = None,
        segments: Any = None,
        training: bool | None = None,
    ) -> tuple[Any, ...]: ...

class TFXLMRobertaForMaskedLM(TFXLMRobertaPreTrainedModel):
    """Masked-word prediction."""

    roberta: TFXLMRobertaModel
    lm_head: Any
    def __init__(self, config: XLMRobertaConfig, **options: Any) -> None: ...
    @overload
    def call(
        self,
        input_ids: Any = None,
        attention_mask: Any = None,
        token_type_ids: Any = None,
        position_ids: Any = None,
        *,
        inputs_embeds: Any = None,
        head_mask: Any = None,
        segments: Any = None,
        labels: Any = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: Literal[True] | None = None,
        mask_positions: Any = None,
        training: bool | None = None,
    ) -> TFMaskedLMOutput: ...
    @overload
    def call(
        self,
        input_ids: Any = None,
        attention_mask: Any = None,
        token_type_ids: Any = None,
        position_ids: Any = None,
        *,
        inputs_embeds: Any = None,
        head_mask: Any = None,
        segments: Any = None,
        labels: Any = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: Literal[False],
        mask_positions: Any = None,
        training: bool | None = None,
    ) -> tuple[Any, ...]: ...
    @overload
    def __call__(
        self,
        input_ids: Any = None,
        attention_mask: Any = None,
        token_type_ids: Any = None,
        position_ids: Any = None,
        *,
        inputs_embeds: Any = None,
        head_mask: Any = None,
        segments: Any = None,
        labels: Any = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: Literal[True] | None = None,
        mask_positions: Any = None,
        training: bool | None = None,
    ) -> TFMaskedLMOutput: ...
    @overload
    def __call__(
        self,
        input_ids: Any = None,
        attention_mask: Any = None,
        token_type_ids: Any = None,
        position_ids: Any = None,
        *,
        inputs_embeds: Any = None,
        head_mask: Any = None,
        segments: Any = None,
        labels: Any = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: Literal[False],
        mask_positions: Any = None,
        training: bool | None = None,
    ) -> tuple[Any, ...]: ...

class TFXLMRobertaForCausalLM(TFXLMRobertaPreTrainedModel):
    """Next-word prediction with the parameters of masked-word prediction; causal under `is_decoder`."""

    roberta: TFXLMRobertaModel
    lm_head: Any
    def __init__(self, config: XLMRobertaConfig, **options: Any) -> None: ...
    @overload
    def call(
        self,
        input_ids: Any = None,
        attention_mask: Any = None,
        token_type_ids: Any = None,
        position_ids: Any = None,
        *,
        inputs_embeds: Any = None,
        head_mask: Any = None,
        encoder_hidden_states: Any = None,
        encoder_attention_mask: Any = None,
        labels: Any = None,
        num_items_in_batch: Any = None,
        past_key_values: Any = None,
        use_cache: bool | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: Literal[True] | None = None,
        mask_positions: Any = None,
        training: bool | None = None,
    ) -> TFCausalLMOutput: ...
    @overload
    def call(
        self,
        input_ids: Any = None,
        attention_mask: Any = None,
        token_type_ids: Any = None,
        position_ids: Any = None,
        *,
        inputs_embeds: Any = None,
        head_mask: Any = None,
        encoder_hidden_states: Any = None,
        encoder_attention_mask: Any = None,
        labels: Any = None,
        num_items_in_batch: Any = None,
        past_key_values: Any = None,
        use_cache: bool | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: Literal[False],
        mask_positions: Any = None,
        training: bool | None = None,
    ) -> tuple[Any, ...]: ...
    @overload
    def __call__(
        self,
        input_ids: Any = None,
        attention_mask: Any = None,
        token_type_ids: Any = None,
        position_ids: Any = None,
        *,
        inputs_embeds: Any = None,
        head_mask: Any = None,
        encoder_hidden_states: Any = None,
        encoder_attention_mask: Any = None,
        labels: Any = None,
        num_items_in_batch: Any = None,
        past_key_values: Any = None,
        use_cache: bool | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: Literal[True] | None = None,
        mask_positions: Any = None,
        training: bool | None = None,
    ) -> TFCausalLMOutput: ...
    @overload
    def __call__(
        self,
        input_ids: Any = None,
        attention_mask: Any = None,
        token_type_ids: Any = None,
        position_ids: Any = None,
        *,
        inputs_embeds: Any = None,
        head_mask: Any = None,
        encoder_hidden_states: Any = None,
        encoder_attention_mask: Any = None,
        labels: Any = None,
        num_items_in_batch: Any = None,
        past_key_values: Any = None,
        use_cache: bool | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: Literal[False],
        mask_positions: Any = None,
        training: bool | None = None,
    ) -> tuple[Any, ...]: ...

class TFXLMRobertaForSequenceClassification(TFXLMRobertaPreTrainedModel):
    """Two Linears on the first position: one label, several, or numbers, by `problem_type`."""

    roberta: TFXLMRobertaModel
    classifier: Any
    def __init__(self, config: XLMRobertaConfig, **options: Any) -> None: ...
    @overload
    def call(
        self,
        input_ids: Any = None,
        attention_mask: Any = None,
        token_type_ids: Any = None,
        position_ids: Any = None,
        *,
        inputs_embeds: Any = None,
        head_mask: Any = None,
        segments: Any = None,
        labels: Any = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: Literal[True] | None = None,
        mask_positions: Any = None,
        training: bool | None = None,
    ) -> TFSequenceClassifierOutput: ...
    @overload
    def call(
        self,
        input_ids: Any = None,
        attention_mask: Any = None,
        token_type_ids: Any = None,
        position_ids: Any = None,
        *,
        inputs_embeds: Any = None,
        head_mask: Any = None,
        segments: Any = None,
        labels: Any = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: Literal[False],
        mask_positions: Any = None,
        training: bool | None = None,
    ) -> tuple[Any, ...]: ...
    @overload
    def __call__(
        self,
        input_ids: Any = None,
        attention_mask: Any = None,
        token_type_ids: Any = None,
        position_ids: Any = None,
        *,
        inputs_embeds: Any = None,
        head_mask: Any = None,
        segments: Any = None,
        labels: Any = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: Literal[True] | None = None,
        mask_positions: Any = None,
        training: bool | None = None,
    ) -> TFSequenceClassifierOutput: ...
    @overload
    def __call__(
        self,
        input_ids: Any = None,
        attention_mask: Any = None,
        token_type_ids: Any = None,
        position_ids: Any = None,
        *,
        inputs_embeds: Any = None,
        head_mask: Any = None,
        segments: Any = None,
        labels: Any = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: Literal[False],
        mask_positions: Any = None,
        training: bool | None = None,
    ) -> tuple[Any, ...]: ...

class TFXLMRobertaForTokenClassification(TFXLMRobertaPreTrainedModel):
    """A Linear on every position."""

    roberta: TFXLMRobertaModel
    dropout: Any
    classifier: Any
    def __init__(self, config: XLMRobertaConfig, **options: Any) -> None: ...
    @overload
    def call(
        self,
        input_ids: Any = None,
        attention_mask: Any = None,
        token_type_ids: Any = None,
        position_ids: Any = None,
        *,
        inputs_embeds: Any = None,
        head_mask: Any = None,
        segments: Any = None,
        labels: Any = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: Literal[True] | None = None,
        mask_positions: Any = None,
        training: bool | None = None,
    ) -> TFTokenClassifierOutput: ...
    @overload
    def call(
        self,
        input_ids: Any = None,
        attention_mask: Any = None,
        token_type_ids: Any = None,
        position_ids: Any = None,
        *,
        inputs_embeds: Any = None,
        head_mask: Any = None,
        segments: Any = None,
        labels: Any = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: Literal[False],
        mask_positions: Any = None,
        training: bool | None = None,
    ) -> tuple[Any, ...]: ...
    @overload
    def __call__(
        self,
        input_ids: Any = None,
        attention_mask: Any = None,
        token_type_ids: Any = None,
        position_ids: Any = None,
        *,
        inputs_embeds: Any = None,
        head_mask: Any = None,
        segments: Any = None,
        labels: Any = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: Literal[True] | None = None,
        mask_positions: Any = None,
        training: bool | None = None,
    ) -> TFTokenClassifierOutput: ...
    @overload
    def __call__(
        self,
        input_ids: Any = None,
        attention_mask: Any = None,
        token_type_ids: Any = None,
        position_ids: Any = None,
        *,
        inputs_embeds: Any = None,
        head_mask: Any = None,
        segments: Any = None,
        labels: Any = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: Literal[False],
        mask_positions: Any = None,
        training: bool | None = None,
    ) -> tuple[Any, ...]: ...

class TFXLMRobertaForMultipleChoice(TFXLMRobertaPreTrainedModel):
    """A score for each of C texts, softmax over them; every input is [B, C, T]."""

    roberta: TFXLMRobertaModel
    dropout: Any
    classifier: Any
    def __init__(self, config: XLMRobertaConfig, **options: Any) -> None: ...
    @overload
    def call(
        self,
        input_ids: Any = None,
        attention_mask: Any = None,
        token_type_ids: Any = None,
        position_ids: Any = None,
        *,
        inputs_embeds: Any = None,
        head_mask: Any = None,
        segments: Any = None,
        labels: Any = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: Literal[True] | None = None,
        training: bool | None = None,
    ) -> TFMultipleChoiceModelOutput: ...
    @overload
    def call(
        self,
        input_ids: Any = None,
        attention_mask: Any = None,
        token_type_ids: Any = None,
        position_ids: Any = None,
        *,
        inputs_embeds: Any = None,
        head_mask: Any = None,
        segments: Any = None,
        labels: Any = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: Literal[False],
        training: bool | None = None,
    ) -> tuple[Any, ...]: ...
    @overload
    def __call__(
        self,
        input_ids: Any = None,
        attention_mask: Any = None,
        token_type_ids: Any = None,
        position_ids: Any = None,
        *,
        inputs_embeds: Any = None,
        head_mask: Any = None,
        segments: Any = None,
        labels: Any = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: Literal[True] | None = None,
        training: bool | None = None,
    ) -> TFMultipleChoiceModelOutput: ...
    @overload
    def __call__(
        self,
        input_ids: Any = None,
        attention_mask: Any = None,
        token_type_ids: Any = None,
        position_ids: Any = None,
        *,
        inputs_embeds: Any = None,
        head_mask: Any = None,
        segments: Any = None,
        labels: Any = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: Literal[False],
        training: bool | None = None,
    ) -> tuple[Any, ...]: ...

class TFXLMRobertaForQuestionAnswering(TFXLMRobertaPreTrainedModel):
    """Where the answer starts and ends."""

    roberta: TFXLMRobertaModel
    qa_outputs: Any
    def __init__(self, config: XLMRobertaConfig, **options: Any) -> None: ...
    @overload
    def call(
        self,
        input_ids: Any = None,
        attention_mask: Any = None,
        token_type_ids: Any = None,
        position_ids: Any = None,
        *,
        inputs_embeds: Any = None,
        head_mask: Any = None,
        segments: Any = None,
        start_positions: Any = None,
        end_positions: Any = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: Literal[True] | None = None,
        training: bool | None = None,
    ) -> TFQuestionAnsweringModelOutput: ...
    @overload
    def call(
        self,
        input_ids: Any = None,
        attention_mask: Any = None,
        token_type_ids: Any = None,
        position_ids: Any = None,
        *,
        inputs_embeds: Any = None,
        head_mask: Any = None,
        segments: Any = None,
        start_positions: Any = None,
        end_positions: Any = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: Literal[False],
        training: bool | None = None,
    ) -> tuple[Any, ...]: ...
    @overload
    def __call__(
        self,
        input_ids: Any = None,
        attention_mask: Any = None,
        token_type_ids: Any = None,
        position_ids: Any = None,
        *,
        inputs_embeds: Any = None,
        head_mask: Any = None,
        segments: Any = None,
        start_positions: Any = None,
        end_positions: Any = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: Literal[True] | None = None,
        training: bool | None = None,
    ) -> TFQuestionAnsweringModelOutput: ...
    @overload
    def __call__(
        self,
        input_ids: Any = None,
        attention_mask: Any = None,
        token_type_ids: Any = None,
        position_ids: Any = None,
        *,
        inputs_embeds: Any = None,
        head_mask: Any = None,
        segments: Any = None,
        start_positions: Any = None,
        end_positions: Any = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: Literal[False],
        training: bool | None = None,
    ) -> tuple[Any, ...]: ...
