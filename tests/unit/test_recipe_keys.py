"""Every key of a recipe reaches the training: a run with another value of it comes out otherwise."""

import hashlib
import json
from itertools import pairwise

import pytest
import torch
from marked_corpora import first_words, mark
from tiny_runs import TRAINING, write_settings

from hyperloader.config.settings import BertArchitecture, PretrainedBackbone, Pretraining, T5Architecture, Training
from hyperloader.corpora.generated.generate import auxiliary_sentences, demo_label_names
from hyperloader.corpora.generated.language import DemoLanguage
from hyperloader.methods.training_run import train_run
from hyperloader.models.task_model import TaskModel
from hyperloader.text import bert_vocabulary as word_pieces
from hyperloader.text.t5_vocabulary import Vocabulary
from hyperloader.training.backbones import vocabularies

# the validation loss falls while the format is learned, and rises then, since its slot types are others
RISING = {"steps": 40, "batch_size": 16, "learning_rate": 0.03, "schedule": "constant", "warmup_steps": 0, "max_grad_norm": None}
RISING |= {"evaluate_every": 4, "weight_decay": 0.0, "label_smoothing": 0.0}
# a value that differs from that of `TRAINING`, and what else differs from it in both runs
CASES = {
    "steps": (7, {}),
    "batch_size": (5, {}),
    "learning_rate": (2e-2, {}),
    "schedule": ("constant", {}),
    "warmup_steps": (3, {}),
    "weight_decay": (0.0, {}),
    "label_smoothing": (0.0, {}),
    # what is clipped has one size, whatever the loss's
    "loss_reduction": ("sum", {"max_grad_norm": None}),
    "max_grad_norm": (None, {}),
    "temperature": (0.1, {}),
    "evaluate_every": (2, {}),
    "evaluation_batches": (1, {}),
    "epochs": (1, {"steps": 20}),
    "patience": (1, RISING | {"selection": "best"}),
    "sampling": ("epochs", {}),
    "bucketing": (False, {}),
    "gradient_accumulation_steps": (2, {}),
    "precision": ("bf16", {}),
    "compile": (True, {}),
    "selection": ("best", RISING),
    "source_length": (5, {}),
    "target_length": (5, {}),
}


def test_every_key_has_a_case():
    # replayed steps need a GPU, and change nothing
    assert CASES.keys() | {"cuda_graphs"} == Training.model_fields.keys()


@pytest.fixture(scope="module")
def outcome(tmp_path_factory, place):
    """What a run with these changes leaves, and how its model was used; known ones are not run again."""
    folder, words, types = tmp_path_factory.mktemp("keys"), first_words(), demo_label_names()
    for number, (name, size) in enumerate({"atis": 24, "snips": 12}.items()):
        own = {
            split: types[6 * number + 2 * place : 6 * number + 2 * place + 2] for place, split in enumerate(("train", "validation", "test"))
        }
        mark(name, folder, {"train": size, "validation": size, "test": 1}, own, words)
    known = {}

    def run(changes):
        key = json.dumps(changes, sort_keys=True)
        if key not in known:
            passes, compiled, states = [], [], TaskModel.states

            def watched(self, task, **inputs):
                passes.append((self.training, len(inputs["input_ids"])))
                return states(self, task, **inputs)

            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(TaskModel, "states", watched)
                # which takes minutes, and gives the same numbers: the slow tests do it
                patch.setattr(torch.nn.Module, "compile", lambda self, **options: compiled.append(options))
                made = write_settings(
                    folder / str(len(known)), {name: folder / name for name in ("atis", "snips")}, place / "t5", training=changes
                )
                train_run(made)
            record = json.loads((made / "run.json").read_text())
            weights = hashlib.sha256((made / "model/model.safetensors").read_bytes()).hexdigest()
            known[key] = {name: record[name] for name in ("steps", "best_step", "curve")}
            known[key] |= {"weights": weights, "passes": passes, "compiled": compiled}
        return known[key]

    return run


