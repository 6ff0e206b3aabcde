"""Pages that a browser shows without anything from outside: what Markdown is for a terminal, for a report."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

STYLE = """
body { font: 14px/1.45 system-ui, sans-serif; color: #1a1a1a; background: #fff; margin: 1.5rem; }
h1 { font-size: 1.25rem; }
p { max-width: 60rem; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .25rem .6rem; border-bottom: 1px solid #ddd; text-align: left; vertical-align: top; }
th { position: sticky; top: 0; background: #fff; border-bottom: 2px solid #666; }
tbody tr:hover { background: #f2f6fa; }
.r { text-align: right; white-space: nowrap; }
a { color: #0072b2; }
"""


def page(title: str, *parts: str) -> str:
    """A whole page.

    Args:
        title: plain text.
        parts: HTML, one after the other.
    """
    head = ['<meta charset="utf-8">', f"<title>{escape(title)}</title>", f"<style>{STYLE}</style>"]
    body = [f"<h1>{escape(title)}</h1>", *parts]
    return "\n".join(["<!doctype html>", '<html lang="en">', "<head>", *head, "</head>", "<body>", *body, "</body>", "</html>"]) + "\n"


def paragraph(text: str) -> str:
    """A paragraph of plain text."""
    return f"<p>{escape(text, quote=False)}</p>"


def table(header: Sequence[str], rows: Iterable[Sequence[str]], align: str) -> str:
    """A table.

    Args:
        header: plain text.
        rows: cells as HTML.
        align: `l` or `r` for each column.
    """
    kinds = [' class="r"' if letter == "r" else "" for letter in align]
    head = "".join(f"<th{kind}>{escape(cell, quote=False)}</th>" for kind, cell in zip(kinds, header, strict=True))
    lines = ["".join(f"<td{kind}>{cell}</td>" for kind, cell in zip(kinds, row, strict=True)) for row in rows]
    body = "\n".join(f"<tr>{line}</tr>" for line in lines)
    return f"<table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody>\n</table>"


def link(text: str, address: str) -> str:
    """A link, both as plain text."""
    return f'<a href="{escape(address)}">{escape(text, quote=False)}</a>'
