"""The endpoints of the protocol, from made-up runs whose truth is known."""

import csv

import pytest
from made_up_runs import right, write_run
from typer.testing import CliRunner

from hyperloader.cli.main import app
from hyperloader.corpora.registry import known_corpora

VARIANTS = {
    "adapters_generated": {"method": "hyperformer_pp", "variant": {"name": "adapters_generated", "title": "Matched"}},
    "lora_generated": {"variant": {"name": "lora_generated", "title": "LoRA alone"}},
}
SEEDS = (1, 2, 3)


@pytest.fixture
def endpoints(tmp_path):
    """The rows of endpoints.csv by kind, text and percent, of runs with these F1s on each corpus, and what people read."""

    def decide(f1s, seeds=SEEDS):
        """`f1s`: by (method, percent) an F1, or one for each corpus."""
        files = []
        for name, percent in f1s:
            for seed in seeds:
                own = f1s[name, percent]
                own = own if isinstance(own, dict) else dict.fromkeys(known_corpora(), own)
                counts = {corpus: right(f1) for corpus, f1 in own.items()}
                changes = {"method": name} | VARIANTS.get(name, {})
                files.append(write_run(tmp_path / f"{name}/{percent}/{seed}", counts, percent=percent, seed=seed, **changes))
        answer = CliRunner().invoke(app, ["endpoints", *map(str, files), "--output", str(tmp_path / "out/endpoints.csv")])
        assert answer.exit_code == 0, answer.output
        with (tmp_path / "out/endpoints.csv").open() as file:
            rows = {(row["kind"], row["endpoint"], row["percent"]): row for row in csv.DictReader(file)}
        return rows, (tmp_path / "out/endpoints.md").read_text()

    return decide


F1S = {("hyperloader", percent): 0.8 for percent in (10, 20, 100)}
F1S |= {("adapters_generated", 10): 0.6, ("adapters_generated", 20): 0.9, ("adapters_generated", 100): 0.8}
F1S |= {("lora_generated", 10): 0.7, ("hyperformer_pp", 10): 0.5}


def test_the_primary_endpoint_is_one_test_and_the_others_are_a_family(endpoints):
    rows, text = endpoints(F1S)
    primary = rows["primary", "average", "10"]
    assert (primary["other"], primary["difference"], primary["verdict"], primary["p_holm"]) == ("Matched", "0.2000", "better", "")
    assert list(rows)[0] == ("primary", "average", "10") and float(primary["p"]) < 0.05 and float(primary["ci_low"]) > 0
    secondary = {key[1:]: row for key, row in rows.items() if key[0] == "secondary"}
    verdicts = {key: (row["difference"], row["verdict"]) for key, row in secondary.items()}
    assert verdicts == {
        ("average", "20"): ("-0.1000", "worse"),
        ("average", "100"): ("0.0000", "equivalent"),
        ("better than LoRA alone and than adapters alone", "10"): ("0.1000", "better"),
        ("HyperFormer++ as published", "10"): ("0.3000", "better"),
        ("named entity recognition", "10"): ("0.2000", "better"),
        ("slot filling", "10"): ("0.2000", "better"),
    }
    assert all(float(row["p_holm"]) <= 0.05 for row in secondary.values())
    assert "3 seeds (1, 2, 3), averages over MovieTrivia" in text and "**better**" in text


def test_the_combination_has_to_be_better_than_both(endpoints):
    rows, _ = endpoints(F1S | {("adapters_generated", 10): 0.9})
    assert rows["primary", "average", "10"]["verdict"] == "worse"
    row = rows["secondary", "better than LoRA alone and than adapters alone", "10"]
    assert (row["difference"], row["verdict"]) == ("0.1000", "worse")


def test_one_seed_decides_nothing_and_what_was_not_run_is_said(endpoints):
    rows, text = endpoints({key: F1S[key] for key in (("hyperloader", 10), ("adapters_generated", 10))}, seeds=(7,))
    primary = rows["primary", "average", "10"]
    assert (primary["seeds"], primary["p"], primary["verdict"]) == ("7", "", "one seed") and "one seed (7)" in text
    assert rows["secondary", "average", "20"]["verdict"] == rows["secondary", "HyperFormer++ as published", "10"]["verdict"] == "not run"
    rows, text = endpoints({})
    assert {row["verdict"] for row in rows.values()} == {"not run"} and "Nothing was run." in text


def test_sensitivity_says_whether_the_sign_depends_on_a_corpus_or_on_the_way_of_scoring(endpoints):
    # ahead because of ATIS alone
    ours = dict.fromkeys(known_corpora(), 0.5) | {"atis": 0.9}
    rows, _ = endpoints({("hyperloader", 10): ours, ("adapters_generated", 10): 0.52})
    signs = {key[1]: row["verdict"] for key, row in rows.items() if key[0] == "sensitivity"}
    assert {text for text, sign in signs.items() if sign == "other sign"} == {"without ATIS"} and len(signs) == 10
    row = rows["sensitivity", "without ATIS", "10"]
    assert (row["f1"], row["difference"], row["p"], row["ci_low"]) == ("0.5000", "-0.0200", "", "")
