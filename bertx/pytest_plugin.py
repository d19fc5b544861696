"""`pytest --bertx-parity SOURCE`: one test for each backend and output of a checkpoint, in the user's own suite."""

from __future__ import annotations

from typing import Any

import pytest

from .printable import printable


def pytest_addoption(parser: pytest.Parser) -> None:
    """Adds --bertx-parity and its options."""
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
    group.addoption(
        "--bertx-revision", metavar="REVISION", help="the branch, tag or commit of the checkpoint on the hub"
    )
    group.addoption("--bertx-device", metavar="DEVICE", help="what the backends run on, as they name it")


def pytest_collection_modifyitems(session: pytest.Session, config: pytest.Config, items: list[pytest.Item]) -> None:
    """Adds the parity tests behind those of the suite."""
    sources: Any = config.getoption("bertx_parity")
    names: Any = config.getoption("bertx_backend")
    device, revision = config.getoption("bertx_device"), config.getoption("bertx_revision")
    if sources or names:
        backends = _known_backends(names, device)
    for source in sources:
        items.extend(_parity_items(session, source, backends, device, revision))


def _known_backends(names: list[str], device: str | None) -> list[str]:
    from .backend import check_device, get_backend, installed_backends, known_runtimes

    try:
        for name in names:
            if name in known_runtimes():
                raise ValueError(f"{name} runs exported files, of other outputs: compare one with `bertx parity`")
            check_device(get_backend(name), device)
    except (ValueError, ImportError) as error:
        raise pytest.UsageError(f"--bertx-backend: {printable(error)}") from error
    found = names or [name for name in installed_backends() if device is None or device in get_backend(name).devices()]
    if not found:
        raise pytest.UsageError(f"--bertx-device: no installed backend sees {device!r}")
    return found


def _parity_items(
    session: pytest.Session, source: str, backends: list[str], device: str | None, revision: str | None
) -> list[pytest.Item]:
    from .checkpoints.load import load
    from .parity_report import embedding_settings, output_names
    from .registry import options_of

    try:
        # The oracle's own backend knows the head without importing a framework.
        model = load(source, backend="numpy", revision=revision)
        embeds = bool(embedding_settings(model).modules)
    except (ValueError, OSError, ImportError) as error:
        raise pytest.UsageError(f"--bertx-parity {printable(source)}: {printable(error)}") from error
    options = options_of(model.architecture, dict(model.tensors()))
    outputs = output_names(model.config, model.architecture, **options, embeds=embeds)
    return [
        ParityItem.from_parent(
            session,
            name=printable(f"parity[{source}-{backend}-{output}]"),
            source=source,
            backend=backend,
            output=output,
            device=device,
            revision=revision,
        )
        for backend in backends
        for output in outputs
    ]


class ParityItem(pytest.Item):
    """One output of one backend; the report is made once for each source and backend.

    The difference and the tolerance are properties of the test: in the report of --junitxml.
    """

    def __init__(self, *, source: str, backend: str, output: str, device: str | None, revision: str | None, **kwargs):
        super().__init__(**kwargs)
        self._source, self._backend, self._output = source, backend, output
        self._options: dict[str, Any] = {"device": device, "revision": revision}

    def runtest(self) -> None:
        """Fails when the difference is outside the tolerance."""
        row = self._report().outputs()[self._output][self._backend]
        self.user_properties += [("difference", row.difference), ("tolerance", row.tolerance)]
        if not row.passed:
            raise ParityError(
                printable(
                    f"{self._source} on {self._backend}: {self._output} is {row.difference:.1e} from the float64 "
                    f"oracle, float32 accounts for {row.tolerance:.1e}"
                )
            )

    def _report(self):
        from .parity_report import parity

        reports = self.config.stash.setdefault(_REPORTS, {})
        key = (self._source, self._backend)
        if key not in reports:
            try:
                reports[key] = parity(self._source, backends=[self._backend], **self._options)
            except (ValueError, OSError, ImportError) as error:
                reports[key] = error
        if isinstance(reports[key], Exception):
            raise reports[key]
        return reports[key]

    def repr_failure(self, excinfo: pytest.ExceptionInfo, style=None):
        """A parity failure is its message; anything else is a traceback."""
        if isinstance(excinfo.value, (ParityError, ValueError, OSError, ImportError)):
            return printable(excinfo.value)
        return super().repr_failure(excinfo, style)

    def reportinfo(self):
        """Where pytest says the test is."""
        return self.path, None, self.name


class ParityError(AssertionError):
    """An output outside its tolerance."""


_REPORTS = pytest.StashKey[dict]()
