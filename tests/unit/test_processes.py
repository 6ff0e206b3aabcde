"""One run in several processes, in parts, in bf16, and killed: the same training each time."""

import json
import os
import random
import signal
import subprocess
import sys
import time

import pytest

from hyperloader.errors import RunError
from hyperloader.methods.training_run import train_run

TRAINING = {
    "steps": 24,
    "batch_size": 8,
    "learning_rate": 3e-3,
    "schedule": "linear",
    "warmup_steps": 2,
    "weight_decay": 0.01,
    "label_smoothing": 0.1,
    "loss_reduction": "mean",
    "max_grad_norm": 1.0,
    "temperature": 10,
    "evaluate_every": 6,
    "evaluation_batches": 2,
    "selection": "best",
    "source_length": 64,
    "target_length": 64,
}
SIZES = {
    "hyperloader": {"reduction_factor": 4, "lora_rank": 2, "task_dim": 8},
    "hyperdecoder": {"encoder_bottleneck": 4, "decoder_bottleneck": 4, "hidden_dim": 8},
}


def run_in(place, name, method="hyperloader", **training):
    run = place / name
    run.mkdir()
    settings = {
        "scale": "test",
        "recipe": "test",
        "method": method,
        "method_settings": SIZES[method],
        "data": {corpus: str(place / "data" / corpus) for corpus in ("atis", "snips")},
        "percent": 10,
        "seed": 1,
        "backbone": str(place / "t5"),
        "training": TRAINING | training,
    }
    (run / "settings.json").write_text(json.dumps(settings))
    return run


def losses(run):
    return [loss for record in json.loads((run / "run.json").read_text())["curve"] for loss in (record["loss"], record["validation_loss"])]


# the second process lags behind the first at the end
LATE = """
import os, time
if os.environ.get("RANK") == "1":
    from hyperloader.training.checkpoints import Checkpoints
    restore = Checkpoints.restore_best
    Checkpoints.restore_best = lambda *given: time.sleep(2) or restore(*given)
"""


