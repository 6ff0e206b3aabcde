"""Imported checkpoints against the original HyperFormer++, and against computations of their own from the original names.

The second kind covers HyperLoader and Hyperdecoder: every matrix is made from the tensors of the state dict, one place at a
time, and put around transformers' T5 by hooks.
"""

import json

import numpy as np
import pytest
import torch
from torch.nn import functional as F
from transformers import T5Config, T5ForConditionalGeneration

from hyperloader.interop import load_original_checkpoint, original_state_dict
from hyperloader.methods.registry import get_method
from hyperloader.models.fused_t5 import fuse

# every size different, so that a wrong axis cannot go unnoticed
TINY = {"d_model": 24, "d_kv": 5, "d_ff": 40, "num_layers": 3, "num_decoder_layers": 2, "num_heads": 4, "vocab_size": 60}
HYPERLOADER = {"task_dim": 7, "layer_dim": 6, "position_dim": 5, "hidden_dim": 11, "embedding_dim": 9}
HYPERLOADER |= {"reduction_factor": 8, "lora_rank": 2}
HYPERDECODER = {"encoder_bottleneck": 9, "decoder_bottleneck": 7, "hidden_dim": 11, "layer_dim": 13}
GATED = {"feed_forward_proj": "gated-gelu", "tie_word_embeddings": False}
# rows of the table of position embeddings
FEED_FORWARD, SELF_ATTENTION = 0, 1
Q, V, CROSS_Q, CROSS_V = 2, 3, 4, 5


@pytest.mark.parametrize("whole", [True, False], ids=["from a configuration", "into a T5"])
@pytest.mark.parametrize(("dtype", "prefix", "tolerance"), [(np.float64, "f64/", 2e-6), (np.float32, "", 1e-4)])
def test_hyperformer_pp_of_the_original(fixtures, dtype, prefix, tolerance, whole):
    full = np.load(fixtures / "hyperformer_pp_full_t5.npz")
    cfg = json.loads(str(full["cfg_json"]))
    state = {name.removeprefix("sd/"): full[name].astype(dtype) for name in full.files if name.startswith("sd/")}
    keys = ("d_model", "d_kv", "d_ff", "num_heads", "num_layers", "num_decoder_layers", "vocab_size")
    config = T5Config(**{key: cfg[key] for key in keys})
    model = load_original_checkpoint(state, config if whole else T5ForConditionalGeneration(config))
    inputs = {key: torch.tensor(full[key]) for key in ("input_ids", "attention_mask", "decoder_input_ids")}
    assert tuple(model.tasks) == ("a", "b", "c")
    for task in model.tasks:
        expected = torch.tensor(full[f"{prefix}{task}/logits"])
        torch.testing.assert_close(model(task=task, **inputs).logits, expected, rtol=0, atol=tolerance)
    again = original_state_dict(model)
    # zero, and of older versions of T5 only
    assert set(state) - set(again) == {"decoder.block.0.layer.1.EncDecAttention.relative_attention_bias.weight"}
    assert all(np.array_equal(again[name].numpy(), state[name]) for name in again)


def checkpoint(name, settings, changes):
    """A state dict in float64 under the original names, no weight at its start, and the T5 with the same weights."""
    torch.manual_seed(0)
    config = T5Config(**TINY | changes, dropout_rate=0.0, decoder_start_token_id=0)
    method = get_method(name)
    model = method.build(T5ForConditionalGeneration(config), {"atis": (), "snips": ()}, method.settings(settings))
    state = {name: tensor.double() for name, tensor in original_state_dict(model).items()}
    aliases = ("encoder.embed_tokens.weight", "decoder.embed_tokens.weight", *(["lm_head.weight"] if config.tie_word_embeddings else []))
    for tensor in {key: tensor for key, tensor in state.items() if key not in aliases}.values():
        tensor += 0.2 * torch.randn_like(tensor)
    state |= dict.fromkeys(aliases, state["shared.weight"])
    t5 = T5ForConditionalGeneration(config).double().eval()
    t5.load_state_dict({key: state[key] for key in t5.state_dict()})
    return state, t5


def inputs():
    generator = torch.Generator().manual_seed(1)
    return {
        "input_ids": torch.randint(3, 60, (2, 6), generator=generator),
        "attention_mask": torch.tensor([[1] * 6, [1] * 4 + [0] * 2]),
        "decoder_input_ids": torch.randint(3, 60, (2, 5), generator=generator),
    }


class Generated:
    """HyperLoader's weights of one stack and task, computed one by one from the original names."""

    def __init__(self, state, stack, task):
        prefix = f"{stack}.adapter_layers_hyper_net."
        self.weights = {key.removeprefix(prefix): tensor for key, tensor in state.items() if key.startswith(prefix)}
        self.z = state[f"task_embedding_controller.task_to_embeddings.{task}"]

    def linear(self, name, x):
        y = self.weights[f"{name}.weight"] @ x
        return y + self.weights[f"{name}.bias"] if f"{name}.bias" in self.weights else y

    def embedding(self, layer, position):
        parts = [self.z, self.weights["layer_id_embeddings.weight"][layer], self.weights["adapters_block_type.weight"][position]]
        hidden = self.linear("task_hypernet.task_embeding_generator.0", torch.cat(parts)).clamp(min=0)
        x = self.linear("task_hypernet.task_embeding_generator.2", hidden)
        x = (x - x.mean()) / (x.var(correction=0) + 1e-6).sqrt()
        return x * self.weights["LayerNorm.weight"] + self.weights["LayerNorm.bias"]

    def adapter(self, layer, position):
        x = self.embedding(layer, position)
        names = ("down_sampler_hyper_net.weight_generator.0", "down_sampler_hyper_net.bias_generator.0")
        names += ("up_sampler_hyper_net.weight_generator.0", "up_sampler_hyper_net.bias_generator.0")
        names += ("post_layernorm_hypernet.weight_generator", "post_layernorm_hypernet.bias_generator")
        down, d, up, u, weight, bias = (self.linear(name, x) for name in names)
        return down.view(3, 24), d, up.view(24, 3), u, weight, bias

    def lora(self, layer, position):
        x = self.embedding(layer, position)
        a, b = (self.linear(f"lora_{matrix}_hyper_net.weight_generator.0", x) for matrix in "ab")
        return a.view(2, 24), b.view(20, 2)


