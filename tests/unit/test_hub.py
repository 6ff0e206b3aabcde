"""Backbones from a hub on the loopback interface: what is taken of a model, and what is said when it cannot be had."""

import json
import os
import pty
import shutil
import subprocess
import sys
import termios
import time

import pytest
from loopback import Hub, sha
from small_disk import run_on_small_disk
from transformers import BertConfig, BertModel, T5Config, T5ForConditionalGeneration

from hyperloader.models.backbones import open_backbone
from hyperloader.text.bert_vocabulary import SPECIAL
from hyperloader.training.backbones.vocabularies import write_word_vocabulary

# makes the backbones of the folders that come in, each with an answer of one line
MAKER = """
import sys
from hyperloader.errors import UserError
from hyperloader.training.backbones.making import make_backbone
for folder in sys.stdin:
    try:
        make_backbone(folder.strip())
        print("made", flush=True)
    except UserError as error:
        print(str(error).replace(chr(10), "<new line>"), flush=True)
"""


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """A tiny T5 and a tiny BERT as the hub has them: with weights as pickle, and a tokenizer in every form."""
    folder = tmp_path_factory.mktemp("models")
    T5ForConditionalGeneration(T5Config(d_model=16, d_kv=4, d_ff=32, num_layers=1, num_heads=2, vocab_size=110)).save_pretrained(
        folder / "t5"
    )
    write_word_vocabulary(["a", "b"], folder / "t5" / "spiece.model")
    BertModel(BertConfig(vocab_size=8, hidden_size=8, num_hidden_layers=1, num_attention_heads=2)).save_pretrained(folder / "bert")
    (folder / "bert" / "vocab.txt").write_text("".join(f"{piece}\n" for piece in [*SPECIAL, "a", "b", "##s"]))
    for kind in ("t5", "bert"):
        for name in ("pytorch_model.bin", "README.md", "tokenizer.json", "tf_model.h5"):
            (folder / kind / name).write_bytes(b"what nobody loads")
    return folder


@pytest.fixture(scope="module")
def hub(models):
    with Hub() as hub:
        for kind in ("t5", "bert"):
            hub.serve(f"tiny/{kind}", models / kind)
        yield hub


def environment(hub, cache, **changes):
    known = {key: value for key, value in os.environ.items() if not key.startswith("HF_") and not key.lower().endswith("_proxy")}
    limits = {"HF_HUB_DOWNLOAD_TIMEOUT": "1", "HF_HUB_ETAG_TIMEOUT": "1", "HF_TOKEN_PATH": str(cache / "none")}
    return known | limits | {"HF_ENDPOINT": hub.url("").rstrip("/"), "HF_HOME": str(cache)} | changes


@pytest.fixture(scope="module")
def make(hub, tmp_path_factory):
    """Makes a backbone in a process whose hub is on the loopback interface; its answer."""
    cache = tmp_path_factory.mktemp("cache")
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL, "text": True}
    with subprocess.Popen([sys.executable, "-c", MAKER], env=environment(hub, cache), **pipes) as process:

        def make(folder):
            process.stdin.write(f"{folder}\n")
            process.stdin.flush()
            return process.stdout.readline().strip()

        yield make
        process.stdin.close()


def settings(folder, name, kind="t5", **changes):
    folder.mkdir()
    (folder / "settings.json").write_text(json.dumps({"kind": kind, "backbone": {"source": "hub", "name": name} | changes}))
    return folder


def command(folder, **variables):
    done = subprocess.run([sys.executable, "-m", "hyperloader", "backbone", str(folder)], env=variables, capture_output=True, text=True)
    assert "Traceback" not in done.stderr
    return done.stderr.strip().splitlines()[-1]


@pytest.mark.parametrize(("kind", "vocabulary"), [("t5", "spiece.model"), ("bert", "vocab.txt")])
def test_what_is_used_of_a_model_is_copied_and_recorded(hub, models, make, tmp_path, kind, vocabulary):
    used = {name: sha((models / kind / name).read_bytes()) for name in ("config.json", "model.safetensors", vocabulary)}
    pins = {name: used[name] for name in ("model.safetensors", vocabulary)}
    folder = settings(tmp_path / "own", f"tiny/{kind}", kind, revision=Hub.COMMIT, sha256=pins)
    assert make(folder) == "made"
    assert sorted(path.name for path in (folder / "model").iterdir()) == sorted(used)
    manifest = json.loads((folder / "manifest.json").read_text())
    assert (manifest["sha256"], manifest["revision"]) == (used, Hub.COMMIT)
    assert open_backbone(folder).model().config.vocab_size == open_backbone(folder).config.vocab_size
    # nobody asked for the rest
    asked = {path.rpartition("/")[2] for path in hub.asked if f"/{kind}/resolve" in path}
    assert asked <= {*used, "tokenizer.json"}


