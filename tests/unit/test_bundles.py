"""Results as one archive: whole, the same for the same results, checked again from the predictions, and never trusted."""

import csv
import hashlib
import io
import json
import re
import shutil
import stat
import zipfile

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from made_up_results import PUBLISHED, as_if_real, make_results, make_run
from tiny_runs import TRAINING

from hyperloader.corpora.generated.generate import generate
from hyperloader.corpora.prepare import prepare
from hyperloader.corpora.prepared import load_corpus
from hyperloader.errors import RunError, UserError
from hyperloader.files import write_json
from hyperloader.reports.bundles.packing import write_bundle
from hyperloader.reports.bundles.verifying import verify
from hyperloader.reports.tables.ablations import write_ablations
from hyperloader.reports.tables.endpoints import write_endpoints
from hyperloader.reports.tables.scores import write_scores

RUN = "runs/test/hyperloader/all/100/seed1"
PREDICTIONS = f"{RUN}/predictions/atis.jsonl"


@pytest.fixture(scope="module")
def results(place, tmp_path_factory):
    """Results on two corpora as if they were the real ones: the terms of one let its words travel, those of the other do not."""
    folder = tmp_path_factory.mktemp("results")
    return make_results(folder / "test", as_if_real(place / "data", folder / "data"))


@pytest.fixture(scope="module")
def bundle(results, tmp_path_factory):
    path = tmp_path_factory.mktemp("bundle") / "bundle.zip"
    write_bundle(results, PUBLISHED, path)
    return path


@pytest.fixture
def files(bundle):
    with zipfile.ZipFile(bundle) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def pack(path, files):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def consistent(files):
    """A manifest that fits the files, whatever they hold."""
    manifest = json.loads(files["bundle.json"])
    manifest["files"] = {name: hashlib.sha256(content).hexdigest() for name, content in files.items() if name != "bundle.json"}
    return files | {"bundle.json": json.dumps(manifest).encode()}


def test_a_bundle_is_whole_and_the_same_for_the_same_results(results, bundle, hyperloader, tmp_path):
    shutil.copytree(results, tmp_path / "copy")
    status, out, _ = hyperloader("bundle", tmp_path / "copy", "--published", PUBLISHED)
    assert status == 0 and "2 runs" in out and "ATIS" in out and "SNIPS" not in out
    assert (tmp_path / "copy/bundle.zip").read_bytes() == bundle.read_bytes()
    status, out, err = hyperloader("verify", bundle)
    assert (status, err) == (0, "") and "all checksums are right" in out and "numbers stand for the words of ATIS" in out


def test_words_travel_where_the_terms_let_them(results, bundle, files):
    for name, words_travel in (("atis", False), ("snips", True)):
        words = {word for sentence in load_corpus(results / "data" / name).test for word in sentence.words}
        packed = {word for line in files[f"{RUN}/predictions/{name}.jsonl"].decode().splitlines() for word in json.loads(line)["tokens"]}
        assert packed == words if words_travel else all(word.isdigit() for word in packed) and len(packed) == len(words)
        assert json.loads(files["bundle.json"])["corpora"][name]["words"] is words_travel
        written = {
            part for line in files[f"{RUN}/predictions/{name}.jsonl"].decode().splitlines() for part in json.loads(line)["output"].split()
        }
        assert bool(written & words) is words_travel and "O" in written
    assert verify(bundle, results / "data")[1] == []


def test_generated_words_travel(place, tmp_path):
    results = make_results(tmp_path / "test", place / "data", {"hyperloader": 0.2})
    packed = write_bundle(results, PUBLISHED, tmp_path / "bundle.zip")
    assert [corpus.words for corpus in packed.corpora.values()] == [True, True]


def test_runs_on_other_draws_of_the_data_are_scored_by_their_own_training_sets(tmp_path):
    generate("movie", tmp_path / "raw")
    scores, results = [], tmp_path / "test"
    for seed, draw in ((42, "data"), (7, "data-draw7")):
        data = {"movie": prepare("movie", tmp_path / "raw", results / draw / "movie", seed=seed)}
        run = make_run(results / f"runs/test/hyperloader/movie/100/seed{seed}", data, "hyperloader", 0.2, seed)
        scores.append(run.folder / "scores.json")
    write_scores(scores, results / "scores.csv")
    packed = write_bundle(results, PUBLISHED, tmp_path / "bundle.zip")
    seen = packed.corpora["movie"].seen
    assert list(seen) == ["data", "data-draw7"] and seen["data"] != seen["data-draw7"]
    assert {"data/movie/manifest.json", "data-draw7/movie/manifest.json"} <= packed.files.keys()
    assert [verify(tmp_path / "bundle.zip", data)[1] for data in (None, *(results / draw for draw in seen))] == [[], [], []]


