"""UniPELT-BERT against arrays of the original implementation (morningmoni/UniPELT).

UniPELT-T5 is a configuration of the `adapters` library and held against arrays of that library. All arrays are float32; in
float64 no more than their rounding may be between.
"""

import numpy as np
import pytest
import torch
from transformers import BertConfig, BertModel, T5Config, T5ForConditionalGeneration

from hyperloader.methods.registry import get_method

TASKS = {"task": ("type",)}
BERT = {
    "hidden_size": 32,
    "num_attention_heads": 4,
    "num_hidden_layers": 2,
    "intermediate_size": 64,
    "vocab_size": 64,
    "max_position_embeddings": 32,
}
T5 = {"d_model": 32, "d_kv": 8, "d_ff": 64, "num_layers": 2, "num_heads": 4, "vocab_size": 64, "decoder_start_token_id": 0}
DTYPES = [torch.float32, torch.float64]


@pytest.fixture(scope="module")
def bert_arrays(fixtures):
    return np.load(fixtures / "unipelt_bert.npz")


@pytest.fixture(scope="module")
def t5_arrays(fixtures):
    return np.load(fixtures / "unipelt_t5.npz")


def load(model, arrays, *prefixes):
    """Load what the arrays have below the prefixes, which has to be all parameters of the backbone and nothing else."""
    backbone = model.backbone
    state = {
        key.removeprefix(prefix).replace(".a.", ".unipelt."): torch.tensor(arrays[key])
        for prefix in prefixes
        for key in arrays.files
        if key.startswith(prefix)
    }
    assert not backbone.load_state_dict(state, strict=False).unexpected_keys
    # tied parameters have several names, of which the arrays have one
    loaded = {id(parameter) for name, parameter in backbone.named_parameters(remove_duplicate=False) if name in state}
    assert loaded == {id(parameter) for parameter in backbone.parameters()}


def bert(arrays, dtype):
    method = get_method("unipelt_bert")
    settings = {"prefix_length": 4, "prefix_hidden": 16, "reduction_factor": 4, "lora_rank": 4}
    model = method.build(BertModel(BertConfig(**BERT)), TASKS, method.settings(settings))
    load(model, arrays, "sd/")
    return model.to(dtype).eval()


def t5(arrays, dtype):
    method = get_method("unipelt_t5")
    settings = {"reduction_factor": 4, "lora_rank": 4, "lora_alpha": 4}
    model = method.build(T5ForConditionalGeneration(T5Config(**T5)), TASKS, method.settings(settings))
    load(model, arrays, "base_sd/", "double_seq_bn_lora/sd/")
    return model.to(dtype).eval()


def close(actual, expected, tolerance):
    """Equal but for this share of the largest number: what rounds away of a sum depends on its terms, and not on what is left of them."""
    expected = torch.as_tensor(expected)
    torch.testing.assert_close(actual.float(), expected, rtol=0, atol=tolerance * expected.abs().max().clamp_min(1).item())


@torch.no_grad()
@pytest.mark.parametrize("dtype", DTYPES)
def test_bert_hidden_states_and_prefix(bert_arrays, dtype):
    model = bert(bert_arrays, dtype)
    batch = {key: torch.tensor(bert_arrays[key]) for key in ("input_ids", "attention_mask")}
    output = model.backbone(**batch, output_hidden_states=True)
    close(output.hidden_states[1], bert_arrays["hidden_1"], 5e-6)
    close(output.last_hidden_state, bert_arrays["last_hidden_state"], 5e-6)
    close(model(task="task", **batch).logits, model.classifier(torch.tensor(bert_arrays["last_hidden_state"], dtype=dtype)).float(), 5e-6)
    prefix = model.backbone.prefix_tuning.prefix_tunings["unipelt"](batch_size=1)["self_prefix"]
    close(torch.stack(list(prefix))[:, :, 0], bert_arrays["prefix_kv"], 2e-6)


@torch.no_grad()
@pytest.mark.parametrize("dtype", DTYPES)
def test_bert_gates(bert_arrays, dtype):
    model = bert(bert_arrays, dtype)
    batch = {key: torch.tensor(bert_arrays[key]) for key in ("input_ids", "attention_mask")}
    scores = model.backbone(**batch, output_adapter_gating_scores=True).adapter_gating_scores["unipelt"][0]
    gates = {key: torch.as_tensor(value) for key, value in scores.items()}
    close(gates["selfattn_lora"][:, 0], bert_arrays["gate_lora_q_l0"], 2e-6)
    close(gates["selfattn_lora"][:, 1], bert_arrays["gate_lora_v_l0"], 2e-6)
    close(gates["self_prefix"], bert_arrays["gate_prefix_l0"], 2e-6)
    close(gates["output_adapter"], bert_arrays["gate_adapter_l0"], 2e-6)


@torch.no_grad()
@pytest.mark.parametrize("dtype", DTYPES)
def test_t5_logits_and_encoding(t5_arrays, dtype):
    model = t5(t5_arrays, dtype)
    batch = {key: torch.tensor(t5_arrays[key]) for key in ("input_ids", "attention_mask", "decoder_input_ids")}
    output = model(task="task", **batch)
    close(output.encoder_last_hidden_state, t5_arrays["double_seq_bn_lora/enc_last_hidden"], 1e-5)
    close(output.logits, t5_arrays["double_seq_bn_lora/logits"], 1e-5)


@pytest.mark.parametrize(("use_cache", "key"), [(True, "greedy_ids_cached"), (False, "greedy_ids_nocache")])
def test_t5_writes_the_same(t5_arrays, use_cache, key):
    expected = torch.tensor(t5_arrays[f"double_seq_bn_lora/{key}"])
    source = {name: torch.tensor(t5_arrays[name]) for name in ("input_ids", "attention_mask")}
    # in the type in which the least hangs on rounding
    model = t5(t5_arrays, torch.float64)
    written = model.generate("task", **source, max_new_tokens=expected.shape[1] - 1, do_sample=False, use_cache=use_cache)
    assert torch.equal(written, expected)
