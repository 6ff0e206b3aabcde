"""A method and a corpus are added by doing what CONTRIBUTING.md says, word by word."""

import json
import os
import re
import shlex
import subprocess
import sys
import textwrap

import pytest

from .conftest import ROOT

TEXT = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")


@pytest.fixture
def added(tmp_path):
    """A folder of methods that holds the one that the page shows."""
    (source,) = re.findall(r"^ *```python\n(.*?)^ *```$", TEXT, re.DOTALL | re.MULTILINE)
    (name,) = re.findall(r"This one, in a folder `(\w+)`", TEXT)
    folder = tmp_path / "methods" / name
    folder.mkdir(parents=True)
    (folder / "method.py").write_text(textwrap.dedent(source), encoding="utf-8")
    return folder


def test_the_method_it_shows_is_planned_trained_and_scored(fresh_workflow, added):
    name = added.name
    # the same workflow at a tenth of the demo's budget
    scale = fresh_workflow.folder / "config/scales/demo.yaml"
    text = scale.read_text(encoding="utf-8")
    scale.write_text(re.sub(r"(?<=[{ ]steps: )\d+", "20", text), encoding="utf-8")
    (command,) = re.findall(r"`(snakemake [^`]*)`", TEXT)
    arguments = [*shlex.split(command)[1:-2], "corpora=[atis]", "fractions=[100]", *shlex.split(command)[-2:]]
    answer = fresh_workflow(*arguments, HYPERLOADER_METHODS=str(added.parent))
    assert answer.status == 0, answer.text
    run = fresh_workflow.folder / f"results/demo/runs/matched/{name}/atis/100/seed42"
    parameters = json.loads((run / "run.json").read_text())["parameters"]
    assert 0 < parameters["trainable"] < 1000 < parameters["total"]
    header, *rows = (fresh_workflow.folder / arguments[-1]).read_text(encoding="utf-8").splitlines()
    cells = dict(zip(header.split(","), next(row for row in rows if row.startswith("100,ATIS")).split(","), strict=True))
    assert 0 <= float(cells["Layer norm tuning"]) <= 1 and cells["HyperLoader"] == ""


def test_every_method_has_a_page_with_what_it_asks_for():
    pages = {path.parent.name: path.with_name("README.md") for path in (ROOT / "baselines").glob("*/method.py")}
    for name, page in pages.items():
        text = page.read_text(encoding="utf-8")
        for heading in ("What it is.", "Source.", "Parameters", "Sizes", "Training", "Known deviations."):
            assert f"**{heading}" in text, f"{name}: {heading}"


def test_the_corpus_it_adds_is_prepared_trained_on_and_scored(fresh_workflow, tmp_path_factory):
    blocks = re.findall(r"^```\n(.*?)^```$", TEXT, re.DOTALL | re.MULTILINE)
    (block,) = [block for block in blocks if block.startswith("hyperloader corpora add")]
    add, run = (shlex.split(line) for line in block.splitlines())
    files = tmp_path_factory.mktemp("files")
    for name in ("train", "test"):
        (files / f"{name}.conll").write_text("".join(f"to O\nnew B-{{city}}\nyork{n % 3} I-{{city}}\n\n" for n in range(20)))
    environment = {"HYPERLOADER_CORPORA": str(tmp_path_factory.mktemp("corpora"))}
    known = os.environ | environment | {"PYTHONPATH": str(fresh_workflow.folder / "src")}
    said = subprocess.run([sys.executable, "-m", *add], cwd=files, env=known, capture_output=True, text=True, check=True).stdout
    assert "20 train, 20 test sentences" in said and "1 slot types: {city}" in said
    # of all methods the one that learns at once
    assert run[:2] == ["snakemake", "--cores"]
    answer = fresh_workflow(*run[1:-2], "methods=[gazetteer]", "fractions=[100]", *run[-2:], **environment)
    assert answer.status == 0, answer.text
    header, *rows = (fresh_workflow.folder / run[-1]).read_text(encoding="utf-8").splitlines()
    cells = dict(zip(header.split(","), next(row for row in rows if row.startswith("100,mine")).split(","), strict=True))
    assert cells["Gazetteer"] == "1.0000"
