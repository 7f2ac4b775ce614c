"""Waveforms over time, and what stimuli feed when and where."""

from typing import Any

import numpy as np

from ._axes import one_axes, panels, ticks

#: Samples of a duration, if no step is given.
_SAMPLES = 1000
#: Regions that colours tell apart.
_COLOURS = 10


def waveform(waveform: Any, duration: float, dt: float | None = None, *, ax: Any = None) -> Any:
    """A waveform from 0 to `duration`; a line a region, if they differ.

    Args:
        waveform: a waveform of `gyrax.stimuli`.
        duration: ms.
        dt: ms between the points drawn; a thousandth of the duration if left out.
        ax: matplotlib axes to draw on; a new figure if left out.

    Returns:
        The axes.

    Example:
        >>> import gyrax as gx
        >>> ax = waveform(gx.stimuli.Ramp(onset=20.0, duration=50.0), duration=100.0)
        >>> ax.get_xlabel(), float(ax.lines[0].get_ydata().max())
        ('time (ms)', 1.0)
    """
    samples = waveform.sample(duration, duration / _SAMPLES if dt is None else dt)
    ax = one_axes(ax, (7.5, 2.2))
    ax.plot(samples["time"], samples.values, lw=0.9)
    ax.set(xlabel="time (ms)", xlim=(0, duration), title=type(waveform).__name__)
    return ax


def stimulus(stimulus: Any, duration: float, dt: float | None = None, *, ax: Any = None) -> Any:
    """What a stimulus feeds: a row an input, with the time courses of the regions at the left, and at the right the value
    of each region where it is farthest from 0.

    Regions that receive nothing have no line at the left.

    Args:
        stimulus: a stimulus of `gyrax.stimuli`, or several added.
        duration: ms.
        dt: ms between the points drawn; a thousandth of the duration if left out.
        ax: matplotlib axes to draw on, two an input; a new figure if left out.

    Returns:
        The axes, an array.

    Raises:
        ValueError: for the wrong number of axes.

    Example:
        >>> import gyrax as gx
        >>> cue = gx.stimuli.Stimulus(gx.stimuli.Pulse(onset=20.0, duration=50.0), {"V1": 1.0, "V2": -0.5}, target="I")
        >>> courses, pattern = stimulus(cue, duration=100.0)
        >>> courses.get_title(), len(courses.lines), [float(bar.get_width()) for bar in pattern.patches]
        ('I', 2, [1.0, -0.5])
    """
    samples = stimulus.sample(duration, duration / _SAMPLES if dt is None else dt)
    names = [str(name) for name in samples["region"].values]
    rows = panels(ax, samples.sizes["input"], 2, (9, 2.4 * samples.sizes["input"]), width_ratios=[2, 1])
    for (left, right), (target, values) in zip(
        rows.reshape(-1, 2), zip(samples["input"].values, np.moveaxis(samples.values, 1, 0), strict=True), strict=True
    ):
        farthest = values[np.abs(values).argmax(0), np.arange(len(names))]
        reached = np.flatnonzero(farthest)
        colour = {"color": "C0"} if len(reached) > _COLOURS else {}
        for i in reached:
            left.plot(samples["time"], values[:, i], lw=0.9, label=names[i], **colour)
        if 1 < len(reached) <= _COLOURS:
            left.legend(fontsize=7)
        left.set(title=str(target), xlim=(0, duration), xlabel="time (ms)")
        right.barh(np.arange(len(names)), farthest, color="0.4")
        right.axvline(0, color="0.8", lw=0.6)
        right.set(ylim=(len(names) - 0.5, -0.5), title="farthest from 0")
        ticks(right, "y", names)
    return rows
