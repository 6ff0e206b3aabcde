"""The making of a backbone: downloaded from the hub, linked to a local directory, or pre-trained here."""

from __future__ import annotations

import shutil
from pathlib import Path

from hyperloader.config.places import MIRROR_VARIABLE, expanded, mirror_folder, near
from hyperloader.config.settings import BackboneSettings, DirectoryBackbone, HubBackbone, read_settings
from hyperloader.errors import BackboneError
from hyperloader.files import described, read_json, replacing_folder, sha256
from hyperloader.models.backbones import (
    BACKBONES,
    CONFIG,
    INDEX,
    MANIFEST,
    SETTINGS,
    TOKENIZER,
    WEIGHTS,
    Backbone,
    BackboneManifest,
    T5Backbone,
)
from hyperloader.runs.gpus import lease_gpu
from hyperloader.text.tokenizer_files import check_tokenizer

MODEL, SHARDS = "model", "model-*.safetensors"
VOCABULARIES = [*(backbone.VOCABULARY for backbone in BACKBONES.values()), TOKENIZER, "tokenizer_config.json"]
# of a hub repository, only what is used: weights as safetensors, never as pickle
HUB_FILES = [CONFIG, "generation_config.json", WEIGHTS, INDEX, SHARDS, *VOCABULARIES]
T5_PIECES_SHA256 = "d60acb128cf7b7f2536e8f38a5b18a05535c9e14c7a355904270e15b0945ea86"


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
        if not (model / CONFIG).is_file():
            raise BackboneError(f"is not a folder in save_pretrained layout (no {CONFIG})", file=model)
        path = str(model)
    else:
        model, path = folder / MODEL, MODEL
        if isinstance(wanted, HubBackbone):
            _download(wanted, model)
        else:
            lease_gpu()
            from hyperloader.training.backbones.pretraining import pretrain_backbone

            pretrain_backbone(settings, folder, model, mirror)
    names = [CONFIG, *_weight_files(model), _vocabulary_file(model, BACKBONES[settings.kind])]
    checksums = {name: sha256(model / name) for name in names}
    BackboneManifest(kind=settings.kind, source=wanted.source, path=path, sha256=checksums).write(folder / MANIFEST)


def t5_pieces(mirror: str | None = None) -> Path:
    """T5's `spiece.model`: from the mirror, or from the hub; checked against its checksum."""
    folder, name = mirror_folder(mirror), T5Backbone.VOCABULARY
    if folder and not folder.is_dir():
        raise BackboneError("the mirror is no folder", file=folder, remedy=f"let {MIRROR_VARIABLE} or --mirror name one, or leave it out")
    path = folder / "tokenizers" / "t5" / name if folder else None
    if path is None or not path.is_file():
        from huggingface_hub import hf_hub_download

        try:
            path = Path(hf_hub_download(T5Backbone.EXAMPLE, name))
        except Exception as error:
            raise BackboneError(
                f"{name} of {T5Backbone.EXAMPLE} can be had neither from a mirror nor from the hub ({type(error).__name__})",
                remedy="let HYPERLOADER_MIRROR name a folder with tokenizers/t5/spiece.model, or use the scale demo",
            ) from None
    if sha256(path) != T5_PIECES_SHA256:
        raise BackboneError(f"is not T5's vocabulary (its checksum differs: {described(path.read_bytes())})", file=path)
    return path


def _weight_files(model: Path) -> list[str]:
    """The names of the files that hold a model's weights."""
    if (model / WEIGHTS).is_file() or not (model / INDEX).is_file():
        names = [WEIGHTS]
    else:
        index = read_json(model / INDEX, error=BackboneError)
        try:
            names = [INDEX, *sorted({Path(name).name for name in index["weight_map"].values()})]
        except (LookupError, TypeError, AttributeError):
            raise BackboneError("does not say which tensor is in which file", file=model / INDEX, remedy="save the model again") from None
    for name in names:
        if not (model / name).is_file():
            raise BackboneError(f"has no {name}", file=model, remedy="write it with save_pretrained(FOLDER, safe_serialization=True)")
    return names


def _vocabulary_file(model: Path, backbone: type[Backbone]) -> str:
    """The name of the file that holds a model's vocabulary; a `tokenizer.json` must be one that cuts words as the usual file does."""
    name = backbone.VOCABULARY
    if (model / name).is_file():
        backbone.read_vocabulary(model / name)
        return name
    path = model / TOKENIZER
    if not path.is_file():
        remedy = f'AutoTokenizer.from_pretrained("{backbone.EXAMPLE}", or whichever it was).save_pretrained(FOLDER)'
        raise BackboneError(f"has no {name} and no {TOKENIZER}", file=model, remedy=f"put that of its tokenizer there: {remedy}")
    check_tokenizer(path, backbone.read_vocabulary(path))
    return TOKENIZER


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
