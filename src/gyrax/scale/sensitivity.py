"""Which parameters matter: SALib's indices over a sweep."""

import os
from collections.abc import Callable, Mapping
from typing import Any, Literal

import numpy as np
import xarray as xr

from .._extras import need
from .._kinds import choice, expect, whole
from .._swept import STATUS
from ..parameters.addresses import find_one, leaf_names
from .axes import POINT, RANGES_LINE, Together, within
from .sweeping import sweep

#: By method what SALib calls its indices, and what they are called here.
_INDICES = {
    "sobol": {"S1": "first", "S1_conf": "first_error", "ST": "total", "ST_conf": "total_error"},
    "morris": {"mu": "mean", "mu_star": "mean_size", "mu_star_conf": "mean_size_error", "sigma": "spread"},
}


def sensitivity(
    model: Any,
    function: Callable[[Any, Any], Any],
    ranges: Mapping[Any, Any],
    *,
    method: Literal["sobol", "morris"] = "sobol",
    count: int = 256,
    key: Any = 0,
    realisations: int = 1,
    store: str | os.PathLike[str] | None = None,
    client: Any = None,
    progress: bool | str = False,
) -> xr.Dataset:
    """How much of what a function of the model gives comes from each parameter, within ranges, by SALib.

    'sobol' splits the variance (Sobol 2001; Saltelli et al. 2010): `first` is a parameter's share by itself, `total` its share with all that it does together
    with others. 'morris' looks at single steps (Morris 1991; Campolongo et al. 2007): `mean_size` of what a step does, `spread` where that depends
    on the place. Errors are half-widths of 95 % intervals, by bootstrap.

    Args:
        model: a Network or any other Module.
        function: `function(model, key)`: a number, or a dict of named ones.
        ranges: `(lowest, highest)` by parameter, or `(lowest, highest, "log")`.
        method: 'sobol', of `count * (parameters + 2)` points, or 'morris', of `count * (parameters + 1)`.
        count: how many places; for 'sobol' a power of two.
        key: noise; all points hear the same. The points are the same in every call.
        realisations: means over so many keys.
        store: a folder that keeps what is computed, as of `gx.sweep`.
        client: of `dask.distributed`, as of `gx.sweep`.
        progress: show a bar.

    Raises:
        ValueError: for fewer than two parameters, a `count` that is no power of two, or points that are not finite.
        TypeError: where the function gives arrays.
        ImportError: if SALib is not installed.

    Example:
        >>> import gyrax as gx
        >>> found = gx.scale.sensitivity(gx.models.WongWang(), lambda m, key: 3 * m.w + m.I_o, {"w": (0.0, 1.0), "I_o": (0.0, 1.0)}, count=64)
        >>> round(float(found["value_total"].sel(parameter="w")), 1)
        0.9
    """
    choice("method", method, tuple(_INDICES))
    whole("count", count, least=2)
    expect("ranges", ranges, Mapping, "a dict of (lowest, highest) by parameter", RANGES_LINE)
    if len(ranges) < 2:
        raise ValueError(f"which of several parameters matter? give ranges of two or more: {RANGES_LINE}")
    if method == "sobol" and count & (count - 1):
        raise ValueError(f"count is a power of two for method='sobol', got {count}: take {1 << count.bit_length()}")
    sampling, analysing = (need(f"SALib.{what}.{method}", "search") for what in ("sample", "analyze"))
    names = [leaf_names(model)[find_one(model, where)] for where in ranges]
    problem = {"num_vars": len(names), "names": names, "bounds": [[0.0, 1.0]] * len(names)}
    more = {"calc_second_order": False} if method == "sobol" else {}
    unit = sampling.sample(problem, count, seed=0, **more)
    points = Together({where: within(where, ends, x) for (where, ends), x in zip(ranges.items(), unit.T, strict=True)})
    options: dict[str, Any] = {"key": key, "realisations": realisations, "store": store, "client": client}
    found = sweep(model, function, {POINT: points}, progress=progress, **options).drop_vars(STATUS, errors="ignore")
    tables = {}
    for name, values in found.data_vars.items():
        if values.dtype.kind not in "iufb":
            raise TypeError(
                f"sensitivity is of real numbers, and '{name}' is {values.dtype}: return its size, or a part"
            )
        y = np.asarray(values, float)
        if y.ndim > 1:
            raise TypeError(
                f"sensitivity is of numbers, and '{name}' is an array of shape {y.shape[1:]}: return its mean, or some of its entries"
            )
        if not np.isfinite(y).all():
            raise ValueError(
                f"'{name}' is not finite at {int((~np.isfinite(y)).sum())} of {y.size} points: narrow the ranges, for a share of the variance needs all"
            )
        if np.ptp(y) == 0:
            raise ValueError(
                f"'{name}' is {y[0]:g} at all points: it depends on none of the parameters in these ranges"
            )
        given = (problem, unit, y) if method == "morris" else (problem, y)
        indices = analysing.analyze(*given, seed=0, print_to_console=False, **more)
        tables |= {
            f"{name}_{ours}": ("parameter", np.asarray(indices[theirs], float))
            for theirs, ours in _INDICES[method].items()
        }
    return xr.Dataset(tables, coords={"parameter": names}, attrs={"method": method, "points": len(unit)})
