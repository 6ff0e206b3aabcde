"""Unsupervised word classes from plain text: words that keep the same company share a class.

Positive pointwise mutual information of each word with its neighbours, left and right apart, reduced by a truncated
singular value decomposition, then k-means. The classes stand in for the word knowledge that a backbone pre-trained on
a large corpus brings along.
"""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Sequence

import numpy as np

EDGE = "<edge>"


def word_classes(sentences: Sequence[Sequence[str]], *, classes: int, dimensions: int, rare: int, seed: int) -> dict[str, int]:
    """Class numbers of the words that are frequent enough.

    The same text gives the same classes, as long as its matrix has a higher rank than `dimensions`; below that, the solver
    fills up with arbitrary directions.

    Args:
        sentences: tokenised text.
        classes: number of classes.
        dimensions: rank of the decomposition.
        rare: words with fewer occurrences get no class.
        seed: of the decomposition's and of k-means' start.
    """
    from scipy.cluster.vq import kmeans2
    from scipy.sparse import coo_matrix
    from scipy.sparse.linalg import svds

    counts = Counter(word for sentence in sentences for word in sentence)
    words = sorted(word for word, count in counts.items() if count >= rare)
    index = {word: number for number, word in enumerate([*words, EDGE])}
    rows, columns = [], []
    for sentence in sentences:
        padded = [EDGE, *sentence, EDGE]
        for position in range(1, len(padded) - 1):
            row = index.get(padded[position])
            if row is None or padded[position] == EDGE:
                continue
            for side, neighbour in enumerate((padded[position - 1], padded[position + 1])):
                if neighbour in index:
                    rows.append(row)
                    columns.append(side * len(index) + index[neighbour])
    joint = coo_matrix((np.ones(len(rows)), (rows, columns)), shape=(len(words), 2 * len(index))).tocsr()
    joint.sum_duplicates()
    row_sums, column_sums = np.asarray(joint.sum(1)).ravel(), np.asarray(joint.sum(0)).ravel()
    scores = joint.tocoo()
    values = np.log(scores.data * joint.sum() / (row_sums[scores.row] * column_sums[scores.col]))
    ppmi = coo_matrix((np.maximum(values, 0), (scores.row, scores.col)), shape=joint.shape).tocsr()
    generator = np.random.default_rng(seed)
    left, singular, _ = svds(ppmi, k=min(dimensions, min(ppmi.shape) - 1), v0=generator.standard_normal(min(ppmi.shape)))
    vectors = left * np.sqrt(singular)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True) + 1e-9
    with warnings.catch_warnings():
        # an empty class is one class less
        warnings.filterwarnings("ignore", "One of the clusters is empty")
        _, assigned = kmeans2(vectors, min(classes, len(words)), minit="++", seed=generator, iter=30)
    return dict(zip(words, assigned.tolist(), strict=True))
