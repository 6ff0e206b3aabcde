"""From scores and counts to tables, claims, figures and plans: every number recomputed from what it stands for."""

import csv
import math
import re
import statistics
import zlib
from pathlib import Path

import numpy as np
import pytest
from made_up_runs import PARAMETERS, all_corpora, right, write_run
from scipy.stats import norm, t

from hyperloader.corpora.registry import known_corpora
from hyperloader.planning.parameters import count
from hyperloader.planning.plan import Plan
from hyperloader.reports.figures.figure2 import write_figure2
from hyperloader.reports.figures.labels import write_labels
from hyperloader.reports.tables.claims import write_claims
from hyperloader.reports.tables.comparisons import compare_runs
from hyperloader.reports.tables.endpoints import write_endpoints
from hyperloader.reports.tables.parameters import write_parameters
from hyperloader.reports.tables.results import write_table
from hyperloader.reports.tables.score_page import write_score_page
from hyperloader.reports.tables.scores import write_scores
from hyperloader.runs.predictions import PredictedSentence
from hyperloader.runs.records import ScoresRecord
from hyperloader.scoring import score_sentences
from hyperloader.scoring.counts import write_counts
from hyperloader.scoring.statistics import resampled_f1s

ROOT = Path(__file__).parents[2]
PUBLISHED = ROOT / "workflow/published"
DATASETS = [corpus.title for corpus in known_corpora().values()]


def rows(path):
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def noisy(seed, hit=0.5, sentences=60):
    """Span counts of a system on the same gold, whatever the seed."""
    gold = np.random.default_rng(0).integers(0, 4, sentences)
    draw = np.random.default_rng(seed)
    predicted = draw.integers(0, 4, sentences)
    return np.stack([gold, predicted, draw.binomial(np.minimum(gold, predicted), hit)], -1)


@pytest.fixture
def judged(tmp_path):
    def judge(runs):
        paths = [
            write_run(tmp_path / f"runs/{index}", counts, method, percent=percent, seed=seed)
            for index, (method, counts, percent, seed) in enumerate(runs)
        ]
        (tmp_path / "parameters.csv").write_text(PARAMETERS)
        write_claims(paths, tmp_path / "parameters.csv", PUBLISHED, "none", tmp_path)
        return {row["id"]: row for row in rows(tmp_path / "claims.csv")}, rows(tmp_path / "comparisons.csv")

    return judge


def f1(counts):
    gold, predicted, correct = counts.sum(0)
    return 2 * correct / (gold + predicted)


def by_definition(family):
    """Holm 1979: the k-th smallest of m times m - k + 1, never below the one before, at most 1."""
    order, highest, corrected = sorted(range(len(family)), key=family.__getitem__), 0.0, [0.0] * len(family)
    for rank, index in enumerate(order):
        highest = max(highest, min(1.0, (len(family) - rank) * family[index]))
        corrected[index] = highest
    return corrected


OTHERS = ("hyperformer_pp", "unipelt_t5", "hyperdecoder")


