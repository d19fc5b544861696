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


def elu(x):
    """x, and eˣ − 1 below 0, by way of tanh (Clevert et al. 2015)."""
    half = nn.tanh(-0.5 * nn.relu(-x))
    return nn.where(x > 0, x, 2 * half / (1 - half))


def softsign(x):
    """x / (1 + |x|)."""
    return x / (1 + nn.relu(x) + nn.relu(-x))


# By the names of the classes of torch.nn, with the arguments that these have where none are given.
TORCH_ACTIVATIONS = {
    "Identity": lambda x: x,
    "Tanh": nn.tanh,
    "Sigmoid": nn.sigmoid,
    "ReLU": nn.relu,
    "GELU": nn.gelu,
    "SiLU": nn.silu,
    "LeakyReLU": lambda x: nn.where(x > 0, x, 0.01 * x),
    "ELU": elu,
    "Softplus": nn.softplus,
    "LogSigmoid": lambda x: -nn.softplus(-x),
    "Softsign": softsign,
    "Hardtanh": lambda x: nn.clip(x, -1, 1),
}


def activation(name):
    """The function of one `hidden_act`, [...] → [...].

    Raises:
        ValueError: an activation that bertx does not have; the message lists those it has.
    """
    if name not in ACTIVATIONS:
        raise ValueError(f"hidden_act is {name!r}, expected one of {', '.join(ACTIVATIONS)}")
    return ACTIVATIONS[name]
