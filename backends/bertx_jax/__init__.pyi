"""Made by tools/make_stubs.py from bertx.models: the classes of bertx_jax, with types."""

from collections.abc import Sequence
from typing import Any, Literal, overload

from jax import Array
from jax.typing import ArrayLike

from bertx.configs.bert import BertConfig
from bertx.configs.encoder_decoder import EncoderDecoderConfig
from bertx.configs.roberta import RobertaConfig
from bertx.configs.xlm_roberta import XLMRobertaConfig

from .nn import Model

class _ModelOutput(dict[str, Any]):
    def __getitem__(self, key: str | int | slice, /) -> Any: ...
    def to_tuple(self) -> tuple[Any, ...]: ...

class FlaxBaseModelOutputWithPooling(_ModelOutput):
    last_hidden_state: Array
    pooler_output: Array | None
    past_key_values: tuple[tuple[Array, ...], ...] | None
    hidden_states: tuple[Array, ...] | None
    attentions: tuple[Array, ...] | None
    cross_attentions: tuple[Array, ...] | None

class FlaxBertForPreTrainingOutput(_ModelOutput):
    loss: Array | None
    prediction_logits: Array
    seq_relationship_logits: Array
    hidden_states: tuple[Array, ...] | None
    attentions: tuple[Array, ...] | None

class FlaxCausalLMOutput(_ModelOutput):
    loss: Array | None
    logits: Array
    past_key_values: tuple[tuple[Array, ...], ...] | None
    hidden_states: tuple[Array, ...] | None
    attentions: tuple[Array, ...] | None
    cross_attentions: tuple[Array, ...] | None

class FlaxMaskedLMOutput(_ModelOutput):
    loss: Array | None
    logits: Array
    hidden_states: tuple[Array, ...] | None
    attentions: tuple[Array, ...] | None

class FlaxMultipleChoiceModelOutput(_ModelOutput):
    loss: Array | None
    logits: Array
    hidden_states: tuple[Array, ...] | None
    attentions: tuple[Array, ...] | None

class FlaxNextSentencePredictorOutput(_ModelOutput):
    loss: Array | None
    logits: Array
    hidden_states: tuple[Array, ...] | None
    attentions: tuple[Array, ...] | None

class FlaxQuestionAnsweringModelOutput(_ModelOutput):
    loss: Array | None
    start_logits: Array
    end_logits: Array
    hidden_states: tuple[Array, ...] | None
    attentions: tuple[Array, ...] | None

class FlaxSeq2SeqLMOutput(_ModelOutput):
    loss: Array | None
    logits: Array
    past_key_values: tuple[tuple[Array, ...], ...] | None
    decoder_hidden_states: tuple[Array, ...] | None
    decoder_attentions: tuple[Array, ...] | None
    cross_attentions: tuple[Array, ...] | None
    encoder_last_hidden_state: Array
    encoder_hidden_states: tuple[Array, ...] | None
    encoder_attentions: tuple[Array, ...] | None

class FlaxSequenceClassifierOutput(_ModelOutput):
    loss: Array | None
    logits: Array
    hidden_states: tuple[Array, ...] | None
    attentions: tuple[Array, ...] | None

class FlaxTokenClassifierOutput(_ModelOutput):
    loss: Array | None
    logits: Array
    hidden_states: tuple[Array, ...] | None
    attentions: tuple[Array, ...] | None

class FlaxBertPreTrainedModel(Model):
    config: BertConfig

class FlaxRobertaPreTrainedModel(Model):
    config: RobertaConfig

class FlaxXLMRobertaPreTrainedModel(Model):
    config: XLMRobertaConfig

class FlaxBertModel(FlaxBertPreTrainedModel):
    """BERT without a head (Devlin et al. 2019): embeddings, encoder and, unless left out, the pooler."""

    embeddings: Any
    encoder: Any
    pooler: Any
    def __init__(self, config: BertConfig, add_pooling_layer: bool = True, **options: Any) -> None: ...
    @overload
    def forward(
        self,
        input_ids: ArrayLike | Sequence[Any] | None = None,
        attention_mask: ArrayLike | Sequence[Any] | None = None,
        token_type_ids: ArrayLike | Sequence[Any] | None = None,
        position_ids: ArrayLike | Sequence[Any] | None = None,
        *,
        inputs_embeds: ArrayLike | Sequence[Any] | None = None,
        head_mask: ArrayLike | Sequence[Any] | None = None,
        encoder_hidden_states: ArrayLike | Sequence[Any] | None = None,
        encoder_attention_mask: ArrayLike | Sequence[Any] | None = None,
        past_key_values: Any = None,
        use_cache: bool | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: Literal[True] | None = None,
        readout: Any = None,
        segments: ArrayLike | Sequence[Any] | None = None,
    ) -> FlaxBaseModelOutputWithPooling: ...
    @overload
    def forward(
        self,
        input_ids: ArrayLike | Sequence[Any] | None = None,
        attention_mask: ArrayLike | Sequence[Any] | None = None,
        token_type_ids: ArrayLike | Sequence[Any] | None = None,
        position_ids: ArrayLike | Sequence[Any] | None = None,
        *,
        inputs_embeds: ArrayLike | Sequence[Any] | None = None,
        head_mask: ArrayLike | Sequence[Any] | None = None,
        encoder_hidden_states: ArrayLike | Sequence[Any] | None = None,
        encoder_attention_mask: ArrayLike | Sequence[Any] | None = None,
        past_key_values: Any = None,
        use_cache: bool | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: Literal[False],
        readout: Any = None,
        segments: ArrayLike | Sequence[Any] | None = None,
    ) -> tuple[Any, ...]: ...
    @overload
    def __call__(
        self,
        input_ids: ArrayLike | Sequence[Any] | None = None,
        attention_mask: ArrayLike | Sequence[Any] | None = None,
        token_type_ids: ArrayLike | Sequence[Any] | None = None,
        position_ids: ArrayLike | Sequence[Any] | None = None,
        *,
        inputs_embeds: ArrayLike | Sequence[Any] | None = None,
        head_mask: ArrayLike | Sequence[Any] | None = None,
        encoder_hidden_states: ArrayLike | Sequence[Any] | None = None,
        encoder_attention_mask: ArrayLike | Sequence[Any] | None = None,
        past_key_values: Any = None,
        use_cache: bool | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: Literal[True] | None = None,
        readout: Any = None,
        segments: ArrayLike | Sequence[Any] | None = None,
        params: Any = None,
        train: bool | None = None,
        dropout_rng: Array | None = None,
    ) -> FlaxBaseModelOutputWithPooling: ...
    @overload
    def __call__(
        self,
        input_ids: ArrayLike | Sequence[Any] | None = None,
        attention_mask: ArrayLike | Sequence[Any] | None = None,
        token_type_ids: ArrayLike | Sequence[Any] | None = None,
        position_ids: ArrayLike | Sequence[Any] | None = None,
        *,
        inputs_embeds: ArrayLike | Sequence[Any] | None = None,
        head_mask: ArrayLike | Sequence[Any] | None = None,
        encoder_hidden_states: ArrayLike | Sequence[Any] | None = None,
        encoder_attention_mask: ArrayLike | Sequence[Any] | None = None,
        past_key_values: Any = None,
        use_cache: bool | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: Literal[False],
        readout: Any = None,
        segments: ArrayLike | Sequence[Any] | None = None,
        params: Any = None,
        train: bool | None = None,
        dropout_rng: Array | None = None,
    ) -> tuple[Any, ...]: ...

class FlaxBertForMaskedLM(FlaxBertPreTrainedModel):
    """Masked-word prediction (Devlin et al. 2019, section 3.1, task 1)."""

    bert: FlaxBertModel
    cls: Any
    def __init__(self, config: BertConfig, **options: Any) -> None: ...
    @overload
    def forward(
        self,
        input_ids: ArrayLike | Sequence[Any] | None = None,
        attention_mask: ArrayLike | Sequence[Any] | None = None,
        token_type_ids: ArrayLike | Sequence[Any] | None = None,
        position_ids: ArrayLike | Sequence[Any] | None = None,
        *,
        inputs_embeds: ArrayLike | Sequence[Any] | None = None,
        head_mask: ArrayLike | Sequence[Any] | None = None,
        segments: ArrayLike | Sequence[Any] | None = None,
        labels: ArrayLike | Sequence[Any] | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: Literal[True] | None = None,
        mask_positions: ArrayLike | Sequence[Any] | None = None,
    ) -> FlaxMaskedLMOutput: ...
    @overload
    def forward(
        self,
        input_ids: ArrayLike | Sequence[Any] | None = None,
        attention_mask: ArrayLike | Sequence[Any] | None = None,
        token_type_ids: ArrayLike | Sequence[Any] | None = None,
        position_ids: ArrayLike | Sequence[Any] | None = None,
        *,
        inputs_embeds: ArrayLike | Sequence[Any] | None = None,
        head_mask: ArrayLike | Sequence[Any] | None = None,
        segments: ArrayLike | Sequence[Any] | None = None,
        labels: ArrayLike | Sequence[Any] | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: Literal[False],
        mask_positions: ArrayLike | Sequence[Any] | None = None,
    ) -> tuple[Any, ...]: ...
    @overload
    def __call__(
        self,
        input_ids: ArrayLike | Sequence[Any] | None = None,
        attention_mask: ArrayLike | Sequence[Any] | None = None,
        token_type_ids: ArrayLike | Sequence[Any] | None = None,
        position_ids: ArrayLike | Sequence[Any] | None = None,
        *,
        inputs_embeds: ArrayLike | Sequence[Any] | None = None,
        head_mask: ArrayLike | Sequence[Any] | None = None,
        segments: ArrayLike | Sequence[Any] | None = None,
        labels: ArrayLike | Sequence[Any] | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: Literal[True] | None = None,
        mask_positions: ArrayLike | Sequence[Any] | None = None,
        params: Any = None,
        train: bool | None = None,
        dropout_rng: Array | None = None,
    ) -> FlaxMaskedLMOutput: ...
    @overload
    def __call__(
        self,
        input_ids: ArrayLike | Sequence[Any] | None = None,
        attention_mask: ArrayLike | Sequence[Any] | None = None,
        token_type_ids: ArrayLike | Sequence[Any] | None = None,
        position_ids: ArrayLike | Sequence[Any] | None = None,
        *,
        inputs_embeds: ArrayLike | Sequence[Any] | None = None,
        head_mask: ArrayLike | Sequence[Any] | None = None,
        segments: ArrayLike | Sequence[Any] | None = None,
        labels: ArrayLike | Sequence[Any] | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: Literal[False],
        mask_positions: ArrayLike | Sequence[Any] | None = None,
        params: Any = None,
        train: bool | None = None,
        dropout_rng: Array | None = None,
    ) -> tuple[Any, ...]: ...

