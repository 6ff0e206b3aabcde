"""Words and labels to sub-word ids and back.

Ids are put together from the pieces of each single word and the sentinels' own ids. Tokenising the interleaved text
would depend on the tokenizer's treatment of blanks beside sentinels, and newer ones let a sentinel eat the next blank;
the ids here are those of `T5Tokenizer(legacy=True)` on that text.

A label that the vocabulary does not read back as itself, such as `{person}` in T5's, stands there with what cannot be written
in hexadecimal, as in a URL: `%7Bperson%7D`.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote

import sentencepiece

from hyperloader.errors import BackboneError
from hyperloader.files import readable
from hyperloader.text.sentt import INSIDE, OUTSIDE, SENTINELS, check_length
from hyperloader.text.tokenizer_files import BLANK, SPELLED, read_unigram

PAD, EOS, UNKNOWN = 0, 1, 2


class Segments(NamedTuple):
    """Where things stand in a generated output.

    Attributes:
        start: the first id after the decoder's start token; `end` is the place of `</s>`, or the number of ids.
        order: the sentinels as they come, by number.
        places: of each sentinel, start and end of what stands between it and the next one; where it comes twice, of the first.
        complete: `</s>` was written, and nothing stands before the first sentinel or after the last.
    """

    start: int
    end: int
    order: list[int]
    places: dict[int, tuple[int, int]]
    complete: bool


class Vocabulary:
    """A T5 vocabulary: the pieces of a sentencepiece model, then 100 sentinels in descending order.

    Args:
        model: path of `spiece.model`, whose first pieces are `<pad>`, `</s>`, `<unk>`, or of `tokenizer.json`.

    Attributes:
        file: that path.
        size: number of ids.

    Raises:
        BackboneError: the file is missing or is not such a model.
    """

    def __init__(self, model: str | Path):
        self.file = Path(model)
        readable(self.file, error=BackboneError)
        source = {"model_proto": read_unigram(Path(model))} if Path(model).suffix == ".json" else {"model_file": str(model)}
        try:
            self._pieces = sentencepiece.SentencePieceProcessor(**source)
        except (OSError, RuntimeError) as error:
            raise BackboneError(f"not a sentencepiece model ({str(error).splitlines()[0]})", file=model) from None
        if (self._pieces.pad_id(), self._pieces.eos_id(), self._pieces.unk_id()) != (PAD, EOS, UNKNOWN):
            raise BackboneError("<pad>, </s> and <unk> are not the first three pieces, as in T5's vocabulary", file=model)
        self._piece_count = self._pieces.get_piece_size()
        self.size = self._piece_count + SENTINELS
        self.pieces = lru_cache(maxsize=200_000)(self._encode)
        self.label_pieces = lru_cache(maxsize=200_000)(self._encode_label)
        self._labels = lru_cache(maxsize=200_000)(self._decode)

    def _encode(self, word: str) -> tuple[int, ...]:
        return tuple(self._pieces.encode(word))

    def _encode_label(self, label: str) -> tuple[int, ...]:
        return self.pieces(self.written(label))

    def written(self, label: str) -> str:
        """The text that stands for a label: the label itself, if it is read back from that.

        Otherwise `%` and each character that cannot be written are replaced by their bytes in UTF-8, as in a URL; where that is not
        enough, since characters change their neighbours, all but ASCII letters and digits.
        """
        escaped = (
            "".join(character if kept(character) else _hexadecimal(character) for character in label)
            for kept in (lambda own: own != "%" and self._reads_back(own, own), lambda own: own.isascii() and own.isalnum())
        )
        return next((text for text in (label, *escaped) if self._reads_back(text, label)), label)

    def writes(self, label: str) -> bool:
        """Whether a label is read back from its pieces; if not, nothing that a model writes can be this label."""
        return self._reads_back(self.written(label), label)

    def _reads_back(self, text: str, label: str) -> bool:
        return self.label(self.pieces(text)) == label

    def reads(self, word: str) -> bool:
        """Whether a word is more to it than unknown, or than three and more single letters."""
        pieces = self.pieces(word)
        longest = max((len(self._pieces.id_to_piece(piece).replace(BLANK, "")) for piece in pieces), default=0)
        return UNKNOWN not in pieces and (longest > 1 or len(word) < SPELLED)

    def sentinel(self, index: int) -> int:
        """Id of sentinel `index`, 0 to 99."""
        return self.size - 1 - index

    def encode(self, words: Sequence[str], max_length: int | None = None) -> list[int]:
        """Ids of `s0 x1 s1 ... xL sL </s>`; an empty word leaves its two sentinels side by side.

        Args:
            words: of a sentence.
            max_length: longer results are cut to this many ids, the last of them `</s>`.

        Raises:
            FormatError: more than 99 words.
        """
        return self._interleave([self.pieces(word) for word in words], max_length)

    def encode_labels(self, labels: Sequence[str], max_length: int | None = None) -> list[int]:
        """Ids of `s0 t1 s1 ... tL sL </s>`, the target of a sentence.

        Args:
            labels: in sBIO.
            max_length, and errors: see `encode`.
        """
        return self._interleave([self.label_pieces(label) for label in labels], max_length)

    def _interleave(self, items: Sequence[Sequence[int]], max_length: int | None) -> list[int]:
        check_length(items)
        ids = [self.sentinel(0)]
        for index, pieces in enumerate(items, 1):
            ids.extend(pieces)
            ids.append(self.sentinel(index))
        if max_length is not None:
            del ids[max_length - 1 :]
        ids.append(EOS)
        return ids

    def label(self, pieces: Sequence[int]) -> str:
        """The label that stands in pieces; empty for ids that are no pieces, or `<unk>`."""
        return self._labels(tuple(pieces))

    def _decode(self, pieces: tuple[int, ...]) -> str:
        known = all(0 <= piece < self._piece_count and piece != UNKNOWN for piece in pieces)
        return unquote(self._pieces.decode(list(pieces)).strip()) if known else ""

    def segments(self, ids: Sequence[int]) -> Segments:
        """Part the ids that a model wrote at their sentinels; everything is read up to `</s>`.

        Args:
            ids: generated ids, with or without the decoder's start token.
        """
        start = 1 if len(ids) and ids[0] == PAD else 0
        end = next((place for place in range(start, len(ids)) if ids[place] == EOS), len(ids))
        marks = [place for place in range(start, end) if 0 <= self.size - 1 - ids[place] < SENTINELS]
        order = [self.size - 1 - int(ids[place]) for place in marks]
        places: dict[int, tuple[int, int]] = {}
        for index, mark, following in zip(order, marks, [*marks[1:], end], strict=False):
            places.setdefault(index, (mark + 1, following))
        complete = end < len(ids) and bool(marks) and marks[0] == start and marks[-1] == end - 1
        return Segments(start, end, order, places, complete)

    def read(self, ids: Sequence[int], length: int, known: Collection[str]) -> tuple[list[str], bool]:
        """Labels from the ids that a model wrote, aligned by sentinel.

        Label i is what stands between sentinel i-1 and the next sentinel, whichever that is. Where a sentinel comes twice, the
        first counts; where it is missing, or what stands there is no known label, the word is outside. The order of the sentinels
        does not matter, nor does what stands before the first or after that of the last word.

        Args:
            ids: generated ids, with or without the decoder's start token and padding.
            length: number of words L.
            known: the slot types of the corpus.

        Returns:
            L sBIO labels, and whether anything but `s0 t1 s1 ... tL sL </s>` with known labels was written.
        """
        segments = self.segments(ids)
        written = [self.label(ids[slice(*segments.places.get(index, (0, 0)))]) for index in range(length)]
        labels = [_known(label, known) for label in written]
        return labels, labels != written or not segments.complete or segments.order != list(range(length + 1))

    def read_in_order(self, ids: Sequence[int], length: int, known: Collection[str]) -> list[str]:
        """Labels from the ids that a model wrote, aligned by their order, as the authors scored.

        Sentinels are stripped and the text is split at its blanks; the n-th part is the label of the n-th word. One part too many or
        too few therefore shifts all labels after it. What is too long is cut, missing labels and unknown ones are outside.

        Args:
            ids, length, known: see `read`.
        """
        segments = self.segments(ids)
        kept = [int(token) for token in ids[segments.start : segments.end] if PAD < token < self._piece_count]
        labels = [_known(unquote(label), known) for label in self._pieces.decode(kept).split()[:length]]
        return labels + [OUTSIDE] * (length - len(labels))

    def text(self, ids: Sequence[int]) -> str:
        """Readable form of ids, sentinels as `<extra_id_i>`, up to `</s>`."""
        parts: list[str] = []
        run: list[int] = []
        for token in [*ids, EOS]:
            index = self.size - 1 - token
            special = token == EOS or 0 <= index < SENTINELS
            if special:
                if run:
                    parts.append(self._pieces.decode(run))
                    run = []
                if token == EOS:
                    break
                parts.append(f"<extra_id_{index}>")
            elif token != PAD and token < self._piece_count:
                run.append(int(token))
        return " ".join(parts)


def _hexadecimal(character: str) -> str:
    return "".join(f"%{byte:02X}" for byte in character.encode())


def _known(label: str, known: Collection[str]) -> str:
    return label if label in known or label in (OUTSIDE, INSIDE) else OUTSIDE
