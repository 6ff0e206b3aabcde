"""Hyperdecoder: exact parameter counts, what is trained, and that each sentence gets the adapters of its own encoding."""

import pytest
import torch
from torch.nn import functional as F
from transformers import T5Config, T5ForConditionalGeneration

from hyperloader.errors import RunError
from hyperloader.methods.loading import from_pretrained
from hyperloader.methods.registry import get_method
from hyperloader.methods.saved_models import save_pretrained
from hyperloader.training.loss import token_loss

TASKS = {"atis": ("city",), "snips": (), "mtop": ()}
T5_BASE = {"d_model": 768, "d_kv": 64, "d_ff": 3072, "num_layers": 12, "num_heads": 12, "vocab_size": 32128}
# every size different, so that a wrong axis cannot go unnoticed
TINY = {"d_model": 24, "d_kv": 5, "d_ff": 40, "num_layers": 3, "num_decoder_layers": 2, "num_heads": 4, "vocab_size": 60}
TINY_SETTINGS = {"encoder_bottleneck": 9, "decoder_bottleneck": 7, "hidden_dim": 11, "layer_dim": 13}
EOS = 1


def tiny():
    """A tiny Hyperdecoder in evaluation mode, every trainable weight moved off its start, where adapters do next to nothing."""
    torch.manual_seed(0)
    config = T5Config(**TINY, decoder_start_token_id=0)
    method = get_method("hyperdecoder")
    model = method.build(T5ForConditionalGeneration(config), TASKS, method.settings(TINY_SETTINGS)).eval()
    with torch.no_grad():
        for parameter in model.trainable_state().values():
            parameter.add_(0.3 * torch.randn(parameter.shape))
    return model


def source(seed=1):
    generator = torch.Generator().manual_seed(seed)
    return {
        "input_ids": torch.randint(3, 60, (5, 8), generator=generator),
        "attention_mask": torch.tensor([[1] * 8, [1] * 5 + [0] * 3, [1] * 7 + [0], [1] * 2 + [0] * 6, [1] * 8]),
    }


def inputs(seed=1):
    return source(seed) | {"decoder_input_ids": torch.randint(3, 60, (5, 6), generator=torch.Generator().manual_seed(seed + 1))}


def logits(model, **changes):
    with torch.no_grad():
        return model(task="atis", **(inputs() | changes)).logits


def calls_of(module):
    """A list that grows by one whenever the module is called."""
    calls = []
    module.register_forward_hook(lambda *_: calls.append(1))
    return calls


def naive_adapters(generator, states, mask, sentence, layer):
    """D, d, U, u of one sentence and decoder layer, number by number."""
    words = [states[sentence, position] for position in range(mask.shape[1]) if mask[sentence, position]]
    mean = sum(words) / len(words)
    first, last = generator.mlp[0], generator.mlp[2]
    processed = last.weight @ (first.weight @ mean + first.bias).clamp(min=0) + last.bias
    conditioned = torch.cat([processed, generator.layer_embeddings.weight[layer]])
    hidden = (generator.hidden.weight @ conditioned + generator.hidden.bias).clamp(min=0)
    rows = {
        name: getattr(generator, name).weight @ hidden + getattr(generator, name).bias
        for name in ("down_weight", "down_bias", "up_weight", "up_bias")
    }
    width, bottleneck = states.shape[2], len(rows["down_bias"])
    down = torch.empty(width, bottleneck, dtype=states.dtype)
    up = torch.empty(bottleneck, width, dtype=states.dtype)
    for i in range(width):
        for j in range(bottleneck):
            down[i, j] = rows["down_weight"][i * bottleneck + j]
            up[j, i] = rows["up_weight"][j * width + i]
    return down, rows["down_bias"], up, rows["up_bias"]


def test_parameter_counts_at_t5_base():
    method = get_method("hyperdecoder")
    with torch.device("meta"):
        model = method.build(T5ForConditionalGeneration(T5Config(**T5_BASE)), dict.fromkeys("abcdefg", ()), method.settings({}))
    assert model.parameter_counts() == (239_352_376, 16_448_824, 15_259_192)
    assert sum(unused.numel() for unused in model.unused_parameters()) == 1_189_632
    assert model.generator.hidden.weight.shape == (128, 778)


def test_initial_weights():
    method = get_method("hyperdecoder")
    torch.manual_seed(0)
    model = method.build(T5ForConditionalGeneration(T5Config(**TINY)), TASKS, method.settings(TINY_SETTINGS))
    generator = model.generator
    bounds = {"down_weight": 3 / (11 * 24), "up_weight": 3 / (11 * 7), "down_bias": 3 / 11, "up_bias": 3 / 11}
    for name, squared in bounds.items():
        head, bound = getattr(generator, name), 1e-3 * squared**0.5
        assert 0.9 * bound < head.weight.abs().max() <= bound and not head.bias.any()
    for adapter, bottleneck in [(a, 9) for a in model.encoder_adapters] + [(a, 7) for a in model.decoder_adapters]:
        bound = 1e-4 * (6 / (24 + bottleneck)) ** 0.5
        assert all(0.9 * bound < linear.weight.abs().max() <= bound for linear in (adapter.down, adapter.up))
        assert not adapter.down.bias.any() and not adapter.up.bias.any()