def test_the_tables_of_a_part_come_of_the_runs_of_its_scale(results, hyperloader, tmp_path):
    shutil.copytree(results, tmp_path / "test")
    part = tmp_path / "test@two"
    part.mkdir()
    write_scores([tmp_path / "test" / RUN / "scores.json"], part / "scores.csv")
    status, out, _ = hyperloader("bundle", part, "--published", PUBLISHED)
    assert status == 0 and "1 run," in out
    status, out, _ = hyperloader("verify", part / "bundle.zip", "--data", results / "data")
    assert status == 0, out
    shutil.rmtree(tmp_path / "test")
    status, _, err = hyperloader("bundle", part, "--published", tmp_path)
    assert status == 2 and "--published" in err and err.count("\n") == 1
    status, _, err = hyperloader("bundle", part, "--published", PUBLISHED)
    assert status == 2 and f"comes of no run in {tmp_path / 'test/runs'}" in err and err.count("\n") == 1


def test_other_test_sets_are_named(results, bundle, tmp_path):
    shutil.copytree(results / "data", tmp_path / "data")
    shutil.rmtree(tmp_path / "data/atis")
    shutil.copytree(results / "data/snips", tmp_path / "data/atis")
    found = verify(bundle, tmp_path / "data").found
    assert any(difference.file == PREDICTIONS and "test set" in difference.what for difference in found)
    with pytest.raises(UserError, match="not a prepared corpus"):
        verify(bundle, tmp_path / "nowhere")


def first_wrong(content):
    """One tag of one prediction changed, at the first sentence with a span in both."""
    lines = content.decode().splitlines()
    for number, line in enumerate(lines):
        sentence = json.loads(line)
        if any(own == other != "O" for own, other in zip(sentence["gold"], sentence["prediction"], strict=True)):
            sentence["prediction"] = ["O"] * len(sentence["gold"])
            lines[number] = json.dumps(sentence, ensure_ascii=False)
            break
    return ("\n".join(lines) + "\n").encode(), number


def replaced(old, new):
    def change(content):
        assert old in content
        return content.replace(old, new, 1)

    return change


def changed_cell(column):
    def change(content):
        header, first, *rest = content.decode().split("\n")
        cells = first.split(",")
        cells[header.split(",").index(column)] = "0.1234"
        return "\n".join([header, ",".join(cells), *rest]).encode()

    return change


CHANGES = {
    "count": (f"{RUN}/counts/snips.csv", replaced(b"\n3,", b"\n3,1"), r"counts/snips.csv: line 5, gold"),
    "score": (
        f"{RUN}/scores.json",
        replaced(b'"f1": 0.', b'"f1": 0.0'),
        r"scores.json: corpora.atis.scores\[0\].f1: 0.0\d+, made again 0.\d+",
    ),
    "tidy cell": ("scores.csv", changed_cell("ci_low"), r"scores.csv: line 2, ci_low: '0.1234', made again '0.\d+'"),
    "table cell": ("table3.csv", lambda content: content.replace(b"ATIS,", b"ATIS,0", 1), r"table3.csv: line \d, "),
    "words of a table": (
        "table3.md",
        lambda content: content.replace(b"ATIS", b"atis"),
        r"table3.md: line \d+ is not as it was made again",
    ),
    "table 2": ("table2.csv", changed_cell("test"), r"table2.csv: line 2, test"),
    "p-value": ("comparisons.csv", changed_cell("p"), r"comparisons.csv: line 2, p"),
    "verdict": ("claims.csv", lambda content: content.replace(b"not run", b"confirmed", 1), r"claims.csv: line \d+, "),
}


@pytest.mark.parametrize("name", CHANGES)
def test_what_is_changed_is_named_even_where_its_checksum_is_right(name, files, hyperloader, tmp_path):
    file, change, told = CHANGES[name]
    assert files[file] != change(files[file])
    files[file] = change(files[file])
    status, out, err = hyperloader("verify", pack(tmp_path / "bundle.zip", consistent(files)))
    lines = out.splitlines()[1:]
    assert (
        status == 2 and len(lines) == 2 and re.search(told, lines[0]) and lines[1].startswith("not made again") and err.count("\n") == 1
    ), out


