# One run: settings -> trained model -> predictions -> scores. Checkpoints and model lie beside these files in the run's
# folder and are not declared, so that a training that was stopped goes on from its last checkpoint.


rule run_settings:
    output:
        # one that exists is not removed first: Snakemake would not make it again after a kill, and commands read it beside what was made of it
        update(f"{RUN}/{Run.SETTINGS}"),
    log:
        f"{RUN}/logs/settings.log",
    benchmark:
        f"{RUN}/benchmarks/settings.tsv"
    localrule: True
    conda:
        "../../environment.yml"
    params:
        settings=lambda wildcards: run_settings(wildcards).model_dump_json(indent=2),
    # a job of no time would empty the report's plot of run times, whose scale is logarithmic
    shell:
        "sleep 0.01; printf '%s\\n' {params.settings:q} > {output:q} 2> {log:q}"


rule train:
    input:
        settings=f"{RUN}/{Run.SETTINGS}",
        data=lambda wildcards: data_of(run_settings(wildcards)),
        backbone=lambda wildcards: backbone_manifest(run_settings(wildcards).backbone),
        code=lambda wildcards: code_of(wildcards, "train"),
    output:
        f"{RUN}/{Run.RECORD}",
    log:
        f"{RUN}/logs/train.log",
    benchmark:
        f"{RUN}/benchmarks/train.tsv"
    conda:
        "../../environment.yml"
    threads: lambda wildcards: threads_of(wildcards.scale)
    resources:
        gpu=lambda wildcards: gpus_of(wildcards.scale, wildcards.method),
    params:
        run=subpath(output[0], parent=True),
    shell:
        "export OMP_NUM_THREADS={threads} MKL_NUM_THREADS={threads} HYPERLOADER_GPU_PARTS={resources.gpu} HF_HUB_OFFLINE=1;"
        ' bash "$HYPERLOADER_LOGGED" {log:q} hyperloader train {params.run:q}'


rule predict:
    input:
        run=f"{RUN}/{Run.RECORD}",
        data=lambda wildcards: data_of(run_settings(wildcards)),
        code=lambda wildcards: code_of(wildcards, "predict"),
    output:
        f"{RUN}/{Run.PREDICTIONS}",
    log:
        f"{RUN}/logs/predict.log",
    benchmark:
        f"{RUN}/benchmarks/predict.tsv"
    conda:
        "../../environment.yml"
    threads: lambda wildcards: threads_of(wildcards.scale)
    resources:
        gpu=lambda wildcards: gpus_of(wildcards.scale, wildcards.method),
    params:
        run=subpath(output[0], parent=True),
        decoding=PLAN.config.decoding,
    shell:
        "export OMP_NUM_THREADS={threads} MKL_NUM_THREADS={threads} HYPERLOADER_GPU_PARTS={resources.gpu} HF_HUB_OFFLINE=1;"
        ' bash "$HYPERLOADER_LOGGED" {log:q} hyperloader predict-tests --decoding {params.decoding:q} {params.run:q}'


rule score:
    input:
        predictions=f"{RUN}/{Run.PREDICTIONS}",
        code=code("score"),
    output:
        f"{RUN}/{Run.SCORES}",
    log:
        f"{RUN}/logs/score.log",
    benchmark:
        f"{RUN}/benchmarks/score.tsv"
    conda:
        "../../environment.yml"
    params:
        run=subpath(output[0], parent=True),
    shell:
        'bash "$HYPERLOADER_LOGGED" {log:q} hyperloader score {params.run:q}'


# A corpus added to a run that was trained without it, in each mode and from each number of sentences, in one job, which leaves those as
# they are that it finds done.
ruleorder: add_task > train
ruleorder: add_task > predict
ruleorder: add_task > score


