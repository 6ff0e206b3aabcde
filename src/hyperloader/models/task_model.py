"""A backbone that knows its tasks: what all methods share, and the models that several of them use."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import copy
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn
from transformers import BertModel, PreTrainedModel, T5ForConditionalGeneration
from transformers.modeling_outputs import TokenClassifierOutput
from transformers.models.t5.modeling_t5 import T5LayerNorm

from hyperloader.config.settings import LayerNorms, Precision
from hyperloader.errors import RunError
from hyperloader.models.fused_t5 import fuse, join
from hyperloader.models.generated_layers import AroundLinear, GeneratedStack
from hyperloader.models.hypernetwork import AdapterWeights, Hypernetwork, LoRAWeights, Sizes, StackWeights
from hyperloader.models.precision import prepare
from hyperloader.models.static_weights import StaticWeights
from hyperloader.models.turns import Turns
from hyperloader.models.weights import unfit
from hyperloader.text.sentt import bio_tags


class Head(NamedTuple):
    """A linear layer: a weight of (classes, width) and a bias, if any."""

    weight: Tensor
    bias: Tensor | None


class ParameterCounts(NamedTuple):
    """Numbers of parameters of a model.

    Attributes:
        total: all, tied ones once.
        trainable: those that an optimiser is given.
        live: trainable ones that can get a gradient; the rest belongs to places that are never used.
    """

    total: int
    trainable: int
    live: int


class TaskModel(nn.Module):
    """A backbone with whatever a method adds to it.

    What is generated for a task or a sentence stands in its modules, so threads take turns with `forward`, `decoding` and `generate`.

    Attributes:
        backbone: the pre-trained model; frozen but for what the method unfreezes.
        tasks: the known tasks in order, with the slot types of each; empty where the model takes any task.
        own_parts: some parameters belong to one task, and a step of another leaves them as they are.
        fixed: the model of a task is the same for all of its sentences.
    """

    own_parts = False
    fixed = True

    def __init__(self, backbone: PreTrainedModel, tasks: Mapping[str, Sequence[str]]):
        super().__init__()
        fuse(backbone)
        # of keys and values; training has no use for it, and who generates asks for one
        backbone.config.use_cache = False
        self.backbone = backbone
        self.tasks = {name: tuple(types) for name, types in tasks.items()}
        self._turns = Turns()

    def place(self, device: torch.device, precision: Precision) -> None:
        """Bring it to a device, there to stay, with weights that are stored for a precision."""
        prepare(self, precision)
        self.to(device)
        join(self.backbone)

    def head(self, task: str | None) -> nn.Linear | Head:
        """The linear layer that makes logits of what `states` returns."""
        return self.backbone.lm_head

    def choose(self, task: str) -> str | None:
        """Make it ready for a recorded step of this task.

        Returns:
            What the step is to be told: the task, or None where the same step serves all, since a tensor holds the choice or none is made.
        """
        return task

    @abstractmethod
    def adapt(self, task: str | None) -> None:
        """Make the backbone the one of this task, or of the chosen one, until the next call."""

    def states(self, task: str | None, **inputs: Tensor) -> Tensor:
        """What the head makes logits of.

        Args:
            task: one of `tasks`, or None for the one that was chosen.
            inputs: as in `forward`.

        Returns:
            (batch, length, width); T5's are scaled as its tied head wants them.
        """
        with self._adapted(task):
            return headless(self.backbone)(**inputs).logits

    def forward(self, task: str, **inputs: Tensor):
        """The backbone's forward pass for one task.

        Args:
            task: one of `tasks`.
            inputs: as the backbone takes them: `input_ids`, `attention_mask` (batch, source length), for T5
                `decoder_input_ids` or `labels` (batch, target length).

        Returns:
            What the backbone returns; `.logits` is (batch, length, classes), for T5 (batch, target length, vocabulary).
        """
        with self._adapted(task):
            return self.backbone(**inputs)

    @contextmanager
    def decoding(self, task: str) -> Iterator[None]:
        """One task's model for many passes without gradients: its weights are generated once.

        What is generated per sentence stays as long as passes are given the same tensor as the encoder's output.
        """
        with torch.no_grad(), self._adapted(task):
            yield

    def select(self, rows: Tensor, states: Tensor) -> None:
        """While decoding, go on with some sentences of the batch.

        Args:
            rows: their numbers, (sentences left,).
            states: the encoder's output of these, (sentences left, source length, d_model), as it will be given to the next pass.
        """

    @torch.no_grad()
    def generate(self, task: str, **inputs) -> Tensor:
        """Transformers' `generate` for one task, whose weights are generated once."""
        with self._adapted(task):
            return self.backbone.generate(**inputs)

    @torch.no_grad()
    def generated(self, task: str) -> dict[str, AdapterWeights | LoRAWeights]:
        """What stands in the backbone's linear layers for a task, by the name of the layer."""
        with self._adapted(task):
            places = {name: module for name, module in self.backbone.named_modules() if isinstance(module, AroundLinear)}
            return {name: place.generated for name, place in places.items() if place.generated is not None}

    def trainable_state(self) -> dict[str, Tensor]:
        """The trainable parameters by name."""
        return {name: parameter for name, parameter in self.named_parameters() if parameter.requires_grad}

    def parameter_counts(self) -> ParameterCounts:
        """Total, trainable and live parameters."""
        counts = [(parameter.numel(), parameter.requires_grad) for parameter in self.parameters()]
        trainable = sum(n for n, trained in counts if trained)
        unused = sum(unused.numel() for unused in self.unused_parameters() if unused.requires_grad)
        return ParameterCounts(sum(n for n, _ in counts), trainable, trainable - unused)

    def unused_parameters(self) -> list[Tensor]:
        """Trainable parameters that no forward pass uses, and unused rows of used ones."""
        return []

    def load_trainable(self, state: dict[str, Tensor], file: str | Path | None = None) -> None:
        """Load trainable parameters.

        Raises:
            RunError: a tensor is missing, unknown or of another shape, or holds what is no number; names it.
        """
        own = self.trainable_state()
        wrong = [f"'{name}' is missing" for name in own.keys() - state.keys()]
        wrong += [f"'{name}' is unknown" for name in state.keys() - own.keys()]
        wrong += [
            f"'{name}' has shape {tuple(state[name].shape)} instead of {tuple(own[name].shape)}"
            for name in own.keys() & state.keys()
            if state[name].shape != own[name].shape
        ]
        wrong += unfit(state)
        if wrong:
            raise RunError(f"the weights do not fit the model: {'; '.join(sorted(wrong)[:5])}", file=file, remedy="train the run again")
        with torch.no_grad():
            for name, parameter in own.items():
                parameter.copy_(state[name])

    @contextmanager
    def _adapted(self, task: str | None) -> Iterator[None]:
        """The backbone of one task, for one user at a time."""
        if self.tasks and task is not None and task not in self.tasks:
            raise RunError(f"this model knows no task '{task}'", remedy=f"its tasks are {', '.join(self.tasks)}")
        with self._turns():
            self.adapt(task)
            yield


