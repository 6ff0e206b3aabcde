# Scores and training records -> figures, and the page that leads from each score to its run.


rule figures:
    input:
        scores="results/{scale}/scores.csv",
        parameters="results/{scale}/parameters.csv",
        published=published("table3", "table4", "methods"),
        labels=lambda wildcards: scores(wildcards.scale),
        losses=lambda wildcards: [f"{folder}/{Run.RECORD}" for folder in runs(wildcards.scale)],
        code=code("figures"),
    output:
        in_report("results/{scale}/figure2.svg", "Figures", "F1 against trainable parameters", "figure2"),
        in_report("results/{scale}/labels.svg", "Figures", "F1 by slot type", "labels"),
        in_report("results/{scale}/curves.svg", "Figures", "Losses", "curves"),
        expand("results/{{scale}}/{name}.{format}", name=["figure2", "labels", "curves"], format=["png", "csv"]),
    log:
        "results/{scale}/logs/figures.log",
    benchmark:
        "results/{scale}/benchmarks/figures.tsv"
    conda:
        "../../environment.yml"
    params:
        runs=lambda wildcards: list(runs(wildcards.scale)),
        published=lambda wildcards, input: os.path.dirname(input.published[0]),
        folder=subpath(output[0], parent=True),
    shell:
        'bash "$HYPERLOADER_LOGGED" {log:q} hyperloader figures {params.runs:q} --scores {input.scores:q}'
        " --parameters {input.parameters:q} --published {params.published:q} --output {params.folder:q}"


rule confusion:
    input:
        predictions=lambda wildcards: [f"{folder}/{Run.PREDICTIONS}" for folder in runs(wildcards.scale)],
        code=code("confusion"),
    output:
        "results/{scale}/confusion.csv",
    log:
        "results/{scale}/logs/confusion.log",
    benchmark:
        "results/{scale}/benchmarks/confusion.tsv"
    conda:
        "../../environment.yml"
    params:
        runs=lambda wildcards: list(runs(wildcards.scale)),
    shell:
        'bash "$HYPERLOADER_LOGGED" {log:q} hyperloader confusion {params.runs:q} --output {output:q}'


rule new_task:
    input:
        scores=lambda wildcards: [f"{folder}/{Run.SCORES}" for folder in runs_of_new_tasks(wildcards.scale)],
        records=lambda wildcards: [f"{folder}/{Run.RECORD}" for folder in runs_of_new_tasks(wildcards.scale)],
        code=code("new_task"),
    output:
        in_report("results/{scale}/new_task.svg", "Figures", "Adding a task", "new_task"),
        expand("results/{{scale}}/new_task.{format}", format=["png", "csv"]),
    log:
        "results/{scale}/logs/new_task.log",
    benchmark:
        "results/{scale}/benchmarks/new_task.tsv"
    conda:
        "../../environment.yml"
    params:
        runs=lambda wildcards: list(runs_of_new_tasks(wildcards.scale)),
        output=lambda wildcards, output: os.path.splitext(output[0])[0],
    shell:
        'bash "$HYPERLOADER_LOGGED" {log:q} hyperloader new-task {params.runs:q} --output {params.output:q}'


rule task_embeddings:
    input:
        run=lambda wildcards: f"{hypernetwork_run(wildcards.scale)}/{Run.RECORD}",
        data=lambda wildcards: data_manifests(wildcards.scale, PLAN.corpora),
        code=code("task_embeddings"),
    output:
        in_report("results/{scale}/task_embeddings.svg", "Figures", "The space of tasks", "task_embeddings"),
        expand("results/{{scale}}/task_embeddings.{format}", format=["png", "csv"]),
    log:
        "results/{scale}/logs/task_embeddings.log",
    benchmark:
        "results/{scale}/benchmarks/task_embeddings.tsv"
    conda:
        "../../environment.yml"
    threads: lambda wildcards: threads_of(wildcards.scale)
    params:
        run=subpath(input.run, parent=True),
        output=lambda wildcards, output: os.path.splitext(output[0])[0],
    shell:
        "export OMP_NUM_THREADS={threads} MKL_NUM_THREADS={threads} HF_HUB_OFFLINE=1;"
        ' bash "$HYPERLOADER_LOGGED" {log:q} hyperloader task-embeddings {params.run:q} --output {params.output:q}'


rule score_page:
    input:
        scores=lambda wildcards: scores(wildcards.scale),
        figures=multiext("results/{scale}/", "figure2.svg", "curves.svg"),
        code=code("score_page"),
    output:
        in_report("results/{scale}/scores.html", "Tables", "All results", "scores"),
    log:
        "results/{scale}/logs/score_page.log",
    benchmark:
        "results/{scale}/benchmarks/score_page.tsv"
    conda:
        "../../environment.yml"
    params:
        runs=lambda wildcards: list(runs(wildcards.scale)),
        figures=lambda wildcards, input: os.path.dirname(input.figures[0]),
    shell:
        'bash "$HYPERLOADER_LOGGED" {log:q} hyperloader score-page {params.runs:q} --figures {params.figures:q} --output {output:q}'
