"""What a method is: a column of the paper's tables, or a control beside them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol

from hyperloader.config.settings import Decoding, Precision, Settings, validate
from hyperloader.errors import RunError, SettingsError
from hyperloader.files import there
from hyperloader.models.backbones import MANIFEST, open_backbone

if TYPE_CHECKING:
    from hyperloader.corpora.prepared import PreparedCorpus
    from hyperloader.formulations import Prediction
    from hyperloader.runs.run import Run
    from hyperloader.text.sentences import Sentence


class Predictor(Protocol):
    """A trained model that tags sentences."""

    tasks: tuple[str, ...]

    def predict(self, task: str, sentences: Sequence[Sentence]) -> list[Prediction]:
        """Tag sentences of one of the tasks; those that are too long in parts (docs/tagging.md)."""

    def learn(self, task: str, sentences: Sequence[Sentence]) -> None:
        """Take training sentences as hints, which make predicting faster and change no prediction."""

    def capacity(self, words: Sequence[str]) -> int:
        """How many of the words, from the first on, can be tagged as one sentence."""

    def readable(self, words: Sequence[str]) -> int:
        """How many of the words, from the first on, a model reads of them as one sentence; it is cut after these."""

    def gold_words(self, tags: Sequence[str]) -> int:
        """How many of a sentence's gold tags the authors' scorer saw."""

    def slot_types(self, task: str) -> tuple[str, ...] | None:
        """The slot types that can be predicted for a task; None where they are not known beforehand."""


class Method(ABC):
    """One column of the tables.

    Attributes:
        name: the name of its folder, used in settings and paths.
        title: its name in the paper's tables, the key into `workflow/published/`.
        backbone: the kind of backbone that it needs, if any.
        multitask: one run for all corpora, or one run for each.
        takes_tasks: whether a task can be added to a trained model (docs/new-tasks.md).
        library: that has to be installed for it, beside the package's own.
        trains_network: whether it trains one; a method without is a control, between which every trained method should lie.
        Settings: its hyper-parameters with the published values as defaults.
    """

    name: str
    title: str
    backbone: Literal["t5", "bert"] | None = None
    multitask: bool = True
    takes_tasks: ClassVar[bool] = False
    library: ClassVar[str | None] = None
    trains_network: ClassVar[bool]
    Settings: ClassVar[type[Settings]] = Settings

    def settings(self, values: dict) -> Settings:
        """Check settings that differ from the defaults."""
        return validate(self.Settings, values, f"settings of method {self.name}")

    def check(self, run: Run) -> None:
        """Refuse a run without the kind of backbone that this method needs, with several corpora for a BERT, or with a task added where
        that cannot be.

        Raises:
            SettingsError: its settings say so.
        """
        file, remedy = run.folder / run.SETTINGS, f"name the folder of a {self.backbone} under 'backbone'"
        if self.backbone and run.backbone is None:
            raise SettingsError(f"method {self.name} needs a backbone, and there is none", file=file, remedy=remedy)
        # of one that is not there, whoever opens it says where it was looked for
        if self.backbone and there(run.backbone / MANIFEST) and (kind := open_backbone(run.backbone).kind) != self.backbone:
            raise SettingsError(f"method {self.name} needs a {self.backbone}, and its backbone is a {kind}", file=file, remedy=remedy)
        if self.backbone == "bert" and len(run.settings.data) != 1:
            message = f"method {self.name} is on a BERT, which classifies the slot types of one corpus"
            raise SettingsError(message, file=file, remedy="name one under 'data'")
        if run.settings.added is not None:
            self.check_takes_tasks(run)

    def check_takes_tasks(self, run: Run) -> None:
        """Refuse to add a task to a run of this method, where that cannot be.

        Raises:
            RunError: it cannot.
        """
        if not self.takes_tasks:
            message = f"is of {self.name}, which has no hypernetwork and no place for one more task"
            raise RunError(message, file=run.folder, remedy="add it to a run of HyperLoader, HyperFormer++ or HyperFormer")

    @abstractmethod
    def train(self, run: Run, corpora: Sequence[PreparedCorpus], fingerprint: str, *, tensorboard: bool = False) -> dict[str, Any]:
        """Train what a run asks for, and write its model.

        Args:
            run: whose settings name this method.
            corpora: at the run's fraction.
            fingerprint: identifies settings, data and backbone; checkpoints of another one are not gone on from.
            tensorboard: write the losses for TensorBoard as well.

        Returns:
            What came of it: fields of `TrainingRecord`.
        """

    @abstractmethod
    def predictor(
        self, model: Path, run: Run | None, decoding: Decoding, precision: Precision, backbone: str | Path | None = None
    ) -> Predictor:
        """Load a trained model.

        Args:
            model: its folder.
            run: whose it is; None for a saved model by itself.
            decoding: how text is written, by a model that writes its answer.
            precision: of a network's weights and arithmetic.
            backbone: folder of the backbone, instead of the one that run or model name.

        Raises:
            UserError: it is missing or damaged.
        """
