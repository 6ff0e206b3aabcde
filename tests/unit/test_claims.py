"""Verdicts on the paper's claims, comparisons and the audit, from made-up runs whose truth is known."""

import csv
import shutil
from itertools import product
from pathlib import Path
from statistics import mean

import numpy as np
import pytest
from made_up_runs import PARAMETERS, all_corpora, right, write_run
from scipy.stats import rankdata

from hyperloader.corpora.registry import known_corpora
from hyperloader.errors import RunError, UserError
from hyperloader.methods.registry import methods
from hyperloader.planning.plan import Plan
from hyperloader.reports.tables.audit import write_audit
from hyperloader.reports.tables.claims import read_claims, read_paper, write_claims
from hyperloader.reports.tables.comparisons import compare_runs
from hyperloader.reports.tables.rules import parse

ROOT = Path(__file__).parents[2]
PUBLISHED = ROOT / "workflow/published"
DATASETS = [corpus.title for corpus in known_corpora().values()]
BASELINES = ["unipelt_bert", "unipelt_t5", "hyperformer_pp", "hyperdecoder"]
SEEDS = (1, 2, 3)


def rows(path):
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def judged(tmp_path):
    """The rows of claims.csv by id, and those of comparisons.csv, for runs at 100 %."""

    def judge(runs, parameters=PARAMETERS, **changes):
        """`runs`: (method, counts by corpus), the same for three seeds, or with a seed as third."""
        runs = [(method, counts, seed) for method, counts, *own in runs for seed in (own or SEEDS)]
        paths = [
            write_run(tmp_path / f"runs/{index}", counts, method, seed=seed, **changes) for index, (method, counts, seed) in enumerate(runs)
        ]
        (tmp_path / "parameters.csv").write_text(parameters)
        write_claims(paths, tmp_path / "parameters.csv", PUBLISHED, "none: made up", tmp_path)
        return {row["id"]: row for row in rows(tmp_path / "claims.csv")}, rows(tmp_path / "comparisons.csv")

    return judge


def test_a_clear_winner_is_confirmed_and_a_clear_loser_contradicted(judged):
    claims, _ = judged([("hyperloader", all_corpora(0.9)), *((name, all_corpora(0.3)) for name in BASELINES)])
    best = claims["best-average-100"]
    assert best["verdict"] == "confirmed" and float(best["p"]) <= float(best["p_holm"]) <= 0.05
    assert "HyperLoader 0.9000" in best["numbers"] and "+0.6000 (+0." in best["numbers"]
    assert claims["all-tasks-100"]["verdict"] == "confirmed" and claims["all-tasks-100"]["numbers"].startswith("7 of 7 (confirmed: Movie")
    assert claims["single-task-atis"]["verdict"] == claims["single-task-one-100"]["verdict"] == "contradicted"
    assert claims["hypernetworks-100"]["verdict"] == "equivalent" and claims["three-of-seven-100"]["verdict"] == "confirmed"
    assert claims["prefix-and-gates"]["verdict"] == "not decided"
    assert claims["prefix-and-gates"]["numbers"] == "needs UniPELT-T5 with prefix and gates"
    # they need variants
    assert {claims[name]["verdict"] for name in ("negative-transfer", "equal-parameters", "combination")} == {"not run"}
    assert claims["not-parameters-100"]["verdict"] == "confirmed"
    assert claims["best-average-10"]["verdict"] == claims["bert-falls-most-10"]["verdict"] == "not run"
    assert claims["above-full-fine-tuning"]["verdict"] == "not run"
    known = {"scale": "demo", "recipe": "paper", "decoding": "free", "seeds": "1 2 3", "bearing": "none: made up"}
    assert all(known.items() <= row.items() for row in claims.values())


