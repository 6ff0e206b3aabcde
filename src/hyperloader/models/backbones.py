"""Backbones on disk: a folder with `settings.json` (what it is to be) and, once made, `manifest.json` (what it is).

A backbone is opened once, and then gives its checksum, its vocabulary and its model; each file is compared with the manifest when it is
read, so that weights and vocabulary are those that runs were trained on.
"""

from __future__ import annotations

import hashlib
import logging
import shutil
import textwrap
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from hyperloader.config.places import near
from hyperloader.config.records import Record
from hyperloader.config.settings import Kind
from hyperloader.errors import BackboneError
from hyperloader.files import read_json, sha256, there
from hyperloader.models.turns import loading

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedModel

    from hyperloader.text.bert_vocabulary import WordPieces
    from hyperloader.text.t5_vocabulary import Vocabulary

log = logging.getLogger(__name__)

SETTINGS, MANIFEST = "settings.json", "manifest.json"
# of a backbone whose files are its own
MODEL = "model"
CONFIG, TOKENIZER = "config.json", "tokenizer.json"
# large models are saved in several files, and one that says which tensor is in which
WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"


class BackboneManifest(Record):
    """`manifest.json`.

    Attributes:
        kind: `t5` or `bert`.
        source: of the settings: `hub`, `directory` or `pretrained`.
        path: of the model's folder, relative to the backbone's.
        revision: of the hub, the commit.
        sha256: of each of its files.
    """

    WHAT, ERROR = "the manifest of a backbone", BackboneError
    REMEDY = "make it: hyperloader backbone {folder}"

    kind: Kind
    source: str = ""
    path: str
    revision: str = ""
    sha256: dict[str, str]


class Backbone(ABC):
    """A backbone that is there.

    Args:
        folder: of the backbone.

    Raises:
        BackboneError: it is missing, or its manifest is damaged.

    Attributes:
        kind: of all backbones of a class.
        VOCABULARY: usual name of the file of its vocabulary.
        EXAMPLE: a model on the hub that has one.
        SIZES: what its configuration must have numbers for, as others rely on them before there is a model.
    """

    kind: ClassVar[Kind]
    VOCABULARY: ClassVar[str]
    EXAMPLE: ClassVar[str]
    SIZES: ClassVar[tuple[str, ...]]

    def __init__(self, folder: str | Path):
        self.folder = Path(folder)
        self._manifest = BackboneManifest.read(self.folder / MANIFEST)

    @cached_property
    def checksum(self) -> str:
        """One checksum over all files, as the manifest has them."""
        return hashlib.sha256(repr(sorted(self._manifest.sha256.items())).encode()).hexdigest()

    @cached_property
    def vocabulary(self) -> Vocabulary | WordPieces:
        """Words, and for a T5 labels, as ids and back.

        Raises:
            BackboneError: it is missing or damaged, or has more pieces than the model.
        """
        path = self._checked(self.VOCABULARY, TOKENIZER)
        vocabulary = self.read_vocabulary(path)
        # a control needs no more of a backbone than its vocabulary
        config = read_json(self._checked(CONFIG), error=BackboneError) if CONFIG in self._manifest.sha256 else None
        known = config.get("vocab_size") if isinstance(config, dict) else None
        if isinstance(known, int) and vocabulary.size > known:
            message = f"has {vocabulary.size} pieces, and the model knows {known}"
            raise BackboneError(message, file=path, remedy=f"take the {path.name} that belongs to the weights")
        return vocabulary

    @cached_property
    def config(self) -> PretrainedConfig:
        """The configuration of the model."""
        return self.read_config(self._checked(CONFIG))

    @classmethod
    def read_config(cls, file: Path) -> PretrainedConfig:
        """The configuration in a `config.json`.

        Raises:
            BackboneError: it cannot be read, or has sizes that are no numbers.
        """
        with _loaded(file):
            config = cls.config_class().from_pretrained(file.parent, local_files_only=True)
        if wrong := [name for name in cls.SIZES if type(getattr(config, name)) is not int]:
            raise BackboneError(f"'{wrong[0]}' is no number", file=file, remedy="get the model again from where it is whole")
        return config

    @loading
    def model(self) -> PreTrainedModel:
        """The model, loaded anew in float32: a `T5ForConditionalGeneration` or a `BertModel`.

        Raises:
            BackboneError: it cannot be loaded, its weights are no numbers, or its files are not those of its manifest.
        """
        import torch

        from hyperloader.models.weights import unfit

        for name in self._manifest.sha256:
            self._checked(name)
        path = self._path
        options = {"local_files_only": True, "use_safetensors": True, "dtype": torch.float32, "output_loading_info": True}
        with _loaded(path):
            model, info = self._load(path, options)
        if info["missing_keys"]:
            raise BackboneError(f"has no weights for {min(info['missing_keys'])}", file=path, remedy="get the model of its config.json")
        if problems := unfit(dict(model.named_parameters())):
            raise BackboneError(f"its weight {problems[0]}", file=path, remedy="get the model again from where it is whole")
        return model

    def copy_to(self, folder: Path) -> None:
        """Write a backbone of the same files, and so of the same checksum, to a new folder.

        Raises:
            BackboneError: a file is not that of the manifest.
        """
        (folder / MODEL).mkdir(parents=True)
        for name in self._manifest.sha256:
            shutil.copyfile(self._checked(name), folder / MODEL / Path(name).name)
        if there(self.folder / SETTINGS):
            shutil.copyfile(self.folder / SETTINGS, folder / SETTINGS)
        self._manifest.model_copy(update={"path": MODEL}).write(folder / MANIFEST)

    @staticmethod
    @abstractmethod
    def read_vocabulary(path: Path) -> Vocabulary | WordPieces:
        """The vocabulary in a file of this kind."""

    @staticmethod
    @abstractmethod
    def config_class() -> type[PretrainedConfig]:
        """The class of the model's configuration."""

    @staticmethod
    @abstractmethod
    def empty_model(config: PretrainedConfig) -> PreTrainedModel:
        """A model of these sizes, with weights drawn at random."""

    @abstractmethod
    def _load(self, path: Path, options: dict[str, Any]) -> tuple[PreTrainedModel, dict[str, Any]]:
        """The model and what Transformers says of its loading."""

    @property
    def _path(self) -> Path:
        return self.folder / self._manifest.path

    def _checked(self, *names: str) -> Path:
        """The path of a file, the first of those that the manifest has.

        Raises:
            BackboneError: it is damaged, or was replaced after runs were trained on the former one.
        """
        checksums = self._manifest.sha256
        name = next((name for name in names if name in checksums), names[0])
        path = self._path / Path(name).name
        if name not in checksums or not there(path) or sha256(path) != checksums[name]:
            raise BackboneError("missing, or not the file of the manifest", file=path, remedy=BackboneManifest.remedy(self.folder))
        return path


