#!/bin/bash
# What to look at first on a GPU, in about ten minutes: that training is right there, and how fast. Leaves logs and results.jsonl in a folder.
#
#     bash benchmarks/first_gpu_minutes.sh OUT          # needs HYPERLOADER_MIRROR or the internet for the real sentences
#     bash benchmarks/first_gpu_minutes.sh OUT tiny     # that it works, on a CPU
set -u
out=$1 size=${2:-t5-base} steps=200 sentences=20517 precision=bf16
[ "$size" = tiny ] && steps=5 sentences=64 precision=fp32
mkdir -p "$out"

stage() {  # NAME SECONDS COMMAND...: its last line, where it is JSON, goes to results.jsonl
    local name=$1 seconds=$2
    shift 2
    timeout "$seconds" "$@" > "$out/$name.log" 2>&1
    echo "$name: ended with $? after at most $seconds s"
    tail -n 1 "$out/$name.log" | grep '^{' | tee -a "$out/results.jsonl"
}

nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv,noheader 2> /dev/null
# replayed steps beside launched ones, a training that is stopped and goes on, too little memory; skipped without a GPU
stage tests 120 python -m pytest -q tests/unit/test_on_a_gpu.py
stage steps-of-32 120 python benchmarks/device.py --size "$size" --steps "$steps" --precision $precision --arrangements plain fused graphs
stage steps-of-128 90 python benchmarks/device.py --size "$size" --steps "$steps" --precision $precision --batch-size 128 --arrangements graphs
stage decoding 90 python benchmarks/decoding.py --shape "$size" --synthetic $sentences --precision $precision
stage compiled 180 python benchmarks/device.py --size "$size" --steps "$steps" --precision $precision --arrangements compiled compiled+graphs
