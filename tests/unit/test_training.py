"""The training loop on a tiny model: it learns, and an interrupted run ends as an undisturbed one."""

import math
import shutil
import signal

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from transformers import T5Config, T5ForConditionalGeneration

from hyperloader.config.settings import Training
from hyperloader.errors import RunError
from hyperloader.formulations.text_to_text import collate
from hyperloader.methods.registry import get_method
from hyperloader.text.batches import IGNORED, Batch, Example
from hyperloader.training.checkpoints import Checkpoints
from hyperloader.training.loop import fit
from hyperloader.training.network import loss_as
from hyperloader.training.optimisation import learning_rate
from hyperloader.training.progress import BEST_CHECKPOINT, LAST_CHECKPOINT, CheckpointRecord
from hyperloader.training.sampler import TaskSampler

TASKS = ("copy", "constant")


class Killed(Exception):
    """Stands for a process that ends at once."""


def training(**changes):
    defaults = dict(
        steps=30,
        batch_size=4,
        learning_rate=1e-2,
        schedule="linear",
        warmup_steps=3,
        weight_decay=0.01,
        label_smoothing=0.1,
        loss_reduction="mean",
        max_grad_norm=1.0,
        temperature=10,
        evaluate_every=10,
        evaluation_batches=None,
        selection="best",
        source_length=64,
        target_length=64,
    )
    return Training(**(defaults | changes))


def model(dropout_rate=0.1):
    torch.manual_seed(0)
    config = T5Config(
        d_model=16, d_kv=4, d_ff=32, num_layers=2, num_heads=2, vocab_size=40, dropout_rate=dropout_rate, decoder_start_token_id=0
    )
    method = get_method("hyperloader")
    settings = method.settings({"reduction_factor": 4, "lora_rank": 2})
    return method.build(T5ForConditionalGeneration(config), dict.fromkeys(TASKS, ()), settings)


EXAMPLES = {
    "copy": [Example([a, b, 1], [a, b, 1]) for a in range(5, 15) for b in range(5, 10)],
    "constant": [Example([a, 1], [30, 1]) for a in range(5, 15)],
}


def batch_of(settings, killed_at=None, seen=None):
    sampler = TaskSampler([[len(e.source) for e in own] for own in EXAMPLES.values()], settings.batch_size, settings.temperature, seed=1)

    def batch(step):
        if step == killed_at:
            raise Killed
        if seen is not None:
            seen.append(step)
        task, indices = sampler(step)
        name = TASKS[task]
        return collate(name, [EXAMPLES[name][i] for i in indices])

    return batch


VALIDATION = {name: [collate(name, own[:8])] for name, own in EXAMPLES.items()}


def train(folder, settings, killed_at=None, fingerprint="same", dropout_rate=0.1, seen=None):
    built = model(dropout_rate)
    progress = fit(
        built, settings, batch_of(settings, killed_at, seen), checkpoints=Checkpoints(folder, fingerprint), seed=5, validation=VALIDATION
    )
    return built.trainable_state(), progress


@pytest.mark.parametrize("selection", ["best", "last"])
def test_interrupted_twice_ends_in_the_same_bits(tmp_path, selection):
    settings = training(selection=selection)
    weights, progress = train(tmp_path / "undisturbed", settings)
    for killed_at in (14, 27):
        with pytest.raises(Killed):
            train(tmp_path / "killed", settings, killed_at)
    again, resumed = train(tmp_path / "killed", settings)
    assert all(torch.equal(weights[name], again[name]) for name in weights)
    assert resumed.curve == progress.curve and resumed.best_step == progress.best_step