def test_what_is_trained_and_the_names_of_t5():
    model = tiny()
    linear = ("weight", "bias")
    static = {
        f"{stack}_adapters.{i}.{layer}.{kind}"
        for stack, layers in (("encoder", 3), ("decoder", 2))
        for i in range(layers)
        for layer in ("down", "up")
        for kind in linear
    }
    modules = ("mlp.0", "mlp.2", "hidden", "down_weight", "down_bias", "up_weight", "up_bias")
    generated = {f"generator.{module}.{kind}" for module in modules for kind in linear} | {"generator.layer_embeddings.weight"}
    assert set(model.trainable_state()) == static | generated
    plain = T5ForConditionalGeneration(T5Config(**TINY))
    assert set(model.backbone.state_dict()) == set(plain.state_dict())


def test_all_but_the_unused_parameters_get_a_gradient():
    model = tiny().train()
    batch = inputs()
    token_loss(model.states("snips", **batch), model.head(None), batch["decoder_input_ids"]).backward()
    without = {name for name, parameter in model.named_parameters() if parameter.grad is None}
    unused = {name for name in model.trainable_state() if name.startswith("decoder_adapters.")}
    assert without == {name for name, parameter in model.named_parameters() if not parameter.requires_grad} | unused
    assert {id(one) for one in model.unused_parameters()} == {id(model.get_parameter(name)) for name in unused}
    for name, parameter in model.trainable_state().items():
        assert name in unused or parameter.grad.any(), name


def test_generated_weights_number_by_number():
    model = tiny().double()
    mask = source()["attention_mask"]
    states = torch.randn(5, 8, 24, dtype=torch.float64)
    with torch.no_grad():
        adapters = model.generator(states, mask)
        for layer in range(2):
            for sentence in range(5):
                expected = naive_adapters(model.generator, states, mask, sentence, layer)
                for tensor, own in zip(adapters, expected, strict=True):
                    torch.testing.assert_close(tensor[layer, sentence], own, rtol=0, atol=1e-12)
        whole, unmasked = model.generator(states, torch.ones_like(mask)), model.generator(states)
        assert all(torch.allclose(*pair, rtol=0, atol=1e-12) for pair in zip(whole, unmasked, strict=True))


@torch.no_grad()
@pytest.mark.usefixtures("float64_throughout")
def test_feed_forward_sublayers_of_single_sentences():
    model, seen = tiny().double(), {}
    for stack in ("encoder", "decoder"):
        for i, block in enumerate(getattr(model.backbone, stack).block):
            block.layer[-1].register_forward_hook(lambda _, args, out, key=(stack, i): seen.update({key: (args[0], out)}))
    states = model(task="mtop", **inputs()).encoder_last_hidden_state
    assert len(seen) == 5
    for (stack, i), (x, out) in seen.items():
        sublayer = getattr(model.backbone, stack).block[i].layer[-1]
        for sentence in range(5):
            if stack == "encoder":
                adapter = model.encoder_adapters[i]
                weights = (adapter.down.weight.T, adapter.down.bias, adapter.up.weight.T, adapter.up.bias)
            else:
                weights = naive_adapters(model.generator, states, inputs()["attention_mask"], sentence, i)
            down, down_bias, up, up_bias = weights
            normed = sublayer.layer_norm(x[sentence])
            feed_forward = F.relu(normed @ sublayer.DenseReluDense.wi.weight.T) @ sublayer.DenseReluDense.wo.weight.T
            expected = x[sentence] + feed_forward + F.relu(normed @ down + down_bias) @ up + up_bias
            torch.testing.assert_close(out[sentence], expected, rtol=0, atol=1e-12)


def test_without_adapters_it_is_t5():
    model = tiny()
    with torch.no_grad():
        for parameter in [*model.encoder_adapters.parameters(), *model.generator.parameters()]:
            parameter.zero_()
    plain = T5ForConditionalGeneration(model.backbone.config).eval()
    plain.load_state_dict(model.backbone.state_dict())
    with torch.no_grad():
        torch.testing.assert_close(logits(model), plain(**inputs()).logits)


def test_dropout_leaves_the_adapters_alone():
    model = tiny().train()
    sublayer = model.backbone.encoder.block[0].layer[-1]
    sublayer.dropout.p = 1.0
    x = torch.randn(2, 3, 24)
    torch.testing.assert_close(sublayer(x), x + model.encoder_adapters[0](sublayer.layer_norm(x)))


@pytest.mark.usefixtures("float64_throughout")
def test_a_sentence_depends_on_no_other_and_not_on_its_padding():
    model, batch = tiny().double(), inputs()
    before, mask = logits(model), batch["attention_mask"]
    noise = torch.randint(3, 60, (5, 8))
    padded = {
        "input_ids": torch.cat([torch.where(mask == 1, batch["input_ids"], noise), noise], dim=1),
        "attention_mask": F.pad(mask, (0, 8)),
    }
    torch.testing.assert_close(logits(model, **padded), before, rtol=0, atol=1e-10)
    order = torch.tensor([3, 0, 4, 1, 2])
    torch.testing.assert_close(logits(model, **{name: tensor[order] for name, tensor in batch.items()}), before[order], rtol=0, atol=1e-10)
    other = batch["input_ids"].clone()
    other[0] = noise[0]
    after = logits(model, input_ids=other)
    assert not torch.allclose(after[0], before[0], atol=1e-3)
    torch.testing.assert_close(after[1:], before[1:], rtol=0, atol=1e-10)


