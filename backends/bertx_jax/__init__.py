"""BERT for JAX: native Flax NNX modules, generated from the spec."""

import bertx.models
from bertx.backend import import_libraries

import_libraries("jax", "jax", "flax")
__path__ += bertx.models.__path__  # the spec's files, over the `nn` of this package

from .encoder import BertModel as FlaxBertModel  # noqa: E402
from .heads import BertForMaskedLM as FlaxBertForMaskedLM  # noqa: E402
from .heads import BertForMultipleChoice as FlaxBertForMultipleChoice  # noqa: E402
from .heads import BertForNextSentencePrediction as FlaxBertForNextSentencePrediction  # noqa: E402
from .heads import BertForPreTraining as FlaxBertForPreTraining  # noqa: E402
from .heads import BertForQuestionAnswering as FlaxBertForQuestionAnswering  # noqa: E402
from .heads import BertForSequenceClassification as FlaxBertForSequenceClassification  # noqa: E402
from .heads import BertForTokenClassification as FlaxBertForTokenClassification  # noqa: E402
from .heads import BertLMHeadModel as FlaxBertForCausalLM  # noqa: E402
from .layers.outputs import BaseModelOutputWithPooling as FlaxBaseModelOutputWithPooling  # noqa: E402
from .layers.outputs import BertForPreTrainingOutput as FlaxBertForPreTrainingOutput  # noqa: E402
from .layers.outputs import CausalLMOutput as FlaxCausalLMOutput  # noqa: E402
from .layers.outputs import MaskedLMOutput as FlaxMaskedLMOutput  # noqa: E402
from .layers.outputs import MultipleChoiceModelOutput as FlaxMultipleChoiceModelOutput  # noqa: E402
from .layers.outputs import NextSentencePredictorOutput as FlaxNextSentencePredictorOutput  # noqa: E402
from .layers.outputs import QuestionAnsweringModelOutput as FlaxQuestionAnsweringModelOutput  # noqa: E402
from .layers.outputs import SequenceClassifierOutput as FlaxSequenceClassifierOutput  # noqa: E402
from .layers.outputs import TokenClassifierOutput as FlaxTokenClassifierOutput  # noqa: E402

__all__ = [name for name in dir() if name.startswith("Flax")]
