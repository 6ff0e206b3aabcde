"""Methods of the PEFT library: counts, what is trained, that they begin as T5 and go on as saved; without the library, one line."""

import sys
from importlib.util import find_spec

import pytest
import torch
from transformers import T5Config, T5ForConditionalGeneration

from hyperloader.errors import SettingsError
from hyperloader.methods.loading import from_pretrained
from hyperloader.methods.registry import get_method
from hyperloader.methods.saved_models import save_pretrained

T5_BASE = {"d_model": 768, "d_kv": 64, "d_ff": 3072, "num_layers": 12, "num_heads": 12, "vocab_size": 32128}
TINY = {"d_model": 24, "d_kv": 5, "d_ff": 40, "num_layers": 3, "num_decoder_layers": 2, "num_heads": 4, "vocab_size": 60}
TASKS = {"atis": ("city",)}
installed = pytest.mark.skipif(find_spec("peft") is None, reason="needs the library peft")
# of q and v in 36 attentions, the outputs of these; of k, v and feed-forward blocks
COUNTS = {"lora": 36 * 2 * 8 * 2 * 768, "dora": 36 * 2 * (8 * 2 + 1) * 768, "ia3": 36 * 2 * 768 + 24 * 3072, "prompt_tuning": 100 * 768}


def backbone():
    torch.manual_seed(0)
    return T5ForConditionalGeneration(T5Config(**TINY, dropout_rate=0.0, decoder_start_token_id=0)).eval()


def build(name, tasks=TASKS):
    return get_method(name).build(backbone(), tasks, get_method(name).settings({})).eval()


def inputs(name=""):
    ids = torch.randint(3, 60, (2, 6), generator=torch.Generator().manual_seed(1))
    source = torch.cat([torch.arange(60, 160).expand(2, -1), ids], 1) if name == "prompt_tuning" else ids
    return {"input_ids": source, "attention_mask": torch.ones_like(source), "decoder_input_ids": ids[:, :5]}


@installed
@pytest.mark.parametrize("name", COUNTS)
def test_parameter_counts_at_t5_base(name):
    method = get_method(name)
    with torch.device("meta"):
        model = method.build(T5ForConditionalGeneration(T5Config(**T5_BASE)), TASKS, method.settings({}))
    assert model.parameter_counts() == (222_903_552 + COUNTS[name], COUNTS[name], COUNTS[name])


@installed
@pytest.mark.parametrize("name", COUNTS)
@pytest.mark.parametrize("tasks", [TASKS, {"atis": (), "snips": ()}], ids=["one task", "shared"])
def test_it_begins_as_t5_and_all_that_is_trained_has_a_gradient(name, tasks):
    model = build(name, tasks)
    for task in tasks:
        # without virtual tokens
        torch.testing.assert_close(model(task=task, **inputs()).logits, backbone()(**inputs()).logits)
    model(task="atis", **inputs(name)).logits.square().sum().backward()
    assert all(parameter.grad is not None for parameter in model.trainable_state().values())


@installed
def test_a_prompt_is_that_of_the_library():
    from peft import get_peft_model

    model, method, own = build("prompt_tuning"), get_method("prompt_tuning"), inputs()
    theirs = get_peft_model(backbone(), method.config(method.settings({}))).eval()
    with torch.no_grad():
        theirs.prompt_encoder["default"].embedding.weight.copy_(model.backbone.encoder.embed_tokens.prompt.embedding.weight)
    expected = theirs(**own).logits
    torch.testing.assert_close(model(task="atis", **inputs("prompt_tuning")).logits, expected)
    assert not torch.allclose(backbone()(**own).logits, expected, atol=1e-3)
    # words that the prompt begins with are drawn of the backbone's
    prompt = model.backbone.encoder.embed_tokens.prompt.embedding.weight
    assert all((row == backbone().shared.weight).all(1).any() for row in prompt) and len(prompt.unique(dim=0)) > 1


@installed
@pytest.mark.parametrize("name", COUNTS)
def test_a_saved_model_is_the_same(name, tmp_path):
    model = build(name)
    with torch.no_grad():
        for parameter in model.trainable_state().values():
            parameter.add_(0.1 * torch.randn(parameter.shape))
    save_pretrained(model, tmp_path / "model", method=name, settings={}, backbone="none")
    again = from_pretrained(tmp_path / "model", backbone())
    assert torch.equal(model(task="atis", **inputs(name)).logits, again(task="atis", **inputs(name)).logits)
    assert not torch.equal(model(task="atis", **inputs(name)).logits, backbone()(**inputs()).logits)


def test_without_the_library_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(SettingsError, match=r"needs the package peft .*pip install 'hyperloader\[peft\]'"):
        build("lora")