@pytest.mark.parametrize("seeds", [(1,), SEEDS])
def test_where_the_premise_fails_f1_decides_nothing(judged, seeds, tmp_path):
    # Hyperdecoder trains fewer here
    parameters = PARAMETERS.replace("Hyperdecoder,1,1600,16", "Hyperdecoder,1,500,5")
    assert parameters != PARAMETERS
    runs = [(name, all_corpora(f1), seed) for seed in seeds for name, f1 in (("hyperloader", 0.9), ("hyperdecoder", 0.3))]
    claims, _ = judged(runs, parameters)
    row = claims["not-parameters-100"]
    assert (row["verdict"], row["p"], row["p_holm"]) == ("premise fails", "", "") and row["paper"] == "yes"
    # with no runs either
    assert claims["not-parameters-10"]["verdict"] == "premise fails" and claims["most-parameters"]["verdict"] == "contradicted"
    assert "3 premise fails" in (tmp_path / "claims.md").read_text()
    claims, _ = judged(runs)
    assert claims["not-parameters-100"]["verdict"] == ("confirmed" if len(seeds) == 3 else "one seed")


def test_the_difference_that_is_shown_is_the_one_that_decides(judged):
    # a smaller difference that is sure, beside a larger one that the seeds leave open
    runs = [("hyperloader", all_corpora(0.6)), ("hyperdecoder", all_corpora(0.55))]
    runs += [(name, all_corpora(f1), seed) for seed, f1 in zip(SEEDS, (0.2, 0.6, 0.4), strict=True) for name in BASELINES[:3]]
    claims, _ = judged(runs)
    best = claims["best-average-100"]
    assert best["verdict"] == "inconclusive" and "HyperLoader - UniPELT-BERT +0.2000" in best["numbers"]


def test_captions_say_how_many_seeds_rows_have(judged, tmp_path):
    judged([("hyperloader", all_corpora(0.6)), ("hyperformer_pp", all_corpora(0.5), 1), ("hyperdecoder", all_corpora(0.4))])
    assert "1 to 3 of the seeds 1, 2, 3 in each row" in (tmp_path / "comparisons.md").read_text()


def test_a_small_difference_is_inconclusive(judged):
    # the right sentences are other ones, so that the difference is uncertain
    close = [("hyperloader", all_corpora(0.5)), *((name, all_corpora(0.49, start=40)) for name in BASELINES)]
    claims, _ = judged(close)
    for name in ("best-average-100", "three-of-seven-100", "all-tasks-100", "not-parameters-100"):
        assert claims[name]["verdict"] == "inconclusive", name


def test_every_claim_that_was_run_is_in_the_family_whatever_its_p(judged):
    # the right sentences are other ones, so that most chains are far from decided, and their p is 1
    runs = [(name, all_corpora(0.5, start=7 * index)) for index, name in enumerate(("hyperloader", *BASELINES))]
    claims, _ = judged([*runs, ("full_finetuning", all_corpora(0.56, start=21))])
    run = [row for row in claims.values() if row["margin"] and " 100: " in row["rule"] and row["verdict"] != "not run"]
    assert len(run) == 12 and sum(row["p"] == "1.0000" for row in run) > 3
    assert {row["id"] for row in claims.values() if row["p_holm"]} == {row["id"] for row in run}
    smallest = min(run, key=lambda row: float(row["p"]))
    assert smallest["id"] == "above-full-fine-tuning"
    assert float(smallest["p_holm"]) == pytest.approx(len(run) * float(smallest["p"]), abs=0.0007) and float(smallest["p"]) > 0.0007


def test_parameters_decide_by_themselves(judged):
    claims, _ = judged([])
    confirmed = ("most-parameters", "more-than-unipelt-t5", "less-than-seven-unipelt-t5", "constant-share")
    assert {claims[name]["verdict"] for name in confirmed} == {"confirmed"} and claims["most-parameters"]["p"] == ""
    assert "UniPELT-T5 2,800, HyperLoader 600" in claims["less-than-seven-unipelt-t5"]["numbers"]
    assert claims["constant-share"]["numbers"].startswith("UniPELT-T5 400, HyperLoader 1; ")
    # 19 % of UniPELT-BERT
    assert claims["largest-share"]["verdict"] == "contradicted"
    assert claims["best-average-100"]["verdict"] == "not run" and claims["best-average-100"]["numbers"] == ""


