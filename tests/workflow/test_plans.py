"""Which jobs a target needs, what a mistake says, and that the workflow is clean."""

import ast
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from hyperloader.config.sources import NEUTRAL, PREDICTING, TRAINING, sources
from hyperloader.config.sources import ROOT as SOURCES
from hyperloader.methods.registry import folders_of, get_method, methods
from hyperloader.planning.plan import Plan
from hyperloader.runs.run import Run

from .conftest import ROOT, number_of_runs

MULTI_TASK = [name for name in Plan.read(ROOT / "config/config.yaml").config.methods if get_method(name).multitask]


def test_tables_3_and_4_of_the_demo_download_nothing(workflow):
    jobs = {"generate": 7, "prepare": 7, "backbone_settings": 2, "backbone": 2, "table": 1}
    for table, fractions in (("table3", [100]), ("table4", [10, 20])):
        runs = {"run_settings": number_of_runs("demo", *fractions)}
        multi_task = number_of_runs("demo", *fractions, methods=list(MULTI_TASK))
        runs |= dict.fromkeys(("train", "predict", "score"), multi_task)
        # at this scale, all corpora of a single-task method share a job
        runs |= dict.fromkeys(("train_each", "predict_each", "score_each"), 2 * len(fractions) * 3)
        assert workflow.plan(f"results/demo/{table}.csv") == jobs | runs


def test_null_on_the_command_line_is_null(workflow):
    for change in ("seeds=null", "mirror=null"):
        answer = workflow("--dry-run", "--quiet", "host", "--config", change, "methods=[hyperloader]", "--", "results/demo/table3.csv")
        assert answer.status == 0 and answer.jobs["train"] == 3, answer.text


def test_table_2_of_the_real_corpora_trains_nothing(workflow):
    assert workflow.plan("results/mini/table2.csv") == {"fetch": 7, "prepare": 7, "table2": 1}


def test_tables_about_data_and_added_tasks_are_of_the_configured_draw(workflow):
    targets = [f"results/demo/{name}.csv" for name in ("table2", "task_embeddings", "new_task")]
    part = ("--config", "corpora=[atis,snips]", "seeds=[1]", "data_seeds=[7]")
    answer = workflow("--dry-run", "--quiet", "host", *part, "--", *targets)
    assert answer.status == 0 and answer.jobs["prepare"] == answer.jobs["add_task"] == 2, answer.text
    assert "data-draw7/atis/manifest.json" in answer.text and "/data/atis" not in answer.text


def test_a_bare_call_makes_the_tables_of_scale_paper(workflow, bare_jobs):
    jobs = dict(bare_jobs)
    assert jobs["fetch"] == jobs["prepare"] == 7 and jobs["train"] == number_of_runs("paper", 10, 20, 100)
    assert (jobs["table2"], jobs["table"], jobs["paper_table"]) == (1, 2, 3)
    assert jobs["parameters"] == jobs["gather"] == jobs["claims"] == jobs["audit"] == 1
    other = workflow("--dry-run", "--snakefile", "workflow/Snakefile").jobs
    assert other.pop("all") == jobs.pop("default") == 1 and other == jobs


def test_the_audit_needs_nothing_but_the_papers_numbers(workflow):
    assert workflow.plan("results/audit.csv") == {"audit": 1}


def test_table_4_without_a_scale_is_that_of_scale_paper(workflow):
    jobs = workflow.plan("results/table4.csv")
    assert jobs["fetch"] == 7 and jobs["table"] == jobs["paper_table"] == 1 and jobs["train"] == number_of_runs("paper", 10, 20)


def test_a_configuration_with_two_corpora_trains_on_two_and_keeps_the_backbone(workflow):
    answer = workflow("--dry-run", "--quiet", "host", "--config", "corpora=[snips,atis]", "--", "results/mini/table3.csv")
    assert "runs/matched/hyperloader/atis+snips/100/seed42/run.json" in answer.text
    # the backbone's text is that of all seven
    assert answer.jobs["prepare"] == 7 and answer.jobs["train"] == number_of_runs("mini", 100, corpora="[atis,snips]")


