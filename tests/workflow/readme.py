"""The code blocks of the README."""

import re
from pathlib import Path

README = Path(__file__).parents[2] / "README.md"


def blocks(language: str = "") -> list[str]:
    """The fenced code blocks of a language."""
    fenced = re.findall(r"^```(\w*)\n(.*?)^```$", README.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    return [block for name, block in fenced if name == language]


def commands(program: str) -> list[str]:
    """The commands in code blocks that start with these words, without their comments."""
    lines = [line.partition("  #")[0].strip() for block in blocks() for line in block.splitlines()]
    return [line for line in lines if line.startswith(program)]
