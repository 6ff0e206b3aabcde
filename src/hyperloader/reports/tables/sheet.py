"""A table for people, as Markdown, HTML and LaTeX, and the CSV beside it."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from statistics import mean, stdev

from hyperloader.files import write_text
from hyperloader.reports.tables.web_page import Table, page, table

LATEX = {
    "\\": r"\textbackslash{}",
    "^": r"\textasciicircum{}",
    "~": r"\textasciitilde{}",
    "±": r"$\pm$",
    "<": "$<$",
    ">": "$>$",
    "|": "$|$",
}
LINK = re.compile(r"\[([^][]+)\]\(([\w.-]+\.html)\)")
LATEX |= {character: rf"\{character}" for character in "&%$#_{}"}


@dataclass(frozen=True)
class Sheet:
    """What is in a table.

    Attributes:
        title: e.g. `Table 3`.
        caption: sentences above the table.
        header: names of the columns.
        rows: cells as text; `**...**` is bold, `[...](...)` a link.
        align: `l` or `r` for each column.
        notes: paragraphs below the table.
    """

    title: str
    caption: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    align: str
    notes: Sequence[str] = ()

    def markdown(self) -> str:
        """A pipe table between its caption and its notes."""
        from tabulate import tabulate

        sides = ["left" if letter == "l" else "right" for letter in self.align]
        rows = [[cell.replace("|", r"\|") for cell in row] for row in self.rows]
        table = tabulate(rows, self.header, tablefmt="pipe", disable_numparse=True, colalign=sides if rows else None)
        return "\n\n".join([f"**{self.title}**: {self.caption}", table, *self.notes]) + "\n"

    def latex(self) -> str:
        """A floating table; it needs the packages `booktabs` and `graphicx`, and is made smaller where it is wider than the text."""
        lines = [r"\begin{table*}", r"\centering", rf"\caption{{{_latex(self.caption)}}}"]
        lines += [rf"\label{{tab:{re.sub('[^a-z0-9]', '', self.title.lower())}}}"]
        lines += [r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%", rf"\begin{{tabular}}{{{self.align}}}", r"\toprule"]
        lines += [_line(self.header), r"\midrule", *map(_line, self.rows), r"\bottomrule", r"\end{tabular}}"]
        lines += [rf"\par\smallskip\footnotesize {_latex(note)}" for note in self.notes]
        return "\n".join([*lines, r"\end{table*}"]) + "\n"

    def html(self, *, sortable: bool = False) -> str:
        """A page for a browser."""
        rows = [[_html(cell) for cell in row] for row in self.rows]
        # a note may begin with a name, which has capitals of its own
        caption, *notes = (f"<p>{_html(text)}</p>" for text in (capitalised(self.caption), *self.notes))
        shown = (self.header, rows, self.align)
        return page(self.title, caption, Table(*shown) if sortable else table(*shown), *notes)


def capitalised(text: str) -> str:
    """A sentence from words that may have names in them, which keep their case."""
    return text[:1].upper() + text[1:]


def decimals(value: float | None, sign: str = "") -> str:
    """A score or a p-value with four digits, or nothing; `+` as `sign` shows that of a difference, which what rounds to zero has not."""
    return "" if value is None else f"{value:{sign}.4f}".replace("-0.0000", "0.0000").replace("+0.0000", "0.0000")


def spread(values: Collection[float]) -> str:
    """Mean, and of several standard deviation; nothing of none."""
    return " ± ".join([decimals(mean(values)), *([decimals(stdev(values))] if len(values) > 1 else [])]) if values else ""


def interval(ends: tuple[float, float], sign: str = "") -> str:
    """Both ends of an interval."""
    return " to ".join(decimals(end, sign) for end in ends)


def as_csv(header: Sequence[str], rows: Iterable[Iterable[object]]) -> str:
    """CSV with a header line."""
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows([header, *rows])
    return text.getvalue()


def write_sheet(output: str | Path, data: str, sheet: Sheet, *, latex: bool = True) -> None:
    """Write `data` as the CSV `output`, and the sheet as Markdown, HTML and LaTeX beside it."""
    output = Path(output)
    write_text(output, data)
    write_text(output.with_suffix(".md"), sheet.markdown())
    write_text(output.with_suffix(".html"), sheet.html())
    if latex:
        write_text(output.with_suffix(".tex"), sheet.latex())


def _line(cells: Sequence[str]) -> str:
    return " & ".join(map(_latex, cells)) + r" \\"


def _html(text: str) -> str:
    # a percentage stays on one line in a narrow column
    linked = LINK.sub(r'<a href="\2" target="_top">\1</a>', escape(text, quote=False).replace(" %", "\N{NO-BREAK SPACE}%"))
    return re.sub(r"\*\*(.+?)\*\*", r"<strong>\1</strong>", linked)


def _latex(text: str) -> str:
    escaped = "".join(LATEX.get(character, character) for character in LINK.sub(r"\1", text))
    return re.sub(r"\*\*(.+?)\*\*", r"\\textbf{\1}", escaped)
