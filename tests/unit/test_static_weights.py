"""Static adapters and LoRA: counts, whose weights are used and trained, and the arrangements of the ablation study at one budget."""

from copy import deepcopy
from pathlib import Path

import pytest
import torch
from transformers import T5Config, T5ForConditionalGeneration

from hyperloader.errors import SettingsError
from hyperloader.methods.loading import from_pretrained
from hyperloader.methods.registry import get_method
from hyperloader.methods.saved_models import save_pretrained
from hyperloader.planning.parameters import count
from hyperloader.planning.plan import Plan

ROOT = Path(__file__).parents[2]
BUDGET = 6_784_368
TASKS = {"atis": ("city",), "snips": (), "mtop": ()}
TINY = {"d_model": 24, "d_kv": 5, "d_ff": 40, "num_layers": 3, "num_decoder_layers": 2, "num_heads": 4, "vocab_size": 60}
SIZES = {"encoder_bottleneck": 3, "decoder_bottleneck": 2, "encoder_rank": 1, "decoder_rank": 4}


def tiny(**settings):
    torch.manual_seed(0)
    method = get_method("static_weights")
    backbone = T5ForConditionalGeneration(T5Config(**TINY, dropout_rate=0.0, decoder_start_token_id=0))
    model = method.build(backbone, TASKS, method.settings(SIZES | settings)).eval()
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for parameter in model.trainable_state().values():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))
    return model


def inputs():
    generator = torch.Generator().manual_seed(1)
    ids = torch.randint(3, 60, (2, 6), generator=generator)
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids), "decoder_input_ids": ids[:, :5]}


def test_arrangements_have_one_budget_and_other_controls_their_published_counts():
    plan = Plan.read(ROOT / "config/config.yaml")
    arrangements = [f"{what}_{how}" for what in ("adapters", "lora", "both") for how in ("per_task", "shared", "single_task")]
    names = ["hyperloader", "adapters_generated", "adapters_generated_wide", "lora_generated", *arrangements]
    rows = {row.name: row for row in count(plan, "paper", ROOT / "workflow/published/methods.csv", names=names)}
    assert rows["hyperloader"].trainable == BUDGET
    assert (rows["adapters_generated"].trainable, rows["adapters_generated_wide"].trainable) == (6_783_912, 6_809_472)
    for name, row in rows.items():
        assert row.runs == (7 if name.endswith("single_task") else 1)
        assert abs(row.trainable * row.runs / BUDGET - 1) < 0.01, name


@pytest.mark.parametrize(
    ("settings", "trainable"),
    [
        ({}, 7 * (24 * 2 * (2 * 24 * 768 + 24 + 3 * 768) + 72 * 8 * 2 * 768) + 62 * 768),
        ({"shared": True, "encoder_rank": 0, "decoder_rank": 0}, 48 * (2 * 24 * 768 + 24 + 3 * 768) + 62 * 768),
        ({"encoder_bottleneck": 0, "decoder_bottleneck": 0, "layer_norms": "frozen"}, 7 * 72 * 8 * 2 * 768),
    ],
    ids=["per task", "shared adapters", "LoRA and nothing else"],
)
def test_parameter_counts_at_t5_base(settings, trainable):
    method = get_method("static_weights")
    with torch.device("meta"):
        backbone = T5ForConditionalGeneration(T5Config(d_model=768, d_kv=64, d_ff=3072, num_layers=12, num_heads=12, vocab_size=32128))
        model = method.build(backbone, dict.fromkeys("abcdefg", ()), method.settings(settings))
    assert model.parameter_counts()[1:] == (trainable, trainable)


@pytest.mark.parametrize("scale", ["demo", "mini", "paper"])
def test_weights_begin_with_the_variance_of_generated_ones(scale):
    plan = Plan.read(ROOT / "config/config.yaml")
    names = [name for name, variant in plan.variants(scale).items() if variant.method == "static_weights"]
    assert len(names) >= 9
    backbone = T5ForConditionalGeneration(T5Config(d_model=64, d_kv=16, d_ff=64, num_layers=2, num_heads=4, vocab_size=60))
    torch.manual_seed(0)
    generated = get_method("hyperloader").build(deepcopy(backbone), TASKS, plan.method_settings("hyperloader", scale))
    # of vectors there are too few numbers
    matrices, expected = ("down_weight", "up_weight", "a", "b"), {type(own): own for own in generated.hypernetwork("snips")[0]}
    for name in names:
        model = get_method("static_weights").build(deepcopy(backbone), TASKS, plan.method_settings(name, scale))
        for own in (part for part in model.weights("snips")[0] if part is not None):
            for key in own._asdict().keys() & set(matrices):
                std, other = getattr(own, key).std().item(), getattr(expected[type(own)], key).std().item()
                assert std == pytest.approx(other, rel=0.2), (name, key)


@pytest.mark.parametrize("shared", [False, True])
def test_every_task_has_its_own_weights_or_all_have_the_same(shared):
    model = tiny(shared=shared)
    logits = [model(task=task, **inputs()).logits for task in TASKS]
    assert all(torch.equal(logits[0], other) == shared for other in logits[1:])


def test_a_step_of_one_task_leaves_the_others_as_they_are():
    model = tiny()
    model(task="snips", **inputs()).logits.square().sum().backward()
    moved = {name for name, parameter in model.trainable_state().items() if parameter.grad is not None and parameter.grad.any()}
    own = {name for name in model.trainable_state() if name.startswith("sets.1.")}
    assert own and own <= moved and not any(name.startswith(("sets.0.", "sets.2.")) for name in moved)


@pytest.mark.parametrize("frozen", [False, True])
def test_layer_norms_are_trained_or_not(frozen):
    model = tiny(**{"layer_norms": "frozen"} if frozen else {})
    assert any("layer_norm" in name for name in model.trainable_state()) != frozen


def test_a_set_is_what_a_hypernetwork_with_the_same_weights_computes():
    """The weights that HyperLoader generates, put into a set."""
    static, method = tiny(encoder_bottleneck=3, decoder_bottleneck=3, encoder_rank=2, decoder_rank=2), get_method("hyperloader")
    torch.manual_seed(0)
    backbone = T5ForConditionalGeneration(T5Config(**TINY, dropout_rate=0.0, decoder_start_token_id=0))
    generated = method.build(backbone, TASKS, method.settings({"reduction_factor": 8, "lora_rank": 2})).eval()
    with torch.no_grad():
        for norm, other in zip(generated.backbone.parameters(), static.backbone.parameters(), strict=True):
            other.copy_(norm)
        for number, stack in enumerate(generated.hypernetwork("snips")):
            for own, made in ((static.sets[1].adapters[number], stack.adapters), (static.sets[1].loras[number], stack.lora)):
                for name, tensor in made._asdict().items():
                    own[name].copy_(tensor)
    torch.testing.assert_close(static(task="snips", **inputs()).logits, generated(task="snips", **inputs()).logits)


def test_a_saved_model_is_the_same(tmp_path):
    model = tiny()
    save_pretrained(model, tmp_path / "model", method="static_weights", settings=SIZES, backbone="none")
    torch.manual_seed(0)
    backbone = T5ForConditionalGeneration(T5Config(**TINY, dropout_rate=0.0, decoder_start_token_id=0))
    again = from_pretrained(tmp_path / "model", backbone)
    assert all(torch.equal(model(task=task, **inputs()).logits, again(task=task, **inputs()).logits) for task in TASKS)


def test_nothing_to_train_is_refused():
    with pytest.raises(SettingsError, match="nothing to train"):
        get_method("static_weights").settings(dict.fromkeys(SIZES, 0))
