"""`hyperloader evaluate`: a run scored on tasks, prepared corpora and CoNLL files."""

import json
import logging
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hyperloader.cli.main import main
from hyperloader.config.settings import Recipe, read_yaml
from hyperloader.corpora.prepared import load_corpus
from hyperloader.corpora.readers.columns import read_conll
from hyperloader.errors import CorpusError, RunError
from hyperloader.files import write_json
from hyperloader.methods.training_run import train_run
from hyperloader.predicting.evaluation import as_text, evaluate
from hyperloader.predicting.prediction import predict_run
from hyperloader.runs.predictions import read_predictions
from hyperloader.runs.records import PredictionsManifest, ScoresRecord
from hyperloader.scoring import score_run

TRAINING = read_yaml(Recipe, Path(__file__).parents[2] / "config/recipes/matched.yaml").training
TINY = {"steps": 2, "batch_size": 2, "warmup_steps": 0, "evaluation_batches": 1, "source_length": 64, "target_length": 24}


def made(run, method, data, method_settings=None, backbone=None):
    named = {"scale": "test", "recipe": "test", "percent": 10, "seed": 1, "method": method, "method_settings": method_settings or {}}
    training = TRAINING.model_copy(update=TINY).model_dump()
    write_json(run / "settings.json", named | {"data": data, "backbone": backbone, "training": training})
    train_run(run)
    return run


@pytest.fixture(scope="module")
def data(place):
    return {name: str(place / "data" / name) for name in ("atis", "snips")}


@pytest.fixture(scope="module")
def gazetteer(data, tmp_path_factory):
    """A run that takes no time: the gazetteer of two corpora."""
    return made(tmp_path_factory.mktemp("gazetteer"), "gazetteer", data)


@pytest.fixture(scope="module")
def network(place, data, tmp_path_factory):
    """A network, hardly trained, that knows one task."""
    sizes = dict.fromkeys(("task_dim", "layer_dim", "position_dim", "embedding_dim"), 8)
    sizes |= {"hidden_dim": 16, "lora_rank": 2, "reduction_factor": 4}
    return made(tmp_path_factory.mktemp("network"), "hyperloader", {"snips": data["snips"]}, sizes, str(place / "t5"))


def write_conll(path, sentences, gap="\t"):
    path.write_text("\n".join("".join(f"{pair[0]}{gap}{pair[1]}\n" for pair in zip(*one, strict=True)) for one in sentences), "utf-8")
    return path


def test_a_task_a_folder_and_a_file_of_one_test_set_have_the_scores_of_the_run(gazetteer, data, tmp_path):
    predict_run(gazetteer)
    score_run(gazetteer)
    entry = ScoresRecord.read(gazetteer / "scores.json").corpora["snips"]
    file = write_conll(tmp_path / "test.conll", load_corpus(data["snips"]).test)
    for corpus, split, task in (("snips", None, None), (data["snips"], "test", None), (str(file), None, "snips")):
        report = evaluate(gazetteer, corpus, split, task)
        # of a file nobody knows what was trained on
        known = [score for score in entry.scores if task is None or score.subset == "all"]
        expected = dict(entry) | {"scores": known, "unseen": None if task else entry.unseen}
        assert {key: getattr(report, key) for key in dict(entry)} == expected
        assert (report.corpus, report.task) == (corpus, "snips")
    assert 0 < entry.headline.f1 < 1


def test_another_split_is_another_test_set(gazetteer, data):
    reports = [evaluate(gazetteer, "atis", split) for split in ("train", "validation", "test")]
    corpus = load_corpus(data["atis"])
    assert [report.sentences for report in reports] == [len(corpus.train), len(corpus.validation), len(corpus.test)]
    assert len({report.headline.signature for report in reports}) == 3


def test_predictions_are_kept(gazetteer, data, tmp_path):
    output = tmp_path / "kept" / "snips.jsonl"
    report = evaluate(gazetteer, "snips", output=output)
    predict_run(gazetteer)
    assert output.read_bytes() == (gazetteer / "predictions/snips.jsonl").read_bytes()
    manifest = PredictionsManifest.read(gazetteer / "predictions.json")
    assert len(list(read_predictions(output, manifest.corpora["snips"]))) == report.sentences


