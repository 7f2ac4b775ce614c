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
from scipy.sparse.linalg import ArpackError, ArpackNoConvergence, LinearOperator, eigsh

from .._kinds import choice, number, random_key, whole
from .._pictures import draw
from .._progress import tqdm
from .._warned import warn
from ..fitting.estimates import Estimate
from ..fitting.objective import AbstractObjective, Objective, check_objective, described, keys_of
from ..fitting.space import Space, space_of
from ..parameters.splitting import split
from .counting import AbstractSpectrum, Between, Whole, sampled
from .identifying import check_once
from .telling import in_words

#: Free numbers, or residuals, up to which the whole matrix is made, so many products at once, and numbers that derivatives of residuals may have.
_WHOLE, _TOGETHER, _LARGEST = 1000, 32, 5 * 10**7
#: Of the stiffest direction: what bends less than this share is called flat.
_FLAT = 0.01
#: By how many roundings of the largest eigenvalue each of them may be off.
_ROUNDINGS = 10


class Curvature(eqx.Module):
    r"""How a loss bends, on the real line of the free numbers, where one is about the size of a parameter. Made by `curvature`.

    Attributes:
        of: 'loss' for its second derivatives, 'residuals' for $J^\top J$.
        space: the free numbers.
        gradient: norm of the gradient there: at a minimum next to nothing.
        eigenvalues: those of the largest size, the largest size first, `(direction,)`.
        directions: `(direction, number)`, of length 1.
        spectrum: all eigenvalues, or what random vectors saw of them.
    """

    of: str = eqx.field(static=True)
    space: Space
    gradient: float = eqx.field(static=True)
    eigenvalues: Float[np.ndarray, " direction"]
    directions: Float[np.ndarray, "direction number"]
    spectrum: AbstractSpectrum

    @property
    def names(self) -> tuple[str, ...]:
        """Of the free numbers."""
        return self.space.names

    def above(self, value: float) -> Estimate:
        """How many directions bend more than a value; of a Fisher information, above 1 the data tell more than nothing.

        Args:
            value: an eigenvalue, larger than zero.

        Returns:
            The number, and by how much it may be off: zero where all eigenvalues are known, or all that are so large; otherwise by what the
            quadrature leaves open and three standard deviations over random vectors. Eigenvalues that rounding may have moved past the
            value count as open.
        """
        if not number("value", value) > 0:
            raise ValueError(f"value is an eigenvalue larger than zero, got {value}")
        return _estimate(self.spectrum.above(value))

    def downward(self) -> Estimate:
        """How many directions lead down by more than a hundredth of the stiffest: at a minimum none."""
        return _estimate(self.spectrum.below(-_FLAT * self._stiffest))

    @property
    def _stiffest(self) -> float:
        return float(np.abs(self.eigenvalues[0]))

    def direction(self, i: int) -> xr.Dataset:
        """One direction, leaf by leaf, each with its own axes: regions, or targets and sources; NaN where a leaf is not free.

        Args:
            i: its place; 0 is the stiffest.
        """
        pieces = self.space.pieces(jnp.asarray(self.directions[i]))
        return xr.Dataset({part.name: part.laid_out(x) for part, x in zip(self.space.parts, pieces, strict=True)})

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
        stiff, down = _estimate(self.spectrum.above(_FLAT * self._stiffest)), self.downward()
        lines.append(f"  {_told(stiff)} bend more than a hundredth of the stiffest")
        if self.of == "loss" and down.mean - down.scatter >= 0.5:
            lines.append(f"  {_told(down)} lead down by as much: this is no minimum")
        return "\n".join(lines)


def _estimate(found: Between) -> Estimate:
    """The middle of two bounds, and how far they are from it."""
    return Estimate((found.least + found.most) / 2, (found.most - found.least) / 2)


