"""JSON schemas of the configuration files, for editors; made from `hyperloader.config.settings`, which alone decides."""

from __future__ import annotations

from pathlib import Path

from hyperloader.config.settings import Ablations, Config, Recipe, Scale
from hyperloader.files import write_json

MODELS = {"ablations": Ablations, "config": Config, "recipe": Recipe, "scale": Scale}


def write_schemas(folder: str | Path) -> None:
    """Write `<name>.schema.json` for `config.yaml`, `ablations.yaml`, recipes and scales."""
    for name, model in MODELS.items():
        schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", **model.model_json_schema()}
        write_json(Path(folder) / f"{name}.schema.json", schema)
