"""T5's layers in fewer kernels against Transformers' own."""

import pytest
import torch
from transformers import T5Config, T5ForConditionalGeneration

from hyperloader.methods.registry import get_method
from hyperloader.models.fused_t5 import FusedAttention, FusedLayerNorm, fuse, unfuse

CHANGES = {"T5": {}, "T5 1.1": {"feed_forward_proj": "gated-gelu", "tie_word_embeddings": False}}


def t5(changes, dropout_rate=0.0):
    torch.manual_seed(0)
    sizes = {"d_model": 24, "d_kv": 10, "d_ff": 40, "num_layers": 3, "num_decoder_layers": 2, "num_heads": 2, "vocab_size": 50}
    config = T5Config(**sizes, dropout_rate=dropout_rate, decoder_start_token_id=0, use_cache=False, **changes)
    return T5ForConditionalGeneration(config).double()


def inputs():
    generator = torch.Generator().manual_seed(1)
    source, target = (torch.randint(2, 50, (4, length), generator=generator) for length in (9, 7))
    mask = torch.arange(9) < torch.tensor([9, 1, 5, 8])[:, None]
    return {"input_ids": source * mask, "attention_mask": mask.long(), "decoder_input_ids": target}


def computed(model):
    model.zero_grad()
    output = model(**inputs())
    output.logits.square().mean().backward()
    states = [output.logits, output.encoder_last_hidden_state]
    return [state.detach() for state in states], {name: parameter.grad.clone() for name, parameter in model.named_parameters()}


@pytest.fixture
def in_float64(monkeypatch):
    """Transformers makes norms and softmax in float32 whatever the model's type; not here."""
    monkeypatch.setattr(torch.Tensor, "float", torch.Tensor.double)
    monkeypatch.setattr(torch, "float32", torch.float64)


@pytest.mark.parametrize("changes", CHANGES.values(), ids=CHANGES)
def test_outputs_and_gradients_are_those_of_transformers(changes, in_float64):
    model = t5(changes)
    states, gradients = computed(model)
    fuse(model)
    assert {type(module).__name__ for module in model.modules()} & {"T5Attention", "T5LayerNorm"} == set()
    own_states, own_gradients = computed(model)
    for own, plain in zip(own_states, states, strict=True):
        torch.testing.assert_close(own, plain, rtol=0, atol=1e-12)
    for name, plain in gradients.items():
        torch.testing.assert_close(own_gradients[name], plain, rtol=0, atol=1e-12 * max(1, plain.abs().max().item()), msg=name)
    unfuse(model)
    torch.testing.assert_close(computed(model)[0], states, rtol=0, atol=0)


def test_attention_by_its_formula():
    model = t5({})
    fuse(model)
    block = model.decoder.block[0]
    attention = block.layer[0].SelfAttention
    assert isinstance(attention, FusedAttention)
    x = torch.randn(2, 5, 24, dtype=torch.float64)
    mask = torch.full((5, 5), -1e9, dtype=torch.float64).triu(1)[None, None]
    q, k, v = (linear(x).view(2, 5, 2, 10).transpose(1, 2) for linear in (attention.q, attention.k, attention.v))
    weights = (q @ k.mT + attention.compute_bias(5, 5) + mask).softmax(-1)
    expected = attention.o((weights @ v).transpose(1, 2).reshape(2, 5, 20))
    torch.testing.assert_close(attention(x, mask=mask, cache_position=torch.arange(5))[0], expected, rtol=0, atol=1e-12)


def test_norm_by_its_formula():
    model = t5({})
    fuse(model)
    norm = model.encoder.final_layer_norm
    assert isinstance(norm, FusedLayerNorm)
    norm.weight.data.normal_()
    x = torch.randn(3, 24, dtype=torch.float64)
    expected = x / (x.square().mean(-1, keepdim=True) + norm.variance_epsilon).sqrt() * norm.weight
    torch.testing.assert_close(norm(x), expected, rtol=0, atol=1e-12)


def test_attention_drops_out_in_training_only():
    model = t5({}, dropout_rate=0.5)
    fuse(model)
    attention = model.encoder.block[0].layer[0].SelfAttention
    x = torch.randn(2, 5, 24, dtype=torch.float64)
    outputs = {training: [attention.train(training)(x)[0] for _ in range(2)] for training in (True, False)}
    assert not torch.equal(*outputs[True]) and torch.equal(*outputs[False])


def test_with_a_cache_it_writes_the_same():
    model = t5({}).float().eval()
    kept = {"max_new_tokens": 8, "do_sample": False, "use_cache": True}
    source = {key: value for key, value in inputs().items() if key != "decoder_input_ids"}
    plain = model.generate(**source, **kept)
    fuse(model)
    assert torch.equal(model.generate(**source, **kept), plain)
    assert torch.equal(model.generate(**source, **kept | {"use_cache": False}), plain)


@pytest.mark.parametrize("name", ["hyperloader", "hyperformer_pp", "hyperdecoder", "unipelt_t5", "full_finetuning"])
@pytest.mark.parametrize("changes", CHANGES.values(), ids=CHANGES)
def test_joined_projections_change_no_output_and_no_gradient(name, changes):
    sizes = {"hyperloader": {"reduction_factor": 4, "lora_rank": 3}, "hyperformer_pp": {"reduction_factor": 4}}
    sizes |= {"hyperdecoder": {"encoder_bottleneck": 4, "decoder_bottleneck": 4, "hidden_dim": 8}, "unipelt_t5": {"reduction_factor": 4}}
    method = get_method(name)
    model = method.build(t5(changes), {"atis": ()}, method.settings(sizes.get(name, {}))).double()
    with torch.no_grad():
        for parameter in model.trainable_state().values():
            parameter.normal_(std=0.3)

    def passed():
        model.zero_grad()
        output = model("atis", **inputs())
        (output.logits.square().mean() + output.encoder_last_hidden_state.square().mean()).backward()
        gradients = {name: parameter.grad.clone() for name, parameter in model.trainable_state().items() if parameter.grad is not None}
        return output.logits.detach(), gradients

    logits, gradients = passed()
    model.place(torch.device("cpu"), "fp32")
    own_logits, own_gradients = passed()
    torch.testing.assert_close(own_logits, logits, rtol=1e-9, atol=1e-9)
    assert own_gradients.keys() == gradients.keys()
    for key, gradient in gradients.items():
        torch.testing.assert_close(own_gradients[key], gradient, rtol=1e-7, atol=1e-9 * max(1, gradient.abs().max().item()), msg=key)
    kept = [parameter for name, parameter in model.named_parameters() if name.endswith(("Attention.q.weight", "Attention.k.weight"))]
    assert len({parameter.data_ptr() for parameter in kept}) == len(kept) == 14