class T5Backbone(Backbone):
    """A T5 with its sentencepiece vocabulary."""

    kind = "t5"
    VOCABULARY, EXAMPLE = "spiece.model", "google-t5/t5-base"
    SIZES = ("vocab_size", "d_model", "d_kv", "d_ff", "num_layers", "num_heads")

    @staticmethod
    def read_vocabulary(path: Path) -> Vocabulary:
        from hyperloader.text.t5_vocabulary import Vocabulary

        return Vocabulary(path)

    @staticmethod
    def config_class() -> type[PretrainedConfig]:
        from transformers import T5Config

        return T5Config

    @staticmethod
    def empty_model(config: PretrainedConfig) -> PreTrainedModel:
        from transformers import T5ForConditionalGeneration

        return T5ForConditionalGeneration(config)

    def _load(self, path: Path, options: dict[str, Any]) -> tuple[PreTrainedModel, dict[str, Any]]:
        from transformers import T5ForConditionalGeneration

        return T5ForConditionalGeneration.from_pretrained(path, **options)


class BertBackbone(Backbone):
    """A BERT with its WordPiece vocabulary, without the pooler: a summary of the sentence that tagging has no use for."""

    kind = "bert"
    VOCABULARY, EXAMPLE = "vocab.txt", "google-bert/bert-base-uncased"
    SIZES = ("vocab_size", "max_position_embeddings", "hidden_size", "num_hidden_layers", "num_attention_heads")

    @staticmethod
    def read_vocabulary(path: Path) -> WordPieces:
        from hyperloader.text.bert_vocabulary import WordPieces

        return WordPieces(path)

    @staticmethod
    def config_class() -> type[PretrainedConfig]:
        from transformers import BertConfig

        return BertConfig

    @staticmethod
    def empty_model(config: PretrainedConfig) -> PreTrainedModel:
        from transformers import BertModel

        return BertModel(config, add_pooling_layer=False)

    def _load(self, path: Path, options: dict[str, Any]) -> tuple[PreTrainedModel, dict[str, Any]]:
        from transformers import BertModel

        with _without_warnings():
            return BertModel.from_pretrained(path, add_pooling_layer=False, **options)


BACKBONES: dict[str, type[Backbone]] = {backbone.kind: backbone for backbone in (T5Backbone, BertBackbone)}


def open_backbone(folder: str | Path) -> Backbone:
    """The backbone in a folder.

    Raises:
        BackboneError: it is missing, or its manifest is damaged.
    """
    return BACKBONES[BackboneManifest.read(Path(folder) / MANIFEST).kind](folder)


def find_backbone(name: str | Path, file: Path, checksum: str | None, given: str | Path | None = None) -> Backbone:
    """The backbone that something trained names, which must be the one that it was trained on.

    Args:
        name: a path; a relative one, as in a run of the workflow, is looked for beside `file` and in the folders around it, then in the
            working directory.
        file: which names it.
        checksum: of the one that it was trained on; None if it is not known, and there is nothing to compare.
        given: a folder to take it from, whatever `file` names.

    Raises:
        BackboneError: it is missing, damaged or another one.
    """
    place = near(name, file, holds=MANIFEST) if given is None else Path(given)
    if not there(place / MANIFEST):
        message = f"{place} is no folder of a backbone" if given else f"its backbone is not found: {name}"
        remedy = "give the folder with its manifest.json: --backbone FOLDER, in Python backbone=FOLDER"
        raise BackboneError(message, file=file, remedy=remedy)
    backbone = open_backbone(place)
    if checksum is None:
        log.warning("%s does not say what its backbone was: %s is taken for it", file, backbone.folder)
    elif backbone.checksum != checksum:
        own, other = checksum[:12], backbone.checksum[:12]
        message = f"not the backbone that {file.parent} was trained on: its checksum is {other}, and that one's {own}"
        remedy = f"give that one's folder, --backbone FOLDER, or name it under 'backbone' in {file}, or train again on this one"
        raise BackboneError(message, file=backbone.folder, remedy=remedy)
    return backbone


@contextmanager
def _loaded(path: Path) -> Iterator[None]:
    """One error for all that a damaged or hand-written model makes Transformers stumble over."""
    try:
        yield
    except Exception as error:  # of any type: sizes are checked nowhere
        raise BackboneError(f"cannot be loaded ({textwrap.shorten(str(error), 300)})", file=path) from None


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
