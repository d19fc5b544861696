"""Made by tools/make_stubs.py: the public names, in the files that define them."""

from bertx.models.bert import BertForMaskedLM as BertForMaskedLM
from bertx.models.bert import BertForMultipleChoice as BertForMultipleChoice
from bertx.models.bert import BertForNextSentencePrediction as BertForNextSentencePrediction
from bertx.models.bert import BertForPreTraining as BertForPreTraining
from bertx.models.bert import BertForQuestionAnswering as BertForQuestionAnswering
from bertx.models.bert import BertForSequenceClassification as BertForSequenceClassification
from bertx.models.bert import BertForTokenClassification as BertForTokenClassification
from bertx.models.bert import BertLMHeadModel as BertLMHeadModel
from bertx.models.bert import BertModel as BertModel
from bertx.models.bert import BertPreTrainedModel as BertPreTrainedModel
from bertx.models.encoder_decoder import EncoderDecoderModel as EncoderDecoderModel
from bertx.models.layers.outputs import BaseModelOutputWithPooling as BaseModelOutputWithPooling
from bertx.models.layers.outputs import BertForPreTrainingOutput as BertForPreTrainingOutput
from bertx.models.layers.outputs import CausalLMOutput as CausalLMOutput
from bertx.models.layers.outputs import MaskedLMOutput as MaskedLMOutput
from bertx.models.layers.outputs import MultipleChoiceModelOutput as MultipleChoiceModelOutput
from bertx.models.layers.outputs import NextSentencePredictorOutput as NextSentencePredictorOutput
from bertx.models.layers.outputs import QuestionAnsweringModelOutput as QuestionAnsweringModelOutput
from bertx.models.layers.outputs import Seq2SeqLMOutput as Seq2SeqLMOutput
from bertx.models.layers.outputs import SequenceClassifierOutput as SequenceClassifierOutput
from bertx.models.layers.outputs import TokenClassifierOutput as TokenClassifierOutput
from bertx.models.roberta import RobertaForCausalLM as RobertaForCausalLM
from bertx.models.roberta import RobertaForMaskedLM as RobertaForMaskedLM
from bertx.models.roberta import RobertaForMultipleChoice as RobertaForMultipleChoice
from bertx.models.roberta import RobertaForQuestionAnswering as RobertaForQuestionAnswering
from bertx.models.roberta import RobertaForSequenceClassification as RobertaForSequenceClassification
from bertx.models.roberta import RobertaForTokenClassification as RobertaForTokenClassification
from bertx.models.roberta import RobertaModel as RobertaModel
from bertx.models.roberta import RobertaPreTrainedModel as RobertaPreTrainedModel
from bertx.models.xlm_roberta import XLMRobertaForCausalLM as XLMRobertaForCausalLM
from bertx.models.xlm_roberta import XLMRobertaForMaskedLM as XLMRobertaForMaskedLM
from bertx.models.xlm_roberta import XLMRobertaForMultipleChoice as XLMRobertaForMultipleChoice
from bertx.models.xlm_roberta import XLMRobertaForQuestionAnswering as XLMRobertaForQuestionAnswering
from bertx.models.xlm_roberta import XLMRobertaForSequenceClassification as XLMRobertaForSequenceClassification
from bertx.models.xlm_roberta import XLMRobertaForTokenClassification as XLMRobertaForTokenClassification
from bertx.models.xlm_roberta import XLMRobertaModel as XLMRobertaModel
from bertx.models.xlm_roberta import XLMRobertaPreTrainedModel as XLMRobertaPreTrainedModel

__all__ = [
    "BaseModelOutputWithPooling",
    "BertForMaskedLM",
    "BertForMultipleChoice",
    "BertForNextSentencePrediction",
    "BertForPreTraining",
    "BertForPreTrainingOutput",
    "BertForQuestionAnswering",
    "BertForSequenceClassification",
    "BertForTokenClassification",
    "BertLMHeadModel",
    "BertModel",
    "BertPreTrainedModel",
    "CausalLMOutput",
    "EncoderDecoderModel",
    "MaskedLMOutput",
    "MultipleChoiceModelOutput",
    "NextSentencePredictorOutput",
    "QuestionAnsweringModelOutput",
    "RobertaForCausalLM",
    "RobertaForMaskedLM",
    "RobertaForMultipleChoice",
    "RobertaForQuestionAnswering",
    "RobertaForSequenceClassification",
    "RobertaForTokenClassification",
    "RobertaModel",
    "RobertaPreTrainedModel",
    "Seq2SeqLMOutput",
    "SequenceClassifierOutput",
    "TokenClassifierOutput",
    "XLMRobertaForCausalLM",
    "XLMRobertaForMaskedLM",
    "XLMRobertaForMultipleChoice",
    "XLMRobertaForQuestionAnswering",
    "XLMRobertaForSequenceClassification",
    "XLMRobertaForTokenClassification",
    "XLMRobertaModel",
    "XLMRobertaPreTrainedModel",
]
