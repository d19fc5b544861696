"""The losses of the heads, each `nn.mean_loss` over what it counts, as PyTorch and TFBert define them.

They are computed in float32 whatever the dtype of the logits (float64 stays), and labels of another shape than the
logits need are refused: broadcast, they would give a loss that looks right.
"""

from .. import nn

IGNORE_INDEX = -100


def cross_entropy(
    logits, labels, ignore_index=IGNORE_INDEX, num_items=None, name="labels", reshapes=False, smoothing=0.0
):
    """Mean −log softmax(logits)[label] over the labels that are not `ignore_index`; NaN when all are.

    num_items: the sum, of labels [B, T], is divided by this number instead. name: of the labels, for errors.
    reshapes: labels of another shape with as many elements are taken, such as a column for a row.
    smoothing: the share of a label's weight that all classes have alike (Szegedy et al. 2016).

    Shapes: logits [..., L], labels [...] integers → [], or as `nn.mean_loss` has it.

    Raises:
        ValueError: labels of another shape or dtype.
    """
    given, labels = labels.shape, nn.class_numbers(labels, name)
    if reshapes:
        labels = nn.reshape(labels, (-1, *nn.shape(logits)[1:-1]))
    labels = nn.check_shape(labels, nn.shape(logits)[:-1], name, given)
    logits = nn.at_least_float32(logits)
    counted = labels != ignore_index
    label = nn.where(counted, labels, nn.zeros_like(labels))
    log_probabilities = nn.log_softmax(logits)
    log_probability = nn.take_last(log_probabilities, label)
    if smoothing:
        log_probability = (1 - smoothing) * log_probability + smoothing * nn.mean(log_probabilities, -1)
    losses = nn.where(counted, -log_probability, nn.zeros_like(log_probability))
    if num_items is not None:
        return nn.mean_loss(nn.einsum("bt->", losses) / num_items)
    return nn.mean_loss(losses, nn.cast_like(counted, logits), name)


def binary_cross_entropy(logits, labels):
    """Mean binary cross-entropy of independent labels; logits and labels [B, L] → [], or on TensorFlow [B].

    Raises:
        ValueError: labels of another shape.
    """
    logits, labels = _in_pairs(logits, labels)
    return nn.mean_loss(nn.mean(nn.softplus(logits) - logits * labels, -1))


def mean_squared_error(values, labels):
    """Mean squared difference; values and labels [B, L], or labels [B] of one value each → [], or on TensorFlow [B].

    Raises:
        ValueError: labels of another shape.
    """
    values, labels = _in_pairs(values, labels, reshapes=values.shape[1] == 1)
    difference = values - labels
    return nn.mean_loss(nn.mean(difference * difference, -1))


def _in_pairs(logits, labels, reshapes=False):
    logits, given = nn.at_least_float32(logits), labels.shape
    if reshapes:
        labels = nn.reshape(labels, (-1, 1))
    return logits, nn.cast_like(nn.check_shape(labels, nn.shape(logits), "labels", given), logits)


# --- distillation ---------------------------------------------------------------------------------


def kl_divergence(logits, teacher_logits, temperature=1.0, counted=None):
    """Mean KL(softmax(teacher / T) ‖ softmax(logits / T)) · T² over what is counted (Hinton et al. 2015).

    T², since the gradients of softened targets are about T⁻² of those of labels.

    Shapes: logits and teacher_logits [..., L], counted, 0 or 1, broadcast to [...], None for all → [].
    """
    log_probabilities = nn.log_softmax(nn.at_least_float32(logits) / temperature)
    targets = nn.log_softmax(nn.cast_like(teacher_logits, log_probabilities) / temperature)
    divergence = nn.einsum("...l,...l->...", nn.exp(targets), targets - log_probabilities)
    return _mean(divergence, counted) * temperature**2


def binary_kl_divergence(logits, teacher_logits, temperature=1.0):
    """As `kl_divergence`, of independent labels, each a sigmoid; [B, L] → []."""
    logits = nn.at_least_float32(logits) / temperature
    targets = nn.cast_like(teacher_logits, logits) / temperature
    divergence = nn.sigmoid(targets) * (targets - logits) + nn.softplus(logits) - nn.softplus(targets)
    return nn.mean(divergence) * temperature**2


def cosine_distance(states, teacher_states, counted=None):
    """Mean 1 − cos of the angle between vectors (Sanh et al. 2019); [..., H], counted broadcast to [...] → []."""
    states = nn.at_least_float32(states)
    teacher_states = nn.cast_like(teacher_states, states)
    pairs = ((states, teacher_states), (states, states), (teacher_states, teacher_states))
    product, *squares = (nn.einsum("...h,...h->...", one, other) for one, other in pairs)
    return _mean(1 - product / ((squares[0] + 1e-12) * (squares[1] + 1e-12)) ** 0.5, counted)


def squared_distance(states, teacher_states, counted=None):
    """Mean squared difference of values; [..., H], counted broadcast to [...] → []."""
    states = nn.at_least_float32(states)
    difference = states - nn.cast_like(teacher_states, states)
    return _mean(nn.mean(difference * difference, -1), counted)


def _mean(values, counted):
    if counted is None:
        return nn.mean(values)
    counted = nn.cast_like(counted, values)
    return nn.mean(values * counted) / nn.mean(counted)
