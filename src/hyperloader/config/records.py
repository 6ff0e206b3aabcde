"""The JSON files that each stage leaves for the next ones: typed, of a version, and read in one way.

A file that is damaged, edited by hand or written by another version ends in one error that names the file, the key and
the remedy, wherever it is read. What is in each file stands where it is written.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from hyperloader.config.settings import problem
from hyperloader.errors import RunError, UserError
from hyperloader.files import read_json, write_json

Share = Annotated[float, Field(ge=0, le=1)]


class RecordPart(BaseModel):
    """A part of a record, of exactly these types; other keys may stand beside them in the file."""

    model_config = ConfigDict(strict=True, extra="ignore", frozen=True)


class Record(RecordPart):
    """One kind of file.

    Attributes:
        WHAT: what it is, for an error.
        REMEDY: what to do about a damaged one; `{folder}` is the folder that it is in.
        ABSENT: what to do about a missing one, where that is something else.
        VERSION: of its format; a file says its own under `format_version`.
        ERROR: what is raised.
    """

    WHAT: ClassVar[str]
    REMEDY: ClassVar[str]
    ABSENT: ClassVar[str] = ""
    VERSION: ClassVar[int] = 1
    ERROR: ClassVar[type[UserError]] = RunError

    def write(self, path: str | Path) -> None:
        """Write the file, whole or not at all."""
        write_json(path, self.content())

    def content(self) -> dict[str, Any]:
        """What stands in the file."""
        return {"format_version": self.VERSION} | self.model_dump(mode="json")

    @classmethod
    def read(cls, path: str | Path) -> Self:
        """Read a file.

        Raises:
            UserError: it is missing, no such record, or of another version.
        """
        absent = cls.ABSENT and not os.path.exists(path)
        return cls.checked(read_json(path, remedy=cls.ABSENT if absent else cls.remedy(Path(path).parent), error=cls.ERROR), path)

    @classmethod
    def checked(cls, value: Any, path: str | Path) -> Self:
        """The record of a value that was read from `path`, after a look at its version, keys and types.

        Raises:
            UserError: see `read`.
        """
        remedy = cls.remedy(Path(path).parent)
        if not isinstance(value, dict):
            raise cls.ERROR(f"not {cls.WHAT}", file=path, remedy=remedy)
        version = value.get("format_version")
        if type(version) is not int:
            raise cls.ERROR(f"not {cls.WHAT}: 'format_version' is missing or no number", file=path, remedy=remedy)
        if version > cls.VERSION:
            raise cls.ERROR("written by a newer version of hyperloader", file=path, remedy="update hyperloader")
        if version < cls.VERSION:
            raise cls.ERROR("written by an older version of hyperloader", file=path, remedy=remedy)
        try:
            return cls.model_validate(value)
        except ValidationError as error:
            raise cls.ERROR(f"not {cls.WHAT}: {problem(cls, error.errors()[0])}", file=path, remedy=remedy) from None

    @classmethod
    def remedy(cls, folder: Path) -> str:
        """What to do about a damaged file in `folder`."""
        return cls.REMEDY.format(folder=folder)