class FlaxBertForCausalLM(FlaxBertPreTrainedModel):
    """Next-word prediction with the parameters of masked-word prediction; causal under `is_decoder`."""

    bert: FlaxBertModel
    cls: Any
    def __init__(self, config: BertConfig, **options: Any) -> None: ...
    @overload
    def forward(
        self,
        input_ids: ArrayLike | Sequence[Any] | None = None,
        attention_mask: ArrayLike | Sequence[Any] | None = None,
        token_type_ids: ArrayLike | Sequence[Any] | None = None,
        position_ids: ArrayLike | Sequence[Any] | None = None,
        *,
        inputs_embeds: ArrayLike | Sequence[Any] | None = None,
        head_mask: ArrayLike | Sequence[Any] | None = None,
        encoder_hidden_states: ArrayLike | Sequence[Any] | None = None,
        encoder_attention_mask: ArrayLike | Sequence[Any] | None = None,
        labels: ArrayLike | Sequence[Any] | None = None,
        num_items_in_batch: Any = None,
        past_key_values: Any = None,
        use_cache: bool | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: Literal[True] | None = None,
        mask_positions: ArrayLike | Sequence[Any] | None = None,
    ) -> FlaxCausalLMOutput: ...
    @overload
    def forward(
        self,
        input_ids: ArrayLike | Sequence[Any] | None = None,
        attention_mask: ArrayLike | Sequence[Any] | None = None,
        token_type_ids: ArrayLike | Sequence[Any] | None = None,
        position_ids: ArrayLike | Sequence[Any] | None = None,
        *,
        inputs_embeds: ArrayLike | Sequence[Any] | None = None,
        head_mask: ArrayLike | Sequence[Any] | None = None,
        encoder_hidden_states: ArrayLike | Sequence[Any] | None = None,
        encoder_attention_mask: ArrayLike | Sequence[Any] | None = None,
        labels: ArrayLike | Sequence[Any] | None = None,
        num_items_in_batch: Any = None,
        past_key_values: Any = None,
        use_cache: bool | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: Literal[False],
        mask_positions: ArrayLike | Sequence[Any] | None = None,
    ) -> tuple[Any, ...]: ...
    @overload
    def __call__(
        self,
        input_ids: ArrayLike | Sequence[Any] | None = None,
        attention_mask: ArrayLike | Sequence[Any] | None = None,
        token_type_ids: ArrayLike | Sequence[Any] | None = None,
        position_ids: ArrayLike | Sequence[Any] | None = None,
        *,
        inputs_embeds: ArrayLike | Sequence[Any] | None = None,
        head_mask: ArrayLike | Sequence[Any] | None = None,
        encoder_hidden_states: ArrayLike | Sequence[Any] | None = None,
        encoder_attention_mask: ArrayLike | Sequence[Any] | None = None,
        labels: ArrayLike | Sequence[Any] | None = None,
        num_items_in_batch: Any = None,
        past_key_values: Any = None,
        use_cache: bool | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: Literal[True] | None = None,
        mask_positions: ArrayLike | Sequence[Any] | None = None,
        params: Any = None,
        train: bool | None = None,
        dropout_rng: Array | None = None,
    ) -> FlaxCausalLMOutput: ...
    @overload
    def __call__(
        self,
        input_ids: ArrayLike | Sequence[Any] | None = None,
        attention_mask: ArrayLike | Sequence[Any] | None = None,
        token_type_ids: ArrayLike | Sequence[Any] | None = None,
        position_ids: ArrayLike | Sequence[Any] | None = None,
        *,
        inputs_embeds: ArrayLike | Sequence[Any] | None = None,
        head_mask: ArrayLike | Sequence[Any] | None = None,
        encoder_hidden_states: ArrayLike | Sequence[Any] | None = None,
        encoder_attention_mask: ArrayLike | Sequence[Any] | None = None,
        labels: ArrayLike | Sequence[Any] | None = None,
        num_items_in_batch: Any = None,
        past_key_values: Any = None,
        use_cache: bool | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: Literal[False],
        mask_positions: ArrayLike | Sequence[Any] | None = None,
        params: Any = None,
        train: bool | None = None,
        dropout_rng: Array | None = None,
    ) -> tuple[Any, ...]: ...

class FlaxBertForNextSentencePrediction(FlaxBertPreTrainedModel):
    """Next-sentence prediction (Devlin et al. 2019, section 3.1, task 2)."""

    bert: FlaxBertModel
    cls: Any
    def __init__(self, config: BertConfig, **options: Any) -> None: ...
    @overload
    def forward(
        self,
        input_ids: ArrayLike | Sequence[Any] | None = None,
        attention_mask: ArrayLike | Sequence[Any] | None = None,
        token_type_ids: ArrayLike | Sequence[Any] | None = None,
        position_ids: ArrayLike | Sequence[Any] | None = None,
        *,
        inputs_embeds: ArrayLike | Sequence[Any] | None = None,
        head_mask: ArrayLike | Sequence[Any] | None = None,
        segments: ArrayLike | Sequence[Any] | None = None,
        labels: ArrayLike | Sequence[Any] | None = None,
        next_sentence_label: ArrayLike | Sequence[Any] | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: Literal[True] | None = None,
    ) -> FlaxNextSentencePredictorOutput: ...
    @overload
    def forward(
        self,
        input_ids: ArrayLike | Sequence[Any] | None = None,
        attention_mask: ArrayLike | Sequence[Any] | None = None,
        token_type_ids: ArrayLike | Sequence[Any] | None = None,
        position_ids: ArrayLike | Sequence[Any] | None = None,
        *,
        inputs_embeds: ArrayLike | Sequence[Any] | None = None,
        head_mask: ArrayLike | Sequence[Any] | None = None,
        segments: ArrayLike | Sequence[Any] | None = None,
        labels: ArrayLike | Sequence[Any] | None = None,
        next_sentence_label: ArrayLike | Sequence[Any] | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: Literal[False],
    ) -> tuple[Any, ...]: ...
    @overload
    def __call__(
        self,
        input_ids: ArrayLike | Sequence[Any] | None = None,
        attention_mask: ArrayLike | Sequence[Any] | None = None,
        token_type_ids: ArrayLike | Sequence[Any] | None = None,
        position_ids: ArrayLike | Sequence[Any] | None = None,
        *,
        inputs_embeds: ArrayLike | Sequence[Any] | None = None,
        head_mask: ArrayLike | Sequence[Any] | None = None,
        segments: ArrayLike | Sequence[Any] | None = None,
        labels: ArrayLike | Sequence[Any] | None = None,
        next_sentence_label: ArrayLike | Sequence[Any] | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: Literal[True] | None = None,
        params: Any = None,
        train: bool | None = None,
        dropout_rng: Array | None = None,
    ) -> FlaxNextSentencePredictorOutput: ...
    @overload
    def __call__(
        self,
        input_ids: ArrayLike | Sequence[Any] | None = None,
        attention_mask: ArrayLike | Sequence[Any] | None = None,
        token_type_ids: ArrayLike | Sequence[Any] | None = None,
        position_ids: ArrayLike | Sequence[Any] | None = None,
        *,
        inputs_embeds: ArrayLike | Sequence[Any] | None = None,
        head_mask: ArrayLike | Sequence[Any] | None = None,
        segments: ArrayLike | Sequence[Any] | None = None,
        labels: ArrayLike | Sequence[Any] | None = None,
        next_sentence_label: ArrayLike | Sequence[Any] | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: Literal[False],
        params: Any = None,
        train: bool | None = None,
        dropout_rng: Array | None = None,
    ) -> tuple[Any, ...]: ...

class FlaxBertForPreTraining(FlaxBertPreTrainedModel):
    """Masked-word and next-sentence heads (Devlin et al. 2019, section 3.1)."""

    bert: FlaxBertModel
    cls: Any
    def __init__(self, config: BertConfig, **options: Any) -> None: ...
    @overload
    def forward(
        self,
        input_ids: ArrayLike | Sequence[Any] | None = None,
        attention_mask: ArrayLike | Sequence[Any] | None = None,
        token_type_ids: ArrayLike | Sequence[Any] | None = None,
        position_ids: ArrayLike | Sequence[Any] | None = None,
        *,
        inputs_embeds: ArrayLike | Sequence[Any] | None = None,
        head_mask: ArrayLike | Sequence[Any] | None = None,
        segments: ArrayLike | Sequence[Any] | None = None,
        labels: ArrayLike | Sequence[Any] | None = None,
        next_sentence_label: ArrayLike | Sequence[Any] | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: Literal[True] | None = None,
        mask_positions: ArrayLike | Sequence[Any] | None = None,
    ) -> FlaxBertForPreTrainingOutput: ...
    @overload
    def forward(
        self,
        input_ids: ArrayLike | Sequence[Any] | None = None,
        attention_mask: ArrayLike | Sequence[Any] | None = None,
        token_type_ids: ArrayLike | Sequence[Any] | None = None,
        position_ids: ArrayLike | Sequence[Any] | None = None,
        *,
        inputs_embeds: ArrayLike | Sequence[Any] | None = None,
        head_mask: ArrayLike | Sequence[Any] | None = None,
        segments: ArrayLike | Sequence[Any] | None = None,
        labels: ArrayLike | Sequence[Any] | None = None,
        next_sentence_label: ArrayLike | Sequence[Any] | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: Literal[False],
        mask_positions: ArrayLike | Sequence[Any] | None = None,
    ) -> tuple[Any, ...]: ...
    @overload
    def __call__(
        self,
        input_ids: ArrayLike | Sequence[Any] | None = None,
        attention_mask: ArrayLike | Sequence[Any] | None = None,
        token_type_ids: ArrayLike | Sequence[Any] | None = None,
        position_ids: ArrayLike | Sequence[Any] | None = None,
        *,
        inputs_embeds: ArrayLike | Sequence[Any] | None = None,
        head_mask: ArrayLike | Sequence[Any] | None = None,
        segments: ArrayLike | Sequence[Any] | None = None,
        labels: ArrayLike | Sequence[Any] | None = None,
        next_sentence_label: ArrayLike | Sequence[Any] | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: Literal[True] | None = None,
        mask_positions: ArrayLike | Sequence[Any] | None = None,
        params: Any = None,
        train: bool | None = None,
        dropout_rng: Array | None = None,
    ) -> FlaxBertForPreTrainingOutput: ...
    @overload
    def __call__(
        self,
        input_ids: ArrayLike | Sequence[Any] | None = None,
        attention_mask: ArrayLike | Sequence[Any] | None = None,
        token_type_ids: ArrayLike | Sequence[Any] | None = None,
        position_ids: ArrayLike | Sequence[Any] | None = None,
        *,
        inputs_embeds: ArrayLike | Sequence[Any] | None = None,
        head_mask: ArrayLike | Sequence[Any] | None = None,
        segments: ArrayLike | Sequence[Any] | None = None,
        labels: ArrayLike | Sequence[Any] | None = None,
        next_sentence_label: ArrayLike | Sequence[Any] | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: Literal[False],
        mask_positions: ArrayLike | Sequence[Any] | None = None,
        params: Any = None,
        train: bool | None = None,
        dropout_rng: Array | None = None,
    ) -> tuple[Any, ...]: ...

