"""UniPELT on T5 and on BERT: exact parameter counts, what is trained, where it starts, and that it computes what it should."""

import logging
import warnings

import pytest
import torch
from torch.nn import functional as F
from transformers import BertConfig, BertModel, T5Config, T5ForConditionalGeneration
from transformers.models.t5.modeling_t5 import T5LayerNorm

from hyperloader.errors import SettingsError
from hyperloader.methods.loading import from_pretrained
from hyperloader.methods.registry import get_method
from hyperloader.methods.saved_models import save_pretrained
from hyperloader.models.fused_t5 import FusedLayerNorm
from hyperloader.training.loss import token_loss

TASKS = {"atis": ("city", "date")}
T5_BASE = {"d_model": 768, "d_kv": 64, "d_ff": 3072, "num_layers": 12, "num_heads": 12, "vocab_size": 32128}
# every size different, so that a wrong axis cannot go unnoticed
T5_TINY = {"d_model": 24, "d_kv": 5, "d_ff": 40, "num_layers": 3, "num_decoder_layers": 2, "num_heads": 4, "vocab_size": 60}
BERT_TINY = {
    "hidden_size": 24,
    "num_attention_heads": 4,
    "num_hidden_layers": 3,
    "intermediate_size": 40,
    "vocab_size": 60,
    "max_position_embeddings": 20,
}
SETTINGS = {
    "unipelt_t5": {"reduction_factor": 8, "lora_rank": 2, "lora_alpha": 6},
    "unipelt_bert": {"reduction_factor": 8, "lora_rank": 2, "lora_alpha": 6, "prefix_length": 5, "prefix_hidden": 7},
}
NAMES = tuple(SETTINGS)
SUBMODULES = ("prefix_tunings", "loras", "adapters")


def backbone(name):
    torch.manual_seed(0)
    if name == "unipelt_t5":
        return T5ForConditionalGeneration(T5Config(**T5_TINY, decoder_start_token_id=0)).eval()
    return BertModel(BertConfig(**BERT_TINY)).eval()


def fresh(name, seed=1, **settings):
    """A tiny model at its start."""
    method, base = get_method(name), backbone(name)
    torch.manual_seed(seed)
    return method.build(base, TASKS, method.settings(SETTINGS[name] | settings)).eval()


def tiny(name, **settings):
    """A tiny model, every trainable weight moved off its start, where LoRA does nothing."""
    model = fresh(name, **settings)
    with torch.no_grad():
        for parameter in model.trainable_state().values():
            parameter.add_(0.3 * torch.randn(parameter.shape))
    return model


def inputs(name):
    generator = torch.Generator().manual_seed(2)
    batch = {
        "input_ids": torch.randint(3, 60, (3, 8), generator=generator),
        "attention_mask": torch.tensor([[1] * 8, [1] * 5 + [0] * 3, [1] * 2 + [0] * 6]),
    }
    if name == "unipelt_t5":
        batch["decoder_input_ids"] = torch.randint(3, 60, (3, 6), generator=generator)
    return batch


@torch.no_grad()
def logits(model, name, **changes):
    return model(task="atis", **(inputs(name) | changes)).logits


@pytest.mark.parametrize(
    ("name", "settings", "trainable", "total"),
    [
        ("unipelt_t5", {}, 4_462_848, 227_366_400),
        ("unipelt_bert", {}, 11_083_376, 119_975_024),
        ("unipelt_bert", {"flat_prefix": True}, 1_410_672, 110_302_320),  # what is left of the prefix's network after training
        ("unipelt_bert", {"flat_prefix": True, "prefix_length": 30}, 1_779_312, 110_670_960),  # the paper's 1.8M
    ],
)
def test_parameter_counts_at_base_size(name, settings, trainable, total):
    method = get_method(name)
    with torch.device("meta"):
        base = T5ForConditionalGeneration(T5Config(**T5_BASE)) if name == "unipelt_t5" else BertModel(BertConfig(), add_pooling_layer=False)
        model = method.build(base, TASKS, method.settings(settings))
    # dropout 0.1 and a linear layer over the five BIO tags
    head = 768 * 5 + 5 if name == "unipelt_bert" else 0
    assert model.parameter_counts() == (total + head, trainable + head, trainable + head)


