"""`report.html`: one file with everything, pictures included, that reads well by day, by night and on paper."""

import io
import re
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

from .. import plot
from .._formats.writing import write_text

#: The colour of lines and letters while they are drawn; the page puts its own in its place.
_INK = "#123457"
_STYLE: Any = {
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 9.0,
    "axes.edgecolor": _INK,
    "axes.labelcolor": _INK,
    "axes.facecolor": "none",
    "figure.facecolor": "none",
    "savefig.facecolor": "none",
    "text.color": _INK,
    "xtick.color": _INK,
    "ytick.color": _INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
}


def svg(draw: Any, size: tuple[float, float], rows: int = 1, columns: int = 1) -> str:
    """What a function draws on axes, as a picture for the inside of a page, in the page's own ink.

    Args:
        draw: takes the axes, an array of `(row, column)`.
        size: inches.
        rows, columns: of axes.
    """
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=size, layout="constrained")
        draw(figure.subplots(rows, columns, squeeze=False))
        text = io.StringIO()
        figure.savefig(text, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    body = text.getvalue()
    body = body[body.index("<svg") :].replace(_INK, "currentColor").replace("#000000", "currentColor")
    # as wide as the page, but no wider than it was meant; identifiers of two pictures must not meet
    width = f' style="max-width: {6 * size[0]:.0f}rem"'
    body = re.sub(r'(<svg[^>]*?) width="[^"]*" height="[^"]*"', rf"\1{width}", body, count=1)
    mark = f"p{abs(hash(body)) % 10**8}"
    body = re.sub(r'id="([^"]+)"', rf'id="{mark}\1"', body)
    return re.sub(r'(href="#|url\(#)', rf"\1{mark}", body)


def matrices(found: Mapping[str, np.ndarray], there: np.ndarray) -> str:
    """Connectivity matrices side by side, differences by a colour scale of their own."""
    off = ~np.eye(int(there.sum()), dtype=bool)

    def draw(axes: Any) -> None:
        for ax, (name, values) in zip(axes.flat, found.items(), strict=True):
            inner = np.where(off, values[np.ix_(there, there)], np.nan)
            difference = "minus" in name
            most = float(np.nanmax(np.abs(inner))) if difference else 1.0
            limits = (-most, most) if (inner < 0).any() else (0.0, most)
            plot.matrix(inner, title=name, limits=limits, ax=ax)
            ax.set(xlabel="", ylabel="", xticks=[], yticks=[])

    return svg(draw, (3.1 * len(found), 2.9), 1, len(found))


def scatter(pairs: Mapping[str, tuple[np.ndarray, np.ndarray]], there: np.ndarray) -> str:
    """Entry by entry, what was found against what was measured."""
    i, j = np.triu_indices(int(there.sum()), 1)

    def draw(axes: Any) -> None:
        for ax, (name, (measured, found)) in zip(axes.flat, pairs.items(), strict=True):
            x, y = (matrix[np.ix_(there, there)][i, j] for matrix in (measured, found))
            ax.plot(x, y, ".", ms=2, alpha=0.3)
            ends = [min(x.min(), y.min()), max(x.max(), y.max())]
            ax.plot(ends, ends, color=_INK, lw=0.6)
            ax.set(
                xlabel="measured",
                ylabel="model, mean of unseen noise",
                title=f"{name}: r {np.corrcoef(x, y)[0, 1]:.3f}",
            )

    return svg(draw, (4.0 * len(pairs), 3.4), 1, len(pairs))


def curves(losses: Mapping[str, np.ndarray]) -> str:
    """The losses of the stages that descended, and the correlation of the rule's window."""

    def draw(axes: Any) -> None:
        for ax, (name, values) in zip(axes.flat, losses.items(), strict=True):
            ax.plot(values, lw=1)
            ax.set(xlabel="step", ylabel="loss", title=name)

    return svg(draw, (3.6 * len(losses), 2.6), 1, len(losses))


def regional(values: Mapping[str, np.ndarray], labels: Sequence[str]) -> str:
    """Parameters with one value a region, in the connectome's order."""

    def draw(axes: Any) -> None:
        for ax, (name, numbers) in zip(axes.flat, values.items(), strict=True):
            plot.regional(numbers, labels, name=name, ax=ax)

    return svg(draw, (11.0, 2.4 * len(values)), len(values), 1)


def on_the_brain(values: Mapping[str, np.ndarray], centres: np.ndarray) -> str:
    """The same as dots at the regions' centres, seen from above, from the right and from behind."""
    views = (("from above", 0, 1), ("from the right", 1, 2), ("from behind", 0, 2))

    def draw(axes: Any) -> None:
        for row, (name, numbers) in zip(axes, values.items(), strict=True):
            for ax, (view, across, up) in zip(row, views, strict=True):
                dots = ax.scatter(centres[:, across], centres[:, up], c=numbers, s=28)
                ax.set(xticks=[], yticks=[], aspect="equal", title=f"{name} {view}")
                ax.spines[:].set_visible(False)
                if view == views[-1][0]:
                    ax.figure.colorbar(dots, ax=row, label=name)

    return svg(draw, (11.0, 3.0 * len(values)), len(values), 3)


def write_page(path: Path, **parts: Any) -> None:
    """Writes the page: see `report.html.j2` for what it takes."""
    import jinja2

    source = (resources.files("gyrax") / "study" / "report.html.j2").read_text(encoding="utf-8")
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    write_text(path, environment.from_string(source).render(**parts))
