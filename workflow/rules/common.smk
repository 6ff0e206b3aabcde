# What the rules share: the plan of all runs, and which code each stage's result depends on.
import json
import re
from base64 import encodebytes
from difflib import get_close_matches
from functools import cache, wraps
from html import escape

from snakemake.logging import logger

from hyperloader.config.settings import DATA_SEED
from hyperloader.config.sources import PREDICTING, TRAINING, sources
from hyperloader.corpora.generated.generate import check_counterpart
from hyperloader.corpora.registry import get_corpus, known_corpora
from hyperloader.errors import SettingsError, UserError
from hyperloader.methods.registry import folders_of, methods
from hyperloader.planning.new_tasks import AMOUNTS, MODES, new_task_runs
from hyperloader.planning.plan import Plan, drawn, scale_of
from hyperloader.planning.tuning import PlannedTrial, trials
from hyperloader.reports.tables.endpoints import NEEDED
from hyperloader.reports.tables.sheet import capitalised
from hyperloader.runs.gpus import find_gpus, gpu_parts
from hyperloader.runs.run import Run

# the fractions of the training data, in percent, in each of the paper's tables of results
FRACTIONS = {"3": [100], "4": [10, 20]}

RUN = f"results/{Run.PATTERN}"

# the modules that make the result of each stage: an edit there, or in what they import, makes the result again
STAGES = {
    "generate": ["corpora.generated.generate"],
    "prepare": ["corpora.prepare"],
    "hub": ["training.backbones.making"],
    "directory": ["training.backbones.making"],
    "pretrained": ["training.backbones"],
    "train": [TRAINING[0]],
    "predict": [PREDICTING[0]],
    "score": ["scoring"],
    "table2": ["reports.tables.table2"],
    "table": ["reports.tables.results"],
    "parameters": ["reports.tables.parameters"],
    "gather": ["reports.tables.scores"],
    "trainings": ["reports.tables.trainings"],
    "claims": ["reports.tables.claims"],
    "figures": ["reports.figures"],
    "confusion": ["reports.outputs.confusion"],
    "score_page": ["reports.tables.score_page"],
    "tuning": ["reports.tables.tuning", "reports.figures.tuning"],
    "ablations": ["reports.tables.ablations", "reports.figures.pareto"],
    "endpoints": ["reports.tables.endpoints"],
    "new_task": ["reports.figures.new_task"],
    "task_embeddings": ["reports.figures.task_embeddings"],
    "audit": ["reports.tables.audit"],
}
# what they import for other ends: how a trained model predicts, how one is trained, and, for tables, the names of methods and corpora
NAMES = ["methods", "corpora", "planning.plan"]
WITHOUT = {
    **dict.fromkeys(("hub", "directory"), ["training.backbones.pretraining"]),
    "pretrained": ["formulations.decoding", "models.generated_layers", "models.hypernetwork"],
    "train": TRAINING[1:],
    "predict": PREDICTING[1:],
    "parameters": ["corpora", "training", "formulations", "planning.trials"],
    **dict.fromkeys(
        (
            "table2",
            "table",
            "gather",
            "trainings",
            "claims",
            "figures",
            "confusion",
            "score_page",
            "new_task",
            "ablations",
            "endpoints",
            "tuning",
            "audit",
        ),
        NAMES,
    ),
}


def one_line(function):
    """Make what a user caused end the workflow with one line instead of a traceback."""

    @wraps(function)
    def wrapped(*arguments):
        try:
            return function(*arguments)
        except UserError as error:
            sys.exit(f"hyperloader: {error}")

    return wrapped


PLAN = one_line(Plan.of)(config, config_folder())
# how paths tell the data of runs at 100 %, which are those of the tables about data and of added tasks, from other draws
FIRST_DRAW = drawn(PLAN.config.data_seeds[0])


@one_line
def check_results(folder="results"):
    """Refuse a folder of results that cannot be written to before any work is done."""
    if os.path.lexists(folder) and not (os.path.isdir(folder) and os.access(folder, os.W_OK | os.X_OK)):
        raise SettingsError("is no folder that can be written to", file=folder, remedy="make it one, or a link to one")


check_results()

