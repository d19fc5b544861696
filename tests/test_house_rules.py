"""The rules of the house, held against the tree: who imports whom, and what a backend must offer."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FRAMEWORKS = {"torch", "tensorflow", "keras", "jax", "flax", "tf_keras", "optax"}
PACKAGES = sorted(path for path in (ROOT / "backends").iterdir() if path.name.startswith("bertx_"))
BACKENDS = [path for path in PACKAGES if (path / "nn.py").exists()]  # the others run exported files


def _imports(path: Path, everywhere: bool) -> set[str]:
    """The top names that a file imports, at module level or everywhere; relative ones as they are written."""
    tree = ast.parse(path.read_text())
    found = set()
    for node in ast.walk(tree) if everywhere else tree.body:
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add("." * node.level + (node.module or "") if node.level else node.module.split(".")[0])
    return found


def _sources(*folders: str) -> list[Path]:
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


def _name_of_package(path: Path) -> str:
    return path.parent.name


@pytest.mark.parametrize("path", _sources("bertx", "weights"), ids=lambda path: str(path.relative_to(ROOT)))
def test_no_framework_outside_the_backends(path):
    rooms = (ROOT / "weights" / "bertx_weights" / room for room in ("containers", "formats"))
    formats = any(path.is_relative_to(room) for room in rooms)
    assert not _imports(path, everywhere=not formats) & FRAMEWORKS
    assert not {
        name for name in _imports(path, everywhere=True) if name.startswith("bertx_") and name != "bertx_weights"
    }


def test_no_branch_on_the_name_of_a_backend():
    for path in _sources("bertx", "weights", "backends"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Compare):
                constants = [side.value for side in (node.left, *node.comparators) if isinstance(side, ast.Constant)]
                # Keras is asked which framework it runs on; that is its name for it, not a backend of bertx.
                if "keras.backend.backend()" not in ast.unparse(node):
                    assert not set(map(str, constants)) & {"torch", "jax", "tensorflow", "numpy"}, (path, node.lineno)


@pytest.mark.parametrize("path", _sources("weights"), ids=lambda path: path.name)
def test_the_weights_know_neither_bertx_nor_a_backend(path):
    assert "bertx" not in _imports(path, everywhere=True)


@pytest.mark.parametrize("path", _sources("bertx/models"), ids=lambda path: path.name)
def test_the_spec_imports_only_nn_and_its_siblings(path):
    if path.name == "nn.py":
        return  # the blocks: over NumPy here, over a framework in a backend
    models = ROOT / "bertx" / "models"
    for name in _imports(path, everywhere=True) - {"inspect", "__future__"}:
        dots = len(name) - len(name.lstrip("."))
        assert dots, name
        assert [path, *path.parents][dots].is_relative_to(models), name  # in models itself, or below it


@pytest.mark.parametrize("package", PACKAGES, ids=lambda path: path.name)
def test_a_backend_imports_no_other(package):
    for path in package.glob("*.py"):
        own = {name for name in _imports(path, everywhere=True) if name.startswith("bertx_")}
        assert own <= {package.name, "bertx_weights"}


def _contract() -> set[str]:
    """What the spec uses of `nn`."""
    return {
        node.attr
        for path in _sources("bertx/models")
        if path.name != "nn.py"
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "nn"
    }


@pytest.mark.parametrize("package", BACKENDS, ids=lambda path: path.name)
def test_no_file_of_the_spec_has_the_name_of_a_file_of_a_backend(package):
    # A backend's package finds its own file first: the spec would get that for its own. `nn` is meant to be so.
    models = ROOT / "bertx" / "models"
    spec = {path.relative_to(models).parts[0].removesuffix(".py") for path in models.rglob("*.py")}
    own = {path.name.partition(".")[0] for path in package.iterdir() if not path.name.startswith("__")}
    assert spec & own == {"nn"}


def test_every_backend_offers_what_the_spec_and_the_contract_name():
    from bertx.backend import get_backend
    from bertx.models import nn as contract

    assert _contract() <= set(vars(contract))
    for name in ("torch", "jax", "tensorflow"):
        module = __import__(f"bertx_{name}.nn", fromlist=["nn"])
        assert _contract() <= set(vars(module)), name
        assert isinstance(get_backend(name).dtypes, tuple)


@pytest.mark.parametrize(
    "path", [ROOT / "bertx" / "models" / "nn.py", *(package / "nn.py" for package in BACKENDS)], ids=_name_of_package
)
def test_nn_defines_what_the_spec_uses_and_nothing_else_that_is_public(path):
    defined = set()
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            defined.add(node.name)
        elif isinstance(node, (ast.Assign, ast.AnnAssign)):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            defined |= {name.id for target in targets for name in ast.walk(target) if isinstance(name, ast.Name)}
    public = {name for name in defined if not name.startswith("_")}
    assert public <= _contract() | {"parameters"}  # which the backend's own file reads


@pytest.mark.parametrize("package", BACKENDS, ids=lambda path: path.name)
def test_no_file_of_the_spec_has_the_name_of_a_backends_own(package):
    models = ROOT / "bertx" / "models"
    spec = {path.stem if path.is_file() else path.name for path in models.iterdir()} - {"__init__", "__pycache__", "nn"}
    assert "bert" in spec and "layers" in spec
    assert not spec & {path.stem for path in package.iterdir()}


def test_public_functions_and_classes_have_docstrings():
    without = []
    for path in _sources("bertx", "weights", "backends"):
        for node in ast.walk(ast.parse(path.read_text())):
            public = isinstance(node, (ast.FunctionDef, ast.ClassDef)) and not node.name.startswith("_")
            if public and not ast.get_docstring(node) and not _is_overload(node) and not _is_local(node, path):
                without.append(f"{path.relative_to(ROOT)}:{node.lineno} {node.name}")
    assert not without


def _is_overload(node: ast.FunctionDef | ast.ClassDef) -> bool:
    """Whether a definition is there for type checkers alone."""
    return any(isinstance(name, ast.Name) and name.id == "overload" for name in node.decorator_list)


def _is_local(node: ast.AST, path: Path) -> bool:
    """Whether a definition stands inside a function."""
    tree = ast.parse(path.read_text())
    for outer in ast.walk(tree):
        if isinstance(outer, ast.FunctionDef) and outer.lineno < node.lineno <= (outer.end_lineno or 0):
            return True
    return False


def _module(path: Path) -> str:
    """The name under which a file is imported."""
    base = next(ROOT / folder for folder in ("weights", "backends", ".") if path.is_relative_to(ROOT / folder))
    return ".".join(path.relative_to(base).with_suffix("").parts).removesuffix(".__init__")


def _imported_modules(path: Path, known: set[str]) -> set[str]:
    """The modules of the house that a file imports, in functions too; not those for type checkers alone."""
    tree, found = ast.parse(path.read_text()), set()
    checked = [
        node for node in ast.walk(tree) if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
    ]
    skipped = {id(child) for node in checked for child in ast.walk(node)}
    package = _module(path).split(".")[: None if path.name == "__init__.py" else -1]
    for node in ast.walk(tree):
        if id(node) in skipped:
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            parents = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*parents, *filter(None, [node.module])])
            found |= {f"{module}.{alias.name}" if f"{module}.{alias.name}" in known else module for alias in node.names}
    return (found & known) - {_module(path)}


def test_no_module_imports_itself_by_way_of_others():
    files = {_module(path): path for path in _sources("bertx", "weights", "backends")}
    graph = {name: _imported_modules(path, set(files)) for name, path in files.items()}
    assert graph["bertx.checkpoints.load"] > {"bertx.registry", "bertx.model"}  # the walk sees something
    while removable := {name for name, imported in graph.items() if not imported & graph.keys()}:
        graph = {name: imported for name, imported in graph.items() if name not in removable}
    circle, name = [], min(graph, default="")
    while graph and name not in circle:
        circle.append(name)
        name = min(graph[name] & graph.keys())
    assert not graph, f"a circle of imports: {' → '.join([*circle[circle.index(name) :], name])}"
