"""The documentation: each row of its tables and each block of Python is executed, and the reference is whole."""

from __future__ import annotations

import ast
import importlib
import json
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

import bertx
import documented_calls
from bertx_weights import FORMATS
from documented_calls import CLASSES, prepared, run, told, working_in
from fixture_files import CHECKPOINTS as FIXTURES

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PEER = ROOT / ".venv-transformers4" / "bin" / "python"
TABLES = {"tensorflow": "TensorFlow", "flax": "Flax", "pytorch": "PyTorch"}
PACKAGES = {"tensorflow": "bertx_tensorflow", "flax": "bertx_jax", "pytorch": "bertx_torch"}
# Calls of the left side that the peer environment has no library for: tensorflow-text, datasets, accelerate; and two
# that give a model without values in transformers 4.57.6: it stays on the device "meta".
NOT_IN_THE_PEER = ("TFBertTokenizer", "prepare_tf_dataset", "device_map", "from_tf=", "from_flax=")
# What is drawn at random, or of another precision, is compared by its shapes.
DRAWN = ("num_labels=3", "train=True", "training=True", "model.train()", "vocab_size=1000", "bfloat16", "mixed_float16")

# A row with one of these has a model of its own.
CHANGING = ("compile", "trainable", "resize", "set_params", "model.train()", "shard", "checkpointing", "export", "save")

pytestmark = [
    # Keras and TensorFlow warn of themselves while they train and export.
    pytest.mark.filterwarnings("ignore::UserWarning:keras"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    # The page says so of the row.
    pytest.mark.filterwarnings("ignore:.*initialised for Bert.*:UserWarning"),
]


# --- coming from transformers ---------------------------------------------------------------------


def rows(framework: str) -> list[tuple[str, str]]:
    """The calls of a table, transformers' and bertx's."""
    page = (DOCS / "coming-from-transformers.md").read_text()
    section = page.partition(f"\n## {TABLES[framework]}\n")[2].partition("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")][2:]
    found = []
    for line in lines:
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        assert len(cells) == 3, line
        old, new = (re.fullmatch(r"`([^`]+)`", cell) for cell in cells[:2])
        assert old and new, line
        found.append((old[1], new[1]))
    return found


ROWS = [(framework, i) for framework in TABLES for i in range(len(rows(framework)))]


def make_checkpoints(folder: Path, framework: str) -> Path:
    """The checkpoints by the names that the page has for them."""
    form = framework if framework != "pytorch" else "safetensors"
    sources = {
        "bert-base-uncased": FIXTURES / "BertForPreTraining" / form,
        "classifier": FIXTURES / "BertForSequenceClassification" / form,
        "pytorch-model": FIXTURES / "BertForPreTraining" / "pytorch",
        "tensorflow-model": FIXTURES / "BertForSequenceClassification" / "tensorflow",
        "flax-model": FIXTURES / "BertForSequenceClassification" / "flax",
    }
    for name, source in sources.items():
        shutil.copytree(source, folder / framework / name)
    return folder / framework


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory):
    root = tmp_path_factory.mktemp("docs")
    return {framework: make_checkpoints(root, framework) for framework in TABLES}


def names_of(framework: str) -> dict:
    """What a user of bertx has imported."""
    package = importlib.import_module(PACKAGES[framework])
    names = {"bertx": bertx, PACKAGES[framework]: package, "np": np}
    names |= {name: getattr(package, name) for name in package.__all__} | {"BertConfig": bertx.BertConfig}
    libraries = {
        "tensorflow": {"tf": "tensorflow", "keras": "keras"},
        "flax": {"jax": "jax", "jnp": "jax.numpy", "optax": "optax", "flax": "flax", "nnx": "flax.nnx"},
        "pytorch": {"torch": "torch"},
    }
    names |= {name: importlib.import_module(library) for name, library in libraries[framework].items()}
    if framework == "flax":
        names["TrainState"] = importlib.import_module("flax.training.train_state").TrainState
        names["Mesh"] = importlib.import_module("jax.sharding").Mesh
    return names


@pytest.fixture(scope="module")
def given(checkpoints):
    """(framework, row) → what the right side gives."""
    known, unchanged = {}, {}

    def names_for(framework, call):
        if any(word in call for word in CHANGING):
            return prepared(names_of(framework), framework, bertx.BertTokenizer)
        if framework not in unchanged:
            unchanged[framework] = prepared(names_of(framework), framework, bertx.BertTokenizer)
        return dict(unchanged[framework])

    def get(framework, i):
        if (framework, i) not in known:
            call = rows(framework)[i][1]
            with working_in(checkpoints[framework]):
                names = names_for(framework, call)
                known[framework, i] = told(run(call, names), names)
        return known[framework, i]

    return get


def test_there_are_tables():
    assert [len(rows(framework)) >= least for framework, least in zip(TABLES, (20, 20, 10), strict=True)] == [True] * 3
    assert set(CLASSES) == set(TABLES)


