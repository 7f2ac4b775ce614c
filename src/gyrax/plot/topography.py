"""Maps on the head."""

from typing import Any

import numpy as np
from jaxtyping import Float

from .._extras import need
from ._axes import colour_bar, colours, one_axes

#: Radius of the head that MNE draws, in mm, and the least that positions in mm reach.
_HEAD, _NEAR = 95.0, 2.0


def topography(
    values: Any, sensors: Any, *, name: str = "", limits: tuple[float, float] | None = None, ax: Any = None
) -> Any:
    """One value a sensor on the head, seen from above, through MNE (extra "mne").

    Args:
        values: `(sensor,)`.
        sensors: an `mne.Info` of these sensors, all of one type, or their positions in mm, x to the right and y to the
            front: `(sensor, 2)` seen from above, from the middle of a head with a radius of 95 mm; or `(sensor, 3)`, z up,
            which are rolled out from the sphere that fits them best.
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
        >>> positions = [[0.0, 0.0], [-70.0, 0.0], [70.0, 0.0], [0.0, -70.0], [0.0, 70.0], [50.0, 50.0]]
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
        sensors = _from_above(np.asarray(sensors, float))
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


def _from_above(positions: Float[np.ndarray, "sensor axis"]) -> Float[np.ndarray, "sensor 2"]:
    """Positions in m, as MNE has them, from the middle of a head of its size."""
    if positions.ndim != 2 or positions.shape[1] not in (2, 3) or not np.isfinite(positions).all():
        raise ValueError(f"expected finite positions (sensor, 2) or (sensor, 3) in mm, got shape {positions.shape}")
    if not np.abs(positions).max() > _NEAR:
        raise ValueError(
            f"positions are in mm, these are all within {np.abs(positions).max():g} of the middle of the head"
        )
    if positions.shape[1] == 2:
        return positions / 1000
    # |p|^2 = 2 c.p + (r^2 - |c|^2): linear in the centre c
    system = np.column_stack([2 * positions, np.ones(len(positions))])
    centre = np.linalg.lstsq(system, (positions**2).sum(1), rcond=None)[0][:3]
    x, y, z = (positions - centre).T
    across = np.hypot(x, y)
    # the angle from the top becomes the distance from the middle, 90 degrees the rim
    out = np.arctan2(across, z) / (np.pi / 2) * _HEAD / 1000
    return np.stack([x, y], 1) * (out / np.where(across > 0, across, 1.0))[:, None]