def test_a_changed_prediction_is_named_down_to_its_sentence(files, hyperloader, tmp_path):
    files[PREDICTIONS], number = first_wrong(files[PREDICTIONS])
    status, out, _ = hyperloader("verify", pack(tmp_path / "bundle.zip", consistent(files)))
    assert status == 2
    for told in (
        f"{RUN}/counts/atis.csv: line {number + 2}, predicted: ",
        f"{RUN}/scores.json: corpora.atis.",
        "scores.csv: line ",
        "table3.csv: line ",
    ):
        assert told in out
    assert "snips.csv" not in out


@pytest.fixture(scope="module")
def studied(place, tmp_path_factory):
    """A project with a table of one method and an ablation table of two more, one of which has a model for each corpus."""
    project = tmp_path_factory.mktemp("project")
    results = project / "results/test"
    shutil.copytree(place / "data", results / "data", ignore=shutil.ignore_patterns("tokenised"))
    data = {name: results / "data" / name for name in ("atis", "snips")}
    wide, alone = ({"variant": {"name": name, "title": name.title()}} for name in ("wide", "alone"))
    runs = [make_run(results / "runs/test/hyperloader/atis+snips/100/seed1", data, "hyperloader", 0.1)]
    runs += [make_run(results / "runs/test/wide/atis+snips/100/seed1", data, "hyperloader", 0.2, **wide)]
    for name, folder in data.items():
        runs.append(make_run(results / f"runs/test/alone/{name}/100/seed1", {name: folder}, "hyperloader", 0.3, **alone))
    question = {"question": "Is more better?", "against": "hyperloader", "methods": ["wide", "alone", "never_run"]}
    write_json(project / "config/ablations.yaml", {"fractions": [100], "questions": [question]})
    write_scores([runs[0].folder / "scores.json"], results / "scores.csv")
    write_ablations([run.folder for run in runs], project / "config/ablations.yaml", results / "ablations.csv")
    write_endpoints([run.folder / "scores.json" for run in runs], results / "endpoints.csv")
    (results / "tuning.csv").write_text("method,learning_rate\n")
    return results


def test_the_ablation_table_travels_with_its_runs_and_is_made_again(studied, hyperloader, tmp_path):
    status, out, err = hyperloader("bundle", studied, "--published", PUBLISHED, "--output", tmp_path / "bundle.zip")
    assert status == 0 and "4 runs" in out, err
    status, out, _ = hyperloader("verify", tmp_path / "bundle.zip")
    assert (
        status == 0 and "and the same: the scores of 4 runs, ablations.csv, ablations.md, endpoints.csv, endpoints.md, scores.csv\n" in out
    )
    assert "not made again, of which only the checksums were looked at: tuning.csv\n" in out
    with zipfile.ZipFile(tmp_path / "bundle.zip") as archive:
        packed = {name: archive.read(name) for name in archive.namelist()}
    for name, old, new, told in (
        ("ablations.csv", b",0.", b",0.0", "ablations.csv: line 2, f1: "),
        ("endpoints.csv", b"not run", b"better", "endpoints.csv: line 2, verdict: "),
        ("ablations.yaml", b"Is more", b"Is less", "ablations.csv: line 2, question: "),
        ("runs/test/wide/atis+snips/100/seed1/run.json", b'"trainable": 10', b'"trainable": 20', "ablations.csv: line 3, trainable: "),
        ("runs/test/alone/snips/100/seed1/predictions/snips.jsonl", None, None, "runs/test/alone/snips/100/seed1/scores.json: "),
    ):
        content = first_wrong(packed[name])[0] if old is None else packed[name].replace(old, new, 1)
        assert content != packed[name]
        status, out, _ = hyperloader("verify", pack(tmp_path / "changed.zip", consistent(packed | {name: content})))
        assert status == 2 and told in out and ("ablations.csv: " in out or name == "endpoints.csv"), out


def test_an_ablation_table_without_its_runs_or_study_is_not_packed(studied, hyperloader, tmp_path):
    project = tmp_path / "project"
    shutil.copytree(studied.parents[1], project)
    results, study = project / "results/test", project / "config/ablations.yaml"
    shutil.rmtree(results / "runs/test/alone/snips")
    status, _, err = hyperloader("bundle", results, "--published", PUBLISHED)
    assert status == 2 and "ablations.csv:4: " in err and "runs/test/alone/snips" in err and "move it away" in err and err.count("\n") == 1
    study.write_text(study.read_text().replace("wide", "high"))
    status, _, err = hyperloader("bundle", results, "--published", PUBLISHED)
    assert status == 2 and "ablations.csv:3: answers what" in err and err.count("\n") == 1
    (results / "ablations.csv").unlink()
    assert hyperloader("bundle", results, "--published", PUBLISHED)[0] == 0
    (results / "scores.csv").unlink()
    status, _, err = hyperloader("bundle", results, "--published", PUBLISHED)
    assert status == 2 and f"snakemake --cores 2 -- {results / 'scores.csv'}" in err and err.count("\n") == 1


