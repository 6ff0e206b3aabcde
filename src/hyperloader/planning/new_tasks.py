"""Which runs show what it costs to add a task to a trained HyperLoader: one corpus is left out, and added later.

For each corpus, or those of `new_tasks`: HyperLoader on all others; the corpus added to that in each mode, from a few sentences to all;
beside them UniPELT-T5 on the same sentences, and HyperLoader on all corpora, which are runs of the plan or like them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import get_args

from hyperloader.config.settings import AddingMode
from hyperloader.planning.plan import Added, Plan, PlannedRun, scale_of

METHOD, SINGLE_TASK = "hyperloader", "unipelt_t5"
# (percent, shots) of the new corpus' training sentences
AMOUNTS: tuple[tuple[float, int | None], ...] = ((100, 10), (100, 50), (100, 200), (10, None), (100, None))
MODES: tuple[str, ...] = get_args(AddingMode)


def new_task_runs(plan: Plan, scale: str) -> Iterator[PlannedRun]:
    """All of these runs, those that others are added to first, on the first draw of the data."""
    left_out = [name for name in plan.corpora if name in plan.config.new_tasks] or plan.corpora
    for seed in plan.seeds(scale):
        whole = PlannedRun(scale_of(scale), plan.config.recipe, METHOD, plan.corpora, 100, seed, plan.config.data_seeds[0])
        yield whole
        for corpus in left_out if len(plan.corpora) > 1 else ():
            known = replace(whole, corpora=tuple(name for name in plan.corpora if name != corpus))
            yield known
            for percent, shots in AMOUNTS:
                own = replace(whole, corpora=(corpus,), percent=percent, shots=shots)
                yield replace(own, method=SINGLE_TASK)
                yield from (replace(own, added=Added(known, mode)) for mode in MODES)