def test_what_is_trained_on_t5():
    places = {f"encoder.block.{i}.layer.{place}" for i in range(3) for place in (0, 1)}
    places |= {f"decoder.block.{i}.layer.{place}" for i in range(2) for place in (0, 2)}
    attentions = {f"encoder.block.{i}.layer.0.SelfAttention" for i in range(3)}
    attentions |= {f"decoder.block.{i}.layer.{place}" for i in range(2) for place in ("0.SelfAttention", "1.EncDecAttention")}
    linear = ("adapter_down.0.weight", "adapter_down.0.bias", "adapter_up.weight", "adapter_up.bias")
    expected = {f"backbone.{place}.adapters.unipelt.{part}" for place in places for part in linear}
    expected |= {f"backbone.{place}.{p}.loras.unipelt.lora_{m}" for place in attentions for p in "qv" for m in "AB"}
    assert set(fresh("unipelt_t5").trainable_state()) == expected


@pytest.mark.parametrize(("gated", "flat"), [(True, False), (True, True), (False, False)])
def test_what_is_trained_on_bert(gated, flat):
    trained = set(fresh("unipelt_bert", use_gating=gated, flat_prefix=flat).trainable_state())
    gate = ("gate.weight", "gate.bias") if gated else ()
    linear = ("adapter_down.0.weight", "adapter_down.0.bias", "adapter_up.weight", "adapter_up.bias")
    expected = {"classifier.weight", "classifier.bias"}
    for i in range(3):
        layer = f"backbone.encoder.layer.{i}"
        expected |= {f"{layer}.attention.self.{p}.loras.unipelt.{part}" for p in ("query", "value") for part in ("lora_A", "lora_B", *gate)}
        expected |= {f"{layer}.output.adapters.unipelt.{part}" for part in (*linear, *gate)}
        expected |= {f"{layer}.attention.self.prefix_tuning.prefix_gates.unipelt.{part[5:]}" for part in gate}
    prefix = "backbone.encoder.layer.0.attention.self.prefix_tuning.pool.prefix_tunings.unipelt.self_prefix."
    whole = ("control_trans",) if flat else ("wte.weight", *(f"control_trans.{i}.{kind}" for i in (0, 2) for kind in ("weight", "bias")))
    assert trained == expected | {prefix + part for part in whole}


@pytest.mark.parametrize("name", NAMES)
def test_everything_trained_gets_a_gradient_and_nothing_else(name):
    model = tiny(name).train()
    states = model.states("atis", **inputs(name))
    token_loss(states, model.head(None), torch.ones(states.shape[:2], dtype=torch.long)).backward()
    without = {n for n, p in model.named_parameters() if p.grad is None}
    assert without == {n for n, p in model.named_parameters() if not p.requires_grad}
    assert all(parameter.grad.any() for parameter in model.trainable_state().values())


@pytest.mark.parametrize("flat", [False, True])
def test_initial_weights_on_bert(flat):
    sizes = {"prefix_length": 200, "prefix_hidden": 150, "reduction_factor": 1}
    state = fresh("unipelt_bert", flat_prefix=flat, **sizes).trainable_state()
    kinds = {"prefix": [], "gate": [], "bottleneck": [], "lora_A": []}
    for name, parameter in state.items():
        if name.endswith(("bias", "lora_B")):
            assert not parameter.any(), name
        elif "classifier" not in name:
            kind = next(kind for kind, part in zip(kinds, ("prefix_tunings", "gate", "adapter_", "lora_A"), strict=True) if part in name)
            kinds[kind].append(parameter.detach().flatten())
    std = {kind: torch.cat(parameters).std().item() for kind, parameters in kinds.items()}
    assert std["prefix"] == pytest.approx(0.02, rel=0.03)
    assert std["gate"] == pytest.approx(0.02, rel=0.2)
    assert std["bottleneck"] == pytest.approx(0.02, rel=0.05)
    # uniform in 1 / sqrt(inputs), as in a linear layer
    assert torch.cat(kinds["lora_A"]).abs().max().item() == pytest.approx(24**-0.5, rel=0.05)


@pytest.mark.parametrize("name", NAMES)
def test_the_seed_decides_the_initial_weights(name):
    first, same, other = (fresh(name, seed).trainable_state() for seed in (1, 1, 2))
    assert all(torch.equal(parameter, same[n]) for n, parameter in first.items())
    random = [n for n, parameter in first.items() if parameter.any()]
    assert random and not any(torch.equal(first[n], other[n]) for n in random)