def test_seeds_that_disagree_are_inconclusive_where_test_sentences_are_not(judged):
    def runs(*seeds):
        return [(name, all_corpora(f1), seed) for seed, ours in seeds for name, f1 in (("hyperloader", ours), ("hyperformer_pp", 0.4))]

    for seeds, verdict in (("1", "one seed"), ("1 2", "two seeds"), ("1 2 3", "confirmed")):
        claims, comparisons = judged(runs(*((int(seed), 0.9) for seed in seeds.split())))
        assert claims["above-foundation"]["verdict"] == verdict and "+0.5000 (+0.4" in claims["above-foundation"]["numbers"]
        assert {(row["seeds"], row["models_differ"], row["verdict"]) for row in comparisons} == {
            (seeds, "yes", "better" if verdict == "confirmed" else verdict)
        }
    claims, comparisons = judged(runs((1, 0.9), (2, 0.3), (3, 0.6)))
    assert claims["above-foundation"]["verdict"] == "inconclusive"
    average = comparisons[-1]
    assert (average["dataset"], average["seeds"], average["f1"], average["difference"]) == ("Average", "1 2 3", "0.6000", "0.2000")
    # over test sentences the mean is clearly above
    assert float(average["ci_low"]) < 0 and average["models_differ"] == "yes" and average["sd_seeds"] == "0.3000"


def test_what_the_papers_own_tables_bear_out(judged):
    claims, _ = judged([])
    said = {answer: {name for name, row in claims.items() if row["paper"] == answer} for answer in ("yes", "no", "no numbers")}
    assert said["no"] == {"most-datasets-100", "all-tasks-100", "all-tasks-20", "all-tasks-10", "single-task-one-100", "hypernetworks-100"}
    needs = {name for name, row in claims.items() if row["rule"].startswith("needs ")}
    variants = {"negative-transfer", "equal-parameters", "combination"}
    unsaid = {f"above-full-fine-tuning{share}" for share in ("", "-20", "-10")} | variants | needs | {"constant-share"}
    assert said["no numbers"] == unsaid and needs == {"prefix-and-gates"}
    assert len(said["yes"]) == len(claims) - 6 - len(unsaid)
    assert claims["single-task-one-100"]["paper_numbers"].startswith("2 of 7 (confirmed: Movie, ATIS;")
    assert "HyperLoader - HyperFormer +0.0016" in claims["best-average-100"]["paper_numbers"]


def test_comparisons_are_with_trained_methods_and_corrected_in_families(judged):
    runs = [("hyperloader", all_corpora(0.6)), ("hyperformer_pp", all_corpora(0.5)), ("full_finetuning", all_corpora(0.7))]
    _, comparisons = judged([*runs, ("gazetteer", all_corpora(0.1))])
    assert [(row["dataset"], row["other"]) for row in comparisons] == [
        (dataset, other) for other in ("HyperFormer", "Full fine-tuning") for dataset in (*DATASETS, "Average")
    ]
    families = {name: [row for row in comparisons if row["family"] == name] for name in ("corpora", "averages")}
    assert [len(family) for family in families.values()] == [14, 2]
    for family in families.values():
        assert all(float(row["p"]) <= float(row["p_holm"]) <= min(1, len(family) * float(row["p"]) + 1e-3) for row in family)
    assert [(row["other"], row["verdict"]) for row in families["averages"]] == [("HyperFormer", "better"), ("Full fine-tuning", "worse")]
    assert comparisons[-1]["sd_seeds"] == "0.0000" and float(comparisons[-1]["ci_low"]) < -0.1 < float(comparisons[-1]["ci_high"])


