"""Span metrics against independent counts and seqeval, and what `score` writes and says of damaged predictions."""

import csv
import json
import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hyperloader.config.settings import RunSettings, Training
from hyperloader.corpora.prepared import load_corpus
from hyperloader.corpora.readers import read_split
from hyperloader.corpora.registry import known_corpora
from hyperloader.errors import RunError, UserError
from hyperloader.files import sha256
from hyperloader.runs.predictions import PredictedSentence, read_predictions, write_predictions
from hyperloader.runs.records import PredictedCorpus, PredictionsManifest, SpanScore
from hyperloader.scoring import by_seqeval, score_labels, score_run, score_sentences, score_tags, sentence_counts
from hyperloader.scoring.counts import read_counts, write_counts

TAGS = ["O", "B-x", "I-x", "B-y.z", "I-y.z", "B-a-b", "I-a-b"]
PAIRS = st.lists(st.lists(st.tuples(st.sampled_from(TAGS), st.sampled_from(TAGS)), min_size=1, max_size=8), min_size=1, max_size=5)
MODES = ("conll", "strict")


def conll(tags):
    """`B-` opens a span, and so does an `I-` after another type."""
    found, previous = [], ""
    for index, tag in enumerate(tags):
        kind = tag[2:]
        if tag.startswith("B-") or (kind and kind != previous):
            found.append([kind, index, index])
        elif kind:
            found[-1][2] = index
        previous = kind
    return {tuple(span) for span in found}


def strict(tags):
    """`B-X` and all `I-X` right after it."""
    found = set()
    for start, tag in enumerate(tags):
        if tag.startswith("B-"):
            end = start
            while end + 1 < len(tags) and tags[end + 1] == f"I-{tag[2:]}":
                end += 1
            found.add((tag[2:], start, end))
    return found


def recomputed(gold, prediction, mode):
    """Numbers of spans in gold, predicted, correct; precision, recall, F1."""
    read = conll if mode == "conll" else strict
    g, p, c = (
        sum(sizes)
        for sizes in zip(
            *((len(read(a)), len(read(b)), len(read(a) & read(b))) for a, b in zip(gold, prediction, strict=True)), strict=True
        )
    )
    return (g, p, c), (c / p if p else 0.0, c / g if g else 0.0, 2 * c / (g + p) if g + p else 0.0)


def check(gold, prediction, mode):
    score = score_tags(gold, prediction, mode)
    counts, measures = recomputed(gold, prediction, mode)
    assert (score.gold_spans, score.predicted_spans, score.correct_spans) == counts
    ours = (score.precision, score.recall, score.f1)
    assert ours == pytest.approx(measures)
    assert ours == pytest.approx(by_seqeval(gold, prediction, mode))


@pytest.mark.parametrize("mode", MODES)
@settings(deadline=None)  # the first call imports seqeval
@given(pairs=PAIRS)
def test_scores_equal_an_independent_count_and_seqeval(mode, pairs):
    check([[tag for tag, _ in sentence] for sentence in pairs], [[tag for _, tag in sentence] for sentence in pairs], mode)


@pytest.mark.parametrize("name", known_corpora())
def test_scores_of_real_gold_equal_an_independent_count_and_seqeval(mirror, name):
    gold = [list(sentence.tags) for sentence in read_split(known_corpora()[name], mirror / "corpora", "test")]
    tags, draw = sorted({tag for sentence in gold for tag in sentence}), random.Random(name)
    changed = [[draw.choice(tags) if draw.random() < 0.1 else tag for tag in sentence] for sentence in gold]
    for mode in MODES:
        check(gold, changed, mode)
    assert 0.3 < score_tags(gold, changed).f1 < 0.95


def test_modes_differ_at_tags_that_continue_nothing():
    gold, prediction = [["B-x", "I-y", "O", "I-x"]], [["B-x", "B-y", "O", "B-x"]]
    assert score_tags(gold, prediction) == SpanScore.of(3, 3, 3)
    assert score_tags(gold, prediction, "strict") == SpanScore.of(1, 3, 1)


def test_nothing_but_outside_scores_zero():
    assert score_tags([["B-x", "O"]], [["O", "O"]]) == SpanScore(
        precision=0.0, recall=0.0, f1=0.0, gold_spans=1, predicted_spans=0, correct_spans=0
    )
    assert score_tags([], []) == SpanScore.of(0, 0, 0) and SpanScore.of(0, 0, 0).f1 == 0.0


