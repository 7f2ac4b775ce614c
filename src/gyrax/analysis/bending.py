"""How a loss bends along thousands of free numbers at once, without the matrix of all pairs."""

import dataclasses
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, PyTree
from scipy.linalg import eigh_tridiagonal
from scipy.sparse.linalg import ArpackError, ArpackNoConvergence, LinearOperator, eigsh

from .._kinds import choice, number, random_key, whole
from .._pictures import draw
from .._progress import tqdm
from .._warned import warn
from ..fitting.estimates import Estimate
from ..fitting.objective import AbstractObjective, Objective, check_objective, described, keys_of
from ..fitting.space import Space, space_of
from ..parameters.splitting import split
from ..search.slopes import goes_forward
from .identifying import check_once
from .telling import in_words

#: Free numbers up to which the whole matrix is made: fewer products than the search for its largest eigenvalues takes.
_WHOLE = 64
#: Random vectors that tell of the rest of the spectrum, and products that each of them takes.
_PROBES, _DEEP = 4, 12
#: Of the stiffest direction: what bends less than this share is called flat.
_FLAT = 0.01


class Curvature(eqx.Module):
    r"""How a loss bends, on the real line of the free numbers, where one is about the size of a parameter. Made by `curvature`.

    Attributes:
        of: 'loss' for its second derivatives, 'residuals' for $J^\top J$.
        space: the free numbers.
        gradient: norm of the gradient there: at a minimum next to nothing.
        eigenvalues: those of the largest size, the largest size first, `(direction,)`.
        directions: `(direction, number)`, of length 1.
        nodes, weights: of the rest of the spectrum, as random vectors saw it: `(probe, node)`. A probe's weights sum to the number of directions
            that are left. A single probe where all eigenvalues are known: these.
    """

    of: str = eqx.field(static=True)
    space: Space
    gradient: float = eqx.field(static=True)
    eigenvalues: Float[np.ndarray, " direction"]
    directions: Float[np.ndarray, "direction number"]
    nodes: Float[np.ndarray, "probe node"]
    weights: Float[np.ndarray, "probe node"]

    @property
    def names(self) -> tuple[str, ...]:
        """Of the free numbers."""
        return self.space.names

    def above(self, value: float) -> Estimate:
        """How many directions bend more than a value; of a Fisher information, above 1 the data tell more than nothing.

        Args:
            value: an eigenvalue, larger than zero.

        Returns:
            The number, and its standard error over the random vectors; zero where all eigenvalues are known.
        """
        if not number("value", value) > 0:
            raise ValueError(f"value is an eigenvalue larger than zero, got {value}")
        return self._many(lambda x: x > value)

    def downward(self) -> Estimate:
        """How many directions lead down by more than a hundredth of the stiffest: at a minimum none."""
        least = _FLAT * self._stiffest
        return self._many(lambda x: x < -least)

    @property
    def _stiffest(self) -> float:
        return float(np.abs(self.eigenvalues[0]))

    def _many(self, true: Callable[[np.ndarray], np.ndarray]) -> Estimate:
        known, rest = float(true(self.eigenvalues).sum()), (true(self.nodes) * self.weights).sum(1)
        if len(rest) == 1:  # no random vector: all eigenvalues
            return Estimate(known + float(rest[0]), 0.0)
        return Estimate(known + float(rest.mean()), float(rest.std(ddof=1) / np.sqrt(len(rest))))

    def direction(self, i: int) -> xr.Dataset:
        """One direction, leaf by leaf, each with its own axes: regions, or targets and sources.

        Args:
            i: its place; 0 is the stiffest.
        """
        pieces = self.space.pieces(jnp.asarray(self.directions[i]))
        return xr.Dataset(
            {
                part.name: xr.DataArray(
                    np.asarray(x),
                    dims=part.dims,
                    coords={d: list(c) for d, c in zip(part.dims, part.coords, strict=True) if c is not None},
                )
                for part, x in zip(self.space.parts, pieces, strict=True)
            }
        )

    def shares(self, i: int) -> dict[str, float]:
        """How much of a direction is of which leaf: the sum of the squares of its parts, by the leaf's name."""
        pieces = self.space.pieces(jnp.asarray(self.directions[i]))
        return {part.name: float((x**2).sum()) for part, x in zip(self.space.parts, pieces, strict=True)}

    def to_xarray(self) -> xr.Dataset:
        """Eigenvalues and directions with labels."""
        return xr.Dataset(
            {"eigenvalue": ("direction", self.eigenvalues), "part": (("direction", "number"), self.directions)},
            coords={"number": list(self.names)},
            attrs={"of": self.of, "gradient": self.gradient},
        )

    def plot(self, ax: Any = None) -> Any:
        """The spectrum: how many directions bend more than each value; returns the matplotlib axes."""
        return draw("profiles.curvature", self, ax=ax)

    def __repr__(self):
        what = "the loss" if self.of == "loss" else "the residuals"
        lines = [f"Curvature of {what} in {self.space.size} free numbers, where the gradient is {self.gradient:.2g}"]
        for i, value in enumerate(self.eigenvalues[:5]):
            lines.append(f"  {value:9.3g}  {in_words(self.names, self.directions[i], self.shares(i))}")
        lines += ["  ..."] * (len(self.eigenvalues) > 5)
        stiff, down = self._many(lambda x: x > _FLAT * self._stiffest), self.downward()
        lines.append(f"  {_told(stiff)} bend more than a hundredth of the stiffest")
        if self.of == "loss" and down.mean >= 0.5:
            lines.append(f"  {_told(down)} lead down by as much: this is no minimum")
        return "\n".join(lines)


