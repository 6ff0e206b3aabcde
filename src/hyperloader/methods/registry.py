"""Which methods there are: a method is a folder with a `method.py` that defines `METHOD`.

The folders of `baselines/` are found by themselves, and so are those of every folder named in the environment variable
`HYPERLOADER_METHODS` (separated as in `PATH`): adding a method is adding a folder.
"""

from __future__ import annotations

from difflib import get_close_matches
from functools import cache
from pathlib import Path

from hyperloader.config.plugins import load_plugin, plugin_folders
from hyperloader.errors import SettingsError
from hyperloader.files import listed, there
from hyperloader.methods.hyperloader import HyperLoader
from hyperloader.methods.method import Method


def method_folders() -> tuple[Path, ...]:
    """Where methods are looked for: `baselines/`, then the folders of `HYPERLOADER_METHODS`."""
    return plugin_folders("baselines", "HYPERLOADER_METHODS")


def folders_of(name: str) -> list[Path]:
    """The folder of a method's own files; none for one that is in the package."""
    return [folder / name for folder in method_folders() if there(folder / name)]


@cache
def methods() -> dict[str, Method]:
    """All methods by name, HyperLoader first."""
    found: dict[str, Method] = {HyperLoader.name: HyperLoader()}
    for folder in method_folders():
        for path in (place / "method.py" for place in listed(folder)):
            if not there(path):
                continue
            name = path.parent.name
            if name in found:
                raise SettingsError(f"there are two methods named '{name}'", file=path, remedy="rename one of the folders")
            module = load_plugin(path, f"hyperloader_method_{name}")
            if not isinstance(getattr(module, "METHOD", None), Method):
                raise SettingsError("does not define METHOD, an instance of hyperloader.methods.method.Method", file=path)
            module.METHOD.name = name
            found[name] = module.METHOD
    return found


def get_method(name: str) -> Method:
    """The method of that name.

    Raises:
        SettingsError: there is none; names those there are.
    """
    if name not in methods():
        close = get_close_matches(name, methods(), n=1)
        hint = f"did you mean '{close[0]}'? " if close else ""
        raise SettingsError(f"unknown method '{name}'", remedy=f"{hint}known methods: {', '.join(methods())}")
    return methods()[name]
