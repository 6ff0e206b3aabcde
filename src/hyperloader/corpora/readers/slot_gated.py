"""The slot-gated format of ATIS and SNIPS: line n of `seq.in`, `seq.out` and `label` belong together.

`seq.in` holds words, `seq.out` their BIO tags, `label` the intent of the sentence. Words are parted by runs of
blanks, which SNIPS also has at both ends of lines.
"""

from __future__ import annotations

from pathlib import Path

from hyperloader.corpora.readers.checks import check_tag, read_lines
from hyperloader.errors import CorpusError
from hyperloader.text.sentences import Sentence


def read(folder: Path) -> list[Sentence]:
    """Read one split.

    Args:
        folder: holds `seq.in`, `seq.out` and `label`.

    Raises:
        CorpusError: a file is missing or damaged, or the files do not match.
    """
    words, tags, intents = (read_lines(folder / name) for name in ("seq.in", "seq.out", "label"))
    for name, lines in (("seq.out", tags), ("label", intents)):
        if len(lines) != len(words):
            raise CorpusError(
                f"{len(lines)} lines, expected {len(words)} as in seq.in",
                file=folder / name,
                line=min(len(lines), len(words)) + 1,
            )
    return [_sentence(*pair, folder, number) for number, pair in enumerate(zip(words, tags, strict=True), start=1)]


def _sentence(words: str, tags: str, folder: Path, line: int) -> Sentence:
    sentence = Sentence(tuple(words.split()), tuple(tags.split()))
    if not sentence.words:
        raise CorpusError("no words, expected a sentence", file=folder / "seq.in", line=line)
    if len(sentence.tags) != len(sentence.words):
        raise CorpusError(
            f"{len(sentence.tags)} tags, expected {len(sentence.words)}, one for each word of seq.in",
            file=folder / "seq.out",
            line=line,
        )
    for tag in sentence.tags:
        check_tag(tag, folder / "seq.out", line)
    return sentence