def test_unequal_lengths_are_refused():
    with pytest.raises(ValueError, match="differ"):
        sentence_counts([["O", "O"]], [["O"]])


@given(pairs=PAIRS)
def test_labels_sum_up_to_the_whole(pairs):
    gold, prediction = ([[pair[side] for pair in sentence] for sentence in pairs] for side in (0, 1))
    labels = score_labels(gold, prediction)
    assert list(labels) == sorted({span[0] for tags in gold + prediction for span in conll(tags)})
    whole = score_tags(gold, prediction)
    for counts in ("gold_spans", "predicted_spans", "correct_spans"):
        assert sum(getattr(score, counts) for score in labels.values()) == getattr(whole, counts)
    for name, score in labels.items():
        own = [[[tag if tag[2:] == name else "O" for tag in tags] for tags in side] for side in (gold, prediction)]
        assert score == score_tags(*own)


def sentence(gold, prediction, by_order=None, gold_words=None, malformed=False):
    gold, prediction = gold.split(), prediction.split()
    return PredictedSentence(
        tokens=[f"w{index}" for index in range(len(gold))],
        gold=gold,
        prediction=prediction,
        by_order=None if by_order is None else by_order.split(),
        confidences=None,
        output="",
        malformed=malformed,
        gold_words=len(gold) if gold_words is None else gold_words,
    )


def by_way(entry):
    return {(score.alignment, score.gold, score.mode): score for score in entry.scores}


def test_the_authors_way_sees_neither_gold_nor_predictions_behind_the_cut():
    # one label left out: by order, the last two tags come one word early
    shifted = sentence("O B-x O B-y B-z", "O B-x O B-y B-z", by_order="O B-x B-y B-z O")
    cut = sentence("O B-x I-x B-y O", "O B-x I-x O B-z", by_order="O B-x I-x O B-z", gold_words=2)
    ways = by_way(score_sentences([shifted, cut], "free")[0])
    spans = {way: tuple(getattr(score, f"{kind}_spans") for kind in ("gold", "predicted", "correct")) for way, score in ways.items()}
    assert spans == {
        ("sentinel", "full", "conll"): (5, 5, 4),
        ("sentinel", "full", "strict"): (5, 5, 4),
        ("order", "full", "conll"): (5, 5, 2),
        ("order", "full", "strict"): (5, 5, 2),
        # a span across the cut is as long as what is left of it, in gold and prediction alike
        ("order", "truncated", "conll"): (4, 4, 2),
    }
    assert list(ways)[0] == ("sentinel", "full", "conll")


def test_methods_without_text_have_nothing_to_align():
    entry, counts = score_sentences([sentence("B-x I-x O", "I-x I-x B-y", malformed=True), sentence("O", "O")], "constrained")
    assert list(by_way(entry)) == [("none", "full", "conll"), ("none", "full", "strict")]
    assert counts.spans.tolist() == [[1, 2, 1], [0, 0, 0]] and counts.clusters.tolist() == [0, 1]
    assert [score.f1 for score in entry.scores] == [pytest.approx(2 / 3), 0.0]
    assert entry.malformed == 0.5 and entry.sentences == 2
    assert "|align:none|decoding:none|labels:raw|repair:none|" in entry.headline.signature


def test_signatures_name_what_decides_a_score():
    texts = [sentence("B-x O", "B-x O", by_order="B-x O")]
    entry, _ = score_sentences(texts, "free")
    first, *others = (score.signature for score in entry.scores)
    assert first.startswith("f1:micro|mode:conll|align:sentinel|decoding:free|labels:raw|repair:orphan-I-to-O|gold:full|data:")
    assert "|seqeval:" in first and "|hyperloader:" in first
    assert len({first, *others}) == len(entry.scores)

    def data(*sentences):
        return score_sentences(sentences, "free")[0].headline.signature.split("|")[7]

    assert data(*texts) == data(sentence("B-x O", "O O"))
    assert len({data(*texts), data(*texts, *texts), data(sentence("B-y O", "O O")), data(sentence("B-x O O", "O O O"))}) == 4


def test_intervals_surround_their_scores():
    entry, _ = score_sentences([sentence("B-x O", "B-x O", by_order="O O"), sentence("B-x", "O", by_order="B-x")] * 20, "free")
    assert all(score.ci_low < score.f1 < score.ci_high for score in entry.scores)


