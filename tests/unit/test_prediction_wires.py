"""What predictions are made with: which task's weights, in which precision, at which lengths; against forward passes one by one."""

import json
from pathlib import Path

import pytest
import torch
from tiny_runs import save_wild, write_settings

from hyperloader.corpora.prepared import load_corpus
from hyperloader.formulations import Prediction
from hyperloader.formulations.decoding import GreedyDecoder
from hyperloader.formulations.text_to_text import TextToText
from hyperloader.methods.controls import LEARNED as LEARNED_FILE
from hyperloader.methods.controls import LearnedRecord
from hyperloader.methods.loading import from_pretrained, load_predictor
from hyperloader.models.backbones import open_backbone
from hyperloader.predicting.evaluation import evaluate
from hyperloader.predicting.prediction import predict_run, predicted_sentences
from hyperloader.predicting.tagger import Tagger
from hyperloader.runs.predictions import PredictedSentence, read_predictions
from hyperloader.runs.records import PredictionsManifest, ScoresRecord
from hyperloader.scoring import score_run
from hyperloader.text.sentences import Sentence
from hyperloader.text.sentt import from_sbio
from hyperloader.text.t5_vocabulary import EOS, PAD

# not in the order of their names
TASKS = ("snips", "atis")
LIMIT = 24


@pytest.fixture(scope="module")
def data(place):
    return {name: place / "data" / name for name in TASKS}


@pytest.fixture(scope="module")
def types(data):
    return {name: load_corpus(folder).train_label_types for name, folder in data.items()}


@pytest.fixture(scope="module")
def runs(place, data, types, tmp_path_factory):
    """Runs of methods with random weights, whose outputs differ from task to task and are anything; with the model in memory."""
    known = {}

    def run(method="hyperloader", **training):
        key = (method, *training.items())
        if key not in known:
            folder = tmp_path_factory.mktemp(method)
            write_settings(folder, data, place / "t5", method, training)
            known[key] = folder, save_wild(folder, method, place / "t5", types)
        return known[key]

    return run


@pytest.fixture(scope="module")
def vocabulary(place):
    return open_backbone(place / "t5").vocabulary


def greedy(model, vocabulary, task, words, limit=LIMIT):
    """Token by token, each from a whole forward pass: ids, their probabilities, and the least distance of the second logit."""
    source, ids, probabilities, gaps = torch.tensor([vocabulary.encode(words, 64)]), [PAD], [], []
    while len(ids) <= limit and ids[-1] != EOS:
        with torch.no_grad():
            logits = model(task=task, input_ids=source, decoder_input_ids=torch.tensor([ids])).logits[0, -1]
        first, second = logits.topk(2).values.tolist()
        ids.append(int(logits.argmax()))
        probabilities.append(float(logits.softmax(-1).max()))
        gaps.append(first - second)
    return ids[1:], probabilities, min(gaps)


@pytest.mark.parametrize("method", ["hyperloader", "hyperformer_pp", "hyperdecoder"])
def test_tasks_in_turn_each_have_their_own_forward_pass(runs, data, types, vocabulary, method):
    folder, in_memory = runs(method)
    predictor, compared, outputs = load_predictor(folder), 0, {}
    assert predictor.tasks == TASKS and {name: predictor.slot_types(name) for name in TASKS} == types
    # double precision, so that it is the nearer to the truth
    reference = in_memory.double()
    for turn, task in enumerate((*TASKS, *TASKS)):
        sentences = load_corpus(data[task]).test[6 * turn : 6 * turn + 6]
        for sentence, prediction in zip(sentences, predictor.predict(task, sentences), strict=True):
            ids, probabilities, gap = greedy(reference, vocabulary, task, sentence.words)
            if gap < 0.01:
                # other processors may round it to the other one
                continue
            compared += 1
            labels, malformed = vocabulary.read(ids, len(sentence.words), types[task])
            assert (prediction.output, prediction.malformed) == (vocabulary.text(ids), malformed)
            assert prediction.tags == from_sbio(labels)
            expected = predictor._formulation.read(task, len(sentence.words), ids, probabilities)
            assert prediction.confidences == pytest.approx(expected.confidences, abs=1e-3)
            assert prediction.by_order == expected.by_order
    in_memory.float()
    assert compared > 12
    if method != "hyperdecoder":
        same = load_corpus(data["atis"]).test[:3]
        outputs = [[prediction.output for prediction in predictor.predict(task, same)] for task in (*TASKS, *TASKS)]
        assert outputs[:2] == outputs[2:]


