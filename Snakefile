# The workflow is in workflow/; this file lets a bare `snakemake` find it from here.
include: "workflow/Snakefile"


# an included file cannot set the default target
rule default:
    default_target: True
    input:
        rules.all.input,
