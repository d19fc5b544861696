"""bertx.parity, `bertx parity` and the pytest plugin, as a user meets them."""

from __future__ import annotations

import json
import shutil

import pytest
from typer.testing import CliRunner

import bertx
from bertx import parity_report
from bertx.cli import app
from conftest import MASKED_LM
from fixture_files import CASES
from support import BACKENDS, HEADS

pytest_plugins = "pytester"


@pytest.mark.parametrize("head", HEADS)
def test_parity_holds_on_every_head_and_backend(peers, head):
    report = bertx.parity(peers(head)[1])
    assert report.backends == ["torch", "jax", "tensorflow", "numpy"]
    assert report.passed, str(report)
    assert report.architecture == head
    expected = parity_report.output_names(bertx.BertConfig.from_pretrained(peers(head)[1]), head, True)
    assert set(report.outputs()) == set(expected)


def test_the_report_tells_each_output_of_each_backend(tmp_path):
    report = bertx.parity(MASKED_LM, backends=["torch", "numpy"], texts=["One text.", "Another, somewhat longer text."])
    assert {row.backend for row in report.rows} == {"torch", "numpy"}
    assert list(report.outputs()) == ["embeddings", "layer 1", "layer 2", "attention 1", "attention 2", "logits"]
    written = json.loads(report.to_json(tmp_path / "parity.json"))
    assert written == json.loads((tmp_path / "parity.json").read_text())
    assert written["passed"] is True
    assert written["versions"]["torch"]["torch"].startswith("2.")
    assert len(written["rows"]) == 12
    assert "parity holds" in str(report)


def _break_torch(monkeypatch):
    """torch's second layer gets another epsilon."""
    real_load = parity_report.load

    def load(source, task, backend, **options):
        model = real_load(source, task, backend=backend, **options)
        if backend == "torch":
            model.module.bert.encoder.layer[1].output.LayerNorm.eps = 1e-2
        return model

    monkeypatch.setattr(parity_report, "load", load)


def test_a_wrong_layer_is_named_and_those_before_it_are_not(monkeypatch):
    _break_torch(monkeypatch)
    report = bertx.parity(MASKED_LM, backends=["torch", "numpy"])
    failed = {(row.backend, row.output) for row in report.rows if not row.passed}
    assert failed == {("torch", "layer 2"), ("torch", "logits")}
    assert "outside their tolerance" in str(report)


def test_the_embeddings_of_a_sentence_transformers_folder_are_compared():
    report = bertx.parity(CASES / "06_st_dense/labse_like")
    assert report.passed, str(report)
    assert list(report.outputs())[-1] == "sentence_embedding" and sorted(report.backends) == sorted(BACKENDS)
    report = bertx.parity(CASES / "06_st_dense/labse_like", backends=["torch"], dtype="bfloat16")
    assert report.passed and "sentence_embedding" in report.outputs()


def test_the_plugin_has_a_test_of_the_embeddings(pytester):
    done = pytester.runpytest_subprocess(
        "--bertx-parity", str(CASES / "06_st_dense/labse_like"), "--bertx-backend", "numpy", "-v"
    )
    done.stdout.fnmatch_lines(["*numpy-sentence_embedding? PASSED*"])
    assert done.parseoutcomes().keys() == {"passed"}


def test_modules_that_are_not_run_are_refused(tmp_path):
    shutil.copytree(CASES / "06_st_dense/labse_like", tmp_path / "model")
    entries = json.loads((tmp_path / "model/modules.json").read_text())
    entries[-1]["type"] = "sentence_transformers.models.LSTM"
    (tmp_path / "model/modules.json").write_text(json.dumps(entries))
    with pytest.raises(bertx.CheckpointError, match=r"does not run the modules sentence_transformers\.models\.LSTM"):
        bertx.parity(tmp_path / "model", backends=["numpy"])


def test_a_nan_does_not_pass():
    assert not parity_report.ParityRow("torch", "logits", float("nan"), 1.0).passed


def test_the_command_exits_with_0_1_and_2(monkeypatch, tmp_path):
    runner = CliRunner()
    texts = tmp_path / "texts.txt"
    texts.write_text("A first text.\n\nA second one.\n")
    arguments = ["parity", MASKED_LM, "--backend", "torch", "--backend", "numpy"]
    done = runner.invoke(app, [*arguments, "--texts", str(texts), "--json", str(tmp_path / "r.json")])
    assert done.exit_code == 0, done.output
    assert "layer 2" in done.output
    assert "parity holds" in done.output
    assert json.loads((tmp_path / "r.json").read_text())["passed"] is True
    assert runner.invoke(app, ["parity", MASKED_LM, "--backend", "theano"]).exit_code == 2
    assert runner.invoke(app, ["parity", MASKED_LM, "--task", "poetry"]).exit_code == 2
    assert runner.invoke(app, ["parity", MASKED_LM, "--texts", str(tmp_path / "none.txt")]).exit_code == 2
    assert runner.invoke(app, ["parity"]).exit_code == 2
    _break_torch(monkeypatch)
    done = runner.invoke(app, arguments)
    assert done.exit_code == 1
    assert "parity does not hold" in done.output


