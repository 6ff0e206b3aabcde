"""Backbones: downloaded from the hub, a local directory, or pre-trained here.

A backbone is a folder with `settings.json` (what it is to be) and, once made, `manifest.json` (what it is).
"""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from hyperloader.errors import BackboneError
from hyperloader.files import read_json, replacing_folder, sha256, write_json
from hyperloader.settings import BackboneSettings, DirectoryBackbone, HubBackbone, PretrainedBackbone, read_settings

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedModel

    from hyperloader.corpora.readers import Sentence
    from hyperloader.encoding import Vocabulary

SETTINGS, MANIFEST, MODEL = "settings.json", "manifest.json", "model"
PIECES = "spiece.model"
# of a hub repository, only what is used: weights as safetensors, never as pickle
HUB_FILES = ["config.json", "generation_config.json", "model.safetensors", PIECES, "vocab.txt", "tokenizer_config.json"]
T5_PIECES_REPOSITORY, T5_PIECES_SHA256 = "google-t5/t5-base", "d60acb128cf7b7f2536e8f38a5b18a05535c9e14c7a355904270e15b0945ea86"
GENERATED_SENTENCES = 20_000


def make_backbone(folder: str | Path, mirror: str | None = None) -> None:
    """Make the backbone that `<folder>/settings.json` asks for.

    Args:
        folder: of the backbone.
        mirror: folder that holds `tokenizers/t5/spiece.model`; by default that of `HYPERLOADER_MIRROR`, if any.

    Raises:
        BackboneError: it cannot be had; says what is missing and what to do.
    """
    folder = Path(folder)
    settings = read_settings(BackboneSettings, folder / SETTINGS)
    wanted = settings.backbone
    if isinstance(wanted, DirectoryBackbone):
        model = Path(wanted.path).expanduser().resolve()
        if not (model / "config.json").is_file():
            raise BackboneError("is not a folder in save_pretrained layout (no config.json)", file=model)
        path = str(model)
    else:
        model, path = folder / MODEL, MODEL
        if isinstance(wanted, HubBackbone):
            _download(wanted, model)
        else:
            _pretrain(settings, wanted, folder, mirror)
    needed = ["config.json", "model.safetensors"] + ([PIECES] if settings.kind == "t5" else [])
    for name in needed:
        if not (model / name).is_file():
            raise BackboneError(f"has no {name}", file=model, remedy="save it with save_pretrained(..., safe_serialization=True)")
    checksums = {name: sha256(model / name) for name in needed}
    write_json(folder / MANIFEST, {"kind": settings.kind, "source": wanted.source, "path": path, "sha256": checksums})


def backbone_checksum(folder: str | Path) -> str:
    """One checksum over the backbone's files, as its manifest has them."""
    return hashlib.sha256(repr(sorted(_manifest(folder)["sha256"].items())).encode()).hexdigest()


def load_backbone(folder: str | Path) -> PreTrainedModel:
    """The model of a backbone folder, in float32: a `T5ForConditionalGeneration` or a `BertModel`.

    Raises:
        BackboneError: it cannot be loaded.
    """
    import torch
    import transformers
    from safetensors import SafetensorError

    path, kind = _model_path(folder), _manifest(folder)["kind"]
    model = transformers.T5ForConditionalGeneration if kind == "t5" else transformers.BertModel
    # a checkpoint of BERT may hold heads that are not used here
    try:
        return model.from_pretrained(path, local_files_only=True, use_safetensors=True, dtype=torch.float32)
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        raise BackboneError(f"cannot be loaded ({str(error).splitlines()[0]})", file=path) from None


def load_config(folder: str | Path) -> PretrainedConfig:
    """The configuration of a backbone folder's model."""
    import transformers

    config = transformers.T5Config if _manifest(folder)["kind"] == "t5" else transformers.BertConfig
    return config.from_pretrained(_model_path(folder), local_files_only=True)


def load_vocabulary(folder: str | Path) -> Vocabulary:
    """The vocabulary of a T5's backbone folder."""
    from hyperloader.encoding import Vocabulary

    return Vocabulary(_model_path(folder) / PIECES)


