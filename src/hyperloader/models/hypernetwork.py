"""The hypernetwork: from (task, layer, position) to all weights of a stack in one batched pass (section 3.5).

One hypernetwork per stack, encoder and decoder; only the task embeddings z are shared.

    c = [z | layer | position]                                        concatenation
    I = LayerNorm(W2 relu(W1 c + b1) + b2)                            eq. 5
    adapter   D = view(Wd I + bd, (b, D)), U = view(Wu I + bu, (D, b)), biases, norm weight and bias likewise
    LoRA      A = view(Wa I, (r, D)), B = view(Wb I, (O, r))          no bias; B starts at zero

Shape suffixes: L layers, P positions, E embedding of I, C conditioning, D d_model, O output of q and v, b bottleneck,
r LoRA rank. Initialisations are those of the original implementation (rabeehk/hyperformer and its fork for HyperLoader).
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

ADAPTER_POSITIONS = ("feed_forward", "self_attention")
LORA_POSITIONS = ("self_attention.q", "self_attention.v", "cross_attention.q", "cross_attention.v")
# which positions, by number, have a generator of their own
ADAPTER_GROUPS = {"shared": ((0, 1),), "per_position": ((0,), (1,))}
LORA_GROUPS = {
    "shared": ((0, 1, 2, 3),),
    "across_stacks": ((0, 1, 2, 3),),
    "per_projection": ((0, 2), (1, 3)),
    "per_position": ((0,), (1,), (2,), (3,)),
}


@dataclass(frozen=True)
class Sizes:
    """Sizes of the hypernetwork and of what it generates.

    Attributes:
        task_dim: numbers in a task embedding; `layer_dim` and `position_dim` likewise; 0: there is none.
        hidden_dim: hidden width of the projector; None makes it a single linear layer.
        embedding_dim: numbers in I.
        bottleneck: of the adapters; 0 generates none (LoRA only).
        lora_rank: of the LoRA matrices; 0 generates none (HyperFormer++).
        adapter_generators: one for both positions, or one for each (HyperFormer).
        lora_generators: one per stack, one for q and one for v, one for each position, or one for both stacks.
        lora_bias: whether the LoRA generators have a bias.
        task_embedding: trained; fixed random numbers; or trained, but those of a task drawn at random in every step of a training.
    """

    task_dim: int
    layer_dim: int
    position_dim: int
    hidden_dim: int | None
    embedding_dim: int
    bottleneck: int
    lora_rank: int
    adapter_generators: Literal["shared", "per_position"] = "shared"
    lora_generators: Literal["shared", "across_stacks", "per_projection", "per_position"] = "shared"
    lora_bias: bool = False
    task_embedding: Literal["trained", "random", "shuffled"] = "trained"


class AdapterWeights(NamedTuple):
    """Weights of adapters; stacked ones have leading axes (layer, position)."""

    down_weight: Tensor  # b D
    down_bias: Tensor  # b
    up_weight: Tensor  # D b
    up_bias: Tensor  # D
    norm_weight: Tensor  # D
    norm_bias: Tensor  # D


class LoRAWeights(NamedTuple):
    """Weights of LoRA matrices; stacked ones have leading axes (layer, position)."""

    a: Tensor  # r D
    b: Tensor  # O r


class StackWeights(NamedTuple):
    """Everything generated for one stack and one task: axes (layer, position, ...) in the order of the constants above."""

    adapters: AdapterWeights | None
    lora: LoRAWeights | None


class AdapterGenerator(nn.Module):
    """From I to the weights of an adapter and its layer norm, each by a linear layer of its own."""

    def __init__(self, embedding_dim: int, bottleneck: int, d_model: int):
        super().__init__()
        self.shape = (bottleneck, d_model)
        self.down_weight = _linear(embedding_dim, bottleneck * d_model)
        self.down_bias = _linear(embedding_dim, bottleneck)
        self.up_weight = _linear(embedding_dim, d_model * bottleneck)
        self.up_bias = _linear(embedding_dim, d_model)
        self.norm_weight = _linear(embedding_dim, d_model)
        self.norm_bias = _linear(embedding_dim, d_model)

    def forward(self, embedding: Tensor) -> AdapterWeights:
        """Weights for I of shape (..., embedding_dim), with its leading axes."""
        return AdapterWeights(
            down_weight=self.down_weight(embedding).unflatten(-1, self.shape),
            down_bias=self.down_bias(embedding),
            up_weight=self.up_weight(embedding).unflatten(-1, self.shape[::-1]),
            up_bias=self.up_bias(embedding),
            norm_weight=_in_the_type_of(self.norm_weight.weight, self.norm_weight(embedding)),
            norm_bias=_in_the_type_of(self.norm_bias.weight, self.norm_bias(embedding)),
        )


class LoRAGenerator(nn.Module):
    """From I to the matrices A and B."""

    def __init__(self, embedding_dim: int, rank: int, d_model: int, projection: int, bias: bool):
        super().__init__()
        self.a_shape, self.b_shape = (rank, d_model), (projection, rank)
        self.a = nn.Linear(embedding_dim, rank * d_model, bias=bias)
        self.b = nn.Linear(embedding_dim, projection * rank, bias=bias)
        nn.init.kaiming_uniform_(self.a.weight, a=math.sqrt(5))
        nn.init.zeros_(self.b.weight)
        if bias:
            nn.init.zeros_(self.a.bias)
            nn.init.zeros_(self.b.bias)

    def forward(self, embedding: Tensor) -> LoRAWeights:
        """Matrices for I of shape (..., embedding_dim), with its leading axes."""
        return LoRAWeights(a=self.a(embedding).unflatten(-1, self.a_shape), b=self.b(embedding).unflatten(-1, self.b_shape))


class StackHypernetwork(nn.Module):
    """Generates the weights of all layers and positions of one stack.

    Args:
        sizes: see `Sizes`.
        layers: number of layers L.
        d_model: width of the hidden states D.
        projection: output width O of the q and v projections.
        cross_attention: whether the stack has cross-attention; without it, nothing is generated for it, although the
            table of position embeddings keeps its two rows, and generators of each position stay, as in the original.
    """

    def __init__(self, sizes: Sizes, layers: int, d_model: int, projection: int, cross_attention: bool):
        super().__init__()
        self.adapter_positions = len(ADAPTER_POSITIONS) if sizes.bottleneck else 0
        lora_positions = len(LORA_POSITIONS) if sizes.lora_rank else 0
        self.lora_positions = lora_positions if cross_attention else lora_positions // 2
        self._adapter_groups, self._lora_groups = ADAPTER_GROUPS[sizes.adapter_generators], LORA_GROUPS[sizes.lora_generators]
        E = sizes.embedding_dim
        self.layers = layers
        self.layer_embeddings = nn.Embedding(layers, sizes.layer_dim) if sizes.layer_dim else None
        positions = self.adapter_positions + lora_positions
        self.position_embeddings = nn.Embedding(positions, sizes.position_dim) if sizes.position_dim else None
        inputs = sizes.task_dim + sizes.layer_dim + sizes.position_dim
        self.projector = (
            _linear(inputs, E)
            if sizes.hidden_dim is None
            else nn.Sequential(_linear(inputs, sizes.hidden_dim), nn.ReLU(), _linear(sizes.hidden_dim, E))
        )
        self.norm = nn.LayerNorm(E, eps=1e-6)
        if sizes.bottleneck:
            self.adapter_generators = nn.ModuleList(AdapterGenerator(E, sizes.bottleneck, d_model) for _ in self._adapter_groups)
        if sizes.lora_rank:
            self.lora_generators = nn.ModuleList(
                LoRAGenerator(E, sizes.lora_rank, d_model, projection, sizes.lora_bias) for _ in self._lora_groups
            )

    def embed(self, z: Tensor) -> Tensor:
        """Input embedding I of every layer and used position (eq. 5).

        Args:
            z: task embedding, shape (task_dim,).

        Returns:
            I_LPE, shape (layers, used positions, embedding_dim).
        """
        L, P = self.layers, self.adapter_positions + self.lora_positions
        parts_LPC = [z.expand(L, P, -1)]
        if self.layer_embeddings is not None:
            parts_LPC.append(self.layer_embeddings.weight[:, None].expand(-1, P, -1))
        if self.position_embeddings is not None:
            parts_LPC.append(self.position_embeddings.weight[:P].expand(L, -1, -1))
        return self.norm(_in_the_type_of(self.norm.weight, self.projector(torch.cat(parts_LPC, dim=-1))))

    def forward(self, z: Tensor) -> StackWeights:
        """All weights of this stack for one task; `z` as in `embed`."""
        I_LPE = self.embed(z)
        adapter_LPE, lora_LPE = I_LPE.split([self.adapter_positions, self.lora_positions], dim=1)
        return StackWeights(
            adapters=_generate(self.adapter_generators, self._adapter_groups, adapter_LPE) if self.adapter_positions else None,
            lora=_generate(self.lora_generators, self._lora_groups, lora_LPE) if self.lora_positions else None,
        )

    def unused_parameters(self) -> list[Tensor]:
        """Parameters, and rows of one, that belong to positions which this stack does not have."""
        if not self.lora_positions or self.lora_positions == len(LORA_POSITIONS):
            return []
        rows = [] if self.position_embeddings is None else [self.position_embeddings.weight[-self.lora_positions :]]
        unused = [
            generator for generator, group in zip(self.lora_generators, self._lora_groups, strict=True) if min(group) >= self.lora_positions
        ]
        return rows + [parameter for generator in unused for parameter in generator.parameters()]


class GrownEmbedding(nn.Module):
    """The embeddings of known tasks, frozen, and that of a new one, which is trained.

    Args:
        known: as they are.
        added: what the new one starts from, shape (task_dim,).
    """

    def __init__(self, known: nn.Embedding, added: Tensor):
        super().__init__()
        self.known = nn.Parameter(known.weight.detach().clone(), requires_grad=False)
        self.added = nn.Parameter(added.detach().clone()[None])

    def forward(self, index: Tensor) -> Tensor:
        return nn.functional.embedding(index, torch.cat([self.known, self.added]))

    @torch.no_grad()
    def settled(self) -> nn.Embedding:
        """The same numbers as one table."""
        return nn.Embedding.from_pretrained(torch.cat([self.known, self.added]), freeze=False)


class CorrectedLinear(nn.Linear):
    """A generator's linear layer, taken over, with a low-rank correction for some tasks: W I + B A I, where B starts at zero."""

    def __init__(self, linear: nn.Linear):
        nn.Module.__init__(self)
        self.in_features, self.out_features = linear.in_features, linear.out_features
        self.weight, self.bias = linear.weight, linear.bias
        self.corrections = nn.ModuleDict()
        self.chosen = ""

    def correct(self, task: str, rank: int) -> None:
        """Add the correction of a task, named by its number."""
        a, b = nn.Linear(self.in_features, rank, bias=False), nn.Linear(rank, self.out_features, bias=False)
        nn.init.zeros_(b.weight)
        self.corrections[task] = nn.Sequential(a, b).to(self.weight)

    def forward(self, x: Tensor) -> Tensor:
        y = super().forward(x)
        return y + self.corrections[self.chosen](x) if self.chosen in self.corrections else y


