"""What several tests train on or read."""

import json

import pytest

from hyperloader.cli.main import main
from hyperloader.corpora.fetching.download import fetch
from hyperloader.corpora.generated.generate import generate
from hyperloader.corpora.prepare import prepare
from hyperloader.corpora.registry import known_corpora
from hyperloader.training.backbones.making import make_backbone


@pytest.fixture(scope="session")
def place(tmp_path_factory):
    """Data of two corpora and a tiny backbone without dropout."""
    folder = tmp_path_factory.mktemp("place")
    for name in ("atis", "snips"):
        generate(name, folder / "raw")
        prepare(name, folder / "raw", folder / "data" / name)
    (folder / "t5").mkdir()
    backbone = {
        "source": "pretrained",
        "text": "generated",
        "architecture": {"d_model": 16, "d_kv": 4, "d_ff": 32, "num_layers": 2, "num_heads": 2},
        "pretraining": {"steps": 2, "batch_size": 4},
    }
    (folder / "t5" / "settings.json").write_text(json.dumps({"kind": "t5", "backbone": backbone}))
    make_backbone(folder / "t5")
    return folder


@pytest.fixture(scope="session")
def real_corpora(mirror, tmp_path_factory):
    """The published corpora: their files in `raw`, and each of them prepared in the folder of its name."""
    folder = tmp_path_factory.mktemp("real")
    for corpus in known_corpora().values():
        fetch(corpus, folder / "raw", mirror)
        prepare(corpus, folder / "raw", folder / corpus.name)
    return folder


@pytest.fixture
def hyperloader(monkeypatch, capsys):
    """Call the command line: its exit code, and what it prints to both streams."""

    def call(*arguments):
        monkeypatch.setattr("sys.argv", ["hyperloader", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        said = capsys.readouterr()
        return ended.value.code or 0, said.out, said.err

    return call


@pytest.fixture
def printed(hyperloader):
    """What a command prints that does what it is asked for."""

    def call(*arguments):
        code, out, _ = hyperloader(*arguments)
        assert not code
        return out

    return call