@pytest.mark.parametrize("table", ["table2", "table3", "scores", "comparisons", "claims", "parameters"])
def test_a_table_that_its_data_are_taken_from_is_a_difference(table, files, hyperloader, tmp_path):
    del files[f"{table}.csv"]
    files.setdefault(f"{table}.md", b"HyperLoader wins")
    status, out, _ = hyperloader("verify", pack(tmp_path / "bundle.zip", consistent(files)))
    assert status == 2 and f"{table}.md: there is no {table}.csv" in out and "all checksums are right" not in out


def test_what_was_not_made_again_is_said(files, hyperloader, tmp_path):
    others = {name: b"x,y\n1,2\n" for name in ("table9.csv", "runs/other.csv", f"{RUN}/counts/other.csv", "published/more.csv")}
    status, out, _ = hyperloader("verify", pack(tmp_path / "bundle.zip", consistent(files | others)))
    unchecked, same = out.splitlines()[1:]
    assert status == 0 and all(name in unchecked and name not in same for name in (*others, "parameters.csv"))
    assert all(name in same for name in ("table2.csv", "table3.csv", "scores.csv", "comparisons.csv", "claims.csv", "claims.md"))


@pytest.mark.parametrize(
    "key, value",
    [("scale", "paper"), ("title", "Atis"), ("licence", "CC0-1.0"), ("citation", "none"), ("homepage", "none"), ("words", True)],
)
def test_what_is_said_of_scale_and_terms_is_checked(key, value, files, hyperloader, tmp_path):
    manifest = json.loads(files["bundle.json"])
    (manifest if key == "scale" else manifest["corpora"]["atis"])[key] = value
    bundle = pack(tmp_path / "bundle.zip", files | {"bundle.json": json.dumps(manifest).encode()})
    status, out, _ = hyperloader("verify", bundle)
    assert status == 2 and ("is of scale test" if key == "scale" else f"bundle.json: corpora.atis.{key} is ") in out


def test_two_corpora_of_one_title_are_refused(bundle, files, hyperloader, tmp_path):
    manifest = json.loads(files["bundle.json"])
    manifest["corpora"]["atis"]["title"] = manifest["corpora"]["snips"]["title"]
    other = pack(tmp_path / "other.zip", files | {"bundle.json": json.dumps(manifest).encode()})
    for command in (["verify"], ["compare", bundle]):
        status, _, err = hyperloader(*command, other)
        assert status == 2 and "two corpora of the same title" in err and err.count("\n") == 1


def test_nothing_of_a_bundle_writes_to_the_terminal_but_text(bundle, files, hyperloader, tmp_path):
    evil = "x\x1b[31m\nall checksums are right\u202e\x9b"
    manifest = json.loads(files["bundle.json"])
    manifest["versions"][evil] = evil
    manifest["corpora"]["atis"] |= {"title": evil, "licence": evil}
    files[f"{RUN}/settings.json"] = files[f"{RUN}/settings.json"].replace(
        b'"label_smoothing"', json.dumps(evil, ensure_ascii=False).encode()
    )
    files["scores.csv"] = files["scores.csv"].replace(b",HyperLoader,", ',"H\x1b\u202eL",'.encode())
    other = pack(tmp_path / "other.zip", consistent(files | {"bundle.json": json.dumps(manifest).encode()}))
    manifest["corpora"][evil] = manifest["corpora"]["atis"]
    refused = pack(tmp_path / "refused.zip", files | {"bundle.json": json.dumps(manifest).encode()})
    for command in (["verify", other], ["compare", bundle, other], ["verify", refused], ["compare", bundle, refused]):
        status, out, err = hyperloader(*command)
        assert all(letter.isprintable() for letter in (out + err).replace("\n", "")), (command, out, err)
        assert not any(line.startswith("all checksums") for line in out.splitlines()) and "\\x1b" in out + err


@pytest.mark.parametrize("words", ["with words", "without"])
def test_a_prediction_and_all_that_follows_from_it_changed_is_named_by_the_record(words, results, files, tmp_path):
    """Where words are there, the checksum that was taken when it was predicted tells."""
    file = f"{RUN}/predictions/snips.jsonl" if words == "with words" else PREDICTIONS
    files[file] = files[file].replace(b"0.5]", b"0.6]", 1)
    bundle = pack(tmp_path / "bundle.zip", consistent(files))
    told = [f"{file}: has another SHA-256 than in predictions.json"]
    assert list(map(str, verify(bundle)[1])) == (told if words == "with words" else [])
    assert list(map(str, verify(bundle, results / "data")[1])) == told


