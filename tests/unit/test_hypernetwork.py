"""The hypernetwork methods: exact parameter counts, what is trained, and that generated weights do what they should."""

import pytest
import torch
from torch.nn import functional as F
from transformers import T5Config, T5ForConditionalGeneration

from hyperloader.errors import RunError, SettingsError
from hyperloader.methods.loading import from_pretrained
from hyperloader.methods.registry import get_method, methods
from hyperloader.methods.saved_models import save_pretrained
from hyperloader.models.generated_layers import AdaptedLinear, LoRALinear

TASKS = {"atis": ("city",), "snips": (), "mtop": ()}
T5_BASE = {"d_model": 768, "d_kv": 64, "d_ff": 3072, "num_layers": 12, "num_heads": 12, "vocab_size": 32128}
# every size different, so that a wrong axis cannot go unnoticed
TINY = {"d_model": 24, "d_kv": 5, "d_ff": 40, "num_layers": 3, "num_decoder_layers": 2, "num_heads": 4, "vocab_size": 60}
TINY_SETTINGS = {"task_dim": 7, "layer_dim": 6, "position_dim": 5, "hidden_dim": 11, "embedding_dim": 9, "reduction_factor": 8}


def tiny(name="hyperloader", seed=0, **settings):
    torch.manual_seed(seed)
    config = T5Config(**TINY, dropout_rate=0.0, decoder_start_token_id=0)
    extra = {"lora_rank": 2} if name == "hyperloader" else {}
    method = get_method(name)
    return method.build(T5ForConditionalGeneration(config), TASKS, method.settings(TINY_SETTINGS | extra | settings)).eval()


def inputs():
    generator = torch.Generator().manual_seed(1)
    return {
        "input_ids": torch.randint(3, 60, (2, 6), generator=generator),
        "attention_mask": torch.tensor([[1] * 6, [1] * 4 + [0] * 2]),
        "decoder_input_ids": torch.randint(3, 60, (2, 5), generator=generator),
    }


def shake(model):
    """Move every trainable weight off its start, where LoRA's B is zero."""
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for parameter in model.trainable_state().values():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))
    return model


@pytest.mark.parametrize(
    ("name", "settings", "trainable", "total"),
    [
        ("hyperformer_pp", {}, 5_210_992, 228_066_928),
        ("hyperloader", {}, 6_784_368, 229_640_304),  # as run: task embeddings of 64
        ("hyperloader", {"task_dim": 512}, 6_902_192, 229_758_128),  # the paper's text
        ("hyperloader", {"lora_bias": True}, 6_808_944, 229_664_880),
        ("hyperloader", {"task_dim": 512, "hidden_dim": None}, 6_803_632, 229_659_568),
        ("hyperloader", {"lora_generators": "per_projection"}, 8_357_232, 231_213_168),
        ("hyperloader", {"lora_generators": "per_position"}, 11_502_960, 234_358_896),
        ("hyperloader", {"lora_generators": "across_stacks"}, 5_997_936, 228_853_872),
        ("hyperloader", {"lora_rank": 0}, 5_210_992, 228_066_928),
        ("hyperformer", {}, 10_289_312, 233_145_248),
    ],
)
def test_parameter_counts_at_t5_base(name, settings, trainable, total):
    method = get_method(name)
    with torch.device("meta"):
        backbone = T5ForConditionalGeneration(T5Config(**T5_BASE))
        model = method.build(backbone, dict.fromkeys("abcdefg", ()), method.settings(settings))
    assert model.parameter_counts()[:2] == (total, trainable)


@pytest.mark.parametrize("name", ["hyperformer_pp", "hyperloader", "hyperformer"])
def test_only_the_hypernetwork_and_the_layer_norms_are_trained(name):
    model = tiny(name)
    trained = set(model.trainable_state())
    assert {n for n in trained if not n.startswith("hypernetwork.")} == {
        n for n, _ in model.named_parameters() if n.startswith("backbone.") and n.endswith("layer_norm.weight")
    }
    assert {n for n, _ in model.named_parameters() if n.startswith("hypernetwork.")} <= trained


