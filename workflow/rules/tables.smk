# Scores -> the paper's tables 3 and 4, comparisons, claims; without a scale in the path, the tables of scale `paper`.


rule table:
    input:
        scores=lambda wildcards: scores(wildcards.scale, FRACTIONS[wildcards.number]),
        published=lambda wildcards: published(f"table{wildcards.number}"),
        code=code("table"),
    output:
        csv="results/{scale}/table{number}.csv",
        markdown="results/{scale}/table{number}.md",
        latex="results/{scale}/table{number}.tex",
        html=in_report("results/{scale}/table{number}.html", "Tables", "Table {number}", "table"),
    log:
        "results/{scale}/logs/table{number}.log",
    benchmark:
        "results/{scale}/benchmarks/table{number}.tsv"
    conda:
        "../../environment.yml"
    shell:
        'bash "$HYPERLOADER_LOGGED" {log:q} hyperloader table {wildcards.number} {input.scores:q}'
        " --published {input.published:q} --output {output.csv:q}"


rule parameters:
    input:
        # the sizes of what is pre-trained here are known when it is there; those of the hub's models are in the scale's file
        backbones=lambda wildcards: pretrained_backbones(wildcards.scale),
        published=published("methods"),
        code=code("parameters", *(folder for method in methods() for folder in folders_of(method))),
    output:
        csv="results/{scale}/parameters.csv",
        markdown="results/{scale}/parameters.md",
        latex="results/{scale}/parameters.tex",
        html=in_report("results/{scale}/parameters.html", "Tables", "Parameters", "parameters"),
    log:
        "results/{scale}/logs/parameters.log",
    benchmark:
        "results/{scale}/benchmarks/parameters.tsv"
    conda:
        "../../environment.yml"
    params:
        config=config_file(),
        folder=config_folder(),
        changes=changes("corpora", "recipe", "settings", "variants"),
        recipe=PLAN.recipe.model_dump_json(include={"methods"}),
        study=PLAN.ablations.model_dump_json(include={"variants"}),
        scale=lambda wildcards: PLAN.scale(wildcards.scale).model_dump_json(include={"backbones", "methods", "variants"}),
    shell:
        'bash "$HYPERLOADER_LOGGED" {log:q} hyperloader params'
        " --config {params.config:q} --folder {params.folder:q} --scale {wildcards.scale:q} {params.changes:q}"
        " --published {input.published:q} --output {output.csv:q}"


rule gather:
    input:
        scores=lambda wildcards: scores(wildcards.scale),
        code=code("gather"),
    output:
        "results/{scale}/scores.csv",
    log:
        "results/{scale}/logs/scores.log",
    benchmark:
        "results/{scale}/benchmarks/scores.tsv"
    conda:
        "../../environment.yml"
    shell:
        'bash "$HYPERLOADER_LOGGED" {log:q} hyperloader gather {input.scores:q} --output {output:q}'


rule trainings:
    input:
        records=lambda wildcards: [f"{folder}/{Run.RECORD}" for folder in runs(wildcards.scale)],
        code=code("trainings"),
    output:
        "results/{scale}/trainings.csv",
    log:
        "results/{scale}/logs/trainings.log",
    benchmark:
        "results/{scale}/benchmarks/trainings.tsv"
    conda:
        "../../environment.yml"
    params:
        runs=lambda wildcards: list(runs(wildcards.scale)),
    shell:
        'bash "$HYPERLOADER_LOGGED" {log:q} hyperloader trainings {params.runs:q} --output {output:q}'


