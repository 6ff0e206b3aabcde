"""Where things are that a user named: by `~`, by the environment, or relative to the working directory of another call."""

from __future__ import annotations

import os
from pathlib import Path

from hyperloader.errors import SettingsError

MIRROR_VARIABLE = "HYPERLOADER_MIRROR"
# of a file of the paper's numbers that is missing
PUBLISHED_REMEDY = "let --published name workflow/published of a checkout, or the file in it"


def expanded(path: str | Path) -> Path:
    """A path with its `~` as a shell reads it.

    Raises:
        SettingsError: nobody knows that home directory.
    """
    try:
        return Path(path).expanduser()
    except RuntimeError:
        raise SettingsError("whose home directory that is is not known", file=path, remedy="write it out") from None


def mirror_folder(mirror: str | Path | None = None) -> Path | None:
    """The folder that is asked before the internet, there or not: that given, or that of the environment; None where there is neither."""
    mirror = mirror or os.environ.get(MIRROR_VARIABLE)
    return expanded(mirror) if mirror else None


def near(path: str | Path, folder: str | Path, holds: str = "") -> Path:
    """What a file in `folder` calls `path`, which may be relative to the working directory of the call that wrote the file.

    The folders around `folder`, from the nearest one on, come before the working directory of this call; with a link in its path, those
    around the link come before those that it leads to.

    Args:
        path: as the file has it.
        folder: of the file.
        holds: a file that `path` must hold to be the one that is meant.
    """
    folder = Path(folder)
    places = (place / path for place in (*folder.absolute().parents, *folder.resolve().parents, Path()))
    return next((place for place in places if (place / holds).exists()), Path(path))