def launch(*runs, processes, first):
    # on a machine without GPUs `--multi_gpu` starts the processes on the CPU; `--cpu` would ask for mpirun
    command = [sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", str(processes), "--num_machines", "1"]
    command += ["--mixed_precision", "no", "--dynamo_backend", "no", "--main_process_port", "0", "-m", "hyperloader", "train"]
    (first / "sitecustomize.py").write_text(LATE)
    path = os.pathsep.join([str(first), os.environ.get("PYTHONPATH", "")])
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": path}
    done = subprocess.run([*command, *map(str, runs)], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done


def test_two_processes_have_the_losses_of_one_in_each_of_two_runs(place, tmp_path):
    # small steps: Adam makes much of the last bits of small gradients
    pairs = [[run_in(place, f"{method}-{name}", method, learning_rate=1e-4) for name in ("one", "two")] for method in SIZES]
    for one, _ in pairs:
        train_run(one)
    done = launch(*(two for _, two in pairs), processes=2, first=tmp_path)
    for one, two in pairs:
        assert json.loads((two / "run.json").read_text())["processes"] == 2
        assert losses(two) == pytest.approx(losses(one), rel=0, abs=1e-5)
        assert sorted(path.name for path in two.iterdir()) == [".lock", "model", "run.json", "settings.json"]
    # the second process is silent and writes nothing
    assert done.stderr.count("step 24 of 24") == len(pairs)


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_a_batch_in_parts_has_the_losses_of_the_whole(place, reduction):
    # small steps, as above
    whole = run_in(place, f"whole-{reduction}", loss_reduction=reduction, learning_rate=1e-4)
    parts = run_in(place, f"parts-{reduction}", loss_reduction=reduction, learning_rate=1e-4, gradient_accumulation_steps=4)
    for run in (whole, parts):
        train_run(run)
    assert losses(parts) == pytest.approx(losses(whole), rel=1e-6)


def test_uneven_parts_are_refused(place):
    with pytest.raises(RunError, match="batches of 8 cannot be shared out evenly.*1 processes x 3"):
        train_run(run_in(place, "uneven", gradient_accumulation_steps=3))


def test_what_accelerate_finds_around_it_changes_no_arithmetic(place, tmp_path):
    """A user's configuration and environment are for other programs; run.json says what was computed."""
    plain, around = run_in(place, "plain"), run_in(place, "around")
    settings = {"MIXED_PRECISION": "bf16", "GRADIENT_ACCUMULATION_STEPS": "4", "DYNAMO_BACKEND": "EAGER"}
    environment = {f"ACCELERATE_{name}": value for name, value in settings.items()} | {"HF_HOME": str(tmp_path)}
    (tmp_path / "accelerate").mkdir()
    (tmp_path / "accelerate/default_config.yaml").write_text("mixed_precision: bf16\ndistributed_type: 'NO'\n")
    for run, own in ((plain, {}), (around, environment)):
        subprocess.run([sys.executable, "-m", "hyperloader", "train", str(run)], env=os.environ | own, check=True)
    assert losses(around) == losses(plain)


def test_bf16_trains_weights_in_fp32(place):
    from safetensors.torch import load_file

    exact, short = run_in(place, "fp32"), run_in(place, "bf16", precision="bf16")
    for run in (exact, short):
        train_run(run)
    assert losses(short) == pytest.approx(losses(exact), rel=0.05) and losses(short) != losses(exact)
    assert {str(tensor.dtype) for tensor in load_file(short / "model" / "model.safetensors").values()} == {"torch.float32"}


def test_losses_go_to_tensorboard_on_request(place):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    run = run_in(place, "tracked")
    train_run(run, tensorboard=True)
    events = EventAccumulator(str(run / "tensorboard" / "losses")).Reload()
    record = json.loads((run / "run.json").read_text())
    assert [(event.step, event.value) for event in events.Scalars("validation_loss")] == [
        (entry["step"], pytest.approx(entry["validation_loss"])) for entry in record["curve"]
    ]


def test_it_stops_when_patience_ends(place):
    run = run_in(place, "patience", learning_rate=1e-9, steps=60, patience=2)
    train_run(run)
    record = json.loads((run / "run.json").read_text())
    # hardly a weight moves: sooner or later two checkpoints in a row are no better
    assert record["steps"] == record["best_step"] + 2 * TRAINING["evaluate_every"] or record["steps"] == 60


def test_epochs_set_the_steps(place):
    run = run_in(place, "epochs", epochs=2, sampling="epochs", batch_size=16, steps=1000)
    train_run(run)
    steps = [entry["step"] for entry in json.loads((run / "run.json").read_text())["curve"]]
    manifests = [json.loads((place / "data" / name / "manifest.json").read_text()) for name in ("atis", "snips")]
    sentences = sum(manifest["sentences"]["train"] for manifest in manifests) // 10
    assert steps == [-(-sentences // 16), 2 * -(-sentences // 16)]


@pytest.mark.slow
def test_killed_at_random_moments_it_ends_the_same(place, measured):
    """By SIGKILL; HYPERLOADER_KILLS sets how often."""
    kills, generator = int(os.environ.get("HYPERLOADER_KILLS", 25)), random.Random(0)
    # as many threads in all of them: sums are rounded by their order
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    undisturbed = run_in(place, "undisturbed")
    subprocess.run([sys.executable, "-m", "hyperloader", "train", str(undisturbed)], env=environment, check=True, capture_output=True)
    interrupted = 0
    for number in range(kills):
        run = run_in(place, f"killed-{number}")
        command = [sys.executable, "-m", "hyperloader", "train", str(run)]
        # most of it is start-up: aim at the second or so after that, at whatever moment of it
        process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)
        for line in process.stderr:
            if "step 6 of" in line:
                break
        time.sleep(generator.uniform(0, 0.6))
        process.send_signal(signal.SIGKILL)
        interrupted += process.wait() == -signal.SIGKILL
        process.stderr.close()
        subprocess.run(command, env=environment, check=True, capture_output=True)
        assert losses(run) == losses(undisturbed)
        for file in ("model/model.safetensors", "model/config.json"):
            assert (run / file).read_bytes() == (undisturbed / file).read_bytes(), file
    measured(f"{interrupted} of {kills} trainings were killed before their end, and ended in the same bytes")
    assert interrupted > kills / 2
