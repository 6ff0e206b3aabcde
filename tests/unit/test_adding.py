"""A task added to a trained run: it is learned, and what was known before stays as it was, to the last bit."""

import json
import shutil
import sys
from pathlib import Path
from tempfile import mkdtemp

import pytest
import torch
from tiny_runs import SIZES, save_wild, write_settings

from hyperloader.cli.main import main
from hyperloader.corpora.prepared import load_corpus
from hyperloader.errors import BackboneError, CorpusError, RunError, SettingsError
from hyperloader.methods.adding import add_task
from hyperloader.methods.loading import from_pretrained
from hyperloader.methods.saved_models import read_config, read_weights
from hyperloader.predicting.prediction import predict_run
from hyperloader.predicting.tagger import Tagger
from hyperloader.runs.run import Run

METHODS = ("hyperloader", "hyperformer_pp", "hyperformer")
EMBEDDINGS = "hypernetwork.task_embeddings.weight"
SOME = {"shots": 6}


@pytest.fixture(scope="module")
def known(place, tmp_path_factory):
    """Trained runs of one task, by method."""

    def known(method):
        folder = tmp_path_factory.mktemp("known") / method
        write_settings(folder, {"atis": place / "data" / "atis"}, place / "t5", method, {"weight_decay": 0.5})
        save_wild(folder, method, place / "t5", {"atis": load_corpus(place / "data" / "atis").train_label_types})
        return folder

    return {method: known(method) for method in METHODS}


def contents(folder):
    return {path.relative_to(folder): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file() and path.name != ".lock"}


def predictions(run, task, place):
    """The bytes that `predict-tests` writes for a task, whichever run the model is in."""
    own = json.loads((run / "settings.json").read_text()) | {"data": {task: str(place / "data" / task)}, "added": None}
    other = Path(mkdtemp(dir=run.parent))
    shutil.copytree(run / "model", other / "model")
    (other / "settings.json").write_text(json.dumps(own))
    predict_run(other)
    return (other / "predictions" / f"{task}.jsonl").read_bytes()


@pytest.mark.parametrize(
    ("method", "mode"),
    [
        ("hyperloader", "embedding"),
        ("hyperloader", "low_rank"),
        ("hyperformer_pp", "low_rank"),
        ("hyperformer", "embedding"),
        pytest.param("hyperformer_pp", "embedding", marks=pytest.mark.slow),
        pytest.param("hyperformer", "low_rank", marks=pytest.mark.slow),
    ],
)
def test_what_was_known_stays_as_it_was(known, place, tmp_path, method, mode):
    before = contents(known[method])
    new = add_task(known[method], "snips", tmp_path / "new", added={"mode": mode}, **SOME)
    assert contents(known[method]) == before
    old, state = read_weights(known[method] / "model"), read_weights(new.model)
    others = {name: tensor for name, tensor in state.items() if name != EMBEDDINGS and ".corrections." not in name}
    assert others.keys() == old.keys() - {EMBEDDINGS} and all(torch.equal(tensor, old[name]) for name, tensor in others.items())
    assert torch.equal(state[EMBEDDINGS][:-1], old[EMBEDDINGS])
    # weight decay would have shrunk what it was given, and z was given to it
    assert not torch.equal(state[EMBEDDINGS][-1], old[EMBEDDINGS].mean(0))
    learned = {name: tensor for name, tensor in state.items() if name.endswith("1.weight") and ".corrections." in name}
    assert bool(learned) == (mode == "low_rank") and all(tensor.any() for tensor in learned.values())
    record = new.record()
    assert record.parameters["trainable"] == SIZES[method]["task_dim"] + sum(t.numel() for n, t in state.items() if ".corrections." in n)
    assert read_config(new.model).tasks.keys() == {"atis", "snips"}
    assert predictions(new.folder, "atis", place) == predictions(known[method], "atis", place)
    predict_run(new.folder)
    assert new.predictions().corpora.keys() == {"snips"}


def test_everything_is_learned_for_comparison(known, tmp_path):
    new = add_task(known["hyperloader"], "snips", tmp_path / "new", added={"mode": "all"}, **SOME)
    old, state = read_weights(known["hyperloader"] / "model"), read_weights(new.model)
    assert state.keys() == old.keys() and read_config(new.model).tasks.keys() == {"snips"}
    assert not any(torch.equal(state[name], old[name]) for name in old if "layer_norm" in name)
    # nothing was trained for long: it began where the others were
    assert all((state[name] - old[name]).abs().max() < 1 for name in old if name != EMBEDDINGS)