def test_a_failed_job_says_why_without_a_traceback(monkeypatch, capsys, tmp_path):
    from bertx.cli import main

    monkeypatch.setattr("sys.argv", ["bertx", "parity", str(tmp_path)])
    with pytest.raises(SystemExit) as left:
        main()
    assert left.value.code == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert f"{tmp_path} is no checkpoint: expected config.json" in captured.err
    assert "Traceback" not in captured.err


def test_the_plugin_gives_one_test_for_each_backend_and_output(pytester):
    pytester.makepyfile("def test_own(): pass")
    done = pytester.runpytest_subprocess(
        "--bertx-parity", MASKED_LM, "--bertx-backend", "torch", "--bertx-backend", "numpy", "-v"
    )
    done.assert_outcomes(passed=13)
    done.stdout.fnmatch_lines([f"*parity?{MASKED_LM}-torch-layer 2? PASSED*", "*-numpy-logits? PASSED*"])


def test_the_plugin_fails_the_outputs_that_differ_and_only_those(pytester):
    pytester.makeconftest(
        """
        from bertx import parity_report
        real_load = parity_report.load
        def load(source, task, backend, **options):
            model = real_load(source, task, backend=backend, **options)
            if backend == "torch":
                model.module.bert.encoder.layer[1].output.LayerNorm.eps = 1e-2
            return model
        parity_report.load = load
        """
    )
    done = pytester.runpytest_subprocess("--bertx-parity", MASKED_LM, "--bertx-backend", "torch")
    done.assert_outcomes(passed=4, failed=2)
    done.stdout.fnmatch_lines(["*layer 2 is * from the float64 oracle, float32 accounts for *"])


def test_the_plugin_refuses_what_it_cannot_load_and_does_nothing_unasked(pytester):
    pytester.makepyfile("def test_own(): pass")
    done = pytester.runpytest_subprocess("--bertx-parity", "no/such/checkpoint")
    assert done.ret == pytest.ExitCode.USAGE_ERROR
    done.stderr.fnmatch_lines(["*there is no folder no/such/checkpoint*"])
    pytester.makepyfile("import sys\ndef test_own(): assert 'numpy' not in sys.modules")
    pytester.runpytest_subprocess().assert_outcomes(passed=1)


def test_parity_of_a_revision_and_a_device(monkeypatch):
    loads = []
    real_load = parity_report.load

    def load(source, task, **options):
        loads.append({name: options.get(name) for name in ("backend", "device", "revision")})
        return real_load(source, task, **{**options, "revision": None})

    monkeypatch.setattr(parity_report, "load", load)
    report = bertx.parity(MASKED_LM, backends=["numpy"], device="cpu", revision="main")
    assert report.passed
    assert loads == [
        {"backend": "numpy", "device": None, "revision": "main"},
        {"backend": "numpy", "device": "cpu", "revision": "main"},
    ]
    with pytest.raises(ValueError, match="the numpy backend sees cpu here; asked for device 'cuda:99'"):
        bertx.parity(MASKED_LM, backends=["numpy"], device="cuda:99")
    with pytest.raises(ValueError, match="no installed backend sees the device 'cuda:99'"):
        bertx.parity(MASKED_LM, device="cuda:99")
    assert len(loads) == 2  # nothing was loaded for these
    done = CliRunner().invoke(app, ["parity", MASKED_LM, "-b", "numpy", "--device", "cpu", "--revision", "v1"])
    assert (done.exit_code, loads[-1]["revision"], loads[-1]["device"]) == (0, "v1", "cpu")


def test_the_plugin_refuses_what_it_does_not_know(pytester):
    pytester.makepyfile("def test_own(): pass")
    for arguments in (("--bertx-backend", "tourch"), ("--bertx-backend", "tourch", "--bertx-parity", MASKED_LM)):
        done = pytester.runpytest_subprocess(*arguments)
        assert done.ret == pytest.ExitCode.USAGE_ERROR
        done.stderr.fnmatch_lines(["*there is no backend 'tourch'; those known are torch, jax, tensorflow, numpy*"])
    arguments = ("--bertx-parity", MASKED_LM, "--bertx-backend", "numpy", "--bertx-device", "cuda:99")
    done = pytester.runpytest_subprocess(*arguments)
    assert done.ret == pytest.ExitCode.USAGE_ERROR
    done.stderr.fnmatch_lines(["*sees cpu here; asked for device 'cuda:99'*"])


def test_the_plugin_reports_what_it_measured_to_junit(pytester):
    import xml.etree.ElementTree as ElementTree

    arguments = ("--bertx-parity", MASKED_LM, "--bertx-backend", "numpy", "--bertx-device", "cpu")
    pytester.runpytest_subprocess(*arguments, "--junitxml", "report.xml").assert_outcomes(passed=6)
    report = bertx.parity(MASKED_LM, backends=["numpy"])
    cases = ElementTree.parse(pytester.path / "report.xml").getroot().iter("testcase")
    found = {
        case.get("name").rpartition("-")[2].rstrip("]"): {
            one.get("name"): float(one.get("value")) for one in case.iter("property")
        }
        for case in cases
    }
    expected = {row.output: {"difference": row.difference, "tolerance": row.tolerance} for row in report.rows}
    assert found == {name: pytest.approx(values) for name, values in expected.items()}