class FlaxBertForSequenceClassification(FlaxBertPreTrainedModel):
    """A Linear on the pooled output: one label, several, or numbers, by `problem_type`."""

    bert: FlaxBertModel
    dropout: Any
    classifier: Any
    def __init__(self, config: BertConfig, **options: Any) -> None: ...
    @overload
    def forward(
        self,
        input_ids: ArrayLike | Sequence[Any] | None = None,
        attention_mask: ArrayLike | Sequence[Any] | None = None,
        token_type_ids: ArrayLike | Sequence[Any] | None = None,
        position_ids: ArrayLike | Sequence[Any] | None = None,
        *,
        inputs_embeds: ArrayLike | Sequence[Any] | None = None,
        head_mask: ArrayLike | Sequence[Any] | None = None,
        segments: ArrayLike | Sequence[Any] | None = None,
        labels: ArrayLike | Sequence[Any] | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: Literal[True] | None = None,
        mask_positions: ArrayLike | Sequence[Any] | None = None,
    ) -> FlaxSequenceClassifierOutput: ...
    @overload
    def forward(
        self,
        input_ids: ArrayLike | Sequence[Any] | None = None,
        attention_mask: ArrayLike | Sequence[Any] | None = None,
        token_type_ids: ArrayLike | Sequence[Any] | None = None,
        position_ids: ArrayLike | Sequence[Any] | None = None,
        *,
        inputs_embeds: ArrayLike | Sequence[Any] | None = None,
        head_mask: ArrayLike | Sequence[Any] | None = None,
        segments: ArrayLike | Sequence[Any] | None = None,
        labels: ArrayLike | Sequence[Any] | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: Literal[False],
        mask_positions: ArrayLike | Sequence[Any] | None = None,
    ) -> tuple[Any, ...]: ...
    @overload
    def __call__(
        self,
        input_ids: ArrayLike | Sequence[Any] | None = None,
        attention_mask: ArrayLike | Sequence[Any] | None = None,
        token_type_ids: ArrayLike | Sequence[Any] | None = None,
        position_ids: ArrayLike | Sequence[Any] | None = None,
        *,
        inputs_embeds: ArrayLike | Sequence[Any] | None = None,
        head_mask: ArrayLike | Sequence[Any] | None = None,
        segments: ArrayLike | Sequence[Any] | None = None,
        labels: ArrayLike | Sequence[Any] | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: Literal[True] | None = None,
        mask_positions: ArrayLike | Sequence[Any] | None = None,
        params: Any = None,
        train: bool | None = None,
        dropout_rng: Array | None = None,
    ) -> FlaxSequenceClassifierOutput: ...
    @overload
    def __call__(
        self,
        input_ids: ArrayLike | Sequence[Any] | None = None,
        attention_mask: ArrayLike | Sequence[Any] | None = None,
        token_type_ids: ArrayLike | Sequence[Any] | None = None,
        position_ids: ArrayLike | Sequence[Any] | None = None,
        *,
        inputs_embeds: ArrayLike | Sequence[Any] | None = None,
        head_mask: ArrayLike | Sequence[Any] | None = None,
        segments: ArrayLike | Sequence[Any] | None = None,
        labels: ArrayLike | Sequence[Any] | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: Literal[False],
        mask_positions: ArrayLike | Sequence[Any] | None = None,
        params: Any = None,
        train: bool | None = None,
        dropout_rng: Array | None = None,
    ) -> tuple[Any, ...]: ...

class FlaxBertForTokenClassification(FlaxBertPreTrainedModel):
    """A Linear on every position."""

    bert: FlaxBertModel
    dropout: Any
    classifier: Any
    def __init__(self, config: BertConfig, **options: Any) -> None: ...
    @overload
    def forward(
        self,
        input_ids: ArrayLike | Sequence[Any] | None = None,
        attention_mask: ArrayLike | Sequence[Any] | None = None,
        token_type_ids: ArrayLike | Sequence[Any] | None = None,
        position_ids: ArrayLike | Sequence[Any] | None = None,
        *,
        inputs_embeds: ArrayLike | Sequence[Any] | None = None,
        head_mask: ArrayLike | Sequence[Any] | None = None,
        segments: ArrayLike | Sequence[Any] | None = None,
        labels: ArrayLike | Sequence[Any] | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: Literal[True] | None = None,
        mask_positions: ArrayLike | Sequence[Any] | None = None,
    ) -> FlaxTokenClassifierOutput: ...
    @overload
    def forward(
        self,
        input_ids: ArrayLike | Sequence[Any] | None = None,
        attention_mask: ArrayLike | Sequence[Any] | None = None,
        token_type_ids: ArrayLike | Sequence[Any] | None = None,
        position_ids: ArrayLike | Sequence[Any] | None = None,
        *,
        inputs_embeds: ArrayLike | Sequence[Any] | None = None,
        head_mask: ArrayLike | Sequence[Any] | None = None,
        segments: ArrayLike | Sequence[Any] | None = None,
        labels: ArrayLike | Sequence[Any] | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: Literal[False],
        mask_positions: ArrayLike | Sequence[Any] | None = None,
    ) -> tuple[Any, ...]: ...
    @overload
    def __call__(
        self,
        input_ids: ArrayLike | Sequence[Any] | None = None,
        attention_mask: ArrayLike | Sequence[Any] | None = None,
        token_type_ids: ArrayLike | Sequence[Any] | None = None,
        position_ids: ArrayLike | Sequence[Any] | None = None,
        *,
        inputs_embeds: ArrayLike | Sequence[Any] | None = None,
        head_mask: ArrayLike | Sequence[Any] | None = None,
        segments: ArrayLike | Sequence[Any] | None = None,
        labels: ArrayLike | Sequence[Any] | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: Literal[True] | None = None,
        mask_positions: ArrayLike | Sequence[Any] | None = None,
        params: Any = None,
        train: bool | None = None,
        dropout_rng: Array | None = None,
    ) -> FlaxTokenClassifierOutput: ...
    @overload
    def __call__(
        self,
        input_ids: ArrayLike | Sequence[Any] | None = None,
        attention_mask: ArrayLike | Sequence[Any] | None = None,
        token_type_ids: ArrayLike | Sequence[Any] | None = None,
        position_ids: ArrayLike | Sequence[Any] | None = None,
        *,
        inputs_embeds: ArrayLike | Sequence[Any] | None = None,
        head_mask: ArrayLike | Sequence[Any] | None = None,
        segments: ArrayLike | Sequence[Any] | None = None,
        labels: ArrayLike | Sequence[Any] | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: Literal[False],
        mask_positions: ArrayLike | Sequence[Any] | None = None,
        params: Any = None,
        train: bool | None = None,
        dropout_rng: Array | None = None,
    ) -> tuple[Any, ...]: ...

class FlaxBertForMultipleChoice(FlaxBertPreTrainedModel):
    """A score for each of C texts, softmax over them; every input is [B, C, T]."""

    bert: FlaxBertModel
    dropout: Any
    classifier: Any
    def __init__(self, config: BertConfig, **options: Any) -> None: ...
    @overload
    def forward(
        self,
        input_ids: ArrayLike | Sequence[Any] | None = None,
        attention_mask: ArrayLike | Sequence[Any] | None = None,
        token_type_ids: ArrayLike | Sequence[Any] | None = None,
        position_ids: ArrayLike | Sequence[Any] | None = None,
        *,
        inputs_embeds: ArrayLike | Sequence[Any] | None = None,
        head_mask: ArrayLike | Sequence[Any] | None = None,
        segments: ArrayLike | Sequence[Any] | None = None,
        labels: ArrayLike | Sequence[Any] | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: Literal[True] | None = None,
    ) -> FlaxMultipleChoiceModelOutput: ...
    @overload
    def forward(
        self,
        input_ids: ArrayLike | Sequence[Any] | None = None,
        attention_mask: ArrayLike | Sequence[Any] | None = None,
        token_type_ids: ArrayLike | Sequence[Any] | None = None,
        position_ids: ArrayLike | Sequence[Any] | None = None,
        *,
        inputs_embeds: ArrayLike | Sequence[Any] | None = None,
        head_mask: ArrayLike | Sequence[Any] | None = None,
        segments: ArrayLike | Sequence[Any] | None = None,
        labels: ArrayLike | Sequence[Any] | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: Literal[False],
    ) -> tuple[Any, ...]: ...
    @overload
    def __call__(
        self,
        input_ids: ArrayLike | Sequence[Any] | None = None,
        attention_mask: ArrayLike | Sequence[Any] | None = None,
        token_type_ids: ArrayLike | Sequence[Any] | None = None,
        position_ids: ArrayLike | Sequence[Any] | None = None,
        *,
        inputs_embeds: ArrayLike | Sequence[Any] | None = None,
        head_mask: ArrayLike | Sequence[Any] | None = None,
        segments: ArrayLike | Sequence[Any] | None = None,
        labels: ArrayLike | Sequence[Any] | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: Literal[True] | None = None,
        params: Any = None,
        train: bool | None = None,
        dropout_rng: Array | None = None,
    ) -> FlaxMultipleChoiceModelOutput: ...
    @overload
    def __call__(
        self,
        input_ids: ArrayLike | Sequence[Any] | None = None,
        attention_mask: ArrayLike | Sequence[Any] | None = None,
        token_type_ids: ArrayLike | Sequence[Any] | None = None,
        position_ids: ArrayLike | Sequence[Any] | None = None,
        *,
        inputs_embeds: ArrayLike | Sequence[Any] | None = None,
        head_mask: ArrayLike | Sequence[Any] | None = None,
        segments: ArrayLike | Sequence[Any] | None = None,
        labels: ArrayLike | Sequence[Any] | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: Literal[False],
        params: Any = None,
        train: bool | None = None,
        dropout_rng: Array | None = None,
    ) -> tuple[Any, ...]: ...

class FlaxBertForQuestionAnswering(FlaxBertPreTrainedModel):
    """Where the answer starts and ends (Devlin et al. 2019, section 4.2)."""

    bert: FlaxBertModel
    qa_outputs: Any
    def __init__(self, config: BertConfig, **options: Any) -> None: ...
    @overload
    def forward(
        self,
        input_ids: ArrayLike | Sequence[Any] | None = None,
        attention_mask: ArrayLike | Sequence[Any] | None = None,
        token_type_ids: ArrayLike | Sequence[Any] | None = None,
        position_ids: ArrayLike | Sequence[Any] | None = None,
        *,
        inputs_embeds: ArrayLike | Sequence[Any] | None = None,
        head_mask: ArrayLike | Sequence[Any] | None = None,
        segments: ArrayLike | Sequence[Any] | None = None,
        start_positions: ArrayLike | Sequence[Any] | None = None,
        end_positions: ArrayLike | Sequence[Any] | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: Literal[True] | None = None,
    ) -> FlaxQuestionAnsweringModelOutput: ...
    @overload
    def forward(
        self,
        input_ids: ArrayLike | Sequence[Any] | None = None,
        attention_mask: ArrayLike | Sequence[Any] | None = None,
        token_type_ids: ArrayLike | Sequence[Any] | None = None,
        position_ids: ArrayLike | Sequence[Any] | None = None,
        *,
        inputs_embeds: ArrayLike | Sequence[Any] | None = None,
        head_mask: ArrayLike | Sequence[Any] | None = None,
        segments: ArrayLike | Sequence[Any] | None = None,
        start_positions: ArrayLike | Sequence[Any] | None = None,
        end_positions: ArrayLike | Sequence[Any] | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: Literal[False],
    ) -> tuple[Any, ...]: ...
    @overload
    def __call__(
        self,
        input_ids: ArrayLike | Sequence[Any] | None = None,
        attention_mask: ArrayLike | Sequence[Any] | None = None,
        token_type_ids: ArrayLike | Sequence[Any] | None = None,
        position_ids: ArrayLike | Sequence[Any] | None = None,
        *,
        inputs_embeds: ArrayLike | Sequence[Any] | None = None,
        head_mask: ArrayLike | Sequence[Any] | None = None,
        segments: ArrayLike | Sequence[Any] | None = None,
        start_positions: ArrayLike | Sequence[Any] | None = None,
        end_positions: ArrayLike | Sequence[Any] | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: Literal[True] | None = None,
        params: Any = None,
        train: bool | None = None,
        dropout_rng: Array | None = None,
    ) -> FlaxQuestionAnsweringModelOutput: ...
    @overload
    def __call__(
        self,
        input_ids: ArrayLike | Sequence[Any] | None = None,
        attention_mask: ArrayLike | Sequence[Any] | None = None,
        token_type_ids: ArrayLike | Sequence[Any] | None = None,
        position_ids: ArrayLike | Sequence[Any] | None = None,
        *,
        inputs_embeds: ArrayLike | Sequence[Any] | None = None,
        head_mask: ArrayLike | Sequence[Any] | None = None,
        segments: ArrayLike | Sequence[Any] | None = None,
        start_positions: ArrayLike | Sequence[Any] | None = None,
        end_positions: ArrayLike | Sequence[Any] | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: Literal[False],
        params: Any = None,
        train: bool | None = None,
        dropout_rng: Array | None = None,
    ) -> tuple[Any, ...]: ...