def test_the_places_of_generated_weights():
    model = tiny()
    places = {name: type(module) for name, module in model.backbone.named_modules() if isinstance(module, (AdaptedLinear, LoRALinear))}
    adapters = {name for name, kind in places.items() if kind is AdaptedLinear}
    loras = {name for name, kind in places.items() if kind is LoRALinear}
    assert adapters == {
        f"{stack}.block.{i}.layer.{place}"
        for stack, layers, feed_forward in (("encoder", 3, 1), ("decoder", 2, 2))
        for i in range(layers)
        for place in ("0.SelfAttention.o", f"{feed_forward}.DenseReluDense.wo")
    }
    assert loras == {f"encoder.block.{i}.layer.0.SelfAttention.{p}" for i in range(3) for p in "qv"} | {
        f"decoder.block.{i}.layer.{place}.{p}" for i in range(2) for place in ("0.SelfAttention", "1.EncDecAttention") for p in "qv"
    }


def test_the_encoder_generates_nothing_for_cross_attention():
    model = tiny()
    encoder, decoder = model.hypernetwork("atis")
    assert encoder.lora.a.shape[:2] == (3, 2) and decoder.lora.a.shape[:2] == (2, 4)
    assert model.hypernetwork.encoder.position_embeddings.weight.shape[0] == 6


def test_tasks_differ_and_return():
    model = shake(tiny())
    first = model(task="atis", **inputs()).logits
    assert not torch.equal(first, model(task="snips", **inputs()).logits)
    assert torch.equal(first, model(task="atis", **inputs()).logits)


def test_lora_starts_at_zero_and_is_the_merged_weight_afterwards():
    layer = LoRALinear(torch.nn.Linear(6, 4, bias=False))
    x = torch.randn(3, 6)
    model = tiny()
    model(task="atis", **inputs())
    q = model.backbone.encoder.block[0].layer[0].SelfAttention.q
    assert not q.generated.b.any() and q.generated.a.any()
    layer.generated = type(q.generated)(torch.randn(2, 6), torch.randn(4, 2))
    merged = F.linear(x, layer.weight + layer.generated.b @ layer.generated.a)
    torch.testing.assert_close(layer(x), merged)


def test_a_zero_lora_leaves_hyperloader_equal_to_its_adapters():
    loader, former = tiny("hyperloader"), tiny("hyperformer_pp")
    state = {
        name: tensor[:2] if name.endswith("position_embeddings.weight") else tensor
        for name, tensor in loader.state_dict().items()
        if "lora" not in name
    }
    former.load_state_dict(state)
    torch.testing.assert_close(loader(task="mtop", **inputs()).logits, former(task="mtop", **inputs()).logits)


VARIANTS = {
    "as run": {},
    "one projector layer": {"hidden_dim": None},
    "adapters only": {"lora_rank": 0},
    "LoRA only": {"adapters": False},
    "LoRA bias": {"lora_bias": True},
    "q and v apart": {"lora_generators": "per_projection"},
    "all apart": {"lora_generators": "per_position", "adapter_generators": "per_position"},
    "one for both stacks": {"lora_generators": "across_stacks"},
    "no positions": {"position_dim": 0},
}


@pytest.mark.parametrize("settings", VARIANTS.values(), ids=VARIANTS)
def test_every_live_weight_gets_a_gradient_and_no_other(settings):
    model = shake(tiny(**settings))
    model(task="atis", **inputs()).logits.square().sum().backward()
    assert all(p.grad is None for p in model.parameters() if not p.requires_grad)
    trained = model.trainable_state()
    without = sum(p.numel() for p in trained.values() if p.grad is None)
    # of an embedding table, rows that are not looked up get zeros: those of the two other tasks are live all the same
    without += sum(int((p.grad == 0).all(-1).sum()) * p.shape[1] for n, p in trained.items() if "position_embeddings" in n)
    counts = model.parameter_counts()
    assert without == counts.trainable - counts.live
    for name, parameter in trained.items():
        assert parameter.grad is None or parameter.grad.any(), name


