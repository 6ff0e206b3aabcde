"""What several tests share: the mirror of real files, where there is one, and a browser."""

import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import pytest


def pytest_configure() -> None:
    # what a shell without job control starts in the background ignores Ctrl-C, and so would everything that tests interrupt
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def measured(record_property) -> Callable[[str], None]:
    """Takes a line with figures, which is printed after all tests."""
    return lambda line: record_property("measured", line)


def pytest_terminal_summary(terminalreporter):
    # they come with the reports, which other processes hand over
    reports = [report for own in terminalreporter.stats.values() for report in own if getattr(report, "when", None) == "call"]
    if lines := [line for report in reports for name, line in report.user_properties if name == "measured"]:
        terminalreporter.section("measured")
        terminalreporter.write("".join(f"{line}\n" for line in lines))


@pytest.fixture
def float64_throughout(monkeypatch) -> None:
    """Lets a T5 in float64 compute its softmax and layer norms in float64 too, which it does in float32 whatever its type.

    Two ways to one number then differ in the last of its 16 digits, on every processor, and not even a network with random weights
    makes that a difference between two tokens.
    """
    import torch
    from torch.nn import functional as F
    from transformers.models.t5.modeling_t5 import T5LayerNorm

    monkeypatch.setattr(torch.Tensor, "float", torch.Tensor.double)
    monkeypatch.setattr(T5LayerNorm, "forward", lambda self, x: F.rms_norm(x, x.shape[-1:], self.weight, self.variance_epsilon))


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


@pytest.fixture
def browser():
    """A headless Chromium, whose log the test can read."""
    webdriver = pytest.importorskip("selenium.webdriver", reason="selenium drives the browser")
    programs = [shutil.which(name) for name in ("chromium", "chromedriver")]
    if not all(programs):
        pytest.skip("no chromium and chromedriver on this machine")
    options = webdriver.ChromeOptions()
    options.binary_location = programs[0]
    for argument in ("headless=new", "no-sandbox", "disable-gpu", "disable-background-networking", "window-size=1500,1000"):
        options.add_argument(f"--{argument}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(executable_path=programs[1]))
    driver.implicitly_wait(10)
    yield driver
    driver.quit()
