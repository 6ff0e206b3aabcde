"""What surrounds the rules: schemas, diagram, profiles, the catalogue's entry; and what a second call says."""

import os
import re
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import jsonschema
import pytest
import yaml

from hyperloader.config.schemas import MODELS, write_schemas
from hyperloader.files import read_json

from .conftest import ROOT, Workflow

RULES = "\n".join(path.read_text(encoding="utf-8") for path in sorted((ROOT / "workflow/rules").glob("*.smk")))
PROFILES = sorted(path.parent.name for path in (ROOT / "workflow/profiles").glob("*/profile.yaml"))


def test_schemas_are_those_of_the_settings(tmp_path):
    write_schemas(tmp_path)
    for name in MODELS:
        file = f"{name}.schema.json"
        current = (ROOT / "workflow/schemas" / file).read_text(encoding="utf-8")
        assert current == (tmp_path / file).read_text(encoding="utf-8"), "run: hyperloader schema"


@pytest.mark.parametrize(
    "name, files", [("config", "config.yaml"), ("ablations", "ablations.yaml"), ("scale", "scales/*.yaml"), ("recipe", "recipes/*.yaml")]
)
def test_the_configuration_fits_the_schemas_which_refuse_unknown_keys(name, files):
    schema = read_json(ROOT / "workflow/schemas" / f"{name}.schema.json")
    for path in (ROOT / "config").glob(files):
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
        jsonschema.validate(values, schema)
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(values | {"corpra": []}, schema)


def test_every_rule_has_a_log_and_a_benchmark():
    # those that differ from another rule only inherit nothing but change both
    rules = re.split(r"^(?:use )?rule (?=\w+)", RULES, flags=re.MULTILINE)[1:]
    assert len(rules) > 10
    for rule in rules:
        assert "\n    log:\n" in rule and "\n    benchmark:\n" in rule, rule.split()[0]


@pytest.mark.parametrize("name", PROFILES)
def test_each_profile_plans_the_whole(workflow, bare_jobs, name):
    pytest.importorskip("snakemake_executor_plugin_slurm" if name == "slurm" else "snakemake")
    answer = workflow("--dry-run", "--workflow-profile", f"workflow/profiles/{name}")
    assert answer.status == 0, answer.text
    assert answer.jobs == bare_jobs


def test_on_a_cluster_every_rule_that_computes_has_its_time_and_memory():
    rules = dict(re.findall(r"^rule (\w+):\n(.*?)(?=^\w|\Z)", RULES, flags=re.MULTILINE | re.DOTALL))
    computing = {name for name, body in rules.items() if "OMP_NUM_THREADS" in body}
    computing |= {own for other, own in re.findall(r"^use rule (\w+) as (\w+)", RULES, flags=re.MULTILINE) if other in computing}
    assert {"backbone", "trial", "train_each", "task_embeddings"} <= computing
    profile = yaml.safe_load((ROOT / "workflow/profiles/slurm/profile.yaml").read_text(encoding="utf-8"))
    assert profile["set-resources"].keys() == computing


@pytest.mark.parametrize("given, devices", [({}, "0,1"), ({"CUDA_VISIBLE_DEVICES": "2,5"}, "2,5"), ({"HYPERLOADER_GPUS": "7"}, "7")])
def test_a_limit_on_gpus_names_those_that_jobs_lease(fresh_workflow, given, devices):
    fresh_workflow.stand_in('echo "$HYPERLOADER_GPUS" > "$2/manifest.json"\n')
    target = "results/demo/backbones/t5/manifest.json"
    limits = ("--workflow-profile", "workflow/profiles/gpu", "--resources", "gpu=2", "download=1")
    answer = fresh_workflow("--cores", "1", *limits, "--", target, **given)
    assert answer.status == 0, answer.text
    assert (fresh_workflow.folder / target).read_text() == f"{devices}\n"


@pytest.mark.parametrize(
    ("given", "devices", "names", "jobs", "threads"),
    [
        ({}, "0:4,1:4", "0, 1", "demo 8, mini 8, paper 2", 2),
        ({"CUDA_VISIBLE_DEVICES": "1"}, "1:4", "1", "demo 4, mini 4, paper 1", 4),
        ({"HYPERLOADER_GPUS": "7:2"}, "7:2", "7", "demo 2, mini 2, paper 2", 2),
        ({"HYPERLOADER_GPUS": ""}, "", "", "", 4),
    ],
    ids=["found", "visible", "given", "none"],
)
def test_gpus_that_are_found_are_leased_and_shared(fresh_workflow, given, devices, names, jobs, threads):
    fresh_workflow.stand_in('echo "$HYPERLOADER_GPUS $HYPERLOADER_GPU_PARTS" > "$2/manifest.json"\n')
    pretended = fresh_workflow.folder / "bin" / "nvidia-smi"
    pretended.parent.mkdir()
    pretended.write_text("#!/bin/sh\necho 'GPU 0: a (UUID: GPU-0)'\necho 'GPU 1: b (UUID: GPU-1)'\n")
    pretended.chmod(0o755)
    machine = Workflow(fresh_workflow.folder, (pretended.parent, *fresh_workflow.path))
    target = "results/demo/backbones/t5/manifest.json"
    answer = machine("--cores", "4", "--", target, **given)
    assert answer.status == 0, answer.text
    assert (machine.folder / target).read_text() == f"{devices} 1\n"
    line = f"GPUs {names} (HYPERLOADER_GPUS names others); jobs on them at a time by scale: {jobs}"
    assert [said for said in answer.text.splitlines() if "GPUs" in said] == ([line] if names else [])
    paper = machine("--cores", "4", "--dry-run", "--quiet", "host", "--", "results/paper/table3.csv", **given).text
    rule = paper[paper.index("rule train:") :]
    assert f"threads: {threads}\n" in rule[: rule.index("\n\n")]


def test_the_diagram_shows_the_rules_of_a_bare_call(workflow):
    own = os.environ | {"PYTHONPATH": str(workflow.folder / "src")}
    command = [sys.executable, "-m", "snakemake", "--rulegraph"]
    dot = subprocess.run(command, cwd=workflow.folder, env=own, capture_output=True, text=True, check=True).stdout
    shown = re.findall(r">(\w+)</text>", (ROOT / "docs/rulegraph.svg").read_text(encoding="utf-8"))
    assert sorted(shown) == sorted(re.findall(r'label = "(\w+)"', dot)), "run: make rulegraph"


def test_the_catalogue_is_told_what_exists():
    entry = yaml.safe_load((ROOT / ".snakemake-workflow-catalog.yml").read_text(encoding="utf-8"))
    assert entry["usage"]["software-stack-deployment"]["conda"] and not entry["usage"]["mandatory-flags"]["flags"]


def test_a_second_call_is_refused_while_one_runs(fresh_workflow):
    fresh_workflow.stand_in("until [ -e enough ]; do sleep 0.1; done; echo {} > results/demo/raw/atis.json\n")
    call = ("--cores", "1", "--", "results/demo/raw/atis.json")
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(fresh_workflow, *call)
        while not list((fresh_workflow.folder / ".snakemake").glob("locks/*.output.lock")):
            assert not first.done(), first.result().text
            time.sleep(0.1)
        second = fresh_workflow(*call)
        (fresh_workflow.folder / "enough").touch()
        assert first.result().status == 0, first.result().text
    assert second.status != 0 and "LockException" in second.text and "Directory cannot be locked" in second.text
