"""One run: from `settings.json` to `model/` and `run.json`."""

from __future__ import annotations

import hashlib
import logging
import platform
import resource
import subprocess
from importlib.metadata import version
from pathlib import Path

import torch

from hyperloader import __version__
from hyperloader.backbones import backbone_checksum, load_backbone
from hyperloader.corpora.prepared import load_corpus
from hyperloader.files import write_json
from hyperloader.formulations import formulation_of
from hyperloader.methods import get_method
from hyperloader.saved_models import save_pretrained
from hyperloader.settings import RunSettings, read_settings
from hyperloader.training.checkpoints import Checkpoints
from hyperloader.training.data import training_batches, validation_batches
from hyperloader.training.loop import fit

log = logging.getLogger(__name__)

SETTINGS, RECORD, MODEL = "settings.json", "run.json", "model"
FORMAT_VERSION = 1
RECORDED_PACKAGES = ("torch", "transformers", "accelerate", "datasets", "sentencepiece", "numpy")


def train_run(folder: str | Path) -> None:
    """Train what `<folder>/settings.json` says; writes `model/`, then `run.json`.

    An interrupted run goes on from its last checkpoint, if settings, data and backbone are still the same.

    Raises:
        UserError: settings, data or backbone are missing or damaged, or the loss is not a number.
    """
    folder = Path(folder)
    settings = read_settings(RunSettings, folder / SETTINGS)
    method, training = get_method(settings.method), settings.training
    corpora = [load_corpus(path, settings.percent) for path in settings.data.values()]
    tasks = {corpus.name: corpus.train_label_types for corpus in corpora}
    formulation = formulation_of(method.backbone, settings.backbone, tasks)
    checksums = {"backbone": backbone_checksum(settings.backbone), "data": {corpus.name: corpus.checksum for corpus in corpora}}
    fingerprint = hashlib.sha256(f"{settings.model_dump_json()} {checksums}".encode()).hexdigest()

    # before anything is drawn: the hypernetwork's initial weights are part of the seed's result
    torch.manual_seed(settings.seed)
    model = method.build(load_backbone(settings.backbone), tasks, method.settings(settings.method_settings))
    counts = model.parameter_counts()
    log.info("%s on %s: %s trainable of %s parameters", method.title, ", ".join(tasks), f"{counts.trainable:,}", f"{counts.total:,}")
    checkpoints = Checkpoints(folder / "checkpoints", fingerprint)
    progress = fit(
        model,
        training,
        training_batches(corpora, formulation, training, settings.seed),
        checkpoints=checkpoints,
        seed=settings.seed,
        validation=validation_batches(corpora, formulation, training, settings.seed),
    )
    save_pretrained(model, folder / MODEL, method=settings.method, settings=settings.method_settings, backbone=settings.backbone)
    record = {
        "format_version": FORMAT_VERSION,
        "status": "trained",
        "settings": settings.model_dump(),
        "parameters": counts._asdict(),
        "steps": progress.step,
        "best_step": progress.best_step,
        "curve": progress.curve,
        "seconds": round(progress.seconds, 1),
        "peak_memory_bytes": _peak_memory(),
        "threads": torch.get_num_threads(),
        "checksums": checksums,
        "packages": {"hyperloader": __version__} | {name: version(name) for name in RECORDED_PACKAGES},
        "python": platform.python_version(),
        "commit": _commit(),
    }
    write_json(folder / RECORD, record)
    checkpoints.discard()


def _peak_memory() -> dict[str, int]:
    peak = {"cpu": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024}
    if torch.cuda.is_available():
        peak["gpu"] = torch.cuda.max_memory_allocated()
    return peak


def _commit() -> dict[str, str | bool | None]:
    """Commit of the checkout that the code comes from, and whether it was changed since."""
    here = Path(__file__).parent

    def git(*arguments: str) -> str | None:
        try:
            return subprocess.run(["git", *arguments], cwd=here, capture_output=True, text=True, check=True).stdout.strip()
        except (OSError, subprocess.CalledProcessError):
            return None

    commit = git("rev-parse", "HEAD")
    return {"id": commit, "dirty": None if commit is None else bool(git("status", "--porcelain", "--", "."))}
