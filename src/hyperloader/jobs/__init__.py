"""What surrounds the jobs on a machine: one process per run, one job per GPU, how far all runs are, what they cost."""
