"""What the label of a word may be, before the model has seen it: the label that the word had last."""

from __future__ import annotations

from collections.abc import Sequence

from hyperloader.formulations.decoding.labels import OUT


class Guesses:
    """A dictionary of words and their labels, by the word before and by themselves; a wrong guess costs time, never a token."""

    def __init__(self):
        self._after: dict[tuple[str | None, str], int] = {}
        self._anywhere: dict[str, int] = {}

    def learn(self, words: Sequence[str], labels: Sequence[int]) -> None:
        """Remember the labels, by number, of a sentence's words."""
        self._after.update(zip(zip((None, *words), words, strict=False), labels, strict=True))
        self._anywhere.update(zip(words, labels, strict=True))

    def copy(self) -> Guesses:
        """The same dictionary, to be learned into apart from this one."""
        other = Guesses()
        other._after, other._anywhere = self._after.copy(), self._anywhere.copy()
        return other

    def guess(self, words: Sequence[str]) -> list[int]:
        """The number of a label for each word of a sentence; `O` for unknown words."""
        pairs = zip((None, *words), words, strict=False)
        return [self._after.get(pair, self._anywhere.get(word, OUT)) for pair, word in zip(pairs, words, strict=True)]
