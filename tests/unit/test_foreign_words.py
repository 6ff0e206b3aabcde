"""A text that a backbone's vocabulary cannot read is refused before any step, and one that it hardly can is named."""

import json

import pytest
from test_run import run_in

from hyperloader.corpora.generated.generate import generate
from hyperloader.corpora.prepare import prepare
from hyperloader.errors import CorpusError
from hyperloader.files import sha256, write_json
from hyperloader.methods.training_run import train_run
from hyperloader.text.bert_vocabulary import SPECIAL, WordPieces
from hyperloader.text.t5_vocabulary import Vocabulary

ENGLISH = "what flights leave from denver before noon and arrive tomorrow morning".split()


@pytest.fixture
def english(tmp_path):
    """Prepare a generated corpus, some of whose words are replaced by English ones."""

    def make(every: int):
        raw = tmp_path / "raw"
        generate("atis", raw)
        for file in raw.rglob("seq.in"):
            lines = [line.split() for line in file.read_text("utf-8").splitlines()]
            words = [[ENGLISH[n % 11] if n % every == 0 else word for n, word in enumerate(line)] for line in lines]
            file.write_text("".join(" ".join(line) + "\n" for line in words), "utf-8")
        manifest = json.loads((raw / "atis.json").read_text())
        for entry in manifest["files"]:
            entry["sha256"] = sha256(raw / entry["path"])
        write_json(raw / "atis.json", manifest)
        prepare("atis", raw, tmp_path / "atis")
        return {"atis": str(tmp_path / "atis")}

    return make


def test_a_foreign_text_is_refused_before_the_training(place, english):
    run = run_in(place, "foreign", data=english(1))
    message = r"^atis, train: (\d+) of \1 words \(100.0%: .*'what'.*\) and 0 of \d+ slot types are unknown to the backbone's vocabulary or "
    with pytest.raises(CorpusError, match=message + "spelled letter by letter; at most 50% of the words may be: take a scale"):
        train_run(run)
    assert not (run / "checkpoints").exists() and not (run / "model").exists()
    # what has no backbone reads anything
    train_run(run_in(place, "foreign", data=english(1), method="gazetteer", method_settings={}, backbone=None))


def test_a_partly_foreign_text_is_named_and_learned(place, english, caplog):
    train_run(run_in(place, "partly-foreign", data=english(4)))
    assert any(record.levelname == "WARNING" and "atis, train: " in record.message for record in caplog.records)


def test_what_a_vocabulary_reads(place, tmp_path):
    t5 = Vocabulary(place / "t5/model/spiece.model")
    assert not any(map(t5.reads, ["denver", "tomorrow", "中文"]))
    (tmp_path / "vocab.txt").write_text("".join(f"{piece}\n" for piece in [*SPECIAL, "play", "a", "##s", "b", "##c", "."]))
    bert = WordPieces(tmp_path / "vocab.txt")
    assert {word: bert.reads(word) for word in ["plays", "a", "as", "bc", "bcc", ".", "zebra", "z"]} == {
        "plays": True, "a": True, "as": True, "bc": True, "bcc": False, ".": True, "zebra": False, "z": False,
    }  # fmt: skip
