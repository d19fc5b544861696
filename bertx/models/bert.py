"""BERT (Devlin et al. 2019)."""

from . import heads, nn
from .base_model import BaseModel
from .layers.activations import activation


class BertPreTrainedModel(nn.Model):
    """What the classes of BERT have in common."""

    model_type = "bert"
    base_model_prefix = "bert"


class BertModel(BaseModel, BertPreTrainedModel):
    """BERT without a head (Devlin et al. 2019): embeddings, encoder and, unless left out, the pooler."""


class BertPredictionHeadTransform(nn.Module):
    """Linear, activation, LayerNorm."""

    def __init__(self, config):
        super().__init__()
        self.dense = nn.Linear(config.hidden_size, config.hidden_size, axes=("pooled", "embed"))
        self.activation = activation(config.hidden_act)
        self.LayerNorm = nn.LayerNorm(config.hidden_size, config.layer_norm_eps)

    def forward(self, hidden_states):
        """[..., H] → [..., H]."""
        return self.LayerNorm(nn.activated(self.dense, self.activation, hidden_states))


class BertLMPredictionHead(nn.Module):
    """Scores of the vocabulary; the matrix is the word embeddings' own where the config ties them."""

    def __init__(self, config, word_embeddings):
        super().__init__()
        self.transform = BertPredictionHeadTransform(config)
        self.bias = nn.Parameter(config.vocab_size, axes=("vocab",))
        tied = word_embeddings if config.tie_word_embeddings else None
        self.decoder = nn.Decoder(config.hidden_size, config.vocab_size, self.bias, tied)

    def forward(self, hidden_states):
        """[..., H] → [..., V]."""
        return nn.linear(self.decoder, self.transform(hidden_states))


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
        self.seq_relationship = nn.Linear(config.hidden_size, 2, axes=("label", "embed"))

    def forward(self, pooled):
        """[B, H] → [B, 2]."""
        return self.seq_relationship(pooled)


class BertPreTrainingHeads(nn.Module):
    """Both heads of pre-training."""

    def __init__(self, config, word_embeddings):
        super().__init__()
        self.predictions = BertLMPredictionHead(config, word_embeddings)
        self.seq_relationship = nn.Linear(config.hidden_size, 2, axes=("label", "embed"))

    def forward(self, hidden_states, pooled):
        """[B, T, H], [B, H] → [B, T, V], [B, 2]."""
        return self.predictions(hidden_states), self.seq_relationship(pooled)


class BertHead(BertPreTrainedModel):
    """What the classes with a head have in common."""

    base_class = BertModel


class BertLMLayers:
    """The layers of the heads that score the vocabulary."""

    def add_layers(self, config, base):
        """A transform and the scores of the vocabulary."""
        self.cls = BertOnlyMLMHead(config, base.embeddings.word_embeddings)

    def logits(self, hidden_states, pooled):
        """→ [B, T, V]."""
        return self.cls(hidden_states)


class BertForMaskedLM(BertLMLayers, heads.MaskedLM, BertHead):
    """Masked-word prediction (Devlin et al. 2019, section 3.1, task 1)."""


class BertLMHeadModel(BertLMLayers, heads.CausalLM, BertHead):
    """Next-word prediction with the parameters of masked-word prediction; causal under `is_decoder`."""


class BertForNextSentencePrediction(heads.NextSentencePrediction, BertHead):
    """Next-sentence prediction (Devlin et al. 2019, section 3.1, task 2)."""

    def add_layers(self, config, base):
        """A Linear on the pooled output."""
        self.cls = BertOnlyNSPHead(config)

    def logits(self, hidden_states, pooled):
        """→ [B, 2]; 0: the second sentence follows the first, 1: it is random."""
        return self.cls(pooled)


class BertForPreTraining(heads.PreTraining, BertHead):
    """Masked-word and next-sentence heads (Devlin et al. 2019, section 3.1)."""

    def add_layers(self, config, base):
        """The layers of both heads."""
        self.cls = BertPreTrainingHeads(config, base.embeddings.word_embeddings)

    def logits(self, hidden_states, pooled):
        """→ [B, T, V], [B, 2]."""
        return self.cls(hidden_states, pooled)


class BertForSequenceClassification(heads.SequenceClassification, BertHead):
    """A Linear on the pooled output: one label, several, or numbers, by `problem_type`."""


class BertForTokenClassification(heads.TokenClassification, BertHead):
    """A Linear on every position."""


class BertForMultipleChoice(heads.MultipleChoice, BertHead):
    """A score for each of C texts, softmax over them; every input is [B, C, T]."""


class BertForQuestionAnswering(heads.QuestionAnswering, BertHead):
    """Where the answer starts and ends (Devlin et al. 2019, section 4.2)."""
