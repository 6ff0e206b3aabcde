"""HyperFormer++ against numbers computed by the original implementation (rabeehk/hyperformer)."""

import json

import numpy as np
import pytest
import torch
from transformers import T5Config, T5ForConditionalGeneration

from hyperloader.models.generated_layers import adapter
from hyperloader.models.hypernetwork import AdapterWeights, Sizes, StackHypernetwork
from hyperloader.models.task_model import HypernetworkT5
from hyperloader.training.loss import token_loss

STACK_NAMES = {
    "layer_embeddings.weight": "layer_id_embeddings.weight",
    "position_embeddings.weight": "adapters_block_type.weight",
    "projector.0.weight": "task_hypernet.task_embeding_generator.0.weight",
    "projector.0.bias": "task_hypernet.task_embeding_generator.0.bias",
    "projector.2.weight": "task_hypernet.task_embeding_generator.2.weight",
    "projector.2.bias": "task_hypernet.task_embeding_generator.2.bias",
    "norm.weight": "LayerNorm.weight",
    "norm.bias": "LayerNorm.bias",
    "adapter_generators.0.down_weight.weight": "down_sampler_hyper_net.weight_generator.0.weight",
    "adapter_generators.0.down_weight.bias": "down_sampler_hyper_net.weight_generator.0.bias",
    "adapter_generators.0.down_bias.weight": "down_sampler_hyper_net.bias_generator.0.weight",
    "adapter_generators.0.down_bias.bias": "down_sampler_hyper_net.bias_generator.0.bias",
    "adapter_generators.0.up_weight.weight": "up_sampler_hyper_net.weight_generator.0.weight",
    "adapter_generators.0.up_weight.bias": "up_sampler_hyper_net.weight_generator.0.bias",
    "adapter_generators.0.up_bias.weight": "up_sampler_hyper_net.bias_generator.0.weight",
    "adapter_generators.0.up_bias.bias": "up_sampler_hyper_net.bias_generator.0.bias",
    "adapter_generators.0.norm_weight.weight": "post_layernorm_hypernet.weight_generator.weight",
    "adapter_generators.0.norm_weight.bias": "post_layernorm_hypernet.weight_generator.bias",
    "adapter_generators.0.norm_bias.weight": "post_layernorm_hypernet.bias_generator.weight",
    "adapter_generators.0.norm_bias.bias": "post_layernorm_hypernet.bias_generator.bias",
}


@pytest.fixture(scope="module")
def distinct(fixtures):
    return np.load(fixtures / "hyperformer_pp_distinct.npz")


@pytest.fixture(scope="module")
def full(fixtures):
    return np.load(fixtures / "hyperformer_pp_full_t5.npz")


def sizes_of(cfg: dict) -> Sizes:
    z = cfg["task_embedding_dim"]
    return Sizes(
        task_dim=z,
        layer_dim=cfg.get("layer_id_embedding_dim", z),
        position_dim=cfg.get("position_embedding_dim", z),
        hidden_dim=cfg["task_hidden_dim"],
        embedding_dim=cfg["projected_task_embedding_dim"],
        bottleneck=cfg["bottleneck"],
        lora_rank=0,
    )


@pytest.mark.parametrize("stack", ["encoder", "decoder"])
@pytest.mark.parametrize(("dtype", "prefix", "tolerance"), [(torch.float64, "f64/", 1e-10), (torch.float32, "", 2e-6)])
def test_generated_weights_and_adapter_outputs(distinct, stack, dtype, prefix, tolerance):
    cfg = json.loads(str(distinct["cfg_json"]))
    network = StackHypernetwork(sizes_of(cfg), cfg[f"{stack}_layers"], cfg["d_model"], cfg["d_model"], cross_attention=stack == "decoder")
    state = {own: torch.tensor(distinct[f"sd/{stack}.adapter_layers_hyper_net.{theirs}"]) for own, theirs in STACK_NAMES.items()}
    network.load_state_dict(state)
    network = network.to(dtype).eval()
    x = torch.tensor(distinct["x"]).to(dtype)
    for index, task in enumerate(cfg["tasks"]):
        z = torch.tensor(distinct[f"sd/task_embedding_controller.task_to_embeddings.{task}"]).to(dtype)
        with torch.no_grad():
            embedding, weights = network.embed(z), network(z).adapters
            expected = {name: torch.tensor(distinct[f"{prefix}{stack}/{fixture}"][index]) for name, fixture in FIELDS.items()}
            close(embedding, torch.tensor(distinct[f"{prefix}{stack}/emb"][index]), tolerance)
            for name, tensor in expected.items():
                close(getattr(weights, name), tensor, tolerance, name)
            for layer in range(cfg[f"{stack}_layers"]):
                for position in range(2):
                    out = adapter(x, AdapterWeights(*(tensor[layer, position] for tensor in weights)))
                    reference = torch.tensor(distinct[f"{prefix}{stack}/out"][index, layer, position])
                    close(out, reference, tolerance)


