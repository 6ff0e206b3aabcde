"""The two ways to install name the same versions, and the package says which it is."""

import tomllib
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
import yaml

import hyperloader

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def test_conda_and_pip_have_the_same_pins():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))["dependencies"]
    pip = next(entry["pip"] for entry in environment if isinstance(entry, dict))
    assert sorted(pip) == sorted(PROJECT["dependencies"])
    assert f"python{PROJECT['requires-python']}" in environment


def test_the_installed_command_is_the_command_line(monkeypatch, capsys):
    (command,) = PROJECT["scripts"].items()
    monkeypatch.setattr("sys.argv", ["hyperloader", "corpora", "list"])
    with pytest.raises(SystemExit) as ended:
        EntryPoint(*command, "console_scripts").load()()
    assert ended.value.code in (0, None) and "ATIS" in capsys.readouterr().out


def test_the_version_is_the_same_everywhere():
    assert yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))["version"] == hyperloader.__version__
    assert f"## {hyperloader.__version__}" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
