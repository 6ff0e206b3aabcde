"""Whose code runs, and where the workflow finds its own files: other environments, working directories, modules, odd names of folders."""

import os
import re
import shutil
import subprocess
import sys
import sysconfig

import pytest

from .conftest import ROOT, Workflow, copy_to

ODD = 'it\'s a "näme" #1 $HOME & (more)'
PART = ("--config", "corpora=[atis]", "methods=[gazetteer]", "fractions=[100]")
MODULE = """
configfile: "mine.yaml"

module hyperloader:
    snakefile:
        {snakefile}
    config:
        config

use rule * from hyperloader as hyperloader_*
"""


@pytest.fixture
def other_package(tmp_path):
    """The package as in another environment: of another checkout, or installed from a wheel."""
    shutil.copytree(ROOT / "src/hyperloader", tmp_path / "site-packages/hyperloader", ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path / "site-packages"


def test_a_package_of_elsewhere_is_refused_in_one_line(workflow, other_package):
    answer = workflow("--dry-run", "--quiet", "all", PYTHONPATH=str(other_package))
    line = f"hyperloader: {other_package}/hyperloader: is not the package of this workflow; call the snakemake of an environment where it"
    assert answer.status != 0 and answer.last_line.startswith(line), answer.text
    assert f"run: {sys.executable} -m pip install -e {workflow.folder} (PYTHONPATH comes first)" in answer.last_line
    assert "Traceback" not in answer.text and answer.text.count("\nhyperloader: ") == 1


def test_no_package_at_all_is_refused_in_one_line(workflow):
    # an editable installation is a .pth file, which -S passes over
    call = "import runpy, sys; sys.path.append(sys.argv.pop(1)); runpy.run_module('snakemake', run_name='__main__')"
    command = [sys.executable, "-I", "-S", "-c", call, sysconfig.get_path("purelib"), "--dry-run"]
    done = subprocess.run(command, cwd=workflow.folder, capture_output=True, text=True)
    assert done.returncode != 0 and done.stderr.strip().splitlines()[-1].startswith("hyperloader: the package is not installed; ")


def test_jobs_run_the_code_that_planned_them_in_any_working_directory(fresh_workflow, other_package, tmp_path_factory):
    elsewhere, path = tmp_path_factory.mktemp(ODD), fresh_workflow.folder / "bin"
    (elsewhere / "hyperloader").mkdir()
    (elsewhere / "hyperloader/__init__.py").write_text("raise SystemExit('that of the working directory')\n")
    path.mkdir()
    (path / "hyperloader").write_text("#!/bin/sh\necho that of PATH\nexit 1\n")
    (path / "hyperloader").chmod(0o755)
    targets = ("results/audit.csv", "results/demo/raw/atis.json")
    call = ("--directory", str(elsewhere), "--cores", "2", *PART, "--", *targets)
    # relative to the working directory of the call
    environment = {"PATH": f"{path}:{os.environ['PATH']}", "PYTHONPATH": f"src:{other_package}"}
    answer = fresh_workflow("--quiet", "all", *call, **environment)
    assert answer.status == 0, answer.text
    assert all((elsewhere / target).is_file() for target in targets)
    assert not (fresh_workflow.folder / "results").exists()
    assert "Nothing to be done" in fresh_workflow(*call, **environment).text


@pytest.mark.slow
def test_all_stages_run_in_a_working_directory_elsewhere(fresh_workflow, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp(ODD)
    scale = fresh_workflow.folder / "config/scales/demo.yaml"
    scale.write_text(re.sub(r"(?<=[{ ]steps: )\d+", "4", scale.read_text()))
    targets = [f"results/demo/{name}" for name in ("table2.csv", "table3.csv", "claims.csv", "labels.csv", "scores.html")]
    answer = fresh_workflow("--directory", str(elsewhere), "--cores", "2", "--quiet", "all", *PART, "--", *targets)
    assert answer.status == 0, answer.text
    assert all((elsewhere / target).is_file() for target in targets)


def test_the_working_directory_may_have_a_configuration_of_its_own(workflow, tmp_path):
    shutil.copytree(ROOT / "config", tmp_path / "config")
    scale = tmp_path / "config/scales/own.yaml"
    shutil.copy(tmp_path / "config/scales/demo.yaml", scale)
    config = tmp_path / "config/config.yaml"
    config.write_text(config.read_text().replace("fractions: [10, 20, 100]", "fractions: [100]").replace("mtop, mtod]", "mtop]"))
    answer = workflow("--dry-run", "--directory", str(tmp_path), "--", "results/own/table2.csv")
    assert answer.status == 0 and answer.jobs == {"generate": 6, "prepare": 6, "table2": 1}, answer.text


@pytest.mark.parametrize(
    ("parts", "target"), [(["config.yaml"], "results/demo@part/tuning.csv"), (["scales", "recipes"], "results/paper/parameters.csv")]
)
def test_the_working_directory_may_have_a_part_of_the_configuration(workflow, tmp_path, parts, target):
    (tmp_path / "config").mkdir()
    for part in parts:
        (shutil.copytree if "." not in part else shutil.copy)(ROOT / "config" / part, tmp_path / "config" / part)
    # which needs no trials
    answer = workflow("--directory", str(tmp_path), "--cores", "1", "--quiet", "all", "--config", "methods=[gazetteer]", "--", target)
    assert answer.status == 0 and (tmp_path / target).is_file(), answer.text


@pytest.fixture
def user(tmp_path):
    """A workflow of a user's own, in a folder without anything of this one."""
    folder = tmp_path / "user"
    folder.mkdir()
    config = (ROOT / "config/config.yaml").read_text().replace("[movietrivia, movie, restaurant, atis, snips, mtop, mtod]", "[atis]")
    (folder / "mine.yaml").write_text(config)
    return folder


def test_another_workflow_uses_it_as_a_module(workflow, user):
    (user / "Snakefile").write_text(MODULE.format(snakefile=f'"{workflow.folder}/workflow/Snakefile"'))
    call = Workflow(user)
    environment = {"PYTHONPATH": str(workflow.folder / "src")}
    whole = call("--dry-run", "--", "results/demo/table4.csv", "results/demo/table2.csv", "results/demo/parameters.csv", **environment)
    assert whole.status == 0 and whole.jobs["hyperloader_prepare"] == whole.jobs["hyperloader_table2"] == 1, whole.text
    assert whole.jobs["hyperloader_train_each"] == 2 * 2 * 3 and whole.jobs["hyperloader_parameters"] == 1
    answer = call("--cores", "1", "--quiet", "all", "--", "results/audit.csv", **environment)
    assert answer.status == 0 and (user / "results/audit.csv").is_file(), answer.text


def test_a_module_may_be_fetched_as_the_catalogue_tells(workflow, user, tmp_path):
    """From a host of repositories, whose place Snakemake's own cache takes here."""
    checkout = tmp_path / "checkout"
    checkout.mkdir()
    copy_to(checkout)
    cache = tmp_path / "cache/snakemake/snakemake/source-cache/snakemake-git-cache/github.com/some/hyperloader"
    git = ("git", "-c", "user.name=a", "-c", "user.email=a@example.org")
    for command in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "a"], ["tag", "v1"], ["clone", "-q", "--bare", ".", str(cache)]):
        subprocess.run([*git, *command], cwd=checkout, check=True)
    fetched = 'github("some/hyperloader", path="workflow/Snakefile", tag="v1")'
    (user / "Snakefile").write_text(MODULE.format(snakefile=fetched))
    # as `snakedeploy` puts it there
    shutil.copytree(ROOT / "config", user / "config")
    environment = {"PYTHONPATH": str(checkout / "src"), "XDG_CACHE_HOME": str(tmp_path / "cache")}
    answer = Workflow(user)("--cores", "1", "--quiet", "all", "--", "results/audit.csv", **environment)
    assert answer.status == 0 and (user / "results/audit.csv").is_file(), answer.text
    version = checkout / "src/hyperloader/__init__.py"
    version.write_text(version.read_text().replace("__version__ = ", "__version__ = 'other' + "))
    answer = Workflow(user)("--dry-run", "--quiet", "all", "--", "results/audit.csv", **environment)
    assert answer.status != 0 and "is not the package of this workflow" in answer.last_line, answer.text