def test_comparisons_are_recomputed_from_the_counts(judged):
    counts = {
        method: {name: noisy([number, place], 0.4 + 0.15 * number) for place, name in enumerate(known_corpora())}
        for number, method in enumerate(("hyperloader", *OTHERS))
    }
    ten = {method: {name: noisy([9, number, place]) for place, name in enumerate(known_corpora())} for number, method in enumerate(counts)}
    _, comparisons = judged(
        [
            (method, own, percent, seed)
            for percent, part in ((100.0, counts), (10.0, ten))
            for method, own in part.items()
            for seed in (1, 2, 3)
        ]
    )
    assert len(comparisons) == 2 * 3 * 8
    titles = {"HyperFormer": "hyperformer_pp", "UniPELT-T5": "unipelt_t5", "Hyperdecoder": "hyperdecoder"}
    by_title = {corpus.title: name for name, corpus in known_corpora().items()}
    for row in comparisons:
        part = counts if row["percent"] == "100" else ten
        names = list(known_corpora()) if row["dataset"] == "Average" else [by_title[row["dataset"]]]
        ours, theirs = (statistics.mean(f1(part[method][name]) for name in names) for method in ("hyperloader", titles[row["other"]]))
        assert [float(row[key]) for key in ("f1", "f1_other", "difference")] == pytest.approx([ours, theirs, ours - theirs], abs=6e-5)
        assert float(row["ci_low"]) < float(row["difference"]) < float(row["ci_high"])
        assert row["family"] == ("averages" if row["dataset"] == "Average" else "corpora")
        # of a normal distribution, the interval is 2 x 1.96 and what is detectable 2.8 standard errors wide
        assert float(row["detectable"]) == pytest.approx((float(row["ci_high"]) - float(row["ci_low"])) * 2.8016 / 3.92, rel=0.15)
    families = {row["family"]: [own for own in comparisons if own["family"] == row["family"]] for row in comparisons}
    assert {name: len(own) for name, own in families.items()} == {"corpora": 42, "averages": 6}
    for family in families.values():
        expected = by_definition([min(float(row["p"]), 2 * float(row["p_equivalent"])) for row in family])
        # p is rounded to four digits before it is multiplied here
        assert [float(row["p_holm"]) for row in family] == pytest.approx(expected, abs=5e-5 * (len(family) + 1))
        assert any(float(row["p"]) < float(row["p_holm"]) for row in family)


def test_identical_runs_do_not_differ_at_all(judged, tmp_path):
    """Whatever is drawn from the test sentences is drawn for both."""
    counts = {name: noisy([1, place]) for place, name in enumerate(known_corpora())}
    claims, comparisons = judged([(method, counts, 100.0, seed) for method in ("hyperloader", *OTHERS) for seed in (1, 2, 3)])
    assert len(comparisons) == 3 * 8
    for row in comparisons:
        zeros = ("difference", "ci_low", "ci_high", "sd_seeds", "detectable")
        assert [float(row[key]) for key in zeros] == [0] * 5 and (row["p"], row["p_equivalent"], row["seeds"]) == (
            "1.0000",
            "0.0000",
            "1 2 3",
        )
        assert row["verdict"] == "equivalent"
    # nothing contradicts that one is better but that they are the same
    assert claims["above-foundation"]["verdict"] == "equivalent" and " 0.0000 (0.0000 to 0.0000)" in claims["above-foundation"]["numbers"]
    lines = compare_runs(tmp_path / "runs/0", tmp_path / "runs/3").splitlines()[5:-2]
    assert len(lines) == 8 and all("0.0000  0.0000 to 0.0000" in line and line.endswith("1.0000") for line in lines)


def test_captions_write_names_of_scales_and_recipes_as_they_are(tmp_path):
    made = {"scale": "Big-T5", "recipe": "Own-Rates"}
    runs = [write_run(tmp_path / method, all_corpora(0.5), method, **made) for method in ("hyperloader", "hyperformer_pp")]
    variant = {"name": "adapters_generated", "title": "Matched"}
    runs.append(write_run(tmp_path / "matched", all_corpora(0.4), "hyperformer_pp", variant=variant, **made))
    (tmp_path / "parameters.csv").write_text(PARAMETERS)
    write_claims(runs, tmp_path / "parameters.csv", PUBLISHED, "none", tmp_path)
    write_endpoints(runs, tmp_path / "endpoints.csv")
    for name in ("comparisons", "claims", "endpoints"):
        assert "Scale Big-T5, recipe Own-Rates, decoding free, one seed (42)" in (tmp_path / f"{name}.md").read_text(encoding="utf-8"), name


