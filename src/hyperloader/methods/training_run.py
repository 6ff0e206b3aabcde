"""One run: from `settings.json` to `model/` and `run.json`."""

from __future__ import annotations

import hashlib
import os
import platform
import resource
import shutil
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

from hyperloader import __version__
from hyperloader.config.settings import RunSettings, read_settings
from hyperloader.corpora.prepared import load_corpus
from hyperloader.methods import get_method
from hyperloader.methods.controls import Control, save_learned
from hyperloader.models.backbones import backbone_checksum
from hyperloader.runs.gpus import lease_gpu
from hyperloader.runs.locks import holding_run
from hyperloader.runs.records import TrainingRecord

SETTINGS, RECORD, MODEL, CHECKPOINTS, TENSORBOARD = "settings.json", "run.json", "model", "checkpoints", "tensorboard"
RECORDED_PACKAGES = ("torch", "transformers", "adapters", "accelerate", "datasets", "sentencepiece", "numpy")


@holding_run
def train_run(folder: str | Path, *, tensorboard: bool = False) -> None:
    """Train what `<folder>/settings.json` says; writes `model/`, then `run.json`.

    An interrupted run goes on from its last checkpoint, if settings, data and backbone are still the same. Of several processes under
    `accelerate launch` the first one writes.

    Args:
        folder: of the run.
        tensorboard: write the losses to its folder `tensorboard` as well.

    Raises:
        UserError: settings, data or backbone are missing or damaged, the loss is not a number or grows, or another process trains or
            predicts this run.
    """
    folder = Path(folder)
    settings = read_settings(RunSettings, folder / SETTINGS)
    method = get_method(settings.method)
    corpora = [load_corpus(path, settings.percent) for path in settings.data.values()]
    backbone = None if settings.backbone is None else backbone_checksum(settings.backbone)
    checksums = {"backbone": backbone, "data": {corpus.name: corpus.checksum for corpus in corpora}}
    if isinstance(method, Control):
        save_learned(folder / MODEL, {corpus.name: method.learn(corpus) for corpus in corpora})
        outcome = {"parameters": {"total": 0, "trainable": 0, "live": 0}, "steps": 0, "curve": []}
    else:
        lease_gpu()
        # seconds of imports, which a control does without
        from hyperloader.methods.network import train_network

        fingerprint = hashlib.sha256(f"{settings.model_dump_json()} {checksums}".encode()).hexdigest()
        tracking = folder / TENSORBOARD if tensorboard else None
        outcome = train_network(method, settings, corpora, folder / MODEL, folder / CHECKPOINTS, fingerprint, tracking)
    if int(os.environ.get("RANK", 0)) > 0:
        return
    record = TrainingRecord(
        settings=settings.model_dump(mode="json"),
        **outcome,
        peak_memory_bytes=_peak_memory(),
        checksums=checksums,
        packages={"hyperloader": __version__} | {name: version(name) for name in RECORDED_PACKAGES},
        python=platform.python_version(),
        commit=_commit(),
    )
    record.write(folder / RECORD)
    shutil.rmtree(folder / CHECKPOINTS, ignore_errors=True)


def _peak_memory() -> dict[str, int]:
    peak = {"cpu": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024}
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
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
