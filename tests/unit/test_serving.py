"""`hyperloader serve`: the page in a browser, many requests at once, and what is refused."""

import json
import os
import re
import socket
import subprocess
import sys
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from urllib.error import HTTPError

import pytest
from tiny_runs import save_wild, write_settings

from hyperloader.cli.main import main
from hyperloader.corpora.prepared import load_corpus
from hyperloader.predicting.serving import MOST_BYTES
from hyperloader.predicting.tagger import Tagger

for module in ("fastapi", "uvicorn"):
    pytest.importorskip(module)

TASKS = {"atis": ("city", "day"), "snips": ("track",)}


@pytest.fixture(scope="module")
def runs(place, tmp_path_factory):
    """A trained gazetteer, which finds what it has seen, and a network with random weights."""
    folder = tmp_path_factory.mktemp("runs")
    data = {name: place / "data" / name for name in TASKS}
    save_wild(write_settings(folder / "network", data, place / "t5"), "hyperloader", place / "t5", TASKS)
    gazetteer = write_settings(folder / "gazetteer", data, None, "gazetteer")
    subprocess.run([sys.executable, "-m", "hyperloader", "train", str(gazetteer)], check=True)
    return [gazetteer, folder / "network"]


@pytest.fixture(scope="module")
def address(runs):
    """Where both are served, by a process of its own."""
    command = [sys.executable, "-m", "hyperloader", "serve", *map(str, runs), "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"}) as process:
        try:
            yield re.match(r"(http://127\.0\.0\.1:\d+/)  Ctrl-C ends\n", process.stdout.readline()).group(1)
        finally:
            process.terminate()


def ask(address, value, path="tag", **headers):
    """Status and answer."""
    body = value if isinstance(value, bytes) else json.dumps(value).encode()
    request = urllib.request.Request(address + path, body, {"Content-Type": "application/json"} | headers)
    try:
        with urllib.request.urlopen(request, timeout=120) as answer:
            return answer.status, json.load(answer)
    except HTTPError as error:
        return error.code, error.read().decode()


def test_many_at_once_get_each_their_answer(address, runs, place):
    taggers = {run.name: Tagger.from_pretrained(run) for run in runs}
    with urllib.request.urlopen(address + "runs") as answer:
        assert json.load(answer) == [{"name": name, "tasks": list(TASKS)} for name in taggers]
    seen = [" ".join(sentence.words) for name in TASKS for sentence in load_corpus(place / "data" / name).train]
    asked = [{"text": text, "run": run, "task": task} for text in [*seen[:3], *seen[-2:]] * 10 for run in taggers for task in TASKS]
    with ThreadPoolExecutor(len(asked)) as pool:
        answers = list(pool.map(lambda value: ask(address, value), asked))
    expected = {}
    for value, (status, answer) in zip(asked, answers, strict=True):
        if (key := tuple(value.values())) not in expected:
            expected[key] = taggers[value["run"]].predict(value["text"], value["task"])
        assert status == 200 and answer["spans"] == expected[key]
    assert len(expected) == 20 and any(expected.values())


def test_what_is_refused(address):
    good = {"text": "to boston", "run": "network", "task": "atis"}
    for value, status, problem in (
        (b"x" * 10_000_000, 413, f"more than {MOST_BYTES} bytes"),
        (good | {"text": "a " * MOST_BYTES}, 413, "more than"),
        (b"{", 400, "not valid JSON"),
        (b"[" * 50_000, 400, "not valid JSON"),
        (b"\xff", 400, "not valid JSON"),
        ([good], 400, "expected an object with strings as its text, run and task"),
        (good | {"text": ["to", "boston"]}, 400, "expected an object"),
        (good | {"run": "other"}, 400, "unknown run 'other'; known runs: gazetteer, network"),
        (good | {"task": "ati"}, 400, "unknown task 'ati'; did you mean 'atis'?"),
        (good | {"task": None}, 400, "which task?"),
        (good | {"text": "\ud800"}, 400, "not valid JSON"),
        (good | {"run": "\ud800"}, 400, "not valid JSON"),
        (good | {"task": "\ud800"}, 400, "not valid JSON"),
    ):
        got, answer = ask(address, value)
        assert got == status and problem in answer, (value if len(value) < 100 else len(value), answer)
    assert ask(address, good, **{"Content-Type": "text/plain"})[0] == 415
    assert ask(address, good, **{"Content-Type": "Application/JSON; charset=utf-8"})[0] == 200
    # what a page of another name, which leads to this machine, would send
    assert ask(address, good, Host="evil.example")[0] == 400
    assert ask(address, good, path="runs")[0] == 405 and ask(address, good, path="etc/passwd")[0] == 404
    assert ask(address, good)[0] == 200


