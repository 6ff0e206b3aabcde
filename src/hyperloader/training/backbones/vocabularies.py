"""Vocabularies for backbones that are pre-trained here: whole words, or T5's own sub-words cut to those in use.

Both are sentencepiece models with T5's first three pieces, so everything that reads T5's `spiece.model` reads them.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import sentencepiece
from sentencepiece import sentencepiece_model_pb2 as protobuf

CONTROL_PIECES = ("<pad>", "</s>", "<unk>")


def write_word_vocabulary(words: Iterable[str], path: Path) -> None:
    """Write a vocabulary in which every given word is one piece."""
    model = protobuf.ModelProto()
    model.trainer_spec.model_type = protobuf.TrainerSpec.WORD
    model.trainer_spec.pad_id, model.trainer_spec.eos_id = 0, 1
    model.trainer_spec.unk_id, model.trainer_spec.bos_id = 2, -1
    model.trainer_spec.pad_piece = CONTROL_PIECES[0]
    model.normalizer_spec.name = "identity"
    model.normalizer_spec.add_dummy_prefix = True
    kind = protobuf.ModelProto.SentencePiece
    for piece, role in zip(CONTROL_PIECES, (kind.CONTROL, kind.CONTROL, kind.UNKNOWN), strict=True):
        model.pieces.add(piece=piece, score=0.0, type=role)
    for word in dict.fromkeys(words):
        model.pieces.add(piece=f"\u2581{word}", score=0.0, type=kind.NORMAL)
    path.write_bytes(model.SerializeToString(deterministic=True))


def write_cut_vocabulary(full: Path, words: Iterable[str], path: Path) -> None:
    """Write the part of a unigram vocabulary that some words use, and every single character.

    Taking out pieces that the best segmentation of a word does not use leaves that segmentation the best, so the given
    words keep theirs; other words fall apart into smaller pieces.

    Args:
        full: T5's `spiece.model`.
        words: the words (and labels) whose segmentation is kept.
        path: where to write.
    """
    segmenter = sentencepiece.SentencePieceProcessor(model_file=str(full))
    used = {piece for word in dict.fromkeys(words) for piece in segmenter.encode(word)}
    model = protobuf.ModelProto()
    model.ParseFromString(full.read_bytes())
    normal = protobuf.ModelProto.SentencePiece.NORMAL
    kept = [piece for index, piece in enumerate(model.pieces) if index in used or piece.type != normal or len(piece.piece) == 1]
    del model.pieces[:]
    model.pieces.extend(kept)
    path.write_bytes(model.SerializeToString(deterministic=True))
