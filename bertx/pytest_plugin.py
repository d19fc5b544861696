"""`pytest --bertx-parity SOURCE`: one test for each backend and output of a checkpoint, in the user's own suite."""

from __future__ import annotations

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """Adds --bertx-parity and --bertx-backend."""
    group = parser.getgroup("bertx", "parity of BERT checkpoints")
    group.addoption(
        "--bertx-parity",
        action="append",
        default=[],
        metavar="SOURCE",
        help="compare the backends on this checkpoint with the float64 oracle, one test for each backend and output",
    )
    group.addoption(
        "--bertx-backend",
        action="append",
        default=[],
        metavar="BACKEND",
        help="compare only this backend; may be given several times",
    )


def pytest_collection_modifyitems(session: pytest.Session, config: pytest.Config, items: list[pytest.Item]) -> None:
    """Adds the parity tests behind those of the suite."""
    for source in config.getoption("bertx_parity"):
        items.extend(_parity_items(session, source, config.getoption("bertx_backend")))


def _parity_items(session: pytest.Session, source: str, backends: list[str]) -> list[pytest.Item]:
    from .backend import installed_backends
    from .loading import load
    from .parity_report import output_names

    try:
        # The oracle's own backend knows the head without importing a framework.
        model = load(source, backend="numpy")
    except (ValueError, OSError, ImportError) as error:
        raise pytest.UsageError(f"--bertx-parity {source}: {error}") from error
    names = dict(model.tensors())
    outputs = output_names(model.config, model.architecture, add_pooling_layer="pooler.dense.weight" in names)
    return [
        ParityItem.from_parent(
            session, name=f"parity[{source}-{backend}-{output}]", source=source, backend=backend, output=output
        )
        for backend in backends or installed_backends()
        for output in outputs
    ]


class ParityItem(pytest.Item):
    """One output of one backend; the report is made once for each source and backend."""

    def __init__(self, *, source: str, backend: str, output: str, **kwargs):
        super().__init__(**kwargs)
        self._source, self._backend, self._output = source, backend, output

    def runtest(self) -> None:
        """Fails when the difference is outside the tolerance."""
        row = self._report().outputs()[self._output][self._backend]
        if not row.passed:
            raise ParityError(
                f"{self._source} on {self._backend}: {self._output} is {row.difference:.1e} from the float64 oracle, "
                f"float32 accounts for {row.tolerance:.1e}"
            )

    def _report(self):
        from .parity_report import parity

        reports = self.config.stash.setdefault(_REPORTS, {})
        key = (self._source, self._backend)
        if key not in reports:
            try:
                reports[key] = parity(self._source, backends=[self._backend])
            except (ValueError, OSError, ImportError) as error:
                reports[key] = error
        if isinstance(reports[key], Exception):
            raise reports[key]
        return reports[key]

    def repr_failure(self, excinfo: pytest.ExceptionInfo, style=None):
        """A parity failure is its message; anything else is a traceback."""
        if isinstance(excinfo.value, (ParityError, ValueError, OSError, ImportError)):
            return str(excinfo.value)
        return super().repr_failure(excinfo, style)

    def reportinfo(self):
        """Where pytest says the test is."""
        return self.path, None, self.name


class ParityError(AssertionError):
    """An output outside its tolerance."""


_REPORTS = pytest.StashKey[dict]()