class FlaxEncoderDecoderModel(Model):
    """A model without a head reads a text, and one that predicts the next word writes another.

    Where the sizes differ, `enc_to_dec_proj` takes the encoder's states to the decoder's; with `tie_encoder_decoder` in
    the config both have the same parameters, but for the pooler, cross-attention and what scores words."""

    encoder: Any
    decoder: Any
    def __init__(self, config: EncoderDecoderConfig, **options: Any) -> None: ...
    @overload
    def forward(
        self,
        input_ids: ArrayLike | Sequence[Any] | None = None,
        attention_mask: ArrayLike | Sequence[Any] | None = None,
        decoder_input_ids: ArrayLike | Sequence[Any] | None = None,
        decoder_attention_mask: ArrayLike | Sequence[Any] | None = None,
        *,
        encoder_outputs: Any = None,
        past_key_values: Any = None,
        inputs_embeds: ArrayLike | Sequence[Any] | None = None,
        decoder_inputs_embeds: ArrayLike | Sequence[Any] | None = None,
        labels: ArrayLike | Sequence[Any] | None = None,
        token_type_ids: ArrayLike | Sequence[Any] | None = None,
        position_ids: ArrayLike | Sequence[Any] | None = None,
        decoder_token_type_ids: ArrayLike | Sequence[Any] | None = None,
        decoder_position_ids: ArrayLike | Sequence[Any] | None = None,
        head_mask: ArrayLike | Sequence[Any] | None = None,
        decoder_head_mask: ArrayLike | Sequence[Any] | None = None,
        use_cache: bool | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: Literal[True] | None = None,
        mask_positions: ArrayLike | Sequence[Any] | None = None,
    ) -> FlaxSeq2SeqLMOutput: ...
    @overload
    def forward(
        self,
        input_ids: ArrayLike | Sequence[Any] | None = None,
        attention_mask: ArrayLike | Sequence[Any] | None = None,
        decoder_input_ids: ArrayLike | Sequence[Any] | None = None,
        decoder_attention_mask: ArrayLike | Sequence[Any] | None = None,
        *,
        encoder_outputs: Any = None,
        past_key_values: Any = None,
        inputs_embeds: ArrayLike | Sequence[Any] | None = None,
        decoder_inputs_embeds: ArrayLike | Sequence[Any] | None = None,
        labels: ArrayLike | Sequence[Any] | None = None,
        token_type_ids: ArrayLike | Sequence[Any] | None = None,
        position_ids: ArrayLike | Sequence[Any] | None = None,
        decoder_token_type_ids: ArrayLike | Sequence[Any] | None = None,
        decoder_position_ids: ArrayLike | Sequence[Any] | None = None,
        head_mask: ArrayLike | Sequence[Any] | None = None,
        decoder_head_mask: ArrayLike | Sequence[Any] | None = None,
        use_cache: bool | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: Literal[False],
        mask_positions: ArrayLike | Sequence[Any] | None = None,
    ) -> tuple[Any, ...]: ...
    @overload
    def __call__(
        self,
        input_ids: ArrayLike | Sequence[Any] | None = None,
        attention_mask: ArrayLike | Sequence[Any] | None = None,
        decoder_input_ids: ArrayLike | Sequence[Any] | None = None,
        decoder_attention_mask: ArrayLike | Sequence[Any] | None = None,
        *,
        encoder_outputs: Any = None,
        past_key_values: Any = None,
        inputs_embeds: ArrayLike | Sequence[Any] | None = None,
        decoder_inputs_embeds: ArrayLike | Sequence[Any] | None = None,
        labels: ArrayLike | Sequence[Any] | None = None,
        token_type_ids: ArrayLike | Sequence[Any] | None = None,
        position_ids: ArrayLike | Sequence[Any] | None = None,
        decoder_token_type_ids: ArrayLike | Sequence[Any] | None = None,
        decoder_position_ids: ArrayLike | Sequence[Any] | None = None,
        head_mask: ArrayLike | Sequence[Any] | None = None,
        decoder_head_mask: ArrayLike | Sequence[Any] | None = None,
        use_cache: bool | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: Literal[True] | None = None,
        mask_positions: ArrayLike | Sequence[Any] | None = None,
        params: Any = None,
        train: bool | None = None,
        dropout_rng: Array | None = None,
    ) -> FlaxSeq2SeqLMOutput: ...
    @overload
    def __call__(
        self,
        input_ids: ArrayLike | Sequence[Any] | None = None,
        attention_mask: ArrayLike | Sequence[Any] | None = None,
        decoder_input_ids: ArrayLike | Sequence[Any] | None = None,
        decoder_attention_mask: ArrayLike | Sequence[Any] | None = None,
        *,
        encoder_outputs: Any = None,
        past_key_values: Any = None,
        inputs_embeds: ArrayLike | Sequence[Any] | None = None,
        decoder_inputs_embeds: ArrayLike | Sequence[Any] | None = None,
        labels: ArrayLike | Sequence[Any] | None = None,
        token_type_ids: ArrayLike | Sequence[Any] | None = None,
        position_ids: ArrayLike | Sequence[Any] | None = None,
        decoder_token_type_ids: ArrayLike | Sequence[Any] | None = None,
        decoder_position_ids: ArrayLike | Sequence[Any] | None = None,
        head_mask: ArrayLike | Sequence[Any] | None = None,
        decoder_head_mask: ArrayLike | Sequence[Any] | None = None,
        use_cache: bool | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: Literal[False],
        mask_positions: ArrayLike | Sequence[Any] | None = None,
        params: Any = None,
        train: bool | None = None,
        dropout_rng: Array | None = None,
    ) -> tuple[Any, ...]: ...

class FlaxRobertaModel(FlaxRobertaPreTrainedModel):
    """RoBERTa without a head: embeddings, encoder and, unless left out, the pooler."""

    embeddings: Any
    encoder: Any
    pooler: Any
    def __init__(self, config: RobertaConfig, add_pooling_layer: bool = True, **options: Any) -> None: ...
    @overload
    def forward(
        self,
        input_ids: ArrayLike | Sequence[Any] | None = None,
        attention_mask: ArrayLike | Sequence[Any] | None = None,
        token_type_ids: ArrayLike | Sequence[Any] | None = None,
        position_ids: ArrayLike | Sequence[Any] | None = None,
        *,
        inputs_embeds: ArrayLike | Sequence[Any] | None = None,
        head_mask: ArrayLike | Sequence[Any] | None = None,
        encoder_hidden_states: ArrayLike | Sequence[Any] | None = None,
        encoder_attention_mask: ArrayLike | Sequence[Any] | None = None,
        past_key_values: Any = None,
        use_cache: bool | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: Literal[True] | None = None,
        readout: Any = None,
        segments: ArrayLike | Sequence[Any] | None = None,
    ) -> FlaxBaseModelOutputWithPooling: ...
    @overload
    def forward(
        self,
        input_ids: ArrayLike | Sequence[Any] | None = None,
        attention_mask: ArrayLike | Sequence[Any] | None = None,
        token_type_ids: ArrayLike | Sequence[Any] | None = None,
        position_ids: ArrayLike | Sequence[Any] | None = None,
        *,
        inputs_embeds: ArrayLike | Sequence[Any] | None = None,
        head_mask: ArrayLike | Sequence[Any] | None = None,
        encoder_hidden_states: ArrayLike | Sequence[Any] | None = None,
        encoder_attention_mask: ArrayLike | Sequence[Any] | None = None,
        past_key_values: Any = None,
        use_cache: bool | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: Literal[False],
        readout: Any = None,
        segments: ArrayLike | Sequence[Any] | None = None,
    ) -> tuple[Any, ...]: ...
    @overload
    def __call__(
        self,
        input_ids: ArrayLike | Sequence[Any] | None = None,
        attention_mask: ArrayLike | Sequence[Any] | None = None,
        token_type_ids: ArrayLike | Sequence[Any] | None = None,
        position_ids: ArrayLike | Sequence[Any] | None = None,
        *,
        inputs_embeds: ArrayLike | Sequence[Any] | None = None,
        head_mask: ArrayLike | Sequence[Any] | None = None,
        encoder_hidden_states: ArrayLike | Sequence[Any] | None = None,
        encoder_attention_mask: ArrayLike | Sequence[Any] | None = None,
        past_key_values: Any = None,
        use_cache: bool | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: Literal[True] | None = None,
        readout: Any = None,
        segments: ArrayLike | Sequence[Any] | None = None,
        params: Any = None,
        train: bool | None = None,
        dropout_rng: Array | None = None,
    ) -> FlaxBaseModelOutputWithPooling: ...
    @overload
    def __call__(
        self,
        input_ids: ArrayLike | Sequence[Any] | None = None,
        attention_mask: ArrayLike | Sequence[Any] | None = None,
        token_type_ids: ArrayLike | Sequence[Any] | None = None,
        position_ids: ArrayLike | Sequence[Any] | None = None,
        *,
        inputs_embeds: ArrayLike | Sequence[Any] | None = None,
        head_mask: ArrayLike | Sequence[Any] | None = None,
        encoder_hidden_states: ArrayLike | Sequence[Any] | None = None,
        encoder_attention_mask: ArrayLike | Sequence[Any] | None = None,
        past_key_values: Any = None,
        use_cache: bool | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: Literal[False],
        readout: Any = None,
        segments: ArrayLike | Sequence[Any] | None = None,
        params: Any = None,
        train: bool | None = None,
        dropout_rng: Array | None = None,
    ) -> tuple[Any, ...]: ...

