"""Checkpoints of the original implementations, in and out: nothing changes on the way, and what does not fit is named."""

import numpy as np
import pytest
import torch
from transformers import T5Config, T5ForConditionalGeneration

from hyperloader.errors import RunError
from hyperloader.interop import load_original_checkpoint, original_state_dict
from hyperloader.methods.registry import get_method
from hyperloader.models.hypernetwork import Sizes
from hyperloader.models.task_model import HypernetworkT5, PlainT5

# every size different, so that a wrong axis cannot go unnoticed
TINY = {"d_model": 24, "d_kv": 5, "d_ff": 40, "num_layers": 3, "num_decoder_layers": 2, "num_heads": 4, "vocab_size": 60}
GATED = {"feed_forward_proj": "gated-gelu", "tie_word_embeddings": False}
HYPERNETWORK = {"task_dim": 7, "layer_dim": 6, "position_dim": 5, "hidden_dim": 11, "embedding_dim": 9, "reduction_factor": 8}
SETTINGS = {
    "hyperformer_pp": HYPERNETWORK,
    "hyperloader": HYPERNETWORK | {"lora_rank": 2},
    "hyperdecoder": {"encoder_bottleneck": 9, "decoder_bottleneck": 7, "hidden_dim": 11, "layer_dim": 13},
}
TASKS = {"snips": (), "atis": ("city",), "mtop": ()}
NETWORK = "encoder.adapter_layers_hyper_net"
CROSS_ATTENTION_BIAS = "decoder.block.0.layer.1.EncDecAttention.relative_attention_bias.weight"


def config(**changes):
    return T5Config(**TINY | changes, dropout_rate=0.0, decoder_start_token_id=0)


def tiny(name="hyperloader", tasks=TASKS, t5=None, **settings):
    """A model in evaluation mode, every weight moved off its start."""
    torch.manual_seed(0)
    method = get_method(name)
    t5 = t5 or config()
    model = method.build(T5ForConditionalGeneration(t5), tasks, method.settings(SETTINGS[name] | settings)).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape))
    return model


def logits(model, task="atis"):
    generator = torch.Generator().manual_seed(1)
    return model(
        task=task,
        input_ids=torch.randint(3, 60, (2, 6), generator=generator),
        attention_mask=torch.tensor([[1] * 6, [1] * 4 + [0] * 2]),
        decoder_input_ids=torch.randint(3, 60, (2, 5), generator=generator),
    ).logits


@pytest.mark.parametrize("changes", [{}, GATED], ids=["T5", "T5 1.1"])
@pytest.mark.parametrize("name", SETTINGS)
def test_out_and_in_changes_no_bit(name, changes):
    model = tiny(name, t5=config(**changes))
    state = original_state_dict(model)
    assert state["shared.weight"].data_ptr() != model.backbone.shared.weight.data_ptr()
    for backbone in (config(**changes), T5ForConditionalGeneration(config(**changes))):
        again = load_original_checkpoint(state, backbone)
        assert not again.training
        assert again.tasks.keys() == ({} if name == "hyperdecoder" else TASKS).keys()
        assert again.trainable_state().keys() == model.trainable_state().keys()
        for task in TASKS:
            assert torch.equal(logits(again, task), logits(model, task))
        out = original_state_dict(again)
        assert out.keys() == state.keys()
        assert all(torch.equal(out[key], state[key]) for key in state)


@pytest.mark.parametrize("name", SETTINGS)
def test_a_t5_stands_in_for_frozen_weights_and_stays_as_it_is(name):
    model = tiny(name)
    state = original_state_dict(model)
    t5 = T5ForConditionalGeneration(config())
    t5.load_state_dict({key: state[key] for key in t5.state_dict()})
    frozen = {key for key in t5.state_dict() if "layer_norm" not in key or name == "hyperdecoder"}
    before = {key: tensor.clone() for key, tensor in t5.state_dict().items()}
    again = load_original_checkpoint({key: state[key] for key in state.keys() - frozen}, t5)
    assert torch.equal(logits(again), logits(model))
    with torch.no_grad():
        for parameter in again.parameters():
            parameter.zero_()
    assert all(torch.equal(tensor, before[key]) for key, tensor in t5.state_dict().items())


def test_the_encoder_keeps_its_position_rows_for_cross_attention():
    state = original_state_dict(tiny())
    assert state[f"{NETWORK}.adapters_block_type.weight"].shape == (6, 5)
    assert load_original_checkpoint(state, config()).hypernetwork.encoder.position_embeddings.num_embeddings == 6


@pytest.mark.parametrize("name", SETTINGS)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_the_type_of_the_checkpoint_is_kept(name, dtype):
    state = {key: tensor.to(dtype) for key, tensor in original_state_dict(tiny(name)).items()}
    model = load_original_checkpoint(state, T5ForConditionalGeneration(config()))
    assert {parameter.dtype for parameter in model.parameters()} == {dtype}
    assert logits(model).dtype == dtype
    assert logits(model.double()).dtype == torch.float64


def test_a_mixed_checkpoint_gets_the_type_of_the_t5():
    state = original_state_dict(tiny())
    state["shared.weight"] = state["shared.weight"].double()
    state["lm_head.weight"] = state["shared.weight"]
    assert logits(load_original_checkpoint(state, config())).dtype == torch.float32
    t5 = T5ForConditionalGeneration(config()).to(torch.bfloat16)
    assert logits(load_original_checkpoint(state, t5)).dtype == torch.bfloat16


def test_wrappers_arrays_and_missing_aliases():
    model = tiny()
    state = original_state_dict(model)
    others = ("shared.weight", "encoder.embed_tokens.weight", "lm_head.weight")
    wrapped = {f"module._orig_mod.{key}": tensor.numpy() for key, tensor in state.items() if key not in others}
    assert torch.equal(logits(load_original_checkpoint(wrapped, config())), logits(model))


