"""One run: from `settings.json` to `model/` and `run.json`."""

from __future__ import annotations

import hashlib
import logging
import os
import platform
import resource
import shutil
import subprocess
import sys
from contextlib import suppress
from importlib.metadata import packages_distributions, version
from importlib.util import find_spec
from pathlib import Path

from hyperloader import __version__
from hyperloader.config.places import near
from hyperloader.config.sources import TRAINING, code_checksum
from hyperloader.corpora.prepared import load_corpus, read_prepared_manifest
from hyperloader.errors import DivergedError, RunError
from hyperloader.files import sha256, there
from hyperloader.methods.registry import folders_of, get_method
from hyperloader.models.backbones import open_backbone
from hyperloader.runs.locks import is_first_process
from hyperloader.runs.records import TrainedOn, TrainingRecord, TrialRecord
from hyperloader.runs.run import WEIGHTS_NAME, Run
from hyperloader.training.interruption import LimitReached, limited

log = logging.getLogger(__name__)

RECORDED_PACKAGES = ("torch", "transformers", "adapters", "accelerate", "datasets", "sentencepiece", "numpy")


def train_run(folder: str | Path, *, tensorboard: bool = False, force: bool = False, limit: int | None = None) -> None:
    """Train what the settings of a run say; writes its model, then its record.

    An interrupted run goes on from its last checkpoint, if settings, data and backbone are still the same; a finished one is left as it is,
    if the code is the same as well. Of several processes under `accelerate launch` the first one writes.

    Args:
        folder: of the run.
        tensorboard: write the losses for TensorBoard as well.
        force: train a finished run again.
        limit: stop after so many steps, with a checkpoint to go on from; None: train all of them.

    Raises:
        UserError: settings, data or backbone are missing or damaged, the loss is not a number or grows, or another process trains or
            predicts this run.
    """
    run = Run(folder)
    if tensorboard and not (find_spec("tensorboard") or find_spec("tensorboardX")):
        raise RunError("--tensorboard needs TensorBoard, which is not installed", remedy="pip install 'hyperloader[tensorboard]'")
    with run.lock():
        settings = run.settings
        method = get_method(settings.method)
        method.check(run)
        backbone = None if run.backbone is None else open_backbone(run.backbone).checksum
        data = {name: read_prepared_manifest(path).checksum for name, path in run.data.items()}
        checksums, code = {"backbone": backbone, "data": data}, code_checksum(TRAINING, folders_of(settings.method))
        if settings.added is not None:
            checksums["known"] = sha256(Run(near(settings.added.run, run.folder)).model / WEIGHTS_NAME)
        if not force and _is_trained(run, TrainedOn(**checksums, code=code)):
            log.info("%s: already trained with these settings, data, backbone and code; --force trains it again", run)
            return
        corpora = [load_corpus(path, settings.percent, settings.shots) for path in run.data.values()]
        fingerprint = hashlib.sha256(f"{settings.model_dump_json()} {checksums}".encode()).hexdigest()
        try:
            with limited(limit):
                outcome = method.train(run, corpora, fingerprint, tensorboard=tensorboard)
        except LimitReached as reached:
            log.info("%s: %s", run, reached)
            return
        if not is_first_process():
            return
        # a library by the name of what installs it
        libraries = packages_distributions().get(method.library, ()) if method.library else ()
        record = TrainingRecord(
            settings=settings.model_dump(mode="json"),
            **outcome,
            processor=_processor(),
            peak_memory_bytes=_peak_memory(),
            checksums=checksums | {"code": code},
            packages={"hyperloader": __version__} | {name: version(name) for name in (*RECORDED_PACKAGES, *libraries)},
            python=platform.python_version(),
            commit=_commit(),
        )
        record.write(run.folder / Run.RECORD)
        shutil.rmtree(run.checkpoints, ignore_errors=True)


def _is_trained(run: Run, on: TrainedOn) -> bool:
    """Whether training the run would make what is there."""
    try:
        record = run.record()
    except RunError:  # none, or one that this training will replace
        return False
    same = record.settings.model_dump(mode="json") == run.settings.model_dump(mode="json")
    return same and record.checksums == on and there(run.model)


def try_run(folder: str | Path) -> None:
    """Train for the losses alone: writes `trial.json` and keeps no model. A loss that grows is a result too.

    Args:
        folder: of the run.

    Raises:
        UserError: see `train_run`, but for the loss.
    """
    run = Run(folder)
    try:
        train_run(folder)
        record = TrialRecord(curve=run.record().curve)
    except DivergedError as error:
        record = TrialRecord(failure=error.message)
    for path in (run.model, run.checkpoints):
        shutil.rmtree(path, ignore_errors=True)
    record.write(run.folder / Run.TRIAL)


def _peak_memory() -> dict[str, int]:
    peak = {"cpu": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024}
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        peak["gpu"] = torch.cuda.max_memory_allocated()
    return peak


def _processor() -> str:
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        return torch.cuda.get_device_name()
    name = platform.processor() or platform.machine()
    with suppress(OSError, StopIteration):  # Linux alone has this file, and not on every machine this line
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        name = next(line.partition(": ")[2] for line in lines if line.startswith("model name"))
    return f"{name}, {torch.backends.cpu.get_cpu_capability()}" if torch is not None else name


def _commit() -> dict[str, str | bool | None]:
    """Commit of the checkout that the code comes from, and whether the code was changed since; none for code that is no checkout's."""
    here = Path(__file__).resolve()
    root = here.parents[3]
    # this folder's own repository: neither one further up, which holds a virtual environment or a copy, nor one that the environment names
    call = ["git", f"--git-dir={root / '.git'}", f"--work-tree={root}"]
    environment = {name: value for name, value in os.environ.items() if name not in ("GIT_INDEX_FILE", "GIT_COMMON_DIR")}

    def git(*arguments: str) -> str | None:
        try:
            return subprocess.run([*call, *arguments], cwd=root, env=environment, capture_output=True, text=True, check=True).stdout.strip()
        except (OSError, subprocess.CalledProcessError):
            return None

    tracked = git("ls-tree", "--name-only", "HEAD", "--", here.relative_to(root).as_posix())
    commit = git("rev-parse", "HEAD") if tracked else None
    return {"id": commit, "dirty": bool(git("status", "--porcelain", "--", "src", "baselines")) if commit else None}
