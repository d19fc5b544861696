"""The README.md of an artefact: what it is, a call that runs it, and how far it is from the oracle."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..model import Model
from ..parity_report import ParityReport
from ..registry import head_of
from .formats import ExportFormat

_TEXTS = """\
from transformers import AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained(".")
tokens = tokenizer(["A text.", "Another."], padding=True, return_tensors="np", return_token_type_ids=True)
"""
_CHOICES = """\
from transformers import AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained(".")
question, choices = "A question?", ["One answer.", "Another."]
tokens = tokenizer([question] * 2, choices, padding=True, return_tensors="np", return_token_type_ids=True)
tokens = {name: value[None] for name, value in tokens.items()}
"""
_IDS = """\
import numpy as np

ids = np.array({ids})
tokens = {{"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}}
"""


def readme(
    model: Model,
    form: ExportFormat,
    name: str,
    inputs: Mapping[str, tuple[str, ...]],
    outputs: Sequence[str],
    report: ParityReport,
    on_texts: bool = False,
) -> str:
    """The text of the file.

    Args:
        model: what was exported.
        form: the format of the artefact.
        name: that of the format.
        inputs: the inputs of the artefact, and the names of their axes.
        outputs: its outputs.
        report: the artefact beside the oracle.
        on_texts: whether it has the tokenizer in it.
    """
    call = form.texts_call if on_texts else f"{_tokens(model)}\nnames = {list(inputs)}\n{form.call}"
    texts = "Or texts: `text` [batch], and of pairs `text_pair` [batch], strings in UTF-8.\n" if on_texts else ""
    dtype = "" if report.dtype == "float32" else f", {report.dtype}"
    versions = ", ".join(f"{library} {number}" for library, number in report.versions[name].items())
    past = "Each call reads whole texts: there is no past_key_values.\n" if model.config.is_decoder else ""
    return f"""\
# {model.architecture} as {name}{dtype}

`{form.file}` is {form.what}, written by `bertx export` from `{report.source}`.

Inputs: {"; ".join(f"`{one}` [{', '.join(axes)}]" for one, axes in inputs.items())}; at most \
{model.config.max_sequence_length} positions in a sequence.
{texts}Outputs: {", ".join(f"`{output}`" for output in outputs)}.
{past}
```python
{call}```

Run by {form.runtime} and compared with the float64 oracle ({versions}):

```
{report}
```
"""


def _tokens(model: Model) -> str:
    choices = head_of(model.architecture).scores == "choices"
    try:
        _ = model.tokenizer
    except FileNotFoundError:
        return _IDS.format(ids=[[[1, 2, 3], [1, 2, 4]]] if choices else [[1, 2, 3], [1, 2, 4]])
    return _CHOICES if choices else _TEXTS