def test_a_network_is_scored_in_both_alignments_and_unknown_labels_are_named(network, tmp_path, caplog):
    known = evaluate(network, "snips").headline
    file = write_conll(tmp_path / "a.conll", [(["new", "york", "calls"], ["B-unheard.of", "I-unheard.of", "I-stray"])], " ")
    with caplog.at_level(logging.WARNING, logger="hyperloader"):
        report = evaluate(network, str(file), decoding="constrained")
    assert [message.partition(",")[0] for message in caplog.messages] == [
        "1 gold spans begin with I-",
        "gold spans with labels that the model does not know count as missed",
    ]
    assert caplog.messages[1].endswith("here 2: stray, unheard.of")
    assert report.task == "snips" and report.malformed == 0
    assert [score.alignment for score in report.scores] == ["sentinel"] * 2 + ["order"] * 3
    assert (report.headline.gold_spans, report.headline.correct_spans) == (2, 0)
    assert "|decoding:free|" in known.signature and "|decoding:constrained|" in report.headline.signature


@pytest.mark.parametrize(("method", "unknown"), [("gazetteer", "here 1: unheard.of"), ("all_outside", "here 2: {known}, unheard.of")])
def test_controls_say_which_labels_they_know(data, gazetteer, tmp_path, caplog, method, unknown):
    run = gazetteer if method == "gazetteer" else made(tmp_path / method, method, data)
    known = min(load_corpus(data["snips"], 10).train_label_types)
    file = write_conll(tmp_path / "a.conll", [(["new", "york"], [f"B-{known}", "B-unheard.of"])])
    with caplog.at_level(logging.WARNING, logger="hyperloader"):
        evaluate(run, str(file), task="snips")
    assert [message.partition("count as missed, ")[2] for message in caplog.messages] == [unknown.format(known=known)]


def test_wrong_calls_are_one_line(gazetteer, network, data, tmp_path):
    file = write_conll(tmp_path / "a.conll", [(["a"], ["O"])])
    for call, error, message in (
        ((gazetteer, "snisp"), CorpusError, r"no corpus 'snisp' \(did you mean 'snips'\?\); name a task of the run \(atis, snips\)"),
        ((gazetteer, "snips", "dev"), CorpusError, "unknown split 'dev'; name one of train, validation, test"),
        ((gazetteer, str(tmp_path)), CorpusError, "no corpus"),
        ((gazetteer, str(file), "test"), CorpusError, "a.conll: a CoNLL file has no splits"),
        ((gazetteer, str(file)), RunError, "which task.*atis, snips"),
        ((gazetteer, str(file), None, "snip"), RunError, "unknown task 'snip'.*atis, snips"),
        ((network, data["atis"]), RunError, "unknown task 'atis'"),
    ):
        with pytest.raises(error, match=message):
            evaluate(*call)


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("a\tO\nb\n", "2: 1 columns"),
        ("a O\n\nb B-x more\n", "3: 3 columns"),
        ("a\tO\nb\tB\n", "2: tag 'B'"),
        ("a\tE-x\n", "1: tag 'E-x'"),
        ("a O\nb B-x,B-y\n", "2: 'B-x,B-y' are several tags"),
        ("a O\n-DOCSTART- -X- O O\n", "2: 4 columns"),
        ("-DOCSTART-\n\n", " no sentences"),
        ("a\tO\nb\x00\tO\n", "2: NUL"),
        ("a\tO\nb\u00a0c\tO\n", "2: token"),
        ("\n", " the file is empty"),
    ],
)
def test_damage_in_a_file_is_named_by_line(tmp_path, text, place):
    file = tmp_path / "a.conll"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(CorpusError, match=f"a.conll:{place}"):
        read_conll(file)