@pytest.fixture
def run(tmp_path):
    training = Training(
        steps=1, batch_size=1, learning_rate=1, schedule="constant", warmup_steps=0, weight_decay=0, label_smoothing=0,
        loss_reduction="mean", max_grad_norm=None, temperature=1, evaluate_every=1, evaluation_batches=None, selection="last",
        source_length=9, target_length=9,
    )  # fmt: skip
    run_settings = RunSettings(
        scale="demo", recipe="paper", method="hyperloader", method_settings={}, data={"atis": "data/atis"}, percent=10, seed=42,
        backbone="backbones/t5", training=training,
    )  # fmt: skip
    (tmp_path / "settings.json").write_text(run_settings.model_dump_json())
    gold = [("to new york", "O B-city I-city", "O B-city I-city"), ("from\u2028 rome", "O B-city", "B-city O")]
    lines = [
        {"tokens": words.split(" "), "gold": tags.split(), "prediction": own.split(), "by_order": own.split(), "confidences": None}
        | {"output": "", "malformed": index == 1, "gold_words": len(tags.split())}
        for index, (words, tags, own) in enumerate(gold)
    ]
    write(tmp_path, lines)
    return tmp_path


def write(run, lines, **changes):
    file = run / "predictions" / "atis.jsonl"
    file.parent.mkdir(exist_ok=True)
    file.write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines), encoding="utf-8")
    entry = {"sentences": len(lines), "sha256": sha256(file), "seconds": 1.0} | changes
    PredictionsManifest(decoding="free", corpora={"atis": entry}).write(run / "predictions.json")


def read(run):
    return [json.loads(line) for line in (run / "predictions/atis.jsonl").read_text(encoding="utf-8").removesuffix("\n").split("\n")]


def test_a_run_is_scored_with_equal_bytes_each_time(run):
    score_run(run)
    files = [run / "scores.json", run / "counts/atis.csv"]
    first = [file.read_bytes() for file in files]
    scores = json.loads(first[0])
    entry = scores.pop("corpora")["atis"]
    assert scores.pop("format_version") == 1
    assert scores == {"scale": "demo", "recipe": "paper", "method": "hyperloader", "percent": 10, "seed": 42, "decoding": "free"}
    counts = {"gold_spans": 2, "predicted_spans": 2, "correct_spans": 1}
    measures = {"precision": 0.5, "recall": 0.5, "f1": 0.5} | counts
    assert {key: entry["scores"][0][key] for key in measures} == measures
    assert entry["labels"] == {"city": measures}
    assert (entry["sentences"], entry["malformed"]) == (2, 0.5)
    score_run(run)
    assert [file.read_bytes() for file in files] == first


def test_the_counts_of_sentences_are_those_of_the_headline(run):
    score_run(run)
    with open(run / "counts/atis.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert rows == [
        {"sentence": "0", "gold": "1", "predicted": "1", "correct": "1", "cluster": "0"},
        {"sentence": "1", "gold": "1", "predicted": "1", "correct": "0", "cluster": "1"},
    ]


def test_equal_sentences_are_one_cluster_and_come_back_from_their_file(tmp_path):
    texts = [sentence("B-x O", "B-x O"), sentence("O", "O"), sentence("B-x O", "O O"), sentence("O", "B-x")]
    _, counts = score_sentences(texts, "free")
    assert counts.clusters.tolist() == [0, 1, 0, 1]
    write_counts(tmp_path / "counts.csv", counts)
    assert all(map(np.array_equal, read_counts(tmp_path / "counts.csv"), counts))
    # one kind of sentence, found once and missed once, could as well be all there is
    known = score_sentences([texts[0], texts[2]] * 9, "free")[0].headline
    assert (known.ci_low, known.ci_high) == (known.f1, known.f1)


def test_where_all_test_sentences_are_in_train_unseen_ones_have_no_score():
    sentences = [PredictedSentence(["to", "boston"], ["O", "B-city"], ["O", "B-city"], None, None, "", False, 2)]
    for unseen, schemes in ((np.array([True]), 1), (np.array([False]), 0)):
        entry, _ = score_sentences(sentences, "free", unseen)
        assert entry.unseen == schemes and sum(score.subset == "unseen" for score in entry.scores) == schemes


