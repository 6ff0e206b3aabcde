"""The layers of the package: imports go down only, and README lists them in the order in which they build on each other."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
(CONTRACT,) = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]["contracts"]
LAYERS = [name for layer in CONTRACT["layers"] for name in layer.split(" | ")]


def lint(folder):
    """What import-linter says of the package in a checkout."""
    command = [sys.executable, "-c", "from importlinter import cli; raise SystemExit(cli.lint_imports(no_cache=True))"]
    environment = os.environ | {"PYTHONPATH": str(folder / "src")}
    answer = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    return answer.returncode, answer.stdout + answer.stderr


def test_imports_go_down():
    status, text = lint(ROOT)
    assert status == 0 and "1 kept, 0 broken" in text, text


@pytest.mark.parametrize(
    ("file", "line", "complaint"),
    [
        ("text/sentt.py", "import hyperloader.scoring.statistics", "text.sentt -> hyperloader.scoring.statistics"),
        ("files.py", "def late():\n    from hyperloader.runs.run import Run\n    return Run", "files -> hyperloader.runs.run"),
        ("more.py", "", "hyperloader.more"),
    ],
    ids=["upwards", "upwards in a function", "a module in no layer"],
)
def test_what_breaks_the_layers_is_named(tmp_path, file, line, complaint):
    shutil.copytree(ROOT / "src/hyperloader", tmp_path / "src/hyperloader", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    with open(tmp_path / "src/hyperloader" / file, "a", encoding="utf-8") as stream:
        stream.write(f"\n{line}\n")
    status, text = lint(tmp_path)
    assert status == 1 and complaint in " ".join(text.split()), text


def test_readme_lists_all_layers_from_the_ground_up():
    tree = (ROOT / "README.md").read_text(encoding="utf-8").partition("src/hyperloader/ ")[2].partition("\nresults/")[0]
    listed = re.findall(r"^  ([a-z]+)(?:/|\.py) ", tree, re.MULTILINE)
    entries = {path.stem for path in (ROOT / "src/hyperloader").glob("[!_]*")}
    assert len(entries) <= 16 and sorted(listed) == sorted(entries)
    own = [name for name in LAYERS if not name.startswith("_")]
    assert [name for name in listed if name not in ("planning", "interop")] == [
        name for name in reversed(own) if name not in ("planning", "interop")
    ]
