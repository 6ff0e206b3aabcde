"""`hyperloader corpora`, in a scratch folder."""

import pytest
from typer.testing import CliRunner

from hyperloader.cli.corpora import app
from hyperloader.corpora.registry import known_corpora
from hyperloader.errors import UserError


@pytest.fixture
def corpora(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HYPERLOADER_MIRROR", raising=False)

    def call(*arguments):
        result = CliRunner().invoke(app, list(arguments))
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return call


def test_list_names_every_corpus(corpora):
    output = corpora("list").output
    assert all(corpus.name in output and corpus.title in output for corpus in known_corpora().values())


def test_the_demo_with_its_default_folders(corpora, tmp_path):
    corpora("generate", "movie", "snips")
    corpora("prepare", "movie", "snips", "--scale", "demo")
    printed = " ".join(corpora("stats", "--scale", "demo").output.split())
    assert "| Movie | 500 (8797) | 56 (978) | 200 (2443) | 8 (12) |" in printed and "| SNIPS | 500 (13084)" in printed
    manifests = [f"results/demo/data/{name}/manifest.json" for name in ("movie", "snips")]
    with pytest.raises(UserError, match="^out: there is no such folder; make it, or name another file$"):
        corpora("stats", "--output", "out/table2.csv", *manifests)
    (tmp_path / "out").mkdir()
    assert corpora("stats", "--output", "out/table2.csv", *manifests).output == ""
    for option in ("--data", "--raw"):
        with pytest.raises(UserError, match="^nope: no such folder; name one, or leave it out$"):
            corpora("verify", "movie", "--scale", "demo", option, "nope")
    assert " ".join((tmp_path / "out/table2.md").read_text().split()) == printed


def test_the_calls_of_the_workflow(corpora, tmp_path):
    corpora("generate", "atis", "--folder", "raw", "--seed", "7")
    corpora("prepare", "atis", "--raw", "raw", "--folder", "data/atis", "--seed", "7")
    assert (tmp_path / "data/atis/manifest.json").exists()


def test_an_unknown_name_stops_before_anything_is_done(corpora, tmp_path):
    with pytest.raises(UserError, match="unknown corpus 'atsi'"):
        corpora("generate", "atis", "atsi")
    assert list(tmp_path.iterdir()) == []


def test_one_folder_for_many_corpora(corpora):
    with pytest.raises(UserError, match="--folder is the folder of one corpus"):
        corpora("prepare", "atis", "snips", "--folder", "data")


def test_a_missing_mirror(corpora):
    with pytest.raises(UserError, match="mirror has no such folder"):
        corpora("fetch", "atis", "--mirror", "nowhere")


def test_no_statistics_without_corpora(corpora):
    with pytest.raises(UserError, match="no prepared corpora; run: hyperloader corpora prepare"):
        corpora("stats")
