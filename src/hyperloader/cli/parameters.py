"""The parameters of commands. A path is looked at by whoever opens it and says in one line what is wrong, not by the parser."""

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from hyperloader.errors import StorageError

Argument, Option = partial(typer.Argument, readable=False), partial(typer.Option, readable=False)


def _in_a_folder(path: Path | None) -> Path | None:
    """The path of a file to write; its folder is not made, since a user rather mistyped it.

    Raises:
        StorageError: there is no such folder.
    """
    if path is not None and not path.parent.is_dir():
        raise StorageError("there is no such folder", file=path.parent, remedy="make it, or name another file")
    return path


# of a file that a user names, to write
OutputOption = partial(Option, callback=_in_a_folder)
Columns = Annotated[
    str | None,
    Option(metavar="WORD,TAG", help="Of a CoNLL file with more than two columns: the numbers of those of word and tag, e.g. 1,4."),
]
