"""Names of tensors: here, and in checkpoints of the original implementations.

HyperFormer++ and HyperLoader: rabeehk/hyperformer and its fork jgermanob/hyperformer. Hyperdecoder: allenai/hyperdecoders.
T5's own tensors have transformers' names in all of them.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from hyperloader.models.task_model import TaskModel

STACKS = ("encoder", "decoder")
TASK_EMBEDDINGS = "hypernetwork.task_embeddings.weight"
TASK = "task_embedding_controller.task_to_embeddings."
HYPERNETWORK = "adapter_layers_hyper_net"
# module of one stack's hypernetwork -> module there
HYPERNETWORK_MODULES = {
    "layer_embeddings": "layer_id_embeddings",
    "position_embeddings": "adapters_block_type",
    "projector.0": "task_hypernet.task_embeding_generator.0",
    "projector.2": "task_hypernet.task_embeding_generator.2",
    "norm": "LayerNorm",
    "adapter_generators.0.down_weight": "down_sampler_hyper_net.weight_generator.0",
    "adapter_generators.0.down_bias": "down_sampler_hyper_net.bias_generator.0",
    "adapter_generators.0.up_weight": "up_sampler_hyper_net.weight_generator.0",
    "adapter_generators.0.up_bias": "up_sampler_hyper_net.bias_generator.0",
    "adapter_generators.0.norm_weight": "post_layernorm_hypernet.weight_generator",
    "adapter_generators.0.norm_bias": "post_layernorm_hypernet.bias_generator",
    "lora_generators.0.a": "lora_a_hyper_net.weight_generator.0",
    "lora_generators.0.b": "lora_b_hyper_net.weight_generator.0",
}
# module of Hyperdecoder's generator -> module there
HYPERDECODER_MODULES = {
    "mlp.0": "decoder.mlp.0",
    "mlp.2": "decoder.mlp.2",
    "layer_embeddings": "decoder.param_gen.layer_embed",
    "hidden": "decoder.param_gen.decoder.linear1",
    "down_weight": "decoder.param_gen.decoder.weight_down",
    "down_bias": "decoder.param_gen.decoder.bias_down",
    "up_weight": "decoder.param_gen.decoder.weight_up",
    "up_bias": "decoder.param_gen.decoder.bias_up",
}
FEED_FORWARD = {"encoder": 1, "decoder": 2}
# a parameter of transformers 3, zero in T5's published weights; T5 of transformers 4 has no such bias
CROSS_ATTENTION_BIAS = "decoder.block.0.layer.1.EncDecAttention.relative_attention_bias.weight"
# put before every name by DataParallel and by torch.compile
WRAPPERS = ("module.", "_orig_mod.")


def without_wrappers(names: Mapping[str, object]) -> dict[str, object]:
    """The same values, their names without the prefixes of wrappers around the whole model."""
    values = dict(names)
    while values and (prefix := next((prefix for prefix in WRAPPERS if all(name.startswith(prefix) for name in values)), None)):
        values = {name.removeprefix(prefix): value for name, value in values.items()}
    return values


def embedding_aliases(config) -> tuple[str, ...]:
    """Other names of `shared.weight` in a T5 of this configuration."""
    return tuple(f"{stack}.embed_tokens.weight" for stack in STACKS) + (("lm_head.weight",) if config.tie_word_embeddings else ())


def original_name(name: str) -> str | None:
    """The name there of a parameter here, task embeddings aside; None if the originals have nothing like it."""
    part, _, rest = name.partition(".")
    module, _, leaf = rest.rpartition(".")
    if part == "backbone":
        return rest
    if part == "hypernetwork":
        stack, _, module = module.partition(".")
        own = HYPERNETWORK_MODULES.get(module) if stack in STACKS else None
        return own and f"{stack}.{HYPERNETWORK}.{own}.{leaf}"
    if part in ("encoder_adapters", "decoder_adapters"):
        stack, (layer, module) = part.removesuffix("_adapters"), module.split(".")
        return f"{static_adapter(stack, int(layer))}_{module}_manual.{leaf}"
    own = HYPERDECODER_MODULES.get(module) if part == "generator" else None
    return own and f"{own}.{leaf}"


def static_adapter(stack: str, layer: int) -> str:
    """The beginning of the names there of one of Hyperdecoder's static adapters."""
    return f"{stack}.block.{layer}.layer.{FEED_FORWARD[stack]}.adapter_layer.adapter"


def original_tensors(model: TaskModel) -> tuple[dict[str, Tensor], list[str]]:
    """A model's tensors under the names there, sharing its memory, each once.

    Returns:
        Tensors by name there, and the names here of parameters that have none.
    """
    aliases = embedding_aliases(model.backbone.config)
    tensors, others = {}, []
    for name, tensor in model.state_dict().items():
        if name == TASK_EMBEDDINGS:
            tensors |= {TASK + task: row for task, row in zip(model.hypernetwork.tasks, tensor, strict=True)}
        elif (there := original_name(name)) is None:
            others.append(name)
        elif there not in aliases:
            tensors[there] = tensor
    return tensors, others
