"""Standard input, output and error that are closed, full, gone, a terminal, or in another encoding."""

import json
import os
import pty
import subprocess
import sys

import pytest
from test_tagger import gazetteer  # noqa: F401

PREDICT = '"$0" -m hyperloader predict --run "$1" --task snips'
SENTENCE = "'little robin'"
ANSWER = "little robin [track 0:12]\n"


def shell(line, run, **options):
    """What a line of shell prints, says on standard error, and ends with."""
    options = {"stdin": subprocess.DEVNULL} | options
    done = subprocess.run(["bash", "-c", line, sys.executable, str(run)], capture_output=True, **options)
    return done.stdout.decode(), done.stderr.decode(), done.returncode


def test_a_given_sentence_needs_no_input(gazetteer):  # noqa: F811
    assert shell(f"{PREDICT} {SENTENCE} <&-", gazetteer) == (ANSWER, "", 0)
    said = "hyperloader: standard input: is closed; give sentences, or a --file\n"
    assert shell(f"{PREDICT} <&-", gazetteer) == ("", said, 2)


def test_a_prompt_is_for_those_who_give_no_sentence(gazetteer):  # noqa: F811
    keyboard, terminal = pty.openpty()
    try:
        assert shell(f"{PREDICT} {SENTENCE}", gazetteer, stdin=terminal) == (ANSWER, "", 0)
        os.write(keyboard, b"little robin\n\x04")
        assert shell(PREDICT, gazetteer, stdin=terminal) == (ANSWER, "sentences, one a line; Ctrl-D ends\n", 0)
    finally:
        os.close(keyboard)
        os.close(terminal)


@pytest.mark.parametrize("command", [f"{PREDICT} {SENTENCE}", '"$0" -m hyperloader corpora list', '"$0" -m hyperloader --help'])
def test_an_answer_that_does_not_arrive_is_one_line(gazetteer, command):  # noqa: F811
    said = "hyperloader: output: cannot be written (Bad file descriptor); standard output is closed\n"
    assert shell(f"{command} >&-", gazetteer) == ("", said, 2)
    said = "hyperloader: output: cannot be written (No space left on device); make room on that disk\n"
    assert shell(f"{command} >/dev/full", gazetteer) == ("", said, 2)
    assert shell(f"{command} 2>&-", gazetteer)[1:] == ("", 0)


def test_a_command_with_nothing_to_say_needs_no_output(gazetteer, tmp_path):  # noqa: F811
    assert shell(f'"$0" -m hyperloader schema {tmp_path} <&- >&- 2>&-', gazetteer) == ("", "", 0)
    assert json.loads((tmp_path / "config.schema.json").read_text())


def test_a_reader_that_has_enough(gazetteer):  # noqa: F811
    many = f"yes {SENTENCE} | head -20000"
    assert shell(f"{many} | {PREDICT} | head -1", gazetteer) == (ANSWER, "", 0)


ENCODINGS = [{"PYTHONIOENCODING": "latin-1"}, {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}]


@pytest.mark.parametrize("encoding", ENCODINGS, ids=["Latin-1", "ASCII"])
def test_other_encodings(gazetteer, tmp_path, encoding):  # noqa: F811
    environment = os.environ | encoding
    (tmp_path / "Œ.conll").write_text("little\tB-œuvre\nrobin\tO\n", encoding="utf-8")
    line = f'"$0" -m hyperloader evaluate --run "$1" --task snips --corpus {tmp_path}/Œ.conll'
    warning = "gold spans with labels that the model does not know count as missed"
    printed, said, status = shell(f"{line} --json", gazetteer, env=environment)
    assert "œuvre" in json.loads(printed)["labels"] and warning in said and (len(said.splitlines()), status) == (1, 0)
    printed, said, status = shell(line, gazetteer, env=environment)
    assert "alignment" in printed and warning in said and (len(said.splitlines()), status) == (1, 0)
    printed, said, status = shell(f"{line}.gone", gazetteer, env=environment)
    assert printed == "" and said.startswith("hyperloader: no corpus") and (len(said.splitlines()), status) == (1, 2)
