"""`hyperloader export`: what other libraries load is the model that was trained here, or one line says why there is no such form."""

import json
import shutil
import sys

import pytest
import torch
from huggingface_hub import ModelCard
from tiny_runs import save_wild, write_settings

from hyperloader.cli.main import main
from hyperloader.methods.loading import from_pretrained
from hyperloader.methods.model_cards import base_model
from hyperloader.predicting.tagger import Tagger
from hyperloader.runs.records import Score, ScoredCorpus, ScoresRecord

TASKS = {"atis": ("city", "day"), "snips": ("track",)}
LOW_RANK, BOTTLENECKS = {"lora_rank": 3, "lora_alpha": 5}, {"encoder_bottleneck": 3, "decoder_bottleneck": 4}
# of encoder and decoder, and other sizes in each
STATIC_LORA = {"encoder_bottleneck": 0, "decoder_bottleneck": 0, "encoder_rank": 2, "decoder_rank": 3}
STATIC_BOTH = BOTTLENECKS | {"encoder_rank": 3, "decoder_rank": 2}
LORA_ONLY = {"adapters": False, "reduction_factor": 4, "lora_rank": 2, "task_dim": 8}

PROMPT = "what it trains ('encoder.embed_tokens.prompt.embedding.weight') has no place in another library's T5"


@pytest.fixture(scope="module")
def run(place, tmp_path_factory):
    """Makes runs of two tasks with random weights."""

    def run(method, **settings):
        folder = tmp_path_factory.mktemp("runs") / method
        data = {name: place / "data" / name for name in TASKS}
        # with larger weights, rounding alone makes a difference: T5's attention is not scaled
        save_wild(write_settings(folder, data, place / "t5", method), method, place / "t5", TASKS, **settings, noise=0.02)
        return folder

    return run


@pytest.fixture
def export(monkeypatch, capsys, tmp_path):
    """Call `hyperloader export`; the folder it wrote, or the line that says why not."""

    def export(folder, *arguments):
        output = tmp_path / "out"
        monkeypatch.setattr(sys, "argv", ["hyperloader", "export", str(folder), "--output", str(output), *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        problem = capsys.readouterr().err
        if ended.value.code:
            assert len(problem.splitlines()) == 1 and not output.exists()
            return problem
        return output

    return export


def loaded_by_its_card(output, monkeypatch):
    """The `t5` that the card's Python leaves."""
    monkeypatch.chdir(output.parent)
    code = (output / "README.md").read_text().split("```python\n")[1].split("```")[0]
    names = {}
    exec(code, names)
    return names["t5"].eval()


def difference(folder, t5, task):
    """Largest difference of logits, and the largest logit."""
    torch.manual_seed(3)
    ids = torch.randint(3, 100, (3, 9))
    inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids), "decoder_input_ids": ids[:, :5]}
    with torch.no_grad():
        own, other = from_pretrained(folder / "model")(task=task, **inputs).logits, t5(**inputs).logits
    return float((own - other).abs().max()), float(own.abs().max())


