"""The controls between which trained methods should lie, through the same stages as those."""

import json
import shutil
from pathlib import Path

import pytest

from hyperloader.config.settings import Recipe, read_yaml
from hyperloader.corpora.generated.generate import generate
from hyperloader.corpora.prepare import prepare
from hyperloader.corpora.prepared import PreparedCorpus
from hyperloader.corpora.registry import known_corpora
from hyperloader.errors import RunError
from hyperloader.files import sha256
from hyperloader.methods.registry import get_method
from hyperloader.methods.training_run import train_run
from hyperloader.models.backbones import BackboneManifest, T5Backbone
from hyperloader.predicting.prediction import predict_run
from hyperloader.predicting.tagger import Tagger
from hyperloader.runs.records import ScoresRecord
from hyperloader.scoring import score_run, score_tags
from hyperloader.text.sentences import Sentence
from hyperloader.training.backbones.making import t5_pieces
from hyperloader.training.backbones.vocabularies import write_word_vocabulary

PIECES = T5Backbone.VOCABULARY
RECIPE = read_yaml(Recipe, Path(__file__).parents[2] / "config/recipes/matched.yaml")


def scores(folder, method, data, backbone=None, percent=100):
    folder.mkdir(parents=True)
    settings = {
        "scale": "test",
        "recipe": "test",
        "method": method,
        "method_settings": {},
        "data": {name: str(path) for name, path in data.items()},
        "percent": percent,
        "seed": 1,
        "backbone": None if backbone is None else str(backbone),
        "training": RECIPE.training.model_dump(),
    }
    (folder / "settings.json").write_text(json.dumps(settings))
    train_run(folder)
    predict_run(folder)
    score_run(folder)
    return {name: entry.headline.f1 for name, entry in ScoresRecord.read(folder / "scores.json").corpora.items()}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """All generated corpora, prepared."""
    folder = tmp_path_factory.mktemp("data")
    for name in known_corpora():
        generate(name, folder / "raw")
        prepare(name, folder / "raw", folder / name)
    return {name: folder / name for name in known_corpora()}


def vocabulary_of(folder, pieces):
    """A backbone folder that holds nothing but a vocabulary."""
    checksums = {T5Backbone.VOCABULARY: sha256(pieces / PIECES)}
    BackboneManifest(kind="t5", source="directory", path=str(pieces), sha256=checksums).write(folder / "manifest.json")
    return folder


def test_the_gold_comes_back_whole(data, tmp_path):
    tags = {name: json.loads((path / "manifest.json").read_text())["tags"] for name, path in data.items()}
    pieces = tmp_path / "pieces"
    pieces.mkdir()
    write_word_vocabulary(["O", "I", *sorted({tag[2:] for own in tags.values() for tag in own if tag != "O"})], pieces / PIECES)
    result = scores(tmp_path / "run", "gold_oracle", data, vocabulary_of(tmp_path / "t5", pieces))
    assert result == dict.fromkeys(known_corpora(), 1.0)


def test_the_gold_of_the_real_corpora_comes_back_whole(mirror, real_corpora, tmp_path):
    data = {name: real_corpora / name for name in known_corpora()}
    result = scores(tmp_path / "run", "gold_oracle", data, vocabulary_of(tmp_path / "t5", t5_pieces(str(mirror)).parent))
    assert result == dict.fromkeys(known_corpora(), 1.0)
    # what comes back of an `I-x` that continues nothing is the same span by another tag
    changed = [
        line
        for name in known_corpora()
        for line in map(json.loads, (tmp_path / "run" / "predictions" / f"{name}.jsonl").read_text("utf-8").splitlines())
        if line["gold"] != line["prediction"]
    ]
    assert len(changed) == 2
    for line in changed:
        differing = [(gold, own) for gold, own in zip(line["gold"], line["prediction"], strict=True) if gold != own]
        assert all(gold[0] == "I" and own == f"B{gold[1:]}" for gold, own in differing)
        assert score_tags([line["gold"]], [line["prediction"]]).f1 == 1.0


def test_all_outside_scores_nothing_and_memory_something(data, tmp_path):
    assert scores(tmp_path / "outside", "all_outside", data) == dict.fromkeys(known_corpora(), 0.0)
    little, all_of_it = (scores(tmp_path / f"{percent}", "gazetteer", data, percent=percent) for percent in (10, 100))
    assert all(0 < little[name] <= all_of_it[name] <= 1 for name in known_corpora())
    assert sum(little.values()) < sum(all_of_it.values())


def test_the_gazetteer_takes_the_longest_phrase_and_its_most_frequent_type(tmp_path):
    train = [
        Sentence(("fly", "to", "new", "york"), ("O", "O", "B-city", "I-city")),
        Sentence(("new", "york", "times"), ("B-paper", "I-paper", "I-paper")),
        Sentence(("new", "york"), ("B-state", "I-state")),
        Sentence(("new", "york"), ("B-city", "I-city")),
        Sentence(("times",), ("B-b",)),
        Sentence(("times",), ("B-a",)),
        Sentence(("lost",), ("I-orphan",)),
    ]
    gazetteer = get_method("gazetteer")
    corpus = PreparedCorpus("atis", "ATIS", (), train, [], [], (), "", 100, Path())
    gazetteer.save(tmp_path / "model", [corpus])
    tag = gazetteer.tagger(gazetteer.load(tmp_path / "model")["atis"], None)

    def tags(text):
        return tag(Sentence(tuple(text.split()), ())).tags

    assert tags("the new york times") == ["O", "B-paper", "I-paper", "I-paper"]
    assert tags("new york new york") == ["B-city", "I-city", "B-city", "I-city"]
    assert tags("times new") == ["B-a", "O"]
    assert tags("lost") == ["B-orphan"]
    assert tags("") == []


def test_a_control_tags_text_too(data, tmp_path):
    scores(tmp_path / "run", "gazetteer", {"snips": data["snips"]})
    ((phrase, slot_type), *_) = get_method("gazetteer").load(tmp_path / "run" / "model")["snips"]
    (spans,) = Tagger.from_pretrained(tmp_path / "run").predict([f"  {' '.join(phrase)} xx"])
    assert [(span["word"], span["entity_group"]) for span in spans] == [(" ".join(phrase), slot_type)]


def test_the_oracle_knows_nothing_without_gold(data, tmp_path):
    pieces = tmp_path / "pieces"
    pieces.mkdir()
    write_word_vocabulary(["O", "I"], pieces / PIECES)
    run = tmp_path / "run"
    scores(run, "gold_oracle", {"atis": data["atis"]}, vocabulary_of(tmp_path / "t5", pieces))
    with pytest.raises(RunError, match="needs the gold labels"):
        Tagger.from_pretrained(run).predict(["a b"])


def test_a_run_is_not_predicted_on_other_data_than_it_was_trained_on(data, tmp_path):
    copies = {name: shutil.copytree(data[name], tmp_path / name) for name in ("atis", "snips")}
    scores(tmp_path / "run", "gazetteer", copies)
    before = (tmp_path / "run/predictions.json").read_bytes()
    generate("snips", tmp_path / "raw", seed=7)
    prepare("snips", tmp_path / "raw", copies["snips"])
    for force in (False, True):
        with pytest.raises(RunError, match="snips: the run was trained on other data of snips; train it again: hyperloader train "):
            predict_run(tmp_path / "run", force=force)
    assert (tmp_path / "run/predictions.json").read_bytes() == before
    train_run(tmp_path / "run")
    predict_run(tmp_path / "run")
    assert (tmp_path / "run/predictions.json").read_bytes() != before
