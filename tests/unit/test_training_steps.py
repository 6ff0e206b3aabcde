"""The loop against the same training by hand: every update, every loss, and which weights are kept."""

import copy
import math
import signal

import pytest
import torch
from accelerate import Accelerator
from safetensors.torch import load_file
from torch import nn
from torch.nn import functional as F
from transformers import T5Config, T5ForConditionalGeneration

from hyperloader.config.settings import Training
from hyperloader.errors import RunError
from hyperloader.formulations.text_to_text import collate
from hyperloader.methods.registry import get_method
from hyperloader.text.batches import IGNORED, Example
from hyperloader.training import checkpoints
from hyperloader.training.checkpoints import Checkpoints
from hyperloader.training.loop import fit, validation_loss
from hyperloader.training.progress import BEST_CHECKPOINT, LAST_CHECKPOINT, CheckpointRecord
from hyperloader.training.steps import Objective

TASKS = ("copy", "constant")
DEFAULTS = dict(
    steps=10,
    batch_size=4,
    learning_rate=1e-2,
    schedule="constant",
    warmup_steps=0,
    weight_decay=0.0,
    label_smoothing=0.0,
    loss_reduction="mean",
    max_grad_norm=None,
    temperature=10,
    evaluate_every=2,
    evaluation_batches=None,
    selection="last",
    source_length=64,
    target_length=64,
)


def training(**changes):
    return Training(**(DEFAULTS | changes))


def model(dropout_rate=0.0):
    """A HyperLoader of two tasks in double precision, the same each time; every generated weight has an effect."""
    torch.manual_seed(0)
    config = T5Config(
        d_model=8, d_kv=4, d_ff=16, num_layers=1, num_heads=2, vocab_size=40, dropout_rate=dropout_rate, decoder_start_token_id=0
    )
    method = get_method("hyperloader")
    sizes = {"reduction_factor": 4, "lora_rank": 2, "task_dim": 4, "layer_dim": 4, "position_dim": 4, "hidden_dim": 8, "embedding_dim": 8}
    built = method.build(T5ForConditionalGeneration(config), dict.fromkeys(TASKS, ()), method.settings(sizes))
    with torch.no_grad():
        for parameter in built.hypernetwork.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape))
    return built.double()


def batch(task, step, size=4):
    """Sentences of one to four tokens; `copy` has to write them again, `constant` to write 30 and 31."""
    draw = torch.Generator().manual_seed(step)
    sources = [torch.randint(5, 20, (1 + row % 4,), generator=draw).tolist() for row in range(size)]
    return collate(task, [Example([*own, 1], [*own, 1] if task == "copy" else [30, 31, 1]) for own in sources])


def in_turn(step):
    return batch(TASKS[step % 2], step)


def losses(logits, labels, smoothing=0.0):
    """Of each target token: (1 - e) * nll + e / V * sum over the vocabulary of -log p."""
    logp, kept = logits.log_softmax(-1), labels != IGNORED
    nll = -logp.gather(-1, labels.clamp(min=0)[..., None])[..., 0]
    return ((1 - smoothing) * nll - smoothing * logp.mean(-1))[kept]


def by_hand(settings, rates, batch_of=in_turn):
    """The trained weights before the first step and after each, and each step's loss; each with a new model, in which nothing stays."""
    weights = {name: tensor.detach().clone() for name, tensor in model().trainable_state().items()}
    first, second, counts = ({name: 0 for name in weights} for _ in range(3))
    history, steps = [weights], []
    for step in range(settings.steps):
        fresh, own = model(), batch_of(step)
        fresh.load_trainable(weights)
        each = losses(fresh(task=own.task, **own.inputs).logits, own.labels, settings.label_smoothing)
        loss = each.mean() if settings.loss_reduction == "mean" else each.sum()
        state = fresh.trainable_state()
        gradients = dict(zip(state, torch.autograd.grad(loss, list(state.values()), allow_unused=True), strict=True))
        used = {name: gradient for name, gradient in gradients.items() if gradient is not None}
        norm = math.sqrt(sum(float((gradient**2).sum()) for gradient in used.values()))
        if settings.max_grad_norm is not None and norm > settings.max_grad_norm:
            used = {name: gradient * settings.max_grad_norm / norm for name, gradient in used.items()}
        weights, rate = dict(weights), settings.learning_rate * rates[step]
        for name, gradient in used.items():
            counts[name] += 1
            first[name] = 0.9 * first[name] + 0.1 * gradient
            second[name] = 0.999 * second[name] + 0.001 * gradient**2
            mean, spread = first[name] / (1 - 0.9 ** counts[name]), second[name] / (1 - 0.999 ** counts[name])
            decayed = weights[name] * (1 - rate * settings.weight_decay)
            weights[name] = decayed - rate * mean / (spread.sqrt() + 1e-8)
        history.append(weights)
        steps.append(loss.item())
    return history, steps