rule add_task:
    input:
        settings=added(Run.SETTINGS),
        known=f"{RUN.replace('{tasks}', '{known}').replace('{percent}', f'100{FIRST_DRAW}')}/{Run.RECORD}",
        data=f"results/{{scale}}/data{FIRST_DRAW}/{{corpus}}/manifest.json",
        code=lambda wildcards: code_of(wildcards, "train", "predict", "score"),
    output:
        update(added(Run.RECORD)),
        update(added(Run.PREDICTIONS)),
        added(Run.SCORES),
    log:
        train="results/{scale}/logs/add_task/{recipe}-{method}-{known}+{corpus}-seed{seed}-train.log",
        predict="results/{scale}/logs/add_task/{recipe}-{method}-{known}+{corpus}-seed{seed}-predict.log",
        score="results/{scale}/logs/add_task/{recipe}-{method}-{known}+{corpus}-seed{seed}-score.log",
    benchmark:
        "results/{scale}/benchmarks/add_task/{recipe}-{method}-{known}+{corpus}-seed{seed}.tsv"
    conda:
        "../../environment.yml"
    threads: lambda wildcards: threads_of(wildcards.scale)
    resources:
        gpu=lambda wildcards: gpus_of(wildcards.scale, wildcards.method),
    params:
        runs=lambda wildcards, input: [os.path.dirname(path) for path in input.settings],
        decoding=PLAN.config.decoding,
    shell:
        "export OMP_NUM_THREADS={threads} MKL_NUM_THREADS={threads} HYPERLOADER_GPU_PARTS={resources.gpu} HF_HUB_OFFLINE=1;"
        ' bash "$HYPERLOADER_LOGGED" {log.train:q} hyperloader train {params.runs:q};'
        ' bash "$HYPERLOADER_LOGGED" {log.predict:q} hyperloader predict-tests --decoding {params.decoding:q} {params.runs:q};'
        ' bash "$HYPERLOADER_LOGGED" {log.score:q} hyperloader score {params.runs:q}'


# The same for all corpora of a single-task method in one job, at scales where starting up takes longer than a training. Snakemake calls
# them all out of date where one is, or where the configuration has another set of corpora: the job leaves those as they are that are not.
EACH = RUN.replace("{tasks}", Run.EACH)


ruleorder: train_each > train
ruleorder: predict_each > predict
ruleorder: score_each > score


use rule train as train_each with:
    input:
        settings=of_each_corpus(Run.SETTINGS),
        data=lambda wildcards: data_of(*settings_of_each(wildcards)),
        backbone=lambda wildcards: backbone_manifest(settings_of_each(wildcards)[0].backbone),
        code=lambda wildcards: code_of(wildcards, "train"),
    output:
        update(of_each_corpus(Run.RECORD)),
    log:
        f"{EACH}/logs/train.log",
    benchmark:
        f"{EACH}/benchmarks/train.tsv"
    wildcard_constraints:
        scale=ONE_JOB_PER_METHOD,
        method=SINGLE_TASK,
    params:
        run=lambda wildcards, output: [os.path.dirname(path) for path in output],


use rule predict as predict_each with:
    input:
        run=of_each_corpus(Run.RECORD),
        data=lambda wildcards: data_of(*settings_of_each(wildcards)),
        code=lambda wildcards: code_of(wildcards, "predict"),
    output:
        update(of_each_corpus(Run.PREDICTIONS)),
    log:
        f"{EACH}/logs/predict.log",
    benchmark:
        f"{EACH}/benchmarks/predict.tsv"
    wildcard_constraints:
        scale=ONE_JOB_PER_METHOD,
        method=SINGLE_TASK,
    params:
        run=lambda wildcards, output: [os.path.dirname(path) for path in output],
        decoding=PLAN.config.decoding,


use rule score as score_each with:
    input:
        predictions=of_each_corpus(Run.PREDICTIONS),
        code=code("score"),
    output:
        of_each_corpus(Run.SCORES),
    log:
        f"{EACH}/logs/score.log",
    benchmark:
        f"{EACH}/benchmarks/score.tsv"
    wildcard_constraints:
        scale=ONE_JOB_PER_METHOD,
        method=SINGLE_TASK,
    params:
        run=lambda wildcards, output: [os.path.dirname(path) for path in output],
