"""What data can tell of the free parameters of a model, and which of them trade against each other."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, PyTree

from .._jaxprs import depends
from .._kinds import random_key, reals
from ..fitting.objective import check_objective
from ..fitting.space import Space, space_of
from ..fitting.tracing import seen
from ..labelled import LabelledArray, known_names
from ..parameters.splitting import Fixed, join, split
from .telling import LARGE, in_words

#: Free numbers of which a whole matrix, and one of all directions, fit into the memory of a laptop.
_MOST = 5000


class Identifiability(eqx.Module):
    """What data tell of free numbers. Made by `identifiability`.

    On the real line, where one is about the size of a parameter: a direction whose standard deviation is far below 1 is told
    by the data (stiff), one far above it is not (sloppy).

    Attributes:
        names: of the free numbers.
        values, errors: each number in its own unit, and its standard error if all others are free too (Cramer-Rao), infinite where nothing is
            told. Of coefficients along maps, on the real line.
        fisher: Fisher information on the real line, `(number, number)`.
        eigenvalues: of it, the stiffest first.
        directions: `(direction, number)`, of length 1.
    """

    names: tuple[str, ...] = eqx.field(static=True)
    values: Float[np.ndarray, " number"]
    errors: Float[np.ndarray, " number"]
    fisher: Float[np.ndarray, "number number"]
    eigenvalues: Float[np.ndarray, " direction"]
    directions: Float[np.ndarray, "direction number"]

    @property
    def sloppy(self) -> np.ndarray:
        """The directions of which the data tell less than one on the real line, `(direction,)`."""
        return self.eigenvalues < 1

    def named(self, direction: int) -> str:
        """The largest parts of a direction, in words."""
        return in_words(self.names, self.directions[direction])

    def to_xarray(self) -> xr.Dataset:
        """All of it with labels."""
        return xr.Dataset(
            {
                "value": ("number", self.values),
                "error": ("number", self.errors),
                "fisher": (("number", "other"), self.fisher),
                "eigenvalue": ("direction", self.eigenvalues),
                "part": (("direction", "number"), self.directions),
            },
            coords={"number": list(self.names), "other": list(self.names)},
        )

    def __repr__(self):
        told = int((~self.sloppy).sum())
        lines = [f"The data tell {told} of {len(self.names)} directions"]
        lines += [f"  told best: {self.named(0)}"] if told else []
        for i in np.flatnonzero(self.sloppy)[::-1][:5]:
            several = (np.abs(self.directions[i]) >= LARGE).sum() > 1
            lines.append(f"  not told: {self.named(int(i))}" + (", which trade against each other" if several else ""))
        lines += ["  ..."] * bool(self.sloppy.sum() > 5)
        return "\n".join(lines)


def identifiability(
    model: PyTree, predict: Callable[..., Any], spec: PyTree, *, sd: Any, key: Any = None
) -> Identifiability:
    r"""What data of a known error can tell of the free leaves of a model, near the values that they have.

    The Fisher information $J^\top \Sigma^{-1} J$ of what is predicted, J by autodiff on the real line of each domain (Gutenkunst et al. 2007,
    "Universally sloppy parameter sensitivities in systems biology models", PLoS Comput. Biol. 3). It is of small changes, of independent errors.

    Args:
        model: a Network or any other Module.
        predict: `predict(model, key)`, what data are compared with: an array, or a dict of arrays by name.
        spec: what is free, from `gx.select`.
        sd: the standard deviation of the data's error: a number, an array like the prediction, or a dict of these by name.
        key: for a prediction that hears it; noise is held while parameters change.

    Raises:
        ValueError: for more than 5000 free numbers, a prediction that is symmetric, and has each pair twice, an sd that is not positive or of another shape, a prediction that hears its key and has none, or one that is not finite, naming it.
        TypeError: for a prediction that is no array.

    Example:
        >>> import gyrax as gx
        >>> model = gx.models.Linear(gamma=-2.0)
        >>> identifiability(model, lambda m, key: m.gamma * jnp.arange(3.0), gx.select(model, "gamma"), sd=0.1).errors.round(4).tolist()
        [0.0447]
    """
    check_objective(
        model,
        predict,
        "predict",
        "lambda model, key: gx.features.upper_triangle(gx.analysis.linear_noise(model).fc('S'))",
    )
    free, fixed = split(model, spec)
    heard = random_key("key", 0 if key is None else key)
    predict = seen(predict, model, heard).function
    flat, _ = ravel_pytree(free)
    if flat.size > _MOST:
        raise ValueError(
            f"{flat.size} numbers are free, and the Fisher information of more than {_MOST} is too large a matrix: the directions that are told "
            "best are found without it by gx.analysis.curvature(model, loss, spec, of='residuals')"
        )
    shapes, noisy = _described(predict, free, fixed, heard)
    if noisy and key is None:
        raise ValueError(
            "predict hears its key, and noise has to be held: give key=, such as key=0; to average over noise, predict several keys"
        )
    weights = _weights(sd, shapes)
    found, slope = _slopes(predict, free, fixed, heard)
    for name, values in found.items():
        if not np.isfinite(np.asarray(values)).all():
            raise ValueError(f"the prediction{'' if name == '' else f' {name!r}'} is not finite at these parameters")
    for name, x in found.items():
        check_once(np.asarray(x), np.asarray(slope[name]), f"the prediction{'' if name == '' else f' {name!r}'}")
    rows = np.concatenate([np.asarray(slope[n], float).reshape(-1, flat.size) / weights[n][:, None] for n in shapes])
    if not np.isfinite(rows).all():
        raise ValueError("the derivatives of the prediction are not finite at these parameters")
    _, singular, directions = np.linalg.svd(rows, full_matrices=True)
    eigenvalues = np.zeros(flat.size)
    eigenvalues[: len(singular)] = singular**2
    # what rounding leaves of a derivative that is zero
    eigenvalues[eigenvalues < (np.finfo(np.asarray(flat).dtype).eps * flat.size) ** 2 * eigenvalues[0]] = 0.0
    with np.errstate(divide="ignore", invalid="ignore"):
        shares = np.where(directions**2 > 1e-12, directions**2 / eigenvalues[:, None], 0.0)
    space = space_of(model, spec)
    values, scales = (np.concatenate([np.ravel(x) for x in found]).astype(float) for found in _units(space, flat))
    errors = np.sqrt(shares.sum(0)) * scales
    return Identifiability(space.names, values, errors, rows.T @ rows, eigenvalues, directions)


def check_once(values: np.ndarray, slopes: np.ndarray, what: str) -> None:
    """Refuses a symmetric matrix, whose pairs would all be counted as two measurements.

    Raises:
        ValueError: with what to take.
    """
    square = values.ndim == 2 and values.shape[0] == values.shape[1] > 1
    # what fits is zero, whatever its slopes; what has no slope is no measurement at all
    if square and slopes.any() and _is_symmetric(values) and _is_symmetric(slopes):
        raise ValueError(
            f"{what} is a symmetric matrix, in which each pair of regions would count as two measurements, and errors come out too small by "
            "a square root of two: take gx.features.upper_triangle(...) of it"
        )


def _is_symmetric(x: np.ndarray) -> bool:
    return np.allclose(x, np.swapaxes(x, 0, 1), rtol=1e-5, atol=1e-7 * np.abs(x).max())


def _named(out: Any) -> dict[str, Any]:
    """What was predicted, by name."""
    every = out if isinstance(out, dict) else {"": out}
    found = {}
    for name, x in every.items():
        x = x.values if isinstance(x, LabelledArray) else x
        if not hasattr(x, "shape") or not jnp.issubdtype(x.dtype, jnp.floating):
            raise TypeError(
                f"predict returns an array of real numbers, or a dict of these by name; got {type(x).__name__}"
            )
        found[name] = x
    return found


def _weights(sd: Any, shapes: dict[str, tuple[int, ...]]) -> dict[str, np.ndarray]:
    """The error of every number that is predicted."""
    if isinstance(sd, dict) and set(sd) != set(shapes):
        raise ValueError(f"sd is of {', '.join(sd)}, and the prediction of {', '.join(shapes)}")
    found = {}
    for name, shape in shapes.items():
        values = np.asarray(reals("sd", known_names(sd[name] if isinstance(sd, dict) else sd, "sd")[0]), float)
        if values.shape not in ((), shape):
            raise ValueError(f"sd has shape {values.shape}, expected one number or {shape}, as the prediction")
        if not (np.isfinite(values).all() and (values > 0).all()):
            raise ValueError("sd, the error of the data, is positive and finite everywhere")
        found[name] = np.broadcast_to(values, shape).reshape(-1)
    return found


@eqx.filter_jit
def _predicted(predict: Callable[..., Any], free: PyTree, fixed: Fixed, key: Any) -> dict[str, Any]:
    return _named(predict(join(free, fixed), key))


def _described(
    predict: Callable[..., Any], free: PyTree, fixed: Fixed, key: Any
) -> tuple[dict[str, tuple[int, ...]], bool]:
    """The shapes of what is predicted, and whether it depends on the key; what is traced here is not traced again."""
    jaxpr, shapes, _ = eqx.filter_make_jaxpr(_predicted)(predict, free, fixed, key)
    keys = len(jax.tree.leaves(eqx.filter(key, eqx.is_array)))
    heard = jaxpr.jaxpr.invars[len(jaxpr.jaxpr.invars) - keys :]
    return {name: x.shape for name, x in shapes.items()}, any(depends(jaxpr.jaxpr, heard))


@eqx.filter_jit
def _jacobian(predict: Callable[..., Any], free: PyTree, fixed: Fixed, key: Any, forward: bool) -> dict[str, Any]:
    flat, whole = ravel_pytree(free)
    return (jax.jacfwd if forward else jax.jacrev)(lambda x: _predicted(predict, whole(x), fixed, key))(flat)


def _slopes(predict: Callable[..., Any], free: PyTree, fixed: Fixed, key: Any) -> tuple[Any, Any]:
    """What is predicted, and its derivatives: forward where there are fewer free numbers than predicted ones and what is within allows it."""
    found = _predicted(predict, free, fixed, key)
    if sum(x.size for x in jax.tree.leaves(free)) <= sum(x.size for x in found.values()):
        try:
            return found, _jacobian(predict, free, fixed, key, True)
        except TypeError as error:  # of a simulation that goes backward alone
            if "forward-mode" not in str(error):
                raise
    return found, _jacobian(predict, free, fixed, key, False)


def _units(space: Space, flat: Array) -> tuple[list[Array], list[Array]]:
    """Values of the free numbers in their unit, and how much one on the real line is there."""
    pairs = list(zip(space.parts, space.pieces(flat), strict=True))
    return [part.values(x) for part, x in pairs], [jnp.exp(part.log_slope(x)) for part, x in pairs]
