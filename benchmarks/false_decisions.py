"""How often two methods of equal quality are called different, by the error of the seed: sentences alone, and the rule of the suite.

Two simulated methods tag the same test set with 1, 3 and 5 training seeds. A method finds a span if its difficulty, which is drawn once
for each method and cluster of equal sentences, is below a mean that moves from seed to seed; so seeds without deviation are one model.

    python benchmarks/false_decisions.py --replications 2000
"""

from __future__ import annotations

import argparse

import numpy as np
from scipy.special import stdtr

from hyperloader.scoring.decisions import ALPHA, Decision, Verdict, decide
from hyperloader.scoring.statistics import resampled_f1s

SENTENCES, CLUSTERS, QUALITY = 400, 350, 0.8
RATIOS = (0, 0.5, 1, 2, 3)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="*", default=[1, 3, 5])
    parser.add_argument("--replications", type=int, default=2000)
    parser.add_argument("--resamples", type=int, default=1000)
    options = parser.parse_args()
    print("| seeds | sd of seeds / error of sentences | sentences alone | Satterthwaite | the rule |\n|---:|---:|---:|---:|---:|")
    for seeds in options.seeds:
        for ratio in RATIOS:
            alone, other, rule = (
                f"{100 * share:.1f} %" for share in false_decisions(seeds, ratio, options.replications, options.resamples)
            )
            print(
                f"| {seeds} | {ratio} | {alone} | {other} | {rule} |" if seeds > 1 else f"| 1 | {ratio} | {alone} | | one seed |",
                flush=True,
            )


def false_decisions(seeds: int, ratio: float, replications: int, resamples: int = 1000) -> tuple[float, float, float]:
    """Shares of simulated experiments in which methods of equal quality were told apart.

    Args:
        seeds: training seeds of each method.
        ratio: standard deviation of the difference over seeds, in standard errors over test sentences.
        replications: experiments.
        resamples: bootstrap samples in each.

    Returns:
        By the test sentences alone, by Student's distribution with Satterthwaite's degrees of freedom, and by the rule.
    """
    rng = np.random.default_rng([seeds, int(100 * ratio)])
    found = [experiment(rng, seeds, ratio, resamples) for _ in range(replications)]
    rules = (lambda own: own.models_differ, satterthwaite, lambda own: own.verdict in (Verdict.CONFIRMED, Verdict.CONTRADICTED))
    alone, other, rule = (float(np.mean([told_apart(decision) for decision in found])) for told_apart in rules)
    return alone, other, rule


def satterthwaite(decision: Decision) -> bool:
    """What another rule says, which takes the sum of both variances for one of as many degrees of freedom as it seems to have."""
    if not decision.sd_seeds:
        return decision.models_differ
    seeds = len(decision.seeds)
    variances = decision.se_test**2, decision.sd_seeds**2 / seeds
    freedom = sum(variances) ** 2 / (variances[1] ** 2 / (seeds - 1))
    return bool(2 * stdtr(freedom, -abs(decision.difference) / np.sqrt(sum(variances))) <= ALPHA)


def experiment(rng: np.random.Generator, seeds: int, ratio: float, resamples: int) -> Decision:
    """The decision on two methods whose true difference is zero."""
    clusters = np.arange(SENTENCES) % CLUSTERS
    # each has this standard error over sentences, repeated ones together, and the difference has sqrt(2) times that
    sizes = np.bincount(clusters)
    error = np.sqrt(QUALITY * (1 - QUALITY) * (sizes**2).sum()) / SENTENCES
    difficulty = rng.random((2, 1, CLUSTERS))[..., clusters]
    correct = difficulty < QUALITY + ratio * error * rng.normal(size=(2, seeds, 1))
    counts = np.stack([np.ones_like(correct), np.ones_like(correct), correct], -1).astype(int)
    f1s = resampled_f1s(counts.reshape(2 * seeds, SENTENCES, 3), clusters, int(rng.integers(2**31)), resamples)
    decision = decide(*(dict(enumerate(own)) for own in f1s.reshape(2, seeds, -1)))
    assert decision is not None
    return decision


if __name__ == "__main__":
    main()