@pytest.mark.parametrize(("framework", "i"), ROWS)
def test_the_right_side_of_a_row(given, framework, i):
    new = rows(framework)[i][1]
    value = given(framework, i)
    if new.startswith("from "):
        assert {part.removeprefix("TF").removeprefix("Flax") for part in re.findall(r"\w*Bert\w+", new)}
    elif "model(" in new and "TrainState" not in new:
        assert value is not None and value != {}


def shapes(value):
    if isinstance(value, dict):
        return value["shape"] if "shape" in value else {key: shapes(one) for key, one in value.items()}
    return [shapes(one) for one in value] if isinstance(value, list) else value


def numbers(value):
    """Every number of a value, in order; names first where it is a mapping."""
    if isinstance(value, dict) and "values" in value:
        return value["values"]
    if isinstance(value, dict):
        return [number for key in sorted(value) for number in (key, *numbers(value[key]))]
    return [number for one in value for number in numbers(one)] if isinstance(value, list) else [value]


def assert_alike(old, new, call):
    if any(word in call for word in DRAWN):
        assert shapes(old) == shapes(new), call
        return
    old, new = numbers(old), numbers(new)
    assert len(old) == len(new) and [v for v in old if isinstance(v, str)] == [v for v in new if isinstance(v, str)]
    for side in (old, new):
        side[:] = [value for value in side if not isinstance(value, str)]
    np.testing.assert_allclose(new, old, atol=5e-6, rtol=1e-5, err_msg=call)


@pytest.fixture(scope="module")
def peer(checkpoints, tmp_path_factory):
    """framework → of each row what the left side gives in transformers 4.57, and its error."""
    if not PEER.exists():
        pytest.skip(f"{PEER} is not there: `make test` builds it")
    root = tmp_path_factory.mktemp("peer")
    jobs = {
        framework: [str(make_checkpoints(root, framework)), [old for old, _ in rows(framework)]] for framework in TABLES
    }
    done = subprocess.run(
        [PEER, documented_calls.__file__], input=json.dumps(jobs), capture_output=True, text=True, timeout=540
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.slow
@pytest.mark.parametrize("framework", TABLES)
def test_both_sides_of_a_row_are_alike(peer, given, framework):
    compared, problems = 0, []
    for i, ((old, new), (value, error)) in enumerate(zip(rows(framework), peer[framework], strict=True)):
        if any(word in old for word in NOT_IN_THE_PEER):
            continue
        if "tokenizer.save_pretrained" in new:  # gives the files that each library writes: other ones
            continue
        if error is not None:
            problems.append(f"{old}\n{error}")
        elif value is not None and given(framework, i) is not None:
            compared += 1
            try:
                assert_alike(value, given(framework, i), new)
            except AssertionError as difference:
                problems.append(f"{old}\n{new}\n{difference}")
    assert not problems, "\n\n".join(problems)
    assert compared >= len(rows(framework)) // 2


# --- blocks of Python -----------------------------------------------------------------------------


PAGES = [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))]


def blocks(page: Path) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL)


@pytest.fixture
def named_checkpoints(tmp_path):
    """Small checkpoints by the names that the pages have for large ones."""
    sources = {
        "bert-base": "BertForPreTraining",
        "my-checkpoint": "BertForSequenceClassification",
        "my-causal-checkpoint": "BertLMHeadModel",
        "sentence-transformers/all-MiniLM-L6-v2": "BertModel",
    }
    for name, head in sources.items():
        shutil.copytree(FIXTURES / head / "safetensors", tmp_path / name)
    shutil.copytree(FIXTURES / "BertForMaskedLM" / "tensorflow", tmp_path / "tf_model_folder")
    return tmp_path


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page)], ids=lambda page: page.stem)
def test_the_python_of_a_page_runs(page, named_checkpoints):
    names = {}
    with working_in(named_checkpoints):
        for block in blocks(page):
            exec(compile(block, str(page), "exec"), names)


