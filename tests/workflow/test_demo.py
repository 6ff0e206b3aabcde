"""The demo itself, with real training."""

import csv

import pytest


@pytest.mark.slow
def test_the_demo_reaches_what_it_promises(fresh_workflow):
    tables = [f"results/demo/table{number}.csv" for number in (2, 3, 4)]
    answer = fresh_workflow("--cores", "2", "--quiet", "host", "rules", "reason", "--", *tables)
    assert answer.status == 0, answer.text
    averages = {}
    for table in tables[1:]:
        with open(fresh_workflow.folder / table, newline="", encoding="utf-8") as file:
            averages |= {int(row["fraction"]): row for row in csv.DictReader(file) if row["dataset"] == "Average"}
    for title in ("HyperLoader", "HyperFormer"):
        assert 0.4 < float(averages[20][title])
        assert float(averages[10][title]) < float(averages[20][title]) < float(averages[100][title])
