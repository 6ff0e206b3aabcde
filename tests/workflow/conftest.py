"""A copy of the workflow in a scratch folder, and what a call of `snakemake` there says."""

import os
import re
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from hyperloader.planning.plan import Plan

ROOT = Path(__file__).parents[2]
PARTS = ("Snakefile", "environment.yml", "workflow", "profiles", "config", "src", "baselines", "corpora")


NAMES = [f"table{number}.csv" for number in (2, 3, 4)]
NAMES += ["parameters.csv", "scores.csv", "comparisons.csv", "claims.csv", "confusion.csv", "figure2.svg", "scores.html"]
DEMO_RESULTS = [f"results/demo/{name}" for name in NAMES] + ["results/audit.csv"]  # as `make demo`


def number_of_runs(scale: str, *fractions: int, **changes) -> int:
    """How many runs the configuration has at these fractions."""
    plan = Plan.read(ROOT / "config/config.yaml", [f"{key}={value}" for key, value in changes.items()])
    return len(plan.runs(scale, list(fractions)))


@dataclass
class Answer:
    """The end of a call: its exit status, all it wrote, and the number of jobs by rule that it planned."""

    status: int
    text: str

    @property
    def jobs(self) -> dict[str, int]:
        stats = self.text.partition("Job stats:\n")[2].partition("\n\n")[0]
        return {rule: int(count) for rule, count in re.findall(r"^(\w+) +(\d+)$", stats, re.MULTILINE) if rule != "total"}

    @property
    def last_line(self) -> str:
        return self.text.strip().splitlines()[-1]


@dataclass
class Workflow:
    """A folder with a copy of the workflow.

    Attributes:
        folder: the copy.
        path: folders in front of `PATH`.
    """

    folder: Path
    path: tuple[Path, ...] = (Path(sys.executable).parent,)

    def __call__(self, *arguments: str, **environment: str) -> Answer:
        with self.start(*arguments, **environment) as process:
            text, _ = process.communicate()
        return Answer(process.returncode, text)

    def start(self, *arguments: str, **environment: str) -> subprocess.Popen:
        """A call that leads a process group of its own, its jobs included."""
        # the copy's own package comes before the installed one
        search = {"PATH": self.path, "PYTHONPATH": [self.folder / "src"]}
        search = {key: os.pathsep.join([*map(str, first), os.environ.get(key, "")]) for key, first in search.items()}
        known = {key: value for key, value in os.environ.items() if key not in ("HYPERLOADER_MIRROR", "SNAKEMAKE_PROFILE")}
        return subprocess.Popen(
            [sys.executable, "-m", "snakemake", "--nocolor", *arguments],
            cwd=self.folder,
            env=known | search | environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            text=True,
            start_new_session=True,
        )

    def stand_in(self, script: str) -> None:
        """Have jobs run a shell script with the arguments of `hyperloader`."""
        path = self.folder / "stand-in.sh"
        path.write_text(script)
        call = f"import os, sys\n\nos.execvp('bash', ['bash', {str(path)!r}, *sys.argv[1:]])\n"
        (self.folder / "src/hyperloader/__main__.py").write_text(call)

    def plan(self, *targets: str) -> dict[str, int]:
        """The jobs that a dry run lists."""
        answer = self("--dry-run", "--", *targets)
        assert answer.status == 0, answer.text
        return answer.jobs


def copy_to(folder: Path, seeds: str = "[42]") -> Path:
    """A copy of the workflow, of one seed unless others are wanted: what is looked at is the same for each."""
    for part in PARTS:
        source = ROOT / part
        if source.is_dir() and not source.is_symlink():
            shutil.copytree(source, folder / part, ignore=shutil.ignore_patterns("__pycache__", ".*"))
        else:
            shutil.copy(source, folder / part, follow_symlinks=False)
    config = folder / "config/config.yaml"
    config.write_text(config.read_text().replace("seeds: null", f"seeds: {seeds}"))
    return folder


@pytest.fixture(scope="session")
def workflow(tmp_path_factory) -> Workflow:
    """For dry runs, which leave the folder as it is."""
    return Workflow(copy_to(tmp_path_factory.mktemp("workflow"), "null"))


@pytest.fixture(scope="session")
def bare_jobs(workflow) -> dict[str, int]:
    """What a call without a target plans."""
    return workflow.plan()


@pytest.fixture
def fresh_workflow(tmp_path) -> Workflow:
    """For tests that run jobs or edit files."""
    return Workflow(copy_to(tmp_path))


@dataclass
class Demo:
    """The demo, run once for all tests that look at it.

    Attributes:
        workflow: where it was run.
        seconds: that it took.
    """

    workflow: Workflow
    seconds: float


@pytest.fixture(scope="session")
def demo(tmp_path_factory) -> Demo:
    workflow, started = Workflow(copy_to(tmp_path_factory.mktemp("demo"))), time.monotonic()
    answer = workflow("--cores", "2", "--quiet", "host", "rules", "reason", "--", *DEMO_RESULTS)
    assert answer.status == 0, answer.text
    return Demo(workflow, time.monotonic() - started)
