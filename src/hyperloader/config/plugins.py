"""What can be added without an edit of the package: methods and corpora. A folder is the registration."""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
from pathlib import Path
from types import ModuleType

from hyperloader.config.places import expanded
from hyperloader.errors import SettingsError


def plugin_folders(builtin: str, variable: str) -> tuple[Path, ...]:
    """Where plug-ins of one kind are looked for.

    Args:
        builtin: name of the folder of those that come with the package.
        variable: of the environment; names further folders, separated as in `PATH`.
    """
    further = [expanded(path) for path in os.environ.get(variable, "").split(os.pathsep) if path]
    own = builtin_folder(builtin)
    # a folder that is named twice, or by another way to it, is one
    return tuple({folder.resolve(): folder for folder in reversed((*([own] if own.is_dir() else []), *further))}.values())[::-1]


def builtin_folder(name: str) -> Path:
    """A folder that comes with the package; that of `project` is the checkout, or what a wheel has of it."""
    package = Path(__file__).resolve().parents[1]
    # inside the package in an installed wheel, at the top level in a checkout
    shipped, checkout = package / "plugins" / name, package.parents[1]
    return shipped if shipped.is_dir() else checkout if name == "project" else checkout / name


def load_plugin(path: Path, package: str) -> ModuleType:
    """Import a plug-in's file as a package, so that it can import other files of its folder: `from .network import ...`.

    Args:
        path: of the file.
        package: its name among the imported modules.

    Raises:
        SettingsError: it cannot be imported.
    """
    spec = importlib.util.spec_from_file_location(package, path, submodule_search_locations=[str(path.parent)])
    sys.modules[package] = module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except (OSError, ImportError, SyntaxError) as error:
        raise SettingsError(f"cannot be imported ({error})", file=path) from error
    return module


def extra(module: str, name: str | None = None) -> ModuleType:
    """An optional package, imported when it is needed.

    Args:
        module: of it.
        name: of the extra of this package that installs it; by default the same.

    Raises:
        SettingsError: it is not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise SettingsError(f"needs the package {module} ({error})", remedy=f"pip install 'hyperloader[{name or module}]'") from None
