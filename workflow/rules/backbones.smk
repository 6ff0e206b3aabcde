# The pre-trained models that methods sit on: from the hub, from a directory, or pre-trained here.


rule backbone_settings:
    output:
        update("results/{scale}/backbones/{kind}/settings.json"),
    log:
        "results/{scale}/logs/backbone_settings/{kind}.log",
    benchmark:
        "results/{scale}/benchmarks/backbone_settings/{kind}.tsv"
    priority: 1
    localrule: True
    conda:
        "../../environment.yml"
    params:
        settings=lambda wildcards: backbone_settings(wildcards).model_dump_json(indent=2),
    shell:
        "sleep 0.01; printf '%s\\n' {params.settings:q} > {output:q} 2> {log:q}"


rule backbone:
    input:
        settings="results/{scale}/backbones/{kind}/settings.json",
        data=lambda wildcards: data_of(backbone_settings(wildcards)),
        code=lambda wildcards: code(backbone_settings(wildcards).backbone.source),
    output:
        "results/{scale}/backbones/{kind}/manifest.json",
    log:
        "results/{scale}/logs/backbone/{kind}.log",
    benchmark:
        "results/{scale}/benchmarks/backbone/{kind}.tsv"
    # where there is no hub it should fail before any work is done
    priority: 1
    conda:
        "../../environment.yml"
    threads: lambda wildcards: threads_of(wildcards.scale)
    resources:
        download=lambda wildcards: int(backbone_settings(wildcards).backbone.source == "hub"),
        gpu=lambda wildcards: gpus_of_network(wildcards.scale) if backbone_settings(wildcards).backbone.source == "pretrained" else 0,
    params:
        folder=subpath(output[0], parent=True),
    # the log says every ten seconds how far a download is
    shell:
        "export OMP_NUM_THREADS={threads} MKL_NUM_THREADS={threads} HYPERLOADER_GPU_PARTS={resources.gpu};"
        " export TQDM_POSITION=-1 TQDM_MININTERVAL=10;"
        ' bash "$HYPERLOADER_LOGGED" {log:q} hyperloader backbone {params.folder:q}'
