"""What a training adds to the names of a state dict: `module.` of DataParallel, `_orig_mod.` of torch.compile, …"""

from __future__ import annotations

from collections.abc import Iterable

# Modules that compute what they wrap, wherever they stand in a name: DDP, torch.compile, FSDP, checkpoint_wrapper.
_WRAPPERS = ("module", "_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module")
_OWNER = "model."  # the attribute of a LightningModule, or of a class of one's own
READ = f"{', '.join(f'{name}.' for name in _WRAPPERS)} anywhere in a name, and {_OWNER} before all names"


def unwrapped(names: Iterable[str]) -> dict[str, str]:
    """Stored name → the name that the model itself has for the tensor.

    `model.` is left out only where every tensor has it: else it may be one of several models.
    """
    plain = {name: ".".join(part for part in name.split(".") if part not in _WRAPPERS) or name for name in names}
    while plain and all(name.startswith(_OWNER) for name in plain.values()):
        plain = {stored: name.removeprefix(_OWNER) for stored, name in plain.items()}
    return plain


def notes(plain: dict[str, str]) -> tuple[str, ...]:
    """One line, with an example, where names were unwrapped."""
    changed = sorted(stored for stored, name in plain.items() if stored != name)
    if not changed:
        return ()
    example = changed[0]
    return (f"{len(changed)} names have a wrapper's prefix, left out: {example:.120} is {plain[example]:.120}",)