def _told(found: Estimate) -> str:
    """A number of directions, in words."""
    return f"{found.mean:.0f}" if not found.scatter else f"about {found.mean:.0f} +- {found.scatter:.0f}"


def curvature(
    model: PyTree,
    loss: Callable[[Any, Any], Any],
    spec: PyTree,
    *,
    of: Literal["loss", "residuals"] = "loss",
    count: int = 8,
    key: Any = None,
    realisations: int = 1,
    progress: bool | str = True,
) -> Curvature:
    r"""The stiffest directions of a loss among any number of free ones, and how many more there are.

    Eigenvectors of the second derivatives on the real line of each domain, by products of the matrix with vectors (two gradients each, forward
    over backward) in Lanczos's method (ARPACK, by scipy). Random vectors tell of the rest of the spectrum (Lanczos quadrature, Ubaru et al. 2017,
    doi 10.1137/16M1104974). Up to 64 free numbers the whole matrix is made, and all its eigenvalues are exact.

    Args:
        model: a Network or any other Module.
        loss: `loss(model, key)`, as `gx.fit` takes it.
        spec: what is free, from `gx.select`.
        of: 'loss' for its second derivatives. 'residuals' for $J^\top J$ of what the loss names 'residuals', which never bends down: if they are
            divided by the standard deviation of the data's error, Fisher information.
        count: most directions to find.
        key: `jax.random.key(...)`, or a whole number as its seed; noise is held.
        realisations: keys that the loss is a mean over.
        progress: show a bar; a text is its title.

    Returns:
        A `Curvature`.

    Raises:
        ValueError: for a loss without residuals where these are asked for, or a start outside of its domain.
        FloatingPointError: if derivatives are not finite there.
        TypeError: for what is of another kind.

    Warns:
        RuntimeWarning: if fewer directions than asked for could be told from each other.

    Example:
        >>> import gyrax as gx
        >>> model = gx.models.Linear(gamma=-0.5)
        >>> spec = gx.select(model, gx.Free("gamma", domain=gx.Real(scale=1.0)))
        >>> found = gx.analysis.curvature(model, lambda m, key: 3.0 * (m.gamma + 0.5) ** 2, spec, progress=False)
        >>> found.eigenvalues.round(4).tolist()
        [6.0]
    """
    choice("of", of, ("loss", "residuals"))
    whole("realisations", realisations)
    check_objective(model, loss, "loss", "lambda model, key: ...")
    key = random_key("key", 0 if key is None else key)
    free, fixed = split(model, spec)
    objective = Objective(described(loss, model, key).loss, fixed)
    flat, _ = ravel_pytree(free)
    whole("count", count)
    if of == "residuals":
        _check_residuals(objective, free, key)
    made = _Products(objective, free, keys_of(key, realisations), of, False)
    if of == "residuals":
        made = dataclasses.replace(made, forward=goes_forward(made.residuals, flat))
    slope = np.asarray(_gradient(made, flat), float)
    if not np.isfinite(slope).all():
        raise FloatingPointError("the loss has a gradient that is not finite at this model, and no curvature")
    title = progress if isinstance(progress, str) else "curvature"
    with tqdm(desc=title, unit="product", disable=not progress) as bar:
        values, vectors, nodes, weights = _spectrum(made, flat, count, bar)
    return Curvature(of, space_of(model, spec), float(np.linalg.norm(slope)), values, vectors, nodes, weights)


def _check_residuals(objective: AbstractObjective, free: PyTree, key: Any) -> None:
    """Refuses a loss without residuals, and such as have each pair twice."""
    found = jax.tree.leaves(eqx.filter_jit(objective.at)(free, key).residuals)
    if not found:
        raise ValueError(
            "of='residuals' needs residuals, and the loss returns none: return (value, {'residuals': (simulated - measured) / sd})"
        )
    for x in map(np.asarray, found):
        check_once(x, x, "a residual")


