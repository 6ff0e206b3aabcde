"""What a training step does on a GPU, seen without one: nothing is copied or read between host and device, and kernels are few."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

HERE = Path(__file__).parent
# kernels of a step in fp32 and bf16, two layers in each stack; norms and attention count as the several that they are taken apart into
BUDGETS = {
    "hyperloader": (1100, 1320),
    "hyperformer_pp": (970, 1190),
    "hyperformer": (1120, 1420),
    "hyperdecoder": (660, 790),
    "unipelt_t5": (990, 1170),
    "unipelt_bert": (470, 620),
    "full_finetuning": (810, 990),
    "pretraining_t5": (810, 990),
    "pretraining_bert": (310, 420),
}


@pytest.fixture(scope="module")
def steps(tmp_path_factory):
    compiler = shutil.which("g++") or shutil.which("c++")
    if compiler is None or sys.platform != "linux":
        pytest.skip("needs a C++ compiler on Linux")
    torch_folder, library = Path(torch.__file__).parent, tmp_path_factory.mktemp("pretended") / "gpu.so"
    includes = [f"-I{torch_folder / path}" for path in ("include", "include/torch/csrc/api/include")]
    libraries = [f"-L{torch_folder / 'lib'}", "-lc10", "-ltorch_cpu", f"-Wl,-rpath,{torch_folder / 'lib'}"]
    command = [compiler, "-shared", "-fPIC", "-std=c++20", *includes, "-o", str(library), str(HERE / "pretended_gpu.cpp"), *libraries]
    subprocess.run(command, check=True)
    environment = os.environ | {"LD_PRELOAD": str(library), "PYTHONPATH": os.pathsep.join([str(HERE), *sys.path])}
    done = subprocess.run([sys.executable, HERE / "pretended_gpu.py"], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    return {(row["method"], row["precision"], row["train"]): row for row in rows}


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a real GPU: test_on_a_gpu.py")
@pytest.mark.parametrize("train", [True, False], ids=["training", "validation"])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("method", BUDGETS)
def test_a_step_is_the_devices_own(steps, method, precision, train):
    row = steps[method, precision, train]
    assert row["copies"] == {} and row["reads"] == {}
    assert row["residual"] == ["torch.float32"]
    if train:
        assert row["states"] == ["cuda"]
        assert row["kernels"] <= BUDGETS[method][precision == "bf16"]
