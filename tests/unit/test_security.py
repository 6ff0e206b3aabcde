"""What SECURITY.md promises of the source, and of names that come from files."""

import ast
import re
from pathlib import Path

import pytest

from hyperloader.config.settings import BackboneSettings, Config, validate
from hyperloader.errors import SettingsError

ROOT = Path(__file__).parents[2]
SOURCES = sorted(path for folder in ("src", "baselines", "workflow", "benchmarks", "tests") for path in (ROOT / folder).rglob("*.py"))
RULES = [ROOT / "Snakefile", ROOT / "workflow/Snakefile", *sorted((ROOT / "workflow/rules").glob("*.smk"))]

RUN_WHAT_THEY_READ = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "marshal", "shelve"}
CALLS = {"eval", "exec", "os.system", "os.popen", "subprocess.getoutput", "subprocess.getstatusoutput", "yaml.load", "yaml.unsafe_load"}
UNSAFE_OPTIONS = {"shell": True, "trust_remote_code": True, "allow_pickle": True, "weights_only": False}
# on a part of this project's own rules, and on the Python of a card that it wrote
OWN_TEXT = {"tests/workflow/test_plans.py": ["calls exec"], "tests/unit/test_exporting.py": ["calls exec"]}
# numbers that the settings have checked, or Snakemake; everything else in a shell command is quoted
NUMBERS = {"threads", "resources.gpu", "params.seed", "wildcards.number"}


def findings(tree):
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names]
            yield from (f"imports {name}" for name in names if name.partition(".")[0] in RUN_WHAT_THEY_READ)
        if isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            options = {keyword.arg: keyword.value for keyword in node.keywords}
            if name in CALLS:
                yield f"calls {name}"
            if name == "torch.load" and not is_constant(options.get("weights_only"), True):
                yield "torch.load without weights_only=True"
            yield from (f"{key}={value}" for key, value in UNSAFE_OPTIONS.items() if is_constant(options.get(key), value))


def is_constant(node, value):
    return isinstance(node, ast.Constant) and node.value is value


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "from joblib import load",
        "eval(text)",
        "yaml.load(text)",
        "torch.load(path)",
        "torch.load(path, weights_only=False)",
        "subprocess.run(text, shell=True)",
        "AutoModel.from_pretrained(name, trust_remote_code=True)",
        "numpy.load(path, allow_pickle=True)",
    ],
)
def test_the_search_finds(source):
    assert list(findings(ast.parse(source)))


def test_no_source_runs_what_it_reads():
    assert len(SOURCES) > 50
    found = {str(path.relative_to(ROOT)): list(findings(ast.parse(path.read_text(encoding="utf-8")))) for path in SOURCES}
    assert {path: what for path, what in found.items() if what} == OWN_TEXT


def shell_commands(text):
    """The string literals after each `shell:`."""
    for match in re.finditer(r'^\s+shell:\s*\n((?:\s*(?:".*"|\'.*\')\s*\n)+)', text, re.MULTILINE):
        yield match[1]


def test_what_comes_from_settings_and_paths_is_quoted_in_shell_commands():
    commands = [command for path in RULES for command in shell_commands(path.read_text(encoding="utf-8"))]
    assert len(commands) == sum(path.read_text(encoding="utf-8").count(" shell:") for path in RULES) > 10
    for command in commands:
        for field in re.findall(r"(?<!\{)\{([^{}]+)\}(?!\})", command):
            assert field.endswith(":q") or field in NUMBERS, f"{{{field}}} in {command}"


@pytest.mark.parametrize("name", ["../../elsewhere", "/etc/passwd", "..", ".hidden", "a/b", "a\\b", "a\0", "a b", "$(id)", "a\n", ""])
def test_names_in_settings_lead_nowhere_else(name):
    config = {"corpora": ["atis"], "methods": ["hyperloader"], "fractions": [10], "seeds": [42], "recipe": name}
    with pytest.raises(SettingsError, match="recipe"):
        validate(Config, config)
    backbone = {"kind": "t5", "backbone": {"source": "directory", "path": "anywhere"}, "data": {name: "folder"}}
    with pytest.raises(SettingsError, match="data"):
        validate(BackboneSettings, backbone)
