"""Text in, spans out: the `Tagger`, and `hyperloader predict` from arguments, files and pipes."""

import io
import json
import os
import pty
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy
import pandas
import pyarrow
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hyperloader.cli.main import main
from hyperloader.config.settings import Recipe, read_yaml
from hyperloader.errors import FormatError, RunError, SettingsError, UserError
from hyperloader.files import write_json
from hyperloader.formulations import Prediction
from hyperloader.methods.controls import LEARNED as LEARNED_FILE
from hyperloader.methods.controls import LearnedRecord
from hyperloader.methods.training_run import train_run
from hyperloader.predicting.tagger import Tagger

LEARNED = {"snips": [[["little", "robin"], "track"], [["Ünïcode"], "artist"]], "atis": [[["denver"], "city"]]}
TRAINING = read_yaml(Recipe, Path(__file__).parents[2] / "config/recipes/matched.yaml").training
TINY = {"steps": 2, "batch_size": 2, "warmup_steps": 0, "evaluation_batches": 1, "source_length": 64, "target_length": 24}
TEXTS = st.text(st.characters(exclude_categories=["Cs"]))


class Capitals:
    """A predictor whose spans are the runs of words in capitals, of at most four words at a time."""

    tasks = ("only",)

    def __init__(self):
        self.seen = []

    def predict(self, task, sentences):
        self.seen += [sentence.words for sentence in sentences]
        return [self._tagged(sentence.words) for sentence in sentences]

    def capacity(self, words):
        return min(4, len(words))

    @staticmethod
    def _tagged(words):
        before = (None, *words)
        tags = [
            "O" if not word.isupper() else "I-x" if last and last.isupper() else "B-x" for last, word in zip(before, words, strict=False)
        ]
        return Prediction(tags, "", False, confidences=[1 / len(word) for word in words])


def write_settings(run, method, method_settings, data, backbone=None):
    training = TRAINING.model_copy(update=TINY).model_dump()
    named = {"method": method, "method_settings": method_settings, "data": data, "backbone": backbone, "training": training}
    write_json(run / "settings.json", {"scale": "test", "recipe": "test", "percent": 10, "seed": 1} | named)


@pytest.fixture(scope="module")
def gazetteer(tmp_path_factory):
    """A run that needs no training: the gazetteer, with a list of its own."""
    run = tmp_path_factory.mktemp("runs") / "gazetteer"
    write_settings(run, "gazetteer", {}, {name: "not needed" for name in LEARNED})
    (run / "model").mkdir()
    LearnedRecord(corpora=LEARNED).write(run / "model" / LEARNED_FILE)
    return run


@pytest.fixture(scope="module")
def network(place):
    """A hardly trained HyperLoader."""
    run, data = place / "for-tagging", {name: str(place / "data" / name) for name in ("atis", "snips")}
    write_settings(run, "hyperloader", {"reduction_factor": 4, "lora_rank": 2, "task_dim": 8}, data, str(place / "t5"))
    train_run(run)
    return run


@pytest.fixture(scope="module")
def network_tagger(network):
    return Tagger.from_pretrained(network)


def check(text, spans):
    """Spans are those of the text, in order, and apart."""
    end = 0
    for span in spans:
        assert text[span["start"] : span["end"]] == span["word"] != ""
        assert end <= span["start"]
        end = span["end"]


@given(st.lists(TEXTS, max_size=5))
def test_spans_are_characters_of_any_text(texts):
    tagger = Tagger(Capitals())
    for text, spans, words in zip(texts, tagger.predict(texts), tagger.tag(texts), strict=True):
        check(text, spans)
        check(text, words)
        assert [word["word"] for word in words] == text.split()
        assert all(0 < span["score"] <= 1 for span in spans)


@settings(max_examples=50, deadline=None)
@given(text=TEXTS)
def test_a_network_reads_any_text(network_tagger, text):
    check(text, network_tagger.predict(text, task="snips"))
    assert [word["word"] for word in network_tagger.tag(text, task="atis")] == text.split()