def test_the_blocks_are_found():
    assert blocks(ROOT / "README.md") and sum(map(len, map(blocks, PAGES))) >= 5


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_commands_of_a_page_are_there(page):
    from bertx.cli import app

    verbs = {command.name or command.callback.__name__.replace("_", "-") for command in app.registered_commands}
    for block in re.findall(r"^```sh\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL):
        for line in block.splitlines():
            if line.startswith("bertx "):
                named = re.match(r"bertx ([a-z-]+(?: \| [a-z-]+)*)", line)[1].split(" | ")
                assert set(named) <= verbs, line


def test_the_figures_are_those_that_were_measured(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    import report

    for page in (ROOT / "README.md", DOCS / "speed.md"):
        text = page.read_text()
        assert "| bertx torch | transformers torch |" in text
        assert report.filled(text) == text, "python benchmarks/report.py writes them"


# --- the reference --------------------------------------------------------------------------------


@pytest.mark.parametrize("package", ["bertx", "bertx_weights"])
def test_every_public_name_is_in_the_reference(package):
    module = importlib.import_module(package)
    page = (DOCS / "reference" / f"{package}.md").read_text()
    described = set(re.findall(rf"^::: {package}\.(\w+)$", page, re.MULTILINE))
    alike = {name for name in module.__all__ if name not in described and f"`{package}.{name}` is the same" in page}
    assert described | alike == set(module.__all__)
    for name in alike:
        assert any(getattr(module, name) is getattr(module, other) for other in described)


@pytest.mark.parametrize("package", PACKAGES.values())
def test_every_class_of_a_backend_is_in_the_reference(package):
    module = importlib.import_module(package)
    page = (DOCS / "reference" / f"{package}.md").read_text()
    models = (DOCS / "reference" / "models.md").read_text()
    listed = set()
    for model, output, of_model, of_output in re.findall(
        r"^\| `(\w+)` \| `(\w+)` \| \[\w+\]\[([\w.]+)\], \[\w+\]\[([\w.]+)\] \|$", page, re.MULTILINE
    ):
        for name, path in ((model, of_model), (output, of_output)):
            cls = getattr(module, name)
            assert f"{cls.__module__}.{cls.__name__}" == path.replace("bertx.models", package)
            assert f"\n::: {path}\n" in models
        listed |= {model, output}
    listed |= set(re.findall(rf"^::: {package}\.\w+\.(\w+)$", page, re.MULTILINE)) & set(module.__all__)
    assert listed == set(module.__all__)


def test_every_task_is_in_the_reference():
    from bertx.registry import tasks
    from bertx.tasks import task_class

    page = (DOCS / "reference" / "tasks.md").read_text()
    described = dict(re.findall(r"^## ([\w-]+)\n\n::: ([\w.]+)\.__call__$", page, re.MULTILINE))
    assert described == {tag: f"{cls.__module__}.{cls.__name__}" for tag in tasks() if (cls := task_class(tag))}


def test_the_formats_are_on_their_page():
    readme, page = (ROOT / "README.md").read_text(), (DOCS / "formats.md").read_text()
    table = readme.partition("[start:formats]")[2].partition("[end:formats]")[0]
    assert set(re.findall(r"^\| `([\w-]+)` \|", table, re.MULTILINE)) == set(FORMATS)
    assert re.findall(r"`([\w-]+)`", page.partition("as the first of these:")[2].partition(".")[0]) == list(FORMATS)


def test_what_is_taken_from_the_readme_is_there():
    readme = (ROOT / "README.md").read_text()
    text = "\n".join(page.read_text() for page in PAGES)
    taken = re.findall(r"^--8<-- \"README.md:(\w+)\"$", text, re.MULTILINE)
    assert taken
    marks = re.findall(r"^-+ *8.*$", text, re.MULTILINE)  # a formatter may have put spaces into one
    assert marks and all(re.fullmatch(r'--8<-- "[\w./-]+(:\w+)?"', mark) for mark in marks), marks
    for section in taken:
        assert readme.count(f"[start:{section}]") == readme.count(f"[end:{section}]") == 1


def test_documented_arguments_are_there():
    # griffe takes a line that describes several arguments for one of that name, so that its own check is off.
    for folder in ("bertx", "backends", "weights"):
        for path in (ROOT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.FunctionDef) and "Args:\n" in (ast.get_docstring(node) or ""):
                    described = ast.get_docstring(node).partition("Args:\n")[2].partition("\n\n")[0]
                    found = re.findall(r"^    (\w[\w, ]*):", described, re.MULTILINE)
                    taken = [arg.arg for arg in ast.walk(node.args) if isinstance(arg, ast.arg)]
                    assert found and {name for line in found for name in line.split(", ")} <= set(taken), node.name


# --- the site -------------------------------------------------------------------------------------


def test_the_site_works_from_a_folder():
    """The index of the search is a script, and what reads it is of the site: nothing is fetched."""
    config = (ROOT / "mkdocs.yml").read_text()
    assert re.search(r"^  - offline\b", config, re.MULTILINE)
    for named in re.findall(r"^(?:extra_css|  polyfills): \[([\w./-]+)\]", config, re.MULTILINE):
        assert (DOCS / named).is_file()
    assert re.search(r"^  polyfills: \[assets/iframe-worker.js\]", config, re.MULTILINE)
    assert "http" not in config


def test_every_page_is_in_the_navigation_and_on_the_first():
    config, first = (ROOT / "mkdocs.yml").read_text(), (DOCS / "index.md").read_text()
    for page in DOCS.rglob("*.md"):
        name = str(page.relative_to(DOCS))
        assert f": {name}\n" in config
        assert page.parent != DOCS or name == "index.md" or f"]({name})" in first, name


@pytest.mark.parametrize("section", ["tour", "commands"])
def test_what_a_reader_sees_first_is_not_cut_at_the_right_edge(section):
    """A line of code on the site has room for 83 characters; a longer one goes on below (assets/bertx.css)."""
    text = (ROOT / "README.md").read_text()
    code = re.search(rf"start:{section}.*?```\w+\n(.*?)```", text, re.DOTALL)[1]
    assert max(map(len, code.splitlines())) <= 83
    assert "white-space: pre-wrap" in (DOCS / "assets" / "bertx.css").read_text()
