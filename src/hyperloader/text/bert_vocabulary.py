"""BERT's vocabulary: words <-> WordPiece ids, and vocabularies for BERTs that are pre-trained here.

Words are lower-cased, stripped of accents and parted at punctuation, as by BERT's uncased tokenizer.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from string import ascii_uppercase

from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers

from hyperloader.errors import BackboneError
from hyperloader.files import reading
from hyperloader.text.tokenizer_files import SPELLED, read_word_pieces

PAD, UNKNOWN, START, END, MASK = SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
CONTINUATION = "##"
VOCABULARY_SIZE = 6000


class WordPieces:
    """A WordPiece vocabulary.

    Args:
        path: of `vocab.txt`, one piece a line, among them BERT's five special ones, or of `tokenizer.json`.

    Attributes:
        size: number of pieces.
        pad, unknown, start, end, mask: ids of the special pieces.
        texts: what each other id stands for.

    Raises:
        BackboneError: the file is missing or is not such a vocabulary, or is that of a cased BERT.
    """

    def __init__(self, path: str | Path):
        ids = _read(Path(path))
        self.size = len(ids)
        self.pad, self.unknown, self.start, self.end, self.mask = (ids[piece] for piece in SPECIAL)
        self.texts = {index: piece.removeprefix(CONTINUATION) for piece, index in ids.items() if piece not in SPECIAL}
        self._tokenizer = _tokenizer(ids)
        self.pieces = lru_cache(maxsize=200_000)(self._encode)

    def _encode(self, word: str) -> tuple[int, ...]:
        # nothing is left of control characters, yet each word needs a place of its own
        return tuple(self._tokenizer.encode(word, add_special_tokens=False).ids) or (self.unknown,)

    def reads(self, word: str) -> bool:
        """Whether a word is more to it than unknown, or than three and more single letters."""
        pieces = self.pieces(word)
        return self.unknown not in pieces and (len(word) < SPELLED or max(len(self.texts[piece]) for piece in pieces) > 1)


def write_word_vocabulary(words: Iterable[str], path: Path) -> None:
    """Write a vocabulary in which every given word is one piece, as far as it has no punctuation within."""
    tokenizer = _tokenizer({UNKNOWN: 0})
    parts = (part for word in words for part, _ in tokenizer.pre_tokenizer.pre_tokenize_str(tokenizer.normalizer.normalize_str(word)))
    _write([*SPECIAL, *parts], path)


def write_trained_vocabulary(words: Iterable[str], size: int, path: Path) -> None:
    """Write a WordPiece vocabulary of a size trained on the words of a text, repetitions included; no character of it is unknown."""
    words = list(words)
    tokenizer = _tokenizer({UNKNOWN: 0})
    characters = {character for word in set(words) for character in tokenizer.normalizer.normalize_str(word) if not character.isspace()}
    # the trainer numbers the continuing characters in a random order, which breaks ties between pieces; named here, they have a fixed one
    continuing = [CONTINUATION + character for character in sorted(characters)]
    trainer = trainers.WordPieceTrainer(vocab_size=size, special_tokens=[*SPECIAL, *continuing], show_progress=False)
    tokenizer.train_from_iterator(words, trainer)
    ids = tokenizer.get_vocab()
    _write(sorted(ids, key=ids.__getitem__), path)


def _tokenizer(ids: dict[str, int]) -> Tokenizer:
    # without special pieces: those of the text `[MASK]` are `[`, `mask`, `]`
    tokenizer = Tokenizer(models.WordPiece(ids, unk_token=UNKNOWN))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    return tokenizer


def _read(path: Path) -> dict[str, int]:
    remedy = "take the vocab.txt that belongs to the weights, one piece a line"
    try:
        # not splitlines(): pieces may be separators of Unicode
        if path.suffix == ".json":
            pieces = read_word_pieces(path)
        else:
            with reading(path, remedy=remedy, error=BackboneError):
                pieces = path.read_text(encoding="utf-8").removesuffix("\n").split("\n")
    except UnicodeDecodeError:
        raise BackboneError("is not a text in UTF-8", file=path, remedy=remedy) from None
    ids: dict[str, int] = {}
    for number, piece in enumerate(pieces):
        if piece in ids:
            raise BackboneError(f"the piece '{piece}' comes twice", file=path, line=number + 1, remedy=remedy)
        ids[piece] = number
    missing = [piece for piece in SPECIAL if piece not in ids]
    if missing:
        raise BackboneError(f"is not a vocabulary of BERT: it has no {', '.join(missing)}", file=path, remedy=remedy)
    if capitals := [letter for letter in ascii_uppercase if letter in ids]:
        message = f"is the vocabulary of a cased BERT (it has the piece '{capitals[0]}'), and words are read in lower case"
        raise BackboneError(message, file=path, remedy="take an uncased BERT, such as google-bert/bert-base-uncased")
    return ids


def _write(pieces: Iterable[str], path: Path) -> None:
    path.write_text("".join(f"{piece}\n" for piece in dict.fromkeys(pieces)), encoding="utf-8", newline="\n")
