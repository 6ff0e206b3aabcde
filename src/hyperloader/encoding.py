"""Words and labels to sub-word ids and back.

Ids are put together from the pieces of each single word and the sentinels' own ids. Tokenising the interleaved text
would depend on the tokenizer's treatment of blanks beside sentinels, and newer ones let a sentinel eat the next blank;
the ids here are those of `T5Tokenizer(legacy=True)` on that text.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import lru_cache
from pathlib import Path

import sentencepiece

from hyperloader.errors import BackboneError
from hyperloader.sentt import INSIDE, OUTSIDE, SENTINELS, check_length

PAD, EOS = 0, 1


class Vocabulary:
    """A T5 vocabulary: the pieces of a sentencepiece model, then 100 sentinels in descending order.

    Args:
        model: path of `spiece.model`, whose first pieces are `<pad>`, `</s>`, `<unk>`.

    Raises:
        BackboneError: the file is missing or is not such a model.
    """

    def __init__(self, model: str | Path):
        try:
            self._pieces = sentencepiece.SentencePieceProcessor(model_file=str(model))
        except (OSError, RuntimeError) as error:
            raise BackboneError(f"not a sentencepiece model ({str(error).splitlines()[0]})", file=model) from None
        if (self._pieces.pad_id(), self._pieces.eos_id()) != (PAD, EOS):
            raise BackboneError("<pad> and </s> are not the first two pieces, as in T5's vocabulary", file=model)
        self.size = self._pieces.get_piece_size() + SENTINELS
        self.pieces = lru_cache(maxsize=200_000)(self._encode)

    def _encode(self, word: str) -> tuple[int, ...]:
        return tuple(self._pieces.encode(word))

    def sentinel(self, index: int) -> int:
        """Id of sentinel `index`, 0 to 99."""
        return self.size - 1 - index

    def encode(self, items: Sequence[str], max_length: int | None = None) -> list[int]:
        """Ids of `s0 item1 s1 ... itemL sL </s>`; an empty item leaves its two sentinels side by side.

        Args:
            items: the words of a sentence, or its sBIO labels.
            max_length: longer results are cut to this many ids, the last of them `</s>`.

        Raises:
            FormatError: more than 99 items.
        """
        check_length(items)
        ids = [self.sentinel(0)]
        for index, item in enumerate(items, 1):
            ids.extend(self.pieces(item))
            ids.append(self.sentinel(index))
        if max_length is not None:
            del ids[max_length - 1 :]
        ids.append(EOS)
        return ids

    def read(self, ids: Sequence[int], length: int, known: Collection[str]) -> tuple[list[str], bool]:
        """Labels from the ids that a model wrote, aligned by sentinel.

        Label i is what stands between sentinel i-1 and the next sentinel. Where a sentinel comes twice, the first
        counts; where one is missing, or the label is not a known one, the word is outside.

        Args:
            ids: generated ids, with or without the decoder's start token and padding.
            length: number of words L.
            known: the slot types of the corpus.

        Returns:
            L sBIO labels, and whether anything but `s0 t1 s1 ... tL sL </s>` with known labels was written.
        """
        if len(ids) and ids[0] == PAD:
            ids = ids[1:]
        written: dict[int, list[int]] = {}
        order: list[int] = []
        current: list[int] = []
        stray = ended = False
        for token in ids:
            if token == EOS:
                ended = True
                break
            index = self.size - 1 - token
            if 0 <= index < SENTINELS:
                order.append(index)
                current = []
                written.setdefault(index, current)
            else:
                current.append(int(token))
                stray = stray or not order
        labels, unknown = [], False
        for index in range(length):
            label = self._pieces.decode(written.get(index, [])).strip()
            if label not in known and label not in (OUTSIDE, INSIDE):
                label, unknown = OUTSIDE, True
            labels.append(label)
        malformed = unknown or stray or not ended or order != list(range(length + 1)) or bool(current)
        return labels, malformed

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
            elif token != PAD and token < self._pieces.get_piece_size():
                run.append(int(token))
        return " ".join(parts)
