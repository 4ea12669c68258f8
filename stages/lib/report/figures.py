"""The report's plots, as inline SVG: the same numbers give the same bytes.

Plots are drawn in marker colours that `tidy` replaces by the page's CSS variables, so that they follow dark mode and
print. Text stays text, in the page's font.
"""

import io
import re
from collections.abc import Callable, Sequence
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

Points = Sequence[float]

# Marker colours that no plot uses by chance, and the variables of palette.css that replace them.
INK, MUTED, RULE = "#010203", "#010204", "#010205"
FIRST, SECOND, FAINT = "#010206", "#010207", "#010208"
VARIABLES = {INK: "ink", MUTED: "muted", RULE: "rule", FIRST: "first", SECOND: "second", FAINT: "faint"}

PALETTE = Path(__file__).with_name("palette.css")
SIZE = 4.8, 3.1  # inches of 72 user units
SETTINGS: Any = {
    "svg.fonttype": "none",
    "path.simplify": False,
    "font.size": 10.5,
    "text.color": INK,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": MUTED,
    "axes.linewidth": 0.8,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "grid.color": RULE,
    "grid.linewidth": 0.7,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.minor.size": 0,
    "ytick.minor.size": 0,
    "legend.frameon": False,
    "legend.labelcolor": INK,
    "legend.fontsize": 10,
    "lines.linewidth": 1.8,
}


def covering_radius(
    chosen: Points, random: tuple[Points, Points], bound: tuple[Points, Points], name: str = "k-center greedy"
) -> str:
    """Covering radius after each centre, log-log; `random` and `bound` are pairs of ks and radii and may be empty."""

    def plot(axes: Any) -> None:
        if len(random[0]):
            axes.plot(*random, color=SECOND, linestyle=(0, (5, 2)), label="random selection")
        axes.plot(range(1, len(chosen) + 1), chosen, color=FIRST, label=name)
        if len(bound[0]):
            axes.plot(*bound, color=MUTED, linestyle=(0, (1, 2)), label="lower bound for any selection")
        _logarithmic(axes.xaxis, ticks=(1, 2, 5))
        _logarithmic(axes.yaxis, ticks=(1, 1.5, 2, 3, 5, 7))
        axes.legend(loc="lower left")

    return _draw("Covering radius after each centre, on logarithmic axes", plot, "centres chosen", "covering radius")


def projection(points: np.ndarray, picks: np.ndarray) -> str:
    """All functions, (N, 2), and the picked ones, (k, 2)."""

    def plot(axes: Any) -> None:
        _dots(axes, points, FAINT, 2.2)
        _dots(axes, picks, SECOND, 5.0)
        axes.set(xticks=[], yticks=[])
        axes.spines[:].set_visible(False)

    return _draw("Two-dimensional projection of all functions, with the picked ones marked", plot)


def loss(train: tuple[Points, Points], validation: tuple[Points, Points]) -> str:
    """Training and validation loss, each a pair of steps and values; validation may be empty."""

    def plot(axes: Any) -> None:
        axes.plot(*train, color=FIRST, label="training")
        if len(validation[0]):
            axes.plot(*validation, color=SECOND, marker="o", markersize=4, label="validation")
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.legend(loc="upper right")

    return _draw("Loss by training step", plot, "optimizer step", "loss per token, nats")


def interval_lines(
    title: str, lines: Sequence[tuple[str, float, float, float]], x: str, zero: bool = False, shares: bool = True
) -> str:
    """A dot and its interval for each (label, value, low, high), top to bottom; `zero` draws a line at 0, and `shares`
    are shown in percent."""

    def plot(axes: Any) -> None:
        if zero:
            axes.axvline(0.0, color=MUTED, linewidth=1.0)
        for place, (_, value, low, high) in enumerate(lines):
            axes.plot([low, high], [place, place], color=FIRST, linewidth=2.4, solid_capstyle="round")
            axes.plot([value], [place], color=FIRST, marker="o", markersize=7)
        axes.set_yticks(range(len(lines)), [label for label, *_ in lines], color=INK)
        axes.set_ylim(len(lines) - 0.4, -0.6)
        axes.grid(axis="y", visible=False)
        if shares:
            axes.xaxis.set_major_formatter(_percent)

    return _draw(title, plot, x, size=(SIZE[0], 0.9 + 0.32 * len(lines)))


