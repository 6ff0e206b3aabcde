"""Files of a run, a model and a backbone that were damaged or edited by hand: read as what they say, or one line that says why not."""

import copy
import json
import random
from contextlib import contextmanager

import pytest
from test_run import run_in

from hyperloader.corpora.prepared import load_corpus
from hyperloader.errors import UserError
from hyperloader.methods.training_run import train_run
from hyperloader.models.backbones import open_backbone
from hyperloader.planning.plan import Plan
from hyperloader.planning.status import as_text, status
from hyperloader.predicting.prediction import predict_run
from hyperloader.predicting.tagger import Tagger
from hyperloader.reports.figures.curves import write_curves
from hyperloader.reports.figures.labels import write_labels
from hyperloader.reports.tables.score_page import write_score_page
from hyperloader.reports.tables.scores import write_scores
from hyperloader.scoring import score_run

NUMBERS = [0, -1, 1.5, 10**30, float("nan"), float("inf")]
VALUES = [*NUMBERS, None, True, "", "x", "../../x", "/etc/passwd", "a\0b", "\ud800", [], {}, [None], [[]], {"x": 1}]


PLAN = Plan.read("config/config.yaml", ["seeds=[42]", "corpora=[atis,snips]", "methods=[hyperloader,gazetteer]", "fractions=[100]"])
NETWORK, CONTROL = (f"results/demo/runs/matched/{method}/atis+snips/100/seed42" for method in ("hyperloader", "gazetteer"))


@pytest.fixture(scope="module")
def root(place):
    """A network's and a control's run, trained, predicted and scored, where the plan of the test looks for them."""
    for run in PLAN.runs("demo"):
        (place / "results" / run.path).parent.mkdir(parents=True)
        changes = {} if run.method == "hyperloader" else {"method": run.method, "method_settings": {}, "backbone": None}
        folder = run_in(place, f"results/{run.path}", percent=100, **changes)
        train_run(folder)
        predict_run(folder)
        score_run(folder)
    return place


def edited(text: str, generator: random.Random) -> bytes:
    """A file of JSON, damaged or with one value replaced, added or taken away."""
    kind = generator.randrange(12)
    data = text.encode()
    if kind == 0:
        return data[: generator.randrange(len(data))]
    if kind == 1:
        place = generator.randrange(len(data))
        return data[:place] + bytes([generator.randrange(256)]) + data[place + 1 :]
    if kind == 2:
        return generator.choice([b"", b"\0", b"\xff", b"[]", b"{}", b"null", b"7", b"\xef\xbb\xbf" + data, b"[" * 100_000, b"9" * 10_000])
    value = json.loads(text)
    # the containers of the tree, the root among them
    containers, nodes = [], [value]
    while nodes:
        node = nodes.pop()
        if isinstance(node, dict | list):
            containers.append(node)
            nodes += node.values() if isinstance(node, dict) else node
    inner = generator.choice([node for node in containers if node])
    key = generator.choice(list(inner) if isinstance(inner, dict) else range(len(inner)))
    new = copy.deepcopy(generator.choice(VALUES))
    if kind == 3:
        del inner[key]
    elif kind == 4 and isinstance(inner, dict):
        inner[generator.choice(["", "x", "../../x", "a/b", "seed", "snips"])] = new
    elif kind == 5 and isinstance(inner, dict):
        inner[generator.choice(["../../x", "/tmp/x", "x"])] = inner.pop(key)
    else:
        inner[key] = new
    return json.dumps(value).encode()


@contextmanager
def kept(path):
    """Put a file back as it was."""
    before = path.read_bytes()
    try:
        yield before.decode()
    finally:
        path.write_bytes(before)


def tag(run):
    Tagger.from_pretrained(run).predict("play a song", task="snips")


def use_backbone(folder):
    _ = open_backbone(folder).checksum
    open_backbone(folder).model()


def tables(run):
    write_scores([run / "scores.json"], run / "scores.csv")
    write_score_page([run], run / "scores.html")
    write_labels([run], run / "labels")


def states(results):
    as_text(list(status(PLAN, "demo", results=results)))


# what is edited, what reads it then, and what that is given
CASES = {
    "settings of a network": (f"{NETWORK}/settings.json", tag, NETWORK),
    "settings of a control": (f"{CONTROL}/settings.json", predict_run, CONTROL),
    "settings to score by": (f"{CONTROL}/settings.json", score_run, CONTROL),
    "model": (f"{NETWORK}/model/config.json", tag, NETWORK),
    "learned": (f"{CONTROL}/model/learned.json", tag, CONTROL),
    "run": (f"{NETWORK}/run.json", states, "results"),
    "curve": (f"{NETWORK}/run.json", lambda run: write_curves([run], run / "curves"), NETWORK),
    "predictions": (f"{CONTROL}/predictions.json", score_run, CONTROL),
    "scores": (f"{CONTROL}/scores.json", tables, CONTROL),
    "backbone": ("t5/manifest.json", use_backbone, "t5"),
    "corpus": ("data/atis/manifest.json", load_corpus, "data/atis"),
}
DRAWN = ("curve", "scores")  # matplotlib takes its time


def everything(folder):
    return {path for path in folder.rglob("*") if "labels." not in path.name and "curves." not in path.name}


@pytest.mark.parametrize("times", [25, pytest.param(1000, marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", CASES)
def test_one_line_or_no_error(root, name, times):
    file, read, subject = CASES[name]
    path = root / file
    read(root / subject)
    before = everything(root.parent)
    for number in range(times // 8 if name in DRAWN else times):
        with kept(path) as text:
            content = edited(text, random.Random(f"{name} {number}"))
            path.write_bytes(content)
            try:
                read(root / subject)
            except UserError as error:
                assert str(error).strip() and "\n" not in str(error) and len(str(error)) < 2000, error
            except Exception as error:
                raise AssertionError(f"edit {number}: {content[:3000]!r}") from error
    # whatever the file said, nothing was written elsewhere
    assert everything(root.parent) <= before
