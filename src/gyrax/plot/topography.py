"""Maps on the head."""

from typing import Any

import numpy as np

from .._extras import need
from ._axes import colour_bar, colours, one_axes

#: Metres from which on positions are surely in another unit.
_FAR = 0.5


def topography(
    values: Any, sensors: Any, *, name: str = "", limits: tuple[float, float] | None = None, ax: Any = None
) -> Any:
    """One value a sensor on the head, seen from above, through MNE (extra "mne").

    Args:
        values: `(sensor,)`.
        sensors: an `mne.Info` of these sensors, all of one type, or their positions `(sensor, 2)` in m from the middle of
            the head (radius 0.095 m), nose up.
        name: what the colours are, with unit.
        limits: values of the first and the last colour.
        ax: matplotlib axes to draw on; a new figure if left out.

    Returns:
        The axes.

    Raises:
        ImportError: if mne is not installed.
        ValueError: for values that are not finite or not as many as sensors, sensors of several types, or positions that
            are not `(sensor, 2)` in m.

    Example:
        >>> positions = [[0.0, 0.0], [-0.07, 0.0], [0.07, 0.0], [0.0, -0.07], [0.0, 0.07], [0.05, 0.05]]
        >>> len(topography([0.0, -1.0, 1.0, 0.0, 0.0, 0.5], positions, name="potential (µV)").images)
        1
    """
    mne = need("mne", "mne")
    values = np.asarray(values, float)
    if isinstance(sensors, mne.Info):
        count, kinds = len(sensors["chs"]), set(sensors.get_channel_types())
        if len(kinds) > 1:
            raise ValueError(f"the sensors are of several types ({', '.join(sorted(kinds))}): draw one at a time")
    else:
        sensors = np.asarray(sensors, float)
        if sensors.ndim != 2 or sensors.shape[1] != 2:
            raise ValueError(f"expected positions (sensor, 2) seen from above, got shape {sensors.shape}")
        if not np.abs(sensors).max() < _FAR:
            raise ValueError(f"positions are in m, got some {np.abs(sensors).max():g} from the middle of the head")
        count = len(sensors)
    if values.shape != (count,) or not np.isfinite(values).all():
        raise ValueError(f"expected one finite value for each of {count} sensors, got shape {values.shape}: {values}")
    ax = one_axes(ax, (4.2, 3.6))
    scale = colours(values, limits)
    image, _ = mne.viz.plot_topomap(
        values, sensors, axes=ax, show=False, cmap=scale["cmap"], vlim=(scale["vmin"], scale["vmax"])
    )
    colour_bar(image, ax, name)
    return ax