def close(actual, expected, tolerance, name=None):
    """Equal but for this share of the largest number: what rounds away of a sum depends on its terms, and not on what is left of them."""
    torch.testing.assert_close(actual, expected, rtol=0, atol=tolerance * expected.abs().max().clamp_min(1).item(), msg=name)


FIELDS = {
    "down_weight": "down_weight",
    "down_bias": "down_bias",
    "up_weight": "up_weight",
    "up_bias": "up_bias",
    "norm_weight": "ln_weight",
    "norm_bias": "ln_bias",
}


def whole_model(full, dtype) -> HypernetworkT5:
    cfg = json.loads(str(full["cfg_json"]))
    t5 = T5ForConditionalGeneration(
        T5Config(**{key: cfg[key] for key in ("d_model", "d_kv", "d_ff", "num_heads", "num_layers", "num_decoder_layers", "vocab_size")})
    )
    model = HypernetworkT5(t5, dict.fromkeys(cfg["tasks"], ()), sizes_of(cfg))
    state = model.state_dict()
    with torch.no_grad():
        for name, parameter in state.items():
            parameter.copy_(torch.tensor(reference_value(full, name, cfg["tasks"])))
    return model.to(dtype).eval()


def reference_name(name: str) -> str:
    if name.startswith("backbone."):
        return name.removeprefix("backbone.")
    _, stack, own = name.split(".", 2)
    return f"{stack}.adapter_layers_hyper_net.{STACK_NAMES[own]}"


def reference_value(full, name: str, tasks: list[str]) -> np.ndarray:
    if name == "hypernetwork.task_embeddings.weight":
        return np.stack([full[f"sd/task_embedding_controller.task_to_embeddings.{task}"] for task in tasks])
    return full[f"sd/{reference_name(name)}"]


# T5 computes its softmax and layer norms in float32 whatever the model's type, so float64 is no closer than that
@pytest.mark.parametrize("task", ["a", "b", "c"])
@pytest.mark.parametrize(("dtype", "prefix", "tolerance"), [(torch.float64, "f64/", 2e-6), (torch.float32, "", 1e-4)])
def test_whole_model_forward_and_loss(full, task, dtype, prefix, tolerance):
    model = whole_model(full, dtype)
    inputs = {key: torch.tensor(full[key]) for key in ("input_ids", "attention_mask", "decoder_input_ids")}
    output = model(task=task, **inputs)
    reference = torch.tensor(full[f"{prefix}{task}/logits"])
    torch.testing.assert_close(output.logits, reference, rtol=0, atol=tolerance)
    encoder = torch.tensor(full[f"{prefix}{task}/encoder_last_hidden_state"])
    torch.testing.assert_close(output.encoder_last_hidden_state, encoder, rtol=0, atol=tolerance)
    loss = smoothed_sum(model, task, inputs, full)
    assert loss.item() == pytest.approx(float(full[f"{prefix}{task}/loss_ls01_sum"]), rel=1e-6)


def smoothed_sum(model, task, inputs, full):
    labels = torch.tensor(full["labels"])
    return token_loss(model.states(task, **inputs), model.head(None), labels.masked_fill(labels == 0, -100), label_smoothing=0.1)


@pytest.mark.parametrize("task", ["a", "b", "c"])
def test_gradients_of_every_trainable_tensor(full, task):
    model = whole_model(full, torch.float64)
    tasks = list(model.tasks)
    inputs = {key: torch.tensor(full[key]) for key in ("input_ids", "attention_mask", "decoder_input_ids")}
    smoothed_sum(model, task, inputs, full).backward()
    unseen = {key for key in full.files if key.startswith(f"f64/{task}/grad/")}
    assert unseen
    for name, parameter in model.trainable_state().items():
        if name == "hypernetwork.task_embeddings.weight":
            key = f"f64/{task}/grad/task_embedding_controller.task_to_embeddings.{task}"
            others = [index for index in range(len(tasks)) if tasks[index] != task]
            assert not parameter.grad[others].any()
            gradient = parameter.grad[tasks.index(task)]
        else:
            key, gradient = f"f64/{task}/grad/{reference_name(name)}", parameter.grad
        expected = torch.tensor(full[key])
        unseen.discard(key)
        scale = expected.abs().max().clamp_min(1e-8).item()
        torch.testing.assert_close(gradient, expected, rtol=1e-3, atol=1e-3 * scale, msg=name)
    assert not unseen, "the original trains tensors that this model does not"
    frozen = [name for name, parameter in model.named_parameters() if not parameter.requires_grad]
    assert all(model.get_parameter(name).grad is None for name in frozen)