def test_claims_pair_the_samples_of_methods_too(judged):
    """The second method is the first but for one sentence: an interval of independent draws would hold zero."""
    better = {name: right(0.5) for name in known_corpora()}
    worse = {name: right(0.45) for name in known_corpora()}
    claims, comparisons = judged(
        [(method, counts, 100.0, seed) for method, counts in (("hyperloader", better), ("hyperformer_pp", worse)) for seed in (1, 2, 3)]
    )
    assert claims["above-foundation"]["verdict"] == "confirmed"
    for row in comparisons:
        assert 0 < float(row["ci_low"]) and float(row["ci_high"]) - float(row["ci_low"]) < 0.12
    # the same numbers in both files
    (average,) = [row for row in comparisons if row["dataset"] == "Average"]
    assert (
        f"+{float(average['difference']):.4f} ({float(average['ci_low']):+.4f} to {float(average['ci_high']):+.4f})"
        in claims["above-foundation"]["numbers"]
    )


def test_seeds_are_paired_seed_by_seed(judged):
    def runs(*pairs):
        return [
            (method, all_corpora(own), 100.0, seed)
            for seed, both in pairs
            for method, own in zip(("hyperloader", "hyperformer_pp"), both, strict=True)
        ]

    # both change from seed to seed, their difference does not
    _, comparisons = judged([*runs((1, (0.6, 0.5)), (2, (0.9, 0.8)), (3, (0.3, 0.2))), ("hyperloader", all_corpora(1.0), 100.0, 4)])
    for row in comparisons:
        assert (row["seeds"], row["f1"], row["f1_other"], row["difference"], row["sd_seeds"]) == (
            "1 2 3",
            "0.6000",
            "0.5000",
            "0.1000",
            "0.0000",
        )
    _, comparisons = judged(runs((1, (0.6, 0.5)), (2, (0.9, 0.6))))
    assert {row["sd_seeds"] for row in comparisons} == {f"{statistics.stdev([0.1, 0.3]):.4f}"}


def test_intervals_and_tests_are_those_of_the_mean_over_seeds_and_corpora(judged):
    counts = {
        (method, name, seed): noisy([number, place, seed], 0.5 + 0.05 * number)
        for number, method in enumerate(("hyperloader", "unipelt_t5"))
        for place, name in enumerate(known_corpora())
        for seed in (1, 2, 3)
    }
    runs = [
        (method, {name: counts[method, name, seed] for name in known_corpora()}, 100.0, seed)
        for method in ("hyperloader", "unipelt_t5")
        for seed in (1, 2, 3)
    ]
    claims, comparisons = judged(runs)
    differences = {}
    for name, corpus in known_corpora().items():
        own = [np.stack([counts[method, name, seed] for seed in (1, 2, 3)]) for method in ("hyperloader", "unipelt_t5")]
        seed = zlib.crc32(corpus.title.encode())
        ours, theirs = (resampled_f1s(part, seed=seed) for part in own)
        differences[corpus.title] = ours - theirs
    differences["Average"] = np.mean(list(differences.values()), axis=0)
    for row in comparisons:
        by_seed = differences[row["dataset"]]
        difference, test, sd = by_seed[:, 0].mean(), by_seed.mean(0)[1:].std(ddof=1), by_seed[:, 0].std(ddof=1)
        # quantiles of the normal distribution, and of Student's with two degrees of freedom
        half, power = (np.hypot(own * test, its * sd / 3**0.5) for own, its in ((1.95996, 4.30265), (0.84162, 1.06066)))
        expected = [difference, difference - half, difference + half, test, sd, half + power]
        keys = ("difference", "ci_low", "ci_high", "se_test", "sd_seeds", "detectable")
        assert [float(row[key]) for key in keys] == pytest.approx(expected, abs=6e-5)
        p = float(row["p"])
        if 0.001 < p < 0.999:
            assert np.hypot(norm.isf(p / 2) * test, t.isf(p / 2, 2) * sd / 3**0.5) == pytest.approx(abs(difference), abs=5e-4)


