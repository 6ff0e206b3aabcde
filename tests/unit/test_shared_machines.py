"""Several users of one folder and one machine: who may write to a folder can go on in it, and what may not be read is named."""

import os
import shutil
import stat
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from permissions import forbidden, permissions_obeyed, umask
from safetensors.torch import save_file
from test_run import run_in

from hyperloader.cli.main import main
from hyperloader.config.settings import Config, read_yaml
from hyperloader.corpora.fetching.manifests import read_manifest
from hyperloader.corpora.prepared import load_corpus
from hyperloader.corpora.readers.columns import read_conll
from hyperloader.corpora.registry import get_corpus
from hyperloader.errors import SettingsError, UserError
from hyperloader.files import read_json, read_rows, replacing, replacing_folder, sha256, there, write_text
from hyperloader.methods.loading import from_pretrained
from hyperloader.methods.registry import methods
from hyperloader.methods.saved_models import ModelRecord
from hyperloader.methods.training_run import train_run
from hyperloader.models.backbones import BackboneManifest, open_backbone
from hyperloader.planning.plan import Plan
from hyperloader.predicting.prediction import predict_run
from hyperloader.predicting.tagger import Tagger
from hyperloader.runs import gpus
from hyperloader.runs.predictions import read_predictions
from hyperloader.scoring import score_run
from hyperloader.scoring.counts import read_counts
from hyperloader.text.bert_vocabulary import WordPieces
from hyperloader.text.t5_vocabulary import Vocabulary
from hyperloader.training.progress import CheckpointRecord

CONFIG = Path(__file__).parents[2] / "config"
DENIED = r"cannot be (read|opened|looked at) \(Permission denied\); ask its owner to let you"


def permissions(path):
    return stat.S_IMODE(path.stat().st_mode), path.stat().st_gid


def other_group():
    """A group that is not that of new files here; where we are in none, that."""
    return next((group for group in (65534 if os.geteuid() == 0 else -1, *os.getgroups()) if group not in (-1, os.getegid())), os.getegid())


def plain(folder):
    pass


def of_a_group(folder):
    os.chown(folder, -1, other_group())
    folder.chmod(0o2775)


def with_access_control_list(folder):
    """New files are for the group as well, whatever the umask."""
    user, group, mask, other = 1, 4, 16, 32
    entries = ((user, 7), (group, 7), (mask, 7), (other, 0))
    value = struct.pack("<I", 2) + b"".join(struct.pack("<HHI", tag, access, 0xFFFFFFFF) for tag, access in entries)
    try:
        os.setxattr(folder, "system.posix_acl_default", value)
    except OSError:
        pytest.skip("the file system has no access control lists")


@pytest.mark.parametrize("mask", [0o002, 0o022, 0o077])
@pytest.mark.parametrize("kind", [plain, of_a_group, with_access_control_list])
def test_whatever_is_written_has_the_permissions_of_any_other_file_there(tmp_path, kind, mask):
    kind(tmp_path)
    with umask(mask):
        (tmp_path / "other.file").touch()
        (tmp_path / "other.folder").mkdir()
        write_text(tmp_path / "new" / "text", "")
        with replacing(tmp_path / "weights") as temporary:
            save_file({"a": torch.zeros(2)}, temporary)  # private, and another file than the temporary
        for _ in range(2):  # the second one replaces the first
            with replacing_folder(tmp_path / "folder") as temporary:
                (temporary / "inner").mkdir(mode=0o700)
                save_file({"a": torch.zeros(2)}, temporary / "inner" / "weights")
                np.save(temporary / "array.npy", np.zeros(2))
                shutil.copytree(tmp_path / "folder", temporary, dirs_exist_ok=True) if there(tmp_path / "folder") else None
    made = {path for name in ("new", "folder", "weights") for path in (tmp_path / name, *(tmp_path / name).rglob("*"))}
    assert len(made) == 7
    for path in made:
        assert permissions(path) == permissions(tmp_path / ("other.folder" if path.is_dir() else "other.file")), path


def test_a_colleague_can_go_on_in_a_run(place, tmp_path):
    of_a_group(tmp_path)
    with umask(0o002):
        for name in ("data", "t5"):
            shutil.copytree(place / name, tmp_path / name, ignore=shutil.ignore_patterns("tokenised"))
        for folder in (tmp_path / "data").iterdir():
            of_a_group(folder)
        run = run_in(tmp_path, "run")
        train_run(run, tensorboard=True)
        predict_run(run)
        score_run(run)
    made = [run, *run.rglob("*"), *(tmp_path / "data").glob("*/tokenised/**/*")]
    assert {"model.safetensors", ".lock", "run.json", "predictions.json", "scores.json"} <= {path.name for path in made}
    for path in made:
        assert permissions(path) == (0o2775 if path.is_dir() else 0o664, tmp_path.stat().st_gid), path


# --- reading ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def trained(place):
    """A run that was predicted and scored."""
    run = run_in(place, "trained")
    train_run(run)
    predict_run(run)
    score_run(run)
    return run


READERS = {
    "JSON": read_json,
    "a record": ModelRecord.read,
    "a checkpoint": CheckpointRecord.read,
    "a checksum": sha256,
    "YAML": lambda path: read_yaml(Config, path),
    "predictions": lambda path: list(read_predictions(path, {})),
    "counts": read_counts,
    "published numbers": lambda path: read_rows(path, ()),
    "T5's vocabulary": Vocabulary,
    "BERT's vocabulary": WordPieces,
    "CoNLL": read_conll,
}


