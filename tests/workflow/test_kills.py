"""The whole workflow killed at random moments, with real jobs on a small scale."""

import os
import random
import re
import shutil
import signal
import subprocess
import time

import pytest

TARGETS = ("results/demo/table2.csv", "results/demo/table4.csv", "results/demo/parameters.csv")
CHANGES = {"methods": "[hyperloader, unipelt_t5, gazetteer]", "corpora": "[atis, snips, mtod]", "fractions": "[10, 20]"}


def small(workflow):
    """The demo with three methods, three corpora and few steps."""
    config, scale = (workflow.folder / "config" / name for name in ("config.yaml", "scales/demo.yaml"))
    text = config.read_text()
    for key, value in CHANGES.items():
        text = re.sub(rf"^{key}: .*", f"{key}: {value}", text, flags=re.MULTILINE)
    config.write_text(text)
    text = re.sub(r"steps: 1200", "steps: 60", scale.read_text())
    scale.write_text(
        re.sub(r"^  steps: 500", "  steps: 100", text, flags=re.MULTILINE).replace("evaluate_every: 100", "evaluate_every: 20")
    )
    return workflow


def finish(workflow):
    answer = workflow("--cores", "2", "--quiet", "all", "--", *TARGETS)
    assert answer.status == 0, answer.text


def contents(workflow):
    """What decides a result, and the results."""
    results = workflow.folder / "results/demo"
    kept = [
        *results.glob("*.csv"),
        *results.glob("runs/**/model/*"),
        *results.glob("runs/**/predictions/*"),
        *results.glob("runs/**/scores.json"),
    ]
    return {str(path.relative_to(results)): path.read_bytes() for path in kept if path.is_file()}


@pytest.mark.slow
def test_killed_at_random_moments_it_ends_in_the_same_bytes(fresh_workflow):
    """By SIGKILL, the jobs too; HYPERLOADER_KILLS sets how often."""
    kills, generator = int(os.environ.get("HYPERLOADER_KILLS", 20)), random.Random(0)
    workflow = small(fresh_workflow)
    started = time.monotonic()
    finish(workflow)
    whole = time.monotonic() - started
    undisturbed = contents(workflow)
    assert len(undisturbed) > 30
    remaining, rounds = kills, 0
    while remaining:
        for name in ("results", ".snakemake"):
            shutil.rmtree(workflow.folder / name)
        rounds += 1
        while remaining:
            process = workflow.start("--cores", "2", "--quiet", "all", "--", *TARGETS)
            try:
                # a start takes a while, so that a few of these make a whole run
                process.wait(timeout=generator.uniform(5, whole / 2))
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                remaining -= 1
            process.communicate()
            if process.returncode == 0:
                break
            assert process.returncode == -signal.SIGKILL, process.returncode
            # after SIGKILL its lock is left
            assert workflow("--unlock").status == 0
        finish(workflow)
        after = contents(workflow)
        assert after.keys() == undisturbed.keys()
        assert [name for name in after if after[name] != undisturbed[name]] == []
    print(f"{kills} kills in {rounds} runs of the workflow; undisturbed it takes {whole:.0f} s")