@pytest.mark.parametrize(
    "arguments, line",
    [
        (["--config", "corpra=[atis]"], "hyperloader: config/config.yaml: unknown key 'corpra' (did you mean 'corpora'?)"),
        (["--config", "corpora=[atsi]"], "hyperloader: unknown corpus 'atsi'; did you mean atis? known corpora: "),
        (["--config", "methods=[hyperloder]"], "hyperloader: unknown method 'hyperloder'; did you mean 'hyperloader'? known methods: "),
        (["--config", "fractions=[0]"], "hyperloader: config/config.yaml: 'fractions.0': input should be greater than 0"),
        (["--config", "methods=[hyperloader,hyperloader]"], "hyperloader: config/config.yaml: 'methods': names hyperloader twice"),
        (["--config", "seeds=[-1]"], "hyperloader: config/config.yaml: 'seeds.0': input should be greater than or equal to 0"),
        (["--config", "fractions=[10,10.0000001]"], "hyperloader: config/config.yaml: 'fractions.1': a fraction has at most six digits"),
        (["--config", "recipe=papre"], "hyperloader: config/recipes/papre.yaml: no such file; known here: "),
        (["results/dmo/table4.csv"], "hyperloader: unknown scale 'dmo'; did you mean 'demo'? known scales: demo, mini, paper"),
        (["results/dmo/table2.csv"], "hyperloader: unknown scale 'dmo'"),
        (["results/demo/data/atsi/manifest.json"], "hyperloader: unknown corpus 'atsi'; did you mean atis?"),
        (["results/demo/runs/matched/hyperloader/all/10/seed7/run.json"], "hyperloader: config/config.yaml: the configuration has no run "),
    ],
)
def test_a_mistake_is_one_line(workflow, arguments, line):
    answer = workflow("--dry-run", "--quiet", "all", *([] if arguments[0] == "--config" else ["--"]), *arguments)
    assert answer.status != 0 and answer.last_line.startswith(line)
    assert "Traceback" not in answer.text and answer.text.count("hyperloader: ") == 1


def test_two_methods_of_one_name_are_one_line(workflow, tmp_path):
    shutil.copytree(ROOT / "baselines/gazetteer", tmp_path / "gazetteer")
    answer = workflow("--dry-run", "--quiet", "all", HYPERLOADER_METHODS=str(tmp_path))
    line = f"hyperloader: {tmp_path}/gazetteer/method.py: there are two methods named 'gazetteer'; rename one of the folders"
    assert answer.status != 0 and answer.last_line == line


def test_results_that_cannot_be_written_are_one_line(fresh_workflow):
    results = fresh_workflow.folder / "results"
    line = "hyperloader: results: is no folder that can be written to; make it one, or a link to one"
    results.symlink_to("nowhere")
    answer = fresh_workflow("--dry-run", "--quiet", "all")
    assert answer.status != 0 and answer.last_line == line
    results.unlink()
    results.mkdir(mode=0o555)
    # root may write anywhere
    assert fresh_workflow("--dry-run", "--quiet", "all").last_line == line or os.access(results, os.W_OK)


def test_a_missing_hub_ends_with_what_is_missing_and_what_to_run(fresh_workflow):
    offline = {"HF_HUB_OFFLINE": "1", "HF_HOME": str(fresh_workflow.folder / "hub")}
    answer = fresh_workflow("--cores", "1", "--quiet", "all", "--", "results/paper/backbones/t5/manifest.json", **offline)
    lines = [line for line in answer.text.splitlines() if line.startswith("hyperloader: ")]
    assert answer.status != 0 and len(lines) == 1
    assert "google-t5/t5-base" in lines[0] and "snakemake results/demo/table4.csv" in lines[0]
    assert not (fresh_workflow.folder / "results/paper/backbones/t5/manifest.json").exists()


