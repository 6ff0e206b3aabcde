"""The whole demo, ended at random moments with all its jobs, over and over: its results are those of one that was left alone."""

import os
import random
import shutil
import signal
import subprocess
import time

import pytest

from .conftest import DEMO_RESULTS

# as by a machine that fails or a cluster that takes it back, and by Ctrl-C
SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGKILL, signal.SIGINT)
# what tells how long something took
DIFFERENT = ("run.json", "predictions.json")


def contents(workflow):
    """What decides a result, and the results."""
    results = workflow.folder / "results"
    made = [*results.glob("*.*"), *results.glob("demo/*.*"), *results.glob("demo/data/*/manifest.json")]
    made += results.glob("demo/backbones/*/manifest.json")
    made += [path for run in results.glob("demo/runs/*/*/*/*/*") for path in (*run.glob("*.json"), *run.glob("model/*"))]
    made += results.glob("demo/runs/**/predictions/*")
    # what a killed writer leaves begins with a dot, and nobody reads it
    kept = (path for path in made if path.is_file() and path.name not in DIFFERENT and not path.name.startswith("."))
    return {str(path.relative_to(results)): path.read_bytes() for path in kept}


@pytest.mark.slow
def test_killed_at_random_moments_it_ends_in_the_same_bytes(demo, fresh_workflow, measured):
    """HYPERLOADER_KILLS sets how often."""
    kills, generator = int(os.environ.get("HYPERLOADER_KILLS", 20)), random.Random(0)
    undisturbed = contents(demo.workflow)
    assert len(undisturbed) > 100
    call = ("--cores", "2", "--quiet", "all", "--", *DEMO_RESULTS)
    done, rounds, started = 0, 0, time.monotonic()
    while done < kills:
        rounds += 1
        for name in ("results", ".snakemake"):
            shutil.rmtree(fresh_workflow.folder / name, ignore_errors=True)
        while True:
            process = fresh_workflow.start(*call)
            try:
                # the start takes a while, so that about a dozen of these make a whole run
                process.wait(timeout=generator.uniform(5, demo.seconds / 5) if done < kills else None)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, SIGNALS[done % len(SIGNALS)])
                done += 1
            text, _ = process.communicate()
            if process.returncode == 0:
                break
            assert done <= kills and "Traceback" not in text, text
            # after SIGKILL its lock is left
            assert fresh_workflow("--unlock").status == 0
        after = contents(fresh_workflow)
        assert after.keys() == undisturbed.keys()
        assert [name for name in after if after[name] != undisturbed[name]] == []
    minutes = (time.monotonic() - started) / 60
    measured(f"the demo: {demo.seconds:.0f} s; ended {done} times in {rounds} runs from scratch: {minutes:.0f} min, and the same bytes")