def test_batches_with_nothing_to_answer_count_for_nothing(tmp_path):
    """All words of their sentences are cut off, or their labels unknown."""
    settings, (batch,) = training(steps=10), VALIDATION["copy"]
    nothing, draw = Batch(batch.task, batch.inputs, torch.full_like(batch.labels, IGNORED)), batch_of(training())
    progress = fit(
        model(),
        settings,
        lambda step: nothing if step == 4 else draw(step),
        checkpoints=Checkpoints(tmp_path, "nothing"),
        seed=5,
        validation=VALIDATION | {"copy": [nothing]},
    )
    assert all(math.isfinite(value) for record in progress.curve for value in record.values())


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT"])
# in the middle between two evaluations, and in the step before one
@pytest.mark.parametrize("step", [13, 19])
def test_asked_to_stop_it_ends_after_the_step_with_a_checkpoint(tmp_path, name, step):
    settings = training()
    undisturbed, progress = train(tmp_path / "undisturbed", settings)
    draw = batch_of(settings)

    def asked(at):
        if at == step:
            signal.raise_signal(getattr(signal, name))
        return draw(at)

    with pytest.raises(RunError, match=f"stopped by {name} after step {step + 1} of 30"):
        fit(model(), settings, asked, checkpoints=Checkpoints(tmp_path / "stopped", "same"), seed=5, validation=VALIDATION)
    asked_again = []
    again, resumed = train(tmp_path / "stopped", settings, seen=asked_again)
    assert asked_again[0] == step + 1
    assert all(torch.equal(undisturbed[name], again[name]) for name in again)
    assert resumed.curve == progress.curve


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("c++") is None, reason="torch.compile needs a C++ compiler")
def test_compiled_training_has_the_same_losses(tmp_path):
    # with small steps: large ones make much of the differences in rounding
    settings = [training(compile=compiled, learning_rate=1e-3) for compiled in (False, True)]
    curves = [train(tmp_path / str(own.compile), own, dropout_rate=0.0)[1].curve for own in settings]
    for eager, compiled in zip(*curves, strict=True):
        assert compiled == pytest.approx(eager, rel=1e-4)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("c++") is None, reason="torch.compile needs a C++ compiler")
def test_compiled_training_repeats_itself(tmp_path):
    (first, _), (second, _) = (train(tmp_path / name, training(compile=True)) for name in ("first", "second"))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_checkpoints_of_other_settings_are_not_resumed(tmp_path):
    with pytest.raises(Killed):
        train(tmp_path, training(), killed_at=14, fingerprint="old")
    _, progress = train(tmp_path, training(), fingerprint="new")
    assert [record["step"] for record in progress.curve] == [10, 20, 30]


WEIGHT = f"weights/{next(iter(model().trainable_state()))}"


@pytest.mark.parametrize(
    "damage, message",
    [
        (lambda path: path.write_bytes(path.read_bytes()[:-10]), r"last.safetensors: not a checkpoint \(.*; delete .* begins anew"),
        (lambda path: path.write_bytes(b""), "last.safetensors: not a checkpoint"),
        (lambda path: (path.unlink(), path.mkdir()), r"last.safetensors: cannot be read \(Is a directory\); delete"),
        (lambda path: rewrite(path, record="{"), "last.safetensors: not a checkpoint"),
        (lambda path: rewrite(path, record='{"format_version": 2}'), "written by a newer version of hyperloader; update hyperloader"),
        (lambda path: rewrite(path, record='{"format_version": 1}'), "not a checkpoint: missing key 'fingerprint'"),
        (lambda path: rewrite(path, lambda tensors: tensors.popitem()), "does not fit the model in 'weights/"),
        (lambda path: rewrite(path, lambda tensors: tensors.update(more=torch.zeros(1))), "does not fit the model in 'more'"),
        (lambda path: rewrite(path, lambda tensors: tensors.update({WEIGHT: torch.zeros(1)})), f"does not fit the model in '{WEIGHT}'"),
        (lambda path: rewrite(path, lambda tensors: tensors[WEIGHT].fill_(torch.nan)), f"'{WEIGHT}' holds NaN or infinity; delete"),
        (lambda path: rewrite(path, lambda tensors: tensors.update({WEIGHT: tensors[WEIGHT].long()})), f"'{WEIGHT}' is of type int64"),
    ],
    ids="cut,empty,a folder,no record,newer,a key less,a tensor less,a tensor more,another shape,no numbers,integers".split(","),
)
def test_a_damaged_checkpoint_is_named_and_kept(tmp_path, damage, message):
    with pytest.raises(Killed):
        train(tmp_path, training(), killed_at=14)
    damage(tmp_path / LAST_CHECKPOINT)
    left = sorted(tmp_path.iterdir())
    with pytest.raises(RunError, match=message):
        train(tmp_path, training())
    assert sorted(tmp_path.iterdir()) == left