@pytest.mark.parametrize("read", READERS.values(), ids=READERS)
def test_a_file_that_may_not_be_read(tmp_path, read):
    path = tmp_path / "folder" / "file"
    write_text(path, "text")
    for closed in (path, path.parent):
        with forbidden(closed), pytest.raises(UserError, match=f"{path}: {DENIED}"):
            read(path)


@pytest.mark.parametrize("file", ["model/model.safetensors", "model/config.json", "model", "settings.json", ""])
def test_a_run_that_may_not_be_read(trained, file):
    with forbidden(trained / file), pytest.raises(UserError, match=DENIED):
        Tagger.from_pretrained(trained)
    with forbidden(trained / "model/model.safetensors"), pytest.raises(UserError, match=f"model.safetensors: {DENIED}"):
        from_pretrained(trained / "model")


@pytest.mark.parametrize("file", ["manifest.json", "model/model.safetensors", "model/config.json", "model/spiece.model", ""])
def test_a_backbone_that_may_not_be_read(place, file):
    with forbidden(place / "t5" / file), pytest.raises(UserError, match=DENIED):
        open_backbone(place / "t5").model()
    pieces = place / "t5" / BackboneManifest.read(place / "t5/manifest.json").path / "spiece.model"
    with forbidden(pieces), pytest.raises(UserError, match=DENIED):
        _ = open_backbone(place / "t5").vocabulary


@pytest.mark.parametrize("file", ["manifest.json", "test/data-00000-of-00001.arrow", ""])
def test_a_corpus_that_may_not_be_read(place, file):
    with forbidden(place / "data/snips" / file), pytest.raises(UserError, match=DENIED):
        load_corpus(place / "data/snips")
    with forbidden(place / "raw/snips.json"), pytest.raises(UserError, match=DENIED):
        read_manifest(get_corpus("snips"), place / "raw")


def test_folders_that_may_not_be_listed(tmp_path, monkeypatch):
    write_text(tmp_path / "methods/mine/method.py", "")
    monkeypatch.setenv("HYPERLOADER_METHODS", str(tmp_path / "methods"))
    shutil.copytree(CONFIG, tmp_path / "config")
    plan = Plan.read(tmp_path / "config" / "config.yaml")
    for folder, look in (("methods", methods.__wrapped__), ("methods/mine", methods.__wrapped__), ("config/scales", plan.scales)):
        with forbidden(tmp_path / folder), pytest.raises(UserError, match=f"{tmp_path / folder}.*: {DENIED}"):
            look()


def test_the_command_line_says_so_in_one_line_wherever_it_happens(trained, monkeypatch, capsys):
    for arguments in (["train", trained], ["score", trained], ["compare", trained, trained], ["predict", "a", "--run", trained]):
        monkeypatch.setattr(sys, "argv", ["hyperloader", *map(str, arguments)])
        for closed in (trained.parent, trained):
            with forbidden(closed), pytest.raises(SystemExit) as ended:
                main()
            shown = capsys.readouterr().err
            assert ended.value.code == 2 and shown.startswith(f"hyperloader: {trained}") and "Permission denied" in shown
            assert len(shown.splitlines()) == 1


# --- GPUs ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def one_gpu(tmp_path, monkeypatch):
    """The lock of the only GPU; a test that leases it gives it back."""
    monkeypatch.delenv("LOCAL_RANK", raising=False)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    monkeypatch.setenv(gpus.DEVICES, "0")
    monkeypatch.setattr(gpus.tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(gpus, "_leased", None)
    yield tmp_path / "hyperloader-gpu-0.lock"
    if gpus._leased is not None:
        gpus._leased.close()


def test_the_lock_of_a_gpu_is_for_all_users(one_gpu):
    one_gpu.parent.chmod(0o1777)
    with umask(0o077):
        gpus.lease_gpu()
    assert stat.S_IMODE(one_gpu.stat().st_mode) == 0o666


@pytest.mark.skipif(os.geteuid() != 0, reason="a file of another user takes the superuser to make")
def test_the_lock_that_another_user_made(one_gpu):
    one_gpu.parent.chmod(0o1777)
    one_gpu.touch(0o644)
    os.chown(one_gpu, 65534, 65534)
    with permissions_obeyed():
        gpus.lease_gpu()
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "0"


def test_a_lock_that_cannot_be_had_is_one_line(one_gpu):
    one_gpu.touch()
    remedy = "let TMPDIR name one local folder for all who share the GPUs"
    with forbidden(one_gpu), pytest.raises(SettingsError, match=rf"{one_gpu}: the GPU 0 cannot be locked \(Permission denied\); {remedy}"):
        gpus.lease_gpu()
    one_gpu.unlink()
    one_gpu.symlink_to("/etc/passwd")
    with pytest.raises(SettingsError, match="the GPU 0 cannot be locked"):
        gpus.lease_gpu()


# --- users without a home --------------------------------------------------------------------------------------------


def test_nobody_needs_a_home(trained, tmp_path):
    environment = {key: value for key, value in os.environ.items() if key not in ("HOME", "XDG_CACHE_HOME", "HF_HOME")}
    environment |= {"HOME": "/nonexistent"}
    command = [sys.executable, "-m", "hyperloader", "predict", "little robin", "--run", str(trained), "--task", "snips"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "") and done.stdout