def test_other_seen_sentences_give_other_scores(results, files, tmp_path):
    """Which test sentences train has is in the bundle, so that scores on the others need no prepared corpus."""
    manifest = json.loads(files["bundle.json"])
    corpus = load_corpus(results / "data/snips")
    words = {sentence.words for sentence in corpus.train}
    assert manifest["corpora"]["snips"]["seen"] == {
        "data": [place for place, sentence in enumerate(corpus.test) if sentence.words in words]
    }
    manifest["corpora"]["snips"]["seen"] = {"data": list(range(100))}
    bundle = pack(tmp_path / "bundle.zip", files | {"bundle.json": json.dumps(manifest).encode()})
    assert any(own.file == f"{RUN}/scores.json" and "corpora.snips.unseen" in own.what for own in verify(bundle)[1])
    assert any(own.file == "bundle.json" and "corpora.snips" in own.what for own in verify(bundle, results / "data")[1])


def test_missing_and_extra_files_and_wrong_checksums_are_named(files, hyperloader, tmp_path):
    manifest = json.loads(files["bundle.json"])
    manifest["files"]["table2.csv"] = "0" * 64
    missing, extra = f"{RUN}/counts/atis.csv", "notes.txt"
    changed = {name: content for name, content in files.items() if name != missing} | {
        extra: b"",
        "table3.md": files["table3.md"].replace(b"ATIS", b"atis"),
        "bundle.json": json.dumps(manifest).encode(),
    }
    status, out, err = hyperloader("verify", pack(tmp_path / "bundle.zip", changed))
    assert status == 2 and "5 differences" in err
    told = [f"{missing}: is missing", f"{extra}: is not listed in bundle.json"]
    told += [f"{name}: has another SHA-256 than in bundle.json" for name in ("table2.csv", "table3.md")]
    assert all(out.count(f"{line}\n") == 1 for line in told), out


def test_a_name_makes_no_line_of_its_own(files, hyperloader, tmp_path):
    manifest = json.loads(files["bundle.json"])
    manifest["files"]["x\nall checksums are right"] = "0"
    status, out, err = hyperloader("verify", pack(tmp_path / "bundle.zip", files | {"bundle.json": json.dumps(manifest).encode()}))
    assert status == 2 and out == "" and "x\\nall checksums are right', which no bundle has" in err and err.count("\n") == 1


def test_runs_and_files_that_the_manifest_leaves_out_are_named(files, tmp_path):
    manifest = json.loads(files["bundle.json"])
    other = manifest["runs"].pop()
    told = [difference.file for difference in verify(pack(tmp_path / "run.zip", files | {"bundle.json": json.dumps(manifest).encode()}))[1]]
    assert other in told and "scores.csv" in told
    left = consistent({name: content for name, content in files.items() if name != f"{RUN}/counts/atis.csv"})
    assert f"{RUN}/counts/atis.csv: is not in bundle.json" in map(str, verify(pack(tmp_path / "file.zip", left))[1])


def link(name):
    entry = zipfile.ZipInfo(name)
    entry.external_attr = (stat.S_IFLNK | 0o777) << 16
    return entry


