"""What a student learns from a teacher's outputs: soft targets, hidden states, relations of self-attention.

The teacher's outputs are arrays, which `bertx.training.distillation` computes with the teacher on any backend:

    the head's logit names   as the student's; of positions, a lowest number where there is padding
    last_hidden_state        [B, T, H]
    hidden_states.I          [B, T, H], what the student's layer I is to give; 0 are the embeddings
    attention_scores         [B, N, T, T], of the last layer; of their softmax alone anything follows
    value_scores             [B, N, T, T], V Vᵀ / √D of the last layer
"""

from . import nn
from .layers.losses import IGNORE_INDEX, binary_kl_divergence, cosine_distance, kl_divergence, squared_distance
from .layers.masks import attention_bias


def distillation_loss(model, inputs, output, loss, teacher, settings):
    """The weighted sum of the loss of the labels and of those of a teacher's outputs.

    Args:
        model: the student, a head.
        inputs: its inputs, labels among them.
        output: what it gave, with hidden_states where `settings` need them.
        loss: of the labels, [].
        teacher: name → tensor, see above.
        settings: a `bertx.training.distillation.Distillation`.
    """
    total = settings.label_weight * loss
    if settings.soft_weight:
        total = total + settings.soft_weight * _soft_targets(model, inputs, output, teacher, settings.temperature)
    if not settings.needs_states:
        return total
    states = output.hidden_states
    mask = nn.reshape(inputs["attention_mask"], nn.shape(states[-1])[:2])  # of choices [B, C, T] → [B·C, T]
    if settings.cosine_weight:
        total = total + settings.cosine_weight * cosine_distance(states[-1], teacher["last_hidden_state"], mask)
    for layer, _ in settings.hidden_layers if settings.hidden_weight else ():
        distance = squared_distance(states[layer], teacher[f"hidden_states.{layer}"], mask)
        total = total + settings.hidden_weight / len(settings.hidden_layers) * distance
    if settings.relation_weight:
        total = total + settings.relation_weight * _relations(model, states, mask, teacher)
    return total


def _soft_targets(model, inputs, output, teacher, temperature):
    """KL divergence of what the head scores, where labels count; of several kinds of scores the sum."""
    total = 0.0
    for name, (label, (_, limit)) in zip(model.logit_names, model.labels.items(), strict=True):
        logits, expected, labels = output[name], teacher[name], inputs[label]
        problem = model.config.problem_type if (limit, model.scores) == ("num_labels", "first") else None
        if problem == "multi_label_classification":
            total = total + binary_kl_divergence(logits, expected, temperature)
        elif problem == "regression":
            total = total + squared_distance(logits, expected)
        elif limit == "positions":
            total = total + kl_divergence(logits, expected, temperature) / len(model.labels)  # as the labels' mean
        else:
            if model.causal:
                logits, expected, labels = logits[:, :-1], expected[:, :-1], labels[:, 1:]
            total = total + kl_divergence(logits, expected, temperature, labels != IGNORE_INDEX)
    return total


def _relations(model, states, mask, teacher):
    """KL divergences of the attention of the last layer, and of the relation of its values (Wang et al. 2020)."""
    base = getattr(model, model.base_model_prefix)
    attention = base.encoder.layer[-1].attention.self
    bias = attention_bias(states[-2], mask, base.is_decoder)
    queries = nn.reshape(mask, (nn.shape(mask)[0], 1, nn.shape(mask)[1]))
    found = zip(relation_scores(attention, states[-2], bias), ("attention_scores", "value_scores"), strict=True)
    return sum(kl_divergence(scores, teacher[name], counted=queries) for scores, name in found)


def relation_scores(attention, hidden_states, bias):
    """What a SelfAttention's softmax is of, and V Vᵀ / √D, both with the bias: [B, T, H] → twice [B, N, T, T].

    Computed anew of what the layer was given: what it gives is after dropout.
    """
    parts = (attention.query, attention.key, attention.value)
    query, key, value = (attention.split_heads(nn.linear(part, hidden_states)) for part in parts)
    scale = attention.head_size**-0.5
    scores, values = (nn.einsum("bnid,bnjd->bnij", *pair) * scale for pair in ((query, key), (value, value)))
    if attention.position_embedding_type != "absolute":
        scores = scores + attention.relative_scores(query, key, 0) * scale
    return (scores, values) if bias is None else (scores + bias, values + bias)
