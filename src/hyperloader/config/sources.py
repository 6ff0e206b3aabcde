"""Which source files decide a result: those of the module that makes it, and of all that it imports."""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterable, Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from grimp import ImportGraph

PACKAGE = __name__.partition(".")[0]
ROOT = Path(__file__).resolve().parents[1]
# the modules that make a trained model and its predictions, and what each imports for other ends
TRAINING, PREDICTING = ("methods.training_run", "formulations.decoding"), ("predicting.prediction", "training")
# an edit there changes no result: what is said, who may work, how files come, how settings are read (their values are inputs of their own)
NEUTRAL = ("errors", "files", "config", "runs.gpus", "runs.locks", "training.display", "training.backbones.hub")


def sources(*modules: str, without: Iterable[str] = (), plugins: Iterable[Path] = ()) -> list[Path]:
    """The files of some modules and of what they import, directly or not, sorted; then those of plug-ins.

    Args:
        modules: names below the package; a package stands for all of its modules.
        without: modules that are imported and change nothing of this result, likewise; what only they import is left out too.
        plugins: folders of plug-ins, whose own files belong to it, and the modules that these import.
    """
    graph, left_out = _graph(), {*NEUTRAL, *without}
    own = [file for folder in plugins for file in sorted(folder.rglob("*.py"))]
    found: set[str] = set()
    waiting = [name for module in modules for name in (f"{PACKAGE}.{module}", *graph.find_descendants(f"{PACKAGE}.{module}"))]
    waiting += [name for file in own for name in _imported(file) if name in graph.modules]
    while waiting:
        name = waiting.pop()
        if name in found or name == PACKAGE or _is_in(name.removeprefix(f"{PACKAGE}."), left_out):
            continue
        found.add(name)
        # a module is imported after the packages that it is in
        waiting += [*graph.find_modules_directly_imported_by(name), name.rpartition(".")[0]]
    return [*sorted(map(_file, found)), *own]


def code_checksum(stage: tuple[str, str], folders: Iterable[Path]) -> str:
    """One checksum over the source files that decide a result.

    Args:
        stage: `TRAINING` or `PREDICTING`.
        folders: of plug-ins that take part in it.
    """
    contents = (file.read_bytes() for file in sources(stage[0], without=stage[1:], plugins=folders))
    return hashlib.sha256(b"".join(hashlib.sha256(content).digest() for content in contents)).hexdigest()


def _imported(file: Path) -> Iterator[str]:
    """What the absolute import statements of a file name, wherever they stand: modules, and what is in them."""
    with suppress(SyntaxError, ValueError):  # nobody can import it
        for node in ast.walk(ast.parse(file.read_bytes())):
            if isinstance(node, ast.Import):
                yield from (alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and not node.level:
                yield from (node.module, *(f"{node.module}.{alias.name}" for alias in node.names))


def _is_in(module: str, packages: set[str]) -> bool:
    return any(module == package or module.startswith(f"{package}.") for package in packages)


def _file(name: str) -> Path:
    path = ROOT.joinpath(*name.split(".")[1:])
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


@cache
def _graph() -> ImportGraph:
    import grimp

    return grimp.build_graph(PACKAGE, cache_dir=None, exclude_type_checking_imports=True)
