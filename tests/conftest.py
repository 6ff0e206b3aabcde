"""What several tests share: the mirror of real files, where there is one."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

MEASURED = pytest.StashKey[list]()


@pytest.fixture
def measured(request) -> Callable[[str], None]:
    """Takes a line with figures, which is printed after all tests."""
    return request.config.stash.setdefault(MEASURED, []).append


def pytest_terminal_summary(terminalreporter, config):
    if lines := config.stash.get(MEASURED, []):
        terminalreporter.section("measured")
        terminalreporter.write("".join(f"{line}\n" for line in lines))


@pytest.fixture(scope="session")
def mirror() -> Path:
    """The folder that HYPERLOADER_MIRROR names; tests that need it are skipped without it."""
    folder = os.environ.get("HYPERLOADER_MIRROR")
    if not folder or not Path(folder).is_dir():
        pytest.skip("HYPERLOADER_MIRROR names no folder with the real files")
    return Path(folder).resolve()


@pytest.fixture(scope="session")
def fixtures(mirror) -> Path:
    """Arrays computed by the original implementations."""
    folder = mirror / "fixtures"
    if not folder.is_dir():
        pytest.skip("the mirror holds no fixtures/ with the arrays of the original implementations")
    return folder