@pytest.mark.parametrize("alias", ["encoder.embed_tokens.weight", "decoder.embed_tokens.weight", "lm_head.weight"])
def test_embeddings_that_differ_are_refused(alias):
    state = original_state_dict(tiny())
    state[alias] = state[alias] + 1
    with pytest.raises(RunError, match=f"'{alias}' and 'shared.weight' of the checkpoint differ"):
        load_original_checkpoint(state, config())


def test_the_cross_attention_bias_of_older_t5s(caplog):
    model = tiny()
    state = original_state_dict(model) | {CROSS_ATTENTION_BIAS: torch.zeros(32, 4)}
    assert torch.equal(logits(load_original_checkpoint(state, config())), logits(model))
    assert not caplog.records
    state[CROSS_ATTENTION_BIAS][0, 0] = 1
    assert torch.equal(logits(load_original_checkpoint(state, config())), logits(model))
    assert CROSS_ATTENTION_BIAS in caplog.text and "outputs differ" in caplog.text


@pytest.mark.parametrize("name", SETTINGS)
def test_whichever_tensor_is_misshapen_or_missing_is_the_one_that_is_named(name):
    state = original_state_dict(tiny(name, tasks={"atis": ()}))
    others = ("encoder.embed_tokens.weight", "decoder.embed_tokens.weight", "lm_head.weight")
    state = {key: tensor for key, tensor in state.items() if key not in others}
    t5 = T5ForConditionalGeneration(config()).state_dict().keys()
    for key in state.keys() - t5 | {"shared.weight", "decoder.final_layer_norm.weight"}:
        for axis in range(state[key].dim()):
            longer = torch.cat([state[key], state[key].narrow(axis, 0, 1)], axis)
            with pytest.raises(RunError) as caught:
                load_original_checkpoint(state | {key: longer}, config())
            alone = f"in 1 tensor: '{key}' has shape {tuple(longer.shape)} instead of {tuple(state[key].shape)}"
            # one of two tensors is wrong, and nothing says which
            pair = "'decoder.param_gen.layer_embed.weight' and 'decoder.param_gen.decoder.linear1.weight' of the checkpoint"
            assert alone in str(caught.value) or (key in pair and axis == 1 and pair in str(caught.value))
        if "task_to_embeddings" not in key:
            with pytest.raises(RunError) as caught:
                load_original_checkpoint({other: state[other] for other in state.keys() - {key}}, config())
            assert f"in 1 tensor: '{key}' is missing" in str(caught.value)


def test_trained_layer_norms_are_missed_even_beside_a_t5():
    state = original_state_dict(tiny())
    del state["encoder.final_layer_norm.weight"]
    with pytest.raises(RunError, match="'encoder.final_layer_norm.weight' is missing"):
        load_original_checkpoint(state, T5ForConditionalGeneration(config()))


def test_several_problems_are_counted_and_another_t5_is_refused():
    state = original_state_dict(tiny()) | {"encoder.something": torch.zeros(1)}
    with pytest.raises(RunError, match=r"in 1 tensor: 'encoder.something' is unknown"):
        load_original_checkpoint(state, config())
    for changes, name in (
        ({"num_layers": 4}, f"'{NETWORK}.layer_id_embeddings.weight' has shape (3, 6) instead of (4, 6)"),
        ({"num_decoder_layers": 1}, "'decoder.adapter_layers_hyper_net.layer_id_embeddings.weight' has shape (2, 6) instead of (1, 6)"),
        ({"d_model": 32}, "'shared.weight' has shape (60, 24) instead of (60, 32)"),
    ):
        with pytest.raises(RunError, match=r"in \d+ tensors: .*; and \d+ more") as caught:
            load_original_checkpoint(state, config(**changes))
        assert name in str(caught.value)


@pytest.mark.parametrize(
    ("state", "problem"),
    [
        ({}, "neither HyperFormer"),
        ({"shared.weight": torch.zeros(60, 24)}, "neither HyperFormer"),
        ({f"{NETWORK}.LayerNorm.weight": torch.zeros(3)}, "task_to_embeddings.<task>' is missing"),
        ({"epoch": 3}, "'epoch' of the checkpoint is not a tensor"),
        ({"ids": np.zeros(3, dtype=np.int64)}, "'ids' of the checkpoint is not a tensor of floating-point"),
    ],
)
def test_what_is_no_checkpoint(state, problem):
    with pytest.raises(RunError, match=problem):
        load_original_checkpoint(state, config())


@pytest.mark.parametrize(
    "settings",
    [
        {"adapter_generators": "per_position"},
        {"lora_generators": "per_projection"},
        {"lora_generators": "per_position"},
        {"lora_generators": "across_stacks"},
        {"lora_bias": True},
        {"hidden_dim": None},
        {"position_dim": 0},
        {"adapters": False},
    ],
    ids=str,
)
def test_variants_without_original_names_are_refused(settings):
    with pytest.raises(RunError, match="the original implementations have no"):
        original_state_dict(tiny(**settings))


def test_a_model_of_another_method_is_refused():
    with pytest.raises(RunError, match="none that the original implementations have"):
        original_state_dict(PlainT5(T5ForConditionalGeneration(config()), TASKS))


def test_sizes_that_no_settings_give():
    sizes = Sizes(task_dim=7, layer_dim=6, position_dim=5, hidden_dim=11, embedding_dim=9, bottleneck=7, lora_rank=0)
    model = HypernetworkT5(T5ForConditionalGeneration(config()), TASKS, sizes).eval()
    assert torch.equal(logits(load_original_checkpoint(original_state_dict(model), config())), logits(model))
