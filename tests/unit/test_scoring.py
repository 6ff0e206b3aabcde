"""Span metrics against an independent count, and what `score` says of damaged predictions."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from seqeval.metrics import f1_score

from hyperloader.errors import RunError, UserError
from hyperloader.files import sha256
from hyperloader.scoring import Score, score_run, score_tags
from hyperloader.settings import RunSettings, Training

TAGS = ["O", "B-x", "I-x", "B-y.z", "I-y.z", "B-a-b", "I-a-b"]
sentences = st.lists(st.lists(st.tuples(st.sampled_from(TAGS), st.sampled_from(TAGS)), min_size=1, max_size=8), min_size=1, max_size=5)


def spans(tags):
    """The CoNLL reading: `B-` opens a span, and so does an `I-` after another type."""
    found, previous = [], ""
    for index, tag in enumerate(tags):
        kind = tag[2:]
        if tag.startswith("B-") or (kind and kind != previous):
            found.append([kind, index, index])
        elif kind:
            found[-1][2] = index
        previous = kind
    return {tuple(span) for span in found}


@given(sentences)
def test_scores_equal_an_independent_count_and_seqeval(pairs):
    gold = [[tag for tag, _ in sentence] for sentence in pairs]
    prediction = [[tag for _, tag in sentence] for sentence in pairs]
    counts = [(len(spans(g)), len(spans(p)), len(spans(g) & spans(p))) for g, p in zip(gold, prediction, strict=True)]
    in_gold, predicted, correct = map(sum, zip(*counts, strict=True))
    score = score_tags(gold, prediction)
    assert (score.gold_spans, score.predicted_spans, score.correct_spans) == (in_gold, predicted, correct)
    assert score.precision == pytest.approx(correct / predicted if predicted else 0)
    assert score.recall == pytest.approx(correct / in_gold if in_gold else 0)
    assert score.f1 == pytest.approx(2 * correct / (in_gold + predicted) if in_gold + predicted else 0)
    assert score.f1 == pytest.approx(f1_score(gold, prediction, zero_division=0))


def test_nothing_but_outside_scores_zero():
    assert score_tags([["B-x", "O"]], [["O", "O"]]) == Score(0.0, 0.0, 0.0, 1, 0, 0, 1)


def test_unequal_lengths_are_refused():
    with pytest.raises(ValueError, match="differ"):
        score_tags([["O", "O"]], [["O"]])


@pytest.fixture
def run(tmp_path):
    training = Training(
        steps=1, batch_size=1, learning_rate=1, schedule="constant", warmup_steps=0, weight_decay=0, label_smoothing=0,
        loss_reduction="mean", max_grad_norm=None, temperature=1, evaluate_every=1, evaluation_batches=None, selection="last",
        source_length=9, target_length=9,
    )  # fmt: skip
    settings = RunSettings(
        scale="demo", recipe="paper", method="hyperloader", method_settings={}, data={"atis": "data/atis"}, percent=10, seed=42,
        backbone="backbones/t5", training=training,
    )  # fmt: skip
    (tmp_path / "settings.json").write_text(settings.model_dump_json())
    lines = [
        {"tokens": ["to", "new", "york"], "gold": ["O", "B-city", "I-city"], "prediction": ["O", "B-city", "I-city"]},
        {"tokens": ["from\u2028", "rome"], "gold": ["O", "B-city"], "prediction": ["B-city", "O"]},
    ]
    write(tmp_path, [line | {"output": "", "malformed": index == 1} for index, line in enumerate(lines)])
    return tmp_path


def write(run, lines, **changes):
    file = run / "predictions" / "atis.jsonl"
    file.parent.mkdir(exist_ok=True)
    file.write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines), encoding="utf-8")
    entry = {"file": "predictions/atis.jsonl", "sentences": len(lines), "sha256": sha256(file), "seconds": 1.0} | changes
    (run / "predictions.json").write_text(json.dumps({"decoding": "free", "corpora": {"atis": entry}}))


def read(run):
    return [json.loads(line) for line in (run / "predictions/atis.jsonl").read_text(encoding="utf-8").removesuffix("\n").split("\n")]


def test_a_run_is_scored_with_equal_bytes_each_time(run):
    score_run(run)
    first = (run / "scores.json").read_bytes()
    scores = json.loads(first)
    assert {key: scores[key] for key in ("scale", "recipe", "method", "percent", "seed", "decoding", "alignment")} == {
        "scale": "demo", "recipe": "paper", "method": "hyperloader", "percent": 10, "seed": 42, "decoding": "free", "alignment": "sentinel",
    }  # fmt: skip
    assert scores["corpora"]["atis"] == {
        "precision": 0.5, "recall": 0.5, "f1": 0.5,
        "gold_spans": 2, "predicted_spans": 2, "correct_spans": 1, "sentences": 2, "malformed": 0.5,
    }  # fmt: skip
    score_run(run)
    assert (run / "scores.json").read_bytes() == first


def test_damaged_predictions_are_named_by_file_and_line(run):
    lines = read(run)
    file = run / "predictions/atis.jsonl"

    write(run, [lines[0], lines[1] | {"prediction": ["O"]}])
    with pytest.raises(RunError, match=r"atis\.jsonl:2: unequal lengths: 2 tokens, 2 gold tags and 1 predicted"):
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
    (run / "predictions.json").write_text("{}")
    with pytest.raises(RunError, match="not a manifest of predictions"):
        score_run(run)
    (run / "predictions.json").unlink()
    with pytest.raises(UserError, match="predict this run again"):
        score_run(run)
