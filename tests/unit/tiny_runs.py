"""Runs that take a moment: their settings, and a model that nobody trained but that writes another thing for every task."""

from pathlib import Path

import torch

from hyperloader.files import write_json
from hyperloader.methods.registry import get_method
from hyperloader.methods.saved_models import save_pretrained
from hyperloader.models.backbones import open_backbone
from hyperloader.models.task_model import TaskModel

TRAINING = {
    "steps": 6,
    "batch_size": 4,
    "learning_rate": 1e-2,
    "schedule": "linear",
    "warmup_steps": 2,
    "weight_decay": 0.1,
    "label_smoothing": 0.1,
    "loss_reduction": "mean",
    "max_grad_norm": 0.5,
    "temperature": 10,
    "evaluate_every": 3,
    "evaluation_batches": None,
    "selection": "last",
    "source_length": 64,
    "target_length": 24,
}
SIZES = {
    "hyperloader": {
        "reduction_factor": 4,
        "lora_rank": 2,
        "task_dim": 8,
        "layer_dim": 8,
        "position_dim": 8,
        "hidden_dim": 16,
        "embedding_dim": 8,
    },
    "hyperformer_pp": {"reduction_factor": 4, "task_dim": 8},
    "hyperformer": {"reduction_factor": 4, "task_dim": 8},
    "hyperdecoder": {"encoder_bottleneck": 4, "decoder_bottleneck": 4, "hidden_dim": 8},
    "full_finetuning": {},
    "unipelt_t5": {"reduction_factor": 4, "lora_rank": 2, "lora_alpha": 4},
    "gazetteer": {},
}


def write_settings(run: Path, data: dict[str, Path], backbone: Path | None, method="hyperloader", training=None, **changes) -> Path:
    """Write a run's `settings.json`; the run."""
    settings = {
        "scale": "test",
        "recipe": "test",
        "method": method,
        "method_settings": SIZES.get(method, {}),
        "data": {name: str(folder) for name, folder in data.items()},
        "percent": 100,
        "seed": 1,
        "backbone": None if backbone is None else str(backbone),
        "training": TRAINING | (training or {}),
    }
    write_json(run / "settings.json", settings | changes)
    return run


def wild(method: str, backbone: Path, tasks: dict[str, tuple[str, ...]], seed=0, settings: dict | None = None, noise=0.3) -> TaskModel:
    """A model with random weights."""
    torch.manual_seed(seed)
    model = get_method(method).build(open_backbone(backbone).model(), tasks, get_method(method).settings(settings or SIZES[method])).eval()
    with torch.no_grad():
        for parameter in model.trainable_state().values():
            parameter.add_(noise * torch.randn(parameter.shape))
    return model


def save_wild(
    run: Path, method: str, backbone: Path, tasks: dict[str, tuple[str, ...]], settings: dict | None = None, **options
) -> TaskModel:
    """Give a run such a model."""
    model = wild(method, backbone, tasks, settings=settings, **options)
    save_pretrained(model, run / "model", method=method, settings=settings or SIZES[method], backbone=str(backbone))
    return model
