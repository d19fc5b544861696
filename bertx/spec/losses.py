"""The losses of the heads, each the mean over what it counts, as PyTorch defines them."""

from . import nn

IGNORE_INDEX = -100


def cross_entropy(logits, labels, ignore_index=IGNORE_INDEX):
    """Mean −log softmax(logits)[label] over the labels that are not `ignore_index`; NaN when all are.

    Shapes: logits [..., L], labels [...] integers → [].
    """
    counted = labels != ignore_index
    label = nn.where(counted, labels, nn.zeros_like(labels))
    log_probability = nn.take_last(nn.log_softmax(logits), label)
    total = nn.sum(nn.where(counted, log_probability, nn.zeros_like(log_probability)))
    return -total / nn.sum(nn.cast_like(counted, logits))


def binary_cross_entropy(logits, labels):
    """Mean binary cross-entropy of independent labels; logits and labels [B, L] → []."""
    return nn.mean(nn.softplus(logits) - logits * nn.cast_like(labels, logits))


def mean_squared_error(values, labels):
    """Mean squared difference; values and labels of one shape → []."""
    difference = values - nn.cast_like(labels, values)
    return nn.mean(difference * difference)
