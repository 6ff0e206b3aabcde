"""Sentences as ids in flat, memory-mapped files: made once, shared by all runs and processes that read the same."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from hyperloader.config.settings import Training
from hyperloader.config.sources import sources
from hyperloader.corpora.prepared import MANIFEST, PreparedCorpus
from hyperloader.errors import CorpusError
from hyperloader.files import replacing_folder, sha256
from hyperloader.formulations import Formulation
from hyperloader.formulations.parts import whole_or_parts
from hyperloader.text.batches import Example

log = logging.getLogger(__name__)

FOLDER = "tokenised"
SIDES = ("source", "target")


class Tokenised(Sequence[Example]):
    """Encoded sentences of one split; one that is too long is several (docs/tagging.md).

    Args:
        folder: with two arrays for each side: all ids one after the other, and where each sentence's ids end; and which are cut.

    Raises:
        OSError, ValueError, EOFError: the folder is damaged.

    Attributes:
        lengths: source and target length of each sentence, shape (sentences, 2).
        cut: whether the recipe's lengths cut something off it, shape (sentences,).
    """

    def __init__(self, folder: Path):
        self._ids = [np.load(folder / f"{side}.npy", mmap_mode="r") for side in SIDES]
        self._ends = [np.load(folder / f"{side}_ends.npy") for side in SIDES]
        self.lengths = np.stack([np.diff(ends, prepend=0) for ends in self._ends], axis=1)
        self.cut = np.load(folder / "cut.npy")
        if [len(ids) for ids in self._ids] != [int(self.lengths[:, side].sum()) for side in range(len(SIDES))]:
            raise ValueError("not as many ids as the sentences have")
        if (self.cut.shape, self.cut.dtype) != (self.lengths[:, 0].shape, bool):
            raise ValueError("it does not say of each sentence whether it is cut")

    def __len__(self) -> int:
        return len(self.lengths)

    def __getitem__(self, index: int) -> Example:
        sides = zip(self._ids, self._ends, self.lengths[index], strict=True)
        return Example(*(ids[ends[index] - length : ends[index]] for ids, ends, length in sides), bool(self.cut[index]))


class Tokeniser:
    """Encodes splits of prepared corpora into folders beside them, each named by all that decides its ids.

    Args:
        formulation: how sentences become ids.
        training: for the longest source and target.
        backbone: checksum of the backbone, which holds the vocabulary.
    """

    def __init__(self, formulation: Formulation, training: Training, backbone: str):
        self.formulation, self._training = formulation, training
        code = sources("formulations", "training.tokenised", without=("formulations.decoding",))
        lengths = (formulation.room(training), training.target_length)
        self._common = [type(formulation).__name__, *map(str, lengths), backbone, *map(sha256, code)]

    def __call__(self, corpus: PreparedCorpus, split: str) -> Tokenised:
        """The sentences of a split, `train` or `validation`, at the corpus' fraction."""
        # of `datasets` too, the checksum of the manifest stands for the content
        parts = [
            *self._common,
            sha256(corpus.folder / MANIFEST),
            f"{corpus.percent:g}",
            *([] if corpus.shots is None else [f"{corpus.shots} shots"]),
            split,
        ]
        parts += map(str, self.formulation.prefix(corpus.name))
        folder = corpus.folder / FOLDER / hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]
        if not folder.is_dir():
            self._write(corpus, split, folder)
        try:
            return Tokenised(folder)
        except PermissionError:
            raise
        except (OSError, ValueError, EOFError) as error:
            remedy = f"delete it: it is made again of {corpus.folder}"
            raise CorpusError(f"damaged ({error})", file=folder, remedy=remedy) from None

    def _write(self, corpus: PreparedCorpus, split: str, folder: Path) -> None:
        def capacity(words: Sequence[str]) -> int:
            return self.formulation.capacity(words, self._training)

        sentences = [part for sentence in getattr(corpus, split) for part in whole_or_parts(sentence, capacity)]
        examples = self.formulation.encode(corpus.name, sentences, self._training)
        with replacing_folder(folder, first_wins=True) as temporary:
            for side in SIDES:
                rows = [getattr(example, side) for example in examples]
                flat = np.fromiter((id for row in rows for id in row), dtype=np.int32)
                np.save(temporary / f"{side}.npy", flat, allow_pickle=False)
                np.save(temporary / f"{side}_ends.npy", np.cumsum([len(row) for row in rows], dtype=np.int64), allow_pickle=False)
            np.save(temporary / "cut.npy", np.array([example.cut for example in examples], dtype=bool), allow_pickle=False)
        log.info("%s: %d sentences of %s as ids", corpus.title, len(examples), split)