def test_what_people_read_is_what_the_csv_says(judged, tmp_path):
    claims, comparisons = judged([("hyperloader", all_corpora(0.9)), *((name, all_corpora(0.3)) for name in BASELINES)])
    write_audit(PUBLISHED, tmp_path / "audit.csv")
    columns = ("claim", "where", "rule", "verdict", "p_holm", "numbers", "paper", "paper_numbers")
    table = pipe_table(tmp_path / "claims.md")
    headlines = [row for row in table if row[1:3] == ["", ""]]
    assert [row for row in table if row not in headlines] == [[row[column] for column in columns] for row in claims.values()]
    assert [row[0] for row in headlines] == list(dict.fromkeys(row["proposition"] for row in claims.values())) and len(headlines) == 10
    # below the headline of its proposition
    assert table.index(headlines[1]) == 1 + sum(row["proposition"] == headlines[0][0] for row in claims.values())
    assert headlines[0][3] == "1 confirmed, 2 not run"
    shown = [
        [f"{row['percent']} %", row["dataset"], row["other"], row["f1"], row["f1_other"], f"{float(row['difference']):+.4f}"]
        + [f"{float(row['ci_low']):+.4f} to {float(row['ci_high']):+.4f}"]
        + [row[key] for key in ("se_test", "sd_seeds", "detectable", "models_differ", "p", "p_equivalent", "p_holm", "verdict")]
        for row in comparisons
    ]
    assert pipe_table(tmp_path / "comparisons.md") == shown
    assert pipe_table(tmp_path / "audit.md") == [list(row.values()) for row in rows(tmp_path / "audit.csv")]


def pipe_table(path):
    """The cells of a table in Markdown, without marks."""
    lines = [line for line in path.read_text(encoding="utf-8").splitlines() if line.startswith("|")][2:]
    return [[cell.strip().removeprefix("**").removesuffix("**") for cell in line.strip("|").split("|")] for line in lines]


def test_an_average_needs_every_corpus(judged):
    claims, comparisons = judged(
        [(name, {"atis": right(0.9), "snips": right(f1)}) for name, f1 in (("hyperloader", 0.9), ("hyperformer_pp", 0.1))]
    )
    assert [row["dataset"] for row in comparisons] == ["ATIS", "SNIPS"]
    assert claims["above-foundation"]["verdict"] == "not run"


def test_the_same_runs_give_the_same_bytes(judged, tmp_path):
    runs = [("hyperloader", all_corpora(0.6)), ("hyperformer_pp", all_corpora(0.5, start=30))]
    judged(runs)
    names = ("claims.csv", "claims.md", "comparisons.csv", "comparisons.md")
    first = [(tmp_path / name).read_bytes() for name in names]
    judged(runs)
    assert [(tmp_path / name).read_bytes() for name in names] == first


def test_runs_on_other_sentences_are_refused(judged):
    with pytest.raises(RunError, match="ATIS|atis.csv: another test set than that of"):
        judged([("hyperloader", {"atis": right(0.5)}), ("hyperformer_pp", {"atis": right(0.5, sentences=99)})])


def test_repeated_sentences_are_one_piece_of_evidence(judged, tmp_path):
    """Every sentence twice: known to be the same, they are as sure as once."""
    once = {"hyperloader": right(0.6, 50), "unipelt_t5": right(0.4, 50, start=30)}
    twice = [(method, {"atis": np.repeat(own, 2, axis=0)}) for method, own in once.items()]
    errors = [
        float(judged(runs, **changes)[1][0]["se_test"])
        for runs, changes in (
            ([(method, {"atis": own}) for method, own in once.items()], {}),
            (twice, {"clusters": np.repeat(np.arange(50), 2)}),
            (twice, {}),
        )
    ]
    assert errors[1] == pytest.approx(errors[0]) and errors[2] == pytest.approx(errors[0] / 2**0.5, rel=0.05)
    one, other = (
        write_run(tmp_path / name, {"atis": right(0.5)}, clusters=clusters).parent
        for name, clusters in (("one", None), ("other", np.zeros(100, int)))
    )
    with pytest.raises(RunError, match="another test set"):
        compare_runs(one, other)