def test_sentences_of_the_training_set_are_left_out_of_the_unseen_ones(run, place, caplog):
    score_run(run)
    assert json.loads((run / "scores.json").read_text())["corpora"]["atis"]["unseen"] is None and "no prepared corpus" in caplog.text
    corpus = load_corpus(place / "data/atis")
    changed = json.loads((run / "settings.json").read_text()) | {"data": {"atis": str(place / "data/atis")}}
    (run / "settings.json").write_text(json.dumps(changed))
    tested = corpus.test
    wrong = [["O"] * len(own.tags) if index % 2 else list(own.tags) for index, own in enumerate(tested)]
    lines = [
        {"tokens": list(own.words), "gold": list(own.tags), "prediction": tags, "by_order": tags, "confidences": None}
        | {"output": "", "malformed": False, "gold_words": len(tags)}
        for own, tags in zip(tested, wrong, strict=True)
    ]
    write(run, lines)
    score_run(run)
    entry = json.loads((run / "scores.json").read_text())["corpora"]["atis"]
    # a share of 10 % was trained on, and the whole training set counts
    unseen = [index for index, own in enumerate(tested) if own.words not in {other.words for other in corpus.train}]
    assert entry["unseen"] == len(unseen) and 0 < len(unseen) < len(tested)
    (score,) = [score for score in entry["scores"] if score["subset"] == "unseen"]
    (gold, predicted, correct), measures = recomputed([tested[i].tags for i in unseen], [wrong[i] for i in unseen], "conll")
    assert (score["gold_spans"], score["predicted_spans"], score["correct_spans"]) == (gold, predicted, correct)
    assert (score["precision"], score["recall"], score["f1"]) == pytest.approx(measures)
    assert "|sentences:unseen|" in score["signature"]
    # the corpus was prepared again since
    for changed in (lines[:-1], [*lines[:-1], lines[-1] | {"tokens": ["other", *lines[-1]["tokens"][1:]]}], lines[::-1]):
        write(run, changed)
        with pytest.raises(RunError, match=r"jsonl: predictions of other sentences than the test set in .*atis; predict this run again"):
            score_run(run)


def test_damaged_predictions_are_named_by_file_and_line(run):
    lines = read(run)
    file = run / "predictions/atis.jsonl"

    write(run, [lines[0], lines[1] | {"prediction": ["O"]}])
    with pytest.raises(RunError, match=r"atis\.jsonl:2: unequal lengths: 2 tokens, 2 gold tags and 1 predicted"):
        score_run(run)

    write(run, [lines[0], {key: value for key, value in lines[1].items() if key not in ("by_order", "gold_words")}])
    with pytest.raises(RunError, match=r"atis\.jsonl:2: a prediction without by_order, gold_words.*predict this run again"):
        score_run(run)

    for damaged in ([], "text", 1, None, lines[0] | {"tokens": 1}):
        write(run, [lines[0], damaged])
        with pytest.raises(RunError, match=r"atis\.jsonl:2: "):
            score_run(run)

    write(run, lines)
    file.write_text(file.read_text(encoding="utf-8")[:-20], encoding="utf-8")
    with pytest.raises(RunError, match=r"atis\.jsonl:2: not a prediction"):
        score_run(run)

    write(run, lines[:1], sentences=2)
    with pytest.raises(RunError, match="1 sentences instead of 2"):
        score_run(run)

    write(run, lines, sha256="0" * 64)
    with pytest.raises(RunError, match="its checksum differs"):
        score_run(run)

    file.unlink()
    with pytest.raises(RunError, match="no such file"):
        score_run(run)
    assert not (run / "scores.json").exists()


def test_a_run_without_predictions_says_what_to_do(run):
    for damaged in ("{}", "[]", '{"format_version": 1, "decoding": "free", "corpora": {"atis": 1}}'):
        (run / "predictions.json").write_text(damaged)
        with pytest.raises(RunError, match="not a manifest of predictions"):
            score_run(run)
    (run / "predictions.json").unlink()
    with pytest.raises(UserError, match="predict this run again"):
        score_run(run)


@settings(deadline=None)
@given(st.lists(st.tuples(st.text(st.characters(exclude_categories=["Cs"])), st.sampled_from(TAGS), st.floats(0, 1))))
def test_predictions_come_back_from_their_file(tmp_path_factory, words):
    file = tmp_path_factory.getbasetemp() / "predictions.jsonl"
    tokens, tags, confidences = (list(column) for column in zip(*words, strict=True)) if words else ([], [], [])
    written = [PredictedSentence(tokens, tags, tags, None, confidences, "\u2028\n\x85".join(tokens), False, len(tags))] * 2
    write_predictions(file, written)
    assert list(read_predictions(file, PredictedCorpus(sentences=2, sha256=sha256(file)))) == written
