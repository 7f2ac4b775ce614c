"""Bifurcation diagrams: branches of fixed points, and what a run does on the way up and down."""

from typing import Any

import numpy as np

from ..analysis.branches import Branch
from ..analysis.hysteresis import WAYS, AdiabaticScan
from ._axes import choose, one_axes

#: How points where stability changes are marked.
_MARKS = {"fold": "s", "hopf": "o", "branch point": "^"}


def branch(branch: Branch, variable: str | None = None, *, region: str | None = None, ax: Any = None) -> Any:
    """A branch of fixed points over its parameter: solid where it is stable, dashed where it is not; folds, Hopf and branch points marked.

    Args:
        branch: what `gx.analysis.continuation` found.
        variable: the state to draw; the first if left out.
        region: the region to draw; the mean of all if left out.
        ax: matplotlib axes to draw on; a new figure if left out.

    Returns:
        The axes.

    Raises:
        ValueError: for a state or a region that does not exist.

    Example:
        >>> import gyrax as gx
        >>> net = gx.Network(gx.models.Hopf(a=-0.3), gx.couplings.Linear(source="x", target="c_x"), np.zeros((1, 1)))
        >>> branch(gx.analysis.continuation(net, "model.a", (-0.5, 0.5))).get_xlabel()
        'model.a'
    """
    if not isinstance(branch, Branch):
        raise TypeError(f"branch= takes what gx.analysis.continuation found, got {type(branch).__name__}")
    state = choose(variable, branch.states, "state")[0] if variable is not None else 0
    places = choose(region, branch.regions, "region")
    there = [i for i in places if not branch.missing[state, i]]
    if not there:
        raise ValueError(f"{region} has no {branch.states[state]}: it is of another group")
    values = branch.values[:, state, there].mean(1)
    ax = one_axes(ax)
    colour = ax._get_lines.get_next_color()
    for stable, style in ((True, "-"), (False, "--")):
        for k, part in enumerate(branch.parts(stable)):
            label = None if k else "stable" if stable else "unstable"
            ax.plot(branch.at[part], values[part], style, lw=1.2, color=colour, label=label)
    for kind, mark in _MARKS.items():
        there = np.array(branch.kinds) == kind
        if there.any():
            ax.plot(branch.at[there], values[there], mark, ms=5, color="k", mfc="w", label=kind)
    name = branch.states[state]
    whose = f" of {branch.regions[places[0]]}" if region is not None else ", mean of regions" * (len(there) > 1)
    ax.set(xlabel=branch.parameter, ylabel=f"{name}{whose}")
    ax.legend(frameon=False)
    return ax


def adiabatic_scan(
    found: AdiabaticScan,
    name: str | None = None,
    *,
    state: str | None = None,
    region: str | None = None,
    ax: Any = None,
) -> Any:
    """What was measured on the way up and on the way down, over the parameter; where these differ is shaded.

    Args:
        found: what `gx.analysis.adiabatic_scan` found.
        name: what to draw; left out, the mean with a band from min to max, or the first that was measured.
        state: the state to draw; the first if left out.
        region: the region to draw; the mean of all if left out.
        ax: matplotlib axes to draw on; a new figure if left out.

    Returns:
        The axes.

    Raises:
        ValueError: for a name, a state or a region that does not exist, or what has other axes.

    Example:
        >>> import gyrax as gx
        >>> net = gx.Network(gx.models.Linear(gamma=-2.0), gx.couplings.Linear(source="x"), np.zeros((1, 1)))
        >>> adiabatic_scan(gx.analysis.adiabatic_scan(net, "model.gamma", [-2.0, -1.0], 10.0, 0.1)).get_xlabel()
        'model.gamma'
    """
    if not isinstance(found, AdiabaticScan):
        raise TypeError(f"found= takes what gx.analysis.adiabatic_scan found, got {type(found).__name__}")
    names = [str(one) for one in found.found]
    chosen = names[choose(name, names, "variable")[0]]
    ax = one_axes(ax)
    at = found.found[found.parameter].values
    for way, style in zip(WAYS, ("-", "--"), strict=True):
        line = ax.plot(at, _line(found, chosen, way, state, region), style, marker=".", lw=1.2, label=way)[0]
        if name is None and {"min", "max"} <= set(names):
            ends = [_line(found, end, way, state, region) for end in ("min", "max")]
            ax.fill_between(at, *ends, alpha=0.2, color=line.get_color(), lw=0)
    differs = found.differs().values
    half = np.diff(at).mean() / 2
    for value in at[differs]:
        ax.axvspan(value - half, value + half, color="0.9", lw=0, zorder=0)
    ax.set(xlabel=found.parameter, ylabel=chosen)
    ax.legend(frameon=False)
    return ax


def _line(found: AdiabaticScan, name: str, way: str, state: str | None, region: str | None) -> np.ndarray:
    values = found.found[name].sel(direction=way)
    for dim, wanted in (("state", state), ("region", region)):
        if dim in values.dims:
            places = choose(wanted, list(values[dim].values), dim)
            values = values.isel({dim: places[:1] if dim == "state" else places}).mean(dim)
    if values.ndim != 1:
        raise ValueError(f"'{name}' has the axes {values.dims} at each value: reduce it to one number in function=")
    return np.asarray(values.values)