ODD = [
    "",
    " \t\n\u2003",
    "play \U0001f3b5 \0 a\0b \u200b",
    "\u05e9\u05dc\u05d5\u05dd e\u0301 \u202e",
    "<extra_id_3> </s> <pad> play",
    "x" * 5000,
    "w " * 1000,
]


@pytest.mark.parametrize("text", ODD)
def test_odd_texts(network_tagger, text):
    check(text, network_tagger.predict(text, task="snips"))
    words = network_tagger.tag(text, task="snips")
    assert [word["word"] for word in words] == text.split()


def test_constrained_decoding_knows_nothing_but_slot_types(network, place):
    known = json.loads((place / "data" / "snips" / "manifest.json").read_text())["tags"]
    tagger = Tagger.from_pretrained(network, decoding="constrained")
    assert all(word["entity"] in known and word["score"] > 0 for word in tagger.tag("play a song " * 20, task="snips"))


def test_sentinels_in_a_text_are_ordinary_words(network_tagger):
    words = network_tagger.tag([["play", "<extra_id_0>", "song"], ["play", "song"]], task="snips")
    assert [[word["word"] for word in sentence] for sentence in words] == [["play", "<extra_id_0>", "song"], ["play", "song"]]


def test_one_string_a_list_and_words(gazetteer):
    tagger = Tagger.from_pretrained(gazetteer)
    span = {"entity_group": "track", "score": None, "word": "little robin", "start": 5, "end": 17}
    assert tagger.predict("play little robin", task="snips") == [span]
    assert tagger.predict(["play little robin", ""], task="snips") == [[span], []]
    assert tagger.predict([["play", "little", "robin"], ("x",), []], task="snips") == [[span], [], []]
    assert tagger.predict([], task="snips") == []
    tags = [word["entity"] for word in tagger.tag("play little robin", task="snips")]
    assert tags == ["O", "B-track", "I-track"]


def test_the_score_is_the_mean_of_the_words():
    (span,) = Tagger(Capitals()).predict("a AB ABCD b")
    assert (span["word"], span["score"]) == ("AB ABCD", (1 / 2 + 1 / 4) / 2)


def test_long_texts_are_parted_at_ends_of_sentences():
    predictor = Capitals()
    text = "a b. c d e f g h! I? j K. l"
    spans = Tagger(predictor).predict(text)
    assert predictor.seen == [("a", "b."), ("c", "d", "e", "f"), ("g", "h!", "I?"), ("j", "K.", "l")]
    assert [(span["word"], span["start"]) for span in spans] == [("I?", 18), ("K.", 23)]


@given(st.lists(st.sampled_from(["a", "B", "c.", "D!", "\u0301"]), max_size=300))
def test_no_word_is_lost(words):
    predictor = Capitals()
    assert [word["word"] for word in Tagger(predictor).tag([words])[0]] == words
    assert [word for part in predictor.seen for word in part] == words
    assert all(len(part) <= 4 for part in predictor.seen)


def test_a_long_text_is_tagged_as_its_parts(network_tagger):
    # of 24 tokens of output, a word takes three: parts have at most 7 words
    first, second = "a b c d e f.", "g h i j k l m"
    both = network_tagger.tag(f"{first} {second}", task="snips")
    apart = [word for words in network_tagger.tag([first, second], task="snips") for word in words]
    assert [(word["word"], word["entity"]) for word in both] == [(word["word"], word["entity"]) for word in apart]