# through the environment and not as a parameter: where a checked file came from is no reason to make a result again
if PLAN.config.mirror:
    os.environ.update(HYPERLOADER_MIRROR=PLAN.config.mirror)

# GPUs are counted in parts, so that several jobs of a small scale share one: `jobs_per_gpu`, a power of two, divides this number
JOBS_PER_GPU = one_line(lambda: {name: PLAN.scale(name).jobs_per_gpu for name in PLAN.scales()})()
GPU_PARTS, GPUS = 1, {}


@one_line
def share_gpus():
    """Let jobs lease the GPUs of this machine (hyperloader.runs.gpus), those given or those found; SLURM assigns its own."""
    global GPU_PARTS, GPUS
    if not workflow.is_main_process or workflow.nodes is not None:
        return
    given, counted = os.environ.get("HYPERLOADER_GPUS"), workflow.global_resources.get("gpu").value
    if counted:
        os.environ.setdefault("HYPERLOADER_GPUS", os.environ.get("CUDA_VISIBLE_DEVICES") or ",".join(map(str, range(counted))))
        return
    names = ",".join(find_gpus()) if given is None else given
    if not names:
        return
    # whoever gives parts has decided how many jobs share a GPU
    if ":" not in names:
        GPU_PARTS = max(JOBS_PER_GPU.values())
        names = ",".join(f"{name}:{GPU_PARTS}" for name in gpu_parts(names))
    GPUS = gpu_parts(names)
    os.environ.update(HYPERLOADER_GPUS=names)
    workflow.register_resource("gpu", sum(GPUS.values()))
    jobs = ", ".join(f"{name} {sum(GPUS.values()) // gpus_of_network(name)}" for name in JOBS_PER_GPU)
    logger.info(f"GPUs {', '.join(GPUS)} (HYPERLOADER_GPUS names others); jobs on them at a time by scale: {jobs}")