@torch.no_grad()
def test_t5_is_one_with_merged_lora_and_adapters_behind_its_blocks():
    model, plain = tiny("unipelt_t5").double(), backbone("unipelt_t5").double()

    def with_adapter(own):
        down, up = own.adapter_down[0], own.adapter_up
        return lambda module, args, x: x + F.linear(F.silu(F.linear(x, down.weight, down.bias)), up.weight, up.bias)

    for name, module in plain.named_modules():
        if isinstance(module, T5LayerNorm):
            # in the model's type; the library keeps Transformers' attention, whose softmax is in float32
            module.__class__ = FusedLayerNorm
        if name.endswith(("Attention.q", "Attention.v")):
            lora = model.backbone.get_submodule(f"{name}.loras.unipelt")
            module.weight += 6 / 2 * lora.lora_B @ lora.lora_A
        elif name.endswith(("SelfAttention.o", "DenseReluDense.wo")):
            module.register_forward_hook(with_adapter(model.backbone.get_submodule(name.rsplit(".", 2)[0]).adapters["unipelt"]))
    torch.testing.assert_close(logits(model, "unipelt_t5"), plain(**inputs("unipelt_t5")).logits, rtol=0, atol=1e-10)


@torch.no_grad()
@pytest.mark.parametrize("settings", [{}, {"flat_prefix": True}, {"use_gating": False}], ids=["as published", "flat prefix", "no gates"])
def test_bert_is_what_the_formulas_say(settings):
    model = tiny("unipelt_bert", **settings).double()
    bert, batch = model.backbone, inputs("unipelt_bert")
    gated = settings.get("use_gating", True)
    prefix = bert.prefix_tuning.prefix_tunings["unipelt"]["self_prefix"]
    if settings.get("flat_prefix"):
        generated = prefix.control_trans
    else:
        first, last = prefix.control_trans[0], prefix.control_trans[2]
        generated = torch.tanh(prefix.wte.weight @ first.weight.T + first.bias) @ last.weight.T + last.bias
    # position, layer, key or value, head, dimension
    generated = generated.view(5, 3, 2, 4, 6)

    def gate(own, x):
        return torch.sigmoid(x @ own.weight.T + own.bias).mean(1, keepdim=True)

    def projected(module, x):
        out = F.linear(x, module.weight, module.bias)
        if "unipelt" in module.loras:
            own = module.loras["unipelt"]
            out = out + (gate(own.gate, x) if gated else 6 / 2) * (x @ own.lora_A.T @ own.lora_B.T)
        return out.unflatten(-1, (4, 6)).transpose(1, 2)

    x = bert.embeddings(input_ids=batch["input_ids"])
    allowed = torch.cat([torch.ones(3, 5), batch["attention_mask"]], 1).bool()[:, None, None]
    for i, layer in enumerate(bert.encoder.layer):
        own = layer.attention.self
        share = gate(own.prefix_tuning.prefix_gates["unipelt"], x)[..., None] if gated else 1
        key, value = (
            torch.cat([share * generated[:, i, kind].transpose(0, 1).expand(3, -1, -1, -1), projected(module, x)], 2)
            for kind, module in enumerate((own.key, own.value))
        )
        scores = (projected(own.query, x) @ key.transpose(-1, -2) / 6**0.5).masked_fill(~allowed, -torch.inf)
        mixed = (scores.softmax(-1) @ value).transpose(1, 2).flatten(2)
        output = layer.attention.output
        x = output.LayerNorm(F.linear(mixed, output.dense.weight, output.dense.bias) + x)
        wide, narrow = layer.intermediate.dense, layer.output.dense
        hidden = F.linear(F.gelu(F.linear(x, wide.weight, wide.bias)), narrow.weight, narrow.bias)
        adapter, normed = layer.output.adapters["unipelt"], layer.output.LayerNorm(hidden + x)
        down, up = adapter.adapter_down[0], adapter.adapter_up
        added = F.linear(F.relu(F.linear(normed, down.weight, down.bias)), up.weight, up.bias)
        x = layer.output.LayerNorm(hidden + (gate(adapter.gate, normed) if gated else 1) * added + x)
    torch.testing.assert_close(logits(model, "unipelt_bert"), model.classifier(x), rtol=0, atol=1e-10)