def test_where_z_starts(known, place, tmp_path, caplog):
    caplog.set_level("INFO")
    still = {"learning_rate": 1e-30, "weight_decay": 0.0}
    first = add_task(known["hyperloader"], "snips", tmp_path / "first", training=still, **SOME)
    two = read_weights(first.model)[EMBEDDINGS]
    z, third = {}, another_corpus(place, tmp_path / "third" / "atis2")
    for start in ("mean", "nearest", "random"):
        new = add_task(first.folder, third, tmp_path / start, added={"start": start}, training=still, **SOME)
        z[start] = read_weights(new.model)[EMBEDDINGS][-1]
    assert torch.equal(two[1], two[0]) and torch.equal(z["mean"], two.mean(0))
    assert any(torch.equal(z["nearest"], row) for row in two) and "z starts from that of " in caplog.text
    assert not any(torch.allclose(z["random"], row) for row in two)


def another_corpus(place, folder):
    """ATIS by another name."""
    shutil.copytree(place / "data" / "atis", folder)
    manifest = folder / "manifest.json"
    manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {"corpus": folder.name}))
    return folder


def test_a_second_task_is_trained_as_if_it_were_the_first(known, place, tmp_path):
    embedding = {"mode": "embedding"}
    one = add_task(known["hyperformer"], "snips", tmp_path / "one", added=embedding, training={"steps": 2}, **SOME)
    two = add_task(one.folder, another_corpus(place, tmp_path / "other"), tmp_path / "two", added=embedding, **SOME)
    first = Run(known["hyperformer"]).settings.training
    assert two.settings.training == first.model_copy(update={"learning_rate": 10 * first.learning_rate})
    (one.folder / "settings.json").write_text(json.dumps(one.settings.model_dump() | {"added": embedding | {"run": "nowhere"}}))
    with pytest.raises(RunError, match="nowhere: the run is not there that .*one adds its task to; put it back"):
        add_task(one.folder, tmp_path / "other", tmp_path / "three", **SOME)


@pytest.mark.slow
def test_tasks_can_be_added_to_one_that_was_added_with_a_correction(known, place, tmp_path):
    one = add_task(known["hyperloader"], "snips", tmp_path / "one", added={"mode": "low_rank", "rank": 2}, **SOME)
    two = add_task(one.folder, another_corpus(place, tmp_path / "other"), tmp_path / "two", added={"mode": "low_rank", "rank": 3}, **SOME)
    assert read_config(two.model).corrections == {"snips": 2, "other": 3}
    for task in ("atis", "snips"):
        assert predictions(two.folder, task, place) == predictions(one.folder, task, place)


def test_a_tagger_learns_a_task(known, place, tmp_path):
    tagger = Tagger.from_pretrained(known["hyperloader"])
    both = tagger.add_task(place / "data" / "snips", tmp_path / "new", **SOME)
    assert (tagger.tasks, both.tasks) == (("atis",), ("atis", "snips"))
    texts = ["show me flights to boston", "play some jazz"]
    assert both.tag(texts, task="atis") == tagger.tag(texts)
    assert Tagger.from_pretrained(tmp_path / "new").predict(texts, task="snips") == both.predict(texts, task="snips")


def test_the_command_goes_on_where_it_was_stopped(known, tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "argv", command := ["hyperloader", "add-task", str(known["hyperformer"]), "--corpus", "snips", "--shots", "5"])
    command += ["--output", str(tmp_path / "new"), "--mode", "low_rank", "--steps", "4", "--learning-rate", "0.02", "--seed", "7"]
    for _ in range(2):
        with pytest.raises(SystemExit) as ended:
            main()
        assert not ended.value.code
    settings, record = Run(tmp_path / "new").settings, Run(tmp_path / "new").record()
    assert (settings.shots, settings.seed, settings.training.learning_rate, record.steps) == (5, 7, 0.02, 4)
    with pytest.raises(RunError, match="is a run of other settings"):
        add_task(known["hyperformer"], "snips", tmp_path / "new")


