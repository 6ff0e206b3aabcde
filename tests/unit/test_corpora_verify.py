"""`hyperloader corpora verify`: what it says of whole, damaged and missing files, and that its remedies mend them."""

import hashlib
import json
import shlex
import shutil

import pytest
from typer.testing import CliRunner

from hyperloader.cli.corpora import app
from hyperloader.corpora.generated.generate import generate
from hyperloader.corpora.prepare import prepare
from hyperloader.errors import CorpusError


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    generate("mtop", folder / "raw")
    prepare("mtop", folder / "raw", folder / "data/mtop")
    return folder


@pytest.fixture
def place(whole, tmp_path, monkeypatch):
    shutil.copytree(whole, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def call(*arguments):
    result = CliRunner().invoke(app, list(arguments))
    return result.output, result.exception if isinstance(result.exception, CorpusError) else result.exit_code


def verify(*names):
    return call("verify", *names, "--raw", "raw", "--data", "data")


def edit(path, change):
    manifest = json.loads(path.read_text())
    change(manifest)
    path.write_text(json.dumps(manifest))


def shorten(path):
    path.write_bytes(path.read_bytes()[:-1])


def test_what_is_whole(place):
    output, status = verify()
    assert "mTOP: 3 raw files, generated\nmTOP: prepared, 500 train, 60 validation, 200 test\n" in output
    assert "ATIS: no raw files\nATIS: not prepared\n" in output and status == 0


DAMAGE = {
    "a raw file": (lambda p: shorten(p / "raw/mtop/en/eval.txt"), "eval.txt: missing, or not as"),
    "a raw file gone": (lambda p: (p / "raw/mtop/en/eval.txt").unlink(), "eval.txt: missing, or not as"),
    "the raw manifest": (lambda p: (p / "raw/mtop.json").write_text("{"), "mtop.json: not a manifest of raw files"),
    "a table": (lambda p: shorten(next(p.glob("data/mtop/test/*.arrow"))), "arrow: missing or damaged"),
    "the manifest": (lambda p: (p / "data/mtop/manifest.json").unlink(), "manifest.json: not a prepared corpus"),
    "no tables named": (
        lambda p: edit(p / "data/mtop/manifest.json", lambda m: m.update(files={})),
        "has 500 sentences in train, but 0 are there",
    ),
    "a table elsewhere": (
        lambda p: edit(p / "data/mtop/manifest.json", lambda m: m.update(files={"train/../../../x.arrow": "0"})),
        "data/mtop/train/x.arrow: missing or damaged",
    ),
    "fewer tags": (lambda p: edit(p / "data/mtop/manifest.json", lambda m: m.update(tags=["O"])), "does not fit its manifest"),
    "other tags": (
        lambda p: edit(p / "data/mtop/manifest.json", lambda m: m.update(tags=m["tags"][::-1])),
        "does not fit the sentences beside it",
    ),
    "another kind": (
        lambda p: edit(p / "data/mtop/manifest.json", lambda m: m.update(files=[])),
        "'files': input should be a valid dictionary",
    ),
    "another corpus": (lambda p: edit(p / "data/mtop/manifest.json", lambda m: m.update(corpus="atis")), "is of the corpus 'atis'"),
    "other raw files": (
        lambda p: edit(p / "data/mtop/manifest.json", lambda m: m["sources"][0].update(sha256="0")),
        "was made of other raw files",
    ),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_damage_is_named_and_its_remedy_mends_it(place, name):
    damage, said = DAMAGE[name]
    damage(place)
    output, error = verify("mtop")
    (line,) = [line for line in output.splitlines() if "; " in line]
    assert said in line
    assert "1 of 2 not as they should be" in str(error)
    # what the remedy says, word for word
    _, _, command = line.partition("run: hyperloader corpora ")
    if name == "the raw manifest":
        (place / "raw/mtop.json").unlink()
        command, instead, _ = command.partition(" (generated files: generate instead of fetch)")
        assert instead
        command = command.replace("fetch", "generate")
    if not (place / "data/mtop/manifest.json").exists():
        shutil.rmtree(place / "data/mtop")
    assert call(*shlex.split(command))[1] == 0
    assert verify("mtop")[1] == 0


def test_another_draw_stays_another_draw(place):
    prepare("mtop", "raw", "data/mtop", seed=7)
    expected = (place / "data/mtop/manifest.json").read_bytes()
    shorten(next(place.glob("data/mtop/test/*.arrow")))
    (line,) = [line for line in verify("mtop")[0].splitlines() if "; " in line]
    assert call(*shlex.split(line.partition("run: hyperloader corpora ")[2]))[1] == 0
    assert (place / "data/mtop/manifest.json").read_bytes() == expected


def test_real_files_do_not_replace_generated_ones_unasked(place, mirror):
    assert call("fetch", "mtop", "--folder", "real", "--mirror", str(mirror))[1] == 0
    expected = (place / "data/mtop/manifest.json").read_bytes()
    problem = str(call("prepare", "mtop", "--raw", "real", "--folder", "data/mtop")[1])
    assert "data/mtop/manifest.json: is the generated corpus, and these raw files are real; name the --raw" in problem
    assert (place / "data/mtop/manifest.json").read_bytes() == expected
    assert call("prepare", "mtop", "--raw", "real", "--folder", "data/mtop", "--replace")[1] == 0
    problem = str(call("prepare", "mtop", "--raw", "raw", "--folder", "data/mtop")[1])
    assert "is the real corpus, and these raw files are generated" in problem


def test_a_file_that_only_its_manifest_knows(place, mirror):
    shutil.copytree(mirror / "corpora/mtop", place / "raw/mtop", dirs_exist_ok=True)
    (place / "raw/mtop.json").unlink()
    assert call("fetch", "mtop", "--folder", "raw", "--mirror", str(mirror))[1] == 0
    assert "mTOP: 3 raw files, official" in verify("mtop")[0]
    data = b"other\n"
    (place / "raw/mtop/en/test.txt").write_bytes(data)
    edit(place / "raw/mtop.json", lambda m: m["files"][2].update(sha256=hashlib.sha256(data).hexdigest()))
    output = verify("mtop")[0]
    assert "test.txt: not a file that " in output and "accepts; run: hyperloader corpora fetch mtop" in output


def test_nothing_there(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert "raw: no such folder" in str(verify("atis")[1])
    for name in ("raw", "data"):
        (tmp_path / name).mkdir()
    assert "nothing there to verify" in str(verify("atis")[1])