class _Products(eqx.Module):
    """A matrix of second derivatives, known by its products with vectors."""

    objective: AbstractObjective
    free: PyTree
    keys: Array
    of: str = eqx.field(static=True)
    forward: bool = eqx.field(static=True)

    def value(self, x: Float[Array, " number"]) -> Float[Array, ""]:
        _, back = ravel_pytree(self.free)
        return self.objective.mean(back(x), self.keys)[0]

    def residuals(self, x: Float[Array, " number"]) -> Float[Array, " residual"]:
        """On all noise, so that their squares are a mean over it."""
        _, back = ravel_pytree(self.free)
        found = jax.vmap(lambda key: self.objective.at(back(x), key).residuals)(self.keys)
        flat = jnp.concatenate([jnp.ravel(r) for r in jax.tree.leaves(found)])
        return flat.astype(x.dtype) / np.sqrt(len(self.keys))

    def product(self, x: Float[Array, " number"], v: Float[Array, " number"]) -> Float[Array, " number"]:
        if self.of == "loss":
            return jax.jvp(jax.grad(self.value), (x,), (v,))[1]
        residuals, pull = jax.vjp(self.residuals, x)
        if self.forward:
            pushed = jax.jvp(self.residuals, (x,), (v,))[1]
        else:  # a run that goes backward alone: the way back is linear, and the way back from it leads forward
            pushed = jax.vjp(lambda u: pull(u)[0], jnp.zeros_like(residuals))[1](v)[0]
        return pull(pushed)[0]


@eqx.filter_jit
def _gradient(made: _Products, x: Array) -> Array:
    return jax.grad(made.value)(x)


@eqx.filter_jit
def _product(made: _Products, x: Array, v: Array) -> Array:
    return made.product(x, v)


class _Spectrum(NamedTuple):
    values: np.ndarray
    vectors: np.ndarray
    nodes: np.ndarray
    weights: np.ndarray


def _spectrum(made: _Products, x: Array, count: int, bar: Any) -> _Spectrum:
    """The largest eigenvalues, their vectors, and what random vectors tell of all others."""

    def times(v: np.ndarray) -> np.ndarray:
        found = np.asarray(_product(made, x, jnp.asarray(v.reshape(-1), x.dtype)), float)
        bar.update()
        if not np.isfinite(found).all():
            raise FloatingPointError("second derivatives of the loss are not finite at this model")
        return found

    size = x.size
    if size <= _WHOLE or 2 * count >= size:
        matrix = np.stack([times(unit) for unit in np.eye(size)])
        values, vectors = np.linalg.eigh((matrix + matrix.T) / 2)
        order = np.argsort(-np.abs(values))[:count]
        rest = np.argsort(-np.abs(values))[count:]
        return _Spectrum(values[order], vectors.T[order], values[None, rest], np.ones((1, len(rest))))
    values, vectors = _largest(times, size, count, x.dtype)
    nodes, weights = _rest(times, vectors, np.random.default_rng(0))
    return _Spectrum(values, vectors, nodes, weights)


def _largest(
    times: Callable[[np.ndarray], np.ndarray], size: int, count: int, dtype: Any
) -> tuple[np.ndarray, np.ndarray]:
    """The eigenvalues of the largest size, and their vectors."""
    start = np.random.default_rng(0).normal(size=size)
    options: dict[str, Any] = {"v0": start, "tol": float(np.sqrt(np.finfo(dtype).eps))}
    operator: Any = LinearOperator(shape=(size, size), matvec=times, dtype=float)  # pyright: ignore[reportCallIssue]
    try:
        values, vectors = eigsh(operator, count, **options)
    except ArpackNoConvergence as error:
        values, vectors = error.eigenvalues, error.eigenvectors
        warn(
            f"{len(values)} of {count} directions could be told from each other: the next ones bend alike. Ask for fewer by count="
        )
        if not len(values):
            raise FloatingPointError("no direction stands out from all others: the loss bends alike in many") from None
    except ArpackError as error:
        raise FloatingPointError(f"the loss does not bend at all at this model ({error})") from None
    order = np.argsort(-np.abs(values))
    return values[order], vectors.T[order]


def _rest(
    times: Callable[[np.ndarray], np.ndarray], known: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Quadrature of the spectrum beside the directions that are known: `(probe, node)`, and weights."""
    size = known.shape[1]
    deep = min(_DEEP, size - len(known))
    nodes, weights = np.zeros((_PROBES, deep)), np.zeros((_PROBES, deep))
    for probe in range(_PROBES):
        start = rng.choice([-1.0, 1.0], size)
        start -= known.T @ (known @ start)
        basis, diagonal, beside = [start / np.linalg.norm(start)], [], []
        for step in range(deep):
            new = times(basis[-1])
            diagonal.append(basis[-1] @ new)
            against = np.concatenate([known, basis])
            for _ in range(
                2
            ):  # what rounding leaves of the others would come back as copies of the largest eigenvalues
                new = new - against.T @ (against @ new)
            length = np.linalg.norm(new)
            if step + 1 < deep and length > 1e-12 * np.abs(diagonal).max():
                beside.append(length)
                basis.append(new / length)
            else:
                break
        values, vectors = eigh_tridiagonal(np.array(diagonal), np.array(beside))
        nodes[probe, : len(values)] = values
        weights[probe, : len(values)] = (size - len(known)) * vectors[0] ** 2
    return nodes, weights
