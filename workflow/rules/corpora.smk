# Raw files -> prepared corpora -> table 2.


rule fetch:
    output:
        "resources/corpora/{corpus}.json",
    log:
        "resources/logs/{corpus}.log",
    benchmark:
        "resources/benchmarks/{corpus}.tsv"
    # where there is internet: nodes of a cluster often have none
    localrule: True
    conda:
        "../../environment.yml"
    resources:
        # one at a time: kind to the servers, and where there is no network the first failure ends the run
        download=1,
    params:
        # a corpus of the same name with other files is another one
        accepted=lambda wildcards: get_corpus(wildcards.corpus).model_dump_json(include={"files": {"__all__": {"path", "accepted"}}}),
    shell:
        'bash "$HYPERLOADER_LOGGED" {log:q} hyperloader corpora fetch {wildcards.corpus:q} --folder resources/corpora'


rule generate:
    input:
        code=code("generate"),
    output:
        "results/{scale}/raw/{corpus}.json",
    log:
        "results/{scale}/logs/generate/{corpus}.log",
    benchmark:
        "results/{scale}/benchmarks/generate/{corpus}.tsv"
    conda:
        "../../environment.yml"
    params:
        folder=subpath(output[0], parent=True),
    shell:
        'bash "$HYPERLOADER_LOGGED" {log:q} hyperloader corpora generate {wildcards.corpus:q} --folder {params.folder:q} --seed 42'


rule prepare:
    input:
        raw=raw_manifest,
        code=lambda wildcards: code("prepare", get_corpus(wildcards.corpus).folder),
    output:
        "results/{scale}/{draw}/{corpus}/manifest.json",
    log:
        "results/{scale}/logs/{draw}/{corpus}.log",
    benchmark:
        "results/{scale}/benchmarks/{draw}/{corpus}.tsv"
    conda:
        "../../environment.yml"
    params:
        raw=subpath(input.raw, parent=True),
        folder=subpath(output[0], parent=True),
        seed=lambda wildcards: seed_of_draw(wildcards.draw),
        # of the corpus' description, what decides the sentences; its terms and addresses do not
        read=lambda wildcards: get_corpus(wildcards.corpus).model_dump_json(
            include={"title", "raw_format", "splits", "held_out_validation"}
        ),
    # --replace: what is there lost its manifest to Snakemake, which removes outputs before their job
    shell:
        'bash "$HYPERLOADER_LOGGED" {log:q} hyperloader corpora prepare {wildcards.corpus:q}'
        " --raw {params.raw:q} --folder {params.folder:q} --replace --seed {params.seed}"


rule table2:
    input:
        manifests=lambda wildcards: data_manifests(wildcards.scale, PLAN.corpora),
        published=descriptions(PLAN.corpora),
        code=code("table2"),
    output:
        csv="results/{scale}/table2.csv",
        markdown="results/{scale}/table2.md",
        latex="results/{scale}/table2.tex",
        html=in_report("results/{scale}/table2.html", "Tables", "Table 2", "table2"),
    log:
        "results/{scale}/logs/table2.log",
    benchmark:
        "results/{scale}/benchmarks/table2.tsv"
    conda:
        "../../environment.yml"
    shell:
        'bash "$HYPERLOADER_LOGGED" {log:q} hyperloader corpora stats --output {output.csv:q} {input.manifests:q}'
