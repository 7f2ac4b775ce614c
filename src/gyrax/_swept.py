"""What a dataset of a sweep says of itself, for whoever computes, keeps or draws it."""

import numpy as np
import xarray as xr

#: The variable of a sweep that says how each point ended, and what marks a coordinate that is no parameter.
STATUS, NO_PARAMETER = "status", "no_parameter"


def over_noise(array: xr.DataArray) -> xr.DataArray:
    """The mean of what a sweep found over its seeds, if it has any other axis; NaN where one of them is not finite.

    Example:
        >>> marked = {"seed": ("seed", [0, 1], {NO_PARAMETER: 1})}
        >>> over_noise(xr.DataArray([[1.0, 3.0]], dims=("w", "seed"), coords=marked)).values.tolist()
        [2.0]
    """
    seeds = [
        dim
        for dim in array.dims
        if dim in array.coords and NO_PARAMETER in array[dim].attrs and np.issubdtype(array[dim].dtype, np.number)
    ]
    return array.mean(seeds, keep_attrs=True, skipna=False) if 0 < len(seeds) < array.ndim else array
