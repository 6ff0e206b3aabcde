"""Methods that train a network on a backbone."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hyperloader.config.settings import Decoding, Precision, Settings, Training
from hyperloader.errors import SettingsError
from hyperloader.formulations.parts import predict_in_parts
from hyperloader.methods.method import Method
from hyperloader.models.backbones import open_backbone
from hyperloader.models.memory import memory_for
from hyperloader.runs.gpus import lease_gpu

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from hyperloader.corpora.prepared import PreparedCorpus
    from hyperloader.formulations import Prediction
    from hyperloader.models.task_model import TaskModel
    from hyperloader.runs.run import Run
    from hyperloader.text.sentences import Sentence

# modules that need torch are imported in functions: listing methods must stay cheap


class NetworkMethod(Method):
    """A method with a network: it says how its model is built, the rest is the same for all."""

    backbone = "t5"
    trains_network = True

    @abstractmethod
    def build(self, backbone: PreTrainedModel, tasks: Mapping[str, Sequence[str]], settings: Settings) -> TaskModel:
        """Attach this method to a loaded backbone.

        Args:
            backbone: a T5 or a BERT with its pre-trained weights; the model keeps it and changes its modules.
            tasks: the tasks that the model will know, by name, with the slot types of each.
            settings: an instance of this method's `Settings`.
        """

    def train(self, run: Run, corpora: Sequence[PreparedCorpus], fingerprint: str, *, tensorboard: bool = False) -> dict[str, Any]:
        lease_gpu()
        from accelerate import PartialState

        from hyperloader.methods.saved_models import save_pretrained
        from hyperloader.training.network import train_network

        own = self.settings(run.settings.method_settings)
        # with the defaults of what they leave out
        settings = run.settings.model_copy(update={"method_settings": own.model_dump()})
        build, backbone, named = partial(self.build, settings=own), open_backbone(run.backbone), {}
        addition, start = None, None
        if settings.added is not None:
            from hyperloader.methods.adding import Addition

            addition = Addition(self, run, backbone)
            build, start, named = addition.build, addition.start, {"corrections": addition.corrections}
        tracking = run.tensorboard if tensorboard else None
        model, outcome = train_network(build, backbone, settings, corpora, run.checkpoints, fingerprint, tracking, start)
        if addition is not None:
            addition.finish(model)
        # of several processes the first one writes
        if PartialState().is_main_process:
            named |= {"method": self.name, "settings": settings.method_settings, "lengths": settings.training}
            save_pretrained(model, run.model, **named, backbone=settings.backbone, backbone_checksum=backbone.checksum)
        return outcome

    def predictor(
        self, model: Path, run: Run | None, decoding: Decoding, precision: Precision, backbone: str | Path | None = None
    ) -> NetworkPredictor:
        return NetworkPredictor(self, model, run.settings.training if run else None, decoding, precision, backbone)


class NetworkPredictor:
    """A trained network, on the first GPU or the CPU.

    Args:
        method: that built it.
        folder: of the saved model.
        lengths: longest input and output; by default those that the model was saved with.
        decoding: how text is written.
        precision: of matrix products; `bf16` is faster on a GPU, and changes some outputs.
        backbone: its folder, instead of the one that the model names.
    """

    def __init__(
        self,
        method: NetworkMethod,
        folder: Path,
        lengths: Training | None,
        decoding: Decoding,
        precision: Precision,
        backbone: str | Path | None = None,
    ):
        lease_gpu()
        import torch

        from hyperloader.formulations import formulation_of
        from hyperloader.methods.saved_models import backbone_of, load_saved, read_config
        from hyperloader.models.precision import arithmetic

        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        # weights and vocabulary of one and the same backbone
        own = backbone_of(folder, backbone)
        self._model = load_saved(method, folder, own.model())
        self._model.place(self._device, precision)
        self._arithmetic = partial(arithmetic, self._device, precision)
        config = read_config(folder)
        self._formulation = formulation_of(own, self._model.tasks, decoding, settings=method.settings(config.settings).model_dump())
        self._lengths = lengths or config
        former = config.backbone_checksum is None
        for task, types in self._model.tasks.items():
            self._formulation.check(task, types, self._lengths, as_they_are=former)
        self.tasks = tuple(self._model.tasks)

    def predict(self, task: str, sentences: Sequence[Sentence]) -> list[Prediction]:
        def predict(parts: list[Sentence]) -> list[Prediction]:
            what = f"tagging {len(parts)} sentences of {task} on {self._device.type}"
            with memory_for(what, "tag shorter ones, or on the CPU: CUDA_VISIBLE_DEVICES="), self._arithmetic():
                return self._formulation.predict(self._model, task, [part.words for part in parts], self._lengths)

        return predict_in_parts(sentences, self.capacity, predict)

    def learn(self, task: str, sentences: Sequence[Sentence]) -> None:
        self._formulation.learn(task, sentences)

    def capacity(self, words: Sequence[str]) -> int:
        return self._formulation.capacity(words, self._lengths)

    def readable(self, words: Sequence[str]) -> int:
        return self._formulation.readable(words, self._lengths)

    def gold_words(self, tags: Sequence[str]) -> int:
        return self._formulation.gold_words(tags)

    def slot_types(self, task: str) -> tuple[str, ...] | None:
        return tuple(self._model.tasks[task])


def bottleneck_size(d_model: int, reduction_factor: int) -> int:
    """The bottleneck of adapters.

    Raises:
        SettingsError: the factor does not divide the width.
    """
    bottleneck, rest = divmod(d_model, reduction_factor)
    if rest:
        raise SettingsError(f"reduction_factor {reduction_factor} does not divide the backbone's d_model {d_model}")
    return bottleneck