HEAD = "sentence,gold,predicted,correct,cluster\n"


@pytest.mark.parametrize("text", [None, "", HEAD, "a,b\n1,2\n", f"{HEAD}0,1,1,x,0\n", f"{HEAD}0,1,1,1\n"])
@pytest.mark.filterwarnings("ignore:loadtxt")
def test_missing_or_damaged_counts_are_named(tmp_path, text):
    run = write_run(tmp_path / "run", {"atis": right(0.5)}).parent
    counts = run / "counts/atis.csv"
    counts.unlink()
    if text is not None:
        counts.write_text(text)
    with pytest.raises(RunError, match=r"atis\.csv: .*score this run again"):
        compare_runs(run, run)


def test_two_runs_are_compared_on_their_common_corpora(tmp_path):
    one = write_run(tmp_path / "one", all_corpora(0.9)).parent
    other = write_run(tmp_path / "other", {"atis": right(0.2), "snips": right(0.9)}, "unipelt_t5", recipe="matched", seed=7).parent
    lines = compare_runs(one, other).splitlines()
    assert lines[:2] == [f"first:  {one}", f"second: {other}"]
    cells = {line.split()[0]: line.split()[1:] for line in lines[5:-2]}
    assert list(cells) == ["ATIS", "SNIPS", "Average"]
    assert cells["ATIS"][:3] == ["0.9000", "0.2000", "+0.7000"] and cells["ATIS"][-1] == "0.0000"
    assert cells["SNIPS"][2] == "0.0000" and cells["SNIPS"][-1] == "1.0000"
    assert cells["Average"][:3] == ["0.9000", "0.5500", "+0.3500"]


def test_a_test_set_may_have_one_sentence(tmp_path):
    for name, f1 in (("first", 1.0), ("second", 0.0)):
        write_run(tmp_path / name, {"atis": right(f1, sentences=1)})
    assert "+1.0000" in compare_runs(tmp_path / "first", tmp_path / "second")


def test_runs_on_different_corpora_or_data_are_not_compared(tmp_path):
    one, two, three = (
        write_run(tmp_path / str(index), counts).parent
        for index, counts in enumerate([{"atis": right(0.5)}, {"mtod": right(0.5)}, {"atis": right(0.5, sentences=50)}])
    )
    with pytest.raises(RunError, match="no corpus in common"):
        compare_runs(one, two)
    with pytest.raises(RunError, match="another test set"):
        compare_runs(one, three)


def test_rules_name_methods_and_corpora_that_there_are():
    paper, variants = read_paper(PUBLISHED), Plan.read(ROOT / "config/config.yaml").ablations.variants
    titles = {method.title for method in methods().values()} | {variant.title for variant in variants.values()}
    claims = read_claims(PUBLISHED / "claims.csv")
    assert len({claim.name for claim in claims}) == len(claims) >= 20
    for claim in claims:
        for part in claim.parts:
            assert {title for group in part.chain for title in group} <= titles | {"others"}
            assert part.measure.dataset in {"", "Average", "datasets", *paper.datasets}
            assert set(part.measure.fractions) <= set(paper.fractions)


@pytest.mark.parametrize(
    "rule",
    [
        *("", "Average: A > B", "Average 1.2.3: A > B", "Average 100: A", "datasets 100: A > B", "Average 100: A > B in >= 3"),
        *("fall 100: A > B", "fall 100-.: A > B"),
    ],
)
def test_what_is_no_rule_is_named_with_its_line(tmp_path, rule):
    with pytest.raises(UserError, match="is not a rule such as"):
        parse(rule)
    path = tmp_path / "claims.csv"
    path.write_text(f'id,proposition,claim,where,rule,margin\na,,b,c,trainable: A > B,\nd,,e,f,"{rule}",\n')
    with pytest.raises(UserError, match=r"claims\.csv:3: .* is not a rule such as"):
        read_claims(path)