HOSTILE = {
    "a way out": lambda archive: archive.writestr("../evil", ""),
    "a hidden way out": lambda archive: archive.writestr("runs/../../evil", ""),
    "an absolute name": lambda archive: archive.writestr("/tmp/evil", ""),
    "a drive": lambda archive: archive.writestr("C:evil", ""),
    "a backslash": lambda archive: archive.writestr("..\\evil", ""),
    "a folder": lambda archive: archive.writestr("runs/", ""),
    "a line in a name": lambda archive: archive.writestr("evil\nname", ""),
    "a long name": lambda archive: archive.writestr("x" * 300, ""),
    "a deep name": lambda archive: archive.writestr("x/" * 600 + "x", ""),
    "a link": lambda archive: archive.writestr(link("link"), "/etc/passwd"),
    "a file as a folder": lambda archive: archive.writestr("bundle.json/x", ""),
    "a bomb": lambda archive: archive.writestr("bomb", b"0" * 50_000_000),
    "another packing": lambda archive: archive.writestr("x", "x", zipfile.ZIP_BZIP2),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_archives_are_refused_in_one_line(name, bundle, hyperloader, tmp_path):
    shutil.copyfile(bundle, tmp_path / "bundle.zip")
    with zipfile.ZipFile(tmp_path / "bundle.zip", "a", zipfile.ZIP_DEFLATED) as archive:
        HOSTILE[name](archive)
    status, out, err = hyperloader("verify", tmp_path / "bundle.zip")
    assert status == 2 and out == "" and err.startswith("hyperloader: ") and err.count("\n") == 1, err
    assert {path.name for path in tmp_path.iterdir()} == {"bundle.zip"} and not (tmp_path.parent / "evil").exists()


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_name_twice_is_refused(bundle, tmp_path):
    shutil.copyfile(bundle, tmp_path / "bundle.zip")
    with zipfile.ZipFile(tmp_path / "bundle.zip", "a") as archive:
        archive.writestr("table3.csv", "")
    with pytest.raises(RunError, match="two members named 'table3.csv'"):
        verify(tmp_path / "bundle.zip")


@pytest.mark.parametrize(
    "content, told",
    [
        (b"", "not a bundle"),
        (b"hello", "not a bundle"),
        (None, "no such file"),
    ],
)
def test_other_files_are_refused(content, told, tmp_path, hyperloader):
    if content is not None:
        (tmp_path / "bundle.zip").write_bytes(content)
    status, _, err = hyperloader("verify", tmp_path / "bundle.zip")
    assert status == 2 and told in err and err.count("\n") == 1


def test_what_is_no_bundle_is_told_once(files, tmp_path, hyperloader):
    del files["bundle.json"]
    other = pack(tmp_path / "other.zip", files)
    for command in (["verify", other], ["verify", tmp_path], ["compare", other, other]):
        status, _, err = hyperloader(*command)
        assert status == 2 and err.count("\n") == err.count("name an archive that `hyperloader bundle` made") == err.count(";") == 1, err
    assert "is no bundle: there is no bundle.json in it" in err


@pytest.mark.parametrize(
    "manifest",
    [b"", b"[]", b"{", b'{"format_version": 3}', b'{"format_version": 2}', b'{"format_version": 1}', b'"\\ud800"', b"[" * 100_000],
    ids=lambda text: text[:12],
)
def test_other_manifests_are_refused(manifest, files, tmp_path):
    with pytest.raises(RunError, match="bundle.json: "):
        verify(pack(tmp_path / "bundle.zip", files | {"bundle.json": manifest}))


@pytest.mark.parametrize(
    "runs",
    [["../up"], ["/etc"], [""], ["."], [RUN + "/.."], ["runs"], ["data/atis"], ["runs/" + "x" * 300], [RUN, RUN], [RUN, RUN + "/x"]],
    ids=lambda runs: runs[-1][:12] + str(len(runs)),
)
def test_runs_elsewhere_or_twice_are_refused_in_one_line(runs, files, tmp_path, hyperloader):
    manifest = json.loads(files["bundle.json"]) | {"runs": runs}
    pack(tmp_path / "bundle.zip", files | {"bundle.json": json.dumps(manifest).encode()})
    for command in (["verify"], ["compare", tmp_path / "bundle.zip"]):
        status, out, err = hyperloader(*command, tmp_path / "bundle.zip")
        assert status == 2 and out == "" and "bundle.json: " in err and "'runs'" in err and err.count("\n") == 1


def test_a_run_that_is_not_there_is_named(files, tmp_path):
    manifest = json.loads(files["bundle.json"])
    manifest["runs"].append("runs/other")
    found = verify(pack(tmp_path / "bundle.zip", files | {"bundle.json": json.dumps(manifest).encode()}))[1]
    assert "runs/other: has no settings.json" in map(str, found)


@pytest.mark.parametrize("name", ["scores.csv", "claims.csv", f"{RUN}/counts/atis.csv"])
def test_a_cell_that_no_table_has_is_named(name, files, hyperloader, tmp_path):
    header, first, *rest = files[name].decode().split("\n")
    files[name] = "\n".join([header, "x" * 200_000 + first, *rest]).encode()
    status, out, _ = hyperloader("verify", pack(tmp_path / "bundle.zip", consistent(files)))
    assert status == 2 and f"{name}: " in out


def drawn(examples):
    return settings(max_examples=examples, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.mark.parametrize("examples", [8, pytest.param(300, marks=pytest.mark.slow)])
def test_damage_never_ends_in_a_traceback(examples, bundle, tmp_path):
    drawn(examples)(given(data=st.data())(lambda data: look_at_damaged(data, bundle.read_bytes(), tmp_path)))()


def look_at_damaged(data, content, tmp_path):
    place = data.draw(st.integers(0, len(content) - 1))
    if data.draw(st.booleans()):
        damaged = content[:place]
    else:
        damaged = content[:place] + bytes([content[place] ^ data.draw(st.integers(1, 255))]) + content[place + 1 :]
    (tmp_path / "damaged.zip").write_bytes(damaged)
    try:
        verify(tmp_path / "damaged.zip")
    except UserError as error:
        assert "\n" not in str(error)


@pytest.mark.parametrize("examples", [8, pytest.param(300, marks=pytest.mark.slow)])
def test_edited_contents_never_end_in_a_traceback(examples, files, tmp_path):
    """Of a forger who keeps all checksums right."""
    drawn(examples)(given(data=st.data())(lambda data: look_at_edited(data, files, tmp_path)))()


def look_at_edited(data, files, tmp_path):
    name = data.draw(st.sampled_from(sorted(files)))
    content = files[name]
    start = data.draw(st.integers(0, len(content)))
    piece = data.draw(st.binary(max_size=8) | st.sampled_from([b"0", b'"\\ud800"', b"-1", b"null", b"\n", b"9" * 5000]))
    edited = files | {name: content[:start] + piece + content[start + data.draw(st.integers(0, 20)) :]}
    try:
        verify(pack(tmp_path / "edited.zip", edited if name == "bundle.json" else consistent(edited)))
    except UserError as error:
        assert "\n" not in str(error)


def test_bundles_are_compared_cell_by_cell_and_setting_by_setting(results, bundle, hyperloader, tmp_path):
    data = results / "data"
    training = {"training": TRAINING | {"learning_rate": 0.5}}
    other = make_results(tmp_path / "test", data, {"hyperloader": 0.4, "gazetteer": 0.2}, **training)
    write_bundle(other, PUBLISHED, tmp_path / "other.zip")
    status, out, _ = hyperloader("compare", bundle, tmp_path / "other.zip", "--csv", tmp_path / "c.csv", "--html", tmp_path / "c.html")
    assert status == 0 and "training.learning_rate: 0.01 | 0.5 (1 run)" in out and "other" in (tmp_path / "c.html").read_text()
    rows = list(csv.DictReader((tmp_path / "c.csv").read_text().splitlines()))
    shown = {(row["bundle"], row["method"], row["dataset"]): row for row in rows}
    for name, folder in (("bundle", results), ("other", other)):
        scores = json.loads((folder / RUN / "scores.json").read_text())["corpora"]
        f1s = [entry["scores"][0]["f1"] for entry in scores.values()]
        for dataset, f1 in zip(("ATIS", "SNIPS", "Average"), (*f1s, sum(f1s) / 2), strict=True):
            assert float(shown[name, "HyperLoader", dataset]["f1"]) == pytest.approx(f1, abs=1e-4)
    for dataset in ("ATIS", "SNIPS", "Average"):
        ours, theirs = (shown[name, "HyperLoader", dataset] for name in ("bundle", "other"))
        assert float(theirs["difference"]) == pytest.approx(float(theirs["f1"]) - float(ours["f1"])) and ours["difference"] == ""
    assert ("other", "Gazetteer", "Average") in shown and ("bundle", "Gazetteer", "Average") not in shown


def test_a_bundle_differs_in_nothing_from_itself(bundle, hyperloader, tmp_path):
    shutil.copyfile(bundle, tmp_path / "same.zip")
    status, out, _ = hyperloader("compare", bundle, tmp_path / "same.zip", bundle)
    assert status == 0 and out.count("(0.0000)") == 2 * 2 * 3 and "are the same" in out


def test_scores_on_other_test_sets_are_not_compared(bundle, files, hyperloader, tmp_path):
    digest = json.loads(files["bundle.json"])["corpora"]["snips"]["test_set"].encode()
    files["scores.csv"] = files["scores.csv"].replace(digest, b"01234567")
    pack(tmp_path / "other.zip", consistent(files))
    status, out, _ = hyperloader("compare", bundle, tmp_path / "other.zip")
    assert status == 0 and "Other test sets, which are not compared: SNIPS, HyperLoader at 100 %" in out
    assert out.count("(0.0000)") == 2 * 2  # ATIS, and the average of it alone


def of_seeds(path, files, seeds):
    """A bundle whose runs were trained with other seeds, each with an F1 of .01 times its seed."""
    header, *rows = csv.reader(files["scores.csv"].decode().splitlines())
    manifest = json.loads(files["bundle.json"])
    changed, runs = [header], [run for run in manifest["runs"] for _ in seeds]
    for row in rows:
        for seed in seeds:
            own = dict(zip(header, row, strict=True)) | {"seed": str(seed), "f1": f"{seed / 100:.4f}"}
            changed.append(list(own.values()))
    packed = {name: content for name, content in files.items() if not name.startswith("runs/")}
    manifest["runs"] = []
    for run in dict.fromkeys(runs):
        for seed in seeds:
            place = run.replace("seed1", f"seed{seed}")
            manifest["runs"].append(place)
            packed |= {f"{place}/{name}": files[f"{run}/{name}"] for name in ("settings.json", "run.json")}
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(changed)
    return pack(path, consistent(packed | {"bundle.json": json.dumps(manifest).encode(), "scores.csv": text.getvalue().encode()}))


@pytest.mark.parametrize(
    "first, second, common, shown",
    [
        ([1, 2, 3], [2, 3, 4], [2, 3], "2 seeds (2, 3)"),
        ([1, 2], [2], [2], "one seed (2)"),
        ([1], [2, 3], [], "one seed (1); 2 seeds (2, 3)"),
    ],
)
def test_means_are_over_the_seeds_that_all_bundles_have(first, second, common, shown, files, hyperloader, tmp_path):
    one, other = of_seeds(tmp_path / "one.zip", files, first), of_seeds(tmp_path / "other.zip", files, second)
    status, out, _ = hyperloader("compare", one, other, "--csv", tmp_path / "c.csv", "--html", tmp_path / "c.html")
    assert status == 0 and shown in out and shown in (tmp_path / "c.html").read_text()
    for row in csv.DictReader((tmp_path / "c.csv").read_text().splitlines()):
        own = common or (first if row["bundle"] == "one" else second)
        assert row["seeds"] == " ".join(map(str, own)) and float(row["f1"]) == pytest.approx(sum(own) / len(own) / 100)
        assert row["difference"] == ("0.0000" if common and row["bundle"] == "other" else "")
    assert ("No seed that all have" in out) is (not common)
    assert ("No run is in common" in out) is (not common) and ("are the same" in out) is bool(common)
    for name, own, theirs in (("one", first, second), ("other", second, first)):
        alone = ", ".join(f"seed{seed}" for seed in own if seed not in theirs)
        assert (f"Runs of {name} alone, which were not compared: test/" in out and f"hyperloader/all/100 ({alone})" in out) is bool(alone)


@pytest.mark.parametrize("f1", ["nan", "inf", "-0.1", "1.5", ""])
def test_what_is_no_f1_is_not_compared(f1, bundle, files, hyperloader, tmp_path):
    header, first, *rest = files["scores.csv"].decode().split("\n")
    cells = first.split(",")
    cells[header.split(",").index("f1")] = f1
    files["scores.csv"] = "\n".join([header, ",".join(cells), *rest]).encode()
    status, _, err = hyperloader("compare", bundle, pack(tmp_path / "other.zip", consistent(files)))
    assert status == 2 and "scores.csv: is not the table" in err and err.count("\n") == 1


@pytest.mark.parametrize("name", ["scores.csv", f"{RUN}/run.json", f"{RUN}/settings.json"])
def test_what_is_not_as_it_was_packed_is_not_compared(name, bundle, files, hyperloader, tmp_path):
    changed = pack(tmp_path / "other.zip", files | {name: b"{}"})
    status, _, err = hyperloader("compare", bundle, changed)
    assert status == 2 and name in err and err.count("\n") == 1
    status, _, err = hyperloader("compare", bundle, pack(tmp_path / "forged.zip", consistent(files | {name: b"[1]"})))
    assert status == 2 and err.count("\n") == 1


def test_compare_says_what_it_takes(results, bundle, hyperloader):
    for places in ([bundle], [bundle, results / RUN], [results / RUN] * 3):
        status, _, err = hyperloader("compare", *places)
        assert status == 2 and err.count("\n") == 1


def test_results_that_are_not_whole_are_not_packed(results, hyperloader, tmp_path):
    shutil.copytree(results, tmp_path / "test")
    (tmp_path / "test" / RUN / "counts/atis.csv").unlink()
    for change in (lambda: None, lambda: shutil.rmtree(tmp_path / "test" / RUN), lambda: (tmp_path / "test/scores.csv").unlink()):
        change()
        status, _, err = hyperloader("bundle", tmp_path / "test", "--published", PUBLISHED)
        assert status == 2 and err.count("\n") == 1 and not (tmp_path / "test/bundle.zip").exists()