def test_claims_cover_test_sentences_and_seeds(judged):
    """Differences of 0.5, -0.1 and 0.2: their mean 0.2, their deviation 0.3, and 4.3027 is Student's quantile for three of them."""
    runs = [(seed, ours, 0.4) for seed, ours in ((1, 0.9), (2, 0.3), (3, 0.6))]
    claims, _ = judged(
        [
            (method, all_corpora(f1), 100.0, seed)
            for seed, *both in runs
            for method, f1 in zip(("hyperloader", "hyperformer_pp"), both, strict=True)
        ]
    )
    (low, high) = map(float, re.search(r"\+0\.2000 \((\S+) to (\S+)\)", claims["above-foundation"]["numbers"]).groups())
    # all seven corpora have the same counts, but draws of their own, and the seeds' difference is in other sentences
    assert (low, high) == pytest.approx((0.2 - 4.3027 * 0.3 / 3**0.5, 0.2 + 4.3027 * 0.3 / 3**0.5), abs=0.001)
    # of parameters there is one number, as it was counted
    assert "Hyperdecoder 16.00 %, UniPELT-BERT 19.00 %" in claims["largest-share"]["numbers"]
    assert "Hyperdecoder - UniPELT-BERT -3.00 %" in claims["largest-share"]["numbers"]
    assert "HyperLoader 600, UniPELT-T5 400; HyperLoader - UniPELT-T5 +200" in claims["more-than-unipelt-t5"]["numbers"]


def test_falls_are_from_the_first_fraction_to_the_second(judged):
    fall = {
        "hyperloader": (0.9, 0.8),
        "unipelt_t5": (0.9, 0.7),
        "hyperformer_pp": (0.9, 0.75),
        "hyperdecoder": (0.9, 0.72),
        "unipelt_bert": (0.9, 0.2),
    }
    claims, _ = judged(
        [
            (method, all_corpora(own), percent, seed)
            for method, both in fall.items()
            for percent, own in zip((100.0, 10.0), both, strict=True)
            for seed in (1, 2, 3)
        ]
    )
    assert claims["bert-falls-most-10"]["verdict"] == "confirmed" and "UniPELT-BERT 0.7000" in claims["bert-falls-most-10"]["numbers"]


def test_shares_of_parameters_are_those_of_the_counts(tmp_path):
    plan = Plan.read(ROOT / "config/config.yaml")
    counted = list(count(plan, "paper", PUBLISHED / "methods.csv", str(tmp_path)))
    write_parameters(counted, tmp_path / "parameters.csv")
    table = rows(tmp_path / "parameters.csv")
    assert [row["method"] for row in table] == [row.method for row in counted] and len(table) > 8
    for row, own in zip(table, counted, strict=True):
        total, trainable, live = (int(row[key]) for key in ("total", "trainable", "live"))
        assert 0 < live <= trainable <= total
        assert row["percent"] == f"{100 * trainable / total:.4f}"
        assert (own.total, own.trainable, own.live) == (total, trainable, live)
    by_title = {row["method"]: row for row in table}
    # T5-base has 222,903,552, and BERT-base 108,891,648 without its pooling layer
    assert by_title["Full fine-tuning"]["percent"] == "100.0000" and by_title["Full fine-tuning"]["total"] == "222903552"
    assert int(by_title["UniPELT-BERT"]["total"]) - int(by_title["UniPELT-BERT"]["trainable"]) == 108891648
    assert {row["method"]: (row["paper_total"], row["paper_trainable"]) for row in table if row["paper_total"]} == {
        row["title"]: (row["total"], row["trainable"]) for row in rows(PUBLISHED / "methods.csv")
    }
    single_task = {row["method"] for row in table if row["runs"] == "7"}
    assert {row["runs"] for row in table} == {"1", "7"} and "HyperLoader" not in single_task
    assert {"UniPELT-BERT", "UniPELT-T5", "Full fine-tuning (single-task)", "HyperLoader (single-task)"} <= single_task
    lines = [[cell.strip() for cell in line.split("|")[1:7]] for line in (tmp_path / "parameters.md").read_text().splitlines()]
    for row in table:
        trainable = f"{int(row['trainable']):,}" + (" x 7" if row["runs"] == "7" else "")
        shown = [
            row["method"],
            f"{int(row['total']):,}",
            trainable,
            f"{int(row['live']):,}",
            f"{float(row['percent']):.2f} %",
            f"{int(row['per_corpus']):,}",
        ]
        assert shown in lines