@pytest.mark.parametrize(
    ("method", "settings", "form"),
    [
        ("hyperloader", {}, "adapters"),
        ("hyperloader", LORA_ONLY, "adapters"),
        ("hyperloader", LORA_ONLY, "merged"),
        ("hyperloader", LORA_ONLY, "peft"),
        ("hyperformer_pp", {}, "adapters"),
        ("unipelt_t5", {}, "adapters"),
        ("full_finetuning", {}, "merged"),
        ("static_weights", STATIC_LORA, "adapters"),
        ("static_weights", STATIC_LORA, "peft"),
        ("static_weights", STATIC_BOTH, "adapters"),
        ("static_weights", BOTTLENECKS | {"decoder_bottleneck": 0, "encoder_rank": 0, "decoder_rank": 2}, "adapters"),
        ("lora", LOW_RANK, "peft"),
        ("lora", LOW_RANK, "merged"),
        ("dora", LOW_RANK, "peft"),
    ],
)
def test_other_libraries_have_the_same_logits(run, export, monkeypatch, method, settings, form):
    if form == "peft" or method == "lora":
        pytest.importorskip("peft")
    folder = run(method, settings=settings) if settings else run(method)
    for task in TASKS:
        output = export(folder, "--format", form, "--task", task, "--with-backbone")
        # a backbone made here, with a base name of no hub
        text = (output / "README.md").read_text().replace('from_pretrained("T5")', 'from_pretrained("out/backbone/model")')
        (output / "README.md").write_text(text)
        apart, largest = difference(folder, loaded_by_its_card(output, monkeypatch), task)
        assert apart <= 1e-5 * max(1, largest)
        card = ModelCard.load(output / "README.md").data
        assert (card.datasets, card.language) == ([task], "en")
        assert not [path for path in output.rglob("*.json") if str(folder.parents[1]) in path.read_text()]
        shutil.rmtree(output)


def test_a_model_with_its_backbone_works_elsewhere(place, run, export, tmp_path):
    shutil.copytree(place / "t5", tmp_path / "place" / "t5")
    folder = tmp_path / "place" / "run"
    shutil.copytree(run("hyperloader"), folder)
    config = json.loads((folder / "model" / "config.json").read_text()) | {"backbone": str(tmp_path / "place" / "t5")}
    (folder / "model" / "config.json").write_text(json.dumps(config))
    texts = ["show me flights to boston", "play some jazz"]
    expected = Tagger.from_pretrained(folder).tag(texts, task="atis")
    output = export(folder)
    shutil.rmtree(tmp_path / "place")
    (tmp_path / "elsewhere").mkdir()
    moved = output.rename(tmp_path / "elsewhere" / "mine")
    assert Tagger.from_pretrained(moved).tag(texts, task="atis") == expected
    assert str(tmp_path) not in (moved / "README.md").read_text() + (moved / "config.json").read_text()


def test_a_card_says_no_language_of_a_corpus_of_ones_own(place, tmp_path):
    save_wild(tmp_path, "hyperloader", place / "t5", TASKS | {"mine": ("city",)})
    card = ModelCard.load(tmp_path / "model/README.md")
    assert card.data.language is None and "HyperLoader on a T5 or BERT that is not from the hub." in card.text


@pytest.mark.parametrize(
    ("method", "arguments", "problem"),
    [
        (
            "hyperloader",
            ["--format", "peft", "--task", "atis"],
            "has no form peft: PEFT's LoRA is added to a weight matrix",
        ),
        ("hyperloader", ["--format", "merged", "--task", "atis"], "has no form merged: its bottleneck adapters have a nonlinearity"),
        ("unipelt_t5", ["--format", "peft", "--task", "atis"], "has no form peft"),
        ("unipelt_t5", ["--format", "merged", "--task", "atis"], "has no form merged"),
        ("hyperdecoder", ["--format", "adapters", "--task", "atis"], "made for each sentence, so that nothing fixed can stand for it; "),
        (
            "full_finetuning",
            ["--format", "adapters", "--task", "atis"],
            "adds nothing to T5 that an adapter could hold; take",
        ),
        ("full_finetuning", ["--format", "peft", "--task", "atis"], "adds nothing to T5 that a LoRA could hold; take"),
        ("lora", ["--format", "adapters", "--task", "atis"], "adds nothing to T5 that an adapter could hold; take the form peft"),
        *(("prompt_tuning", ["--format", form, "--task", "atis"], PROMPT) for form in ("adapters", "peft", "merged")),
        ("hyperloader", ["--format", "adapters", "--task", "snip"], "unknown task 'snip'; did you mean 'snips'?"),
        ("hyperloader", ["--format", "adapters"], "which task?; known tasks: atis, snips"),
    ],
)
def test_forms_that_cannot_be(run, export, method, arguments, problem):
    settings = {"prompt_tuning": {"virtual_tokens": 4}, "lora": LOW_RANK}.get(method)
    if settings:
        pytest.importorskip("peft")
    assert problem in export(run(method, settings=settings), *arguments)