def test_a_body_without_a_length_is_limited_too(address):
    host, port = re.match(r"http://(.*):(\d+)/", address).groups()
    with socket.create_connection((host, int(port)), timeout=30) as connection:
        head = f"POST /tag HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
        connection.sendall(head.encode() + b"18000\r\n" + b" " * 0x18000 + b"\r\n0\r\n\r\n")
        assert connection.recv(1000).startswith(b"HTTP/1.1 413 ")


def test_the_page(address, browser):
    from selenium.webdriver.support.ui import Select, WebDriverWait

    wait = WebDriverWait(browser, 30)
    browser.get(address)
    assert len(wait.until(lambda browser: browser.find_elements("css selector", ".run"))) == 2
    field = browser.find_element("id", "text")
    field.clear()
    # beyond 16 bits, and what HTML would take for a tag
    field.send_keys("<b>x</b> naïve to boston")
    browser.find_element("css selector", "button").click()
    texts = lambda: [text.text for text in browser.find_elements("css selector", ".text")]  # noqa: E731
    wait.until(lambda _: all("<b>x</b> naïve" in text for text in texts()))
    run, task = map(Select, browser.find_elements("css selector", ".run:first-child select"))
    assert [option.text for option in run.options] == ["gazetteer", "network"] and [option.text for option in task.options] == list(TASKS)
    task.select_by_value("snips")
    field.clear()
    assert browser.execute_script("return document.documentElement.scrollWidth <= window.innerWidth")
    field.send_keys("play a song\n")
    wait.until(lambda _: all("play" in text for text in texts()))
    assert [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE" and "favicon" not in entry["message"]] == []


def test_spans_are_coloured_by_slot_type(address, browser, place, runs):
    from selenium.webdriver.support.ui import WebDriverWait

    from hyperloader.corpora.prepared import load_corpus

    tagger = Tagger.from_pretrained(runs[0])
    texts = [" ".join(sentence.words) for sentence in load_corpus(place / "data" / "atis").train]
    text, spans = next((text, found) for text, found in zip(texts, tagger.predict(texts, "atis"), strict=True) if len(found) > 1)
    browser.get(address)
    wait = WebDriverWait(browser, 30)
    wait.until(lambda browser: browser.find_elements("css selector", ".run"))
    field = browser.find_element("id", "text")
    field.clear()
    field.send_keys(f"{text}\n")
    marks = wait.until(lambda browser: browser.find_elements("css selector", ".run:first-child mark"))
    found = [(mark.text.removesuffix(mark.get_attribute("title")), mark.get_attribute("title")) for mark in marks]
    # a gazetteer has no confidences
    assert found == [(span["word"], span["entity_group"]) for span in spans]
    assert len({mark.value_of_css_property("background-color") for mark in marks}) > 1


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["--port", "{busy}"], "cannot listen on 127.0.0.1, port {busy} (Address already in use); name another --port; 0 takes a free one"),
        (["--port", "0", "--host", "no.such.host.invalid"], "cannot listen on no.such.host.invalid, port 0"),
    ],
)
def test_addresses_that_cannot_be_had(runs, monkeypatch, capsys, arguments, problem):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        busy = str(taken.getsockname()[1])
        arguments = [argument.replace("{busy}", busy) for argument in arguments]
        monkeypatch.setattr(sys, "argv", ["hyperloader", "serve", str(runs[0]), *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
    said = capsys.readouterr().err
    assert ended.value.code == 2 and problem.replace("{busy}", busy) in said and len(said.splitlines()) == 1


def test_other_mistakes(runs, monkeypatch, capsys, tmp_path):
    for own, problem in (
        ([str(runs[0])] * 2, "a run is named twice"),
        ([str(tmp_path / "nowhere")], "no such folder"),
    ):
        monkeypatch.setattr(sys, "argv", ["hyperloader", "serve", *own, "--port", "0"])
        with pytest.raises(SystemExit) as ended:
            main()
        said = capsys.readouterr().err
        assert ended.value.code == 2 and problem in said and len(said.splitlines()) == 1
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    with pytest.raises(SystemExit):
        main()
    assert "needs the package uvicorn" in (said := capsys.readouterr().err) and "pip install 'hyperloader[serve]'" in said
