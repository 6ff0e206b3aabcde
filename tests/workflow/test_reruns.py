"""What is made again after an edit, tried on the whole workflow with a stand-in for the command line."""

import os
import re
import shutil
from pathlib import Path

import pytest

from .conftest import Workflow, copy_to

TARGET = "results/demo/table4.csv"
# writes what each command would write, from its arguments alone
STAND_IN = """#!/usr/bin/env bash
set -eu
write() { mkdir -p "$(dirname "$1")"; echo "$2" > "$1"; }
output() { while [ "$1" != --output ]; do shift; done; echo "$2"; }
case "$1 $2" in
    "corpora generate") write "$5/$3.json" "$*" ;;
    "corpora prepare") write "$7/manifest.json" "$*" ;;
    backbone*) write "$2/manifest.json" "$*" ;;
    train*) write "$2/run.json" "$(cat "$2/settings.json")" ;;
    predict-tests*) write "$4/predictions.json" "$*" ;;
    score*) write "$2/scores.json" "$*" ;;
    table*) csv=$(output "$@"); for format in csv md tex html; do write "${csv%.csv}.$format" "$*"; done ;;
    *) echo "hyperloader: what is $*?"; exit 2 ;;
esac
"""


@pytest.fixture
def done(fresh_workflow):
    """A finished table 4 of two methods at two fractions."""
    config = fresh_workflow.folder / "config/config.yaml"
    config.write_text(re.sub(r"^methods: .*", "methods: [hyperformer_pp, hyperloader]", config.read_text(), flags=re.MULTILINE))
    command = fresh_workflow.folder / "bin" / "hyperloader"
    command.parent.mkdir()
    command.write_text(STAND_IN)
    command.chmod(0o755)
    fresh_workflow.path = (command.parent, *fresh_workflow.path)
    answer = fresh_workflow("--cores", "2", "--quiet", "all", "--", TARGET)
    assert answer.status == 0, answer.text
    return fresh_workflow


def edit(path: Path, old: str = "", new: str = "\n# edited\n") -> str:
    """Replace `old`, or append; returns the former text."""
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new) if old else text + new, encoding="utf-8")
    return text


def test_only_what_depends_on_an_edit_is_made_again(done):
    runs = 4
    after_training = {"predict": runs, "score": runs, "table": 1}
    config, source = done.folder / "config/config.yaml", done.folder / "src/hyperloader"

    assert done.plan(TARGET) == {}
    for folder in ("src", "config", "workflow", "baselines"):
        for path in (done.folder / folder).rglob("*.*"):
            os.utime(path)
    assert done.plan(TARGET) == {}, "newer files with the same content"
    # another fraction
    assert done.plan("results/demo/table3.csv") == dict.fromkeys(("run_settings", "train", "predict", "score"), 2) | {"table": 1}

    for path, old, new, jobs in [
        (source / "tables/results.py", "", "\n# edited\n", {"table": 1}),
        (source / "scoring/__init__.py", "", "\n# edited\n", {"score": runs, "table": 1}),
        (source / "prediction.py", "", "\n# edited\n", after_training),
        (source / "training/loop.py", "", "\n# edited\n", {"backbone": 1, "train": runs} | after_training),
        (source / "training/optimisation.py", "", "\n# another loss\n", {"backbone": 1, "train": runs} | after_training),
        (source / "corpora/download.py", "", "\n# edited\n", {}),
        (source / "figures/figure2.py", "", "\n# another title\n", {}),
        (done.folder / "baselines/hyperformer_pp/method.py", "", "\n# edited\n", {"train": 2, "predict": 2, "score": 2, "table": 1}),
        (done.folder / "workflow/published/table4.csv", "0.5152", "0.5153", {"table": 1}),
        (config, "mirror: null", "mirror: elsewhere", {}),
        (config, "[movietrivia, movie,", "[movie, movietrivia,", {}),
        (config, "methods: [", "methods: [gazetteer, ", dict.fromkeys(("run_settings", "train", "predict", "score"), 2) | {"table": 1}),
        (config, ", mtod]", "]", dict.fromkeys(("run_settings", "train", "predict", "score"), runs) | {"table": 1}),
        (config, "seeds: [42]", "seeds: [42, 43]", dict.fromkeys(("run_settings", "train", "predict", "score"), runs) | {"table": 1}),
        (
            config,
            "settings: {}",
            "settings: {hyperloader: {lora_rank: 2}}",
            {"run_settings": 2, "train": 2, "predict": 2, "score": 2, "table": 1},
        ),
    ]:
        former = edit(path, old, new)
        assert done.plan(TARGET) == jobs, f"{path.name}: {new}"
        path.write_text(former, encoding="utf-8")
    assert done.plan(TARGET) == {}


@pytest.mark.parametrize("date", ["older", "newer"])
def test_restored_results_are_up_to_date_in_a_fresh_checkout(done, tmp_path_factory, date):
    fresh = Workflow(copy_to(tmp_path_factory.mktemp("checkout")))
    shutil.copy(done.folder / "config/config.yaml", fresh.folder / "config/config.yaml")
    for part in ("results", ".snakemake/metadata"):
        shutil.copytree(done.folder / part, fresh.folder / part, copy_function=shutil.copy)
    if date == "older":
        for path in (fresh.folder / "results").rglob("*"):
            os.utime(path, (0, 0))
    assert fresh.plan(TARGET) == {}
