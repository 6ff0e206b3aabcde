"""The report of a small real run, as a reader sees it in a browser."""

import base64
import re
import shutil
import subprocess

import pytest

from .conftest import ROOT

RESULTS = "results/demo"
TARGETS = [f"{RESULTS}/{name}" for name in ("table2.csv", "table4.csv", "parameters.csv", "claims.csv", "figure2.svg", "scores.html")]
# so short that nothing is learned: the report is about what is shown
SHORT = {"steps: 1200": "steps: 2", "steps: 500": "steps: 4", "steps: 72": "steps: 4", "evaluate_every: 100": "evaluate_every: 2"}

FIGURES = {"F1 against trainable parameters": "figure2.svg", "F1 by slot type": "labels.svg", "Losses": "curves.svg"}


@pytest.fixture
def report(fresh_workflow):
    scale = fresh_workflow.folder / "config/scales/demo.yaml"
    text = scale.read_text(encoding="utf-8")
    for long, short in SHORT.items():
        assert long in text
        text = text.replace(long, short)
    scale.write_text(re.sub(r"warmup_steps: \d+", "warmup_steps: 1", text), encoding="utf-8")
    recipes = fresh_workflow.folder / "config/recipes"
    shutil.copy(recipes / "matched.yaml", recipes / "Own-Rates.yaml")
    part = ["methods=[hyperloader,unipelt_bert,gazetteer]", "corpora=[atis,snips]", "fractions=[10,100]"]
    chosen = ["--config", "recipe=Own-Rates", *part, "--"]
    page = f"{RESULTS}/report.html"
    for options in (["--quiet", "host", "rules", "reason"], ["--report", page]):
        answer = fresh_workflow("--cores", "2", *options, *chosen, *TARGETS)
        assert answer.status == 0, answer.text
    assert "downloading" not in answer.text, "the report is to be made without internet"
    answer = fresh_workflow("--cores", "1", "--report", f"{RESULTS}/part.html", *chosen, f"{RESULTS}/table2.csv")
    assert answer.status == 0, "a report without tables of scores and figure 2"
    return fresh_workflow.folder / page


def test_a_report_is_asked_of_the_results_that_are_there(tmp_path):
    for name in ("Makefile", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)
    for made in (".venv/installed", "results/demo/table3.csv", "results/audit.csv"):
        (tmp_path / made).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / made).touch()
    call = ["make", "--dry-run", "report", "SCALE=demo"]
    said = subprocess.run(call, cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    assert "--report results/demo/report.html -- results/demo/table3.csv results/audit.csv\n" in said
    answer = subprocess.run(["make", "report", "SCALE=mini"], cwd=tmp_path, capture_output=True, text=True)
    assert answer.returncode == 2 and "no tables and figures in results/mini: make mini" in answer.stderr


@pytest.mark.slow
def test_the_report_shows_tables_and_figures_and_leads_to_the_runs(report, browser):
    from selenium.common.exceptions import WebDriverException
    from selenium.webdriver.support.ui import WebDriverWait

    def click(xpath):
        # the page may be drawn again between finding and clicking
        waiting = WebDriverWait(browser, 30, ignored_exceptions=[WebDriverException])
        waiting.until(lambda browser: browser.find_element("xpath", xpath).click() or True)

    def show(category, name):
        browser.get(report.as_uri())
        click(f"//li//*[normalize-space()='{category}']")
        click(f"//tr[td[normalize-space()='{name}']]//a")

    browser.get(report.as_uri())
    front = browser.find_element("tag name", "body").text
    assert "One frozen T5 tags seven corpora" in front and "Scale demo, recipe Own-Rates, decoding free" in front
    browser.switch_to.frame(browser.find_element("xpath", "//iframe[contains(@srcdoc, 'Table 4')]"))
    assert "HyperLoader" in browser.find_element("tag name", "table").text
    browser.switch_to.default_content()
    figure = browser.find_element("xpath", "//img[@alt='F1 against trainable parameters']")
    assert browser.execute_script("return arguments[0].complete && arguments[0].naturalWidth", figure) > 400

    show("Tables", "Table 4")
    browser.switch_to.frame(browser.find_element("tag name", "iframe"))
    table = browser.find_element("tag name", "table")
    assert table.is_displayed() and "HyperLoader" in table.text and "0.8331" in table.text
    browser.switch_to.default_content()

    show("Tables", "All results")
    browser.switch_to.frame(browser.find_element("tag name", "iframe"))
    assert len(browser.find_elements("css selector", "table.dataTable")) == 2, "scores and confused types; no HyperFormer++ is run here"
    browser.switch_to.default_content()

    for name, file in FIGURES.items():
        show("Figures", name)
        image = browser.find_element("xpath", f"//img[contains(substring(@src, 1, 99), 'filename={file}')]")
        assert browser.execute_script("return arguments[0].complete && arguments[0].naturalWidth", image) > 400, name
        svg = base64.b64decode(image.get_attribute("src").partition("base64,")[2]).decode("utf-8")
        assert "<text" in svg and "HyperLoader" in svg

    browser.get(report.as_uri())
    click("//a[starts-with(., 'All results')]")
    assert browser.current_url == (report.parent / "scores.html").as_uri()
    assert len(browser.find_elements("css selector", "figure svg")) == 2
    browser.find_element("css selector", "input[type=search]").send_keys('hyperloader snips "100 %"')
    shown = browser.find_element("css selector", "table.dataTable").find_elements("css selector", "tbody tr")
    assert len(shown) == 1 and "0." in shown[0].text
    addresses = {link.text: link.get_attribute("href") for link in shown[0].find_elements("tag name", "a")}
    assert {"settings", "training", "predictions", "train log"} <= addresses.keys()
    for address in addresses.values():
        browser.get(address)
        assert browser.find_element("tag name", "body").text

    assert [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"] == []