@pytest.mark.parametrize("settings", VARIANTS.values(), ids=VARIANTS)
def test_each_position_has_the_weights_of_its_generator(settings):
    model = shake(tiny(**settings))
    z = model.hypernetwork.task_embeddings.weight[1]
    groups = {"shared": [0, 0, 0, 0], "across_stacks": [0, 0, 0, 0], "per_projection": [0, 1, 0, 1], "per_position": [0, 1, 2, 3]}
    for network, positions in ((model.hypernetwork.encoder, 2), (model.hypernetwork.decoder, 4)):
        weights, embedding = network(z), network.embed(z)
        if weights.adapters is not None:
            for position in range(2):
                generator = network.adapter_generators[groups[settings.get("adapter_generators", "shared")][position]]
                for layer in range(len(embedding)):
                    expected = generator.up_weight(embedding[layer, position]).view(24, 3)
                    torch.testing.assert_close(weights.adapters.up_weight[layer, position], expected)
        if weights.lora is not None:
            assert weights.lora.a.shape[1] == positions
            first = 0 if weights.adapters is None else 2
            for position in range(positions):
                generator = network.lora_generators[groups[settings.get("lora_generators", "shared")][position]]
                for layer in range(len(embedding)):
                    own = embedding[layer, first + position]
                    torch.testing.assert_close(weights.lora.a[layer, position], generator.a(own).view(2, 24))
                    torch.testing.assert_close(weights.lora.b[layer, position], generator.b(own).view(20, 2))


def test_adapters_only_is_hyperformer_pp():
    loader, former = shake(tiny("hyperloader", lora_rank=0)), shake(tiny("hyperformer_pp"))
    assert list(loader.trainable_state()) == list(former.trainable_state())
    assert torch.equal(loader(task="mtop", **inputs()).logits, former(task="mtop", **inputs()).logits)


def test_generating_nothing_is_refused():
    with pytest.raises(SettingsError, match="nothing is generated"):
        tiny(adapters=False, lora_rank=0)


@pytest.mark.parametrize("name", ["hyperformer_pp", "hyperloader", "hyperformer"])
def test_saving_and_loading_changes_no_logit(tmp_path, name):
    model = shake(tiny(name))
    settings = TINY_SETTINGS | ({"lora_rank": 2} if name == "hyperloader" else {})
    save_pretrained(model, tmp_path / "model", method=name, settings=settings, backbone="elsewhere")
    again = from_pretrained(tmp_path / "model", T5ForConditionalGeneration(model.backbone.config))
    frozen = {n: p for n, p in model.named_parameters() if not p.requires_grad}
    with torch.no_grad():
        for n, p in frozen.items():
            again.get_parameter(n).copy_(p)
    assert torch.equal(model(task="snips", **inputs()).logits, again(task="snips", **inputs()).logits)
    assert (tmp_path / "model" / "model.safetensors").stat().st_size < 5 * model.parameter_counts().trainable + 20_000


@pytest.mark.usefixtures("float64_throughout")
def test_generate_is_greedy_for_the_task():
    model = shake(tiny()).double()
    ids = inputs()["input_ids"]
    written = model.generate("atis", input_ids=ids, max_new_tokens=4, do_sample=False)
    step_by_step = torch.zeros(2, 1, dtype=torch.long)
    for _ in range(4):
        logits = model(task="atis", input_ids=ids, decoder_input_ids=step_by_step).logits
        step_by_step = torch.cat([step_by_step, logits[:, -1:].argmax(-1)], 1)
    ended = (step_by_step == 1).any()
    assert ended or torch.equal(written, step_by_step)


def test_an_unknown_task_is_named_with_the_known_ones():
    with pytest.raises(RunError, match="no task 'sips'.*atis, snips, mtop"):
        tiny()(task="sips", **inputs())


def test_weights_that_do_not_fit_are_named(tmp_path):
    model = tiny()
    state = {name: tensor.clone() for name, tensor in model.trainable_state().items()}
    state["extra"] = state.pop("hypernetwork.encoder.norm.bias")
    state["hypernetwork.encoder.norm.weight"] = torch.zeros(3)
    with pytest.raises(RunError, match=r"'extra' is unknown.*norm.bias' is missing.*norm.weight' has shape \(3,\) instead of \(9,\)"):
        model.load_trainable(state)


def test_an_unknown_method_and_a_wrong_setting():
    with pytest.raises(SettingsError, match="unknown method 'hyperloder'.*hyperloader"):
        get_method("hyperloder")
    with pytest.raises(SettingsError, match="unknown key 'lora_rnak'.*did you mean 'lora_rank'"):
        get_method("hyperloader").settings({"lora_rnak": 8})


