"""Backbones: downloaded from the hub, a local directory, or pre-trained here.

A backbone is a folder with `settings.json` (what it is to be) and, once made, `manifest.json` (what it is).
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from hyperloader.config.places import MIRROR_VARIABLE, expanded, mirror_folder, near
from hyperloader.config.records import Record
from hyperloader.config.settings import BackboneSettings, DirectoryBackbone, HubBackbone, Kind, read_settings
from hyperloader.errors import BackboneError
from hyperloader.files import described, replacing_folder, sha256, there
from hyperloader.runs.gpus import lease_gpu

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedModel

    from hyperloader.text.bert_vocabulary import WordPieces
    from hyperloader.text.t5_vocabulary import Vocabulary

SETTINGS, MANIFEST, MODEL = "settings.json", "manifest.json", "model"
PIECES, WORD_PIECES = "spiece.model", "vocab.txt"
# of a hub repository, only what is used: weights as safetensors, never as pickle
HUB_FILES = ["config.json", "generation_config.json", "model.safetensors", PIECES, WORD_PIECES, "tokenizer_config.json"]
T5_PIECES_REPOSITORY, T5_PIECES_SHA256 = "google-t5/t5-base", "d60acb128cf7b7f2536e8f38a5b18a05535c9e14c7a355904270e15b0945ea86"


class BackboneManifest(Record):
    """`manifest.json`: what a backbone is.

    Attributes:
        kind: `t5` or `bert`.
        source: of the settings.
        path: of the model's folder, relative to the backbone's.
        sha256: of each of its files.
    """

    WHAT, ERROR = "the manifest of a backbone", BackboneError
    REMEDY = "make it: hyperloader backbone {folder}"

    kind: Kind
    source: str = ""
    path: str
    sha256: dict[str, str]


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
        model = near(expanded(wanted.path), folder).resolve()
        if not (model / "config.json").is_file():
            raise BackboneError("is not a folder in save_pretrained layout (no config.json)", file=model)
        path = str(model)
    else:
        model, path = folder / MODEL, MODEL
        if isinstance(wanted, HubBackbone):
            _download(wanted, model)
        else:
            lease_gpu()
            from hyperloader.training.backbones import pretrain_backbone

            pretrain_backbone(settings, folder, model, mirror)
    needed = ["config.json", "model.safetensors", PIECES if settings.kind == "t5" else WORD_PIECES]
    remedy = "it takes the files of save_pretrained(..., safe_serialization=True) and the vocabulary"
    for name in needed:
        if not (model / name).is_file():
            raise BackboneError(f"has no {name}", file=model, remedy=remedy)
    checksums = {name: sha256(model / name) for name in needed}
    BackboneManifest(kind=settings.kind, source=wanted.source, path=path, sha256=checksums).write(folder / MANIFEST)


def backbone_checksum(folder: str | Path) -> str:
    """One checksum over the backbone's files, as its manifest has them."""
    return hashlib.sha256(repr(sorted(_manifest(folder).sha256.items())).encode()).hexdigest()


def load_backbone(folder: str | Path) -> PreTrainedModel:
    """The model of a backbone folder, in float32: a `T5ForConditionalGeneration` or a `BertModel`.

    Raises:
        BackboneError: it cannot be loaded, or its files are not those of its manifest.
    """
    import torch
    import transformers
    from safetensors import SafetensorError

    path, kind = _model_path(folder), _manifest(folder).kind
    _check_files(folder)
    options = {"local_files_only": True, "use_safetensors": True, "dtype": torch.float32, "output_loading_info": True}
    try:
        if kind == "t5":
            model, info = transformers.T5ForConditionalGeneration.from_pretrained(path, **options)
        else:
            # without the pooler, a summary of the sentence that tagging has no use for; the totals of parameters are without it as well
            with _without_warnings():
                model, info = transformers.BertModel.from_pretrained(path, add_pooling_layer=False, **options)
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        raise BackboneError(f"cannot be loaded ({str(error).splitlines()[0]})", file=path) from None
    if info["missing_keys"]:
        raise BackboneError(f"has no weights for {min(info['missing_keys'])}", file=path, remedy="get the model of its config.json")
    return model


def load_config(folder: str | Path) -> PretrainedConfig:
    """The configuration of a backbone folder's model."""
    import transformers

    config = transformers.T5Config if _manifest(folder).kind == "t5" else transformers.BertConfig
    return config.from_pretrained(_model_path(folder), local_files_only=True)


def load_vocabulary(folder: str | Path) -> Vocabulary:
    """The vocabulary of a T5's backbone folder."""
    from hyperloader.text.t5_vocabulary import Vocabulary

    return Vocabulary(_model_path(folder) / PIECES)


def load_word_pieces(folder: str | Path) -> WordPieces:
    """The vocabulary of a BERT's backbone folder.

    Raises:
        BackboneError: it is missing or damaged, or has more pieces than the model.
    """
    from hyperloader.text.bert_vocabulary import WordPieces

    path = _model_path(folder)
    word_pieces, known = WordPieces(path / WORD_PIECES), load_config(folder).vocab_size
    if word_pieces.size > known:
        message = f"has {word_pieces.size} pieces, and the model knows {known}"
        raise BackboneError(message, file=path / WORD_PIECES, remedy="take the vocab.txt that belongs to the weights")
    return word_pieces


def t5_pieces(mirror: str | None = None) -> Path:
    """T5's `spiece.model`: from the mirror, or from the hub; checked against its checksum."""
    folder = mirror_folder(mirror)
    if folder and not folder.is_dir():
        raise BackboneError("the mirror is no folder", file=folder, remedy=f"let {MIRROR_VARIABLE} or --mirror name one, or leave it out")
    path = folder / "tokenizers" / "t5" / PIECES if folder else None
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
        raise BackboneError(f"is not T5's vocabulary (its checksum differs: {described(path.read_bytes())})", file=path)
    return path


def _manifest(folder: str | Path) -> BackboneManifest:
    return BackboneManifest.read(Path(folder) / MANIFEST)


def _model_path(folder: str | Path) -> Path:
    return Path(folder) / _manifest(folder).path


def _check_files(folder: str | Path) -> None:
    """Refuse files that are damaged, or were replaced after runs were trained on the former ones."""
    manifest = _manifest(folder)
    for name, checksum in manifest.sha256.items():
        path = Path(folder) / manifest.path / Path(name).name
        if not there(path) or sha256(path) != checksum:
            raise BackboneError("missing, or not the file of the manifest", file=path, remedy=BackboneManifest.remedy(Path(folder)))


@contextmanager
def _without_warnings() -> Iterator[None]:
    """Let Transformers not list the pre-training heads of a BERT's checkpoint, which are not used."""
    from transformers.utils import logging

    verbosity = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)


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