class PlainT5(TaskModel):
    """T5 itself, the same for every task; what of it is trained, the method decides."""

    def choose(self, task: str) -> None:
        pass

    def adapt(self, task: str | None) -> None:
        pass


class TokenClassifier(TaskModel):
    """BERT with dropout and a linear layer over BIO tags: one class per token, for a single task.

    Args:
        backbone: a BERT; what of it is trained, the method decides.
        tasks: exactly one task with its slot types.
    """

    def __init__(self, backbone: BertModel, tasks: Mapping[str, Sequence[str]]):
        super().__init__(backbone, tasks)
        ((_, types),) = self.tasks.items()
        self.dropout = nn.Dropout(backbone.config.hidden_dropout_prob)
        self.classifier = nn.Linear(backbone.config.hidden_size, len(bio_tags(types)))
        # as BERT initialises its own heads
        nn.init.normal_(self.classifier.weight, std=backbone.config.initializer_range)
        nn.init.zeros_(self.classifier.bias)

    def choose(self, task: str) -> None:
        pass

    def adapt(self, task: str | None) -> None:
        pass

    def head(self, task: str | None) -> nn.Linear:
        return self.classifier

    def states(self, task: str | None, *, input_ids: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        mask = mask_per_token(input_ids, attention_mask)
        # what is made on the way is made where it is used, and not copied there
        with input_ids.device:
            return self.dropout(super().forward(task, input_ids=input_ids, attention_mask=mask).last_hidden_state)

    def forward(self, task: str, **inputs: Tensor) -> TokenClassifierOutput:
        return TokenClassifierOutput(logits=self.classifier(self.states(task, **inputs)))


class AdaptedT5(TaskModel):
    """A frozen T5 with adapters and LoRA matrices at the places of section 3, whose weights are made or chosen for each task.

    Args:
        backbone: a T5; some of its linear layers are replaced in place.
        tasks: see `TaskModel`.
        adapters, lora: whether encoder and decoder have any.
        layer_norms: whether T5's own are trained.
    """

    def __init__(
        self,
        backbone: T5ForConditionalGeneration,
        tasks: Mapping[str, Sequence[str]],
        adapters: tuple[bool, bool],
        lora: tuple[bool, bool],
        layer_norms: LayerNorms,
    ):
        super().__init__(backbone, tasks)
        backbone.requires_grad_(False)
        self._layer_norms = layer_norms
        self._prepare_norms()
        stacks = (backbone.encoder, backbone.decoder)
        self._stacks = [GeneratedStack(stack, adapters=own, lora=low) for stack, own, low in zip(stacks, adapters, lora, strict=True)]

    @abstractmethod
    def weights(self, task: str | None) -> tuple[StackWeights, StackWeights]:
        """Those of encoder and decoder for a task, or for the chosen one."""

    def _prepare_norms(self) -> None:
        for module in self.backbone.modules():
            if isinstance(module, T5LayerNorm):
                module.requires_grad_(self._layer_norms == "trained")

    def adapt(self, task: str | None) -> None:
        for stack, weights in zip(self._stacks, self.weights(task), strict=True):
            stack.install(weights)

    @contextmanager
    def decoding(self, task: str) -> Iterator[None]:
        # the encoder passes once over a batch, and by joined projections, which take nothing merged
        places = [place for layer in self._stacks[1].loras for place in layer]
        with super().decoding(task):
            try:
                for place in places:
                    place.merge()
                yield
            finally:
                for place in places:
                    place.unmerge()


class HypernetworkT5(AdaptedT5):
    """T5 whose adapters, layer norms and, with a LoRA rank, q and v updates are generated per task.

    Trainable are the hypernetworks with the task embeddings and all of T5's own layer norms (section 3).
    """

    def __init__(
        self,
        backbone: T5ForConditionalGeneration,
        tasks: Mapping[str, Sequence[str]],
        sizes: Sizes,
        layer_norms: LayerNorms = "trained",
    ):
        super().__init__(backbone, tasks, (sizes.bottleneck > 0,) * 2, (sizes.lora_rank > 0,) * 2, layer_norms)
        # attached after the backbone was loaded: from_pretrained would leave added modules uninitialised
        self.hypernetwork = Hypernetwork(sizes, tasks, backbone.config)

    def choose(self, task: str) -> str | None:
        self.hypernetwork.choose(task)
        # which corrections are used, no tensor holds
        return task if self.hypernetwork.corrected else None

    def add_task(self, task: str, types: Sequence[str], z: Tensor, rank: int = 0) -> None:
        """Know one more task, and train nothing but what is new, until `settle`.

        Args:
            task: its name, which no other has.
            types: its slot types.
            z: what its embedding starts from.
            rank: of a correction of the generators, for this task alone; 0 for none.
        """
        self.requires_grad_(False)
        self.tasks[task] = tuple(types)
        self.hypernetwork.add(task, z)
        if rank:
            self.hypernetwork.correct(task, rank)

    def settle(self) -> None:
        """Be a model that was trained on all of its tasks."""
        self.hypernetwork.settle()
        self._prepare_norms()

    def weights(self, task: str | None) -> tuple[StackWeights, StackWeights]:
        return self.hypernetwork(task)

    def unused_parameters(self) -> list[Tensor]:
        return self.hypernetwork.unused_parameters()


class StaticT5(AdaptedT5):
    """T5 whose adapters and LoRA matrices are trained themselves: those of each task, or one set for all tasks.

    Args:
        backbone, tasks, layer_norms: see `AdaptedT5`.
        bottlenecks: of the adapters of encoder and decoder; 0: there are none.
        ranks: of the LoRA matrices, likewise.
        shared: one set for all tasks.
        generated_from: see `StaticWeights`.
    """

    def __init__(
        self,
        backbone: T5ForConditionalGeneration,
        tasks: Mapping[str, Sequence[str]],
        bottlenecks: tuple[int, int],
        ranks: tuple[int, int],
        shared: bool,
        generated_from: int,
        layer_norms: LayerNorms = "trained",
    ):
        super().__init__(backbone, tasks, tuple(size > 0 for size in bottlenecks), tuple(rank > 0 for rank in ranks), layer_norms)
        self.shared, self.own_parts = shared, not shared and len(tasks) > 1
        number = 1 if shared else len(tasks)
        self.sets = nn.ModuleList(StaticWeights(bottlenecks, ranks, generated_from, backbone.config) for _ in range(number))

    def choose(self, task: str) -> str | None:
        return task if self.own_parts else None

    def weights(self, task: str | None) -> tuple[StackWeights, StackWeights]:
        return self.sets[list(self.tasks).index(task) if self.own_parts else 0]()


def mask_per_token(input_ids: Tensor, attention_mask: Tensor | None = None) -> Tensor:
    """A BERT's mask with one row per token: from one row per sentence, Transformers reads on the host whether any token is hidden."""
    mask = torch.ones_like(input_ids) if attention_mask is None else attention_mask
    return mask[:, None].expand(-1, input_ids.shape[1], -1)


def headless(t5: nn.Module) -> nn.Module:
    """A T5 of the same modules whose logits are what its head would be given."""
    other = copy(t5)
    other._modules = t5._modules | {"lm_head": nn.Identity()}
    return other
