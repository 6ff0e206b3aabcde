"""Settings: what is refused, in which words, and that every key is explained."""

import re
from pathlib import Path

import pytest
from pydantic import BaseModel

from hyperloader.config import settings
from hyperloader.config.settings import BackboneSettings, Config, Recipe, RunSettings, Scale, Settings, read_yaml, validate
from hyperloader.errors import SettingsError
from hyperloader.methods.registry import methods

ROOT = Path(__file__).parents[2]
CONFIG = ROOT / "config"
GOOD = {"corpora": ["atis"], "methods": ["hyperloader"], "fractions": [10], "seeds": [42]}


def test_the_files_of_this_project_are_valid():
    recipe = read_yaml(Config, CONFIG / "config.yaml").recipe
    assert (CONFIG / "recipes" / f"{recipe}.yaml").is_file()
    for path in (CONFIG / "scales").glob("*.yaml"):
        assert read_yaml(Scale, path).backbones
    for path in (CONFIG / "recipes").glob("*.yaml"):
        assert read_yaml(Recipe, path).training.steps


@pytest.mark.parametrize(
    "change, message",
    [
        ({"corpra": ["atis"]}, r"config\.yaml: unknown key 'corpra' \(did you mean 'corpora'\?\)"),
        ({"fractions": [0]}, "'fractions.0': input should be greater than 0"),
        ({"fractions": [101]}, "'fractions.0': input should be less than or equal to 100"),
        ({"seeds": []}, "'seeds': list should have at least 1 item"),
        ({"seeds": ["many"]}, "'seeds.0': input should be a valid integer"),
        ({"seeds": [-1]}, "'seeds.0': input should be greater than or equal to 0"),
        ({"seeds": [2**32]}, "'seeds.0': input should be less than or equal to 4294967295"),
        ({"seeds": [1, True]}, "'seeds': input should not be a truth value"),
        ({"data_seeds": [-1]}, "'data_seeds.0': input should be greater than or equal to 0"),
        ({"data_seeds": [True]}, "'data_seeds': input should not be a truth value"),
        ({"fractions": 10}, "'fractions': input should be a valid list"),
        ({"fractions": [10, 10.0000001]}, "'fractions.1': a fraction has at most six digits: 10"),
        ({"fractions": [float("nan")]}, "'fractions.0': input should be a finite number"),
        ({"fractions": [float("inf")]}, "'fractions.0': input should be a finite number"),
        ({"recipe": "../paper"}, "'recipe': string should match pattern"),
    ],
)
def test_a_mistake_is_one_line_with_file_and_key(change, message):
    with pytest.raises(SettingsError, match=message) as caught:
        validate(Config, GOOD | change, "config.yaml")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("key", ["training", "single_task"])
@pytest.mark.parametrize(
    "change, message",
    [
        ({"steps": 0}, "steps': input should be greater than 0"),
        ({"batch_size": -3}, "batch_size': input should be greater than 0"),
        ({"evaluate_every": None}, "evaluate_every': input should be a valid integer"),
        ({"label_smoothing": 1}, "label_smoothing': input should be less than 1"),
        ({"max_grad_norm": 0}, "max_grad_norm': input should be greater than 0"),
        ({"max_grad_norm": None}, None),
    ],
)
def test_changes_of_a_training_have_its_limits(key, change, message):
    value = {"corpora": "generated", "backbones": {}, key: change}
    if message is None:
        assert getattr(validate(Scale, value), key).model_dump(exclude_unset=True) == change
    else:
        with pytest.raises(SettingsError, match=f"'{key}.{message}"):
            validate(Scale, value)


def test_a_missing_key_and_a_wrong_one_are_named_together():
    with pytest.raises(SettingsError, match="missing key 'methods'.*unknown key 'sedes'"):
        validate(Config, {key: value for key, value in GOOD.items() if key != "methods"} | {"sedes": [1]})


def test_a_mistake_in_a_backbone_is_found():
    with pytest.raises(SettingsError, match="revison"):
        validate(Scale, {"corpora": "real", "backbones": {"t5": {"source": "hub", "name": "x", "revison": "y"}}})
    sizes = {"hidden_size": 64, "num_attention_heads": 5}
    bert = {"source": "pretrained", "text": "generated", "architecture": sizes, "pretraining": {"steps": 1}}
    with pytest.raises(SettingsError, match="hidden_size 64 cannot be shared out among 5 attention heads"):
        validate(Scale, {"corpora": "real", "backbones": {"bert": bert}})


def test_a_missing_file_lists_its_neighbours(tmp_path):
    (tmp_path / "other.yaml").write_text("")
    with pytest.raises(SettingsError, match=r"none\.yaml: no such file; known here: other"):
        read_yaml(Recipe, tmp_path / "none.yaml")


def test_bad_yaml_is_named_by_its_line(tmp_path):
    (tmp_path / "bad.yaml").write_text("corpora: real\nbackbones: [\n")
    with pytest.raises(SettingsError, match=r"bad\.yaml:3: not valid YAML"):
        read_yaml(Scale, tmp_path / "bad.yaml")


def test_every_key_is_explained():
    models = [model for model in vars(settings).values() if isinstance(model, type) and issubclass(model, BaseModel)]
    written_by_the_workflow = {BaseModel, Settings, RunSettings, BackboneSettings, settings.AddedTask}
    models = [model for model in models if model not in written_by_the_workflow] + [method.Settings for method in methods().values()]
    explained = set(re.findall(r"`(\w+)`", (CONFIG / "README.md").read_text(encoding="utf-8")))
    assert not {name for model in models for name in model.model_fields} - explained
