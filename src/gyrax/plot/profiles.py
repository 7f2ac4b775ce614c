"""How far data bound free numbers: profiles, and spectra of curvature."""

from typing import Any

import numpy as np
from scipy.stats import chi2

from ..analysis.bending import Curvature
from ..analysis.profiling import Profile
from ._axes import one_axes


def profile(found: Profile, *, level: float | None = 0.95, ax: Any = None) -> Any:
    """The lowest loss that the other free numbers reach over the values of one.

    Args:
        found: what `gx.analysis.profile` found.
        level: of the interval that is shaded, and of the rise that bounds it; None for neither.
        ax: matplotlib axes to draw on; a new figure if left out.

    Returns:
        The axes.

    Raises:
        TypeError: for what is no profile.

    Example:
        >>> import gyrax as gx
        >>> model = gx.models.Linear(gamma=-0.5)
        >>> loss, spec = lambda m, key: 50 * (m.gamma + 0.5) ** 2, gx.select(model, "gamma")
        >>> profile(gx.analysis.profile(model, loss, spec, "gamma", [-0.9, -0.1], progress=False)).get_xlabel()
        'gamma'
    """
    if not isinstance(found, Profile):
        raise TypeError(f"found= takes what gx.analysis.profile found, got {type(found).__name__}")
    ax = one_axes(ax)
    ax.plot(found.values, found.losses, "o-", ms=4, lw=1)
    ax.plot(found.own, found.losses[found.values == found.own], "o", ms=9, mfc="none", color="k")
    if level is not None:
        rise = chi2.ppf(level, 1) / 2
        ax.axhline(found.losses.min() + rise, lw=0.8, ls="--", color="0.5", label=f"{level:.0%}: {rise:.2f} more")
        for ends in np.clip(found.intervals(level), found.values[0], found.values[-1]):
            ax.axvspan(*ends, color="0.9", zorder=0)
        ax.legend(frameon=False)
    ax.set(xlabel=found.name, ylabel="loss")
    return ax


def curvature(found: Curvature, *, ax: Any = None) -> Any:
    """How many directions bend more than each value: dots are known with their directions, the line says how many all are, within what is shaded.

    Args:
        found: what `gx.analysis.curvature` found.
        ax: matplotlib axes to draw on; a new figure if left out.

    Returns:
        The axes.

    Raises:
        TypeError: for what is no curvature.

    Example:
        >>> import gyrax as gx
        >>> model = gx.models.Linear(gamma=-0.5)
        >>> loss = lambda m, key: (m.gamma + 0.5) ** 2
        >>> curvature(gx.analysis.curvature(model, loss, gx.select(model, "gamma"), progress=False)).get_ylabel()
        'directions that bend more'
    """
    if not isinstance(found, Curvature):
        raise TypeError(f"found= takes what gx.analysis.curvature found, got {type(found).__name__}")
    ax, size = one_axes(ax), np.abs(found.eigenvalues)
    ax.loglog(size, np.arange(1, len(size) + 1), "o", ms=4)
    if len(size) < found.spectrum.size:
        values = np.geomspace(max(1e-12 * size.max(), np.finfo(float).tiny), size.max(), 60)
        bounds = [(found.spectrum.above(v), found.spectrum.below(-v)) for v in values]
        least, most = (np.array([getattr(up, n) + getattr(down, n) for up, down in bounds]) for n in ("least", "most"))
        ax.step(values, (least + most) / 2, where="post", lw=1)
        ax.fill_between(values, np.maximum(least, 0.5), most, step="post", alpha=0.2)
    ax.set(xlabel="curvature on the real line", ylabel="directions that bend more")
    return ax
