"""What all figures share: sizes, colours, and how they are written."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from hyperloader.files import replacing

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# inches: the text width of a two-column page, and the height that leaves room for a caption
WIDTH, HEIGHT = 7.0, 9.2
# Okabe and Ito's colours, which colour-blind readers can tell apart, without the yellow, which is too pale on white
COLOURS = ("#E69F00", "#56B4E9", "#009E73", "#D55E00", "#0072B2", "#CC79A7", "#000000")
GREY = "#666666"
# tell those apart that share a colour, where there are more of them than colours
MARKERS = ("o", "s", "^", "D")
FORMATS = (".svg", ".png")
TOLD = "told: "
_RC = {
    "font.family": "DejaVu Sans",  # comes with matplotlib, so that every machine lays out alike
    "font.size": 8,
    "axes.titlesize": 8,
    "axes.labelsize": 8,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "legend.fontsize": 7,
    "legend.frameon": False,
    "axes.linewidth": 0.6,
    "lines.linewidth": 1.0,
    "svg.fonttype": "none",  # text stays text
    "svg.hashsalt": "hyperloader",  # the same ids every time
}


@contextmanager
def canvas(output: str | Path, height: float) -> Iterator[Figure]:
    """Yield an empty figure of the text width; afterwards it is written as SVG and PNG, the same bytes for the same content.

    Args:
        output: path without its suffix.
        height: in inches.
    """
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    with rc_context(_RC):
        figure = Figure(figsize=(WIDTH, height), layout="constrained")
        yield figure
        for suffix in FORMATS:
            with replacing(Path(output).with_suffix(suffix)) as temporary:
                figure.savefig(temporary, format=suffix[1:], dpi=200, metadata={"Date": None} if suffix == ".svg" else None)
                if suffix == ".svg":
                    svg = temporary.read_text(encoding="utf-8")
                    temporary.write_text(re.sub(rf'<g id="{TOLD}([^"]*)">', r"<g><title>\1</title>", svg), encoding="utf-8", newline="\n")


def tell(artist: Artist, text: str) -> None:
    """Have a browser say something where an artist is pointed at in the SVG."""
    artist.set_gid(TOLD + text)


def open_frame(ax: Axes) -> None:
    """Leave away the upper and right border, and draw a faint grid below the data."""
    ax.spines[["top", "right"]].set_visible(False)
    ax.grid(color="#DDDDDD", linewidth=0.5)
    ax.set_axisbelow(True)


def note(figure: Figure, text: str) -> None:
    """A line of small print across the middle of a figure that has nothing to show."""
    figure.text(0.5, 0.5, text, ha="center", va="center", color=GREY)


def remark(figure: Figure, text: str) -> None:
    """A line of small print above the panels."""
    figure.suptitle(text, fontsize=7, color=GREY)
