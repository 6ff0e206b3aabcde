"""A trained model takes no other backbone than its own, whatever lies where it looks for that."""

import contextlib
import json
import shutil
import sys

import pytest
from safetensors.torch import load_file, save_file
from test_run import run_in

from hyperloader.cli.main import main
from hyperloader.errors import BackboneError, UserError
from hyperloader.files import sha256, write_json
from hyperloader.methods.training_run import train_run
from hyperloader.models.backbones import MANIFEST, T5Backbone, open_backbone
from hyperloader.predicting.prediction import predict_run
from hyperloader.predicting.tagger import Tagger

TEXT = "play the song little robin redbreast"


def remade(source, target):
    """A backbone of the same shape with other weights, as one that was made again."""
    shutil.copytree(source, target)
    weights = target / "model" / "model.safetensors"
    save_file({name: tensor + 0.5 for name, tensor in load_file(weights).items()}, weights, {"format": "pt"})
    manifest = json.loads((target / MANIFEST).read_text())
    write_json(target / MANIFEST, manifest | {"sha256": manifest["sha256"] | {weights.name: sha256(weights)}})


@pytest.fixture(scope="module")
def trained(place, tmp_path_factory):
    """A folder with a backbone, and with runs that name it relative to that folder."""
    home = tmp_path_factory.mktemp("trained")
    shutil.copytree(place / "t5", home / "t5")
    shutil.copytree(place / "data", home / "data")
    with contextlib.chdir(home):
        for name, changes in {"run": {}, "oracle": {"method": "gold_oracle", "method_settings": {}}}.items():
            run_in(home, name, backbone="t5", data={"snips": "data/snips"}, **changes)
            train_run(name)
    return home


@pytest.fixture
def home(trained, tmp_path):
    """A copy of it, to be changed."""
    return shutil.copytree(trained, tmp_path / "home")


@pytest.fixture
def elsewhere(trained, tmp_path, monkeypatch):
    """The working directory, with another backbone under the same name."""
    (tmp_path / "elsewhere").mkdir()
    remade(trained / "t5", tmp_path / "elsewhere" / "t5")
    monkeypatch.chdir(tmp_path / "elsewhere")
    return tmp_path / "elsewhere"


def test_the_folders_around_a_model_come_before_the_working_directory(trained, elsewhere):
    there = Tagger.from_pretrained(trained / "run").tag(TEXT)
    with contextlib.chdir(trained):
        assert Tagger.from_pretrained("run").tag(TEXT) == there


def test_the_oracle_finds_its_backbone_as_well(home, elsewhere):
    with contextlib.chdir(home):
        predict_run("oracle")
    shutil.move(home / "t5", home / "t5 that is away")
    shutil.copytree(elsewhere / "t5", home / "t5")
    with pytest.raises(BackboneError, match="t5: not the backbone that .*oracle was trained on"):
        Tagger.from_pretrained(home / "oracle")


COMMANDS = {
    "predict": ["predict", "--run", "run", TEXT],
    "predict-tests": ["predict-tests", "run"],
    "evaluate": ["evaluate", "--run", "run", "--corpus", "data/snips", "--task", "snips"],
}


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_refuses_a_backbone_that_was_made_anew(home, elsewhere, monkeypatch, capsys, command):
    monkeypatch.chdir(home)
    shutil.rmtree("t5")
    shutil.copytree(elsewhere / "t5", "t5")
    before = sorted(home.rglob("*"))
    monkeypatch.setattr(sys, "argv", ["hyperloader", *COMMANDS[command]])
    with pytest.raises(SystemExit) as ended:
        main()
    output, problem = capsys.readouterr()
    assert ended.value.code == 2 and output == "" and len(problem.splitlines()) == 1
    assert "t5: not the backbone that run/model was trained on" in problem and "'backbone' in run/model/config.json" in problem
    assert sorted(home.rglob("*")) == before


