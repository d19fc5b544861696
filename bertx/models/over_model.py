"""What is computed of the outputs of a model, where that runs."""

from . import nn


class OverModel(nn.Model):
    """A model that is loaded already, and what is computed of its outputs: it is given as `base`, after this is made.

    A class says its `task` and `output_class`.
    """

    labels = {}
    label_aliases = {}
    logit_names = ()
    scores = "tokens"
    causal = False
    base_model_prefix = "base"

    def architecture(self):
        """The class whose inputs it takes."""
        return getattr(self, self.base_model_prefix).architecture()