class FlaxRobertaForMaskedLM(FlaxRobertaPreTrainedModel):
    """Masked-word prediction."""

    roberta: FlaxRobertaModel
    lm_head: Any
    def __init__(self, config: RobertaConfig, **options: Any) -> None: ...
    @overload
    def forward(
        self,
        input_ids: ArrayLike | Sequence[Any] | None = None,
        attention_mask: ArrayLike | Sequence[Any] | None = None,
        token_type_ids: ArrayLike | Sequence[Any] | None = None,
        position_ids: ArrayLike | Sequence[Any] | None = None,
        *,
        inputs_embeds: ArrayLike | Sequence[Any] | None = None,
        head_mask: ArrayLike | Sequence[Any] | None = None,
        segments: ArrayLike | Sequence[Any] | None = None,
        labels: ArrayLike | Sequence[Any] | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: Literal[True] | None = None,
        mask_positions: ArrayLike | Sequence[Any] | None = None,
    ) -> FlaxMaskedLMOutput: ...
    @overload
    def forward(
        self,
        input_ids: ArrayLike | Sequence[Any] | None = None,
        attention_mask: ArrayLike | Sequence[Any] | None = None,
        token_type_ids: ArrayLike | Sequence[Any] | None = None,
        position_ids: ArrayLike | Sequence[Any] | None = None,
        *,
        inputs_embeds: ArrayLike | Sequence[Any] | None = None,
        head_mask: ArrayLike | Sequence[Any] | None = None,
        segments: ArrayLike | Sequence[Any] | None = None,
        labels: ArrayLike | Sequence[Any] | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: Literal[False],
        mask_positions: ArrayLike | Sequence[Any] | None = None,
    ) -> tuple[Any, ...]: ...
    @overload
    def __call__(
        self,
        input_ids: ArrayLike | Sequence[Any] | None = None,
        attention_mask: ArrayLike | Sequence[Any] | None = None,
        token_type_ids: ArrayLike | Sequence[Any] | None = None,
        position_ids: ArrayLike | Sequence[Any] | None = None,
        *,
        inputs_embeds: ArrayLike | Sequence[Any] | None = None,
        head_mask: ArrayLike | Sequence[Any] | None = None,
        segments: ArrayLike | Sequence[Any] | None = None,
        labels: ArrayLike | Sequence[Any] | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: Literal[True] | None = None,
        mask_positions: ArrayLike | Sequence[Any] | None = None,
        params: Any = None,
        train: bool | None = None,
        dropout_rng: Array | None = None,
    ) -> FlaxMaskedLMOutput: ...
    @overload
    def __call__(
        self,
        input_ids: ArrayLike | Sequence[Any] | None = None,
        attention_mask: ArrayLike | Sequence[Any] | None = None,
        token_type_ids: ArrayLike | Sequence[Any] | None = None,
        position_ids: ArrayLike | Sequence[Any] | None = None,
        *,
        inputs_embeds: ArrayLike | Sequence[Any] | None = None,
        head_mask: ArrayLike | Sequence[Any] | None = None,
        segments: ArrayLike | Sequence[Any] | None = None,
        labels: ArrayLike | Sequence[Any] | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: Literal[False],
        mask_positions: ArrayLike | Sequence[Any] | None = None,
        params: Any = None,
        train: bool | None = None,
        dropout_rng: Array | None = None,
    ) -> tuple[Any, ...]: ...

class FlaxRobertaForCausalLM(FlaxRobertaPreTrainedModel):
    """Next-word prediction with the parameters of masked-word prediction; causal under `is_decoder`."""

    roberta: FlaxRobertaModel
    lm_head: Any
    def __init__(self, config: RobertaConfig, **options: Any) -> None: ...
    @overload
    def forward(
        self,
        input_ids: ArrayLike | Sequence[Any] | None = None,
        attention_mask: ArrayLike | Sequence[Any] | None = None,
        token_type_ids: ArrayLike | Sequence[Any] | None = None,
        position_ids: ArrayLike | Sequence[Any] | None = None,
        *,
        inputs_embeds: ArrayLike | Sequence[Any] | None = None,
        head_mask: ArrayLike | Sequence[Any] | None = None,
        encoder_hidden_states: ArrayLike | Sequence[Any] | None = None,
        encoder_attention_mask: ArrayLike | Sequence[Any] | None = None,
        labels: ArrayLike | Sequence[Any] | None = None,
        num_items_in_batch: Any = None,
        past_key_values: Any = None,
        use_cache: bool | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: Literal[True] | None = None,
        mask_positions: ArrayLike | Sequence[Any] | None = None,
    ) -> FlaxCausalLMOutput: ...
    @overload
    def forward(
        self,
        input_ids: ArrayLike | Sequence[Any] | None = None,
        attention_mask: ArrayLike | Sequence[Any] | None = None,
        token_type_ids: ArrayLike | Sequence[Any] | None = None,
        position_ids: ArrayLike | Sequence[Any] | None = None,
        *,
        inputs_embeds: ArrayLike | Sequence[Any] | None = None,
        head_mask: ArrayLike | Sequence[Any] | None = None,
        encoder_hidden_states: ArrayLike | Sequence[Any] | None = None,
        encoder_attention_mask: ArrayLike | Sequence[Any] | None = None,
        labels: ArrayLike | Sequence[Any] | None = None,
        num_items_in_batch: Any = None,
        past_key_values: Any = None,
        use_cache: bool | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: Literal[False],
        mask_positions: ArrayLike | Sequence[Any] | None = None,
    ) -> tuple[Any, ...]: ...
    @overload
    def __call__(
        self,
        input_ids: ArrayLike | Sequence[Any] | None = None,
        attention_mask: ArrayLike | Sequence[Any] | None = None,
        token_type_ids: ArrayLike | Sequence[Any] | None = None,
        position_ids: ArrayLike | Sequence[Any] | None = None,
        *,
        inputs_embeds: ArrayLike | Sequence[Any] | None = None,
        head_mask: ArrayLike | Sequence[Any] | None = None,
        encoder_hidden_states: ArrayLike | Sequence[Any] | None = None,
        encoder_attention_mask: ArrayLike | Sequence[Any] | None = None,
        labels: ArrayLike | Sequence[Any] | None = None,
        num_items_in_batch: Any = None,
        past_key_values: Any = None,
        use_cache: bool | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: Literal[True] | None = None,
        mask_positions: ArrayLike | Sequence[Any] | None = None,
        params: Any = None,
        train: bool | None = None,
        dropout_rng: Array | None = None,
    ) -> FlaxCausalLMOutput: ...
    @overload
    def __call__(
        self,
        input_ids: ArrayLike | Sequence[Any] | None = None,
        attention_mask: ArrayLike | Sequence[Any] | None = None,
        token_type_ids: ArrayLike | Sequence[Any] | None = None,
        position_ids: ArrayLike | Sequence[Any] | None = None,
        *,
        inputs_embeds: ArrayLike | Sequence[Any] | None = None,
        head_mask: ArrayLike | Sequence[Any] | None = None,
        encoder_hidden_states: ArrayLike | Sequence[Any] | None = None,
        encoder_attention_mask: ArrayLike | Sequence[Any] | None = None,
        labels: ArrayLike | Sequence[Any] | None = None,
        num_items_in_batch: Any = None,
        past_key_values: Any = None,
        use_cache: bool | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: Literal[False],
        mask_positions: ArrayLike | Sequence[Any] | None = None,
        params: Any = None,
        train: bool | None = None,
        dropout_rng: Array | None = None,
    ) -> tuple[Any, ...]: ...

class FlaxRobertaForSequenceClassification(FlaxRobertaPreTrainedModel):
    """Two Linears on the first position: one label, several, or numbers, by `problem_type`."""

    roberta: FlaxRobertaModel
    classifier: Any
    def __init__(self, config: RobertaConfig, **options: Any) -> None: ...
    @overload
    def forward(
        self,
        input_ids: ArrayLike | Sequence[Any] | None = None,
        attention_mask: ArrayLike | Sequence[Any] | None = None,
        token_type_ids: ArrayLike | Sequence[Any] | None = None,
        position_ids: ArrayLike | Sequence[Any] | None = None,
        *,
        inputs_embeds: ArrayLike | Sequence[Any] | None = None,
        head_mask: ArrayLike | Sequence[Any] | None = None,
        segments: ArrayLike | Sequence[Any] | None = None,
        labels: ArrayLike | Sequence[Any] | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: Literal[True] | None = None,
        mask_positions: ArrayLike | Sequence[Any] | None = None,
    ) -> FlaxSequenceClassifierOutput: ...
    @overload
    def forward(
        self,
        input_ids: ArrayLike | Sequence[Any] | None = None,
        attention_mask: ArrayLike | Sequence[Any] | None = None,
        token_type_ids: ArrayLike | Sequence[Any] | None = None,
        position_ids: ArrayLike | Sequence[Any] | None = None,
        *,
        inputs_embeds: ArrayLike | Sequence[Any] | None = None,
        head_mask: ArrayLike | Sequence[Any] | None = None,
        segments: ArrayLike | Sequence[Any] | None = None,
        labels: ArrayLike | Sequence[Any] | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: Literal[False],
        mask_positions: ArrayLike | Sequence[Any] | None = None,
    ) -> tuple[Any, ...]: ...
    @overload
    def __call__(
        self,
        input_ids: ArrayLike | Sequence[Any] | None = None,
        attention_mask: ArrayLike | Sequence[Any] | None = None,
        token_type_ids: ArrayLike | Sequence[Any] | None = None,
        position_ids: ArrayLike | Sequence[Any] | None = None,
        *,
        inputs_embeds: ArrayLike | Sequence[Any] | None = None,
        head_mask: ArrayLike | Sequence[Any] | None = None,
        segments: ArrayLike | Sequence[Any] | None = None,
        labels: ArrayLike | Sequence[Any] | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: Literal[True] | None = None,
        mask_positions: ArrayLike | Sequence[Any] | None = None,
        params: Any = None,
        train: bool | None = None,
        dropout_rng: Array | None = None,
    ) -> FlaxSequenceClassifierOutput: ...
    @overload
    def __call__(
        self,
        input_ids: ArrayLike | Sequence[Any] | None = None,
        attention_mask: ArrayLike | Sequence[Any] | None = None,
        token_type_ids: ArrayLike | Sequence[Any] | None = None,
        position_ids: ArrayLike | Sequence[Any] | None = None,
        *,
        inputs_embeds: ArrayLike | Sequence[Any] | None = None,
        head_mask: ArrayLike | Sequence[Any] | None = None,
        segments: ArrayLike | Sequence[Any] | None = None,
        labels: ArrayLike | Sequence[Any] | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: Literal[False],
        mask_positions: ArrayLike | Sequence[Any] | None = None,
        params: Any = None,
        train: bool | None = None,
        dropout_rng: Array | None = None,
    ) -> tuple[Any, ...]: ...