def test_what_fits_into_a_bert_is_what_it_tags(tmp_path):
    from hyperloader.formulations.token_classification import TokenClassification
    from hyperloader.text.bert_vocabulary import WordPieces, write_word_vocabulary

    write_word_vocabulary(["a", "b"], tmp_path / "vocab.txt")
    formulation = TokenClassification(WordPieces(tmp_path / "vocab.txt"), {"only": ("x",)})
    lengths = TRAINING.model_copy(update={"source_length": 6})
    # four pieces and two special ones
    assert formulation.capacity(["a"] * 4, lengths) == 4
    assert formulation.capacity(["a"] * 9, lengths) == 4
    assert formulation.capacity(["a", "a-b", "a"], lengths) == 2
    assert formulation.capacity(["a-b-a"], lengths) == 0


def test_wrong_calls(gazetteer, tmp_path):
    tagger = Tagger.from_pretrained(gazetteer)
    with pytest.raises(RunError, match="unknown task 'snip'; did you mean 'snips'. known tasks: snips, atis"):
        tagger.predict(["a"], task="snip")
    with pytest.raises(RunError, match="which task.*snips, atis"):
        tagger.predict(["a"])
    for word in ("", "two words", " a"):
        with pytest.raises(FormatError, match="is not one word"):
            tagger.predict([["a", word]], task="snips")
    with pytest.raises(FormatError, match="not valid Unicode"):
        tagger.predict("a \ud800", task="snips")
    for name in (3, None, ["snips"], float("nan")):
        with pytest.raises(RunError, match="task.*known tasks: snips, atis"):
            tagger.predict(["a"], task=name)
    for decoding in ("constraint", "Free", "", None):
        with pytest.raises(SettingsError, match=f"unknown decoding {decoding!r}; name one of free, constrained"):
            Tagger.from_pretrained(gazetteer, decoding)
    with pytest.raises(UserError, match="nowhere: no such folder"):
        Tagger.from_pretrained(tmp_path / "nowhere")
    with pytest.raises(UserError, match="config.json: no such file; name a run"):
        Tagger.from_pretrained(tmp_path)


@pytest.mark.parametrize("call", ["predict", "tag"])
@pytest.mark.parametrize(
    ("texts", "problem"),
    [
        (None, "expected a text or a list of texts, got NoneType"),
        (3.5, "expected a text or a list of texts, got float"),
        (b"little robin", "expected a text or a list of texts, got bytes"),
        ({"text": "little robin"}, "expected a text or a list of texts, got dict"),
        ({"little robin"}, "expected a text or a list of texts, got set"),
        (["a", None], "expected a string or a list of words, got NoneType"),
        (["a", float("nan")], "expected a string or a list of words, got float"),
        (["a", b"b"], "expected a string or a list of words, got bytes"),
        ([{"text": "a"}], "expected a string or a list of words, got dict"),
        ([["little", None]], "word 2 of a text: expected a string, got NoneType"),
        ([["little", float("nan")]], "word 2 of a text: expected a string, got float"),
        ([["little", 7]], "word 2 of a text: expected a string, got int"),
        ([[b"little"]], "word 1 of a text: expected a string, got bytes"),
        ([[["little", "robin"]]], "word 1 of a text: expected a string, got list"),
        (pandas.Series(["little robin", numpy.nan]), "expected a string or a list of words, got float"),
        (numpy.array([1, 2]), "expected a string or a list of words, got int64"),
        (numpy.array("little"), "expected a text or a list of texts, got ndarray"),
        (pandas.DataFrame({"text": ["little robin"]}), "expected a text or a list of texts, got DataFrame"),
        ([pandas.DataFrame({"little": ["robin"]})], "expected a string or a list of words, got DataFrame"),
        (pyarrow.table({"text": ["little robin"]}), "expected a text or a list of texts, got Table"),
    ],
)
def test_what_is_no_text_is_one_line(gazetteer, call, texts, problem):
    with pytest.raises(FormatError) as caught:
        getattr(Tagger.from_pretrained(gazetteer), call)(texts, task="snips")
    assert problem in str(caught.value) and len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("texts", [None, "little robin", b"little", {"little": 1}, {"little"}, 5, pandas.DataFrame({"text": ["little"]})])
