"""How many eigenvalues of a symmetric matrix lie above a value: of all of them, or of some and what random vectors see of the others."""

import abc
from collections.abc import Callable
from typing import NamedTuple

import equinox as eqx
import numpy as np
from jaxtyping import Float
from scipy.linalg import eigh_tridiagonal

#: Random vectors that see the rest of a spectrum, products that each of them takes at most, and numbers of all of them that are kept.
_PROBES, _DEEP, _KEPT = 4, 60, 2**27
#: Standard deviations over random vectors that a count may be off by.
_SURE = 3.0


class Between(NamedTuple):
    """A number that is no smaller and no larger."""

    least: float
    most: float


class AbstractSpectrum(eqx.Module):
    """Eigenvalues of a symmetric matrix, as far as they are known."""

    @property
    @abc.abstractmethod
    def size(self) -> int:
        """How many eigenvalues there are."""

    @abc.abstractmethod
    def above(self, value: float) -> Between:
        """How many lie above a value."""

    def below(self, value: float) -> Between:
        """How many lie below a value."""
        found = self.above(value)
        return Between(self.size - found.most, self.size - found.least)


class Whole(AbstractSpectrum):
    """All eigenvalues, and by how much rounding may have moved each.

    Example:
        >>> Whole(np.array([3.0, 2.0, 1.0]), np.array([0.1, 0.1, 0.1])).above(1.95)
        Between(least=1.0, most=2.0)
    """

    values: Float[np.ndarray, " eigenvalue"]
    errors: Float[np.ndarray, " eigenvalue"]

    @property
    def size(self) -> int:
        """How many eigenvalues there are."""
        return len(self.values)

    def above(self, value: float) -> Between:
        """How many lie above a value, those near it with both."""
        return Between(
            float((self.values - self.errors > value).sum()), float((self.values + self.errors > value).sum())
        )


class Sampled(AbstractSpectrum):
    """The eigenvalues of the largest size, and of all others the tridiagonal matrices that Lanczos's method makes of random vectors.

    Attributes:
        known: the eigenvalues of the largest size.
        diagonal: of the tridiagonal matrices, `(probe, step)`.
        beside: next to it, and last the length of what is left, `(probe, step)`.
        others: how many eigenvalues are not known.
        error: by how much rounding may have moved an eigenvalue.
    """

    known: Float[np.ndarray, " eigenvalue"]
    diagonal: Float[np.ndarray, "probe step"]
    beside: Float[np.ndarray, "probe step"]
    others: int = eqx.field(static=True)
    error: float = eqx.field(static=True)

    @property
    def size(self) -> int:
        """How many eigenvalues there are."""
        return len(self.known) + self.others

    def above(self, value: float) -> Between:
        """How many lie above a value: bounds of the quadrature, and three standard deviations over random vectors around them.

        The trace of a projection on c of n directions, seen by m vectors of random signs, has a variance of at most 2 c (1 - c / n) / m.
        """
        known = Whole(self.known, np.full(len(self.known), self.error)).above(value)
        if abs(value) > np.abs(self.known).min() and self._topmost() <= np.abs(self.known).min() + self.error:
            return known if value > 0 else Between(known.least + self.others, known.most + self.others)
        pairs = list(zip(self.diagonal, self.beside, strict=True))
        most = 1 - np.mean([_share(*pair, value - self.error).least for pair in pairs])
        least = 1 - np.mean([_share(*pair, value + self.error).most for pair in pairs])
        least, most = (self.others * round(float(x), 9) for x in (least, most))  # what rounding leaves is no direction
        least = max(least - _SURE * self._scatter(least), 0.0)
        most = min(most + _SURE * self._scatter(most), float(self.others))
        return Between(known.least + least, known.most + most)

    def _topmost(self) -> float:
        """The largest size that random vectors saw."""
        ends = [eigh_tridiagonal(d, b[:-1], eigvals_only=True) for d, b in zip(self.diagonal, self.beside, strict=True)]
        return float(np.abs(ends).max())

    def _scatter(self, count: float) -> float:
        """Standard deviation of a count at most; of none or of all there is none."""
        inside, outside = np.ceil(np.array([count, self.others - count]) - 1e-6)
        return float(np.sqrt(2 * inside * outside / self.others / len(self.diagonal))) if self.others else 0.0


def _share(diagonal: np.ndarray, beside: np.ndarray, value: float) -> Between:
    """What part of a vector belongs to eigenvalues below a value, and to such up to it, as far as its tridiagonal matrix tells.

    Of all spectra that make the same tridiagonal matrix, the one with an eigenvalue at the value itself has the least below it and the most up
    to it (Chebyshev, Markov and Stieltjes; Golub and Meurant 2010, "Matrices, Moments and Quadrature", chapter 6).
    """
    smallest = np.finfo(float).eps * max(np.abs(diagonal).max(), np.abs(beside).max(), abs(value), np.finfo(float).tiny)
    pivot = diagonal[0] - value
    for length, own in zip(beside[:-1], diagonal[1:], strict=True):
        pivot = own - value - length**2 / (pivot if abs(pivot) > smallest else smallest)
    last = value + beside[-1] ** 2 / (pivot if abs(pivot) > smallest else smallest)
    nodes, vectors = eigh_tridiagonal(np.append(diagonal, last), beside)
    weights, at = vectors[0] ** 2, int(np.argmin(np.abs(nodes - value)))
    weights = weights / weights.sum()
    least = float(weights[:at].sum())
    return Between(least, min(least + float(weights[at]), 1.0))


def sampled(
    times: Callable[[np.ndarray], np.ndarray],
    values: Float[np.ndarray, " direction"],
    known: Float[np.ndarray, "direction number"],
    error: float,
    rng: np.random.Generator,
) -> Sampled:
    """Lanczos's method from random vectors, orthogonal to directions that are known so that only the small rest scatters.

    Args:
        times: products of the matrix with some vectors, `(vector, number)`.
        values: the eigenvalues of the largest size.
        known: their directions.
        error: of an eigenvalue, by rounding.
        rng: of the vectors.
    """
    size = known.shape[1]
    deep = max(min(_DEEP, size - len(known), _KEPT // (_PROBES * size)), 2)
    diagonal, beside = np.zeros((2, _PROBES, deep))
    bases = np.zeros((deep, _PROBES, size))
    new = rng.choice([-1.0, 1.0], (_PROBES, size))
    new = new - new @ known.T @ known
    length = np.linalg.norm(new, axis=1)
    for step in range(deep):
        bases[step] = new / np.where(length > 0, length, 1.0)[:, None]
        new = times(bases[step])
        diagonal[:, step] = (bases[step] * new).sum(1)
        for _ in range(2):  # what rounding leaves of the others would come back as copies of the largest eigenvalues
            new = new - new @ known.T @ known
            new = new - np.einsum("sp,spn->pn", np.einsum("spn,pn->sp", bases[: step + 1], new), bases[: step + 1])
        length = np.linalg.norm(new, axis=1)
        length[length <= error] = 0.0  # all that the vector has in it is found
        new[length == 0] = 0.0
        beside[:, step] = length
        if not length.any():
            break
    return Sampled(values, diagonal, beside, size - len(known), error)
