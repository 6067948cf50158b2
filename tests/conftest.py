"""Say which tests run alone, let no property fail on a busy machine, refuse a compiled core older than its sources."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

import exchange

# Here, so that it holds whichever tests are run: an example that has to wait for the processor has failed nothing.
settings.register_profile("tests", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("tests")


_ALONE = ("benchmarks", "faults")
"""They load the machine, or measure it."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what must not run beside other tests."""
    for item in items:
        if item.path.relative_to(Path(__file__).parent).parts[0] in _ALONE:
            item.add_marker("alone")


def pytest_configure() -> None:
    """Look at every compiled module that lies beside its source, before anything is collected."""
    for module in Path(exchange.__file__).parent.rglob("*.so"):
        source = module.with_name(module.name.partition(".")[0] + ".py")
        if source.stat().st_mtime > module.stat().st_mtime:
            message = (
                f"{source} was changed after the core was compiled, so the change has no effect: "
                "run EXCHANGE_COMPILE=1 pip install -e . again, or EXCHANGE_COMPILE=0 for an interpreted core"
            )
            pytest.exit(message, returncode=4)
