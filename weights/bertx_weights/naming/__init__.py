"""The names of tensors in each format: rules from `Row.kind`, and the few overrides of a format and of a model."""

from .rules import KerasHubNaming, ModelNames, Naming

__all__ = ["KerasHubNaming", "ModelNames", "Naming"]