@pytest.mark.parametrize("method", ["hyperloader", "hyperdecoder"])
def test_a_saved_model_is_the_one_in_memory(runs, types, vocabulary, method):
    folder, in_memory = runs(method)
    loaded = from_pretrained(folder / "model")
    assert list(loaded.tasks) == list(TASKS) and not any(module.training for module in loaded.modules())
    source = {"input_ids": torch.tensor([[7, 8, 1]]), "decoder_input_ids": torch.tensor([[PAD, 5, 6]])}
    with torch.no_grad():
        for task in TASKS:
            assert torch.equal(loaded(task=task, **source).logits, in_memory(task=task, **source).logits)


@pytest.fixture
def dtypes():
    """Of the parameters that forward passes use from now on."""
    seen = set()

    def watch(module, _):
        seen.update(parameter.dtype for parameter in module.parameters(recurse=False))

    handle = torch.nn.modules.module.register_module_forward_pre_hook(watch)
    yield seen
    handle.remove()


@pytest.mark.parametrize("trained_in", ["fp32", "bf16"])
def test_predictions_are_in_fp32_whatever_the_training_was_in(runs, data, dtypes, trained_in):
    folder, _ = runs(precision=trained_in)
    sentences = load_corpus(data["atis"]).test[:2]
    for predictor in (load_predictor(folder), load_predictor(folder / "model")):
        predictor.predict("atis", sentences)
    Tagger.from_pretrained(folder).predict("play a song", task="snips")
    predict_run(folder)
    assert dtypes == {torch.float32}
    dtypes.clear()
    load_predictor(folder, precision="bf16").predict("atis", sentences)
    # of frozen ones; trained weights are kept in fp32
    assert dtypes == {torch.bfloat16, torch.float32}


def test_a_predictor_keeps_its_precision_beside_another(runs, data, monkeypatch):
    folder, _ = runs()
    sentences, seen, decode = load_corpus(data["atis"]).test[:2], [], GreedyDecoder.decode

    def watched(*arguments):
        seen.append(torch.backends.cuda.matmul.allow_tf32)
        return decode(*arguments)

    monkeypatch.setattr(GreedyDecoder, "decode", watched)
    predictors = [load_predictor(folder, precision=precision) for precision in ("fp32", "tf32")]
    for predictor in (*predictors, *predictors):
        predictor.predict("atis", sentences)
    assert seen == [False, True, False, True]
    predictors[0].predict("atis", sentences)


def test_outputs_and_inputs_are_as_long_as_the_recipe_says(runs, data, vocabulary):
    sentences = load_corpus(data["atis"]).test[:8]

    def longest(folder):
        outputs = [prediction.output for prediction in load_predictor(folder).predict("atis", sentences)]
        return max(len(output.split()) for output in outputs)

    folder, _ = runs()
    short, _ = runs(target_length=5)
    assert longest(short) <= 5 < longest(folder) <= LIMIT < longest(folder / "model") <= 128
    # a sentence is cut before it is read: what stands after is not seen
    cut, _ = runs(source_length=7)
    whole, predictor = load_predictor(folder), load_predictor(cut)

    def outputs(predictor, sentence):
        start = sentence._replace(words=sentence.words[:3], tags=sentence.tags[:3])
        return {prediction.output for prediction in predictor.predict("atis", [start, sentence])}

    told_apart = [sentence for sentence in load_corpus(data["atis"]).test[:40] if len(outputs(whole, sentence)) == 2]
    assert told_apart and all(len(outputs(predictor, sentence)) == 1 for sentence in told_apart)
    assert predictor.capacity(told_apart[0].words) == 2