def test_the_task_changes_nothing_but_has_to_be_known():
    model = tiny()
    with torch.no_grad():
        assert torch.equal(model(task="atis", **inputs()).logits, model(task="mtop", **inputs()).logits)
    with pytest.raises(RunError, match="no task 'sips'.*atis, snips, mtop"):
        model(task="sips", **inputs())
    with pytest.raises(RunError, match="no task 'sips'"):
        model.generate("sips", **source())


@torch.no_grad()
def test_an_encoding_that_is_given():
    model, mask = tiny(), source()["attention_mask"]
    given = model.backbone.encoder(**source())
    rest = {"task": "atis", "attention_mask": mask, "decoder_input_ids": inputs()["decoder_input_ids"]}
    assert torch.equal(model(encoder_outputs=given, **rest).logits, logits(model))
    written = model.generate("atis", **source(), max_new_tokens=4)
    assert torch.equal(model.generate("atis", encoder_outputs=given, attention_mask=mask, max_new_tokens=4), written)
    # the same tensor with other contents, after generating and after a forward pass
    for factor in (-1, 3):
        given.last_hidden_state.mul_(factor)
        again = model(encoder_outputs=given, **rest).logits
        assert torch.equal(again, tiny()(encoder_outputs=given, **rest).logits)
    # of this length, T5's own attention would take one sentence's encoding for five
    single = given.last_hidden_state[:1].repeat(1, 5, 1)
    with pytest.raises(RuntimeError, match="batch2"):
        model(task="atis", encoder_outputs=(single,), decoder_input_ids=rest["decoder_input_ids"])


def test_adapters_of_one_pass_are_never_those_of_another():
    model, other = tiny(), inputs(seed=7)
    first, second = logits(model), logits(model, **other)
    assert not torch.allclose(first, second, atol=1e-3)
    written = model.generate("atis", **source(), max_new_tokens=4)
    assert torch.equal(logits(model, **other), second)
    model.generate("atis", **source(seed=7), max_new_tokens=4)
    assert torch.equal(model.generate("atis", **source(), max_new_tokens=4), written)
    assert torch.equal(logits(model), first)
    with torch.no_grad():
        model.generator.up_bias.bias.add_(1)
    assert not torch.allclose(logits(model), first, atol=1e-3)


@pytest.mark.usefixtures("float64_throughout")
def test_generate_is_greedy_and_generates_adapters_once():
    model, steps = tiny().double(), 9
    encoded, generated = calls_of(model.backbone.encoder), calls_of(model.generator)
    written = model.generate("snips", **source(), min_new_tokens=steps, max_new_tokens=steps, do_sample=False, num_beams=1)
    assert (len(encoded), len(generated)) == (1, 1)
    expected = torch.zeros(5, 1, dtype=torch.long)
    for _ in range(steps):
        following = logits(model, decoder_input_ids=expected)[:, -1]
        following[:, EOS] = -torch.inf
        expected = torch.cat([expected, following.argmax(-1, keepdim=True)], dim=1)
    assert torch.equal(written, expected)
    assert len({tuple(row) for row in written.tolist()}) > 1


@pytest.mark.usefixtures("float64_throughout")
def test_beams_keep_the_adapters_of_their_sentence():
    model, batch = tiny().double(), source()
    beams = {"num_beams": 3, "max_new_tokens": 6, "min_new_tokens": 6, "do_sample": False}
    together = model.generate("atis", **batch, **beams)
    for sentence, length in enumerate(batch["attention_mask"].sum(1)):
        alone = model.generate("atis", input_ids=batch["input_ids"][sentence : sentence + 1, :length], **beams)
        assert torch.equal(alone[0], together[sentence])


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_other_precisions(dtype):
    reference, model = logits(tiny()), tiny().to(dtype)
    tolerance = {torch.float64: 1e-5, torch.bfloat16: 0.1}[dtype]
    converted = logits(model)
    assert converted.dtype == dtype
    assert (converted.float() - reference).norm() < tolerance * reference.norm()
    assert model.generate("atis", **source(), min_new_tokens=3, max_new_tokens=3).shape == (5, 4)


def test_saving_and_loading_changes_no_logit(tmp_path):
    model = tiny()
    save_pretrained(model, tmp_path / "model", method="hyperdecoder", settings=TINY_SETTINGS, backbone="elsewhere")
    plain = T5ForConditionalGeneration(model.backbone.config)
    plain.load_state_dict(model.backbone.state_dict())
    again = from_pretrained(tmp_path / "model", plain)
    assert torch.equal(logits(again), logits(model))
    assert again.tasks == model.tasks