TAGS = ["O", "B-x/1", "I-x/1", "B-x/2", "I-x/2"]
UNSEEN = np.arange(40) % 3 > 0


@pytest.fixture
def real_scores(tmp_path):
    """Runs scored by the scorer itself, whose ways of scoring all come to another number."""

    def write(name, method="hyperloader", percent=100.0, seed=1, corpora=None, **changes):
        entries = {}
        for number, corpus in enumerate(corpora or known_corpora()):
            sentences = scrambled(1000 * seed + number)
            entry, counts = score_sentences(sentences, "free", UNSEEN)
            entries[corpus] = entry.model_dump()
            write_counts(tmp_path / name / "counts" / f"{corpus}.csv", counts)
        run = {"scale": "demo", "recipe": "paper", "decoding": "free", "method": method, "percent": percent, "seed": seed}
        ScoresRecord(**run | changes, corpora=entries).write(tmp_path / name / "scores.json")
        return tmp_path / name, entries

    return write


def scrambled(seed, count=40):
    """Sentences whose tags are read otherwise by order, in mode strict, and where gold was cut."""
    draw = np.random.default_rng(seed)
    sentences = []
    for number in range(count):
        gold = [TAGS[index] for index in draw.integers(0, 5, 8)]
        prediction = [tag if draw.random() < 0.8 else TAGS[draw.integers(3)] for tag in gold]
        by_order = prediction if draw.random() < 0.7 else [*prediction[1:], "O"]
        sentences.append(
            PredictedSentence([f"w{number}"] * 8, gold, prediction, by_order, [0.5] * 8, "", draw.random() < 0.2, int(draw.integers(3, 9)))
        )
    return sentences


def cells(path):
    """The rows of a page's first table, as text."""
    lines = re.findall(r"<tr>(<td.*?)</tr>", path.read_text(encoding="utf-8").partition("</table>")[0])
    return [[re.sub(r"<[^>]*>", "", cell) for cell in re.findall(r"<td[^>]*>(.*?)</td>", line)] for line in lines]


def test_every_column_has_its_own_number(real_scores, tmp_path):
    run, entries = real_scores("run", corpora=("atis", "snips"))
    write_scores([run / "scores.json"], tmp_path / "scores.csv")
    tidy = rows(tmp_path / "scores.csv")
    flat = [(name, entry, score) for name, entry in entries.items() for score in entry["scores"]]
    assert len(tidy) == len(flat) == 16
    assert ",".join(tidy[0]) == (
        "scale,recipe,method,title,corpus,percent,seed,decoding,alignment,gold,mode,labels,subset,precision,recall,f1,ci_low,ci_high,"
        "gold_spans,predicted_spans,correct_spans,sentences,malformed,signature"
    )
    for row, (name, entry, score) in zip(tidy, flat, strict=True):
        assert len({score[key] for key in ("precision", "recall", "f1", "ci_low", "ci_high")}) == 5
        for key in ("precision", "recall", "f1", "ci_low", "ci_high"):
            assert row[key] == f"{score[key]:.4f}", key
        for key in ("gold_spans", "predicted_spans", "correct_spans", "alignment", "gold", "mode", "labels", "subset", "signature"):
            assert row[key] == str(score[key]), key
        assert row["sentences"] == ("26" if row["subset"] == "unseen" else "40")
        assert (row["corpus"], row["malformed"]) == (name, f"{entry['malformed']:.4f}")
        assert (row["method"], row["title"], row["percent"], row["seed"], row["scale"], row["recipe"], row["decoding"]) == (
            "hyperloader", "HyperLoader", "100", "1", "demo", "paper", "free",
        )  # fmt: skip
    write_score_page([run], tmp_path / "scores.html")
    page = cells(tmp_path / "scores.html")
    for line, (name, entry) in zip(page[: len(entries)], entries.items(), strict=True):
        best = entry["scores"][0]
        assert line[:10] == [
            "HyperLoader", known_corpora()[name].title, "100 %", "1", f"{best['f1']:.4f}", f"{best['ci_low']:.4f} – {best['ci_high']:.4f}",
            f"{entry['scores'][7]['f1']:.4f} (26 of 40)",
            f"{best['precision']:.4f}", f"{best['recall']:.4f}", f"{100 * entry['malformed']:.1f} %",
        ]  # fmt: skip