def test_a_task_with_a_dot_in_its_name(place, tmp_path, export, monkeypatch):
    tasks = {"my.corpus": ("city",), "snips": ("track",)}
    folder = write_settings(tmp_path / "run", {name: place / "data" / "snips" for name in tasks}, place / "t5")
    save_wild(folder, "hyperloader", place / "t5", tasks, noise=0.02)
    output = export(folder, "--format", "adapters", "--task", "my.corpus", "--with-backbone")
    apart, largest = difference(folder, loaded_by_its_card(output, monkeypatch), "my.corpus")
    assert apart <= 1e-5 * max(1, largest)


def test_a_card_says_what_stands_before_each_input(run, export):
    output = export(run("full_finetuning", settings={"task_prefix": True}), "--format", "merged", "--task", "snips")
    assert "Each input begins with `snips:`" in (output / "README.md").read_text()


def test_other_mistakes(place, run, export, monkeypatch, tmp_path):
    control = write_settings(tmp_path / "run", {"atis": place / "data" / "atis"}, None, "gazetteer")
    assert "is of gazetteer, which has no network" in export(control)
    assert "no such file" in export(tmp_path / "nowhere")
    monkeypatch.setitem(sys.modules, "peft", None)
    problem = export(run("hyperloader", settings=LORA_ONLY), "--format", "peft", "--task", "atis")
    assert "needs the package peft" in problem and "pip install 'hyperloader[peft]'" in problem
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "thesis.tex").write_text("all of it")
    monkeypatch.setattr(sys, "argv", ["hyperloader", "export", str(run("hyperloader")), "--output", str(tmp_path / "kept")])
    with pytest.raises(SystemExit):
        main()
    assert [path.name for path in (tmp_path / "kept").iterdir()] == ["thesis.tex"]


def test_the_card_has_metadata_that_the_hub_reads(run, export):
    folder = run("hyperloader")
    counts = {"precision": 0.5, "recall": 0.25, "f1": 1 / 3, "gold_spans": 4, "predicted_spans": 2, "correct_spans": 1}
    about = {"alignment": "sentinel", "gold": "full", "mode": "conll", "ci_low": 0.1, "ci_high": 0.6, "signature": "f1:micro|data:01234567"}
    scored = ScoredCorpus(sentences=3, malformed=0.0, scores=[Score(**counts, **about)], labels={})
    named = {"scale": "test", "recipe": "test", "method": "hyperloader", "percent": 100.0, "seed": 1, "decoding": "free"}
    ScoresRecord(**named, corpora={"atis": scored}).write(folder / "scores.json")
    card = ModelCard.load(export(folder) / "README.md")
    assert card.data.datasets == ["atis", "snips"] and card.data.license == "other" and card.data.pipeline_tag == "token-classification"
    (result,) = card.data.eval_results
    assert (result.dataset_type, result.metric_type, result.metric_value) == ("atis", "f1", 0.3333)
    assert result.metric_args == {"signature": "f1:micro|data:01234567", "ci_low": 0.1, "ci_high": 0.6}
    # read and written again it is the same, so nothing in it is lost on the hub
    again = ModelCard(str(card))
    assert again.data.to_dict() == card.data.to_dict() and "terms" in again.text


def test_the_base_of_a_model_is_that_of_its_backbone(tmp_path):
    source = {"source": "hub", "name": "google-t5/t5-base"}
    (tmp_path / "t5").mkdir()
    (tmp_path / "t5" / "settings.json").write_text(json.dumps({"kind": "t5", "backbone": source}))
    assert base_model("t5", tmp_path / "model" / "config.json") == "google-t5/t5-base"
    assert base_model("elsewhere", tmp_path / "model" / "config.json") is None