@pytest.fixture
def published(tmp_path):
    """The paper's numbers with some text in a file replaced."""
    shutil.copytree(PUBLISHED, tmp_path / "published")

    def change(name, old, new):
        path = tmp_path / "published" / name
        assert old in path.read_text()
        path.write_text(path.read_text().replace(old, new))
        return path.parent

    return change


def test_a_claim_about_what_there_is_not_is_said(published, tmp_path, caplog):
    (tmp_path / "parameters.csv").write_text(PARAMETERS)
    folder = published("claims.csv", "Average 20: HyperLoader > Hyperdecoder", "Average 20: HyperLoadr > Hyperdecoder")
    write_claims([], tmp_path / "parameters.csv", folder, "none", tmp_path)
    assert "claims.csv:27: 'HyperLoadr' is the title of no method or variant here" in caplog.text
    folder = published("claims.csv", "Average 10: HyperLoader > Hyperdecoder", "Averge 10: HyperLoader > Hyperdecoder")
    with pytest.raises(UserError, match=r"claims\.csv:28: 'Averge' is no corpus of the paper; name "):
        write_claims([], tmp_path / "parameters.csv", folder, "none", tmp_path)


def test_a_number_of_parameters_is_a_number(tmp_path):
    (tmp_path / "parameters.csv").write_text(PARAMETERS.replace("1600", "many"))
    with pytest.raises(UserError, match=r"parameters\.csv:4: .*not a number"):
        write_claims([], tmp_path / "parameters.csv", PUBLISHED, "none", tmp_path)


@pytest.mark.parametrize(
    "name, old, new, told",
    [
        ("text.csv", "5.1,HyperFormer,", "5.1,HyperFormr,", r"text\.csv:3: 'HyperFormr' is no method of tables 3 and 4"),
        ("text.csv", "UniPELT-BERT,20,MovieTrivia", "UniPELT-BERT,20,Movies", r"text\.csv:17: 'Movies' is no dataset of tables 3 and 4"),
        ("text.csv", "UniPELT-BERT,20,MovieTrivia", "UniPELT-BERT,2O,MovieTrivia", r"text\.csv:17: '2O' is no fraction of"),
        ("methods.csv", "229M", "0M", r"methods\.csv:5: '0M' is not a number of millions"),
        ("methods.csv", "228067312", "228 million", r"methods\.csv:4: '228 million' is not a number of parameters"),
    ],
)
def test_a_slip_in_the_papers_numbers_is_named_with_its_line(name, old, new, told, published, tmp_path):
    with pytest.raises(UserError, match=told):
        write_audit(published(name, old, new), tmp_path / "audit.csv")


def test_empty_cells_of_the_papers_tables_are_left_out(published, tmp_path):
    # of ATIS at 100 %: UniPELT-T5's, which the text names, too
    folder = published("table3.csv", "0.9611", "")
    write_audit(folder, tmp_path / "audit.csv")
    checks, against = rows(tmp_path / "audit.csv"), rows(tmp_path / "reanalysis.csv")
    assert not [row for row in checks if row["what"] in ("average of UniPELT-T5 with 100 %", "ATIS of UniPELT-T5 with 100 %")]
    assert len([row for row in checks if row["what"].startswith("average of UniPELT-T5")]) == 2 and len(checks) == 49 - 3
    assert {row["percent"] for row in against if row["other"] == "UniPELT-T5"} == {"10", "20"} and len(against) == (3 * 4 - 1) * 2


def test_a_margin_is_a_number(tmp_path):
    path = tmp_path / "claims.csv"
    path.write_text("id,proposition,claim,where,rule,margin\na,,b,c,Average 10: A > B,wide\n")
    with pytest.raises(UserError, match=r"claims\.csv:2: 'wide' is no margin"):
        read_claims(path)