def test_tables_and_figures_take_the_headline_of_all_ways(real_scores, tmp_path):
    made = [real_scores(f"{seed}", seed=seed) for seed in (1, 2)]
    files = [run / "scores.json" for run, _ in made]
    headlines = [{name: entry["scores"][0] for name, entry in entries.items()} for _, entries in made]
    assert all(len({score["f1"] for score in entry["scores"]}) == 8 for _, entries in made for entry in entries.values())
    write_table(3, files, PUBLISHED / "table3.csv", tmp_path / "table3.csv")
    table = {row["dataset"]: row for row in rows(tmp_path / "table3.csv")}
    for name, corpus in known_corpora().items():
        own = [head[name]["f1"] for head in headlines]
        assert table[corpus.title]["HyperLoader"] == f"{statistics.mean(own):.4f}"
        assert table[corpus.title]["HyperLoader (sd)"] == f"{statistics.stdev(own):.4f}"
        # as the authors scored, beside the paper's number, and the other convention of labels below the table
        own = [[entries[name]["scores"][place]["f1"] for _, entries in made] for place in (4, 5)]
        assert table[corpus.title]["HyperLoader (by order)"] == f"{statistics.mean(own[0]):.4f}"
        markdown = (tmp_path / "table3.md").read_text(encoding="utf-8")
        by_order, cut = (f"{statistics.mean(f1s):.4f} ± {statistics.stdev(f1s):.4f}" for f1s in own)
        assert f"{corpus.title} at 100 % with slot types cut at the slash, HyperLoader {cut}." in markdown
        cells = f"{table[corpus.title]['HyperLoader']}** ± {table[corpus.title]['HyperLoader (sd)']}", by_order
        lines = re.search(rf"\| {re.escape(corpus.title)} .*\| ours .*\n.*\| by order .*\n", markdown)[0].splitlines()
        assert all(cell in line for cell, line in zip(cells, lines, strict=True))
    averages = [statistics.mean(score["f1"] for score in head.values()) for head in headlines]
    assert table["Average"]["HyperLoader"] == f"{statistics.mean(averages):.4f}"
    write_scores(files, tmp_path / "scores.csv")
    (tmp_path / "parameters.csv").write_text("method,runs,percent\nHyperLoader,1,2.95\n")
    write_figure2(tmp_path / "scores.csv", tmp_path / "parameters.csv", PUBLISHED, tmp_path / "figure2")
    (point,) = [row for row in rows(tmp_path / "figure2.csv") if row["source"] == "ours"]
    assert float(point["f1"]) == pytest.approx(statistics.mean(averages), abs=1e-4)
    assert float(point["sd"]) == pytest.approx(statistics.stdev(averages), abs=1e-4)
    # half-widths of the corpora's intervals add up in squares
    for side, sign in (("ci_low", -1), ("ci_high", 1)):
        widths = [math.sqrt(sum((score[side] - score["f1"]) ** 2 for score in head.values())) / 7 for head in headlines]
        end = float(point["low" if sign < 0 else "high"])
        assert end == pytest.approx(statistics.mean(averages) + sign * statistics.mean(widths), abs=2e-4)
    write_labels([run for run, _ in made], tmp_path / "labels")
    for row in rows(tmp_path / "labels.csv"):
        (name,) = [name for name, corpus in known_corpora().items() if corpus.title == row["corpus"]]
        own = [entries[name]["labels"][row["label"]] for _, entries in made]
        assert row["f1"] == f"{statistics.mean(score['f1'] for score in own):.4f}" and row["seeds"] == "2"
        # of the first run; runs of one test set have the same
        assert row["gold_spans"] == str(own[0]["gold_spans"])