@pytest.mark.parametrize("key", CASES)
def test_a_key_changes_what_comes_of_a_run(outcome, key):
    value, others = CASES[key]
    assert (TRAINING | others).get(key, Training.model_fields[key].default) != value
    if key == "selection":
        # to end where the validation loss first rises, which is a matter of the processor's rounding
        curve = outcome(others)["curve"]
        others = others | {"steps": next(b["step"] for a, b in pairwise(curve) if b["validation_loss"] > a["validation_loss"])}
    before, after = outcome(others), outcome(others | {key: value})
    assert before != after
    steps, weights = before["steps"] != after["steps"], before["weights"] != after["weights"]
    losses, validation = (
        [point[which] for point in before["curve"]] != [point[which] for point in after["curve"]] for which in ("loss", "validation_loss")
    )
    # what each may change, beside what has to
    match key:
        case "evaluate_every":
            assert (steps, weights) == (False, False) and [point["step"] for point in after["curve"]] == [2, 4, 6]
        case "evaluation_batches":
            assert (steps, weights, losses, validation) == (False, False, False, True)
        case "selection":
            assert (steps, weights, losses, validation) == (False, True, False, False)
            best = min(after["curve"], key=lambda point: point["validation_loss"])["step"]
            assert (before["best_step"], after["best_step"]) == (others["steps"], best) and best < others["steps"]
        case "steps" | "epochs" | "patience":
            assert steps
        case "compile":
            # each of two blocks of the encoder and of the decoder
            assert (before["compiled"], after["compiled"]) == ([], 4 * [{"dynamic": True}])
        case "gradient_accumulation_steps":
            assert [size for training, size in after["passes"] if training] == [2] * 12
        case _:
            assert (steps, weights, losses, validation) == (False, True, True, True)


# what a backbone is made of: sizes that no default has, and a value of each key of its pre-training that differs
ARCHITECTURES = {
    "t5": {"d_model": 24, "d_kv": 5, "d_ff": 20, "num_layers": 1, "num_heads": 3, "dropout_rate": 0.05},
    "bert": {
        "hidden_size": 24, "num_hidden_layers": 1, "num_attention_heads": 3, "intermediate_size": 20, "hidden_dropout_prob": 0.05,
        "attention_probs_dropout_prob": 0.1,
    },
}  # fmt: skip
BUDGET = {"steps": 6, "batch_size": 4, "learning_rate": 1e-3, "warmup_steps": 2, "hidden_words": 0.2, "tagging": 0.5}
OTHER_BUDGET = {"steps": 7, "batch_size": 5, "learning_rate": 2e-3, "warmup_steps": 3, "hidden_words": 0.7, "tagging": 0.9}


@pytest.fixture(scope="module", params=["t5", "bert"])
def pretrained(request, tmp_path_factory):
    """Pre-train a backbone with these changes: its configuration, and the checksum of its weights."""
    from hyperloader.training.backbones import bert, t5

    folder, kind = tmp_path_factory.mktemp(request.param), request.param
    sentences = list(auxiliary_sentences(DemoLanguage(), 60, 1))
    words = [*DemoLanguage().words(), *{tag[2:] for sentence in sentences for tag in sentence.tags}]
    {"t5": vocabularies.write_word_vocabulary, "bert": word_pieces.write_word_vocabulary}[kind](["O", "I", *words], folder / "vocabulary")
    vocabulary = {"t5": Vocabulary, "bert": word_pieces.WordPieces}[kind](folder / "vocabulary")
    known = {}

    def run(seed=1, **changes):
        key = (seed, *changes.items())
        if key not in known:
            made = {"architecture": ARCHITECTURES[kind], "pretraining": BUDGET | changes, "seed": seed}
            settings = PretrainedBackbone(source="pretrained", text="generated", **made)
            model = {"t5": t5, "bert": bert}[kind].pretrain([], sentences, vocabulary, settings, folder / str(len(known)), "any")
            weights = b"".join(tensor.detach().numpy().tobytes() for tensor in model.state_dict().values())
            known[key] = model.config.to_dict(), hashlib.sha256(weights).hexdigest()
        return known[key]

    return run


def test_every_key_of_a_backbone_reaches_its_pretraining(pretrained):
    assert BUDGET.keys() == OTHER_BUDGET.keys() == Pretraining.model_fields.keys()
    config, weights = pretrained()
    (architecture,) = [own for own in ARCHITECTURES.values() if own.keys() <= config.keys()]
    assert architecture.items() <= config.items()
    assert architecture.keys() == (T5Architecture if "d_model" in architecture else BertArchitecture).model_fields.keys()
    changed = {key: pretrained(**{key: value})[1] for key, value in OTHER_BUDGET.items()} | {"seed": pretrained(seed=2)[1]}
    assert [key for key, own in changed.items() if own == weights] == []
    assert len(set(changed.values())) == len(changed)