def test_others_are_the_papers_methods_that_a_rule_does_not_name():
    (part,) = parse("fall 100-10: A > B, C > others")
    assert list(part.pairs(list("ABCDE"))) == [("A", "B"), ("A", "C"), *((left, right) for left in "BC" for right in "DE")]
    assert (part.measure.name, part.measure.fractions) == ("fall", (100.0, 10.0))


def test_scales_say_what_they_mean_for_the_paper():
    plan = Plan.read(ROOT / "config/config.yaml")
    said = {name: plan.scale(name).bearing.partition(":")[0] for name in ("demo", "mini", "paper")}
    assert said == {"demo": "none", "mini": "little", "paper": "full"}


def test_the_audit_finds_what_the_paper_prints_otherwise(tmp_path):
    write_audit(PUBLISHED, tmp_path / "audit.csv")
    checks = rows(tmp_path / "audit.csv")
    differs = {(row["what"], row["where"]): (row["printed"], row["recomputed"]) for row in checks if row["differs"] == "yes"}
    assert differs["average of Hyperdecoder with 10 %", "section 5.2"] == ("0.8161", "0.8162")
    assert differs["average of UniPELT-T5 with 10 %", "table 4"] == ("0.8117", "0.8118")
    assert differs["total parameters of HyperLoader", "tables 3 and 4"] == ("229M", "230M")
    assert differs["trainable parameters of HyperLoader", "tables 3 and 4"] == ("6M", "7M")
    only_one = "UniPELT on T5 is best on one corpus only with all training data"
    assert differs[only_one, "section 5.1; table 3"] == ("1", "2")
    assert len(differs) == 9 and len(checks) == 49
    # 15 averages, 16 scores in the text, 11 counts of corpora, 4 brackets, 3 validation sets
    assert f"{len(differs)} of {len(checks)} differ" in (tmp_path / "audit.md").read_text(encoding="utf-8")


def test_the_papers_tables_are_analysed_as_an_experiment(tmp_path):
    write_audit(PUBLISHED, tmp_path / "audit.csv")
    against = {(row["percent"], row["other"], row["task_kind"]): row for row in rows(tmp_path / "reanalysis.csv")}
    assert len(against) == 3 * 4 * 2
    paper, kinds = read_paper(PUBLISHED), {corpus.title: corpus.task_kind for corpus in known_corpora().values()}
    for (percent, other, kind), row in against.items():
        change = {
            name: round(paper.f1["HyperLoader", float(percent), name] - paper.f1[other, float(percent), name], 4) for name in DATASETS
        }
        assert float(row["difference"]) == pytest.approx(mean(change.values()), abs=6e-5)
        assert (int(row["wins"]), int(row["losses"])) == (sum(own > 0 for own in change.values()), sum(own < 0 for own in change.values()))
        assert float(row["difference_of_kind"]) == pytest.approx(mean(change[name] for name in DATASETS if kinds[name] == kind), abs=6e-5)
        without = {name: mean(own for key, own in change.items() if key != name) for name in change}
        assert (
            float(row["least"]) == pytest.approx(without[row["least_without"]], abs=6e-5) == pytest.approx(min(without.values()), abs=6e-5)
        )
        assert float(row["most"]) == pytest.approx(without[row["most_without"]], abs=6e-5) == pytest.approx(max(without.values()), abs=6e-5)
        # every way to give the differences signs
        ranks = rankdata([abs(own) for own in change.values()])
        real = sum(rank for rank, own in zip(ranks, change.values(), strict=True) if own > 0)
        sums = [sum(rank for rank, sign in zip(ranks, signs, strict=True) if sign) for signs in product((0, 1), repeat=7)]
        p = mean(float(abs(own - sum(ranks) / 2) >= abs(real - sum(ranks) / 2) - 1e-9) for own in sums)
        assert float(row["p_wilcoxon"]) == pytest.approx(p, abs=6e-5)
    ours = against["100", "HyperFormer", "slot filling"]
    assert (ours["wins"], ours["losses"], ours["rank"], ours["rank_other"]) == ("4", "3", "2.00", "2.29")
