"""What the README says can be typed, and where it says things are."""

import re
import shlex

import pytest

from .conftest import ROOT
from .readme import README, blocks, commands

SNAKEMAKE = commands("snakemake") + re.findall(r"`(snakemake [^`]*)`", README.read_text(encoding="utf-8"))


@pytest.mark.parametrize("command", SNAKEMAKE)
def test_its_workflow_commands_plan_jobs(workflow, command):
    answer = workflow("--dry-run", *shlex.split(command)[1:])
    assert answer.status == 0, answer.text


def test_its_make_targets_exist():
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    assert set(re.findall(r"\bmake ([a-z-]+)", README.read_text(encoding="utf-8"))) <= set(targets)


def test_the_tree_it_shows_is_there():
    (tree,) = [block for block in blocks() if block.startswith("Snakefile ")]
    for line in tree.splitlines():
        names = re.match(r" *((?:\S+ )*?\S+)(?:  |$)", line).group(1).split()
        parent = ROOT / "src" / "hyperloader" if line.startswith("  ") else ROOT
        for name in names:
            assert (parent / name.replace("<method>", "hyperformer_pp").replace("<name>", "atis")).exists(), name


def test_its_links_lead_somewhere():
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", README.read_text(encoding="utf-8")):
        assert (ROOT / target).exists(), target
