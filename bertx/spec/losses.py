"""The losses of the heads, each `nn.mean_loss` over what it counts, as PyTorch and TFBert define them."""

from . import nn

IGNORE_INDEX = -100


def cross_entropy(logits, labels, ignore_index=IGNORE_INDEX):
    """Mean −log softmax(logits)[label] over the labels that are not `ignore_index`; NaN when all are.

    Shapes: logits [..., L], labels [...] integers → [], or as `nn.mean_loss` has it.
    """
    counted = labels != ignore_index
    label = nn.where(counted, labels, nn.zeros_like(labels))
    log_probability = nn.take_last(nn.log_softmax(logits), label)
    losses = nn.where(counted, -log_probability, nn.zeros_like(log_probability))
    return nn.mean_loss(losses, nn.cast_like(counted, logits))


def binary_cross_entropy(logits, labels):
    """Mean binary cross-entropy of independent labels; logits and labels [B, L] → [], or on TensorFlow [B]."""
    return nn.mean_loss(nn.mean(nn.softplus(logits) - logits * nn.cast_like(labels, logits), -1))


def mean_squared_error(values, labels):
    """Mean squared difference; values and labels [B, L] → [], or on TensorFlow [B]."""
    difference = values - nn.cast_like(labels, values)
    return nn.mean_loss(nn.mean(difference * difference, -1))
