"""Controls: methods without a network, between which every trained method should lie.

They run through the same stages as all others: `learn` instead of a training, then predictions and scores.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hyperloader.files import replacing_folder
from hyperloader.methods import Method
from hyperloader.records import LearnedRecord

if TYPE_CHECKING:
    from hyperloader.corpora.prepared import PreparedCorpus
    from hyperloader.corpora.readers import Sentence
    from hyperloader.formulations import Prediction

LEARNED = "learned.json"
Tag = Callable[["Sentence"], "Prediction"]


class Control(Method):
    """A method that needs no training loop; one run covers all corpora."""

    backbone = None

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
        LearnedRecord.write(temporary / LEARNED, {"corpora": learned})


def load_learned(folder: Path) -> dict[str, Any]:
    """Read what `save_learned` wrote.

    Raises:
        RunError: it is missing or damaged.
    """
    return LearnedRecord.read(folder / LEARNED)["corpora"]
