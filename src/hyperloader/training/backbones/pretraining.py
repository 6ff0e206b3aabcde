"""Small backbones that are pre-trained here: text, vocabulary and training put together."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

from hyperloader.config.places import near
from hyperloader.config.settings import BackboneSettings
from hyperloader.corpora.prepared import load_corpus
from hyperloader.files import replacing_folder, sha256
from hyperloader.models.backbones import BACKBONES
from hyperloader.training.backbones import bert, t5
from hyperloader.training.backbones.text import checksum, corpora_text, generated_text

# each with `write_vocabulary` and `pretrain`
KINDS = {"t5": t5, "bert": bert}


def pretrain_backbone(settings: BackboneSettings, folder: Path, model_folder: Path, mirror: str | None) -> None:
    """Pre-train a backbone; one that was interrupted goes on from its last checkpoint.

    Args:
        settings: of a backbone with the source `pretrained`.
        folder: of the backbone; checkpoints and the vocabulary are there until the model is whole.
        model_folder: where the model and its vocabulary go.
        mirror: see `make_backbone`.
    """
    wanted, kind = settings.backbone, KINDS[settings.kind]
    # empty for the generated language
    corpora = [load_corpus(near(path, folder)) for path in settings.data.values()]
    sentences = generated_text(wanted.seed) if wanted.text == "generated" else corpora_text(corpora, wanted.seed)
    backbone = BACKBONES[settings.kind]
    path = folder / backbone.VOCABULARY
    kind.write_vocabulary(corpora, sentences, wanted.pieces, path, mirror)
    fingerprint = hashlib.sha256(f"{settings.model_dump_json()} {sha256(path)} {checksum(sentences)}".encode()).hexdigest()
    model = kind.pretrain(corpora, sentences, backbone.read_vocabulary(path), wanted, folder / "checkpoints", fingerprint)
    with replacing_folder(model_folder) as temporary:
        model.save_pretrained(temporary, safe_serialization=True)
        path.replace(temporary / path.name)
    shutil.rmtree(folder / "checkpoints", ignore_errors=True)
