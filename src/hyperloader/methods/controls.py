"""Controls: methods without a network, between which every trained method should lie.

They run through the same stages as all others: `learn` instead of a training, then predictions and scores.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter, ValidationError

from hyperloader.config.records import Record
from hyperloader.config.settings import Decoding, Name, Precision
from hyperloader.errors import RunError
from hyperloader.files import replacing_folder
from hyperloader.formulations.parts import predict_in_parts
from hyperloader.methods.method import Method
from hyperloader.models.backbones import Backbone, find_backbone
from hyperloader.runs.run import Run

if TYPE_CHECKING:
    from hyperloader.corpora.prepared import PreparedCorpus
    from hyperloader.formulations import Prediction
    from hyperloader.text.sentences import Sentence

LEARNED = "learned.json"
TagFunction = Callable[["Sentence"], "Prediction"]


class LearnedRecord(Record):
    """`learned.json`: what a control learned of each corpus."""

    WHAT, REMEDY = "what a control learned", "train this run again"

    corpora: dict[Name, Any]


class Control(Method):
    """A method that needs no training loop; one run covers all corpora.

    Attributes:
        Learned: the type of what it keeps of a corpus, as pydantic checks it.
    """

    trains_network = False
    Learned: Any = None

    def learn(self, corpus: PreparedCorpus) -> Any:
        """What it keeps of a corpus' training sentences, as JSON."""
        return None

    def slot_types(self, learned: Any) -> tuple[str, ...] | None:
        """The slot types that it can predict, given what `learn` returned; None where they are not known beforehand."""
        return None

    @abstractmethod
    def tagger(self, learned: Any, backbone: Backbone | None) -> TagFunction:
        """The function that tags a sentence of a corpus.

        Args:
            learned: what `learn` returned for that corpus.
            backbone: for a control that names one.
        """

    def train(self, run: Run, corpora: Sequence[PreparedCorpus], fingerprint: str, *, tensorboard: bool = False) -> dict[str, Any]:
        self.save(run.model, corpora)
        return {"parameters": {"total": 0, "trainable": 0, "live": 0}, "steps": 0, "curve": []}

    def predictor(
        self, model: Path, run: Run | None, decoding: Decoding, precision: Precision, backbone: str | Path | None = None
    ) -> ControlPredictor:
        own = None
        if run and self.backbone:
            own = find_backbone(run.settings.backbone, run.folder / Run.SETTINGS, run.record().checksums.backbone, backbone)
        return ControlPredictor(self, self.load(model), own)

    def save(self, model: Path, corpora: Iterable[PreparedCorpus]) -> None:
        """Learn of corpora, and write that to the folder of a model."""
        with replacing_folder(model) as temporary:
            LearnedRecord(corpora={corpus.name: self.learn(corpus) for corpus in corpora}).write(temporary / LEARNED)

    def load(self, model: Path) -> dict[str, Any]:
        """What `save` wrote, by corpus.

        Raises:
            RunError: it is missing or damaged, or nothing that this control can have learned.
        """
        learned = LearnedRecord.read(model / LEARNED).corpora
        try:
            return TypeAdapter(dict[str, self.Learned]).validate_python(learned)
        except ValidationError:
            raise RunError(f"not {LearnedRecord.WHAT}", file=model / LEARNED, remedy=LearnedRecord.REMEDY) from None


class ControlPredictor:
    """A control and what it learned.

    Args:
        control: which.
        learned: of each corpus.
        backbone: the run's, if it has one.
    """

    def __init__(self, control: Control, learned: dict[str, Any], backbone: Backbone | None):
        self._tag = {task: control.tagger(own, backbone) for task, own in learned.items()}
        self._slot_types = {task: control.slot_types(own) for task, own in learned.items()}
        self.tasks = tuple(learned)

    def predict(self, task: str, sentences: Sequence[Sentence]) -> list[Prediction]:
        return predict_in_parts(sentences, self.capacity, lambda parts: list(map(self._tag[task], parts)))

    def learn(self, task: str, sentences: Sequence[Sentence]) -> None:
        pass

    def capacity(self, words: Sequence[str]) -> int:
        return len(words)

    readable = capacity

    def gold_words(self, tags: Sequence[str]) -> int:
        return len(tags)

    def slot_types(self, task: str) -> tuple[str, ...] | None:
        return self._slot_types[task]
