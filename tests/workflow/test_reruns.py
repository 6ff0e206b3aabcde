"""What is made again after an edit, tried on the whole workflow with a stand-in for the command line."""

import json
import os
import re
import shutil
import signal
import time
from pathlib import Path

import pytest

from .conftest import Workflow, copy_to

TARGET = "results/demo/table4.csv"
# writes what each command would write, from its arguments alone
STAND_IN = """set -eu
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
    params*) csv=$(output "$@"); for format in csv md tex html; do write "${csv%.csv}.$format" "$*"; done ;;
    tuning*) for name in tuning.csv tuning.md tuning.tex tuning.html tuning_curves.csv tuning_curves.png tuning_curves.svg tuned.yaml; do
        write "$(output "$@")/$name" "$*"
    done ;;
    *) echo "hyperloader: what is $*?"; exit 2 ;;
esac
"""


@pytest.fixture
def done(fresh_workflow):
    """A finished table 4 of two methods at two fractions."""
    config = fresh_workflow.folder / "config/config.yaml"
    config.write_text(re.sub(r"^methods: .*", "methods: [hyperformer_pp, hyperloader]", config.read_text(), flags=re.MULTILINE))
    fresh_workflow.stand_in(STAND_IN)
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
        (source / "reports/tables/results.py", "", "\n# edited\n", {"table": 1}),
        (source / "scoring/__init__.py", "", "\n# edited\n", {"score": runs, "table": 1}),
        (source / "predicting/prediction.py", "", "\n# edited\n", after_training),
        (source / "training/loop.py", "", "\n# edited\n", {"backbone": 1, "train": runs} | after_training),
        (source / "training/optimisation.py", "", "\n# another loss\n", {"backbone": 1, "train": runs} | after_training),
        (source / "formulations/decoding/drafts.py", "", "\n# edited\n", after_training),
        (source / "models/hypernetwork.py", "", "\n# edited\n", {"train": runs} | after_training),
        (done.folder / "baselines/hyperformer_pp/method.py", "", "\n# edited\n", {"train": 2, "predict": 2, "score": 2, "table": 1}),
        (done.folder / "workflow/published/table4.csv", "0.5152", "0.5153", {"table": 1}),
        (config, "methods: [", "methods: [gazetteer, ", dict.fromkeys(("run_settings", "train", "predict", "score"), 2) | {"table": 1}),
        (config, ", mtod]", "]", dict.fromkeys(("run_settings", "train", "predict", "score"), runs) | {"table": 1}),
        (config, "\nseeds: [42]", "\nseeds: [42, 43]", dict.fromkeys(("run_settings", "train", "predict", "score"), runs) | {"table": 1}),
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
    for name in ("corpora/fetching/download", "runs/locks", "cli/main", "errors", "reports/figures/figure2"):
        edit(source / f"{name}.py")
    edit(done.folder / "corpora/atis/corpus.yaml", "LDC user agreement", "LDC")
    edit(config, "mirror: null", "mirror: elsewhere")
    edit(config, "[movietrivia, movie,", "[movie, movietrivia,")
    assert done.plan(TARGET) == {}, "edits that no result depends on"


def test_settings_that_are_written_again_are_there_meanwhile(fresh_workflow):
    """Commands read them beside what was made of them, and after a kill Snakemake would not make them again for that."""
    rules = ("backbone_settings", "run_settings", "trial_settings")
    part = ("--config", "corpora=[atis]", "methods=[hyperformer_pp]", "fractions=[10]")
    call = ("--cores", "2", "--quiet", "all", "--until", *rules, *part, "--", TARGET, "results/demo/tuning.csv")
    assert fresh_workflow(*call).status == 0
    files = [*(fresh_workflow.folder / "results").rglob("settings.json")]
    assert {"backbones", "runs", "tuning"} <= {path.relative_to(fresh_workflow.folder).parts[2] for path in files}
    before = {path: path.stat().st_mtime_ns for path in files}
    process = fresh_workflow.start("--forcerun", *rules, *call)
    while process.poll() is None:
        assert not [path for path in files if not path.exists()]
        time.sleep(0.002)
    process.communicate()
    assert process.returncode == 0
    assert all(path.stat().st_mtime_ns > before[path] for path in files)


def test_records_that_a_kill_took_are_made_again_for_the_ablations(fresh_workflow):
    fresh_workflow.stand_in(STAND_IN)
    part = ("--config", "corpora=[atis]", "fractions=[100]", "ablations=[hyperloader, lora_generated]", "--", "results/demo/ablations.csv")
    answer = fresh_workflow("--cores", "2", "--quiet", "all", "--until", "score", *part)
    assert answer.status == 0, answer.text
    (record,) = (fresh_workflow.folder / "results/demo/runs").rglob("lora_generated/**/run.json")
    assert fresh_workflow("--dry-run", *part).jobs == {"ablations": 1}
    record.unlink()
    assert fresh_workflow("--dry-run", *part).jobs["train"] == 1


