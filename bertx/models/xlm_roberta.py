"""XLM-RoBERTa (Conneau et al. 2020): RoBERTa over a vocabulary of a hundred languages."""

from . import nn, roberta


class XLMRobertaPreTrainedModel(nn.Model):
    """What the classes of XLM-RoBERTa have in common."""

    model_type = "xlm-roberta"
    base_model_prefix = "roberta"


class XLMRobertaModel(XLMRobertaPreTrainedModel, roberta.RobertaModel):
    """XLM-RoBERTa without a head."""


class XLMRobertaHead(XLMRobertaPreTrainedModel):
    """What the classes with a head have in common."""

    base_class = XLMRobertaModel


class XLMRobertaForMaskedLM(XLMRobertaHead, roberta.RobertaForMaskedLM):
    """Masked-word prediction."""


class XLMRobertaForCausalLM(XLMRobertaHead, roberta.RobertaForCausalLM):
    """Next-word prediction with the parameters of masked-word prediction; causal under `is_decoder`."""


class XLMRobertaForSequenceClassification(XLMRobertaHead, roberta.RobertaForSequenceClassification):
    """Two Linears on the first position: one label, several, or numbers, by `problem_type`."""


class XLMRobertaForTokenClassification(XLMRobertaHead, roberta.RobertaForTokenClassification):
    """A Linear on every position."""


class XLMRobertaForMultipleChoice(XLMRobertaHead, roberta.RobertaForMultipleChoice):
    """A score for each of C texts, softmax over them; every input is [B, C, T]."""


class XLMRobertaForQuestionAnswering(XLMRobertaHead, roberta.RobertaForQuestionAnswering):
    """Where the answer starts and ends."""