def test_shots_are_nested(place):
    corpora = [load_corpus(place / "data" / "snips", 100, shots) for shots in (4, 9, None)]
    few, more, every = ({sentence.words for sentence in corpus.train} for corpus in corpora)
    assert few < more < every and [len(corpus.train) for corpus in corpora[:2]] == [4, 9]
    assert len(corpora[0].validation) == 4 and corpora[0].test == corpora[2].test


def test_wrong_calls(known, place, tmp_path):
    run = known["hyperloader"]
    for kind, problem, corpus, folder in (
        (RunError, "knows the task 'atis' already", "atis", run),
        (CorpusError, "unknown corpus 'snip'", "snip", run),
        (CorpusError, "the corpus 'mtop' is not prepared; make it of the raw files of those beside it: .* prepare mtop", "mtop", run),
        (RunError, "nowhere: is no run", "snips", tmp_path / "nowhere"),
        (RunError, "the run has no model; train it", "snips", write_settings(tmp_path / "bare", {}, place / "t5")),
    ):
        with pytest.raises(kind, match=problem) as caught:
            add_task(folder, corpus, tmp_path / "new")
        assert "\n" not in str(caught.value) and not (tmp_path / "new").exists()
    static = write_settings(tmp_path / "static", {"atis": place / "data" / "atis"}, place / "t5", "full_finetuning")
    save_wild(static, "full_finetuning", place / "t5", {"atis": ("city",)})
    with pytest.raises(RunError, match="full_finetuning, which has no hypernetwork and no place for one more task"):
        add_task(static, "snips", tmp_path / "new")
    with pytest.raises(SettingsError, match="shots"):
        add_task(run, "snips", tmp_path / "new", shots=0)
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "thesis.tex").write_text("all of it")
    for output in (tmp_path / "kept", tmp_path / "kept" / "thesis.tex"):
        with pytest.raises(RunError, match=f"{output}: exists already; name a folder that does not"):
            add_task(run, "snips", output)


def test_another_backbone_is_refused(known, place, tmp_path):
    shutil.copytree(place / "t5", tmp_path / "t5")
    manifest = json.loads((tmp_path / "t5" / "manifest.json").read_text())
    (tmp_path / "t5" / "manifest.json").write_text(json.dumps(manifest | {"sha256": manifest["sha256"] | {"more": "0" * 64}}))
    added = {"run": str(known["hyperloader"])}
    run = write_settings(tmp_path / "run", {"snips": place / "data" / "snips"}, tmp_path / "t5", added=added)
    from hyperloader.methods.training_run import train_run

    with pytest.raises(BackboneError, match="is not the backbone of"):
        train_run(run)


def test_an_added_task_is_exported_as_any_other(known, tmp_path):
    from hyperloader.interop.exporting import export

    new = add_task(known["hyperformer_pp"], "snips", tmp_path / "new", added={"mode": "low_rank"}, **SOME)
    assert from_pretrained(new.model).tasks.keys() == {"atis", "snips"}
    export(new.folder, "adapters", tmp_path / "out", "snips")


def test_a_task_is_added_again_to_a_run_that_was_trained_again(known, place, tmp_path):
    shutil.copytree(known["hyperloader"], tmp_path / "known")
    new = add_task(tmp_path / "known", "snips", tmp_path / "new", **SOME)
    first = new.record().checksums.known
    before = contents(new.folder)
    assert contents(add_task(tmp_path / "known", "snips", tmp_path / "new", **SOME).folder) == before
    save_wild(tmp_path / "known", "hyperloader", place / "t5", {"atis": ("city",)}, noise=0.1)
    add_task(tmp_path / "known", "snips", tmp_path / "new", **SOME)
    assert new.record().checksums.known != first


def test_corrections_of_what_the_model_does_not_know(known, tmp_path):
    shutil.copytree(known["hyperformer"], tmp_path / "known")
    config = tmp_path / "known" / "model" / "config.json"
    for corrections, problem in (({"snips": 2}, "has corrections for tasks that no model"), ({"atis": 0}, "corrections.atis")):
        config.write_text(json.dumps(json.loads(config.read_text()) | {"corrections": corrections}))
        with pytest.raises(RunError, match=problem):
            from_pretrained(tmp_path / "known" / "model")