def test_a_stream_takes_what_predict_takes(gazetteer, texts):
    with pytest.raises(FormatError, match="expected an iterable of texts, got") as caught:
        next(Tagger.from_pretrained(gazetteer).stream(texts, task="snips"))
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("size", [0, -1])
def test_a_stream_in_batches_of_nothing(gazetteer, size):
    with pytest.raises(SettingsError, match=f"a batch_size of {size} is not possible"):
        next(Tagger.from_pretrained(gazetteer).stream(["a"], task="snips", batch_size=size))


def test_what_is_printed_beside_a_streams_progress_goes_where_it_was_sent(gazetteer, tmp_path):
    code = "import sys; from hyperloader.predicting.tagger import Tagger; tagger = Tagger.from_pretrained(sys.argv[1])\n"
    code += "for spans in tagger.stream(['little robin'] * 100, 'snips', progress=True): print(spans[0]['word'])"
    reader, terminal = pty.openpty()
    with open(tmp_path / "spans.txt", "wb") as output:
        environment = os.environ | {"TERM": "xterm"}
        subprocess.run([sys.executable, "-c", code, str(gazetteer)], stdout=output, stderr=terminal, env=environment, check=True)
    assert (tmp_path / "spans.txt").read_text() == "little robin\n" * 100
    assert b"100 texts" in os.read(reader, 100_000)
    os.close(reader)
    os.close(terminal)


def test_whatever_is_like_a_list_is_one(gazetteer):
    tagger = Tagger.from_pretrained(gazetteer)
    texts, words = ["little robin", "a Ünïcode"], [["little", "robin"], ["a", "Ünïcode"]]
    expected = tagger.predict(texts, task="snips")
    assert [span["entity_group"] for spans in expected for span in spans] == ["track", "artist"]
    for like in (tuple, iter, numpy.array, pandas.Series, lambda own: dict.fromkeys(own).keys()):
        assert tagger.predict(like(texts), task="snips") == expected
    for like in (tuple, iter, numpy.array, lambda own: pandas.Series(own, index=[5, 3])):
        assert tagger.predict([like(own) for own in words], task="snips") == expected
    assert tagger.predict(numpy.array(words), task="snips") == expected
    (found,) = tagger.predict(numpy.str_("little robin"), task="snips")
    assert json.dumps(found) == json.dumps(expected[0][0])


def test_a_saved_model_without_its_run(network, network_tagger, tmp_path):
    saved = tmp_path / "saved"
    shutil.copytree(network / "model", saved)
    assert Tagger.from_pretrained(saved).tag("play a song", task="snips") == network_tagger.tag("play a song", task="snips")


def test_a_model_that_knows_no_slot_types():
    class Nothing(Capitals):
        tasks = ()

    with pytest.raises(RunError, match="--labels"):
        Tagger(Nothing()).predict("a", task="any")


def test_a_backbone_named_relative_to_where_the_workflow_ran(place, network, monkeypatch, tmp_path):
    run = place / "elsewhere" / "run"
    shutil.copytree(network, run)
    config = run / "model" / "config.json"
    write_json(config, json.loads(config.read_text()) | {"backbone": "t5"})
    monkeypatch.chdir(tmp_path)
    assert Tagger.from_pretrained(run).tasks == ("atis", "snips")


@pytest.fixture
def call(gazetteer, monkeypatch, capsys, tmp_path):
    """Call `hyperloader predict` on the gazetteer; what it wrote and its exit status."""

    def call(*arguments, stdin=b"", task="snips", run=gazetteer):
        (tmp_path / "stdin").write_bytes(stdin)
        tasks = ["--task", task] if task else []
        monkeypatch.setattr(sys, "argv", ["hyperloader", "predict", "--run", str(run), *tasks, *map(str, arguments)])
        with open(tmp_path / "stdin", encoding="utf-8") as opened, pytest.raises(SystemExit) as ended:
            monkeypatch.setattr(sys, "stdin", opened)
            main()
        return *capsys.readouterr(), ended.value.code or 0

    return call


