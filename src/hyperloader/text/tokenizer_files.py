"""`tokenizer.json`, which current Transformers save in place of T5's `spiece.model` and BERT's `vocab.txt`.

It can describe more than those two, so that only a part of it is read, the vocabulary, and `check_tokenizer` sees that words are cut
as the whole file says.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from sentencepiece import sentencepiece_model_pb2 as protobuf
from tokenizers import Tokenizer

from hyperloader.errors import BackboneError
from hyperloader.files import read_json
from hyperloader.text.sentt import SENTINELS, sentinel

CONTROL_PIECES = ("<pad>", "</s>", "<unk>")
# sentencepiece's mark of where a word begins
BLANK = "\u2581"
# a shorter word of single letters is an abbreviation rather than one that a vocabulary does not know
SPELLED = 3
# what is cut differently with another normaliser or with capitals
WORDS = ("a", "Café", "naïve", "\ufb01ne", "\uff21\uff22", "½", "…", "中文", "e\u0301", "MON.S", "{person}", "don't", "10%")


def unigram(pieces: Iterable[tuple[str, float]], charsmap: bytes = b"") -> bytes:
    """A sentencepiece model in the layout of T5's: its three control pieces, then pieces with their logarithmic probabilities.

    Args:
        pieces: those after the control pieces.
        charsmap: how text is normalised, in sentencepiece's own form; as it is, if empty.
    """
    model = protobuf.ModelProto()
    model.trainer_spec.model_type = protobuf.TrainerSpec.UNIGRAM
    model.trainer_spec.pad_id, model.trainer_spec.eos_id = 0, 1
    model.trainer_spec.unk_id, model.trainer_spec.bos_id = 2, -1
    model.trainer_spec.pad_piece = CONTROL_PIECES[0]
    model.normalizer_spec.name = "precompiled" if charsmap else "identity"
    model.normalizer_spec.precompiled_charsmap = charsmap
    model.normalizer_spec.add_dummy_prefix = True
    kind = protobuf.ModelProto.SentencePiece
    for piece, role in zip(CONTROL_PIECES, (kind.CONTROL, kind.CONTROL, kind.UNKNOWN), strict=True):
        model.pieces.add(piece=piece, score=0.0, type=role)
    for piece, score in pieces:
        model.pieces.add(piece=piece, score=score, type=kind.NORMAL)
    return model.SerializeToString(deterministic=True)


def read_unigram(path: Path) -> bytes:
    """The sentencepiece model in a T5's `tokenizer.json`.

    Raises:
        BackboneError: the file is damaged or of another kind.
    """
    content = _read(path)
    try:
        pieces = [(piece, float(score)) for piece, score in _of_type(content, "Unigram")["vocab"]]
        if tuple(piece for piece, _ in pieces[: len(CONTROL_PIECES)]) != CONTROL_PIECES:
            raise ValueError(f"its first pieces are not {', '.join(CONTROL_PIECES)}")
        while pieces[-1][0].startswith("<extra_id_"):  # the sentinels, which spiece.model lacks
            pieces.pop()
        return unigram(pieces[len(CONTROL_PIECES) :], base64.b64decode(_charsmap(content.get("normalizer"))))
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise _unlike(path, error) from None


def read_word_pieces(path: Path) -> list[str]:
    """The pieces in a BERT's `tokenizer.json`, in the order of their ids.

    Raises:
        BackboneError: the file is damaged or of another kind.
    """
    content = _read(path)
    try:
        ids = _of_type(content, "WordPiece")["vocab"]
        if sorted(ids.values()) != list(range(len(ids))):
            raise ValueError("the ids of its pieces have gaps")
        return sorted(ids, key=ids.__getitem__)
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise _unlike(path, error) from None


def check_tokenizer(path: Path, vocabulary: Any) -> None:
    """See that words are cut by a vocabulary as by the `tokenizer.json` that it was read from.

    Args:
        path: of the file.
        vocabulary: a `t5_vocabulary.Vocabulary`, whose sentinels have to be those of the file, or `bert_vocabulary.WordPieces`.

    Raises:
        BackboneError: they are cut otherwise.
    """
    content = _read(path)
    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # of that type, whatever is wrong
        raise _unlike(path, error) from None
    t5 = content["model"]["type"] == "Unigram"
    if t5 and any(tokenizer.token_to_id(sentinel(index)) != vocabulary.sentinel(index) for index in range(SENTINELS)):
        raise _unlike(path, "its sentinels are not the 100 ids after its pieces")
    special = {token["content"] for token in content.get("added_tokens", ())}
    pieces = {piece.replace(BLANK, "") if t5 else piece.removeprefix("##") for piece in tokenizer.get_vocab() if piece not in special}
    words = [*WORDS, *sorted(pieces - {""} - special)]
    # after another word, since some files have a mark for its beginning, and some have none before the first word
    before = len(tokenizer.encode("a", add_special_tokens=False).ids)
    for word, encoding in zip(words, tokenizer.encode_batch([f"a {word}" for word in words], add_special_tokens=False), strict=True):
        if (tuple(encoding.ids[before:]) or (tokenizer.token_to_id("[UNK]"),)) != vocabulary.pieces(word):
            raise _unlike(path, f"it cuts the word {word!r} otherwise")


def _read(path: Path) -> Any:
    return read_json(path, remedy="save the tokenizer again", error=BackboneError)


def _of_type(content: Mapping, kind: str) -> Mapping:
    if content["model"]["type"] != kind:
        raise ValueError(f"its model is no {kind}")
    return content["model"]


def _charsmap(normalizer: Mapping | None) -> str:
    """Of a normaliser, or of the one among several that has one."""
    if normalizer is None:
        return ""
    inner = (_charsmap(own) for own in normalizer.get("normalizers", ()))
    return normalizer.get("precompiled_charsmap") or next(filter(None, inner), "")


def _unlike(path: Path, reason: object) -> BackboneError:
    message = f"is no tokenizer of a T5 or an uncased BERT ({reason})"
    return BackboneError(message, file=path, remedy="put the spiece.model (T5) or vocab.txt (BERT) of the original model beside it")
