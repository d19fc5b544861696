"""The activations that published BERT configs name, by the hub's names."""

from .. import nn


def quick_gelu(x):
    """x σ(1.702 x) (Hendrycks and Gimpel 2016)."""
    return x * nn.sigmoid(1.702 * x)


ACTIVATIONS = {
    "gelu": nn.gelu,
    "gelu_python": nn.gelu,
    "gelu_new": nn.gelu_tanh,
    "gelu_fast": nn.gelu_tanh,
    "gelu_pytorch_tanh": nn.gelu_tanh,
    "quick_gelu": quick_gelu,
    "relu": nn.relu,
    "silu": nn.silu,
    "swish": nn.silu,
    "tanh": nn.tanh,
}


def activation(name):
    """The function of one `hidden_act`, [...] → [...].

    Raises:
        ValueError: an activation that bertx does not have; the message lists those it has.
    """
    if name not in ACTIVATIONS:
        raise ValueError(f"hidden_act is {name!r}, expected one of {', '.join(ACTIVATIONS)}")
    return ACTIVATIONS[name]