def test_decoding_is_the_one_that_was_asked_for(runs, data, types, tmp_path):
    folder, _ = runs()
    sentences = load_corpus(data["atis"]).test
    for task in TASKS:
        constrained = load_predictor(folder, "constrained").predict(task, sentences)
        assert not any(prediction.malformed for prediction in constrained)
        # of this task, and of no other
        assert {tag[2:] for prediction in constrained for tag in prediction.tags} - {""} <= set(types[task])
    free = load_predictor(folder).predict("atis", sentences)
    assert any(prediction.malformed for prediction in free)
    assert (evaluate(folder, "atis").malformed > 0, evaluate(folder, "atis", decoding="constrained").malformed) == (True, 0)
    for decoding, malformed in (("free", True), ("constrained", False)):
        predict_run(folder, decoding)
        manifest = PredictionsManifest.read(folder / "predictions.json")
        assert manifest.decoding == decoding
        for task in TASKS:
            read = list(read_predictions(folder / f"predictions/{task}.jsonl", manifest.corpora[task]))
            assert any(sentence.malformed for sentence in read) == malformed
            # the file of a task is that task's, each field its own
            predictor, corpus = load_predictor(folder, decoding), load_corpus(data[task])
            for line, sentence, own in zip(read, corpus.test, predictor.predict(task, corpus.test), strict=True):
                assert (line.tokens, line.gold, line.output) == (list(sentence.words), list(sentence.tags), own.output)
                assert (line.prediction, line.by_order, line.malformed) == (own.tags, own.by_order, own.malformed)
                assert line.confidences == pytest.approx(own.confidences, abs=1e-3)
                assert line.gold_words == len(sentence.tags)
    score_run(folder)
    scores = ScoresRecord.read(folder / "scores.json")
    assert scores.decoding == "constrained"
    assert all("|decoding:constrained|" in own.headline.signature for own in scores.corpora.values())


def test_predict_hands_on_task_and_decoding(runs, printed):
    folder, _ = runs()
    text, answers = "tekuso dedemu rageli nuto tebufo", {}
    command = ("predict", "--run", folder, "--format", "conll", text)
    for decoding in ("free", "constrained"):
        tagger = Tagger.from_pretrained(folder, decoding)
        for task in TASKS:
            words = tagger.tag(text, task=task)
            answers[task, decoding] = "".join(f"{word['word']}\t{word['entity']}\n" for word in words) + "\n"
            assert printed(*command, "--task", task, "--decoding", decoding) == answers[task, decoding]
    assert len(set(answers.values())) > 2 and printed(*command, "--task", "atis") == answers["atis", "free"]


def test_predict_tests_and_evaluate_hand_on_their_options(runs, data, types, printed, tmp_path):
    folder, _ = runs()
    for options, decoding in (((), "free"), (("--decoding", "constrained"), "constrained")):
        printed("predict-tests", folder, *options)
        assert json.loads((folder / "predictions.json").read_text())["decoding"] == decoding
        lines = (folder / "predictions/atis.jsonl").read_text().splitlines()
        assert any(json.loads(line)["malformed"] for line in lines) == (decoding == "free")
        wanted = {"corpus": "atis", "split": "validation", "task": "snips", "decoding": decoding}
        asked = [part for key in ("corpus", "split", "task") for part in (f"--{key}", wanted[key])]
        report = evaluate(folder, **wanted)
        assert report.sentences == len(load_corpus(data["atis"]).validation) != len(lines)
        said = printed("evaluate", "--run", folder, *asked, *options, "--output", tmp_path / decoding, "--json")
        assert json.loads(said) == report.model_dump()
        written = [json.loads(line) for line in (tmp_path / decoding).read_text().splitlines()]
        assert [tuple(line["tokens"]) for line in written] == [sentence.words for sentence in load_corpus(data["atis"]).validation]
        # the labels of the task, not of the corpus
        assert {tag[2:] for line in written for tag in line["prediction"]} - {""} <= set(types["snips"])