def test_an_edit_of_a_recipe_or_of_the_study_makes_the_tables_of_it_again(fresh_workflow):
    folder, targets = fresh_workflow.folder / "config", ("results/paper/parameters.csv", "results/paper/tuning.csv")
    # of a control there are no trials
    edit(folder / "config.yaml", "methods: [", "methods: [gazetteer] # ")
    fresh_workflow.stand_in(STAND_IN)
    assert fresh_workflow("--cores", "1", "--quiet", "all", "--", *targets).status == 0
    assert fresh_workflow.plan(*targets) == {}
    recipe = folder / "recipes/matched.yaml"
    for path, old, new, jobs in [
        (recipe, "", "methods: {hyperloader: {task_dim: 8}}\n", {"parameters": 1, "tuning": 1}),
        (recipe, "learning_rate: ", "learning_rate: 1", {"tuning": 1}),
        (folder / "ablations.yaml", "lora_rank: 4}", "lora_rank: 5}", {"parameters": 1, "tuning": 1}),
    ]:
        former = edit(path, old, new)
        assert fresh_workflow.plan(*targets) == jobs, f"{path.name}: {new}"
        path.write_text(former, encoding="utf-8")


def test_a_part_of_the_configuration_neither_replaces_its_tables_nor_trains_again(fresh_workflow):
    fresh_workflow.stand_in(STAND_IN)

    def call(*options, fractions="[10,20]"):
        chosen = ("--config", "methods=[hyperformer_pp]", "corpora=[atis]", f"fractions={fractions}")
        return fresh_workflow("--cores", "2", "--quiet", "host", "rules", "reason", *options[:-1], *chosen, "--", options[-1])

    assert call(TARGET).status == 0
    table = fresh_workflow.folder / TARGET
    whole = table.read_text()
    refused = call(TARGET, fractions="[10]")
    assert refused.status != 0 and table.read_text() == whole
    shown = "results/demo/runs/matched/hyperformer_pp/atis/20/seed42/scores.json"
    remedy = "name the tables of a part, results/demo@NAME/table4.csv, or replace this one: --force"
    assert refused.last_line == f"hyperloader: {TARGET}: shows what this configuration leaves out, {shown}; {remedy}"
    part = call("results/demo@ten/table4.csv", fractions="[10]")
    assert part.status == 0 and part.jobs == {"table": 1}
    assert table.read_text() == whole and shown not in (fresh_workflow.folder / "results/demo@ten/table4.csv").read_text()
    assert call("--force", TARGET, fractions="[10]").status == 0 and table.read_text() != whole


# trains each run that is not trained, as `hyperloader train` does, and is lost once after the third
LOST = (
    STAND_IN.replace(
        '    train*) write "$2/run.json" "$(cat "$2/settings.json")" ;;',
        """    train*)
        for run in "${@:2}"; do
            if [ ! -e "$run/run.json" ]; then write "$run/run.json" x; echo "$run" >> trained; fi
            if [ ! -e lost ] && [ "$(wc -l < trained)" = 3 ]; then touch lost; exit 1; fi
        done ;;""",
    )
    .replace('write "$4/predictions.json" "$*"', 'for run in "${@:4}"; do write "$run/predictions.json" x; done')
    .replace('write "$2/scores.json" "$*"', 'for run in "${@:2}"; do write "$run/scores.json" x; done')
)


def test_what_a_lost_job_of_several_runs_has_done_is_not_done_again(fresh_workflow):
    assert LOST.count("for run") == 3
    fresh_workflow.stand_in(LOST)
    target = "results/demo/runs/matched/hyperloader/snips+atis~low_rank/10shots/seed42/scores.json"
    profile = "workflow/profiles/local/profile.yaml"
    # as on a cluster, but for what is about it
    text = (fresh_workflow.folder / "workflow/profiles/slurm/profile.yaml").read_text()
    (fresh_workflow.folder / profile).parent.mkdir()
    (fresh_workflow.folder / profile).write_text(re.sub(r"^(executor|jobs|slurm|latency).*\n", "", text, flags=re.MULTILINE))
    call = ("--workflow-profile", str(Path(profile).parent), "--cores", "1", "--config", "corpora=[atis,snips]", "--", target)
    answer = fresh_workflow(*call)
    assert answer.status == 0 and (fresh_workflow.folder / "lost").exists(), answer.text
    trained = (fresh_workflow.folder / "trained").read_text().split()
    assert len(trained) == len(set(trained)) == 1 + 15


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


