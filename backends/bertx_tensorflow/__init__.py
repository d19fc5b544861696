"""BERT for Keras 3 on TensorFlow: native keras.Models, generated from the spec."""

import bertx.models
from bertx.backend import import_libraries

import_libraries("tensorflow", "tensorflow", "keras")
__path__ += bertx.models.__path__  # the spec's files, over the `nn` of this package

from .encoder import BertModel as TFBertModel  # noqa: E402
from .heads import BertForMaskedLM as TFBertForMaskedLM  # noqa: E402
from .heads import BertForMultipleChoice as TFBertForMultipleChoice  # noqa: E402
from .heads import BertForNextSentencePrediction as TFBertForNextSentencePrediction  # noqa: E402
from .heads import BertForPreTraining as TFBertForPreTraining  # noqa: E402
from .heads import BertForQuestionAnswering as TFBertForQuestionAnswering  # noqa: E402
from .heads import BertForSequenceClassification as TFBertForSequenceClassification  # noqa: E402
from .heads import BertForTokenClassification as TFBertForTokenClassification  # noqa: E402
from .heads import BertLMHeadModel as TFBertLMHeadModel  # noqa: E402
from .layers.outputs import BaseModelOutputWithPooling as TFBaseModelOutputWithPooling  # noqa: E402
from .layers.outputs import BertForPreTrainingOutput as TFBertForPreTrainingOutput  # noqa: E402
from .layers.outputs import CausalLMOutput as TFCausalLMOutput  # noqa: E402
from .layers.outputs import MaskedLMOutput as TFMaskedLMOutput  # noqa: E402
from .layers.outputs import MultipleChoiceModelOutput as TFMultipleChoiceModelOutput  # noqa: E402
from .layers.outputs import NextSentencePredictorOutput as TFNextSentencePredictorOutput  # noqa: E402
from .layers.outputs import QuestionAnsweringModelOutput as TFQuestionAnsweringModelOutput  # noqa: E402
from .layers.outputs import SequenceClassifierOutput as TFSequenceClassifierOutput  # noqa: E402
from .layers.outputs import TokenClassifierOutput as TFTokenClassifierOutput  # noqa: E402
from .tokenizer import TFBertTokenizer  # noqa: E402

__all__ = [name for name in dir() if name.startswith("TF")]