def test_ways_of_scoring_are_recomputed():
    """Each from the tags that it is about, by an independent reading of spans."""

    def read(tags, strict):
        found, open_type = set(), ""
        for place, tag in enumerate(tags):
            kind = tag[2:]
            if tag.startswith("B-") or (kind and kind != open_type and not strict):
                found.add((kind, place))
                open_type = kind
            elif not kind or kind != open_type:
                open_type = "" if strict or not kind else kind
        return {
            (kind, start, next((end for end in range(start + 1, len(tags)) if tags[end] != f"I-{kind}"), len(tags)))
            for kind, start in found
        }

    sentences = scrambled(5)
    entry, counts = score_sentences(sentences, "free", UNSEEN)
    entry = entry.model_dump()
    assert len(entry["scores"]) == 8 and entry["unseen"] == UNSEEN.sum()
    for score in entry["scores"]:
        total = np.zeros(3, int)
        for sentence, unseen in zip(sentences, UNSEEN, strict=True):
            if score["subset"] == "unseen" and not unseen:
                continue
            end = sentence.gold_words if score["gold"] == "truncated" else 8
            written = sentence.by_order if score["alignment"] == "order" else sentence.prediction
            both = ([tag.split("/")[0] if score["labels"] == "cut" else tag for tag in tags[:end]] for tags in (sentence.gold, written))
            gold, found = (read(tags, score["mode"] == "strict") for tags in both)
            total += [len(gold), len(found), len(gold & found)]
        assert [score[f"{kind}_spans"] for kind in ("gold", "predicted", "correct")] == total.tolist(), score
        assert (score["precision"], score["recall"]) == pytest.approx((total[2] / total[1], total[2] / total[0]))
    assert counts.spans.sum(0).tolist() == [entry["scores"][0][f"{kind}_spans"] for kind in ("gold", "predicted", "correct")]
    assert entry["malformed"] == sum(sentence.malformed for sentence in sentences) / 40


def test_commands_hand_on_their_options(real_scores, tmp_path, printed):
    (loader, _), (former, _) = real_scores("loader", percent=10.0), real_scores("former", "hyperformer_pp", percent=10.0)
    files = [loader / "scores.json", former / "scores.json"]
    for number in (3, 4):
        output = tmp_path / f"table{number}.csv"
        printed("table", number, *files, "--published", PUBLISHED / f"table{number}.csv", "--output", output)
        assert output.with_suffix(".md").read_text(encoding="utf-8").startswith(f"**Table {number}**")
        # those runs are on 10 %, which is table 4's
        assert any(row["HyperLoader"] for row in rows(output)) == (number == 4)
    printed("gather", *files, "--output", tmp_path / "scores.csv")
    assert {row["method"] for row in rows(tmp_path / "scores.csv")} == {"hyperloader", "hyperformer_pp"}
    (tmp_path / "parameters.csv").write_text(PARAMETERS)
    known = ("--parameters", tmp_path / "parameters.csv", "--published", PUBLISHED, "--output", tmp_path / "out")
    printed("claims", *files, *known, "--bearing", "much")
    assert {row["bearing"] for row in rows(tmp_path / "out/claims.csv")} == {"much"}
    printed("figures", "--scores", tmp_path / "scores.csv", *known)
    assert {path.suffix for path in (tmp_path / "out").glob("figure2.*")} == {".csv", ".png", ".svg"}
    ours = {row["method"]: row["trainable"] for row in rows(tmp_path / "out/figure2.csv") if row["source"] == "ours"}
    assert ours == {"HyperLoader": "6.0000", "HyperFormer": "5.0000"}
    printed("score-page", loader, former, "--output", tmp_path / "page.html")
    assert len(cells(tmp_path / "page.html")) == 14
    for first, second in ((loader, former), (former, loader)):
        assert printed("compare", first, second) == compare_runs(first, second)