def gpus_of_network(scale):
    """Parts of a GPU that a job takes which trains or predicts a network."""
    return max(1, GPU_PARTS // JOBS_PER_GPU[scale])


share_gpus()


# patterns of names: scales with one job for all corpora of a single-task method or variant, and those methods and variants
ONE_JOB_PER_METHOD = one_line(lambda: "|".join(name for name in PLAN.scales() if PLAN.scale(name).one_job_per_method) or "(?!)")()


@one_line
def single_task():
    """A pattern of those methods and variants."""
    known = ((name, scale) for scale in PLAN.scales() for name in (*methods(), *PLAN.variants(scale)))
    return "|".join(dict.fromkeys(re.escape(name) for name, scale in known if not PLAN.method(name, scale).multitask))


SINGLE_TASK = single_task()


wildcard_constraints:
    scale="[^/]+",
    corpus="[^/]+",
    kind="t5|bert",
    recipe="[^/]+",
    method="[^/]+",
    tasks="[^/]+",
    percent="[^/]+",
    seed="[^/]+",
    rate="[^/]+",
    draw=r"data(-draw\d+)?",
    number="[34]",


@cache
def code(stage, *plugins):
    """The source files that the result of a stage depends on, with those of plug-ins in these folders."""
    return [near(file) for file in sources(*STAGES[stage], without=WITHOUT.get(stage, ()), plugins=plugins)]


def descriptions(corpora):
    """The descriptions of corpora, with the counts of the paper's table 2."""
    return [near(get_corpus(name).description) for name in corpora]


@one_line
def code_of(wildcards, *stages):
    """The same of stages in which the method of a run takes part, which may be a variant's."""
    folders = folders_of(PLAN.method(wildcards.method, wildcards.scale).method.name)
    return [file for stage in stages for file in code(stage, *folders)]


def changes(*keys):
    """Options that give a command these keys of the configuration as they are here; into its file's, after `null`, nothing is merged."""
    values = PLAN.config.model_dump(mode="json", exclude_unset=True)
    values = {key: json.dumps(values.get(key, getattr(PLAN.config, key))) for key in keys}
    return [f"--set={key}={value}" for key in keys for value in dict.fromkeys(("null", values[key]))]


def published(*names):
    """The paper's numbers by the names of their tables."""
    return [own(f"workflow/published/{name}.csv") for name in names]


@cache
def runs(scale):
    """The runs of a scale by their folder."""
    return {f"results/{run.path}": run for run in PLAN.runs(scale)}


@cache
def runs_of_ablations(scale):
    """The runs of the ablation study at a scale, by their folder."""
    return {f"results/{run.path}": run for run in PLAN.ablation_runs(scale)}


@cache
def runs_of_new_tasks(scale):
    """The runs of a scale that show what it costs to add a task, by their folder."""
    return {f"results/{run.path}": run for run in new_task_runs(PLAN, scale)}


@one_line
def hypernetwork_run(scale):
    """HyperLoader on all corpora."""
    return next(iter(runs_of_new_tasks(scale)))


@cache
def settings_of(folder, scale):
    known = runs_of_ablations(scale) | runs(scale) | runs_of_new_tasks(scale)
    if folder not in known:
        close = get_close_matches(folder, known, n=1)
        remedy = f"did you mean '{close[0]}'?" if close else ""
        raise SettingsError(f"the configuration has no run '{folder}'", file=config_file(), remedy=remedy)
    return PLAN.run_settings(known[folder])


@one_line
def run_settings(wildcards):
    """All that decides the run with these wildcards."""
    return settings_of(RUN.format(**wildcards), wildcards.scale)


def added(file):
    """A file of the runs that add a corpus to one that knows others, in each mode and from each number of sentences."""
    amounts = [(f"{percent:g}" if shots is None else f"{shots}shots") + FIRST_DRAW for percent, shots in AMOUNTS]
    return expand(f"{RUN}/{file}".replace("{tasks}", "{known}+{corpus}~{mode}"), mode=MODES, percent=amounts, allow_missing=True)


@cache
def planned_trials(scale):
    """The trials of a scale by their folder."""
    return {f"results/{trial.path}": trial for trial in one_line(trials)(PLAN, scale)}


@one_line
def trial_settings(wildcards):
    """All that decides the trial with these wildcards."""
    folder = TRIAL.format(**wildcards)
    if folder not in planned_trials(wildcards.scale):
        raise SettingsError(f"the configuration has no trial '{folder}'", file=config_file())
    return planned_trials(wildcards.scale)[folder].settings(PLAN)


def of_each_corpus(file):
    """A file of the runs of a single-task method, one per corpus."""
    return expand(f"{RUN}/{file}", tasks=PLAN.corpora, allow_missing=True)


@one_line
def settings_of_each(wildcards):
    """All that decides the runs of a single-task method with these wildcards, one per corpus."""
    return [settings_of(RUN.format(**wildcards, tasks=corpus), wildcards.scale) for corpus in PLAN.corpora]


@one_line
def backbone_settings(wildcards):
    """All that decides the backbone with these wildcards."""
    return PLAN.backbone_settings(wildcards.scale, wildcards.kind)


@one_line
def raw_manifest(wildcards):
    """Where the raw files of a corpus are: downloaded ones are shared by all scales, generated ones belong to one."""
    corpus = get_corpus(wildcards.corpus)
    # a corpus of the user's own is the same at every scale
    if PLAN.scale(wildcards.scale).corpora == "real" or corpus.local:
        return f"resources/corpora/{corpus.name}.json"
    check_counterpart(corpus)
    return f"results/{wildcards.scale}/raw/{corpus.name}.json"


@one_line
def data_manifests(scale, corpora):
    """The prepared corpora of a scale, in the first draw."""
    PLAN.scale(scale)  # refuses an unknown one
    return [f"results/{scale_of(scale)}/data{FIRST_DRAW}/{corpus}/manifest.json" for corpus in corpora]


def seed_of_draw(draw):
    """The seed of the prepared corpora in a folder of that name."""
    return int(draw.partition("-draw")[2] or DATA_SEED)


def data_of(*settings):
    """The prepared corpora of runs or of a backbone."""
    return [f"{folder}/manifest.json" for own in settings for folder in own.data.values()]


@one_line
def pretrained_backbones(scale):
    """The backbones of a scale that are pre-trained here."""
    return [
        f"results/{scale_of(scale)}/backbones/{kind}/manifest.json"
        for kind, backbone in PLAN.scale(scale).backbones.items()
        if backbone.source == "pretrained"
    ]


def backbone_manifest(folder):
    """The backbone of a run, if it has one."""
    return f"{folder}/manifest.json" if folder else []


@one_line
def scores(scale, fractions=None):
    """The scores of all runs of a scale, or of those at these fractions."""
    PLAN.scale(scale)
    return [f"results/{run.path}/{Run.SCORES}" for run in PLAN.runs(scale, fractions)]


@one_line
def ablation_scores(scale):
    """The scores of all runs of the ablation study."""
    return [f"{folder}/{Run.SCORES}" for folder in runs_of_ablations(scale)]


@one_line
def endpoint_scores(scale):
    """The scores of those runs of a scale and of its ablation study that the protocol's endpoints are of."""
    known = runs(scale) | runs_of_ablations(scale)
    return [f"{folder}/{Run.SCORES}" for folder, run in known.items() if run.percent in NEEDED.get(run.method, ())]


@one_line
def gpus_of(scale, method):
    """Parts of a GPU that a job takes: controls have no network."""
    return gpus_of_network(scale) if PLAN.method(method, scale).method.trains_network else 0


def in_report(path, category, name, caption):
    """Show an output in the report.

    Args:
        path: of the output.
        category: `Tables` or `Figures`.
        name: what it is called there; may have wildcards.
        caption: file of `workflow/report/`, without its suffix.
    """
    return report(path, caption=f"../report/{caption}.rst", category=category, labels={category[:-1]: name})


@one_line
def threads_of(scale):
    """Threads of a job that computes."""
    threads = PLAN.scale(scale).threads
    # on GPUs the threads do little, and should leave none of them idle
    return max(1, min(threads, (workflow.cores or 1) * gpus_of_network(scale) // sum(GPUS.values()))) if GPUS else threads


def front_page(files):
    """The report's first page, in HTML: what was run, as the caption of the first table of scores has it; that table; figure 2."""
    paths = [Path(str(file.path)) for file in files]
    tables = sorted((path for path in paths if re.fullmatch("table[34].html", path.name)), reverse=True)
    parts = []
    for text in (path.read_text(encoding="utf-8") for path in tables[:1]):
        made = re.search(r"scale [^,]+, recipe .*?(?=\. |<)", text)
        parts += [f"<p><strong>{capitalised(made[0])}</strong></p>"] if made else []
        parts += [f'<iframe style="width: 100%; height: 30rem; border: 0" srcdoc="{escape(text)}"></iframe>']
    for path in (path for path in paths if path.name == "figure2.svg"):
        image = encodebytes(path.read_bytes()).decode()
        parts += [f'<img style="width: 100%" alt="F1 against trainable parameters" src="data:image/svg+xml;base64,{image}">']
    # a block of nothing would be an error
    parts = parts or ["<p>Neither table 3 nor table 4 nor figure 2 is made yet.</p>"]
    # what is not indented would end the block that it is put into
    return re.sub(r"\s*\n\s*", "\n   ", "\n".join(parts))


# Snakemake's template of the report knows nothing but the configuration
config["front_page"] = front_page


def left_out(job):
    """Of each output of a job, the runs and corpora that it shows now, that are there, and that the job would not show."""
    for output in job.output:
        shown = (workflow.persistence.input(output) or []) if os.path.exists(output) and not re.search("/(runs|data)/", output) else []
        missing = [path for path in shown if re.search("^results/.*/(runs|data)/", path) and path not in job.input and os.path.exists(path)]
        if missing:
            yield output, missing


onstart:
    # of SLURM's nodes each has a process of its own, which is told to force its jobs
    forced = workflow.dag_settings.forceall or workflow.dag_settings.forcetargets or workflow.dag_settings.forcerun
    if workflow.is_main_process and forced:
        # a job of several runs looks at each (rules/runs.smk), unless they are wanted anew
        os.environ.update(HYPERLOADER_FORCE="1")
    elif workflow.is_main_process:
        for output, missing in (found for job in workflow.dag.needrun_jobs() for found in left_out(job)):
            part = re.sub("^results/([^/]*)/", lambda place: f"results/{scale_of(place[1])}@NAME/", output)
            rest = f" and {len(missing) - 1} more" if missing[1:] else ""
            remedy = f"name the tables of a part, {part}, or replace this one: --force"
            sys.exit(f"hyperloader: {output}: shows what this configuration leaves out, {missing[0]}{rest}; {remedy}")
