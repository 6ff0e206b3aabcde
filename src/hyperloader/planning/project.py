"""`hyperloader init`: the workflow and its configuration as a project of one's own, for who has the package and no checkout."""

from __future__ import annotations

import shutil
from pathlib import Path

from hyperloader import __version__
from hyperloader.config.plugins import builtin_folder
from hyperloader.errors import SettingsError
from hyperloader.files import replacing_folder, write_text

FILES = ("Snakefile", "environment.yml", "workflow", "config")
VERSION = "workflow/VERSION"
GITIGNORE = "/results/\n/resources/\n/.snakemake/\n__pycache__/\n"
OWN = """# {what} of this project

A folder is the registration. {how} The workflow finds what is here by itself; for the command line, and wherever else:
`export {variable}="$PWD/{folder}"`.
"""


def lay_out(folder: Path) -> str:
    """Write a new project: Snakefile, workflow/, config/, and empty corpora/ and baselines/ for one's own.

    Args:
        folder: new, or empty.

    Returns:
        What to do next.

    Raises:
        SettingsError: there is something in the folder.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise SettingsError("exists already", file=folder, remedy="name a folder that does not")
    source = builtin_folder("project")
    # a folder that is there stays the same one: it may be the working directory
    place = folder / ".project" if folder.exists() else folder
    with replacing_folder(place) as temporary:
        for name in FILES:
            if (source / name).is_dir():
                shutil.copytree(source / name, temporary / name, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copyfile(source / name, temporary / name)
        # where Snakemake looks for the default profile
        (temporary / "profiles").symlink_to("workflow/profiles")
        write_text(temporary / VERSION, f"{__version__}\n")
        write_text(temporary / ".gitignore", GITIGNORE)
        corpora = "`hyperloader corpora add NAME --train FILE --test FILE --folder corpora` makes one of CoNLL files."
        methods = "Each has a `method.py` that defines `METHOD`, and is named in `config/config.yaml`."
        for name, what, how, variable in (
            ("corpora", "Corpora", corpora, "HYPERLOADER_CORPORA"),
            ("baselines", "Methods", methods, "HYPERLOADER_METHODS"),
        ):
            write_text(temporary / name / "README.md", OWN.format(what=what, how=how, variable=variable, folder=name))
    if place != folder:
        for entry in place.iterdir():
            entry.rename(folder / entry.name)
        place.rmdir()
    return (
        f"{folder}: a project of version {__version__}\n"
        f"next: cd {folder} && snakemake --cores 2 -- results/demo/table3.csv\n"
        "what to reproduce: config/config.yaml; make, the tests and the benchmarks need the checkout"
    )