def _told(found: Estimate) -> str:
    """A number of directions, in words."""
    return f"{found.mean:.0f}" if not found.scatter else f"about {found.mean:.0f} +- {np.ceil(found.scatter):.0f}"


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
    over backward) in Lanczos's method (ARPACK, by scipy). Four random vectors and 60 products of each tell of the rest of the spectrum (Lanczos
    quadrature, Ubaru et al. 2017, doi 10.1137/16M1104974), with bounds. Up to 1000 free numbers, or 1000 residuals of any number of free ones,
    the whole matrix is made, and all its eigenvalues are exact.

    Args:
        model: a Network or any other Module.
        loss: `loss(model, key)`, as `gx.fit` takes it.
        spec: what is free, from `gx.select`.
        of: 'loss' for its second derivatives. 'residuals' for $J^\top J$ of what the loss names 'residuals', which never bends down: if they are
            divided by the standard deviation of the data's error, Fisher information.
        count: most directions to find. From half of the free numbers on, all eigenvalues are found, and all numbers of directions are exact.
        key: `jax.random.key(...)`, or a whole number as its seed, of the random vectors and of noise, which is held.
        realisations: keys that the loss is a mean over.
        progress: show a bar; a text is its title.

    Returns:
        A `Curvature`.

    Raises:
        ValueError: for a loss without residuals where these are asked for, or with such as are no real numbers or have each pair twice; a start
            outside of its domain.
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
    made = _Products(objective, free, keys_of(key, realisations), of, True)
    rows = None
    if of == "residuals":
        made, rows = _checked(made, flat)
    slope = np.asarray(_gradient(made, flat), float)
    if not np.isfinite(slope).all():
        raise FloatingPointError("the loss has a gradient that is not finite at this model, and no curvature")
    title = progress if isinstance(progress, str) else "curvature"
    seed = np.random.default_rng(np.asarray(jax.random.key_data(key)).tolist())
    with tqdm(desc=title, unit="product", disable=not progress) as bar:
        values, vectors, spectrum = _spectrum(made, flat, rows, count, seed, bar)
    if not values.any():
        raise FloatingPointError("the loss does not bend at all at this model")
    return Curvature(of, space_of(model, spec), float(np.linalg.norm(slope)), values, vectors, spectrum)


def _checked(made: "_Products", x: Array) -> tuple["_Products", int]:
    """Refuses residuals that have each pair twice, sees whether they go forward, and how many they are."""
    try:
        found, moved = _moved(made, x)
    except TypeError as error:  # of a simulation that goes backward alone
        if "forward-mode" not in str(error):
            raise
        made = dataclasses.replace(made, forward=False)
        found, moved = _moved(made, x)
    for value, slope in zip(found, moved, strict=True):
        check_once(np.asarray(value)[0], np.asarray(slope)[0], "a residual")
    return made, sum(value.size for value in found)


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

    def leaves(self, x: Float[Array, " number"]) -> list[Array]:
        """The residuals on all noise, each with an axis of it in front.

        Raises:
            ValueError: if there are none, or such as have no squares.
        """
        _, back = ravel_pytree(self.free)
        found = jax.tree.leaves(jax.vmap(lambda key: self.objective.at(back(x), key).residuals)(self.keys))
        if not sum(r.size for r in found):
            raise ValueError(
                "of='residuals' needs residuals, and the loss returns none: return (value, {'residuals': (simulated - measured) / sd})"
            )
        for r in found:
            if not jnp.issubdtype(r.dtype, jnp.floating):
                raise ValueError(
                    f"residuals are real numbers, got {r.dtype}: of complex ones give real and imaginary parts"
                )
        return found

    def residuals(self, x: Float[Array, " number"]) -> Float[Array, " residual"]:
        """On all noise, so that their squares are a mean over it."""
        flat = jnp.concatenate([jnp.ravel(r) for r in self.leaves(x)])
        return flat.astype(x.dtype) / np.sqrt(len(self.keys))

    def along(self, function: Callable[[Array], Any], x: Float[Array, " number"], v: Float[Array, " number"]) -> Any:
        """How a function changes along a vector."""
        if self.forward:
            return jax.jvp(function, (x,), (v,))[1]
        # a run that goes backward alone: the way back is linear, and the way back from it leads forward
        found, pull = jax.vjp(function, x)
        return jax.vjp(lambda u: pull(u)[0], jax.tree.map(jnp.zeros_like, found))[1](v)[0]

    def column(self, x: Float[Array, " number"], v: Float[Array, " number"]) -> Float[Array, " residual"]:
        """How the residuals change along a vector."""
        return self.along(self.residuals, x, v)

    def row(self, x: Float[Array, " number"], u: Float[Array, " residual"]) -> Float[Array, " number"]:
        """The slope of a sum of residuals."""
        return jax.vjp(self.residuals, x)[1](u)[0]

    def product(self, x: Float[Array, " number"], v: Float[Array, " number"]) -> Float[Array, " number"]:
        """The matrix times a vector."""
        if self.of == "loss":
            return jax.jvp(jax.grad(self.value), (x,), (v,))[1]
        return self.row(x, self.column(x, v))


