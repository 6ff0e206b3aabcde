"""The errors a user can cause: one line that says what is wrong, where, and what to do about it."""

from __future__ import annotations

from pathlib import Path


def one_line(text: str) -> str:
    """A text for a terminal, whatever a name or a word from elsewhere has in it: what is no printable character is escaped."""
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text)


class UserError(ValueError):
    """Something outside the code is wrong: a file, a setting, a name, a missing download.

    The command line prints it as one line, without a traceback, and exits with status 2.

    Args:
        message: what is wrong, one sentence without a full stop.
        file: the file it was found in.
        line: the 1-based line of that file.
        remedy: what the user can do.
    """

    def __init__(self, message: str, *, file: str | Path | None = None, line: int | None = None, remedy: str = ""):
        self.message, self.file, self.line, self.remedy = message, file, line, remedy
        super().__init__(str(self))

    def __str__(self) -> str:
        place = "" if self.file is None else f"{self.file}:{self.line}: " if self.line is not None else f"{self.file}: "
        return one_line(place + self.message + (f"; {self.remedy}" if self.remedy else ""))


class SettingsError(UserError):
    """A configuration file or a setting is not valid."""


class CorpusError(UserError):
    """A corpus is unknown, damaged, or not what its checksum says."""


class DownloadError(CorpusError):
    """A file could be had from none of its sources."""


class BackboneError(UserError):
    """A pre-trained backbone is missing or does not fit."""


class RunError(UserError):
    """A run directory, a checkpoint or a saved model is missing, damaged, or does not fit."""


class DivergedError(RunError):
    """The loss of a training is no number, or grows."""


class FormatError(UserError):
    """A sentence cannot be read, or cannot be written in the SentT' format."""


class StorageError(UserError):
    """A file cannot be written: no room, no permission, or its folder went away."""
