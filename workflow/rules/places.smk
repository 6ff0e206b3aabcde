# Where things are: this workflow's source may lie elsewhere than the working directory (`--directory`, `module`); results never do.
import os
import shlex
import sys
from importlib.util import find_spec
from pathlib import Path

# of a workflow that Snakemake fetched from a repository there is no folder
BASE = workflow.current_basedir
CHECKOUT = Path(BASE).resolve().parents[1] if isinstance(BASE, os.PathLike) else None


def near(path):
    """A path as inputs name it: relative inside the working directory, so that results count in another checkout as well."""
    path = Path(path).resolve()
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)


def own(path):
    """A file of this workflow's source."""
    return near(CHECKOUT / path) if CHECKOUT else workflow.source_path(f"../../{path}")


def config_folder():
    """The working directory's folder of scales and recipes, or else this workflow's own."""
    return "config" if os.path.isdir("config/scales") or not CHECKOUT else own("config")


def config_file():
    """The working directory's `config.yaml`, or else this workflow's own."""
    return "config/config.yaml" if os.path.isfile("config/config.yaml") else own("config/config.yaml")


def laid_out_by():
    """The version whose `hyperloader init` made this project; none in a checkout."""
    made = CHECKOUT / "workflow/VERSION" if CHECKOUT else None
    return made.read_text().strip() if made and made.is_file() else None


def find_own_plugins():
    """Let a project's own corpora and methods be found in it."""
    for variable, name in (("HYPERLOADER_CORPORA", "corpora"), ("HYPERLOADER_METHODS", "baselines")) if laid_out_by() else ():
        others = [path for path in os.environ.get(variable, "").split(os.pathsep) if path and Path(path).resolve() != CHECKOUT / name]
        os.environ[variable] = os.pathsep.join([*others, str(CHECKOUT / name)])


def check_package():
    """Refuse another package than that of this workflow: its code would make the results, and be recorded as theirs."""
    found = find_spec("hyperloader")
    imported = Path(found.origin).resolve() if found and found.origin else None
    if imported and laid_out_by():
        from hyperloader import __version__

        if __version__ == laid_out_by():
            return
        sys.exit(
            f"hyperloader: this project was laid out by version {laid_out_by()}, and {__version__} is installed;"
            f" install that one, or replace workflow/ by that of: hyperloader init NEW"
        )
    source = Path(own("src/hyperloader/__init__.py")).resolve()
    # beside a fetched workflow the package of its version is installed on its own; fetched files lack their last newline
    if imported and (imported == source or not CHECKOUT and imported.read_text().strip() == source.read_text().strip()):
        return
    what = f"{imported.parent}: is not the package of this workflow" if imported else "the package is not installed"
    python = shlex.quote(sys.executable)
    install = f"run: {python} -m pip install -e {shlex.quote(str(CHECKOUT))}" if CHECKOUT else "install its version"
    path = " (PYTHONPATH comes first)" if os.environ.get("PYTHONPATH") else ""
    sys.exit(f"hyperloader: {what}; call the snakemake of an environment where it is, or {install}{path}")


check_package()
find_own_plugins()
PACKAGE = Path(find_spec("hyperloader").origin).parent

# for jobs: the Python that runs Snakemake, whatever `hyperloader` PATH finds. Through the environment and not as parameters: where
# things are is no reason to make a result again
os.environ.update(
    HYPERLOADER_PYTHON=sys.executable,
    HYPERLOADER_SOURCE=str(PACKAGE.parent),
    HYPERLOADER_LOGGED=os.path.abspath(own("workflow/scripts/logged.sh")),
)
