"""Training on a GPU: steps that are replayed are those that are launched, and a training goes on where it stopped."""

import signal

import pytest
import test_training
import torch
from accelerate.state import AcceleratorState
from torch import nn
from transformers import BertConfig, BertModel, T5Config, T5ForConditionalGeneration

from hyperloader.errors import RunError
from hyperloader.formulations.text_to_text import collate
from hyperloader.methods.registry import get_method
from hyperloader.models.task_model import TaskModel
from hyperloader.text.batches import IGNORED, Batch, Example, pad
from hyperloader.training.checkpoints import Checkpoints
from hyperloader.training.loop import fit

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")

SIZES = {
    "hyperloader": {"reduction_factor": 4, "lora_rank": 2},
    "hyperformer_pp": {"reduction_factor": 4},
    "hyperformer": {"reduction_factor": 4},
    "hyperdecoder": {"encoder_bottleneck": 4, "decoder_bottleneck": 4, "hidden_dim": 8},
    "unipelt_t5": {"reduction_factor": 4, "lora_rank": 2},
    "unipelt_bert": {"reduction_factor": 4, "lora_rank": 2, "prefix_length": 3, "prefix_hidden": 8},
    "full_finetuning": {},
}


def training(**changes):
    return test_training.training(**({"steps": 24, "batch_size": 8, "learning_rate": 3e-3, "evaluate_every": 6} | changes))


def model(name):
    torch.manual_seed(0)
    method = get_method(name)
    if method.backbone == "bert":
        sizes = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 128, "vocab_size": 100}
        backbone = BertModel(BertConfig(**sizes), add_pooling_layer=False)
    else:
        sizes = {"d_model": 64, "d_kv": 16, "d_ff": 128, "num_layers": 2, "num_heads": 4, "vocab_size": 100}
        backbone = T5ForConditionalGeneration(T5Config(**sizes, dropout_rate=0.1, decoder_start_token_id=0))
    tasks = {"atis": ("a", "b"), "snips": ("a",)} if method.multitask else {"atis": ("a", "b")}
    return method.build(backbone, tasks, method.settings(SIZES[name]))


def batch_of(name, step, size=8):
    generator = torch.Generator().manual_seed(step)
    # three shapes in turn
    ids = torch.randint(3, 100, (size, 5 + 8 * (step % 3)), generator=generator)
    ids[:2, -2:] = 0
    rows = [row[row > 0].tolist() for row in ids]
    if get_method(name).backbone == "bert":
        read = pad(rows, 0)
        labels = pad([[piece % 3 for piece in row] for row in rows], IGNORED)
        return Batch("atis", {"input_ids": read, "attention_mask": (read != 0).long()}, labels)
    task = "snips" if get_method(name).multitask and step % 2 else "atis"
    return collate(task, [Example(row, row[::-1]) for row in rows])


def train(folder, name, stopped_at=None, **changes):
    def batch(step):
        if step == stopped_at:
            signal.raise_signal(signal.SIGTERM)
        return batch_of(name, step)

    built = model(name)
    validation = {"atis": [batch_of(name, 100 + 2 * step) for step in range(3)]}
    progress = fit(built, training(**changes), batch, checkpoints=Checkpoints(folder, "same"), seed=5, validation=validation)
    return built.trainable_state(), [(point["loss"], point["validation_loss"]) for point in progress.curve]


@pytest.mark.parametrize("precision", ["fp32", "tf32", "bf16"])
@pytest.mark.parametrize("name", SIZES)
def test_replayed_steps_are_those_that_are_launched(tmp_path, name, precision, caplog):
    with caplog.at_level("WARNING"):
        _, replayed = train(tmp_path / "replayed", name, precision=precision)
    _, launched = train(tmp_path / "launched", name, precision=precision, cuda_graphs=False)
    torch.testing.assert_close(torch.tensor(replayed), torch.tensor(launched), rtol=1e-5 if precision == "fp32" else 1e-3, atol=0)
    assert not [record.message for record in caplog.records if "CUDA graphs" in record.message]


@pytest.mark.parametrize("parts", [1, 4])
def test_losses_are_those_of_the_cpu(tmp_path, parts, monkeypatch):
    # without dropout, whose draws differ between devices
    _, on_gpu = train_plain(tmp_path / "gpu", gradient_accumulation_steps=parts)
    # the first use in a process decides for all
    AcceleratorState._reset_state(reset_partial_state=True)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    _, on_cpu = train_plain(tmp_path / "cpu")
    AcceleratorState._reset_state(reset_partial_state=True)
    torch.testing.assert_close(torch.tensor(on_gpu), torch.tensor(on_cpu), rtol=1e-4, atol=0)


def train_plain(folder, **changes):
    built = model("hyperloader")
    for module in built.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
        if hasattr(module, "dropout") and isinstance(module.dropout, float):
            module.dropout = 0.0
    settings = training(learning_rate=1e-4, **changes)
    validation = {"atis": [batch_of("hyperloader", 100)]}
    progress = fit(
        built, settings, lambda step: batch_of("hyperloader", step), checkpoints=Checkpoints(folder, "same"), seed=5, validation=validation
    )
    return built, [(point["loss"], point["validation_loss"]) for point in progress.curve]


@pytest.mark.parametrize("graphs", [False, True])
@pytest.mark.parametrize("name", ["hyperloader", "full_finetuning", "unipelt_bert"])
def test_a_training_that_was_stopped_goes_on(tmp_path, name, graphs):
    _, curve = train(tmp_path / "undisturbed", name, cuda_graphs=graphs)
    with pytest.raises(RunError, match="stopped by SIGTERM"):
        train(tmp_path / "stopped", name, stopped_at=14, cuda_graphs=graphs)
    _, again = train(tmp_path / "stopped", name, cuda_graphs=graphs)
    # a recorded product may be summed in another order than a launched one, and Adam makes much of a small gradient's last bits
    torch.testing.assert_close(torch.tensor(again), torch.tensor(curve), rtol=1e-3 if graphs else 1e-5, atol=0)


def test_too_little_memory_is_told_in_a_line(tmp_path):
    torch.cuda.set_per_process_memory_fraction(torch.cuda.memory_reserved() / torch.cuda.get_device_properties(0).total_memory + 1e-4)
    try:
        with pytest.raises(RunError, match="too little memory for a batch of atis in 1 part.*gradient_accumulation_steps to 2"):
            large = batch_of("full_finetuning", 2, size=16384)
            fit(model("full_finetuning"), training(), lambda step: large, checkpoints=Checkpoints(tmp_path, "same"), seed=5)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)


def test_where_a_step_cannot_be_recorded_it_is_launched(tmp_path, monkeypatch, caplog):
    _, launched = train(tmp_path / "launched", "hyperloader", cuda_graphs=False)
    states = TaskModel.states

    def read_on_the_host(self, task, **inputs):
        found = states(self, task, **inputs)
        found.sum().item()
        return found

    monkeypatch.setattr(TaskModel, "states", read_on_the_host)
    with caplog.at_level("WARNING"):
        _, tried = train(tmp_path / "tried", "hyperloader")
    assert sum("not recorded as CUDA graphs" in record.message for record in caplog.records) == 1
    torch.testing.assert_close(torch.tensor(tried), torch.tensor(launched), rtol=1e-5, atol=0)