@eqx.filter_jit
def _gradient(made: _Products, x: Array) -> Array:
    return jax.grad(made.value)(x)


@eqx.filter_jit
def _moved(made: _Products, x: Array) -> tuple[list[Array], list[Array]]:
    """Residuals, and how they change along a vector that no symmetry is likely to have."""
    v = jax.random.normal(jax.random.key(0), x.shape, x.dtype)
    return made.leaves(x), made.along(made.leaves, x, v)


@eqx.filter_jit
def _times(made: _Products, x: Array, vectors: Array, what: str) -> Array:
    """Products, columns or rows, side by side."""
    return jax.vmap(lambda v: getattr(made, what)(x, v))(vectors)


class _Spectrum(NamedTuple):
    values: np.ndarray
    vectors: np.ndarray
    spectrum: AbstractSpectrum


def _spectrum(made: _Products, x: Array, rows: int | None, count: int, rng: np.random.Generator, bar: Any) -> _Spectrum:
    """The largest eigenvalues, their vectors, and what is known of all others."""

    def times(vectors: np.ndarray, what: str = "product") -> np.ndarray:
        found = np.asarray(_times(made, x, jnp.asarray(vectors, x.dtype), what), float)
        bar.update(len(vectors))
        if not np.isfinite(found).all():
            raise FloatingPointError("second derivatives of the loss are not finite at this model")
        return found

    def every(size: int, what: str) -> np.ndarray:
        """Of each unit vector, in calls of one size, as another would be compiled once more."""
        bar.total = size
        calls = -(-size // _TOGETHER)
        units = np.eye(calls * -(-size // calls), size).reshape(calls, -1, size)
        return np.concatenate([times(block, what) for block in units])[:size]

    size, precision = x.size, _ROUNDINGS * np.finfo(x.dtype).eps
    if rows is not None and min(size, rows) <= _WHOLE and rows * size <= _LARGEST:
        slopes = every(rows, "row") if rows < size else every(size, "column").T
        return _of_slopes(slopes, count, precision)
    if size <= _WHOLE or 2 * count >= size:
        return _of_matrix(every(size, "product"), count, precision)
    values, vectors = _largest(lambda v: times(v.reshape(1, -1))[0], size, count, x.dtype, rng)
    error = float(precision * np.abs(values).max())
    return _Spectrum(values, vectors, sampled(times, values, vectors, error, rng))


def _of_slopes(slopes: np.ndarray, count: int, precision: float) -> _Spectrum:
    """All eigenvalues of the slopes' own products, which are squares: small ones keep digits that rounding of the products would take."""
    size = slopes.shape[1]
    _, roots, vectors = np.linalg.svd(slopes, full_matrices=size <= _WHOLE)
    off, none = precision * roots[0], np.zeros(size - len(roots))
    spectrum = Whole(np.append(roots**2, none), np.append(2 * roots * off + off**2, none))
    found = min(count, len(vectors))
    return _Spectrum(spectrum.values[:found], vectors[:found], spectrum)


def _of_matrix(matrix: np.ndarray, count: int, precision: float) -> _Spectrum:
    """All eigenvalues of a matrix that is symmetric but for rounding, which this tells."""
    values, vectors = np.linalg.eigh((matrix + matrix.T) / 2)
    order = np.argsort(-np.abs(values))
    error = max(precision * np.abs(values).max(), np.linalg.norm(matrix - matrix.T) / np.sqrt(len(matrix)))
    return _Spectrum(values[order][:count], vectors.T[order][:count], Whole(values, np.full(len(values), error)))


def _largest(
    times: Callable[[np.ndarray], np.ndarray], size: int, count: int, dtype: Any, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """The eigenvalues of the largest size, and their vectors."""
    start = rng.normal(size=size)
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
    except ArpackError:  # of a matrix of zeros
        return np.zeros(count), np.eye(count, size)
    order = np.argsort(-np.abs(values))
    return values[order], vectors.T[order]