class Hypernetwork(nn.Module):
    """Task embeddings, N(0, 1), and the hypernetworks of encoder and decoder.

    Args:
        sizes: see `Sizes`.
        tasks: names of the tasks, one embedding each.
        config: a T5 configuration.
    """

    def __init__(self, sizes: Sizes, tasks: Iterable[str], config):
        super().__init__()
        self.tasks = tuple(tasks)
        self.shuffled = sizes.task_embedding == "shuffled"
        self.task_embeddings = nn.Embedding(len(self.tasks), sizes.task_dim) if sizes.task_dim else None
        if sizes.task_embedding == "random":
            # not saved with the trained weights, so the same for every seed
            fixed = np.random.RandomState(0).standard_normal((len(self.tasks), sizes.task_dim))
            self.task_embeddings.weight = nn.Parameter(torch.from_numpy(fixed).float(), requires_grad=False)
        # a tensor, so that a recorded step can be replayed for another task
        self.register_buffer("chosen", torch.zeros((), dtype=torch.long), persistent=False)
        shape = {"d_model": config.d_model, "projection": config.num_heads * config.d_kv}
        self.encoder = StackHypernetwork(sizes, config.num_layers, cross_attention=False, **shape)
        self.decoder = StackHypernetwork(sizes, config.num_decoder_layers, cross_attention=True, **shape)
        # those linear layers of generators that have corrections
        self.corrected: list[CorrectedLinear] = []
        if sizes.lora_rank and sizes.lora_generators == "across_stacks":
            self.encoder.lora_generators = self.decoder.lora_generators

    def choose(self, task: str) -> None:
        """Generate for this task from now on."""
        drawn = self.shuffled and self.training
        self.chosen.fill_(int(torch.randint(len(self.tasks), ())) if drawn else self.tasks.index(task))
        for linear in self.corrected:
            linear.chosen = str(self.tasks.index(task))

    def add(self, task: str, z: Tensor) -> None:
        """Know one more task, whose embedding alone is trained, until `settle`."""
        self.requires_grad_(False)
        self.tasks += (task,)
        self.task_embeddings = GrownEmbedding(self.task_embeddings, z)

    def correct(self, task: str, rank: int) -> None:
        """Give the generators a low-rank correction for a task."""
        for module in [module for module in self.modules() if isinstance(module, AdapterGenerator | LoRAGenerator)]:
            for name, linear in list(module.named_children()):
                if not isinstance(linear, CorrectedLinear):
                    linear = CorrectedLinear(linear)
                    setattr(module, name, linear)
                    self.corrected.append(linear)
                linear.correct(str(self.tasks.index(task)), rank)

    def settle(self) -> None:
        """Have the new task's embedding among the others, and everything trained again."""
        self.task_embeddings = self.task_embeddings.settled()
        self.requires_grad_(True)

    def forward(self, task: str | None) -> tuple[StackWeights, StackWeights]:
        """Weights of encoder and decoder for a task, or for the chosen one."""
        if task is not None:
            self.choose(task)
        z = torch.zeros(0, device=self.chosen.device) if self.task_embeddings is None else self.task_embeddings(self.chosen)
        return self.encoder(z), self.decoder(z)

    def unused_parameters(self) -> list[Tensor]:
        """Parameters that no forward pass uses: those for a cross-attention in the encoder."""
        return self.encoder.unused_parameters() + self.decoder.unused_parameters()


def _generate(generators: nn.ModuleList, groups: tuple[tuple[int, ...], ...], I_LPE: Tensor):
    """Let each generator make the weights of its positions, and put them in the order of the positions."""
    present = I_LPE.shape[1]
    if len(groups) == 1:
        return generators[0](I_LPE)
    # one by one: indices in a list would be read from the host
    inputs, outputs = I_LPE.unbind(1), {}
    for generator, group in zip(generators, groups, strict=True):
        own = [position for position in group if position < present]
        if own:
            made = generator(torch.stack([inputs[position] for position in own], dim=1))
            outputs |= zip(own, zip(*(tensor.unbind(1) for tensor in made), strict=True), strict=True)
    return type(made)(*(torch.stack(tensors, dim=1) for tensors in zip(*(outputs[position] for position in range(present)), strict=True)))


def _in_the_type_of(weight: Tensor, x: Tensor) -> Tensor:
    """What a product made, in the type of the weights that made it: norms are not rounded as products are under autocast."""
    return x.to(weight.dtype)


def _linear(inputs: int, outputs: int) -> nn.Linear:
    linear = nn.Linear(inputs, outputs)
    nn.init.normal_(linear.weight, std=0.01)
    nn.init.zeros_(linear.bias)
    return linear
