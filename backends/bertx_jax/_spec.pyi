"""Made by tools/make_stubs.py: the public names, in the files that define them."""

from bertx.models.bert import BertForMaskedLM as FlaxBertForMaskedLM
from bertx.models.bert import BertForMultipleChoice as FlaxBertForMultipleChoice
from bertx.models.bert import BertForNextSentencePrediction as FlaxBertForNextSentencePrediction
from bertx.models.bert import BertForPreTraining as FlaxBertForPreTraining
from bertx.models.bert import BertForQuestionAnswering as FlaxBertForQuestionAnswering
from bertx.models.bert import BertForSequenceClassification as FlaxBertForSequenceClassification
from bertx.models.bert import BertForTokenClassification as FlaxBertForTokenClassification
from bertx.models.bert import BertLMHeadModel as FlaxBertForCausalLM
from bertx.models.bert import BertModel as FlaxBertModel
from bertx.models.bert import BertPreTrainedModel as FlaxBertPreTrainedModel
from bertx.models.encoder_decoder import EncoderDecoderModel as FlaxEncoderDecoderModel
from bertx.models.layers.outputs import BaseModelOutputWithPooling as FlaxBaseModelOutputWithPooling
from bertx.models.layers.outputs import BertForPreTrainingOutput as FlaxBertForPreTrainingOutput
from bertx.models.layers.outputs import CausalLMOutput as FlaxCausalLMOutput
from bertx.models.layers.outputs import MaskedLMOutput as FlaxMaskedLMOutput
from bertx.models.layers.outputs import MultipleChoiceModelOutput as FlaxMultipleChoiceModelOutput
from bertx.models.layers.outputs import NextSentencePredictorOutput as FlaxNextSentencePredictorOutput
from bertx.models.layers.outputs import QuestionAnsweringModelOutput as FlaxQuestionAnsweringModelOutput
from bertx.models.layers.outputs import Seq2SeqLMOutput as FlaxSeq2SeqLMOutput
from bertx.models.layers.outputs import SequenceClassifierOutput as FlaxSequenceClassifierOutput
from bertx.models.layers.outputs import TokenClassifierOutput as FlaxTokenClassifierOutput
from bertx.models.roberta import RobertaForCausalLM as FlaxRobertaForCausalLM
from bertx.models.roberta import RobertaForMaskedLM as FlaxRobertaForMaskedLM
from bertx.models.roberta import RobertaForMultipleChoice as FlaxRobertaForMultipleChoice
from bertx.models.roberta import RobertaForQuestionAnswering as FlaxRobertaForQuestionAnswering
from bertx.models.roberta import RobertaForSequenceClassification as FlaxRobertaForSequenceClassification
from bertx.models.roberta import RobertaForTokenClassification as FlaxRobertaForTokenClassification
from bertx.models.roberta import RobertaModel as FlaxRobertaModel
from bertx.models.roberta import RobertaPreTrainedModel as FlaxRobertaPreTrainedModel
from bertx.models.xlm_roberta import XLMRobertaForCausalLM as FlaxXLMRobertaForCausalLM
from bertx.models.xlm_roberta import XLMRobertaForMaskedLM as FlaxXLMRobertaForMaskedLM
from bertx.models.xlm_roberta import XLMRobertaForMultipleChoice as FlaxXLMRobertaForMultipleChoice
from bertx.models.xlm_roberta import XLMRobertaForQuestionAnswering as FlaxXLMRobertaForQuestionAnswering
from bertx.models.xlm_roberta import XLMRobertaForSequenceClassification as FlaxXLMRobertaForSequenceClassification
from bertx.models.xlm_roberta import XLMRobertaForTokenClassification as FlaxXLMRobertaForTokenClassification
from bertx.models.xlm_roberta import XLMRobertaModel as FlaxXLMRobertaModel
from bertx.models.xlm_roberta import XLMRobertaPreTrainedModel as FlaxXLMRobertaPreTrainedModel

__all__ = [
    "FlaxBaseModelOutputWithPooling",
    "FlaxBertForCausalLM",
    "FlaxBertForMaskedLM",
    "FlaxBertForMultipleChoice",
    "FlaxBertForNextSentencePrediction",
    "FlaxBertForPreTraining",
    "FlaxBertForPreTrainingOutput",
    "FlaxBertForQuestionAnswering",
    "FlaxBertForSequenceClassification",
    "FlaxBertForTokenClassification",
    "FlaxBertModel",
    "FlaxBertPreTrainedModel",
    "FlaxCausalLMOutput",
    "FlaxEncoderDecoderModel",
    "FlaxMaskedLMOutput",
    "FlaxMultipleChoiceModelOutput",
    "FlaxNextSentencePredictorOutput",
    "FlaxQuestionAnsweringModelOutput",
    "FlaxRobertaForCausalLM",
    "FlaxRobertaForMaskedLM",
    "FlaxRobertaForMultipleChoice",
    "FlaxRobertaForQuestionAnswering",
    "FlaxRobertaForSequenceClassification",
    "FlaxRobertaForTokenClassification",
    "FlaxRobertaModel",
    "FlaxRobertaPreTrainedModel",
    "FlaxSeq2SeqLMOutput",
    "FlaxSequenceClassifierOutput",
    "FlaxTokenClassifierOutput",
    "FlaxXLMRobertaForCausalLM",
    "FlaxXLMRobertaForMaskedLM",
    "FlaxXLMRobertaForMultipleChoice",
    "FlaxXLMRobertaForQuestionAnswering",
    "FlaxXLMRobertaForSequenceClassification",
    "FlaxXLMRobertaForTokenClassification",
    "FlaxXLMRobertaModel",
    "FlaxXLMRobertaPreTrainedModel",
]