def close(weights, expected):
    """Equal but for the order of sums in double precision, which Adam makes much of where a gradient is nearly zero."""
    return weights.keys() == expected.keys() and all(
        torch.allclose(weights[name], expected[name], rtol=1e-5, atol=1e-6) for name in weights
    )


def train(folder, settings, batch_of=in_turn, validation=None, built=None, seed=5, **more):
    built = built or model()
    progress = fit(built, settings, batch_of, checkpoints=Checkpoints(folder, "same"), seed=seed, validation=validation, **more)
    return {name: tensor.detach() for name, tensor in built.trainable_state().items()}, progress


# what of the learning rate each of ten steps gets
FULL = [1.0] * 10
SCHEDULES = {
    "linear": [1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1],
    "trapezoidal": [*[1.0] * 9, 0.5],
}


@pytest.mark.parametrize(
    ("changes", "rates"),
    [
        ({}, FULL),
        *(({"schedule": name}, rates) for name, rates in SCHEDULES.items()),
        ({"warmup_steps": 4}, [0.25, 0.5, 0.75, *[1.0] * 7]),
        ({"warmup_steps": 5, "schedule": "linear"}, [0.2, 0.4, 0.6, 0.8, 1.0, 1.0, 0.8, 0.6, 0.4, 0.2]),
        ({"weight_decay": 0.5}, FULL),
        ({"label_smoothing": 0.2}, FULL),
        ({"loss_reduction": "sum", "max_grad_norm": 5.0}, FULL),
        ({"max_grad_norm": 0.3}, FULL),
        (
            {"learning_rate": 3e-3, "label_smoothing": 0.1, "weight_decay": 0.1, "max_grad_norm": 0.5, "schedule": "linear"},
            SCHEDULES["linear"],
        ),
    ],
    ids=lambda value: ",".join(f"{key}={own}" for key, own in value.items()) or "plain" if isinstance(value, dict) else "",
)
def test_every_step_is_the_one_by_hand(tmp_path, changes, rates):
    settings = training(**changes)
    history, expected = by_hand(settings, rates)
    seen = []
    built = model()

    def watched(step):
        seen.append({name: tensor.detach().clone() for name, tensor in built.trainable_state().items()})
        return in_turn(step)

    weights, progress = train(tmp_path, settings, watched, built=built)
    for step, (own, reference) in enumerate(zip([*seen, weights], history, strict=True)):
        assert close(own, reference), step
    assert [record["step"] for record in progress.curve] == [2, 4, 6, 8, 10]
    assert [record["loss"] for record in progress.curve] == pytest.approx(
        [sum(expected[at : at + 2]) / 2 for at in range(0, 10, 2)], rel=1e-5
    )


def test_each_change_of_the_steps_above_is_one():
    """The cases by hand differ, so that a dropped setting cannot pass."""
    plain = by_hand(training(), FULL)[0][-1]
    for changes in ({"weight_decay": 0.5}, {"label_smoothing": 0.2}, {"loss_reduction": "sum"}, {"max_grad_norm": 0.3}):
        assert not close(by_hand(training(**changes), FULL)[0][-1], plain), changes


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_a_batch_in_parts_has_the_gradients_of_the_whole_batch(tmp_path, reduction):
    """Parts of unequal numbers of tokens, whose losses must not be averaged."""
    moments = []
    for parts in (1, 2, 4):
        folder = tmp_path / str(parts)
        _, progress = train(folder, training(steps=1, loss_reduction=reduction, gradient_accumulation_steps=parts, max_grad_norm=0.5))
        moments.append(
            torch.cat([own.flatten() for key, own in sorted(load_file(folder / LAST_CHECKPOINT).items()) if key.startswith("exp_avg/")])
        )
        assert progress.curve[0]["loss"] == pytest.approx(by_hand(training(steps=1, loss_reduction=reduction), FULL)[1][0], rel=1e-5)
    # after one step a tenth of the clipped gradients
    assert moments[0].norm().item() == pytest.approx(0.05, rel=1e-4)
    for own in moments[1:]:
        torch.testing.assert_close(own, moments[0], rtol=0, atol=1e-5 * float(moments[0].abs().max()))


