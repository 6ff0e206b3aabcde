"""Taggers used by several threads, by one call within another, and after calls that failed: the answers are those of calls one by one."""

import copy
import itertools
import json
import signal
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers.utils import logging

from hyperloader.errors import RunError
from hyperloader.methods.loading import load_predictor
from hyperloader.methods.training_run import train_run
from hyperloader.models.backbones import open_backbone
from hyperloader.predicting.tagger import Tagger
from hyperloader.training.backbones.making import make_backbone

TRAINING = {
    "steps": 2,
    "batch_size": 2,
    "learning_rate": 1e-3,
    "schedule": "constant",
    "warmup_steps": 0,
    "weight_decay": 0.0,
    "label_smoothing": 0.0,
    "loss_reduction": "mean",
    "max_grad_norm": 1.0,
    "temperature": 10,
    "evaluate_every": 2,
    "evaluation_batches": 1,
    "selection": "last",
    "source_length": 64,
    "target_length": 64,
}
METHODS = {
    "hyperloader": {"reduction_factor": 4, "lora_rank": 2, "task_dim": 8},
    "hyperdecoder": {"encoder_bottleneck": 4, "decoder_bottleneck": 4, "hidden_dim": 8},
    "unipelt_t5": {"reduction_factor": 4, "lora_rank": 2},
    "unipelt_bert": {"reduction_factor": 4, "lora_rank": 2, "prefix_length": 2, "prefix_hidden": 4},
}
BERT = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
IDS = torch.tensor([[5, 6, 7, 8]])
BATCHES = {name: {"input_ids": IDS} | ({} if name == "unipelt_bert" else {"decoder_input_ids": IDS}) for name in METHODS}
TEXTS = [
    "play a song by little robin redbreast tonight",
    ["show me flights from boston to denver", "list the fares on monday morning"],
    "w " * 70,
    [["one"], "two words", "and a text of some more words than the others have"],
]


@pytest.fixture(scope="module")
def folders(place):
    """Runs of each method with random weights, which see much in every text; made when asked for."""
    (place / "bert").mkdir()
    backbone = {"source": "pretrained", "text": "generated", "architecture": BERT, "pretraining": {"steps": 2, "batch_size": 4}}
    (place / "bert/settings.json").write_text(json.dumps({"kind": "bert", "backbone": backbone}))
    make_backbone(place / "bert")
    known = {}

    def folder_of(method):
        if method not in known:
            run = place / f"shared-{method}"
            run.mkdir()
            names = ("atis",) if method.startswith("unipelt") else ("atis", "snips")
            named = {"method": method, "method_settings": METHODS[method], "data": {name: str(place / "data" / name) for name in names}}
            backbone = str(place / ("bert" if method == "unipelt_bert" else "t5"))
            settings = {"scale": "test", "recipe": "test", "percent": 10, "seed": 1, "backbone": backbone, "training": TRAINING}
            (run / "settings.json").write_text(json.dumps(settings | named))
            train_run(run)
            scatter(run / "model/model.safetensors")
            known[method] = run
        return known[method]

    return folder_of


def scatter(file):
    torch.manual_seed(0)
    save_file({name: tensor + 0.3 * torch.randn(tensor.shape) for name, tensor in load_file(file).items()}, file)


def tagger_of(folders, method):
    # constrained, every word of random weights has a confidence, by which the tasks' weights can be told apart
    return Tagger.from_pretrained(folders(method), decoding="constrained")


