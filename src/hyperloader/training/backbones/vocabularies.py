"""Vocabularies for backbones that are pre-trained here: whole words, sub-words of a text, or T5's own cut to those in use.

All are sentencepiece models with T5's first three pieces, so everything that reads T5's `spiece.model` reads them. All can write
any label: the first two in ASCII's characters, the third in T5's.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from pathlib import Path
from string import ascii_letters, digits, punctuation

import sentencepiece
from sentencepiece import sentencepiece_model_pb2 as protobuf

from hyperloader.errors import BackboneError
from hyperloader.text.tokenizer_files import BLANK, unigram

ASCII = ascii_letters + digits + punctuation


def write_word_vocabulary(words: Iterable[str], path: Path, characters: str = "") -> None:
    """Write a vocabulary in which every given word is one piece, and other words are put together from characters.

    Args:
        words: in the order of their ids.
        path: where to write.
        characters: what other words can hold, and labels; a character that is none of them is unknown.
    """
    # the likeliest pieces are taken: a word as a whole costs nothing, each character does
    pieces = [(BLANK + word, 0.0) for word in dict.fromkeys(words)]
    spelt = [(character, -1.0) for character in (BLANK, *characters)] if characters else []
    path.write_bytes(unigram([*pieces, *spelt]))


def write_trained_vocabulary(sentences: Iterable[Sequence[str]], labels: Iterable[str], size: int, path: Path) -> None:
    """Write a unigram vocabulary that is trained on a text, with each of some labels as one piece.

    A label that is one piece costs one step to write, and what is frozen need not know how it is spelt.

    Args:
        sentences: tokenised text.
        labels: in the order of their ids, the first ones.
        size: number of pieces of the text, those of ASCII's characters among them.
        path: where to write.

    Raises:
        BackboneError: the text has more characters than there are to be pieces.
    """
    trained = io.BytesIO()
    try:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=map(" ".join, sentences),
            model_writer=trained,
            vocab_size=size,
            hard_vocab_limit=False,
            required_chars=ASCII,
            character_coverage=1.0,
            normalization_rule_name="identity",
            bos_id=-1,
            eos_id=-1,
            num_threads=1,
            minloglevel=2,
        )
    except RuntimeError as error:
        # after the place in the library
        reason = str(error).rpartition("] ")[2].rstrip(".")
        raise BackboneError(f"no vocabulary of {size} pieces can be trained on the text ({reason})", remedy="raise 'pieces'") from None
    model = protobuf.ModelProto.FromString(trained.getvalue())
    pieces = {BLANK + label: 0.0 for label in labels}
    for piece in model.pieces:
        if piece.type == protobuf.ModelProto.SentencePiece.NORMAL:
            pieces.setdefault(piece.piece, piece.score)
    path.write_bytes(unigram(pieces.items()))


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