def rewrite(path, change=None, record=None):
    """Edit a checkpoint's tensors, or replace its record."""
    with safe_open(path, "pt") as file:
        metadata = file.metadata()
    tensors = load_file(path)
    if change:
        change(tensors)
    save_file(tensors, path, metadata if record is None else {CheckpointRecord.KEY: record})


def test_best_weights_that_vanished_are_named(tmp_path):
    train(tmp_path, training())
    (tmp_path / BEST_CHECKPOINT).unlink()
    with pytest.raises(RunError, match="best.safetensors: no such file; delete .* begins anew"):
        train(tmp_path, training())


def test_it_learns_and_keeps_the_best(tmp_path):
    weights, progress = train(tmp_path, training(steps=200, label_smoothing=0.0))
    losses = [record["validation_loss"] for record in progress.curve]
    assert losses[-1] < 0.7 * losses[0]
    assert progress.best_step == progress.curve[losses.index(min(losses))]["step"]


def test_frozen_weights_stay(tmp_path):
    before = {name: tensor.clone() for name, tensor in model().named_parameters() if not tensor.requires_grad}
    built = model()
    settings = training()
    fit(built, settings, batch_of(settings), checkpoints=Checkpoints(tmp_path, "x"), seed=5, validation=VALIDATION)
    assert all(torch.equal(tensor, built.get_parameter(name)) for name, tensor in before.items())


def test_checkpoints_hold_trainable_weights_only(tmp_path):
    train(tmp_path, training())
    names = {key.partition("/")[2] for key in load_file(tmp_path / LAST_CHECKPOINT)}
    assert names == set(model().trainable_state())
    assert CheckpointRecord.read(tmp_path / LAST_CHECKPOINT).progress.step == 30


def test_a_diverging_loss_stops_with_a_remedy(tmp_path):
    with pytest.raises(RunError, match="loss became.*by step 10.*lower the learning rate"):
        train(tmp_path, training(learning_rate=1e20, max_grad_norm=None, schedule="constant", warmup_steps=0))


def test_schedules():
    linear = training(steps=100, warmup_steps=10, learning_rate=1.0)
    rates = [learning_rate(linear, step) for step in range(100)]
    assert rates[0] == pytest.approx(0.1) and max(rates) == 1.0 and rates[-1] == pytest.approx(1 / 90)
    constant = training(schedule="constant", warmup_steps=0, learning_rate=0.5)
    assert {learning_rate(constant, step) for step in range(30)} == {0.5}
    assert not math.isnan(sum(rates))


def test_too_little_memory_is_told_with_the_shape_and_what_lowers_it(tmp_path):
    """The kernel refuses 2^60 bytes at once, whatever the machine."""
    settings = training()
    ids = torch.zeros(4, 8, dtype=torch.long)
    endless = Batch("copy", {"input_ids": ids, "attention_mask": ids + 1, "decoder_input_ids": ids.new_zeros(1).expand(4, 2**40)}, ids)
    with pytest.raises(RunError, match=r"too little memory for a batch of copy in 1 part: .*\(4, 8\).*gradient_accumulation_steps to 2"):
        fit(model(), settings, lambda step: endless, checkpoints=Checkpoints(tmp_path, "same"), seed=5)
    with pytest.raises(RunError, match="too little memory for a batch of copy in 1 part"):
        loss_as(model(), "copy", [endless], settings)