class FlaxRobertaForTokenClassification(FlaxRobertaPreTrainedModel):
    """A Linear on every position."""

    roberta: FlaxRobertaModel
    dropout: Any
    classifier: Any
    def __init__(self, config: RobertaConfig, **options: Any) -> None: ...
    @overload
    def forward(
        self,
        input_ids: ArrayLike | Sequence[Any] | None = None,
        attention_mask: ArrayLike | Sequence[Any] | None = None,
        token_type_ids: ArrayLike | Sequence[Any] | None = None,
        position_ids: ArrayLike | Sequence[Any] | None = None,
        *,
        inputs_embeds: ArrayLike | Sequence[Any] | None = None,
        head_mask: ArrayLike | Sequence[Any] | None = None,
        segments: ArrayLike | Sequence[Any] | None = None,
        labels: ArrayLike | Sequence[Any] | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: Literal[True] | None = None,
        mask_positions: ArrayLike | Sequence[Any] | None = None,
    ) -> FlaxTokenClassifierOutput: ...
    @overload
    def forward(
        self,
        input_ids: ArrayLike | Sequence[Any] | None = None,
        attention_mask: ArrayLike | Sequence[Any] | None = None,
        token_type_ids: ArrayLike | Sequence[Any] | None = None,
        position_ids: ArrayLike | Sequence[Any] | None = None,
        *,
        inputs_embeds: ArrayLike | Sequence[Any] | None = None,
        head_mask: ArrayLike | Sequence[Any] | None = None,
        segments: ArrayLike | Sequence[Any] | None = None,
        labels: ArrayLike | Sequence[Any] | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: Literal[False],
        mask_positions: ArrayLike | Sequence[Any] | None = None,
    ) -> tuple[Any, ...]: ...
    @overload
    def __call__(
        self,
        input_ids: ArrayLike | Sequence[Any] | None = None,
        attention_mask: ArrayLike | Sequence[Any] | None = None,
        token_type_ids: ArrayLike | Sequence[Any] | None = None,
        position_ids: ArrayLike | Sequence[Any] | None = None,
        *,
        inputs_embeds: ArrayLike | Sequence[Any] | None = None,
        head_mask: ArrayLike | Sequence[Any] | None = None,
        segments: ArrayLike | Sequence[Any] | None = None,
        labels: ArrayLike | Sequence[Any] | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: Literal[True] | None = None,
        mask_positions: ArrayLike | Sequence[Any] | None = None,
        params: Any = None,
        train: bool | None = None,
        dropout_rng: Array | None = None,
    ) -> FlaxTokenClassifierOutput: ...
    @overload
    def __call__(
        self,
        input_ids: ArrayLike | Sequence[Any] | None = None,
        attention_mask: ArrayLike | Sequence[Any] | None = None,
        token_type_ids: ArrayLike | Sequence[Any] | None = None,
        position_ids: ArrayLike | Sequence[Any] | None = None,
        *,
        inputs_embeds: ArrayLike | Sequence[Any] | None = None,
        head_mask: ArrayLike | Sequence[Any] | None = None,
        segments: ArrayLike | Sequence[Any] | None = None,
        labels: ArrayLike | Sequence[Any] | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: Literal[False],
        mask_positions: ArrayLike | Sequence[Any] | None = None,
        params: Any = None,
        train: bool | None = None,
        dropout_rng: Array | None = None,
    ) -> tuple[Any, ...]: ...

class FlaxRobertaForMultipleChoice(FlaxRobertaPreTrainedModel):
    """A score for each of C texts, softmax over them; every input is [B, C, T]."""

    roberta: FlaxRobertaModel
    dropout: Any
    classifier: Any
    def __init__(self, config: RobertaConfig, **options: Any) -> None: ...
    @overload
    def forward(
        self,
        input_ids: ArrayLike | Sequence[Any] | None = None,
        attention_mask: ArrayLike | Sequence[Any] | None = None,
        token_type_ids: ArrayLike | Sequence[Any] | None = None,
        position_ids: ArrayLike | Sequence[Any] | None = None,
        *,
        inputs_embeds: ArrayLike | Sequence[Any] | None = None,
        head_mask: ArrayLike | Sequence[Any] | None = None,
        segments: ArrayLike | Sequence[Any] | None = None,
        labels: ArrayLike | Sequence[Any] | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: Literal[True] | None = None,
    ) -> FlaxMultipleChoiceModelOutput: ...
    @overload
    def forward(
        self,
        input_ids: ArrayLike | Sequence[Any] | None = None,
        attention_mask: ArrayLike | Sequence[Any] | None = None,
        token_type_ids: ArrayLike | Sequence[Any] | None = None,
        position_ids: ArrayLike | Sequence[Any] | None = None,
        *,
        inputs_embeds: ArrayLike | Sequence[Any] | None = None,
        head_mask: ArrayLike | Sequence[Any] | None = None,
        segments: ArrayLike | Sequence[Any] | None = None,
        labels: ArrayLike | Sequence[Any] | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: Literal[False],
    ) -> tuple[Any, ...]: ...
    @overload
    def __call__(
        self,
        input_ids: ArrayLike | Sequence[Any] | None = None,
        attention_mask: ArrayLike | Sequence[Any] | None = None,
        token_type_ids: ArrayLike | Sequence[Any] | None = None,
        position_ids: ArrayLike | Sequence[Any] | None = None,
        *,
        inputs_embeds: ArrayLike | Sequence[Any] | None = None,
        head_mask: ArrayLike | Sequence[Any] | None = None,
        segments: ArrayLike | Sequence[Any] | None = None,
        labels: ArrayLike | Sequence[Any] | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: Literal[True] | None = None,
        params: Any = None,
        train: bool | None = None,
        dropout_rng: Array | None = None,
    ) -> FlaxMultipleChoiceModelOutput: ...
    @overload
    def __call__(
        self,
        input_ids: ArrayLike | Sequence[Any] | None = None,
        attention_mask: ArrayLike | Sequence[Any] | None = None,
        token_type_ids: ArrayLike | Sequence[Any] | None = None,
        position_ids: ArrayLike | Sequence[Any] | None = None,
        *,
        inputs_embeds: ArrayLike | Sequence[Any] | None = None,
        head_mask: ArrayLike | Sequence[Any] | None = None,
        segments: ArrayLike | Sequence[Any] | None = None,
        labels: ArrayLike | Sequence[Any] | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: Literal[False],
        params: Any = None,
        train: bool | None = None,
        dropout_rng: Array | None = None,
    ) -> tuple[Any, ...]: ...

class FlaxRobertaForQuestionAnswering(FlaxRobertaPreTrainedModel):
    """Where the answer starts and ends."""

    roberta: FlaxRobertaModel
    qa_outputs: Any
    def __init__(self, config: RobertaConfig, **options: Any) -> None: ...
    @overload
    def forward(
        self,
        input_ids: ArrayLike | Sequence[Any] | None = None,
        attention_mask: ArrayLike | Sequence[Any] | None = None,
        token_type_ids: ArrayLike | Sequence[Any] | None = None,
        position_ids: ArrayLike | Sequence[Any] | None = None,
        *,
        inputs_embeds: ArrayLike | Sequence[Any] | None = None,
        head_mask: ArrayLike | Sequence[Any] | None = None,
        segments: ArrayLike | Sequence[Any] | None = None,
        start_positions: ArrayLike | Sequence[Any] | None = None,
        end_positions: ArrayLike | Sequence[Any] | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: Literal[True] | None = None,
    ) -> FlaxQuestionAnsweringModelOutput: ...
    @overload
    def forward(
        self,
        input_ids: ArrayLike | Sequence[Any] | None = None,
        attention_mask: ArrayLike | Sequence[Any] | None = None,
        token_type_ids: ArrayLike | Sequence[Any] | None = None,
        position_ids: ArrayLike | Sequence[Any] | None = None,
        *,
        inputs_embeds: ArrayLike | Sequence[Any] | None = None,
        head_mask: ArrayLike | Sequence[Any] | None = None,
        segments: ArrayLike | Sequence[Any] | None = None,
        start_positions: ArrayLike | Sequence[Any] | None = None,
        end_positions: ArrayLike | Sequence[Any] | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: Literal[False],
    ) -> tuple[Any, ...]: ...
    @overload
    def __call__(
        self,
        input_ids: ArrayLike | Sequence[Any] | None = None,
        attention_mask: ArrayLike | Sequence[Any] | None = None,
        token_type_ids: ArrayLike | Sequence[Any] | None = None,
        position_ids: ArrayLike | Sequence[Any] | None = None,
        *,
        inputs_embeds: ArrayLike | Sequence[Any] | None = None,
        head_mask: ArrayLike | Sequence[Any] | None = None,
        segments: ArrayLike | Sequence[Any] | None = None,
        start_positions: ArrayLike | Sequence[Any] | None = None,
        end_positions: ArrayLike | Sequence[Any] | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: Literal[True] | None = None,
        params: Any = None,
        train: bool | None = None,
        dropout_rng: Array | None = None,
    ) -> FlaxQuestionAnsweringModelOutput: ...
    @overload
    def __call__(
        self,
        input_ids: ArrayLike | Sequence[Any] | None = None,
        attention_mask: ArrayLike | Sequence[Any] | None = None,
        token_type_ids: ArrayLike | Sequence[Any] | None = None,
        position_ids: ArrayLike | Sequence[Any] | None = None,
        *,
        inputs_embeds: ArrayLike | Sequence[Any] | None = None,
        head_mask: ArrayLike | Sequence[Any] | None = None,
        segments: ArrayLike | Sequence[Any] | None = None,
        start_positions: ArrayLike | Sequence[Any] | None = None,
        end_positions: ArrayLike | Sequence[Any] | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: Literal[False],
        params: Any = None,
        train: bool | None = None,
        dropout_rng: Array | None = None,
    ) -> tuple[Any, ...]: ...

class FlaxXLMRobertaModel(FlaxXLMRobertaPreTrainedModel):
    """XLM-RoBERTa without a head."""

    embeddings: Any
    encoder: Any
    pooler: Any
    def __init__(self, config: XLMRobertaConfig, add_pooling_layer: bool = True, **options: Any) -> None: ...
    @overload
    def forward(
        self,
        input_ids: ArrayLike | Sequence[Any] | None = None,
        attention_mask: ArrayLike | Sequence[Any] | None = None,
        token_type_ids: ArrayLike | Sequence[Any] | None = None,
        position_ids: ArrayLike | Sequence[Any] | None = None,
        *,
        inputs_embeds: ArrayLike | Sequence[Any] | None = None,
        head_mask: ArrayLike | Sequence[Any] | None = None,
        encoder_hidden_states: ArrayLike | Sequence[Any] | None = None,
        encoder_attention_mask: ArrayLike | Sequence[Any] | None = None,
        past_key_values: Any = None,
        use_cache: bool | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: Literal[True] | None = None,
        readout: Any = None,
        segments: ArrayLike | Sequence[Any] | None = None,
    ) -> FlaxBaseModelOutputWithPooling: ...
    @overload
    def forward(
        self,
        input_ids: ArrayLike | Sequence[Any] | None = None,
        attention_mask: ArrayLike | Sequence[Any] | None = None,
        token_type_ids: ArrayLike | Sequence[Any] | None = None,
        position_ids: ArrayLike | Sequence[Any] | None = None,
        *,
        inputs_embeds: ArrayLike | Sequence[Any] | None = None,
        head_mask: ArrayLike | Sequence[Any] | None = None,
        encoder_hidden_states: ArrayLike | Sequence[Any] | None = None,
        encoder_attention_mask: ArrayLike | Sequence[Any] | None = None,
        past_key_values: Any = None,
        use_cache: bool | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: Literal[False],
        readout: Any = None,
        segments: ArrayLike | Sequence[Any] | None = None,
    ) -> tuple[Any, ...]: ...
    @overload
    def __call__(
        self,
        input_ids: ArrayLike | Sequence[Any] | None = None,
        attention_mask: ArrayLike | Sequence[Any] | None = None,
        token_type_ids: ArrayLike | Sequence[Any] | None = None,
        position_ids: ArrayLike | Sequence[Any] | None = None,
        *,
        inputs_embeds: ArrayLike | Sequence[Any] | None = None,
        head_mask: ArrayLike | Sequence[Any] | None = None,
        encoder_hidden_states: ArrayLike | Sequence[Any] | None = None,
        encoder_attention_mask: ArrayLike | Sequence[Any] | None = None,
        past_key_values: Any = None,
        use_cache: bool | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: Literal[True] | None = None,
        readout: Any = None,
        segments: ArrayLike | Sequence[Any] | None = None,
        params: Any = None,
        train: bool | None = None,
        dropout_rng: Array | None = None,
    ) -> FlaxBaseModelOutputWithPooling: ...
    @overload
    def __call__(
        self,
        input_ids: ArrayLike | Sequence[Any] | None = None,
        attention_mask: ArrayLike | Sequence[Any] | None = None,
        token_type_ids: ArrayLike | Sequence[Any] | None = None,
        position_ids: ArrayLike | Sequence[Any] | None = None,
        *,
        inputs_embeds: ArrayLike | Sequence[Any] | None = None,
        head_mask: ArrayLike | Sequence[Any] | None = None,
        encoder_hidden_states: ArrayLike | Sequence[Any] | None = None,
        encoder_attention_mask: ArrayLike | Sequence[Any] | None = None,
        past_key_values: Any = None,
        use_cache: bool | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: Literal[False],
        readout: Any = None,
        segments: ArrayLike | Sequence[Any] | None = None,
        params: Any = None,
        train: bool | None = None,
        dropout_rng: Array | None = None,
    ) -> tuple[Any, ...]: ...