def test_gradients_reach_the_embedding_of_each_task_in_turn(tmp_path):
    def moved(number, tasks):
        before = model().hypernetwork.task_embeddings.weight.detach().clone()
        built = model()
        train(tmp_path / str(number), training(steps=len(tasks)), lambda step: batch(tasks[step], step), built=built)
        return (built.hypernetwork.task_embeddings.weight.detach() != before).any(1).tolist()

    assert moved(0, ["copy", "copy"]) == [True, False]
    assert moved(1, ["constant", "constant"]) == [False, True]
    assert moved(2, ["copy", "constant"]) == [True, True]


# tasks with unequal numbers of sentences and of target tokens, in several batches
VALIDATION = {"copy": [batch("copy", 100, 4), batch("copy", 101, 3)], "constant": [batch("constant", 102, 1)]}


def validated(weights):
    """The mean over the tasks of the mean over all target tokens of a task."""
    fresh, means = model(), []
    fresh.load_trainable(weights)
    with torch.no_grad():
        for own in VALIDATION.values():
            means.append(torch.cat([losses(fresh(task=part.task, **part.inputs).logits, part.labels) for part in own]).mean().item())
    return sum(means) / len(means)


def test_the_validation_loss_is_the_mean_of_the_tasks_own():
    start = {name: tensor.detach() for name, tensor in model().trainable_state().items()}
    # smoothing is of the training
    settings = training(label_smoothing=0.3)
    assert validation_loss(Objective(model(), settings), VALIDATION, Accelerator(cpu=True), settings) == pytest.approx(
        validated(start), rel=1e-9
    )
    tokens = [sum(int((part.labels != IGNORED).sum()) for part in own) for own in VALIDATION.values()]
    assert tokens[0] > 3 * tokens[1], "a mean over all tokens would be another one"


def turning(step):
    """First what is validated, then its opposite: the validation loss falls and rises again."""
    if step < 8:
        return VALIDATION[TASKS[step % 2]][0]
    own = VALIDATION[TASKS[step % 2]][0]
    wrong = own.labels.clone()
    wrong[own.labels > 1] = 39 - own.labels[own.labels > 1]
    return type(own)(own.task, own.inputs, wrong)


RISING = {"steps": 20, "learning_rate": 2e-2, "evaluate_every": 4}


@pytest.fixture(scope="module")
def rising():
    """Weights after each step of such a training, and the validation losses at its five evaluations."""
    history, _ = by_hand(training(**RISING), [1.0] * 20, turning)
    curve = [validated(history[step]) for step in range(4, 21, 4)]
    best = curve.index(min(curve))
    assert 0 < best < 3 and sorted(curve)[1] - min(curve) > 1e-3
    return history, curve, 4 * (best + 1)


def test_the_weights_of_the_lowest_validation_loss_are_kept(tmp_path, rising):
    history, curve, best = rising
    files = {}

    def watched(step):
        if step and step % 4 == 0:
            # after each evaluation the file holds the best so far
            files[step] = {key.partition("/")[2]: tensor for key, tensor in load_file(tmp_path / BEST_CHECKPOINT).items()}
        return turning(step)

    weights, progress = train(tmp_path, training(**RISING, selection="best"), watched, VALIDATION)
    assert [record["validation_loss"] for record in progress.curve] == pytest.approx(curve, rel=1e-5)
    assert (progress.best_step, progress.step) == (best, 20)
    assert progress.best_loss == pytest.approx(min(curve), rel=1e-5)
    assert close(weights, history[best]) and not close(weights, history[20])
    assert {step: close(own, history[min(step, best)]) for step, own in files.items()} == dict.fromkeys(range(4, 20, 4), True)


def test_the_weights_of_the_best_f1_are_kept_whatever_the_loss(tmp_path, rising):
    history, curve, best = rising
    f1s = iter([0.1, 0.3, 0.2, 0.4, 0.4])
    weights, progress = train(tmp_path, training(**RISING, selection="best_f1"), turning, VALIDATION, validation_f1=lambda: next(f1s))
    assert [record["validation_f1"] for record in progress.curve] == [0.1, 0.3, 0.2, 0.4, 0.4]
    # the first of two alike
    assert progress.best_step == 16 != best and close(weights, history[16])
    assert [record["validation_loss"] for record in progress.curve] == pytest.approx(curve, rel=1e-5)


