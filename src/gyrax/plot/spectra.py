"""Power over frequency."""

from typing import Any

import numpy as np

from ._axes import one_axes

#: Percentiles of the channels between which the band lies.
_BAND = (10, 90)
#: Channels that colours tell apart.
_COLOURS = 10


def spectrum(
    spectrum: Any, *, target: Any = None, each: bool = False, log_frequency: bool = False, ax: Any = None
) -> Any:
    """Power over frequency, power by its logarithm: the mean of the channels, and a band from the 10th to 90th percentile.

    Args:
        spectrum: a `Spectrum`, with `frequencies` `(frequency,)` in Hz, `power` `(frequency, channel)` and `labels`.
        target: another such to compare with, drawn dashed.
        each: a line a channel in place of mean and band.
        log_frequency: frequencies by their logarithm too (zero left out).
        ax: matplotlib axes to draw on; a new figure if left out.

    Returns:
        The axes.

    Raises:
        ValueError: if power and frequencies disagree in shape, or a power is negative or not finite.

    Example:
        >>> from gyrax.features import Spectrum
        >>> frequencies = np.arange(1.0, 6.0)
        >>> spectrum(Spectrum(frequencies=frequencies, power=1 / frequencies[:, None]), log_frequency=True).get_xscale()
        'log'
    """
    ax = one_axes(ax)
    if target is None:
        _draw(ax, spectrum, "", each, log_frequency, "C0", "-")
    else:
        _draw(ax, spectrum, "simulation", each, log_frequency, "C0", "-")
        _draw(ax, target, "target", each, log_frequency, "k", "--")
    # of the unit of the signal nothing is known here
    ax.set(xlabel="frequency (Hz)", ylabel="power spectral density (unit²/Hz)", yscale="log")
    if log_frequency:
        ax.set_xscale("log")
    else:
        ax.margins(x=0)
    if ax.get_legend_handles_labels()[1]:
        ax.legend(frameon=False, fontsize=8)
    return ax


def _draw(ax: Any, spectrum: Any, name: str, each: bool, log_frequency: bool, colour: str, style: str) -> None:
    frequencies, power = np.asarray(spectrum.frequencies, float), np.asarray(spectrum.power, float)
    if power.ndim != 2 or frequencies.shape != power.shape[:1]:
        raise ValueError(
            f"expected power (frequency, channel) for frequencies of shape {frequencies.shape}, got shape {power.shape}"
        )
    if not (np.isfinite(power) & (power >= 0)).all():
        raise ValueError("a power is negative or not finite: it cannot be drawn by its logarithm")
    if log_frequency:
        frequencies, power = frequencies[frequencies > 0], power[frequencies > 0]
    if each:
        _lines(ax, frequencies, power, name, spectrum.labels, colour, style)
        return
    several = power.shape[1] > 1
    ax.plot(frequencies, power.mean(1), style, lw=1.4, color=colour, label=name or ("mean" if several else None))
    if several:
        low, high = np.percentile(power, _BAND, axis=1)
        label = None if name else f"{_BAND[0]}th to {_BAND[1]}th percentile of channels"
        ax.fill_between(frequencies, low, high, color=colour, alpha=0.2, lw=0, label=label)


def _lines(ax: Any, frequencies: Any, power: Any, name: str, labels: Any, colour: str, style: str) -> None:
    """A line a channel: in one colour under one name, or each under its own if they are few."""
    own = not name and power.shape[1] <= _COLOURS
    lines = ax.plot(frequencies, power, style, lw=0.8, alpha=0.7, **({} if own else {"color": colour}))
    for line, label in zip(lines, labels if own else [name or None], strict=False):
        line.set_label(label)
