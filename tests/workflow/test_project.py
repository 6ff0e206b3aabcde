"""The package without its checkout: `hyperloader init` lays out a project that plans, runs, and finds corpora of its own."""

import os
import shutil
import subprocess
import sys
import tomllib

import pytest

from .conftest import ROOT


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """What a wheel of the package holds, unpacked outside of the checkout."""
    site = tmp_path_factory.mktemp("site-packages")
    wheel = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["hatch"]["build"]["targets"]["wheel"]
    for source, place in ({name: name.removeprefix("src/") for name in wheel["packages"]} | wheel["force-include"]).items():
        (site / place).parent.mkdir(parents=True, exist_ok=True)
        copy = shutil.copytree if (ROOT / source).is_dir() else shutil.copyfile
        copy(ROOT / source, site / place, **({"ignore": shutil.ignore_patterns("__pycache__")} if copy is shutil.copytree else {}))
    return site


@pytest.fixture(scope="module")
def call(installed):
    """Run a module of that package in a folder; status and all output."""

    def call(folder, *arguments):
        names = ("HYPERLOADER_CORPORA", "HYPERLOADER_METHODS")
        environment = {name: value for name, value in os.environ.items() if name not in names} | {"PYTHONPATH": str(installed)}
        done = subprocess.run([sys.executable, "-P", "-m", *arguments], cwd=folder, env=environment, capture_output=True, text=True)
        return done.returncode, done.stdout + done.stderr

    return call


def test_a_project_of_an_installed_package(installed, call, tmp_path):
    status, said = call(tmp_path, "hyperloader", "init", "mine")
    assert status == 0 and "next: cd mine && snakemake" in said and "need the checkout" in said
    project = tmp_path / "mine"
    made = {path.name for path in project.iterdir()}
    assert made == {"Snakefile", "environment.yml", "workflow", "config", "corpora", "baselines", "profiles", ".gitignore"}
    status, said = call(tmp_path, "hyperloader", "init", "mine")
    assert status == 2 and said == "hyperloader: mine: exists already; name a folder that does not\n"

    (tmp_path / "train.conll").write_text("a\tO\nrobin\tB-bird\n\n" * 20)
    arguments = ("--train", tmp_path / "train.conll", "--test", tmp_path / "train.conll", "--folder", "corpora")
    assert call(project, "hyperloader", "corpora", "add", "birds", *map(str, arguments))[0] == 0
    part = ("--config", "corpora=[birds]", "methods=[gazetteer]", "fractions=[100]")
    status, said = call(project, "snakemake", "--cores", "1", "--quiet", "all", *part, "--", "results/demo/data/birds/manifest.json")
    assert status == 0, said
    (project / "workflow" / "VERSION").write_text("0.0.1\n")
    status, said = call(project, "snakemake", "--dry-run", "--cores", "1", "--quiet", "all", *part, "--", "results/demo/table3.csv")
    assert status != 0 and "hyperloader: this project was laid out by version 0.0.1, and " in said and "Traceback" not in said


def test_a_checkout_lays_out_the_same(call, installed, tmp_path):
    from hyperloader.planning.project import lay_out

    lay_out(tmp_path / "checkout")
    # the folder that one is in, too
    (tmp_path / "wheel").mkdir()
    assert call(tmp_path / "wheel", "hyperloader", "init", ".")[0] == 0
    one, other = (
        {path.relative_to(place): path.is_file() and path.read_bytes() for path in place.rglob("*")}
        for place in (tmp_path / "checkout", tmp_path / "wheel")
    )
    assert one == other
