"""`hyperloader import`: from a checkpoint file to a saved model that predicts, or one line that says why not."""

import json
import os
import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import BertConfig, BertModel, T5Config, T5ForConditionalGeneration

from hyperloader.cli.main import main
from hyperloader.errors import BackboneError, CorpusError, RunError, SettingsError, UserError
from hyperloader.formulations.text_to_text import TextToText
from hyperloader.interop import original_state_dict
from hyperloader.interop.importing import import_checkpoint
from hyperloader.methods.loading import from_pretrained
from hyperloader.methods.registry import get_method
from hyperloader.models.backbones import open_backbone
from hyperloader.models.hypernetwork import Sizes
from hyperloader.models.task_model import HypernetworkT5
from hyperloader.training.backbones.making import make_backbone
from hyperloader.training.backbones.vocabularies import ASCII, write_word_vocabulary

TINY = {"d_model": 24, "d_kv": 5, "d_ff": 40, "num_layers": 3, "num_decoder_layers": 2, "num_heads": 4, "vocab_size": 109}
HYPERNETWORK = {"task_dim": 7, "layer_dim": 6, "position_dim": 5, "hidden_dim": 11, "embedding_dim": 9, "reduction_factor": 8}
SETTINGS = {
    "hyperformer_pp": HYPERNETWORK,
    "hyperloader": HYPERNETWORK | {"lora_rank": 2},
    "hyperdecoder": {"encoder_bottleneck": 9, "decoder_bottleneck": 7, "hidden_dim": 11, "layer_dim": 13},
}
WORDS = ("play", "some", "music", "O", "I", "service")


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with the backbone `t5`, a checkpoint of each method trained on it, and slot types."""
    place = tmp_path_factory.mktemp("place")
    torch.manual_seed(0)
    t5 = T5ForConditionalGeneration(T5Config(**TINY, decoder_start_token_id=0, dropout_rate=0.0))
    t5.save_pretrained(place / "saved")
    write_word_vocabulary(WORDS, place / "saved" / "spiece.model")
    (place / "t5").mkdir()
    backbone = {"source": "directory", "path": str(place / "saved")}
    (place / "t5" / "settings.json").write_text(json.dumps({"kind": "t5", "backbone": backbone}))
    make_backbone(place / "t5")
    for name in SETTINGS:
        torch.save(original_state_dict(model(place, name)), place / f"{name}.bin")
    (place / "types.txt").write_text("music\nservice\n\nmusic\n")
    return place


def model(place, name):
    """A model on the backbone, trained weights moved off their start."""
    torch.manual_seed(1)
    method = get_method(name)
    built = method.build(open_backbone(place / "t5").model(), {"atis": (), "snips": ()}, method.settings(SETTINGS[name])).eval()
    with torch.no_grad():
        for parameter in built.trainable_state().values():
            parameter.add_(0.1 * torch.randn(parameter.shape))
    return built


def logits(built, task="snips"):
    ids = torch.tensor([[5, 3, 8, 4, 1]])
    return built(task=task, input_ids=ids, decoder_input_ids=ids).logits


def test_the_command_line(place, tmp_path):
    labels = f"snips={place / 'types.txt'}"
    arguments = ["import", place / "hyperloader.bin", "--backbone", place / "t5", "--output", tmp_path / "out", "--labels", labels]
    answer = subprocess.run([sys.executable, "-m", "hyperloader", *map(str, arguments)], capture_output=True, text=True)
    assert answer.returncode == 0, answer.stderr
    assert "no slot types are given for atis" in answer.stderr
    built = from_pretrained(tmp_path / "out")
    assert built.tasks == {"atis": (), "snips": ("music", "service")}
    assert torch.equal(logits(built), logits(model(place, "hyperloader")))
    config = json.loads((tmp_path / "out" / "config.json").read_text())
    assert config["method"] == "hyperloader" and config["settings"]["reduction_factor"] == 8
    predictions = TextToText(open_backbone(place / "t5").vocabulary, built.tasks).predict(built, "snips", [WORDS[:3]], Lengths)
    assert len(predictions[0].tags) == 3


class Lengths:
    source_length = target_length = 12


@pytest.mark.parametrize("name", SETTINGS)
@pytest.mark.parametrize("layout", ["file", "folder", "safetensors", "folder of safetensors"])
def test_every_method_and_layout(place, tmp_path, name, layout):
    state = torch.load(place / f"{name}.bin", weights_only=True)
    path = {"file": "any.pt", "folder": "folder", "safetensors": "a.safetensors", "folder of safetensors": "folder"}[layout]
    path = tmp_path / path
    if "folder" in layout:
        path.mkdir()
    if "safetensors" in layout:
        save_file(state, path / "model.safetensors" if path.is_dir() else path)
    else:
        torch.save(state, path / "pytorch_model.bin" if path.is_dir() else path)
    import_checkpoint(path, place / "t5", tmp_path / "out", [f"{task}={place / 'types.txt'}" for task in ("atis", "snips")])
    expected, built = model(place, name), from_pretrained(tmp_path / "out")
    assert torch.equal(logits(built), logits(expected))
    assert load_file(tmp_path / "out" / "model.safetensors").keys() == expected.trainable_state().keys()
    assert built.tasks.keys() == {"atis", "snips"}


def test_a_hyperdecoder_without_tasks_takes_any(place, tmp_path):
    import_checkpoint(place / "hyperdecoder.bin", place / "t5", tmp_path / "out")
    built = from_pretrained(tmp_path / "out")
    assert built.tasks == {}
    assert torch.equal(logits(built, "anything"), logits(model(place, "hyperdecoder")))


class Code:
    def __reduce__(self):
        return os.mkdir, ("executed",)


def test_code_in_a_checkpoint_is_refused_and_not_run(place, tmp_path, monkeypatch, capsys):
    torch.save({"shared.weight": Code()}, tmp_path / "pytorch_model.bin")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["hyperloader", "import", str(tmp_path), "--backbone", str(place / "t5"), "--output", "out"])
    with pytest.raises(SystemExit) as exit_of:
        main()
    output, problem = capsys.readouterr()
    assert exit_of.value.code == 2 and output == ""
    assert problem.startswith(f"hyperloader: {tmp_path / 'pytorch_model.bin'}: cannot be read") and len(problem.splitlines()) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["pytorch_model.bin"]


@pytest.mark.parametrize("name", ["cut.bin", "cut.safetensors", "empty.bin", "text.bin", "list.bin", "epoch.bin"])
def test_damaged_files(place, tmp_path, name):
    file = tmp_path / name
    if name == "cut.safetensors":
        save_file(torch.load(place / "hyperloader.bin", weights_only=True), file)
    elif name in ("list.bin", "epoch.bin"):
        torch.save([torch.zeros(2)] if name == "list.bin" else {"epoch": 3}, file)
    else:
        file.write_bytes({"empty.bin": b"", "text.bin": b"no weights", "cut.bin": (place / "hyperloader.bin").read_bytes()}[name])
    if name.startswith("cut"):
        file.write_bytes(file.read_bytes()[:-1000])
    refused(RunError, f"{name}: ", file, place, tmp_path)


def refused(kind, match, checkpoint, place, tmp_path, **others):
    with pytest.raises(kind, match=match) as caught:
        import_checkpoint(checkpoint, others.pop("backbone", place / "t5"), tmp_path / "out", **others)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["hyperloader", "hyperdecoder"])
def test_frozen_weights_of_another_t5(place, tmp_path, name):
    state = torch.load(place / f"{name}.bin", weights_only=True)
    state["encoder.block.1.layer.0.SelfAttention.k.weight"][0, 0] += 1e-3
    torch.save(state, tmp_path / "other.bin")
    problem = "other.bin: 'encoder.block.1.layer.0.SelfAttention.k.weight' is frozen, but differs"
    refused(RunError, problem, tmp_path / "other.bin", place, tmp_path)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("name", SETTINGS)
def test_checkpoints_in_half_precision(place, tmp_path, name, dtype):
    state = torch.load(place / f"{name}.bin", weights_only=True)
    labels = [f"{task}={place / 'types.txt'}" for task in ("atis", "snips")]
    trained = from_pretrained_state(model(place, name), dtype)
    # as it was saved, back in float32, and with the trained weights alone in less
    whole = {key: tensor.to(dtype) for key, tensor in state.items()}
    frozen = {key for key, _ in open_backbone(place / "t5").model().named_parameters() if "layer_norm" not in key}
    mixed = {key: tensor if key in frozen else whole[key] for key, tensor in state.items()}
    for number, stored in enumerate((whole, {key: tensor.float() for key, tensor in whole.items()}, mixed)):
        torch.save(stored, tmp_path / "half.bin")
        import_checkpoint(tmp_path / "half.bin", place / "t5", tmp_path / f"out{number}", labels)
        own = load_file(tmp_path / f"out{number}" / "model.safetensors")
        assert own.keys() == trained.keys()
        assert all(tensor.dtype == torch.float32 and torch.equal(tensor, trained[key]) for key, tensor in own.items())
    key = "encoder.block.1.layer.0.SelfAttention.k.weight"
    torch.save(whole | {key: whole[key] * 1.1}, tmp_path / "half.bin")
    refused(RunError, f"half.bin: '{key}' is frozen, but differs", tmp_path / "half.bin", place, tmp_path)


def from_pretrained_state(built, dtype):
    return {key: tensor.detach().to(dtype).float() for key, tensor in built.trainable_state().items()}


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
@pytest.mark.parametrize(
    "part", ["shared.weight", "decoder.block.0.layer.0.layer_norm.weight", "task_embedding_controller.task_to_embeddings.snips"]
)
def test_weights_that_are_no_numbers(place, tmp_path, part, value):
    state = torch.load(place / "hyperloader.bin", weights_only=True)
    state[part].view(-1)[3] = value
    torch.save(state, tmp_path / "wrong.bin")
    problem = f"wrong.bin: the checkpoint's '{part}' holds NaN or infinity; take one"
    refused(RunError, problem, tmp_path / "wrong.bin", place, tmp_path)


@pytest.mark.parametrize("value", [torch.nan, -torch.inf, torch.int32])
def test_a_saved_model_whose_weights_are_no_numbers(place, tmp_path, value):
    import_checkpoint(place / "hyperloader.bin", place / "t5", tmp_path / "out")
    file = tmp_path / "out" / "model.safetensors"
    state = load_file(file)
    name = "hypernetwork.task_embeddings.weight"
    state[name] = state[name].to(value) if isinstance(value, torch.dtype) else torch.full_like(state[name], value)
    save_file(state, file)
    problem = "is of type int32" if isinstance(value, torch.dtype) else "holds NaN or infinity"
    with pytest.raises(RunError, match=f"model.safetensors: the weights do not fit the model: '{name}' {problem}"):
        from_pretrained(tmp_path / "out")


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"music\nB-service\n", ":2: 'B-service' is a tag and no slot type; write one slot type a line, without B- and I-"),
        (b"O\nmusic\n", ":1: 'O' is a tag"),
        (b"music\n\nI\n", ":3: 'I' is a tag"),
        (b"I-music\n", ":1: 'I-music' is a tag"),
        (b'["music", "service"]', ": is JSON; write one slot type a line"),
        (b'{\n  "music": 1\n}\n', ": is JSON"),
        (b"music service\n", ":1: 'music service' is not one slot type"),
        (b"", ": holds no slot type"),
        (b"\xef\xbb\xbf\n \n", ": holds no slot type"),
        (b"caf\xe9\n", r": cannot be read \(not UTF-8\)"),
        ("music\n".encode("utf-16"), r": cannot be read \(not UTF-8\)"),
    ],
)
def test_files_that_hold_no_slot_types(place, tmp_path, content, problem):
    (tmp_path / "types.txt").write_bytes(content)
    labels = [f"snips={tmp_path / 'types.txt'}"]
    refused(SettingsError, f"types.txt{problem}", place / "hyperloader.bin", place, tmp_path, labels=labels)


def test_slot_types_with_a_byte_order_mark_and_given_twice(place, tmp_path):
    (tmp_path / "types.txt").write_bytes(b"\xef\xbb\xbfmusic\r\nservice\r\n")
    labels = [f"snips={tmp_path / 'types.txt'}"]
    refused(SettingsError, "slot types of 'snips' are given twice", place / "hyperloader.bin", place, tmp_path, labels=labels * 2)
    import_checkpoint(place / "hyperloader.bin", place / "t5", tmp_path / "out", labels)
    assert from_pretrained(tmp_path / "out").tasks["snips"] == ("music", "service")


def test_slot_types_that_the_backbone_cannot_write(place, tmp_path):
    (tmp_path / "types.txt").write_text("music\n{person}\n")
    labels = [f"snips={tmp_path / 'types.txt'}"]
    problem = r"spiece.model: snips has slot types that this vocabulary cannot write: '\{person\}'; rename"
    refused(CorpusError, problem, place / "hyperloader.bin", place, tmp_path, labels=labels)


def test_slot_types_that_the_original_cannot_have_learned(tmp_path):
    T5ForConditionalGeneration(T5Config(**TINY | {"vocab_size": 400}, decoder_start_token_id=0)).save_pretrained(tmp_path / "saved")
    write_word_vocabulary(WORDS, tmp_path / "saved" / "spiece.model", ASCII)
    (tmp_path / "t5").mkdir()
    backbone = {"source": "directory", "path": str(tmp_path / "saved")}
    (tmp_path / "t5" / "settings.json").write_text(json.dumps({"kind": "t5", "backbone": backbone}))
    make_backbone(tmp_path / "t5")
    torch.save(original_state_dict(model(tmp_path, "hyperloader")), tmp_path / "hyperloader.bin")
    (tmp_path / "types.txt").write_text("music\na~b\nnaïve\n")
    problem = "snips has slot types that the model cannot have learned to write: 'naïve'; rename them, or train it again"
    refused(CorpusError, problem, tmp_path / "hyperloader.bin", tmp_path, tmp_path, labels=[f"snips={tmp_path / 'types.txt'}"])


def test_an_imported_model_knows_its_backbone(place, tmp_path):
    import_checkpoint(place / "hyperloader.bin", place / "t5", tmp_path / "out")
    config = json.loads((tmp_path / "out" / "config.json").read_text())
    assert config["backbone_checksum"] == open_backbone(place / "t5").checksum
    (tmp_path / "out" / "config.json").write_text(json.dumps(config | {"backbone_checksum": "0" * 64}))
    with pytest.raises(
        BackboneError, match="t5: not the backbone that .*out was trained on: its checksum is .*, and that one's 000000000000"
    ):
        from_pretrained(tmp_path / "out")


def test_sizes_that_no_settings_give(place, tmp_path):
    sizes = Sizes(task_dim=7, layer_dim=6, position_dim=5, hidden_dim=11, embedding_dim=9, bottleneck=7, lora_rank=0)
    torch.save(original_state_dict(HypernetworkT5(open_backbone(place / "t5").model(), {"atis": ()}, sizes)), tmp_path / "seven.bin")
    refused(SettingsError, "seven.bin: .*adapters of 7 do not divide d_model 24", tmp_path / "seven.bin", place, tmp_path)


def test_other_mistakes(place, tmp_path):
    checkpoint = place / "hyperloader.bin"
    refused(RunError, "nowhere: no such file", place / "nowhere", place, tmp_path)
    refused(RunError, "t5: has no model.safetensors or pytorch_model.bin", place / "t5", place, tmp_path)
    refused(UserError, "nowhere.*hyperloader backbone", checkpoint, place, tmp_path, backbone=place / "nowhere")
    refused(SettingsError, "'snips' is not TASK=FILE", checkpoint, place, tmp_path, labels=["snips"])
    refused(SettingsError, "nowhere: cannot be read", checkpoint, place, tmp_path, labels=["snips=nowhere"])
    refused(RunError, "no task 'sips'; its tasks are atis, snips", checkpoint, place, tmp_path, labels=[f"sips={place / 'types.txt'}"])
    refused(UserError, "corpora prepare", checkpoint, place, tmp_path, corpora=[place / "nowhere"])
    BertModel(BertConfig(hidden_size=8, num_attention_heads=2, num_hidden_layers=1, vocab_size=9)).save_pretrained(tmp_path / "bert")
    (tmp_path / "bert" / "manifest.json").write_text('{"format_version": 1, "kind": "bert", "path": ".", "sha256": {}}')
    refused(BackboneError, "is not a T5", checkpoint, place, tmp_path, backbone=tmp_path / "bert")


def test_a_folder_that_holds_something_is_not_replaced(place, tmp_path):
    (tmp_path / "thesis.tex").write_text("all of it")
    with pytest.raises(RunError, match="exists already"):
        import_checkpoint(place / "hyperloader.bin", place / "t5", tmp_path)
    assert (tmp_path / "thesis.tex").exists()
