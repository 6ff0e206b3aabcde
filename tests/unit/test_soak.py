"""Long use: memory stays where it is."""

import random
from pathlib import Path

import pytest
from test_processes import run_in
from test_training import VALIDATION, batch_of, model, training

from hyperloader.methods.training_run import train_run
from hyperloader.predicting.tagger import Tagger
from hyperloader.training.checkpoints import Checkpoints
from hyperloader.training.loop import fit

MIB = 2**20
# of both: what caches and the allocator may still take after the warm-up
ALLOWED = 16 * MIB


def resident() -> int:
    """Bytes of this process that are in memory now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096


def report(what, sizes, measured):
    measured(f"{what}: {', '.join(f'{size / MIB:.1f}' for size in sizes)} MiB resident at even distances")
    assert sizes[-1] - sizes[0] < ALLOWED


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads the memory of a process from Linux' /proc")
def test_a_thousand_predictions_take_no_more_memory(place, measured):
    run = run_in(place, "soak", steps=6)
    train_run(run)
    tagger, generator = Tagger.from_pretrained(run), random.Random(0)
    sizes = []
    for number in range(1200):
        # new words each time, of all lengths
        texts = [" ".join(f"w{generator.randrange(10**6)}" for _ in range(generator.randrange(30))) for _ in range(3)]
        tagger.predict(texts, task="atis")
        if number >= 200 and number % 200 == 199:
            sizes.append(resident())
    report("200 calls, then 1,000", sizes, measured)


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads the memory of a process from Linux' /proc")
def test_two_thousand_steps_take_no_more_memory(tmp_path, measured):
    settings = training(steps=2000, evaluate_every=100)
    draw, sizes = batch_of(settings), []

    def watched(step):
        if step >= 200 and step % 300 == 199:
            sizes.append(resident())
        return draw(step)

    fit(model(), settings, watched, checkpoints=Checkpoints(tmp_path, "soak"), seed=5, validation=VALIDATION)
    report("200 steps, then 1,800", sizes, measured)