@pytest.mark.parametrize(
    ("fault", "line"),
    [
        ({"resolve": (401, "GatedRepo")}, "it is gated; accept its terms at http://127.0.0.1"),
        ({"api": (401, "")}, "does not let you (HTTP status 401); see the token in HF_TOKEN, and whether 'name'"),
        ({"api": (404, "RepoNotFound")}, "knows no model of this name, or it is private; correct 'name'"),
        ({"api": (404, "RevisionNotFound")}, "it has no revision 'main'; correct 'revision'"),
        ({"api": (503, "")}, "answers with HTTP status 503; try again later, or download it where there is internet"),
        ({"api": "silent"}, "does not answer in time; try again"),
        # the library tries again for half a minute
        pytest.param({"resolve": "silent"}, "does not answer in time; try again", marks=pytest.mark.slow),
        ({"resolve": "cut"}, "the download was broken off; the same command goes on from there"),
    ],
)
def test_what_keeps_a_model_away_is_one_line(hub, models, make, tmp_path, fault, line):
    name = f"tiny/{tmp_path.name}"
    hub.serve(name, models / "t5")
    whole = dict(hub.answers)
    (place, what), data = *fault.items(), (models / "t5" / "model.safetensors").read_bytes()
    path = f"api/models/{name}/revision/main" if place == "api" else f"{name}/resolve/{Hub.COMMIT}/model.safetensors"
    faults = {"silent": lambda handler: time.sleep(3), "cut": hub.file(data, data[:1000])}
    hub.answers[path] = faults[what] if isinstance(what, str) else hub.refuse(*what)
    folder = settings(tmp_path / "own", name)
    answer = make(folder)
    assert answer.startswith(f"the weights of {name} can be had neither from the hub nor from its cache: ") and line in answer
    assert "<new line>" not in answer
    assert sorted(path.name for path in folder.iterdir()) == ["settings.json"]
    hub.answers.update(whole)
    assert make(folder) == "made"


def test_other_bytes_than_expected_are_refused(hub, models, make, tmp_path):
    hub.serve("tiny/wrong", models / "t5")
    data = (models / "t5" / "model.safetensors").read_bytes()
    path = f"tiny/wrong/resolve/{Hub.COMMIT}/model.safetensors"
    right, other = hub.answers[path], data[:-1] + bytes([data[-1] ^ 1])
    hub.answers[path] = hub.file(data, other)
    pins = {"model.safetensors": sha(data)}
    folder = settings(tmp_path / "own", "tiny/wrong", sha256=pins)
    answer = make(folder)
    what = f": is not the model.safetensors of tiny/wrong that is expected: its SHA-256 is {sha(other)}, not {sha(data)}; delete it, and"
    assert what in answer and sorted(path.name for path in folder.iterdir()) == ["settings.json"]
    hub.answers[path] = right
    os.remove(answer.partition(": is not")[0])
    assert make(folder) == "made"
    elsewhere = settings(tmp_path / "other", "tiny/wrong", sha256={"rust_model.ot": sha(data)})
    assert "'sha256' of tiny/wrong names rust_model.ot, which is not used; what is used: config.json," in make(elsewhere)


def test_a_model_without_safetensors_is_not_taken(hub, models, make, tmp_path):
    shutil.copytree(models / "t5", tmp_path / "model")
    (tmp_path / "model" / "model.safetensors").unlink()
    hub.serve("tiny/pickled", tmp_path / "model")
    assert "has no model.safetensors; " in make(settings(tmp_path / "own", "tiny/pickled"))
    assert not any("pytorch_model.bin" in path for path in hub.asked)