def interval_points(
    title: str, points: Sequence[tuple[float, float, float, float]], x: str, y: str, shares: bool = True
) -> str:
    """A dot and its interval for each (x, value, low, high), x on a logarithmic axis; `shares` are shown in percent."""

    def plot(axes: Any) -> None:
        for place, value, low, high in sorted(points):
            axes.plot([place, place], [low, high], color=FIRST, linewidth=2.4, solid_capstyle="round")
            axes.plot([place], [value], color=FIRST, marker="o", markersize=6)
        _logarithmic(axes.xaxis, ticks=(1, 2, 5))
        if shares:
            axes.yaxis.set_major_formatter(_percent)

    return _draw(title, plot, x, y)


def standalone(svg: str) -> str:
    """An inline plot as a file of its own, which follows dark mode too."""
    spaces = 'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"'
    style = "svg { background: var(--paper); font-family: var(--sans); }"
    begin, _, rest = svg.partition(">")
    return f"{begin} {spaces}><style>{PALETTE.read_text(encoding='utf-8')}{style}</style>{rest}\n"


def _draw(title: str, plot: Callable[[Any], None], x: str = "", y: str = "", size: tuple[float, float] = SIZE) -> str:
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context({**SETTINGS, "svg.hashsalt": title}):
        figure = Figure(figsize=size, layout="constrained")
        plot(figure.add_subplot(xlabel=x, ylabel=y))
        svg = io.StringIO()
        figure.savefig(svg, format="svg", transparent=True, metadata={"Date": None})
    return tidy(svg.getvalue(), title)


def _dots(axes: Any, points: np.ndarray, color: str, size: float) -> None:
    """A dot at each of the (N, 2) points, as zero-length strokes with round ends: a tenth of a scatter plot's bytes."""
    from matplotlib.patches import PathPatch
    from matplotlib.path import Path as Outline

    codes = np.tile([Outline.MOVETO, Outline.LINETO], len(points))
    path = Outline(np.repeat(points, 2, axis=0), codes)
    axes.add_patch(PathPatch(path, fill=False, edgecolor=color, linewidth=size, capstyle="round"))
    axes.update_datalim(points)
    axes.autoscale_view()


def _percent(share: float, _place: int) -> str:
    return f"{100 * share:.0f}%"


def _logarithmic(axis: Any, ticks: Points) -> None:
    """A logarithmic axis labelled with plain numbers at `ticks` of every decade."""
    from matplotlib.ticker import LogLocator, NullLocator, StrMethodFormatter

    axis._set_axes_scale("log")
    axis.set_major_locator(LogLocator(subs=ticks))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(StrMethodFormatter("{x:g}"))


def tidy(svg: str, title: str) -> str:
    """matplotlib's SVG as an inline element: no prolog, no fixed size, two decimals, CSS colours."""
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'<g id="[^"]*"', "<g", svg)  # ids would clash between plots; nothing refers to a group
    svg = re.sub(r"font-family: [^;\"]*;? ?", "", svg)
    svg = re.sub(r"<style.*?</style>", "", svg, flags=re.DOTALL)  # it would apply to the whole page
    svg = re.sub(r"<[^>]*>", lambda tag: re.sub(r"(\d+\.\d\d)\d+", r"\1", tag[0]), svg)  # not what is written
    for marker, variable in VARIABLES.items():
        svg = svg.replace(marker, f"var(--{variable})")
    box = re.search(r'<svg [^>]*(viewBox="[^"]*")[^>]*>', svg)
    assert box, "matplotlib wrote no SVG"
    label = escape(title)
    return f'<svg {box[1]} role="img" aria-label="{label}">{svg[box.end() :].strip()}'
