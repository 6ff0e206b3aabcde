"""The parameters of commands. A path is looked at by whoever opens it and says in one line what is wrong, not by the parser."""

from functools import partial

import typer

Argument, Option = partial(typer.Argument, readable=False), partial(typer.Option, readable=False)