def test_the_cache_alone_is_enough_if_it_is_whole(hub, models, tmp_path):
    cache = tmp_path / "cache"
    online, offline = environment(hub, cache), environment(hub, cache, HF_HUB_OFFLINE="1")
    folder = settings(tmp_path / "own", "tiny/t5")
    command(folder, **online)
    first = (folder / "manifest.json").read_bytes()
    snapshot = next(cache.rglob("snapshots/*"))
    # as another program may have left it there
    (snapshot / "pytorch_model.bin").write_bytes(b"what nobody loads")
    shutil.rmtree(folder / "model")
    subprocess.run([sys.executable, "-m", "hyperloader", "backbone", str(folder)], env=offline, check=True)
    assert (folder / "manifest.json").read_bytes() == first
    assert sorted(path.name for path in (folder / "model").iterdir()) == ["config.json", "model.safetensors", "spiece.model"]
    (snapshot / "model.safetensors").unlink()
    line = f"{snapshot}: the cache holds a part of tiny/t5 only: it has no model.safetensors; the rest cannot be had: "
    assert f"{line}HF_HUB_OFFLINE is set; unset it" in command(folder, **offline)
    assert f"{line}no connection to http://127.0.0.1:9; see the network" in command(
        folder, **online | {"HF_ENDPOINT": "http://127.0.0.1:9"}
    )


@pytest.mark.parametrize(
    ("variables", "line"),
    [
        ({"HF_ENDPOINT": "http://127.0.0.1:9"}, "no connection to http://127.0.0.1:9; see the network and HF_ENDPOINT"),
        ({"HTTP_PROXY": "http://127.0.0.1:9"}, "the proxy does not lead to http://127.0.0.1"),
        ({"HF_ENDPOINT": "https"}, "no TLS connection to https://127.0.0.1"),
        ({"HF_HUB_OFFLINE": "1"}, "HF_HUB_OFFLINE is set; unset it, or download it where there is internet"),
    ],
)
def test_what_is_wrong_with_the_network_is_told_apart(hub, tmp_path, variables, line):
    if variables.get("HF_ENDPOINT") == "https":
        variables = {"HF_ENDPOINT": hub.url("").rstrip("/").replace("http", "https")}
    answer = command(settings(tmp_path / "own", "tiny/t5"), **environment(hub, tmp_path / "cache", **variables))
    assert answer.startswith("hyperloader: the weights of tiny/t5 can be had neither from the hub nor from its cache: ")
    assert line in answer


ON_DISK = """
import json, os, sys
os.environ.clear()
os.environ.update(json.loads(sys.argv[2]))
sys.argv[1:], sys.stderr = ["backbone", sys.argv[3]], sys.stdout
from hyperloader.cli.main import main
try:
    main()
except SystemExit:
    pass
"""


def test_a_full_disk_is_named(hub, models, tmp_path):
    cache, folder = tmp_path / "cache", settings(tmp_path / "own", "tiny/t5")
    cache.mkdir()
    answer = run_on_small_disk(cache, "8k", ON_DISK, json.dumps(environment(hub, cache)), str(folder))
    assert f"no room on the disk of {cache}/hub; make room there, or let HF_HOME name a folder on another disk" in answer


def test_where_the_fast_transfer_fails_there_is_the_plain_one(hub, models, tmp_path):
    hub.serve("tiny/fast", models / "t5")
    data = (models / "t5" / "model.safetensors").read_bytes()
    fast = {"X-Xet-Hash": "0" * 64, "X-Xet-Refresh-Route": hub.url("xet-token")}
    hub.answers[f"tiny/fast/resolve/{Hub.COMMIT}/model.safetensors"] = hub.file(data, **fast)
    hub.answers["xet-token"] = hub.refuse(200)
    folder, variables = settings(tmp_path / "own", "tiny/fast"), environment(hub, tmp_path / "cache")
    assert "try again with HF_HUB_DISABLE_XET=1" in command(folder, **variables)
    command(folder, **variables | {"HF_HUB_DISABLE_XET": "1"})
    assert (folder / "manifest.json").exists()


def test_on_a_terminal_progress_is_seen(hub, tmp_path):
    variables = environment(hub, tmp_path / "cache")
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, 120))
    call = [sys.executable, "-m", "hyperloader", "backbone", str(settings(tmp_path / "own", "tiny/t5"))]
    with subprocess.Popen(call, env=variables, stderr=theirs) as process:
        os.close(theirs)
        shown = b""
        try:
            while packet := os.read(ours, 10_000):
                shown += packet
        except OSError:  # the end of a terminal
            pass
    os.close(ours)
    assert process.returncode == 0 and b"model.safetensors: 100%" in shown
