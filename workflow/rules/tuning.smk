# Learning rates: trials on a seed that is not reported -> tuning.csv. The best ones are written into a scale's `training_of` by hand.
TRIAL = f"results/{PlannedTrial.PATTERN}"


rule trial_settings:
    output:
        update(f"{TRIAL}/{Run.SETTINGS}"),
    log:
        f"{TRIAL}/logs/settings.log",
    benchmark:
        f"{TRIAL}/benchmarks/settings.tsv"
    localrule: True
    conda:
        "../../environment.yml"
    params:
        settings=lambda wildcards: trial_settings(wildcards).model_dump_json(indent=2),
    shell:
        "printf '%s\\n' {params.settings:q} > {output:q} 2> {log:q}"


rule trial:
    input:
        settings=f"{TRIAL}/{Run.SETTINGS}",
        data=lambda wildcards: data_of(trial_settings(wildcards)),
        backbone=lambda wildcards: backbone_manifest(trial_settings(wildcards).backbone),
        code=lambda wildcards: code_of(wildcards, "train"),
    output:
        f"{TRIAL}/{Run.TRIAL}",
    log:
        f"{TRIAL}/logs/train.log",
    benchmark:
        f"{TRIAL}/benchmarks/train.tsv"
    conda:
        "../../environment.yml"
    threads: lambda wildcards: threads_of(wildcards.scale)
    resources:
        gpu=lambda wildcards: gpus_of(wildcards.scale, wildcards.method),
    params:
        run=subpath(output[0], parent=True),
    shell:
        "export OMP_NUM_THREADS={threads} MKL_NUM_THREADS={threads} HYPERLOADER_GPU_PARTS={resources.gpu} HF_HUB_OFFLINE=1;"
        ' bash "$HYPERLOADER_LOGGED" {log:q} hyperloader try {params.run:q}'


rule tuning:
    input:
        trials=lambda wildcards: [f"{folder}/{Run.TRIAL}" for folder in planned_trials(wildcards.scale)],
        config=config_file(),
        scale=lambda wildcards: f"{config_folder()}/scales/{scale_of(wildcards.scale)}.yaml",
        code=code("tuning"),
    output:
        expand("results/{{scale}}/tuning.{format}", format=["csv", "md", "tex"]),
        expand("results/{{scale}}/tuning_curves.{format}", format=["csv", "png"]),
        "results/{scale}/tuned.yaml",
        in_report("results/{scale}/tuning.html", "Tables", "Learning rates", "tuning"),
        in_report("results/{scale}/tuning_curves.svg", "Figures", "Trials of learning rates", "tuning"),
    log:
        "results/{scale}/logs/tuning.log",
    benchmark:
        "results/{scale}/benchmarks/tuning.tsv"
    conda:
        "../../environment.yml"
    params:
        changes=changes("corpora", "data_seeds", "methods", "recipe", "seeds", "settings", "variants"),
        recipe=PLAN.recipe.model_dump_json(),
        study=PLAN.ablations.model_dump_json(include={"variants"}),
        settings=subpath(input.scale, ancestor=2),
        folder=subpath(output[0], parent=True),
    shell:
        'bash "$HYPERLOADER_LOGGED" {log:q} hyperloader tuning'
        " --config {input.config:q} --folder {params.settings:q} --scale {wildcards.scale:q} {params.changes:q} --output {params.folder:q}"
