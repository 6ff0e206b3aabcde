"""Pages that a browser shows without anything from outside: what Markdown is for a terminal, for a report."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import cache
from html import escape
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

STYLE = """
body { font: 14px/1.45 system-ui, sans-serif; color: #1a1a1a; background: #fff; margin: 1.5rem; }
h1 { font-size: 1.25rem; }
h2 { font-size: 1.1rem; margin-top: 2.5rem; }
p { max-width: 60rem; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .25rem .6rem; border-bottom: 1px solid #ddd; text-align: left; vertical-align: top; }
th { position: sticky; top: 0; background: #fff; border-bottom: 2px solid #666; }
tbody tr:hover { background: #f2f6fa; }
.r { text-align: right; white-space: nowrap; }
a { color: #0072b2; }
mark { background: #dcebf7; padding: 0 .2em; border-radius: .2em; }
small { color: #555; }
figure { margin: 0; overflow-x: auto; }
figure svg { width: 100%; height: auto; min-width: 36rem; max-width: 72rem; }
figure g:has(> title):hover { opacity: .5; }
#told { position: fixed; bottom: 0; left: 0; right: 0; padding: .5rem 1.5rem; background: #1a1a1a; color: #fff; }
#told:empty { display: none; }
.wide { overflow-x: auto; }
.links { white-space: nowrap; }
table.dataTable thead th { position: static; }
table.dataTable input { min-width: 4rem; }
@media (max-width: 40rem) { body { margin: .75rem; font-size: 13px; } }
"""
# for figures: what is pointed at, or touched, says what it is
TELL = """<script>
const told = document.getElementById("told");
for (const kind of ["pointerover", "click"]) {
  document.addEventListener(kind, (event) => {
    told.textContent = event.target.closest?.("figure g:has(> title)")?.querySelector("title").textContent ?? "";
  });
}
</script>"""
# DataTables, with a field to search in below each column's name
SORT = """
for (const element of document.querySelectorAll("table.sortable")) {
  new DataTable(element, {
    autoWidth: false, order: [], pageLength: 25, ordering: { indicators: false, handler: false },
    columnControl: [{ target: 0, content: ["order"] }, { target: 1, content: ["search"] }],
  });
}
"""


class Table(NamedTuple):
    """A table that a reader sorts, searches and leafs through.

    Attributes:
        header: plain text.
        rows: cells as HTML.
        align: `l` or `r` for each column.
    """

    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    align: str


def page(title: str, *parts: str | Table) -> str:
    """A whole page.

    Args:
        title: plain text.
        parts: HTML or tables, one after the other.
    """
    head = ['<meta charset="utf-8">', '<meta name="viewport" content="width=device-width, initial-scale=1">']
    head += [f"<title>{escape(title)}</title>", f"<style>{STYLE}</style>"]
    body = [f"<h1>{escape(title)}</h1>", *(table(*part, sortable=True) if isinstance(part, Table) else part for part in parts)]
    if any(isinstance(part, Table) for part in parts):
        script, style = _data_tables()
        head.append(f"<style>{style}</style>")
        body.append(f'<script type="module">{script}{SORT}</script>')
    if any(isinstance(part, str) and part.startswith("<figure>") for part in parts):
        body += ['<div id="told" role="status"></div>', TELL]
    return "\n".join(["<!doctype html>", '<html lang="en">', "<head>", *head, "</head>", "<body>", *body, "</body>", "</html>"]) + "\n"


@cache
def _data_tables() -> tuple[str, str]:
    """Script and style of DataTables as the package `itables` carries them; the script ends with `DataTable` defined."""
    # without importing the package, which takes its time
    folder = Path(find_spec("itables").origin).parent / "html"
    script, style = ((folder / f"dt_bundle.{kind}").read_text(encoding="utf-8") for kind in ("js", "css"))
    exported = re.compile(r"export\s*\{([^}]*)\}")
    (names,) = exported.findall(script)
    name = dict(reversed(pair.split(" as ")) for pair in names.split(","))["default"]
    return exported.sub(f"const DataTable = {name}", script).replace("</script", "<\\/script"), style


def heading(text: str) -> str:
    """The heading of a section, plain text; its text is its address on the page as well."""
    return f'<h2 id="{quote(text)}">{escape(text, quote=False)}</h2>'


def contents(*headings: str) -> str:
    """Links to the sections of a page."""
    return f"<nav>{' | '.join(link(text, f'#{quote(text)}') for text in headings)}</nav>"


def picture(svg: str) -> str:
    """A figure, of a file that matplotlib wrote."""
    # two figures on a page would have the same ids
    inner = re.sub(r' id="[A-Za-z0-9.]+_\d+"', "", svg[svg.index("<svg") :])
    return f"<figure>{inner}</figure>"


def paragraph(text: str) -> str:
    """A paragraph of plain text."""
    return f"<p>{escape(text, quote=False)}</p>"


def table(header: Sequence[str], rows: Iterable[Sequence[str]], align: str, *, sortable: bool = False) -> str:
    """A table as it is; see `Table`."""
    kinds = [' class="r"' if letter == "r" else "" for letter in align]
    head = "".join(f"<th{kind}>{escape(cell, quote=False)}</th>" for kind, cell in zip(kinds, header, strict=True))
    lines = ["".join(f"<td{kind}>{cell}</td>" for kind, cell in zip(kinds, row, strict=True)) for row in rows]
    body = "\n".join(f"<tr>{line}</tr>" for line in lines)
    start, end = ('<div class="wide"><table class="sortable compact">', "</table></div>") if sortable else ("<table>", "</table>")
    return f"{start}\n<thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody>\n{end}"


def link(text: str, address: str) -> str:
    """A link, both as plain text."""
    return f'<a href="{escape(address)}">{escape(text, quote=False)}</a>'
