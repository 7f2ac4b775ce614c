"""Recordings over time."""

from typing import Any

import numpy as np

from ._axes import choose, labelled, panels, ticks

#: Milliseconds from which on a time axis is in seconds.
_SECONDS = 2000.0
#: Channels that colours tell apart.
_COLOURS = 10


def recording(recording: Any, *, channels: Any = None, states: Any = None, ax: Any = None) -> Any:
    """Time series of a recording: a line a channel, the first on top, a panel a state.

    Several channels are drawn above one another, each about its own mean, all to the scale of the bar at the right.

    Args:
        recording: a `Recording` or an xarray DataArray with an axis "time" (ms, unless its units are "s"), optionally
            "state", and at most one more, the channels.
        channels: labels or indices of the channels to draw; all if left out.
        states: names or indices of the states to draw; all if left out.
        ax: matplotlib axes to draw on, one a state; a new figure if left out.

    Returns:
        The axes; an array of them if there are several states.

    Raises:
        TypeError: for something that does not know its times.
        ValueError: for other axes, a channel or state that is not there, values that are not finite, or the wrong number
            of axes.

    Example:
        >>> import gyrax as gx
        >>> pair = gx.Connectome([[0.0, 1.0], [1.0, 0.0]], labels=["V1", "V2"])
        >>> net = gx.Network(gx.models.WongWang(), gx.couplings.Linear(source="S"), pair)
        >>> ax = recording(gx.simulate(net, duration=20.0, dt=1.0)["raw"])
        >>> ax.get_title(), [tick.get_text() for tick in ax.get_yticklabels()], ax.get_xlabel()
        ('S', ['V1', 'V2'], 'time (ms)')
    """
    values, times, names, sources = _read(recording)
    picked = choose(channels, names, "channel")
    wanted = choose(states, sources, "state")
    values = values[:, wanted][:, :, picked]
    bad = ~np.isfinite(values)
    if bad.any():
        time, _, channel = np.argwhere(bad)[0]
        raise ValueError(f"{names[picked[channel]]} is not finite from {times[time]:g} ms on")
    if times[-1] - times[0] >= _SECONDS:
        times, unit = times / 1000, "s"
    else:
        unit = "ms"
    height = float(np.clip(0.22 * len(picked), 2.2, 7.0))
    axes = panels(ax, len(wanted), 1, (7.5, min(height * len(wanted), 12)), sharex=True)
    for panel, state, one in zip(axes, wanted, values.transpose(1, 0, 2), strict=True):
        _draw(panel, times, one, [names[i] for i in picked], sources[state])
    axes[-1].set_xlabel(f"time ({unit})")
    return axes if len(wanted) > 1 else axes[0]


def _read(recording: Any) -> tuple[np.ndarray, np.ndarray, list[str], list[str]]:
    """Values `(time, state, channel)`, times in ms, and names of the channels and states."""
    array = labelled(recording)
    others = [dim for dim in array.dims if dim not in ("time", "state")]
    if "time" not in array.dims or len(others) > 1:
        raise ValueError(
            f"expected axes time, state (if any) and one of channels, got {array.dims}: choose with .isel()"
        )
    if "time" not in array.coords:
        raise ValueError("this array does not know its times: give it a coordinate 'time' in ms")
    units = array["time"].attrs.get("units", "ms")
    if units not in ("ms", "s"):
        raise ValueError(f"the times are in {units!r}: expected 'ms' or 's'")
    own = array.name or (recording.source[0] if len(getattr(recording, "source", ())) == 1 else "value")
    if "state" not in array.dims:
        array = array.expand_dims(state=[str(own)])
    if not others:
        array, others = array.expand_dims(channel=[""]), ["channel"]
    array = array.transpose("time", "state", others[0])
    if not array.sizes["time"]:
        raise ValueError("there are no samples to draw")
    sources, names = (
        [str(x) for x in array[dim].values] if dim in array.coords else [f"{dim} {i}" for i in range(array.sizes[dim])]
        for dim in ("state", others[0])
    )
    times = np.asarray(array["time"].values, float) * (1000.0 if units == "s" else 1.0)
    return np.asarray(array.values, float), times, names, sources


def _draw(ax: Any, times: np.ndarray, values: np.ndarray, names: list[str], state: str) -> None:
    ax.set_xlim(times[0], times[-1] if times[-1] > times[0] else times[0] + 1)
    if len(names) == 1:
        ax.plot(times, values[:, 0], lw=0.9)
        ax.set(ylabel=state, title=names[0])
        return
    spacing = float(np.ptp(values, axis=0).max()) or 1.0
    at = -spacing * np.arange(len(names))
    one_colour = {"color": "C0"} if len(names) > _COLOURS else {}
    ax.plot(times, values - values.mean(0) + at, lw=0.8, **one_colour)
    ax.set(title=state, ylim=(at[-1] - spacing, spacing))
    ticks(ax, "y", names, at)
    _scale_bar(ax, spacing)


def _scale_bar(ax: Any, spacing: float) -> None:
    """A bar of a round length at the right: the ticks name channels, so something else must tell the size."""
    exponent = 10 ** np.floor(np.log10(spacing))
    length = exponent * max(k for k in (1, 2, 5) if k * exponent <= spacing)
    low, high = ax.get_ylim()
    middle = (low + high) / 2
    place = ax.get_yaxis_transform()
    ax.plot([1.015] * 2, [middle - length / 2, middle + length / 2], color="k", lw=2, transform=place, clip_on=False)
    ax.text(1.03, middle, f"{length:g}", transform=place, va="center", ha="left", fontsize=8)
