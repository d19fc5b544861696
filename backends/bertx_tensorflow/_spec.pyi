"""Made by tools/make_stubs.py: the public names, in the files that define them."""

from bertx.models.bert import BertForMaskedLM as TFBertForMaskedLM
from bertx.models.bert import BertForMultipleChoice as TFBertForMultipleChoice
from bertx.models.bert import BertForNextSentencePrediction as TFBertForNextSentencePrediction
from bertx.models.bert import BertForPreTraining as TFBertForPreTraining
from bertx.models.bert import BertForQuestionAnswering as TFBertForQuestionAnswering
from bertx.models.bert import BertForSequenceClassification as TFBertForSequenceClassification
from bertx.models.bert import BertForTokenClassification as TFBertForTokenClassification
from bertx.models.bert import BertLMHeadModel as TFBertLMHeadModel
from bertx.models.bert import BertModel as TFBertModel
from bertx.models.bert import BertPreTrainedModel as TFBertPreTrainedModel
from bertx.models.encoder_decoder import EncoderDecoderModel as TFEncoderDecoderModel
from bertx.models.layers.outputs import BaseModelOutputWithPooling as TFBaseModelOutputWithPooling
from bertx.models.layers.outputs import BertForPreTrainingOutput as TFBertForPreTrainingOutput
from bertx.models.layers.outputs import CausalLMOutput as TFCausalLMOutput
from bertx.models.layers.outputs import MaskedLMOutput as TFMaskedLMOutput
from bertx.models.layers.outputs import MultipleChoiceModelOutput as TFMultipleChoiceModelOutput
from bertx.models.layers.outputs import NextSentencePredictorOutput as TFNextSentencePredictorOutput
from bertx.models.layers.outputs import QuestionAnsweringModelOutput as TFQuestionAnsweringModelOutput
from bertx.models.layers.outputs import Seq2SeqLMOutput as TFSeq2SeqLMOutput
from bertx.models.layers.outputs import SequenceClassifierOutput as TFSequenceClassifierOutput
from bertx.models.layers.outputs import TokenClassifierOutput as TFTokenClassifierOutput
from bertx.models.roberta import RobertaForCausalLM as TFRobertaForCausalLM
from bertx.models.roberta import RobertaForMaskedLM as TFRobertaForMaskedLM
from bertx.models.roberta import RobertaForMultipleChoice as TFRobertaForMultipleChoice
from bertx.models.roberta import RobertaForQuestionAnswering as TFRobertaForQuestionAnswering
from bertx.models.roberta import RobertaForSequenceClassification as TFRobertaForSequenceClassification
from bertx.models.roberta import RobertaForTokenClassification as TFRobertaForTokenClassification
from bertx.models.roberta import RobertaModel as TFRobertaModel
from bertx.models.roberta import RobertaPreTrainedModel as TFRobertaPreTrainedModel
from bertx.models.xlm_roberta import XLMRobertaForCausalLM as TFXLMRobertaForCausalLM
from bertx.models.xlm_roberta import XLMRobertaForMaskedLM as TFXLMRobertaForMaskedLM
from bertx.models.xlm_roberta import XLMRobertaForMultipleChoice as TFXLMRobertaForMultipleChoice
from bertx.models.xlm_roberta import XLMRobertaForQuestionAnswering as TFXLMRobertaForQuestionAnswering
from bertx.models.xlm_roberta import XLMRobertaForSequenceClassification as TFXLMRobertaForSequenceClassification
from bertx.models.xlm_roberta import XLMRobertaForTokenClassification as TFXLMRobertaForTokenClassification
from bertx.models.xlm_roberta import XLMRobertaModel as TFXLMRobertaModel
from bertx.models.xlm_roberta import XLMRobertaPreTrainedModel as TFXLMRobertaPreTrainedModel

__all__ = [
    "TFBaseModelOutputWithPooling",
    "TFBertForMaskedLM",
    "TFBertForMultipleChoice",
    "TFBertForNextSentencePrediction",
    "TFBertForPreTraining",
    "TFBertForPreTrainingOutput",
    "TFBertForQuestionAnswering",
    "TFBertForSequenceClassification",
    "TFBertForTokenClassification",
    "TFBertLMHeadModel",
    "TFBertModel",
    "TFBertPreTrainedModel",
    "TFCausalLMOutput",
    "TFEncoderDecoderModel",
    "TFMaskedLMOutput",
    "TFMultipleChoiceModelOutput",
    "TFNextSentencePredictorOutput",
    "TFQuestionAnsweringModelOutput",
    "TFRobertaForCausalLM",
    "TFRobertaForMaskedLM",
    "TFRobertaForMultipleChoice",
    "TFRobertaForQuestionAnswering",
    "TFRobertaForSequenceClassification",
    "TFRobertaForTokenClassification",
    "TFRobertaModel",
    "TFRobertaPreTrainedModel",
    "TFSeq2SeqLMOutput",
    "TFSequenceClassifierOutput",
    "TFTokenClassifierOutput",
    "TFXLMRobertaForCausalLM",
    "TFXLMRobertaForMaskedLM",
    "TFXLMRobertaForMultipleChoice",
    "TFXLMRobertaForQuestionAnswering",
    "TFXLMRobertaForSequenceClassification",
    "TFXLMRobertaForTokenClassification",
    "TFXLMRobertaModel",
    "TFXLMRobertaPreTrainedModel",
]
