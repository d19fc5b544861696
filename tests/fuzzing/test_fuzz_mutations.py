"""Every reader on mutated files, the same ones each time; of more of them see fuzz.py."""

from __future__ import annotations

import pytest
from fuzz import FORMATS, run

# Where a file costs more than elsewhere.
_SLOW = {"orbax": 200, "tensorflow": 500, "keras-hub": 500}


@pytest.mark.parametrize("form", FORMATS)
def test_a_mutated_checkpoint_loads_or_is_refused(form, tmp_path):
    result = run(form, 40 if form == "orbax" else 150, seed=1, keep=tmp_path / "kept")
    assert not result.failures, str(result)
    # The mutations reach the readers: some files load, others do not, and for more than one reason.
    assert result.outcomes["refused"] > result.files // 5
    assert result.outcomes["same"] + result.outcomes["different"] > result.files // 50
    assert len(result.refused) >= 5


@pytest.mark.slow
@pytest.mark.parametrize("form", FORMATS)
def test_many_mutated_checkpoints_load_or_are_refused(form, tmp_path):
    result = run(form, _SLOW.get(form, 1000), seed=2, keep=tmp_path / "kept")
    assert not result.failures, str(result)


def test_a_case_is_the_same_each_time(tmp_path):
    from fuzz import CORPUS, generate, seeds

    known = seeds("safetensors", CORPUS, tmp_path)
    for case in range(50):
        first, second = (generate("safetensors", 5, case, known) for _ in range(2))
        assert first[2] == second[2] and first[1] is second[1]
        contents = [
            [(n, c) for n, c in sorted(files.items()) if isinstance(c, bytes)] for files in (first[0], second[0])
        ]
        assert contents[0] == contents[1]


def test_the_driver_sees_what_must_not_be(tmp_path, monkeypatch):
    """A reader that lets an error through is found: here, of what a JSON file may say."""
    import fuzz

    seen = []
    monkeypatch.setattr(fuzz, "read", lambda folder: seen.append(folder) or {}["missing"])
    outcome, detail = fuzz.examine("safetensors", tmp_path, fuzz.Seed("", {}), [])
    assert (outcome, seen) == ("escape", [tmp_path]) and "KeyError" in detail