def test_a_model_that_was_copied_without_its_run(home, elsewhere):
    shutil.copytree(home / "run" / "model", elsewhere / "model")
    with pytest.raises(BackboneError, match="t5: not the backbone that .*model was trained on"):
        Tagger.from_pretrained("model")
    config = elsewhere / "model" / "config.json"
    # as the line says
    write_json(config, json.loads(config.read_text()) | {"backbone": str(home / "t5")})
    assert Tagger.from_pretrained("model").tag(TEXT) == Tagger.from_pretrained(home / "run").tag(TEXT)


def test_a_model_elsewhere_takes_the_backbone_that_is_given(home, tmp_path, monkeypatch, capsys):
    expected = Tagger.from_pretrained(home / "run").tag(TEXT)
    shutil.move(home / "run" / "model", tmp_path / "model")
    shutil.move(home / "t5", tmp_path / "moved")
    monkeypatch.chdir(tmp_path)
    remedy = "give the folder with its manifest.json: --backbone FOLDER, in Python backbone=FOLDER"
    with pytest.raises(BackboneError, match=f"^model/config.json: its backbone is not found: t5; {remedy}$"):
        Tagger.from_pretrained("model")
    with pytest.raises(BackboneError, match=f"^model/config.json: home is no folder of a backbone; {remedy}$"):
        Tagger.from_pretrained("model", backbone="home")
    assert Tagger.from_pretrained("model", backbone="moved").tag(TEXT) == expected
    given = ["--backbone", "moved"]
    for command in (
        ["predict", *given, "--run", "model", "--format", "conll", TEXT],
        ["evaluate", *given, "--run", "model", "--corpus", "home/data/snips"],
    ):
        monkeypatch.setattr(sys, "argv", ["hyperloader", *command])
        with pytest.raises(SystemExit) as ended:
            main()
        assert not ended.value.code
    tags, scores = capsys.readouterr().out.split("\n\n", 1)
    assert tags.split() == [text for word in expected for text in (word["word"], word["entity"])] and "200 sentences" in scores
    remade(tmp_path / "moved", tmp_path / "other")
    with pytest.raises(BackboneError, match="other: not the backbone that model was trained on"):
        Tagger.from_pretrained("model", backbone="other")


def test_a_model_of_a_former_version(home, elsewhere, caplog):
    config = home / "run" / "model" / "config.json"
    content = json.loads(config.read_text())
    del content["backbone_checksum"]
    write_json(config, content)
    expected = Tagger.from_pretrained(home / "run").tag(TEXT)
    assert caplog.text == ""
    shutil.copytree(home / "run" / "model", home / "alone")
    assert Tagger.from_pretrained(home / "alone").tag(TEXT) == expected
    assert "alone/config.json does not say what its backbone was" in caplog.text
    # the record of the training still says it
    shutil.rmtree(home / "t5")
    shutil.copytree(elsewhere / "t5", home / "t5")
    with pytest.raises(BackboneError, match="not the backbone that .*run/model was trained on"):
        Tagger.from_pretrained(home / "run")


@pytest.mark.parametrize(("name", "read"), [(T5Backbone.VOCABULARY, "vocabulary"), ("config.json", "config")])
def test_every_file_of_a_backbone_is_that_of_its_manifest(home, name, read):
    getattr(open_backbone(home / "t5"), read)
    path = home / "t5" / "model" / name
    path.write_bytes(path.read_bytes() + b"\n")
    with pytest.raises(BackboneError, match=f"{name}: missing, or not the file of the manifest; make it"):
        getattr(open_backbone(home / "t5"), read)
    with pytest.raises(UserError, match="not the file of the manifest"):
        Tagger.from_pretrained(home / "run")


def test_a_training_on_another_backbone_begins_anew(home, elsewhere, caplog):
    run = shutil.copytree(home / "run", home / "again")
    for file in ("run.json", "model"):
        (shutil.rmtree if (run / file).is_dir() else type(run).unlink)(run / file)
    with contextlib.chdir(home):
        train_run("again")
        first = json.loads((run / "model" / "config.json").read_text())["backbone_checksum"]
        shutil.rmtree("t5")
        shutil.copytree(elsewhere / "t5", "t5")
        train_run("again")
    assert json.loads((run / "model" / "config.json").read_text())["backbone_checksum"] != first
    Tagger.from_pretrained(run)