def t5_pieces(mirror: str | None = None) -> Path:
    """T5's `spiece.model`: from the mirror, or from the hub; checked against its checksum."""
    mirror = mirror or os.environ.get("HYPERLOADER_MIRROR")
    path = Path(mirror) / "tokenizers" / "t5" / PIECES if mirror else None
    if path is None or not path.is_file():
        from huggingface_hub import hf_hub_download

        try:
            path = Path(hf_hub_download(T5_PIECES_REPOSITORY, PIECES))
        except Exception as error:
            raise BackboneError(
                f"{PIECES} of {T5_PIECES_REPOSITORY} can be had neither from a mirror nor from the hub ({type(error).__name__})",
                remedy="let HYPERLOADER_MIRROR name a folder with tokenizers/t5/spiece.model, or use the scale demo",
            ) from None
    if sha256(path) != T5_PIECES_SHA256:
        raise BackboneError("is not T5's vocabulary (its checksum differs)", file=path)
    return path


def _manifest(folder: str | Path) -> dict:
    return read_json(Path(folder) / MANIFEST, remedy=f"make it: hyperloader backbone {folder}")


def _model_path(folder: str | Path) -> Path:
    return Path(folder) / _manifest(folder)["path"]


def _download(wanted: HubBackbone, model: Path) -> None:
    from huggingface_hub import snapshot_download

    try:
        source = snapshot_download(wanted.name, revision=wanted.revision, allow_patterns=HUB_FILES)
    except Exception as error:
        raise BackboneError(
            f"the weights of {wanted.name} can be had neither from the hub nor from its cache ({type(error).__name__})",
            remedy="download them where there is internet and name their folder in config/scales/ "
            "(source: directory, path: ...), or run a scale that needs none: snakemake results/demo/table4.csv",
        ) from None
    with replacing_folder(model) as temporary:
        shutil.copytree(source, temporary, dirs_exist_ok=True)


def _pretrain(settings: BackboneSettings, wanted: PretrainedBackbone, folder: Path, mirror: str | None) -> None:
    from hyperloader.encoding import Vocabulary
    from hyperloader.pretraining import pretrain

    pieces = folder / PIECES
    sentences = _generated_text(wanted.seed, pieces) if wanted.text == "generated" else _corpora_text(settings, pieces, mirror)
    fingerprint = hashlib.sha256(f"{settings.model_dump_json()} {sha256(pieces)} {_hash_sentences(sentences)}".encode()).hexdigest()
    model = pretrain(sentences, Vocabulary(pieces), wanted, folder / "checkpoints", fingerprint)
    with replacing_folder(folder / MODEL) as temporary:
        model.save_pretrained(temporary, safe_serialization=True)
        pieces.replace(temporary / PIECES)
    shutil.rmtree(folder / "checkpoints", ignore_errors=True)


def _hash_sentences(sentences: list[Sentence]) -> str:
    """A checksum of tagged sentences."""
    digest = hashlib.sha256()
    for sentence in sentences:
        digest.update(repr((sentence.tokens, sentence.tags)).encode())
    return digest.hexdigest()


def _generated_text(seed: int, pieces: Path) -> list[Sentence]:
    from hyperloader.corpora.generated import DemoLanguage, auxiliary_sentences, demo_label_names
    from hyperloader.vocabularies import write_word_vocabulary

    # the language of the generated corpora, whatever the seed of the pre-training
    language = DemoLanguage()
    write_word_vocabulary(["O", "I", *language.words(), *demo_label_names()], pieces)
    return list(auxiliary_sentences(language, GENERATED_SENTENCES, seed))


def _corpora_text(settings: BackboneSettings, pieces: Path, mirror: str | None) -> list[Sentence]:
    from hyperloader.corpora.prepared import load_corpus, slot_types
    from hyperloader.pretraining import with_word_classes
    from hyperloader.sentt import to_sbio
    from hyperloader.vocabularies import write_cut_vocabulary

    full = t5_pieces(mirror)
    corpora = [load_corpus(path) for path in settings.data.values()]
    text = [sentence.tokens for corpus in corpora for sentence in corpus.train]
    tagged = with_word_classes(text, settings.backbone.seed)
    words = {word for tokens in text for word in tokens} | {"O", "I"}
    words |= {label for corpus in corpora for label in slot_types([*corpus.train, *corpus.validation])}
    words |= {label for sentence in tagged for label in to_sbio(sentence.tags)}
    write_cut_vocabulary(full, sorted(words), pieces)
    return tagged