def test_a_corpus_is_prepared_again_over_what_snakemake_left_of_it(fresh_workflow):
    """Snakemake removes the manifest before the job, and nothing else."""
    target = "results/demo/data/atis/manifest.json"
    manifest = fresh_workflow.folder / target
    for again in ([], ["--force"]):
        answer = fresh_workflow("--cores", "1", "--quiet", "all", *again, "--", target)
        assert answer.status == 0, answer.text
        assert json.loads(manifest.read_text())["seed"] == 42
        # as a training leaves it there
        (manifest.parent / "tokenised").mkdir()


# each rule of the demo, with an output of it, and a source file that it depends on
RESULTS = "results/demo"
RUN = f"{RESULTS}/runs/matched/hyperloader/atis/100/seed42"
RULES = {
    "generate": (f"{RESULTS}/raw/atis.json", "corpora/generated/generate"),
    "prepare": (f"{RESULTS}/data/atis/manifest.json", "corpora/splits"),
    "table2": (f"{RESULTS}/table2.csv", "reports/tables/table2"),
    "backbone_settings": (f"{RESULTS}/backbones/t5/settings.json", ""),
    "backbone": (f"{RESULTS}/backbones/t5/manifest.json", "training/backbones/t5"),
    "run_settings": (f"{RUN}/settings.json", ""),
    "train": (f"{RUN}/run.json", "training/network"),
    "train_each": (f"{RUN.replace('hyperloader', 'unipelt_t5')}/run.json", ""),
    "predict": (f"{RUN}/predictions.json", "predicting/prediction"),
    "predict_each": (f"{RUN.replace('hyperloader', 'unipelt_t5')}/predictions.json", ""),
    "score": (f"{RUN}/scores.json", "scoring/signatures"),
    "score_each": (f"{RUN.replace('hyperloader', 'unipelt_t5')}/scores.json", ""),
    "table": (f"{RESULTS}/table3.csv", "reports/tables/results"),
    "parameters": (f"{RESULTS}/parameters.csv", "reports/tables/parameters"),
    "gather": (f"{RESULTS}/scores.csv", "reports/tables/scores"),
    "claims": (f"{RESULTS}/claims.csv", "reports/tables/claims"),
    "figures": (f"{RESULTS}/labels.csv", "reports/figures/labels"),
    "confusion": (f"{RESULTS}/confusion.csv", "reports/outputs/confusion"),
    "score_page": (f"{RESULTS}/scores.html", "reports/tables/score_page"),
    "audit": ("results/audit.csv", "reports/tables/audit"),
}


@pytest.mark.slow
def test_no_job_refuses_what_snakemake_leaves(fresh_workflow):
    """Each rule forced, edited, killed between its last rename and Snakemake's record; and all outputs deleted."""
    folder = fresh_workflow.folder
    sources = [folder / f"src/hyperloader/{module}.py" for _, module in RULES.values() if module]
    assert all(source.is_file() for source in sources)
    scale = folder / "config/scales/demo.yaml"
    scale.write_text(re.sub(r"(?<=[{ ]steps: )\d+", "4", scale.read_text()).replace("evaluate_every: 100", "evaluate_every: 2"))
    targets = [output for output, _ in RULES.values()]
    call = ("--config", "corpora=[atis]", "methods=[hyperloader,unipelt_t5,gazetteer]", "fractions=[100]", "--", *targets)

    def contents():
        # the records tell how long something took; the page leads to the files that are there, and Snakemake makes no settings again
        # that a killed call removed and nothing needs
        kept = [target for target in targets if Path(target).name not in ("run.json", "predictions.json", "scores.html")]
        return {target: (folder / target).read_bytes() for target in kept}

    def made(what, *options):
        answer = fresh_workflow("--cores", "2", "--quiet", "host", "rules", "reason", *options, *call)
        assert answer.status == 0, f"{what}: {answer.text}"
        assert contents() == first, what

    first = None
    assert fresh_workflow("--cores", "2", "--quiet", "all", *call).status == 0
    first = contents()
    made("all of it forced", "--forceall")
    assert fresh_workflow("--delete-all-output", "--cores", "1", "--quiet", "all", *call).status == 0
    assert not any((folder / target).exists() for target in targets)
    made("after all outputs were deleted")
    for source in sources:
        edit(source)
    made("after an edit of each stage's code")
    for rule, (output, _) in RULES.items():
        before = (folder / output).stat().st_mtime_ns
        process = fresh_workflow.start("--cores", "2", "--quiet", "all", "--forcerun", rule, *call)
        while process.poll() is None:
            if (folder / output).exists() and (folder / output).stat().st_mtime_ns != before:
                os.killpg(process.pid, signal.SIGKILL)
                break
            time.sleep(0.0005)
        process.communicate()
        assert process.returncode == -signal.SIGKILL, rule
        assert fresh_workflow("--unlock", *call).status == 0
        made(f"{rule} after a SIGKILL")