@torch.no_grad()
@pytest.mark.usefixtures("float64_throughout")
def test_generate_scores_with_its_cache_as_one_pass_without():
    model, lengths = tiny("unipelt_t5").double(), []
    model.backbone.decoder.register_forward_pre_hook(lambda _, args, kwargs: lengths.append(kwargs["input_ids"].shape[1]), with_kwargs=True)
    source = {key: value for key, value in inputs("unipelt_t5").items() if key != "decoder_input_ids"}
    length = {"max_new_tokens": 6, "min_new_tokens": 6}
    written = model.generate("atis", **source, **length, do_sample=False, output_logits=True, return_dict_in_generate=True)
    assert lengths == [1] * 6, "only the last id is read, for the cache has the others"
    expected = logits(model, "unipelt_t5", decoder_input_ids=written.sequences[:, :-1])
    # transformers hands out float32
    torch.testing.assert_close(torch.stack(written.logits, 1), expected.to(torch.float32))


def test_through_gates_alone_a_sentence_depends_on_its_padding():
    short = {key: value[1:2, :5] for key, value in inputs("unipelt_bert").items()}
    for gated in (False, True):
        model = tiny("unipelt_bert", use_gating=gated).double()
        alone, padded = logits(model, "unipelt_bert", **short), logits(model, "unipelt_bert")[1:2, :5]
        assert torch.allclose(alone, padded, rtol=0, atol=1e-10) != gated


@pytest.mark.parametrize("name", NAMES)
def test_dropout_in_training_only(name):
    model = tiny(name)
    assert torch.equal(logits(model, name), logits(model, name))
    model.train()
    assert not torch.equal(logits(model, name), logits(model, name))


@pytest.mark.parametrize("name", NAMES)
def test_saving_and_loading_changes_no_logit(tmp_path, name):
    model = tiny(name)
    save_pretrained(model, tmp_path / "model", method=name, settings=SETTINGS[name], backbone="elsewhere")
    again = from_pretrained(tmp_path / "model", backbone(name))
    assert torch.equal(logits(model, name), logits(again, name))
    assert (tmp_path / "model" / "model.safetensors").stat().st_size < 5 * model.parameter_counts().trainable + 20_000


@pytest.mark.parametrize("name", NAMES)
def test_nothing_is_said_at_build_or_use(name, caplog, monkeypatch):
    monkeypatch.setattr(logging.getLogger("transformers"), "propagate", True)
    with warnings.catch_warnings(), caplog.at_level(logging.WARNING):
        warnings.simplefilter("error")
        model = fresh(name)
        logits(model, name)
        if name == "unipelt_t5":
            model.generate("atis", input_ids=inputs(name)["input_ids"], max_new_tokens=2, do_sample=False)
    assert not caplog.records


@pytest.mark.parametrize("name", NAMES)
def test_a_reduction_factor_that_does_not_divide(name):
    with pytest.raises(SettingsError, match="reduction_factor 7 does not divide"):
        fresh(name, reduction_factor=7)


@pytest.mark.parametrize("name", NAMES)
def test_the_sizes_of_the_demo(name):
    method, settings = get_method(name), {"reduction_factor": 4, "lora_rank": 8}
    if name == "unipelt_t5":
        sizes = {"d_model": 64, "d_kv": 16, "d_ff": 256, "num_layers": 2, "num_heads": 4, "vocab_size": 1200}
        base = T5ForConditionalGeneration(T5Config(**sizes, decoder_start_token_id=0))
    else:
        settings["prefix_length"] = 4
        sizes = {"hidden_size": 64, "num_attention_heads": 4, "num_hidden_layers": 2, "intermediate_size": 256, "vocab_size": 1200}
        base = BertModel(BertConfig(**sizes))
    torch.manual_seed(0)
    model = method.build(base, TASKS, method.settings(settings))
    optimizer = torch.optim.Adam(model.trainable_state().values(), lr=5e-3)
    losses = []
    for _ in range(15):
        states = model.states("atis", **inputs(name))
        losses.append(token_loss(states, model.head(None), torch.full(states.shape[:2], 2)))
        optimizer.zero_grad()
        losses[-1].backward()
        optimizer.step()
    assert losses[-1] < 0.8 * losses[0]