CONLL_2003 = "-DOCSTART- -X- -X- O\n\nJohn NNP B-NP I-PER\nleft VBD B-VP O\n\nOslo NNP B-NP B-LOC\n"


def test_word_and_tag_among_other_columns(tmp_path):
    file = tmp_path / "a.conll"
    file.write_text(CONLL_2003)
    assert read_conll(file, "1,4") == [(("John", "left"), ("I-PER", "O")), (("Oslo",), ("B-LOC",))]
    assert read_conll(file, "1,3")[1] == (("Oslo",), ("B-NP",))
    with pytest.raises(CorpusError, match="a.conll:3: 4 columns, expected 2: .*--columns WORD,TAG names them among others"):
        read_conll(file)
    for columns, problem in {"1,5": "a.conll:3: 1 columns", "0,1": "'0,1' names no columns", "x": "'x' names no columns"}.items():
        with pytest.raises(CorpusError, match=problem):
            read_conll(file, columns)


def test_the_command_reads_columns_and_names_tags_in_iob1(gazetteer, monkeypatch, capsys, caplog, tmp_path):
    (tmp_path / "a.conll").write_text(CONLL_2003)
    call = [
        "hyperloader",
        "evaluate",
        "--run",
        str(gazetteer),
        "--corpus",
        str(tmp_path / "a.conll"),
        "--task",
        "snips",
        "--columns",
        "1,4",
    ]
    monkeypatch.setattr(sys, "argv", call)
    with pytest.raises(SystemExit) as ended:
        main()
    assert not ended.value.code and "2 sentences" in capsys.readouterr().out
    assert "1 gold spans begin with I-, as in IOB1" in caplog.text


MARKS = ["-DOCSTART-", "-DOCSTART- O", "-DOCSTART-\tO", "-DOCSTART- -X- O O", " -DOCSTART- -X- -X- O ", "-DOCSTART- _ _ O"]


@pytest.mark.parametrize("mark", MARKS)
def test_marks_of_documents_are_no_sentences(tmp_path, mark):
    file = tmp_path / "a.conll"
    file.write_text(f"{mark}\n\na O\n\n{mark}\n\n{mark}\nb\tB-x\nc\tO\n\n{mark}\n", encoding="utf-8")
    assert read_conll(file) == [(("a",), ("O",)), (("b", "c"), ("B-x", "O"))]


def test_a_word_that_looks_like_such_a_mark(tmp_path):
    sentences = [(("a", "-DOCSTART-"), ("O", "O")), (("-DOCSTART-", "a"), ("B-x", "I-x"))]
    assert read_conll(write_conll(tmp_path / "a.conll", sentences)) == sentences


WORDS = st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=5)
SENTENCES = st.lists(st.lists(st.tuples(WORDS, st.sampled_from(["O", "B-x", "I-x", "B-y.z-w"])), min_size=1), min_size=1)


@settings(deadline=None)
@given(SENTENCES, st.sampled_from(["\t", " ", " \t "]), st.sampled_from(["\n", "\n\n", "\r\n", " \n"]))
def test_what_is_written_in_columns_is_read(tmp_path_factory, sentences, gap, blank):
    file = tmp_path_factory.getbasetemp() / "columns.conll"
    file.write_text(blank.join("".join(f"{word}{gap}{tag}\n" for word, tag in one) for one in sentences), "utf-8", newline="")
    assert [list(zip(*one, strict=True)) for one in read_conll(file)] == sentences


def test_the_command_prints_a_table_with_a_signature_or_json(gazetteer, monkeypatch, capsys):
    def printed(*options):
        monkeypatch.setattr(sys, "argv", ["hyperloader", "evaluate", "--run", str(gazetteer), "--corpus", "snips", *options])
        with pytest.raises(SystemExit) as ended:
            main()
        assert ended.value.code == 0
        return capsys.readouterr().out

    report = evaluate(gazetteer, "snips")
    assert json.loads(printed("--json")) == report.model_dump()
    text = printed()
    assert text == as_text(report)
    assert report.headline.signature in text and f"{report.headline.f1:.4f}" in text