rule claims:
    input:
        scores=lambda wildcards: scores(wildcards.scale),
        parameters="results/{scale}/parameters.csv",
        published=published("table3", "table4", "methods", "claims"),
        code=code("claims"),
    output:
        expand("results/{{scale}}/{name}.{format}", name=["comparisons", "claims"], format=["csv", "md"]),
        in_report("results/{scale}/comparisons.html", "Tables", "Comparisons", "comparisons"),
        in_report("results/{scale}/claims.html", "Tables", "Claims", "claims"),
    log:
        "results/{scale}/logs/claims.log",
    benchmark:
        "results/{scale}/benchmarks/claims.tsv"
    conda:
        "../../environment.yml"
    params:
        published=lambda wildcards, input: os.path.dirname(input.published[0]),
        folder=subpath(output[0], parent=True),
        bearing=lambda wildcards: PLAN.scale(wildcards.scale).bearing,
    shell:
        'bash "$HYPERLOADER_LOGGED" {log:q} hyperloader claims {input.scores:q} --parameters {input.parameters:q}'
        " --published {params.published:q} --bearing {params.bearing:q} --output {params.folder:q}"


rule audit:
    input:
        published=published("table3", "table4", "methods", "text", "claims"),
        corpora=descriptions(known_corpora()),
        code=code("audit"),
    output:
        csv="results/audit.csv",
        markdown="results/audit.md",
        html=in_report("results/audit.html", "Tables", "The paper's own numbers", "audit"),
        reanalysis=multiext("results/reanalysis", ".csv", ".md"),
        reanalysis_html=in_report("results/reanalysis.html", "Tables", "The paper's tables as an experiment", "reanalysis"),
    log:
        "results/logs/audit.log",
    benchmark:
        "results/benchmarks/audit.tsv"
    localrule: True
    conda:
        "../../environment.yml"
    params:
        published=lambda wildcards, input: os.path.dirname(input.published[0]),
    shell:
        'bash "$HYPERLOADER_LOGGED" {log:q} hyperloader audit --published {params.published:q} --output {output.csv:q}'


rule paper_table:
    input:
        multiext("results/paper/table{number}", ".csv", ".md", ".tex"),
    output:
        multiext("results/table{number}", ".csv", ".md", ".tex"),
    log:
        "results/paper/logs/copy-table{number}.log",
    benchmark:
        "results/paper/benchmarks/copy-table{number}.tsv"
    wildcard_constraints:
        number="[234]",
    localrule: True
    conda:
        "../../environment.yml"
    params:
        folder=subpath(output[0], parent=True),
    shell:
        "cp {input:q} {params.folder:q} 2> {log:q}"


rule ablations:
    input:
        scores=lambda wildcards: ablation_scores(wildcards.scale),
        records=lambda wildcards: [f"{folder}/{Run.RECORD}" for folder in runs_of_ablations(wildcards.scale)],
        study=f"{config_folder()}/ablations.yaml",
        code=code("ablations"),
    output:
        expand("results/{{scale}}/ablations.{format}", format=["csv", "md", "tex"]),
        expand("results/{{scale}}/pareto.{format}", format=["csv", "png"]),
        in_report("results/{scale}/ablations.html", "Tables", "Ablations", "ablations"),
        in_report("results/{scale}/pareto.svg", "Figures", "F1 against costs", "pareto"),
    log:
        "results/{scale}/logs/ablations.log",
    benchmark:
        "results/{scale}/benchmarks/ablations.tsv"
    conda:
        "../../environment.yml"
    params:
        runs=lambda wildcards, input: [os.path.dirname(path) for path in input.scores],
        folder=subpath(output[0], parent=True),
    shell:
        'bash "$HYPERLOADER_LOGGED" {log:q} hyperloader ablations {params.runs:q} --study {input.study:q} --output {params.folder:q}'


rule endpoints:
    input:
        scores=lambda wildcards: endpoint_scores(wildcards.scale),
        code=code("endpoints"),
    output:
        csv="results/{scale}/endpoints.csv",
        markdown="results/{scale}/endpoints.md",
        html=in_report("results/{scale}/endpoints.html", "Tables", "Endpoints of the protocol", "endpoints"),
    log:
        "results/{scale}/logs/endpoints.log",
    benchmark:
        "results/{scale}/benchmarks/endpoints.tsv"
    conda:
        "../../environment.yml"
    shell:
        'bash "$HYPERLOADER_LOGGED" {log:q} hyperloader endpoints {input.scores:q} --output {output.csv:q}'