def test_the_last_weights_are_kept_where_the_recipe_says_so(tmp_path, rising):
    history, curve, _ = rising
    weights, progress = train(tmp_path, training(**RISING, selection="last"), turning, VALIDATION)
    assert close(weights, history[20]) and progress.best_step == 20
    assert [record["validation_loss"] for record in progress.curve] == pytest.approx(curve, rel=1e-5)
    assert not (tmp_path / BEST_CHECKPOINT).exists() and (tmp_path / LAST_CHECKPOINT).exists()


@pytest.mark.parametrize("step", [9, 14])
def test_what_was_best_stays_so_after_an_interruption(tmp_path, rising, step):
    """In the middle between two evaluations, before and after the best one."""
    history, curve, best = rising

    def asked(at):
        if at == step:
            signal.raise_signal(signal.SIGTERM)
        return turning(at)

    settings = training(**RISING, selection="best")
    with pytest.raises(RunError, match=f"after step {step + 1} of 20"):
        train(tmp_path, settings, asked, VALIDATION)
    spent = CheckpointRecord.read(tmp_path / LAST_CHECKPOINT).progress.seconds
    weights, progress = train(tmp_path, settings, turning, VALIDATION)
    assert (progress.best_step, progress.step) == (best, 20) and close(weights, history[best])
    assert [record["validation_loss"] for record in progress.curve] == pytest.approx(curve, rel=1e-5)
    assert progress.curve == train(tmp_path / "undisturbed", settings, turning, VALIDATION)[1].curve
    # over both parts
    assert progress.seconds > spent > 0


def test_best_weights_that_were_written_after_the_last_checkpoint(tmp_path, rising, monkeypatch):
    """As where a checkpoint takes long and is rarely written. What is measured again need not be the same to the last bit."""
    history, _, _ = rising
    settings = training(**RISING, selection="best_f1")
    monkeypatch.setattr(checkpoints, "CHEAP", 1e-9)

    def killed(step):
        if step == 13:
            raise KeyboardInterrupt
        return turning(step)

    f1s = iter([0.4, 0.3, 0.5])
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path, settings, killed, VALIDATION, validation_f1=lambda: next(f1s))
    assert [CheckpointRecord.read(tmp_path / name).progress.step for name in (LAST_CHECKPOINT, BEST_CHECKPOINT)] == [4, 12]
    f1s = iter([0.3, 0.39, 0.2, 0.2])
    weights, progress = train(tmp_path, settings, turning, VALIDATION, validation_f1=lambda: next(f1s))
    assert progress.best_step == 12 and close(weights, history[12])


@pytest.mark.parametrize(("evaluate_every", "turn", "found"), [(1, 20, 27), (10, 20, 30), (1000, 50, 100)])
def test_a_loss_that_grows_is_not_waited_for(tmp_path, evaluate_every, turn, found):
    """A sum over the tokens of larger batches, with weights that stay as they are: at evaluations, and between them."""
    settings = training(steps=150, learning_rate=1e-300, loss_reduction="sum", evaluate_every=evaluate_every)
    with pytest.raises(RunError, match=f"the loss grew from .* to .* by step {found}; lower the learning rate"):
        train(tmp_path / "much", settings, lambda step: batch("constant", 0, 4 if step < turn else 7))
    settings = settings.model_copy(update={"steps": found})
    _, progress = train(tmp_path / "little", settings, lambda step: batch("constant", 0, 4 if step < turn else 5))
    assert progress.step == found and progress.first_loss == pytest.approx(4 * 3 * math.log(40), rel=0.3)


@pytest.mark.parametrize("evaluate_every", [1, 7, 49])
def test_one_long_batch_is_no_growth(tmp_path, evaluate_every):
    settings = training(steps=60, learning_rate=1e-300, loss_reduction="sum", evaluate_every=evaluate_every)
    sizes = [4, 9]
    _, progress = train(tmp_path, settings, lambda step: batch("constant", 0, sizes[step % 2]))
    assert progress.step == 60
    # a point of the curve is of the steps since the last one
    tokens = [3 * math.log(40) * size for size in (sizes if evaluate_every == 1 else [sum(sizes) / 2])]
    assert [point["loss"] for point in progress.curve[: len(tokens)]] == pytest.approx(tokens, rel=0.3)