SENTENCES = "play little robin by Ünïcode\n\n  little\trobin \r\nno newline"
SPANS = ["little robin [track 5:17]\tÜnïcode [artist 21:28]", "(no span)", "little robin [track 2:14]", "(no span)"]


def test_arguments_file_and_pipe_give_the_same(call, tmp_path):
    (tmp_path / "sentences.txt").write_text(SENTENCES, encoding="utf-8", newline="")
    for answer in (
        call(*SENTENCES.split("\n")),
        call("--file", tmp_path / "sentences.txt"),
        call(stdin=SENTENCES.encode()),
        call("--file", "-", stdin=b"\xef\xbb\xbf" + SENTENCES.encode()),
    ):
        assert answer == ("\n".join(SPANS) + "\n", "", 0)
    assert call() == ("", "", 0)


def test_json_lines(call, tmp_path):
    lines = [{"text": "a little robin"}, {"tokens": ["little", "robin"], "gold": ["O", "O"]}, {"text": ""}]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    output, problem, status = call("--file", tmp_path / "a.jsonl", "--format", "jsonl")
    track = {"entity_group": "track", "score": None, "word": "little robin"}
    assert [json.loads(line) for line in output.splitlines()] == [
        {"text": "a little robin", "task": "snips", "spans": [track | {"start": 2, "end": 14}]},
        {"text": "little robin", "task": "snips", "spans": [track | {"start": 0, "end": 12}]},
        {"text": "", "task": "snips", "spans": []},
    ]
    assert (problem, status) == ("", 0)


@pytest.mark.parametrize("named", [True, False])
def test_nothing_to_tag_is_no_error_and_is_said(call, tmp_path, named, caplog):
    (tmp_path / "empty.txt").write_bytes(b"")
    assert call(*(("--file", tmp_path / "empty.txt") if named else ())) == ("", "", 0)
    assert [record.message for record in caplog.records] == [f"{tmp_path / 'empty.txt' if named else 'standard input'}: no sentences"]


def test_conll(call):
    output, _, _ = call("--format", "conll", stdin=b"a little robin\n\nx\n")
    assert output == "a\tO\nlittle\tB-track\nrobin\tI-track\n\n\nx\tO\n\n"


def test_scores_are_printed():
    from hyperloader.predicting.streams import Format, _printed

    spans = Tagger(Capitals()).predict("a ABC")
    assert _printed("a ABC", "only", spans, Format.text) == "ABC [x 2:5 0.33]"
    assert json.loads(_printed("a ABC", "only", spans, Format.jsonl))["spans"][0]["score"] == 0.3333


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("binary", b"fine\n\x7fELF\0\n", "binary:2: NUL character"),
        ("endless", b"\0" * 200_000, "endless:1: NUL character"),
        ("latin.txt", b"caf\xe9\n", "latin.txt:1: not valid UTF-8"),
        ("a.jsonl", b'{"text": "a"}\n{"text"}\n', "a.jsonl:2: not valid JSON"),
        ("b.jsonl", b'{"text": 3}\n', "b.jsonl:1: expected an object"),
        ("c.jsonl", b'{"tokens": ["a", 3]}\n', "c.jsonl:1: expected an object"),
        ("d.jsonl", b'{"tokens": ["a b"]}\n', "d.jsonl:1: 'a b' is not one word"),
        ("e.jsonl", b'{"text": "\\ud800"}\n', "e.jsonl:1: a text is not valid Unicode"),
        ("f.jsonl", b"[" * 100_000, "f.jsonl:1: not valid JSON"),
    ],
)
def test_wrong_files(call, tmp_path, name, content, problem):
    (tmp_path / name).write_bytes(content)
    output, shown, status = call("--file", tmp_path / name)
    assert status == 2 and shown.startswith(f"hyperloader: {tmp_path}/{problem}") and len(shown.splitlines()) == 1
    # what stands before the wrong line is answered
    assert len(output.splitlines()) == (1 if ":2:" in problem else 0)


