"""Predictions -> scores: micro precision, recall and F1 over spans (section 4.3), in each of the ways of docs/scores.md.

A span counts as correct when its type, its first word and its last word are all the gold ones. How tags become spans is the mode:
in `conll`, as in the CoNLL evaluation script and `seqeval` by default, an `I-X` that continues nothing opens a span; in `strict`
(IOB2 of `seqeval`) it is ignored.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from hyperloader.corpora.prepared import PreparedCorpus, load_corpus
from hyperloader.errors import RunError
from hyperloader.files import there
from hyperloader.runs.predictions import PredictedSentence, read_predictions
from hyperloader.runs.records import PredictionsManifest, Score, ScoredCorpus, ScoresRecord, SpanScore
from hyperloader.runs.run import Run
from hyperloader.scoring.counts import SentenceCounts, clusters_of, write_counts
from hyperloader.scoring.signatures import data_checksum, signature
from hyperloader.scoring.statistics import bootstrap_interval
from hyperloader.text.sentences import Sentence
from hyperloader.text.sentt import LONGEST, spans

log = logging.getLogger(__name__)

Span = tuple[str, int, int]
Tags = Sequence[Sequence[str]]


class ScoringScheme(NamedTuple):
    """A way of scoring.

    Attributes:
        alignment: of written labels and words: `sentinel` or `order`; `none` where nothing is written.
        gold: `full`, or `truncated`: as the authors read it from a target that was cut.
        mode: `conll` or `strict`.
        labels: `raw`, or `cut`: slot types up to the first slash.
        subset: of the test sentences: `all`, or `unseen`: those that are not in the corpus' training set, whatever share of it was used.
    """

    alignment: str
    gold: str
    mode: str
    labels: str = "raw"
    subset: str = "all"


# the first one is the headline, the last of the first five of text is the authors'
TEXT_SCHEMES = (
    ScoringScheme("sentinel", "full", "conll"),
    ScoringScheme("sentinel", "full", "strict"),
    ScoringScheme("order", "full", "conll"),
    ScoringScheme("order", "full", "strict"),
    ScoringScheme("order", "truncated", "conll"),
    ScoringScheme("sentinel", "full", "conll", labels="cut"),
    ScoringScheme("order", "truncated", "conll", labels="cut"),
    ScoringScheme("sentinel", "full", "conll", subset="unseen"),
)
TEXTLESS_SCHEMES = (
    ScoringScheme("none", "full", "conll"),
    ScoringScheme("none", "full", "strict"),
    ScoringScheme("none", "full", "conll", labels="cut"),
    ScoringScheme("none", "full", "conll", subset="unseen"),
)
SLASH = "/"


def spans_of(tags: Sequence[str], mode: str = "conll") -> set[Span]:
    """The spans of BIO tags: slot type, first word, word after the last."""
    found = spans(tags)
    return set(found) if mode == "conll" else {span for span in found if tags[span[1]].startswith("B")}


def sentence_counts(gold: Tags, prediction: Tags, mode: str = "conll") -> np.ndarray:
    """Span counts (sentences, 3) of each sentence: in gold, predicted, correct.

    Raises:
        ValueError: the two have unequal numbers of sentences, or a sentence has unequal numbers of tags.
    """
    if list(map(len, gold)) != list(map(len, prediction)):
        raise ValueError("gold and prediction differ in their numbers of sentences or tags")
    pairs = ((spans_of(own, mode), spans_of(other, mode)) for own, other in zip(gold, prediction, strict=True))
    rows = [(len(own), len(other), len(own & other)) for own, other in pairs]
    return np.array(rows, dtype=np.int64).reshape(-1, 3)


def score_tags(gold: Tags, prediction: Tags, mode: str = "conll") -> SpanScore:
    """Score BIO tags, one sequence of tags per sentence.

    Raises:
        ValueError: as `sentence_counts`.
    """
    return SpanScore.of(*sentence_counts(gold, prediction, mode).sum(0).tolist())


def by_seqeval(gold: Tags, prediction: Tags, mode: str = "conll") -> tuple[float, float, float]:
    """Micro precision, recall and F1 by `seqeval`, the reference of `score_tags`; needs a second to import."""
    from seqeval.metrics import sequence_labeling, v1
    from seqeval.scheme import IOB2

    gold, prediction = list(map(list, gold)), list(map(list, prediction))
    if mode == "conll":
        answer = sequence_labeling.precision_recall_fscore_support(gold, prediction, average="micro", zero_division=0)
    else:
        answer = v1.precision_recall_fscore_support(gold, prediction, average="micro", zero_division=0, scheme=IOB2)
    return tuple(map(float, answer[:3]))


def score_labels(gold: Tags, prediction: Tags) -> dict[str, SpanScore]:
    """The score of each slot type, sorted by name, in the mode `conll`."""
    in_gold, predicted, correct = Counter(), Counter(), Counter()
    for own, other in zip(map(spans_of, gold), map(spans_of, prediction), strict=True):
        for counter, found in ((in_gold, own), (predicted, other), (correct, own & other)):
            counter.update(slot_type for slot_type, _, _ in found)
    return {name: SpanScore.of(in_gold[name], predicted[name], correct[name]) for name in sorted(in_gold | predicted)}


def score_sentences(
    sentences: Sequence[PredictedSentence], decoding: str, unseen: np.ndarray | None = None, nested: int = 0
) -> tuple[ScoredCorpus, SentenceCounts]:
    """All scores of one test set.

    Args:
        sentences: gold and predictions.
        decoding: how they were decoded, for the signatures.
        unseen: whether each sentence is not in the training set; without it, or without any, unseen ones are not scored.
        nested: gold slots that are left out since they lie inside others, for the signatures.

    Returns:
        Its entry in `scores.json`, and the headline's counts.
    """
    data = data_checksum((sentence.tokens, sentence.gold) for sentence in sentences)
    gold, prediction = [sentence.gold for sentence in sentences], [sentence.prediction for sentence in sentences]
    clusters = clusters_of(sentence.tokens for sentence in sentences)
    scores, counts = [], []
    for scheme in _schemes(sentences, unseen):
        counts.append(sentence_counts(*_tags(sentences, scheme), scheme.mode))
        chosen = unseen if scheme.subset == "unseen" else slice(None)
        low, high = bootstrap_interval(counts[-1][chosen], clusters[chosen])
        named = signature(**scheme._asdict(), decoding=decoding, data=data, nested=nested)
        scores.append(Score.of(*counts[-1][chosen].sum(0).tolist(), **scheme._asdict(), ci_low=low, ci_high=high, signature=named))
    if sentences:
        reference = by_seqeval(gold, prediction)
        assert np.allclose((scores[0].precision, scores[0].recall, scores[0].f1), reference, atol=1e-9), reference
    entry = ScoredCorpus(
        sentences=len(sentences),
        unseen=None if unseen is None else int(unseen.sum()),
        in_parts=sum(len(sentence.tokens) > LONGEST for sentence in sentences),
        malformed=sum(sentence.malformed for sentence in sentences) / max(len(sentences), 1),
        scores=scores,
        labels=score_labels(gold, prediction),
    )
    return entry, SentenceCounts(counts[0], clusters)


def _schemes(sentences: Sequence[PredictedSentence], unseen: np.ndarray | None) -> list[ScoringScheme]:
    """The ways of scoring that say something about these sentences."""
    writes = any(sentence.by_order is not None for sentence in sentences)
    left_out = [] if unseen is not None and unseen.any() else [("subset", "unseen")]
    left_out += [] if any(SLASH in tag for sentence in sentences for tag in sentence.gold) else [("labels", "cut")]
    schemes = TEXT_SCHEMES if writes else TEXTLESS_SCHEMES
    return [scheme for scheme in schemes if not any(getattr(scheme, field) == value for field, value in left_out)]


def _tags(sentences: Iterable[PredictedSentence], scheme: ScoringScheme) -> tuple[list[list[str]], list[list[str]]]:
    """Gold and predicted tags in a way of scoring."""
    pairs = []
    for sentence in sentences:
        by_order = scheme.alignment == "order" and sentence.by_order is not None
        tags = sentence.by_order if by_order else sentence.prediction
        end = sentence.gold_words if scheme.gold == "truncated" else len(sentence.gold)
        both = sentence.gold[:end], tags[:end]
        pairs.append([[tag.partition(SLASH)[0] for tag in own] for own in both] if scheme.labels == "cut" else both)
    return [gold for gold, _ in pairs], [tags for _, tags in pairs]


def score_split(
    corpus: PreparedCorpus, split: str, sentences: Sequence[PredictedSentence], decoding: str
) -> tuple[ScoredCorpus, SentenceCounts]:
    """As `score_sentences`, with what a prepared corpus at 100 % says of one of its splits."""
    train = {sentence.words for sentence in corpus.train}
    unseen = np.array([tuple(sentence.tokens) not in train for sentence in sentences], dtype=bool)
    return score_sentences(sentences, decoding, None if split == "train" else unseen, corpus.nested_slots.get(split, 0))


class KnownOfTest(NamedTuple):
    """What a prepared corpus says of its test set, for places where it is not; see `score_sentences`."""

    unseen: np.ndarray | None
    nested: int


def known_of_test(corpus: PreparedCorpus) -> KnownOfTest:
    """Those of a corpus at 100 %."""
    train = {sentence.words for sentence in corpus.train}
    return KnownOfTest(np.array([sentence.words not in train for sentence in corpus.test], dtype=bool), corpus.nested_slots.get("test", 0))


def score_run(run: str | Path, facts: Mapping[str, KnownOfTest] | None = None) -> None:
    """Score all predictions of a run; writes `counts/<corpus>.csv`, then `scores.json`.

    Args:
        run: its folder.
        facts: of the corpora by name; otherwise they are taken from the prepared corpora, if these are there.

    Raises:
        UserError: predictions are missing, damaged, not those of the manifest, or not of the prepared corpus; names the file and the line.
    """
    run = Run(run)
    settings, manifest = run.settings, run.predictions()
    if strangers := manifest.corpora.keys() - (settings.data if facts is None else facts).keys():
        message = f"predictions of {', '.join(sorted(strangers))}, which this run has no data of"
        raise RunError(message, file=run.folder / Run.PREDICTIONS, remedy=PredictionsManifest.REMEDY)
    corpora = {}
    for name, listed in manifest.corpora.items():
        sentences = list(read_predictions(run.predictions_of(name), listed))
        if facts is not None:
            corpora[name], counts = score_sentences(sentences, manifest.decoding, *facts[name])
        elif there(run.data[name]):
            corpus = load_corpus(run.data[name])
            if [Sentence(tuple(own.tokens), tuple(own.gold)) for own in sentences] != corpus.test:
                message = f"predictions of other sentences than the test set in {run.data[name]}"
                raise RunError(message, file=run.predictions_of(name), remedy=PredictionsManifest.REMEDY)
            corpora[name], counts = score_split(corpus, "test", sentences, manifest.decoding)
        else:
            log.warning("%s: no prepared corpus %s, so that unseen sentences are not scored", run, run.data[name])
            corpora[name], counts = score_sentences(sentences, manifest.decoding)
        write_counts(run.counts_of(name), counts)
    named = {key: getattr(settings, key) for key in ("scale", "recipe", "method", "variant", "percent", "seed")}
    ScoresRecord(**named, decoding=manifest.decoding, corpora=corpora).write(run.folder / Run.SCORES)