def test_a_loss_that_grows_is_found_at_the_same_step_after_an_interruption(tmp_path):
    def growing(step, stopped_at=None):
        if step == stopped_at:
            signal.raise_signal(signal.SIGTERM)
        return batch("constant", 0, 4 if step < 20 else 7)

    settings = training(steps=150, learning_rate=1e-300, loss_reduction="sum", evaluate_every=1)
    with pytest.raises(RunError, match="after step 24 of 150"):
        train(tmp_path, settings, lambda step: growing(step, 23))
    with pytest.raises(RunError, match="the loss grew from .* by step 27"):
        train(tmp_path, settings, growing)


@pytest.mark.parametrize("patience", [1, 2])
def test_training_stops_when_it_has_waited_long_enough(tmp_path, rising, patience):
    history, _, best = rising
    settings = training(**RISING, selection="best", patience=patience)
    weights, progress = train(tmp_path, settings, turning, VALIDATION)
    assert (progress.step, progress.best_step) == (best + 4 * patience, best)
    assert close(weights, history[best])

    def none(step):
        raise AssertionError("it is finished")

    again, resumed = train(tmp_path, settings, none, VALIDATION)
    assert close(again, history[best]) and resumed.curve == progress.curve


def test_of_equal_losses_the_first_one_counts(tmp_path):
    # nothing is learned
    settings = training(learning_rate=1e-300, selection="best")
    _, progress = train(tmp_path, settings, validation=VALIDATION)
    assert progress.best_step == 2 and len({record["validation_loss"] for record in progress.curve}) == 1


def test_validation_is_without_dropout_and_training_with_it(tmp_path):
    """Of the same batch again and again, with weights that stay as they are."""
    start = {name: tensor.detach() for name, tensor in model().trainable_state().items()}
    settings = training(learning_rate=1e-300, evaluate_every=1, steps=6)
    (without,) = by_hand(training(steps=1), FULL)[1]
    curves = {}
    for seed in (1, 1, 2):
        _, progress = train(tmp_path / f"{len(curves)}-{seed}", settings, lambda _: in_turn(0), VALIDATION, model(dropout_rate=0.3), seed)
        curve = [record["loss"] for record in progress.curve]
        # other masks at each step, before and after validations, and those of the seed
        assert len(set(curve)) == 6 and curves.setdefault(seed, curve) == curve
        assert not any(loss == pytest.approx(without, rel=1e-5) for loss in curve)
        assert [record["validation_loss"] for record in progress.curve] == pytest.approx([validated(start)] * 6, rel=1e-9)
    assert curves[1] != curves[2]
    # as long as it stays so: the model is handed back for predictions
    built = model(dropout_rate=0.3)
    train(tmp_path / "end", settings, built=built)
    assert not any(module.training for module in built.modules())


def test_bf16_is_for_frozen_weights_and_arithmetic(tmp_path):
    built, reference = model().float(), model().float()
    kept = copy.deepcopy(reference.state_dict())
    settings = training(learning_rate=1e-30, precision="bf16", steps=2)
    _, progress = train(tmp_path, settings, lambda _: in_turn(0), {"copy": [in_turn(0)]}, built)
    products = {f"{name}.weight" for name, module in built.backbone.named_modules() if isinstance(module, nn.Linear)} - {"lm_head.weight"}
    assert {name for name, parameter in built.named_parameters() if parameter.dtype == torch.bfloat16} == {
        f"backbone.{name}" for name in products
    }
    assert {parameter.dtype for parameter in built.parameters()} == {torch.bfloat16, torch.float32}
    with torch.no_grad():
        exact = losses(reference(task="copy", **in_turn(0).inputs).logits, in_turn(0).labels).mean().item()
    for loss in (progress.curve[0]["loss"], progress.curve[0]["validation_loss"]):
        assert loss == pytest.approx(exact, rel=0.05) and loss != pytest.approx(exact, rel=1e-6)
    assert all(torch.equal(reference.state_dict()[name], tensor) for name, tensor in kept.items())


def test_token_losses_by_hand_are_those_of_torch():
    own = in_turn(0)
    logits = model()(task="copy", **own.inputs).logits
    for smoothing in (0.0, 0.2):
        expected = F.cross_entropy(logits.flatten(0, 1), own.labels.flatten(), ignore_index=IGNORED, label_smoothing=smoothing)
        assert losses(logits, own.labels, smoothing).mean().item() == pytest.approx(expected.item(), rel=1e-9)