def at_once(threads, calls):
    """The answers of calls that start together, in the order of the calls."""
    start = threading.Barrier(threads)

    def work(own):
        start.wait()
        return [call() for call in own]

    with ThreadPoolExecutor(threads) as pool:
        parts = list(pool.map(work, [calls[number::threads] for number in range(threads)]))
    return [parts[number % threads][number // threads] for number in range(len(calls))]


@pytest.mark.parametrize("threads", [2, 8])
@pytest.mark.parametrize("method", METHODS)
def test_threads_get_the_answers_of_calls_one_by_one(folders, method, threads):
    predictor = load_predictor(folders(method), "constrained")
    # two taggers of one model as well
    taggers = [Tagger(predictor), Tagger(predictor)]
    jobs = [(tagger, task, text) for task in predictor.tasks for text in TEXTS for tagger in taggers]
    calls = [partial(tagger.tag, text, task=task) for tagger, task, text in jobs]
    alone = [call() for call in calls]
    if method == "hyperloader":
        assert alone[0] != alone[len(calls) // 2], "two tasks see different things in one text"
    for _ in range(3):
        assert at_once(threads, calls) == alone
    assert [call() for call in calls] == alone


class OutOfMemory(Exception):
    pass


@contextmanager
def failing_at(pass_number, fail):
    """Let something happen in the n-th pass of any linear layer; yields what counts them."""
    count = itertools.count()

    def hook(module, *_):
        if isinstance(module, torch.nn.Linear) and next(count) == pass_number:
            fail()

    handle = torch.nn.modules.module.register_module_forward_hook(hook)
    try:
        yield count
    finally:
        handle.remove()


def out_of_memory():
    raise OutOfMemory


def interrupt():
    signal.raise_signal(signal.SIGINT)


@pytest.mark.parametrize("decoding", ["free", "constrained"])
@pytest.mark.parametrize("method", METHODS)
def test_a_call_after_one_that_failed_is_answered_as_ever(folders, method, decoding):
    tagger = Tagger.from_pretrained(folders(method), decoding)
    other, model = tagger.tasks[-1], tagger._predictor._model
    expected, modules, batch = tagger.tag(TEXTS[0], task=other), list(map(id, model.modules())), BATCHES[method]
    with torch.no_grad():
        logits = model(task=other, **batch).logits
    with failing_at(None, None) as count:
        tagger.tag(TEXTS[1], task=tagger.tasks[0])
    passes = next(count)
    failures = (out_of_memory, OutOfMemory), (interrupt, KeyboardInterrupt)
    for number, (fail, error) in itertools.product((0, passes // 3, passes - 1), failures):
        with failing_at(number, fail), pytest.raises(error):
            tagger.tag(TEXTS[1], task=tagger.tasks[0])
        assert list(map(id, model.modules())) == modules
        # what is trained or evaluated next, too, and in another thread
        with torch.no_grad():
            assert torch.equal(model(task=other, **batch).logits, logits)
        assert at_once(1, [partial(tagger.tag, TEXTS[0], task=other)]) == [expected]


def test_a_call_within_a_call_is_refused_and_the_outer_one_goes_on(folders):
    tagger = tagger_of(folders, "hyperloader")
    expected, refused = tagger.tag(TEXTS[1], task="atis"), []

    def tag_within():
        with pytest.raises(RunError, match="from within a call of its own; .*load the model twice") as caught:
            tagger.tag(TEXTS[0], task="snips")
        refused.append(caught)

    with failing_at(40, tag_within):
        assert tagger.tag(TEXTS[1], task="atis") == expected
    assert len(refused) == 1
    # texts may be made by the tagger itself
    titles = (" ".join(word["word"] for word in tagger.tag(text, task="snips")) for text in TEXTS[1])
    assert tagger.tag(titles, task="atis") == expected


def test_taggers_are_loaded_by_threads(folders, place):
    """Transformers' loading changes what the whole process shares; loaded at once, models came without weights."""
    before = logging.get_verbosity()
    methods = ["unipelt_bert", "hyperloader", "unipelt_bert", "hyperdecoder"]
    for method in methods:
        folders(method)
    expected = [tagger_of(folders, method).tag(TEXTS[0], task="atis") for method in methods]
    calls = [lambda method=method: tagger_of(folders, method).tag(TEXTS[0], task="atis") for method in methods]
    assert at_once(4, calls) == expected
    assert logging.get_verbosity() == before
    # and what is made afterwards has weights
    assert open_backbone(place / "t5").model().shared.weight.device.type == "cpu"


def test_a_model_can_be_copied(folders):
    model = load_predictor(folders("hyperloader"))._model
    other = copy.deepcopy(model)
    with torch.no_grad(), model.decoding("atis"):
        # each has turns of its own
        assert torch.isfinite(other(task="atis", **BATCHES["hyperloader"]).logits).all()