class FlaxXLMRobertaForMaskedLM(FlaxXLMRobertaPreTrainedModel):
    """Masked-word prediction."""

    roberta: FlaxXLMRobertaModel
    lm_head: Any
    def __init__(self, config: XLMRobertaConfig, **options: Any) -> None: ...
    @overload
    def forward(
        self,
        input_ids: ArrayLike | Sequence[Any] | None = None,
        attention_mask: ArrayLike | Sequence[Any] | None = None,
        token_type_ids: ArrayLike | Sequence[Any] | None = None,
        position_ids: ArrayLike | Sequence[Any] | None = None,
        *,
        inputs_embeds: ArrayLike | Sequence[Any] | None = None,
        head_mask: ArrayLike | Sequence[Any] | None = None,
        segments: ArrayLike | Sequence[Any] | None = None,
        labels: ArrayLike | Sequence[Any] | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: Literal[True] | None = None,
        mask_positions: ArrayLike | Sequence[Any] | None = None,
    ) -> FlaxMaskedLMOutput: ...
    @overload
    def forward(
        self,
        input_ids: ArrayLike | Sequence[Any] | None = None,
        attention_mask: ArrayLike | Sequence[Any] | None = None,
        token_type_ids: ArrayLike | Sequence[Any] | None = None,
        position_ids: ArrayLike | Sequence[Any] | None = None,
        *,
        inputs_embeds: ArrayLike | Sequence[Any] | None = None,
        head_mask: ArrayLike | Sequence[Any] | None = None,
        segments: ArrayLike | Sequence[Any] | None = None,
        labels: ArrayLike | Sequence[Any] | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: Literal[False],
        mask_positions: ArrayLike | Sequence[Any] | None = None,
    ) -> tuple[Any, ...]: ...
    @overload
    def __call__(
        self,
        input_ids: ArrayLike | Sequence[Any] | None = None,
        attention_mask: ArrayLike | Sequence[Any] | None = None,
        token_type_ids: ArrayLike | Sequence[Any] | None = None,
        position_ids: ArrayLike | Sequence[Any] | None = None,
        *,
        inputs_embeds: ArrayLike | Sequence[Any] | None = None,
        head_mask: ArrayLike | Sequence[Any] | None = None,
        segments: ArrayLike | Sequence[Any] | None = None,
        labels: ArrayLike | Sequence[Any] | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: Literal[True] | None = None,
        mask_positions: ArrayLike | Sequence[Any] | None = None,
        params: Any = None,
        train: bool | None = None,
        dropout_rng: Array | None = None,
    ) -> FlaxMaskedLMOutput: ...
    @overload
    def __call__(
        self,
        input_ids: ArrayLike | Sequence[Any] | None = None,
        attention_mask: ArrayLike | Sequence[Any] | None = None,
        token_type_ids: ArrayLike | Sequence[Any] | None = None,
        position_ids: ArrayLike | Sequence[Any] | None = None,
        *,
        inputs_embeds: ArrayLike | Sequence[Any] | None = None,
        head_mask: ArrayLike | Sequence[Any] | None = None,
        segments: ArrayLike | Sequence[Any] | None = None,
        labels: ArrayLike | Sequence[Any] | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: Literal[False],
        mask_positions: ArrayLike | Sequence[Any] | None = None,
        params: Any = None,
        train: bool | None = None,
        dropout_rng: Array | None = None,
    ) -> tuple[Any, ...]: ...

class FlaxXLMRobertaForCausalLM(FlaxXLMRobertaPreTrainedModel):
    """Next-word prediction with the parameters of masked-word prediction; causal under `is_decoder`."""

    roberta: FlaxXLMRobertaModel
    lm_head: Any
    def __init__(self, config: XLMRobertaConfig, **options: Any) -> None: ...
    @overload
    def forward(
        self,
        input_ids: ArrayLike | Sequence[Any] | None = None,
        attention_mask: ArrayLike | Sequence[Any] | None = None,
        token_type_ids: ArrayLike | Sequence[Any] | None = None,
        position_ids: ArrayLike | Sequence[Any] | None = None,
        *,
        inputs_embeds: ArrayLike | Sequence[Any] | None = None,
        head_mask: ArrayLike | Sequence[Any] | None = None,
        encoder_hidden_states: ArrayLike | Sequence[Any] | None = None,
        encoder_attention_mask: ArrayLike | Sequence[Any] | None = None,
        labels: ArrayLike | Sequence[Any] | None = None,
        num_items_in_batch: Any = None,
        past_key_values: Any = None,
        use_cache: bool | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: Literal[True] | None = None,
        mask_positions: ArrayLike | Sequence[Any] | None = None,
    ) -> FlaxCausalLMOutput: ...
    @overload
    def forward(
        self,
        input_ids: ArrayLike | Sequence[Any] | None = None,
        attention_mask: ArrayLike | Sequence[Any] | None = None,
        token_type_ids: ArrayLike | Sequence[Any] | None = None,
        position_ids: ArrayLike | Sequence[Any] | None = None,
        *,
        inputs_embeds: ArrayLike | Sequence[Any] | None = None,
        head_mask: ArrayLike | Sequence[Any] | None = None,
        encoder_hidden_states: ArrayLike | Sequence[Any] | None = None,
        encoder_attention_mask: ArrayLike | Sequence[Any] | None = None,
        labels: ArrayLike | Sequence[Any] | None = None,
        num_items_in_batch: Any = None,
        past_key_values: Any = None,
        use_cache: bool | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: Literal[False],
        mask_positions: ArrayLike | Sequence[Any] | None = None,
    ) -> tuple[Any, ...]: ...
    @overload
    def __call__(
        self,
        input_ids: ArrayLike | Sequence[Any] | None = None,
        attention_mask: ArrayLike | Sequence[Any] | None = None,
        token_type_ids: ArrayLike | Sequence[Any] | None = None,
        position_ids: ArrayLike | Sequence[Any] | None = None,
        *,
        inputs_embeds: ArrayLike | Sequence[Any] | None = None,
        head_mask: ArrayLike | Sequence[Any] | None = None,
        encoder_hidden_states: ArrayLike | Sequence[Any] | None = None,
        encoder_attention_mask: ArrayLike | Sequence[Any] | None = None,
        labels: ArrayLike | Sequence[Any] | None = None,
        num_items_in_batch: Any = None,
        past_key_values: Any = None,
        use_cache: bool | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: Literal[True] | None = None,
        mask_positions: ArrayLike | Sequence[Any] | None = None,
        params: Any = None,
        train: bool | None = None,
        dropout_rng: Array | None = None,
    ) -> FlaxCausalLMOutput: ...
    @overload
    def __call__(
        self,
        input_ids: ArrayLike | Sequence[Any] | None = None,
        attention_mask: ArrayLike | Sequence[Any] | None = None,
        token_type_ids: ArrayLike | Sequence[Any] | None = None,
        position_ids: ArrayLike | Sequence[Any] | None = None,
        *,
        inputs_embeds: ArrayLike | Sequence[Any] | None = None,
        head_mask: ArrayLike | Sequence[Any] | None = None,
        encoder_hidden_states: ArrayLike | Sequence[Any] | None = None,
        encoder_attention_mask: ArrayLike | Sequence[Any] | None = None,
        labels: ArrayLike | Sequence[Any] | None = None,
        num_items_in_batch: Any = None,
        past_key_values: Any = None,
        use_cache: bool | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: Literal[False],
        mask_positions: ArrayLike | Sequence[Any] | None = None,
        params: Any = None,
        train: bool | None = None,
        dropout_rng: Array | None = None,
    ) -> tuple[Any, ...]: ...

class FlaxXLMRobertaForSequenceClassification(FlaxXLMRobertaPreTrainedModel):
    """Two Linears on the first position: one label, several, or numbers, by `problem_type`."""

    roberta: FlaxXLMRobertaModel
    classifier: Any
    def __init__(self, config: XLMRobertaConfig, **options: Any) -> None: ...
    @overload
    def forward(
        self,
        input_ids: ArrayLike | Sequence[Any] | None = None,
        attention_mask: ArrayLike | Sequence[Any] | None = None,
        token_type_ids: ArrayLike | Sequence[Any] | None = None,
        position_ids: ArrayLike | Sequence[Any] | None = None,
        *,
        inputs_embeds: ArrayLike | Sequence[Any] | None = None,
        head_mask: ArrayLike | Sequence[Any] | None = None,
        segments: ArrayLike | Sequence[Any] | None = None,
        labels: ArrayLike | Sequence[Any] | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: Literal[True] | None = None,
        mask_positions: ArrayLike | Sequence[Any] | None = None,
    ) -> FlaxSequenceClassifierOutput: ...
    @overload
    def forward(
        self,
        input_ids: ArrayLike | Sequence[Any] | None = None,
        attention_mask: ArrayLike | Sequence[Any] | None = None,
        token_type_ids: ArrayLike | Sequence[Any] | None = None,
        position_ids: ArrayLike | Sequence[Any] | None = None,
        *,
        inputs_embeds: ArrayLike | Sequence[Any] | None = None,
        head_mask: ArrayLike | Sequence[Any] | None = None,
        segments: ArrayLike | Sequence[Any] | None = None,
        labels: ArrayLike | Sequence[Any] | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: Literal[False],
        mask_positions: ArrayLike | Sequence[Any] | None = None,
    ) -> tuple[Any, ...]: ...
    @overload
    def __call__(
        self,
        input_ids: ArrayLike | Sequence[Any] | None = None,
        attention_mask: ArrayLike | Sequence[Any] | None = None,
        token_type_ids: ArrayLike | Sequence[Any] | None = None,
        position_ids: ArrayLike | Sequence[Any] | None = None,
        *,
        inputs_embeds: ArrayLike | Sequence[Any] | None = None,
        head_mask: ArrayLike | Sequence[Any] | None = None,
        segments: ArrayLike | Sequence[Any] | None = None,
        labels: ArrayLike | Sequence[Any] | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: Literal[True] | None = None,
        mask_positions: ArrayLike | Sequence[Any] | None = None,
        params: Any = None,
        train: bool | None = None,
        dropout_rng: Array | None = None,
    ) -> FlaxSequenceClassifierOutput: ...
    @overload
    def __call__(
        self,
        input_ids: ArrayLike | Sequence[Any] | None = None,
        attention_mask: ArrayLike | Sequence[Any] | None = None,
        token_type_ids: ArrayLike | Sequence[Any] | None = None,
        position_ids: ArrayLike | Sequence[Any] | None = None,
        *,
        inputs_embeds: ArrayLike | Sequence[Any] | None = None,
        head_mask: ArrayLike | Sequence[Any] | None = None,
        segments: ArrayLike | Sequence[Any] | None = None,
        labels: ArrayLike | Sequence[Any] | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: Literal[False],
        mask_positions: ArrayLike | Sequence[Any] | None = None,
        params: Any = None,
        train: bool | None = None,
        dropout_rng: Array | None = None,
    ) -> tuple[Any, ...]: ...