def test_a_method_is_added_by_adding_a_folder(tmp_path, monkeypatch):
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "method.py").write_text(
        "from hyperloader.methods.hyperloader import HyperLoader\nclass Mine(HyperLoader):\n    title = 'Mine'\nMETHOD = Mine()\n"
    )
    monkeypatch.setenv("HYPERLOADER_METHODS", str(tmp_path))
    methods.cache_clear()
    try:
        assert get_method("mine").title == "Mine"
    finally:
        methods.cache_clear()


def test_at_t5_base_the_model_file_is_below_30_mb(tmp_path):
    method = get_method("hyperloader")
    with torch.device("meta"):
        model = method.build(T5ForConditionalGeneration(T5Config(**T5_BASE)), dict.fromkeys(map(str, range(7)), ()), method.settings({}))
    # memory for what is saved only: the size of the file is that of its shapes and types
    for module in model.modules():
        for name, parameter in module.named_parameters(recurse=False):
            if parameter.requires_grad:
                setattr(module, name, torch.nn.Parameter(torch.zeros(parameter.shape)))
    save_pretrained(model, tmp_path / "model", method="hyperloader", settings={}, backbone="t5-base")
    assert 4 * 6_784_368 < (tmp_path / "model/model.safetensors").stat().st_size < 30e6


def test_without_a_task_embedding_all_tasks_are_alike():
    model = shake(tiny(task_dim=0))
    logits = [model(task=task, **inputs()).logits for task in TASKS]
    assert all(torch.equal(own, logits[0]) for own in logits) and not any("task_embeddings" in name for name in model.trainable_state())


@pytest.mark.parametrize(("settings", "axis"), [({"layer_dim": 0}, 0), ({"position_dim": 0}, 1)], ids=["layer", "position"])
def test_without_an_embedding_of_them_layers_or_positions_have_the_same_weights(settings, axis):
    whole, without = (shake(tiny(**own)).hypernetwork("atis") for own in ({}, settings))
    for stacks, alike in ((whole, False), (without, True)):
        for weights in (weights for stack in stacks for part in stack for weights in part):
            first, *others = weights.unbind(axis)
            assert all(torch.allclose(first, other, atol=1e-5) == alike for other in others)


def test_a_random_task_embedding_tells_tasks_apart_is_not_trained_and_is_the_same_when_loaded(tmp_path):
    model = shake(tiny(task_embedding="random"))
    assert not any("task_embeddings" in name for name in model.trainable_state())
    logits = [model(task=task, **inputs()).logits for task in TASKS]
    assert not torch.equal(logits[0], logits[1])
    settings = TINY_SETTINGS | {"lora_rank": 2, "task_embedding": "random"}
    save_pretrained(model, tmp_path / "model", method="hyperloader", settings=settings, backbone="none")
    again = from_pretrained(tmp_path / "model", tiny(seed=0).backbone)
    torch.testing.assert_close(again(task="snips", **inputs()).logits, logits[1])


def test_a_shuffled_task_embedding_is_drawn_in_training_and_the_tasks_own_in_prediction():
    model, plain = shake(tiny(task_embedding="shuffled")), shake(tiny())
    own = [model(task=task, **inputs()).logits for task in TASKS]
    assert all(torch.equal(logits, plain(task=task, **inputs()).logits) for task, logits in zip(TASKS, own, strict=True))
    model.train()
    chosen = []
    for _ in range(60):
        model(task="snips", **inputs())
        chosen.append(int(model.hypernetwork.chosen))
    # each of the three is missed with a probability below 1e-10
    assert set(chosen) == {0, 1, 2}


@pytest.mark.parametrize("name", ["hyperloader", "hyperformer_pp"])
def test_layer_norms_can_be_frozen(name):
    frozen, trained = set(tiny(name, layer_norms="frozen").trainable_state()), set(tiny(name).trainable_state())
    assert {own for own in trained - frozen} == {own for own in trained if own.startswith("backbone.")} and frozen < trained


def test_nothing_to_generate_from_is_refused():
    with pytest.raises(SettingsError, match="there is nothing to generate from"):
        get_method("hyperloader").settings({"task_dim": 0, "layer_dim": 0, "position_dim": 0})
    with pytest.raises(SettingsError, match="no task embedding to be random"):
        get_method("hyperloader").settings({"task_dim": 0, "task_embedding": "random"})