def test_other_mistakes(call, tmp_path):
    for arguments, problem in (
        (dict(task="snip"), "unknown task 'snip'; did you mean 'snips'?"),
        (dict(task=None), "which task?"),
        (dict(run=tmp_path / "nowhere"), "no such folder"),
    ):
        output, shown, status = call("a", **arguments)
        assert (output, status) == ("", 2) and problem in shown and len(shown.splitlines()) == 1
    for arguments, problem in ((["--file", tmp_path], "cannot be read"), (["a", "--file", "b"], "give one of them")):
        assert problem in call(*arguments)[1]


def test_a_pipe_is_answered_as_it_comes(gazetteer):
    command = [sys.executable, "-m", "hyperloader", "predict", "--run", str(gazetteer), "--task", "snips"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        for _ in range(2):
            process.stdin.write(b"little robin\n")
            process.stdin.flush()
            assert process.stdout.readline() == b"little robin [track 0:12]\n"
        # whoever reads has enough: no complaint
        process.stdout.close()
        try:
            while process.poll() is None:
                process.stdin.write(b"little robin\n" * 1000)
                time.sleep(0.01)
        except BrokenPipeError:
            pass
        assert process.stderr.read() == b""
        process.stdin = None


def test_the_bar_of_a_terminal_leaves_the_output_alone(gazetteer, tmp_path):
    (tmp_path / "sentences.txt").write_text("little robin\n" * 100)
    command = [sys.executable, "-m", "hyperloader", "predict", "--run", str(gazetteer), "--task", "snips"]
    reader, terminal = pty.openpty()
    with open(tmp_path / "spans.txt", "wb") as output:
        command += ["--file", str(tmp_path / "sentences.txt")]
        subprocess.run(command, stdout=output, stderr=terminal, env=os.environ | {"TERM": "xterm"}, check=True)
    assert (tmp_path / "spans.txt").read_text() == "little robin [track 0:12]\n" * 100
    assert b"100%" in os.read(reader, 100_000)
    os.close(reader)
    os.close(terminal)


def test_batches_end_where_a_read_would_wait():
    from hyperloader.predicting.streams import read_sentences

    class Slow(io.BytesIO):
        def read1(self, size=-1):
            return self.readline() or super().read1(size)

    assert list(read_sentences(Slow(b"a\nb\nc"), "-")) == [["a"], ["b"], ["c"]]
    assert [len(batch) for batch in read_sentences(io.BytesIO(b"a\n" * 150), "-")] == [64, 64, 22]


def test_scores_by_the_names_of_the_pipeline():
    tagger, text = Tagger(Capitals()), "a AB ABCD b"
    scores = {name: tagger.predict(text, aggregation_strategy=name)[0]["score"] for name in ("simple", "average", "first", "max")}
    assert scores == {"simple": 3 / 8, "average": 3 / 8, "first": 1 / 2, "max": 1 / 2}
    assert tagger.predict(text, aggregation_strategy="none") == tagger.tag(text)
    with pytest.raises(SettingsError, match="unknown aggregation_strategy 'mean'; name one of none, simple, first, average, max"):
        tagger.predict(text, aggregation_strategy="mean")


def test_a_stream_is_read_a_batch_ahead():
    read = []

    def texts():
        for number in range(10**9):
            read.append(number)
            yield f"a B{number}"

    stream = Tagger(Capitals()).stream(texts(), batch_size=4, progress=True)
    assert [span["word"] for _ in range(5) for span in next(stream)] == ["B0", "B1", "B2", "B3", "B4"]
    assert len(read) == 8
    broken = Tagger(Capitals()).stream(["a", None], batch_size=1)
    assert next(broken) == []
    with pytest.raises(FormatError, match="got NoneType"):
        next(broken)