class FlaxXLMRobertaForTokenClassification(FlaxXLMRobertaPreTrainedModel):
    """A Linear on every position."""

    roberta: FlaxXLMRobertaModel
    dropout: Any
    classifier: Any
    def __init__(self, config: XLMRobertaConfig, **options: Any) -> None: ...
    @overload
    def forward(
        self,
        input_ids: ArrayLike | Sequence[Any] | None = None,
        attention_mask: ArrayLike | Sequence[Any] | None = None,
        token_type_ids: ArrayLike | Sequence[Any] | None = None,
        position_ids: ArrayLike | Sequence[Any] | None = None,
        *,
        inputs_embeds: ArrayLike | Sequence[Any] | None = None,
        head_mask: ArrayLike | Sequence[Any] | None = None,
        segments: ArrayLike | Sequence[Any] | None = None,
        labels: ArrayLike | Sequence[Any] | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: Literal[True] | None = None,
        mask_positions: ArrayLike | Sequence[Any] | None = None,
    ) -> FlaxTokenClassifierOutput: ...
    @overload
    def forward(
        self,
        input_ids: ArrayLike | Sequence[Any] | None = None,
        attention_mask: ArrayLike | Sequence[Any] | None = None,
        token_type_ids: ArrayLike | Sequence[Any] | None = None,
        position_ids: ArrayLike | Sequence[Any] | None = None,
        *,
        inputs_embeds: ArrayLike | Sequence[Any] | None = None,
        head_mask: ArrayLike | Sequence[Any] | None = None,
        segments: ArrayLike | Sequence[Any] | None = None,
        labels: ArrayLike | Sequence[Any] | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: Literal[False],
        mask_positions: ArrayLike | Sequence[Any] | None = None,
    ) -> tuple[Any, ...]: ...
    @overload
    def __call__(
        self,
        input_ids: ArrayLike | Sequence[Any] | None = None,
        attention_mask: ArrayLike | Sequence[Any] | None = None,
        token_type_ids: ArrayLike | Sequence[Any] | None = None,
        position_ids: ArrayLike | Sequence[Any] | None = None,
        *,
        inputs_embeds: ArrayLike | Sequence[Any] | None = None,
        head_mask: ArrayLike | Sequence[Any] | None = None,
        segments: ArrayLike | Sequence[Any] | None = None,
        labels: ArrayLike | Sequence[Any] | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: Literal[True] | None = None,
        mask_positions: ArrayLike | Sequence[Any] | None = None,
        params: Any = None,
        train: bool | None = None,
        dropout_rng: Array | None = None,
    ) -> FlaxTokenClassifierOutput: ...
    @overload
    def __call__(
        self,
        input_ids: ArrayLike | Sequence[Any] | None = None,
        attention_mask: ArrayLike | Sequence[Any] | None = None,
        token_type_ids: ArrayLike | Sequence[Any] | None = None,
        position_ids: ArrayLike | Sequence[Any] | None = None,
        *,
        inputs_embeds: ArrayLike | Sequence[Any] | None = None,
        head_mask: ArrayLike | Sequence[Any] | None = None,
        segments: ArrayLike | Sequence[Any] | None = None,
        labels: ArrayLike | Sequence[Any] | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: Literal[False],
        mask_positions: ArrayLike | Sequence[Any] | None = None,
        params: Any = None,
        train: bool | None = None,
        dropout_rng: Array | None = None,
    ) -> tuple[Any, ...]: ...

class FlaxXLMRobertaForMultipleChoice(FlaxXLMRobertaPreTrainedModel):
    """A score for each of C texts, softmax over them; every input is [B, C, T]."""

    roberta: FlaxXLMRobertaModel
    dropout: Any
    classifier: Any
    def __init__(self, config: XLMRobertaConfig, **options: Any) -> None: ...
    @overload
    def forward(
        self,
        input_ids: ArrayLike | Sequence[Any] | None = None,
        attention_mask: ArrayLike | Sequence[Any] | None = None,
        token_type_ids: ArrayLike | Sequence[Any] | None = None,
        position_ids: ArrayLike | Sequence[Any] | None = None,
        *,
        inputs_embeds: ArrayLike | Sequence[Any] | None = None,
        head_mask: ArrayLike | Sequence[Any] | None = None,
        segments: ArrayLike | Sequence[Any] | None = None,
        labels: ArrayLike | Sequence[Any] | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: Literal[True] | None = None,
    ) -> FlaxMultipleChoiceModelOutput: ...
    @overload
    def forward(
        self,
        input_ids: ArrayLike | Sequence[Any] | None = None,
        attention_mask: ArrayLike | Sequence[Any] | None = None,
        token_type_ids: ArrayLike | Sequence[Any] | None = None,
        position_ids: ArrayLike | Sequence[Any] | None = None,
        *,
        inputs_embeds: ArrayLike | Sequence[Any] | None = None,
        head_mask: ArrayLike | Sequence[Any] | None = None,
        segments: ArrayLike | Sequence[Any] | None = None,
        labels: ArrayLike | Sequence[Any] | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: Literal[False],
    ) -> tuple[Any, ...]: ...
    @overload
    def __call__(
        self,
        input_ids: ArrayLike | Sequence[Any] | None = None,
        attention_mask: ArrayLike | Sequence[Any] | None = None,
        token_type_ids: ArrayLike | Sequence[Any] | None = None,
        position_ids: ArrayLike | Sequence[Any] | None = None,
        *,
        inputs_embeds: ArrayLike | Sequence[Any] | None = None,
        head_mask: ArrayLike | Sequence[Any] | None = None,
        segments: ArrayLike | Sequence[Any] | None = None,
        labels: ArrayLike | Sequence[Any] | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: Literal[True] | None = None,
        params: Any = None,
        train: bool | None = None,
        dropout_rng: Array | None = None,
    ) -> FlaxMultipleChoiceModelOutput: ...
    @overload
    def __call__(
        self,
        input_ids: ArrayLike | Sequence[Any] | None = None,
        attention_mask: ArrayLike | Sequence[Any] | None = None,
        token_type_ids: ArrayLike | Sequence[Any] | None = None,
        position_ids: ArrayLike | Sequence[Any] | None = None,
        *,
        inputs_embeds: ArrayLike | Sequence[Any] | None = None,
        head_mask: ArrayLike | Sequence[Any] | None = None,
        segments: ArrayLike | Sequence[Any] | None = None,
        labels: ArrayLike | Sequence[Any] | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: Literal[False],
        params: Any = None,
        train: bool | None = None,
        dropout_rng: Array | None = None,
    ) -> tuple[Any, ...]: ...

class FlaxXLMRobertaForQuestionAnswering(FlaxXLMRobertaPreTrainedModel):
    """Where the answer starts and ends."""

    roberta: FlaxXLMRobertaModel
    qa_outputs: Any
    def __init__(self, config: XLMRobertaConfig, **options: Any) -> None: ...
    @overload
    def forward(
        self,
        input_ids: ArrayLike | Sequence[Any] | None = None,
        attention_mask: ArrayLike | Sequence[Any] | None = None,
        token_type_ids: ArrayLike | Sequence[Any] | None = None,
        position_ids: ArrayLike | Sequence[Any] | None = None,
        *,
        inputs_embeds: ArrayLike | Sequence[Any] | None = None,
        head_mask: ArrayLike | Sequence[Any] | None = None,
        segments: ArrayLike | Sequence[Any] | None = None,
        start_positions: ArrayLike | Sequence[Any] | None = None,
        end_positions: ArrayLike | Sequence[Any] | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: Literal[True] | None = None,
    ) -> FlaxQuestionAnsweringModelOutput: ...
    @overload
    def forward(
        self,
        input_ids: ArrayLike | Sequence[Any] | None = None,
        attention_mask: ArrayLike | Sequence[Any] | None = None,
        token_type_ids: ArrayLike | Sequence[Any] | None = None,
        position_ids: ArrayLike | Sequence[Any] | None = None,
        *,
        inputs_embeds: ArrayLike | Sequence[Any] | None = None,
        head_mask: ArrayLike | Sequence[Any] | None = None,
        segments: ArrayLike | Sequence[Any] | None = None,
        start_positions: ArrayLike | Sequence[Any] | None = None,
        end_positions: ArrayLike | Sequence[Any] | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: Literal[False],
    ) -> tuple[Any, ...]: ...
    @overload
    def __call__(
        self,
        input_ids: ArrayLike | Sequence[Any] | None = None,
        attention_mask: ArrayLike | Sequence[Any] | None = None,
        token_type_ids: ArrayLike | Sequence[Any] | None = None,
        position_ids: ArrayLike | Sequence[Any] | None = None,
        *,
        inputs_embeds: ArrayLike | Sequence[Any] | None = None,
        head_mask: ArrayLike | Sequence[Any] | None = None,
        segments: ArrayLike | Sequence[Any] | None = None,
        start_positions: ArrayLike | Sequence[Any] | None = None,
        end_positions: ArrayLike | Sequence[Any] | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: Literal[True] | None = None,
        params: Any = None,
        train: bool | None = None,
        dropout_rng: Array | None = None,
    ) -> FlaxQuestionAnsweringModelOutput: ...
    @overload
    def __call__(
        self,
        input_ids: ArrayLike | Sequence[Any] | None = None,
        attention_mask: ArrayLike | Sequence[Any] | None = None,
        token_type_ids: ArrayLike | Sequence[Any] | None = None,
        position_ids: ArrayLike | Sequence[Any] | None = None,
        *,
        inputs_embeds: ArrayLike | Sequence[Any] | None = None,
        head_mask: ArrayLike | Sequence[Any] | None = None,
        segments: ArrayLike | Sequence[Any] | None = None,
        start_positions: ArrayLike | Sequence[Any] | None = None,
        end_positions: ArrayLike | Sequence[Any] | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: Literal[False],
        params: Any = None,
        train: bool | None = None,
        dropout_rng: Array | None = None,
    ) -> tuple[Any, ...]: ...
