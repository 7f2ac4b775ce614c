"""Phase planes of two states of a model."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ..models.base import AbstractModel
from ._axes import choose, labelled, one_axes

#: Points along each state: nullclines are straight between them.
_POINTS = 201
#: Of these, streamlines use each eighth.
_COARSE = 8


def phase_plane(
    model: Any,
    bounds: Mapping[str, tuple[float, float]],
    *,
    inputs: Mapping[str, float] | None = None,
    hold: Mapping[str, float] | None = None,
    region: int | str | None = None,
    recording: Any = None,
    time: float = 0.0,
    ax: Any = None,
) -> Any:
    """Where two states of a model flow: streamlines, and the nullclines on which one of them stands still.

    Where the nullclines cross, the model rests (with the others held).

    Args:
        model: a neural mass, such as `gx.models.Hopf()`; its parameters are taken as they are.
        bounds: the two states to show and the range of each: `{"x": (-1, 1), "y": (-1, 1)}`; the first lies along x.
        inputs: constant values of the model's inputs by name; zero for those left out.
        hold: values of all other states, for models of more than two.
        region: which region to show, if parameters or the recording have several: its index (or label in the recording).
        recording: a `Recording` or xarray DataArray `(time, state, region)` with both states, drawn as a trajectory.
        time: ms at which the drift is taken.
        ax: matplotlib axes to draw on; a new figure if left out.

    Returns:
        The axes.

    Raises:
        TypeError: if the model is none.
        ValueError: for names that are no states or inputs, states neither shown nor held, bounds that are no range, or
            several regions of which none was chosen.

    Example:
        >>> import gyrax as gx
        >>> ax = phase_plane(gx.models.Hopf(a=0.5), {"x": (-1, 1), "y": (-1, 1)}, inputs={"c_x": 0.1})
        >>> [text.get_text() for text in ax.get_legend().get_texts()]
        ['dx/dt = 0', 'dy/dt = 0']
    """
    shown, held, fed = _check(model, bounds, hold or {}, inputs or {})
    track = None if recording is None else _track(recording, shown, region)
    ax = one_axes(ax, (5.0, 4.4))
    at = [np.linspace(*bounds[name], _POINTS) for name in shown]
    mesh = np.meshgrid(*at)
    rows = [mesh[shown.index(name)].ravel() if name in shown else held[name] for name in model.states]
    y = jnp.stack([jnp.broadcast_to(jnp.asarray(row, jnp.result_type(float)), _POINTS**2) for row in rows])
    u = jnp.broadcast_to(jnp.asarray(fed, y.dtype).reshape(-1, 1), (len(fed), _POINTS**2))
    drift = np.asarray(_of_region(model, region).drift(jnp.asarray(time, y.dtype), y, u), float)
    flow = [drift[model.states.index(name)].reshape(_POINTS, _POINTS) for name in shown]
    some = slice(None, None, _COARSE)
    ax.streamplot(
        at[0][some],
        at[1][some],
        *(f[some, some] for f in flow),
        color="0.75",
        linewidth=0.7,
        arrowsize=0.8,
        density=1.1,
    )
    handles = []
    for name, speed, colour in zip(shown, flow, ("C0", "C1"), strict=True):
        (proxy,) = ax.plot([], [], color=colour, lw=1.8, label=f"d{name}/dt = 0")
        if np.nanmin(speed) <= 0 <= np.nanmax(speed):  # else there is none in this window, and contour would warn
            ax.contour(*at, speed, levels=[0.0], colors=[colour], linewidths=1.8)
            handles.append(proxy)
    if track is not None:
        handles += ax.plot(*track, color="k", lw=0.9, label="trajectory")
        ax.plot(*track[:, 0], "o", color="k", ms=4)
    if handles:
        ax.legend(handles=handles, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3, frameon=False)
    ax.set(xlabel=shown[0], ylabel=shown[1], xlim=bounds[shown[0]], ylim=bounds[shown[1]])
    return ax


def _check(
    model: Any, bounds: Mapping[str, Any], hold: Mapping[str, float], inputs: Mapping[str, float]
) -> tuple[tuple[str, str], Mapping[str, float], list[float]]:
    """The states shown, the values of the others, and those of all inputs."""
    if not isinstance(model, AbstractModel):
        raise TypeError(
            f"expected a neural mass such as gx.models.Hopf(), got {type(model).__name__}: give network.model"
        )
    kind, states = type(model).__name__, ", ".join(model.states)
    if len(model.states) < 2 or len(bounds) != 2:
        raise ValueError(f"a phase plane shows two states: give the bounds of two of {kind}'s ({states})")
    for name in (*bounds, *hold):
        if name not in model.states:
            raise ValueError(f"'{name}' is no state of {kind} ({states})")
    for name in inputs:
        if name not in model.inputs:
            raise ValueError(f"'{name}' is no input of {kind} ({', '.join(model.inputs) or 'it has none'})")
    for name, (low, high) in bounds.items():
        if not (np.isfinite([low, high]).all() and low < high):
            raise ValueError(f"the bounds of {name} are (lowest, highest), got ({low}, {high})")
    for name in model.states:
        if (name in bounds) == (name in hold):
            how = "both shown and held" if name in hold else f"neither shown nor held: give hold={{'{name}': ...}}"
            raise ValueError(f"the state '{name}' of {kind} is {how}")
    first, second = bounds
    return (first, second), hold, [float(inputs.get(name, 0.0)) for name in model.inputs]


def _of_region(model: AbstractModel, region: int | str | None) -> AbstractModel:
    """The model with the parameters of one region."""
    several = [leaf for leaf in jax.tree.leaves(model) if jnp.ndim(leaf) > 0]
    if not several:
        return model
    if not isinstance(region, int):
        raise ValueError(f"parameters differ between {len(several[0])} regions: give region=, the index of one")
    for leaf in several:
        if not -len(leaf) <= region < len(leaf):
            raise ValueError(f"no region {region}: the parameters are of {len(leaf)} regions")
    return jax.tree.map(lambda leaf: leaf[region] if jnp.ndim(leaf) > 0 else leaf, model)


def _track(recording: Any, shown: tuple[str, str], region: int | str | None) -> np.ndarray:
    """Both states over time, `(2, time)`."""
    array = labelled(recording)
    others = [dim for dim in array.dims if dim not in ("time", "state")]
    if array.ndim != 3 or len(others) != 1 or "state" not in array.coords:
        raise ValueError(f"a trajectory has axes time, state and region with named states, got {array.dims}")
    array = array.transpose("state", "time", *others)
    names = [str(x) for x in array[others[0]].values]
    if region is None and len(names) > 1:
        raise ValueError(f"the recording has {len(names)} regions: give region=, one of them")
    rows = [choose(name, [str(s) for s in array["state"].values], "recorded state")[0] for name in shown]
    return np.asarray(array.values, float)[rows][:, :, choose(region, names, "region")[0]]
