"""Controls: methods without a network, between which every trained method should lie.

They run through the same stages as all others: `learn` instead of a training, then predictions and scores.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter, ValidationError

from hyperloader.config.records import Record
from hyperloader.config.settings import Name
from hyperloader.errors import RunError
from hyperloader.files import replacing_folder
from hyperloader.methods import Method

if TYPE_CHECKING:
    from hyperloader.corpora.prepared import PreparedCorpus
    from hyperloader.formulations import Prediction
    from hyperloader.text.sentences import Sentence

LEARNED = "learned.json"
Tag = Callable[["Sentence"], "Prediction"]


class LearnedRecord(Record):
    """`learned.json`: what a control learned of each corpus."""

    WHAT, REMEDY = "what a control learned", "train this run again"

    corpora: dict[Name, Any]


class Control(Method):
    """A method that needs no training loop; one run covers all corpora.

    Attributes:
        Learned: the type of what it keeps of a corpus, as pydantic checks it.
    """

    backbone = None
    Learned: Any = None

    def learn(self, corpus: PreparedCorpus) -> Any:
        """What it keeps of a corpus' training sentences, as JSON."""
        return None

    @abstractmethod
    def tagger(self, learned: Any, backbone: Path | None) -> Tag:
        """The function that tags a sentence of a corpus.

        Args:
            learned: what `learn` returned for that corpus.
            backbone: the folder of the backbone, for a control that names one.
        """


def save_learned(folder: Path, learned: dict[str, Any]) -> None:
    """Write what a control learned of each corpus to its `model/` folder."""
    with replacing_folder(folder) as temporary:
        LearnedRecord(corpora=learned).write(temporary / LEARNED)


def load_learned(folder: Path, control: Control) -> dict[str, Any]:
    """Read what `save_learned` wrote.

    Raises:
        RunError: it is missing or damaged, or nothing that this control can have learned.
    """
    learned = LearnedRecord.read(folder / LEARNED).corpora
    try:
        return TypeAdapter(dict[str, control.Learned]).validate_python(learned)
    except ValidationError:
        raise RunError(f"not {LearnedRecord.WHAT}", file=folder / LEARNED, remedy=LearnedRecord.REMEDY) from None