def adapted(y, down, d, up, u, weight, bias):
    return F.layer_norm(F.gelu(y @ down.T + d, approximate="tanh") @ up.T + u, (24,), weight, bias, 1e-5) + y


def hook_hyperloader(t5, state, task):
    # Transformers makes norms and softmax in float32 whatever the model's type
    fuse(t5)
    for name, stack in (("encoder", t5.encoder), ("decoder", t5.decoder)):
        generated = Generated(state, name, task)
        for layer, block in enumerate(stack.block):
            attention, feed_forward = block.layer[0].SelfAttention, block.layer[-1].DenseReluDense
            own = generated.adapter(layer, SELF_ATTENTION)
            attention.register_forward_hook(lambda _, args, out, own=own: (adapted(out[0], *own), *out[1:]))
            own = generated.adapter(layer, FEED_FORWARD)
            feed_forward.register_forward_hook(lambda _, args, out, own=own: adapted(out, *own))
            places = {Q: attention.q, V: attention.v}
            if name == "decoder":
                places |= {CROSS_Q: block.layer[1].EncDecAttention.q, CROSS_V: block.layer[1].EncDecAttention.v}
            for position, place in places.items():
                a, b = generated.lora(layer, position)
                place.register_forward_hook(lambda _, args, out, a=a, b=b: out + args[0] @ a.T @ b.T)


@pytest.mark.parametrize("changes", [{}, GATED], ids=["T5", "T5 1.1"])
def test_hyperloader(changes):
    state, t5 = checkpoint("hyperloader", HYPERLOADER, changes)
    model = load_original_checkpoint(state, t5.config)
    for stack, weights in zip(("encoder", "decoder"), model.hypernetwork("snips"), strict=True):
        generated = Generated(state, stack, "snips")
        for layer in range(len(weights.lora.a)):
            for position in (FEED_FORWARD, SELF_ATTENTION):
                for one, other in zip(weights.adapters, generated.adapter(layer, position), strict=True):
                    torch.testing.assert_close(one[layer, position], other, rtol=0, atol=1e-10)
            for position in range(weights.lora.a.shape[1]):
                for one, other in zip(weights.lora, generated.lora(layer, Q + position), strict=True):
                    torch.testing.assert_close(one[layer, position], other, rtol=0, atol=1e-10)
    plain = t5(**inputs()).logits
    hook_hyperloader(t5, state, "snips")
    expected = t5(**inputs()).logits
    assert (expected - plain).abs().max() > 0.1
    torch.testing.assert_close(model(task="snips", **inputs()).logits, expected, rtol=0, atol=1e-9)


def hook_hyperdecoder(t5, state, mask):
    fuse(t5)
    linear = lambda name, x: x @ state[f"{name}.weight"].T + state[f"{name}.bias"]  # noqa: E731
    generated = {}

    def generate(_, args, output):
        for sentence, states in enumerate(output[0]):
            mean = states[mask[sentence].bool()].mean(0)
            mean = linear("decoder.mlp.2", linear("decoder.mlp.0", mean).clamp(min=0))
            for layer, embedding in enumerate(state["decoder.param_gen.layer_embed.weight"]):
                hidden = linear("decoder.param_gen.decoder.linear1", torch.cat([mean, embedding])).clamp(min=0)
                heads = ("weight_down", "bias_down", "weight_up", "bias_up")
                down, d, up, u = (linear(f"decoder.param_gen.decoder.{head}", hidden) for head in heads)
                generated[layer, sentence] = down.view(24, 7), d, up.view(7, 24), u

    def generated_adapters(layer, x):
        adapters = [generated[layer, sentence] for sentence in range(len(x))]
        return torch.stack([(row @ down + d).clamp(min=0) @ up + u for row, (down, d, up, u) in zip(x, adapters, strict=True)])

    def static_adapter(layer, x):
        name = f"encoder.block.{layer}.layer.1.adapter_layer.adapter"
        return linear(f"{name}_up_manual", linear(f"{name}_down_manual", x).clamp(min=0))

    t5.encoder.register_forward_hook(generate)
    for stack, adapters in ((t5.encoder, static_adapter), (t5.decoder, generated_adapters)):
        for layer, block in enumerate(stack.block):
            block.layer[-1].register_forward_hook(lambda module, args, out, a=adapters, i=layer: out + a(i, module.layer_norm(args[0])))


@pytest.mark.parametrize("changes", [{}, GATED], ids=["T5", "T5 1.1"])
def test_hyperdecoder(changes):
    state, t5 = checkpoint("hyperdecoder", HYPERDECODER, changes)
    model = load_original_checkpoint(state, t5.config)
    plain = t5(**inputs()).logits
    hook_hyperdecoder(t5, state, inputs()["attention_mask"])
    expected = t5(**inputs()).logits
    assert (expected - plain).abs().max() > 0.1
    torch.testing.assert_close(model(task="whatever", **inputs()).logits, expected, rtol=0, atol=1e-9)