def test_lint_and_format_are_clean(workflow):
    answer = workflow("--lint")
    assert answer.status == 0, answer.text
    formatter = Path(sys.executable).with_name("snakefmt")
    formatter = formatter if formatter.exists() else shutil.which("snakefmt")
    subprocess.run([formatter, "--check", "Snakefile", "workflow"], cwd=ROOT, check=True, capture_output=True)


def stages():
    """Of each stage, the modules that it starts from, and those that it leaves out, as the rules have them."""
    text = (ROOT / "workflow/rules/common.smk").read_text(encoding="utf-8")
    names = {"TRAINING": TRAINING, "PREDICTING": PREDICTING}
    exec(text[text.index("STAGES = {") : text.index("def one_line")], names)
    return {stage: (entries, names["WITHOUT"].get(stage, ())) for stage, entries in names["STAGES"].items()}


def imported(path):
    """The files that a module's import statements name, wherever they stand, those for type checkers apart."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    guards = [node for node in ast.walk(tree) if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)]
    for_checkers = {inner for guard in guards for inner in ast.walk(guard)}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("hyperloader") and node not in for_checkers:
            place = ROOT.joinpath("src", *node.module.split("."))
            for file in (place.with_suffix(".py"), place / "__init__.py", *(place / f"{alias.name}.py" for alias in node.names)):
                if file.is_file():
                    yield file.relative_to(SOURCES)


@pytest.mark.parametrize("stage", stages())
def test_no_module_that_a_stage_imports_is_missing_from_its_inputs(stage):
    entries, without = stages()[stage]
    listed = {path.relative_to(SOURCES) for path in sources(*entries, without=without)}
    left_out = {Path("__init__.py"), *(Path(name.replace(".", "/")) for name in (*NEUTRAL, *without))}
    assert listed
    for path in listed:
        for file in imported(SOURCES / path):
            assert file in listed or {file, file.with_suffix(""), *file.parents} & left_out, f"{path} imports {file}"


@pytest.mark.parametrize("stage", [TRAINING, PREDICTING])
def test_no_module_that_a_method_imports_is_missing_from_its_inputs(stage, tmp_path):
    plugins = {name: folders_of(name) for name in methods()} | {"nested": [tmp_path]}
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner/one.py").write_text("import hyperloader.methods.controls\nfrom hyperloader.methods import library\n")
    (tmp_path / "two.py").write_text("no Python, and so nothing that is imported")
    for name, folders in plugins.items():
        listed = sources(stage[0], without=stage[1:], plugins=folders)
        left_out = {Path(entry.replace(".", "/")) for entry in (*NEUTRAL, *stage[1:])} | {Path("__init__.py")}
        for path in (path for folder in folders for path in folder.rglob("*.py")):
            assert path in listed
            for file in imported(path) if path.name != "two.py" else ():
                assert SOURCES / file in listed or {file, file.with_suffix(""), *file.parents} & left_out, f"{name} imports {file}"
    assert {SOURCES / f"methods/{name}.py" for name in ("controls", "library")} <= set(listed)


def test_the_rules_know_what_a_method_imports(workflow):
    predictions = f"results/demo/runs/matched/gazetteer/all/100/seed42/{Run.PREDICTIONS}"
    text = workflow("--dry-run", "--quiet", "host", "--config", "methods=[gazetteer]", "--", predictions).text
    for rule in ("train", "predict"):
        inputs = re.search(rf"rule {rule}:\n    input: (.*)", text)[1]
        assert {"src/hyperloader/methods/controls.py", "baselines/gazetteer/method.py"} <= set(inputs.split(", ")), rule


def test_what_is_left_out_is_there():
    for name in {*NEUTRAL, *(name for _, without in stages().values() for name in without)}:
        place = SOURCES / name.replace(".", "/")
        assert place.is_dir() or place.with_suffix(".py").is_file(), name
