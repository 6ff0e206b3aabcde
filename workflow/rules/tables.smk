# Scores -> the paper's tables 3 and 4; without a scale in the path, the tables of scale `paper`.


rule table:
    input:
        scores=lambda wildcards: scores(wildcards.scale, FRACTIONS[wildcards.number]),
        published="workflow/published/table{number}.csv",
        code=code("table"),
    output:
        csv="results/{scale}/table{number}.csv",
        markdown="results/{scale}/table{number}.md",
    log:
        "results/{scale}/logs/table{number}.log",
    benchmark:
        "results/{scale}/benchmarks/table{number}.tsv"
    conda:
        "../../environment.yml"
    shell:
        "workflow/scripts/logged.sh {log:q} hyperloader table {wildcards.number} {input.scores:q}"
        " --published {input.published:q} --output {output.csv:q}"


rule parameters:
    input:
        # the sizes of what is pre-trained here are known when it is there; those of the hub's models are in the scale's file
        backbones=lambda wildcards: pretrained_backbones(wildcards.scale),
        published="workflow/published/methods.csv",
        code=code("parameters") + all_methods_code(),
    output:
        csv="results/{scale}/parameters.csv",
        markdown="results/{scale}/parameters.md",
    log:
        "results/{scale}/logs/parameters.log",
    benchmark:
        "results/{scale}/benchmarks/parameters.tsv"
    conda:
        "../../environment.yml"
    params:
        changes=[f"--set={key}={json.dumps(getattr(PLAN.config, key))}" for key in ("corpora", "recipe", "settings")],
        scale=lambda wildcards: PLAN.scale(wildcards.scale).model_dump_json(include={"backbones", "methods"}),
    shell:
        "workflow/scripts/logged.sh {log:q} hyperloader params --scale {wildcards.scale:q} {params.changes:q}"
        " --published {input.published:q} --output {output.csv:q}"


rule paper_table:
    input:
        csv="results/paper/table{number}.csv",
        markdown="results/paper/table{number}.md",
    output:
        csv="results/table{number}.csv",
        markdown="results/table{number}.md",
    log:
        "results/paper/logs/copy-table{number}.log",
    wildcard_constraints:
        number="[234]",
    localrule: True
    conda:
        "../../environment.yml"
    shell:
        "cp {input.csv:q} {output.csv:q} 2> {log:q}; cp {input.markdown:q} {output.markdown:q} 2>> {log:q}"