def test_labels_are_read_by_sentinel_and_by_order(types, vocabulary):
    """The second of three labels was left out."""
    (first, second), kept = types["atis"][:2], vocabulary.sentinel
    ids = [kept(0), *vocabulary.label_pieces(first), kept(1), kept(2), *vocabulary.label_pieces(second), kept(3), EOS]
    prediction = TextToText(vocabulary, types).read("atis", 3, ids, [0.5] * len(ids))
    assert (prediction.tags, prediction.malformed) == ([f"B-{first}", "O", f"B-{second}"], True)
    assert prediction.by_order == [f"B-{first}", f"B-{second}", "O"]
    # a label of one token and its sentinel
    assert prediction.confidences == pytest.approx(
        [0.5 ** (1 + len(vocabulary.label_pieces(first))), 0, 0.5 ** (1 + len(vocabulary.label_pieces(second)))]
    )
    # what another task may write is none of this one's
    (other,) = [own for own in types["snips"] if own not in types["atis"]][:1]
    ids = [kept(0), *vocabulary.label_pieces(other), kept(1), EOS]
    assert [TextToText(vocabulary, types).read(task, 1, ids, [0.5] * len(ids)).tags for task in ("atis", "snips")] == [
        ["O"],
        [f"B-{other}"],
    ]


def test_each_field_of_a_prediction_has_its_own_place():
    class Answers:
        def predict(self, task, sentences):
            assert task == "only"
            return [Prediction(["B-a", "O"], "written", True, ["O", "B-b"], [0.123456, 1.0]), Prediction(["O"], "", False)]

        def gold_words(self, tags):
            return len(tags) - 1

    sentences = [Sentence(("x", "y"), ("B-c", "I-c")), Sentence(("z",), ("O",))]
    assert predicted_sentences(Answers(), "only", sentences) == [
        PredictedSentence(["x", "y"], ["B-c", "I-c"], ["B-a", "O"], ["O", "B-b"], [0.1235, 1.0], "written", True, 1),
        PredictedSentence(["z"], ["O"], ["O"], None, None, "", False, 0),
    ]


@pytest.fixture(scope="module")
def gazetteer(tmp_path_factory):
    run = write_settings(tmp_path_factory.mktemp("gazetteer"), {"snips": Path("not needed")}, None, "gazetteer")
    (run / "model").mkdir()
    learned = {"snips": [[["little", "robin"], "track"], [["red"], "artist"]]}
    LearnedRecord(corpora=learned).write(run / "model" / LEARNED_FILE)
    return Tagger.from_pretrained(run)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("little robin little robin", [("track", 0, 12), ("track", 13, 25)]),
        ("robin little robin robin little  little robin", [("track", 6, 18), ("track", 33, 45)]),
        (" red redder red,red red\tred", [("artist", 1, 4), ("artist", 20, 23), ("artist", 24, 27)]),
        (["little", "robin", "red", "little", "robin"], [("track", 0, 12), ("artist", 13, 16), ("track", 17, 29)]),
        ("é🎵 red é red", [("artist", 3, 6), ("artist", 9, 12)]),
    ],
)
def test_repeated_words_have_places_of_their_own(gazetteer, text, expected):
    joined = text if isinstance(text, str) else " ".join(text)
    (spans,), (words,) = gazetteer.predict([text]), gazetteer.tag([text])
    assert [(span["entity_group"], span["start"], span["end"]) for span in spans] == expected
    assert all(joined[one["start"] : one["end"]] == one["word"] for one in (*spans, *words))
    # the words, one after the other, are the text but for its blanks
    assert "".join(word["word"] for word in words) == "".join(joined.split())
    assert [word["start"] for word in words] == sorted({word["start"] for word in words})
    inside = {index for _, start, end in expected for index in range(start, end)}
    assert [word["entity"] != "O" for word in words] == [word["start"] in inside for word in words]
