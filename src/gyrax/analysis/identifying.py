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

from .._kinds import random_key, reals
from ..fitting.objective import check_objective
from ..labelled import LabelledArray, known_names
from ..parameters.splitting import Fixed, join, split

#: Parts of a direction that are named, from the largest on.
_NAMED, _LARGE = 4, 0.3


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
        parts = self.directions[direction]
        largest = [i for i in np.argsort(-np.abs(parts))[:_NAMED] if np.abs(parts[i]) >= _LARGE]
        if not largest:
            return f"many numbers at once, most {self.names[int(np.argmax(np.abs(parts)))]}"
        sign = np.sign(parts[largest[0]])
        return ", ".join(f"{self.names[i]} {sign * parts[i]:+.2f}" for i in largest)

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
            several = (np.abs(self.directions[i]) >= _LARGE).sum() > 1
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
        key: for the prediction; noise is held while parameters change.

    Raises:
        ValueError: for an sd that is not positive or of another shape, or a prediction that is not finite, naming it.
        TypeError: for a prediction that is no array.

    Example:
        >>> import gyrax as gx
        >>> model = gx.models.Linear(gamma=-2.0)
        >>> identifiability(model, lambda m, key: m.gamma * jnp.arange(3.0), gx.select(model, "gamma"), sd=0.1).errors.round(4).tolist()
        [0.0447]
    """
    check_objective(model, predict, "predict", "lambda model, key: gx.analysis.linear_noise(model).fc('S')")
    free, fixed = split(model, spec)
    key = None if key is None else random_key("key", key)
    flat, whole = ravel_pytree(free)
    shapes = {name: x.shape for name, x in _named(jax.eval_shape(lambda: _named(predict(model, key)))).items()}
    weights = _weights(sd, shapes)
    found, slope = _slopes(predict, fixed, whole, flat, key)
    for name, values in found.items():
        if not np.isfinite(np.asarray(values)).all():
            raise ValueError(f"the prediction{'' if name == '' else f' {name!r}'} is not finite at these parameters")
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
    values, scales, names = _numbers(model, free, fixed)
    errors = np.sqrt(shares.sum(0)) * scales
    return Identifiability(names, values, errors, rows.T @ rows, eigenvalues, directions)


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


def _slopes(predict: Callable[..., Any], fixed: Fixed, whole: Callable, flat: Array, key: Any) -> tuple[Any, Any]:
    """What is predicted, and its derivatives: forward where there are fewer free numbers than predicted ones and what is within allows it."""

    def function(flat):
        return _named(predict(join(whole(flat), fixed), key))

    found = eqx.filter_jit(function)(flat)
    count = sum(x.size for x in found.values())
    if flat.size <= count:
        try:
            return found, eqx.filter_jit(jax.jacfwd(function))(flat)
        except TypeError as error:  # of a simulation that goes backward alone
            if "forward-mode" not in str(error):
                raise
    return found, eqx.filter_jit(jax.jacrev(function))(flat)


def _numbers(model: PyTree, free: PyTree, fixed: Fixed) -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
    """Values of the free numbers in their unit, how much one on the real line is there, and their names."""
    labels = tuple(getattr(model, "labels", ()))
    values, scales, names = [], [], []
    for rule, real in zip(fixed.rules, jax.tree.leaves(free), strict=True):
        name = fixed.names[rule.index]
        if rule.basis is not None:
            values.append(np.ravel(real))
            scales.append(np.ones(real.size))
            names += [f"{name} along {k}" for k in range(real.size)]
            continue
        values.append(np.ravel(rule.domain.from_real(real)))
        scales.append(np.ravel(np.exp(rule.domain.log_slope(real))))
        shape = real.shape if rule.positions is None else np.shape(rule.held)
        places = np.arange(int(np.prod(shape))) if rule.positions is None else np.asarray(rule.positions)
        for place in places:
            at = np.unravel_index(int(place), shape) if shape else ()
            where = ", ".join(labels[i] if n == len(labels) else str(i) for i, n in zip(at, shape, strict=True))
            names.append(f"{name}[{where}]" if where else name)
    return np.concatenate(values).astype(float), np.concatenate(scales).astype(float), tuple(names)