def test_any_name_of_a_folder_will_do(tmp_path):
    """The copy, its results and its virtual environment in folders with blanks and signs that shells and make read."""
    folder, results = tmp_path / ODD, tmp_path / f"results of {ODD}"
    folder.mkdir()
    (results / "demo").mkdir(parents=True)
    odd = Workflow(copy_to(folder))
    for name in ("Makefile", "pyproject.toml"):
        shutil.copy(ROOT / name, folder)
    (folder / "results").symlink_to(results)
    answer = odd("--cores", "1", "--quiet", "all", *PART, "--", "results/audit.csv", "results/demo/raw/atis.json")
    assert answer.status == 0 and (results / "demo/raw/atis.json").is_file(), answer.text
    environment = folder / ".venv"
    (environment / "bin").mkdir(parents=True)
    python = environment / "bin/python"
    python.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    python.chmod(0o755)
    for mark in ("installed", "installed-test"):
        (environment / mark).touch()
    known = os.environ | {"PYTHONPATH": str(folder / "src")}
    call = ["make", "report", "SCALE=demo", "RESULTS=results/audit.csv"]
    done = subprocess.run(call, cwd=folder, env=known, capture_output=True, text=True)
    assert done.returncode == 0 and (results / "demo/report.html").is_file(), done.stderr
    # an environment that is out of date is brought up to date
    os.utime(folder / "pyproject.toml")
    python.write_text('#!/bin/sh\necho "$@"\n')
    done = subprocess.run(["make", "test"], cwd=folder, env=known, capture_output=True, text=True)
    assert done.returncode == 0 and "-m pip install --quiet -e .[test]" in done.stdout and "-m pytest" in done.stdout, done.stderr
    # of what is published and removed nothing is named from the root
    (results / "demo/runs/model").mkdir(parents=True)
    for file in ("demo/table2.csv", "demo/table2.md", "demo/figure2.svg", "demo/confusion.csv", "demo/runs/model/README.md", "README.md"):
        (results / file).write_text("made\n")
    for target in ("publish", "clean"):
        done = subprocess.run(["make", target], cwd=folder, env=known, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    assert {path.name for path in (folder / "docs/results/demo").iterdir()} == {"table2.csv", "table2.md", "figure2.svg"}
    assert [path.name for path in results.rglob("*")] == ["README.md"]
