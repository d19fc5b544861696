"""RoBERTa (Liu et al. 2019): BERT's encoder with positions from the padding, and heads of its own."""

from . import heads, nn
from .base_model import BaseModel
from .layers.embeddings import Embeddings


class RobertaPreTrainedModel(nn.Model):
    """What the classes of RoBERTa have in common."""

    model_type = "roberta"
    base_model_prefix = "roberta"


class RobertaEmbeddings(Embeddings):
    """Embeddings whose positions count from the padding token's id + 1, and are that id where there is padding."""

    def __init__(self, config):
        super().__init__(config)
        self.padding_idx = config.pad_token_id

    def positions(self, input_ids, tokens, past_length):
        """Ids that are padding have the position padding_idx, and take none from those after them."""
        if input_ids is None:
            return super().positions(input_ids, tokens, past_length) + (self.padding_idx + 1)
        is_token = nn.where(input_ids == self.padding_idx, nn.zeros_like(input_ids), nn.zeros_like(input_ids) + 1)
        return (nn.cumsum(is_token, 1) + past_length) * is_token + self.padding_idx


class RobertaModel(BaseModel, RobertaPreTrainedModel):
    """RoBERTa without a head: embeddings, encoder and, unless left out, the pooler."""

    embeddings_class = RobertaEmbeddings


class RobertaHead(RobertaPreTrainedModel):
    """What the classes with a head have in common."""

    base_class = RobertaModel


class RobertaLMHead(nn.Module):
    """Scores of the vocabulary: Linear, GELU, LayerNorm, and the word embeddings' matrix where the config ties them."""

    def __init__(self, config, word_embeddings):
        super().__init__()
        self.dense = nn.Linear(config.hidden_size, config.hidden_size, axes=("pooled", "embed"))
        self.layer_norm = nn.LayerNorm(config.hidden_size, config.layer_norm_eps)
        self.bias = nn.Parameter(config.vocab_size, axes=("vocab",))
        tied = word_embeddings if config.tie_word_embeddings else None
        self.decoder = nn.Decoder(config.hidden_size, config.vocab_size, self.bias, tied)

    def forward(self, hidden_states):
        """[..., H] → [..., V]."""
        return nn.linear(self.decoder, self.layer_norm(nn.gelu(nn.linear(self.dense, hidden_states))))


class RobertaClassificationHead(nn.Module):
    """Two Linears on the first position, with tanh between them."""

    def __init__(self, config):
        super().__init__()
        self.dense = nn.Linear(config.hidden_size, config.hidden_size, axes=("pooled", "embed"))
        self.dropout = heads.classifier_dropout(config)
        self.out_proj = nn.Linear(config.hidden_size, config.num_labels, axes=("label", "embed"))

    def forward(self, hidden_states):
        """[B, T, H] → [B, L]."""
        first = self.dropout(hidden_states[:, 0])
        return self.out_proj(self.dropout(nn.tanh(self.dense(first))))


class RobertaLMLayers:
    """The layers of the heads that score the vocabulary."""

    def add_layers(self, config, base):
        """The scores of the vocabulary."""
        self.lm_head = RobertaLMHead(config, base.embeddings.word_embeddings)

    def logits(self, hidden_states, pooled):
        """→ [B, T, V]."""
        return self.lm_head(hidden_states)


class RobertaForMaskedLM(RobertaLMLayers, heads.MaskedLM, RobertaHead):
    """Masked-word prediction."""


class RobertaForCausalLM(RobertaLMLayers, heads.CausalLM, RobertaHead):
    """Next-word prediction with the parameters of masked-word prediction; causal under `is_decoder`."""


class RobertaForSequenceClassification(heads.SequenceClassification, RobertaHead):
    """Two Linears on the first position: one label, several, or numbers, by `problem_type`."""

    reads_pooler = False

    def add_layers(self, config, base):
        """A head of two layers."""
        self.classifier = RobertaClassificationHead(config)
        self.num_labels = config.num_labels

    def logits(self, hidden_states, pooled):
        """→ [B, L]."""
        return self.classifier(hidden_states)


class RobertaForTokenClassification(heads.TokenClassification, RobertaHead):
    """A Linear on every position."""


class RobertaForMultipleChoice(heads.MultipleChoice, RobertaHead):
    """A score for each of C texts, softmax over them; every input is [B, C, T]."""


class RobertaForQuestionAnswering(heads.QuestionAnswering, RobertaHead):
    """Where the answer starts and ends."""
