"""How a network comes back to a fixed point, or leaves it: the modes of its linearisation, with delays too."""

import functools
import itertools
from collections.abc import Iterator
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from jaxtyping import Bool, Complex

from .._kinds import expect, reals, whole
from .._types import State
from ..labelled import Names, check_same, known_names
from ..network.network import Network
from .slopes import Slopes, absent, between, check_simple, slopes
from .telling import count_of
from .within import beyond, held, worst

#: Points on the past from which sums are read, at least beside half the angle by which a mode turns over the longest delay, and at most;
#: eigenvalues are Newton's after it, so it need only bring him near.
_FEWEST, _POINTS = 5, 12
_NEWTON = 12
#: Steps towards the largest eigenvalue of a matrix without negative entries.
_POWERS = 20
#: By how much of the longest delay's inverse growths count as one.
_NEAR = 0.1


class Modes(eqx.Module):
    r"""How a network moves near a fixed point: each mode is $v e^{\lambda t}$. Made by `modes`.

    Attributes:
        rates: $\lambda$ per ms, `(mode,)`, the one that dies last, or grows fastest, first.
        shapes: v, `(mode, state, region)`.
        states, regions: their names.
    """

    rates: Complex[np.ndarray, " mode"]
    shapes: Complex[np.ndarray, "mode state node"]
    states: Names = eqx.field(static=True)
    regions: Names = eqx.field(static=True)

    @property
    def stable(self) -> bool:
        """Whether all modes die out."""
        return bool(self.rates[0].real < 0)

    @property
    def frequencies(self) -> np.ndarray:
        """Hz, `(mode,)`; 0 for what does not oscillate."""
        return np.abs(np.imag(self.rates)) / (2 * np.pi) * 1000

    @property
    def lifetimes(self) -> np.ndarray:
        """ms after which a mode is 1/e of what it was, `(mode,)`; negative for those that grow."""
        with np.errstate(divide="ignore"):
            return -1 / np.real(self.rates)

    def to_xarray(self) -> xr.Dataset:
        """All of it with labels; complex numbers as their real and imaginary parts along 'part'."""

        def parts(x):
            return np.stack([x.real, x.imag], -1)

        return xr.Dataset(
            {
                "rate": (("mode", "part"), parts(self.rates), {"units": "1/ms"}),
                "frequency": ("mode", self.frequencies, {"units": "Hz"}),
                "lifetime": ("mode", self.lifetimes, {"units": "ms"}),
                "shape": (("mode", "state", "region", "part"), parts(self.shapes)),
            },
            coords={"state": list(self.states), "region": list(self.regions), "part": ["real", "imaginary"]},
        )

    def __repr__(self):
        modes, regions = count_of(len(self.rates), "mode"), count_of(len(self.regions), "region")
        lines = [f"{modes} of {regions}, {'stable' if self.stable else 'unstable'}"]
        for rate, hz, ms in list(zip(self.rates, self.frequencies, self.lifetimes, strict=True))[:5]:
            swings = f"{hz:.4g} Hz" if abs(rate.imag) > 1e-9 * abs(rate) else "no oscillation"
            lines.append(f"  {swings}, {'dies' if ms > 0 else 'grows'} in {abs(ms):.4g} ms")
        return "\n".join(lines + ["  ..."] * (len(self.rates) > 5))


def modes(network: Network, state: Any, count: int = 10) -> Modes:
    r"""The modes of a network around a fixed point that last longest, or grow fastest.

    Without delays the eigenvalues of the Jacobian. With delays those of the characteristic equation
    $\det(\lambda - J(\lambda)) = 0$: found by collocation of the past at Chebyshev points (Breda, Maset & Vermiglio 2005, SIAM J. Sci.
    Comput. 27), then by Newton's method on the equation itself.

    Args:
        network: without a stimulus; noise does not matter.
        state: where it rests, `(state, region)`, such as of `fixed_points`.
        count: how many, at most.

    Raises:
        ValueError: for a state of another shape or other regions, beyond the model's limits, or in which the network does not rest.

    Example:
        >>> import gyrax as gx
        >>> ring = np.roll(np.eye(4), 1, axis=0)
        >>> net = gx.Network(gx.models.Linear(gamma=-2.0), gx.couplings.Linear(source="x"), ring)
        >>> modes(net, np.zeros((1, 4))).rates.round(6).real.tolist()
        [-1.0, -2.0, -2.0, -3.0]
    """
    expect("network", network, Network, "a network", "gx.Network(model, coupling, connectome)")
    check_simple(network)
    y, count = checked_state(network, state), whole("count", count)
    if np.asarray(beyond(network, y)).any():
        raise ValueError(f"state lies beyond the model's limits, where no run goes: {worst(network, y)}")
    flow = np.asarray(network.drift(0.0, y))
    found = _slopes(network, y)
    scale = np.abs(np.diagonal(np.asarray(found.at_once))).max() * (1e-3 + np.abs(np.asarray(y)).max())
    if not np.abs(flow).max() <= 1e-3 * scale:
        s, i = np.unravel_index(np.abs(flow).argmax(), flow.shape)
        name = f"{network.model.states[s]} of {network.labels[i]}"
        if held(network, y, network.drift(0.0, y))[s, i]:
            raise ValueError(
                f"{name} is at its limit, {y[s, i]:g}, and the drift pushes it on by {flow[s, i]:.3g} a ms: a run is held there, which has no "
                "modes; they are of states that stand still by themselves, such as gx.analysis.fixed_points(network) finds"
            )
        raise ValueError(
            f"the network does not rest in this state: {name} changes by {flow[s, i]:.3g} a ms; "
            "gx.analysis.fixed_points(network) finds where it does"
        )
    rates, shapes = eigen(found, count, absent(network))
    return Modes(rates, shapes.T.reshape(len(rates), *y.shape), network.model.states, network.labels)


@eqx.filter_jit
def _slopes(network: Network, y: State) -> Slopes:
    return slopes(network, y)


def checked_state(network: Network, state: Any, argument: str = "state") -> State:
    """A state of a network, `(state, node)`, with its regions compared."""
    values, names = known_names(state, argument)
    check_same(names[-1] if names else None, network.labels, argument, "the network")
    y = jnp.asarray(reals(argument, values), jnp.result_type(float))
    wanted = (len(network.model.states), network.n_nodes)
    if y.shape != wanted:
        raise ValueError(f"{argument} has shape {y.shape}, expected (state, region) = {wanted}")
    return y


def eigen(found: Slopes, count: int, gone: Bool[np.ndarray, "state node"]) -> tuple[np.ndarray, np.ndarray]:
    """The rightmost eigenvalues and their vectors, in double precision, without those of what there is not (`absent`)."""
    found = jax.tree.map(lambda x: np.asarray(x, float), found)
    if not any(map(_matters, found.late.values())):
        rates, shapes = _eigen(np.asarray(found.jacobian(0.0), float), gone)
        return rates[:count], shapes[:, :count]
    n, points, kept = len(found.at_once), _points(found, gone, 0.0), []
    while True:
        matrix = _with_past(found, points)
        rates, shapes = _eigen(matrix, gone)
        rounding = len(matrix) * np.finfo(float).eps * np.abs(matrix).sum(1).max()
        likely = list(itertools.islice(_likely(found, gone, rates, rounding), 2 * count + 4))
        enough = _points(found, gone, rates[likely[: count + 1][-1]].real)
        if enough <= points:
            break
        points = enough
    for i in likely:
        refined = _newton(found, complex(rates[i]), shapes[:n, i])
        # None as where several modes have the same rate, which makes the equation singular
        rate = _multiple(found, complex(rates[i])) if refined is None else refined[0]
        if rate is None:
            continue
        again = [k for k, (other, _) in enumerate(kept) if abs(rate - other) <= 1e-8 * (abs(other) + 1e-6)]
        if again:
            other, known = kept[again[0]]
            if len(known) == 1:  # all of them are found at once
                kept[again[0]] = other, _shapes_of(found, rate)
        else:
            kept.append((rate, _shapes_of(found, rate) if refined is None else refined[1][None]))
    first = complex(rates[likely[0]])
    if not kept or max(rate.real for rate, _ in kept) < first.real - 0.1 * (abs(first) + 1e-6):
        raise ValueError(
            f"the mode that lasts longest, near {first:.4g} per ms, could not be found exactly: are delays much longer "
            "than all else in the network?"
        )
    pairs = [(rate, shape) for rate, several in kept for shape in several]
    pairs = sorted(pairs, key=lambda pair: (round(-pair[0].real, 12), -pair[0].imag))[:count]
    return np.array([rate for rate, _ in pairs]), np.stack([shape for _, shape in pairs], axis=1)


def _matters(late: Any) -> bool:
    """Whether anything of a coupling arrives, late, and is felt."""
    there = late.weights != 0
    return bool((late.ms[there] > 0).any() and np.any(late.felt) and np.any(late.sent))


def _eigen(matrix: np.ndarray, gone: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Eigenvalues, the rightmost first, and vectors of a matrix without rows and columns of what there is not."""
    there = np.setdiff1d(np.arange(len(matrix)), np.flatnonzero(gone))
    rates, within = np.linalg.eig(matrix[np.ix_(there, there)])
    order = np.argsort(-np.real(rates), kind="stable")
    shapes = np.zeros((len(matrix), len(rates)), complex)
    shapes[there] = within[:, order]
    return rates[order].astype(complex), shapes


def _sizes(found: Slopes, gone: np.ndarray, growth: float) -> np.ndarray:
    r"""$|A| + \sum |B| e^{-s \tau}$ for a growth s, of what there is."""
    most, there = np.abs(found.at_once), np.flatnonzero(~gone.reshape(-1))
    with np.errstate(over="ignore", invalid="ignore"):
        for late in found.late.values():
            heard = np.where(late.weights != 0, np.abs(late.weights) * np.exp(-growth * late.ms), 0)
            sizes: Any = jax.tree.map(np.abs, late)
            most = most + between(sizes, heard, most.shape)
    return most[np.ix_(there, there)]


def _radius(matrix: np.ndarray) -> float:
    """What the spectral radius of a matrix without negative entries does not exceed, by Collatz's and Wielandt's quotients."""
    way = np.ones(len(matrix))
    with np.errstate(over="ignore", invalid="ignore"):
        for _ in range(_POWERS):
            way = matrix @ way / np.linalg.norm(way) + 1e-9
        return 1.01 * float((matrix @ way / way).max())


def _likely(found: Slopes, gone: np.ndarray, rates: np.ndarray, rounding: float) -> Iterator[int]:
    r"""Those of a collocation's eigenvalues that may be rates of modes: it has some of its own, which may look as if they lasted longest.

    Of $(\lambda - A) v = B(\lambda) v$ follows that no rate of a mode has $\rho(|\lambda - \mathrm{diag} A|^{-1} M) < 1$, with M as `_sizes`
    without the diagonal of A. What is hardly coupled has the rates of that diagonal, but for rounding.
    """
    diagonal = np.diagonal(found.at_once)[~gone.reshape(-1)]
    longest = _longest(found)

    @functools.cache
    def others(place: int) -> np.ndarray:
        matrix = _sizes(found, gone, place * _NEAR / longest)
        return matrix - np.diag(np.abs(diagonal))

    for i, rate in enumerate(rates):
        away = np.abs(rate - diagonal)
        if (away <= rounding).any() or not _radius(
            others(int(np.floor(rate.real * longest / _NEAR))) / away[:, None]
        ) < 1:
            yield i


def _longest(found: Slopes) -> float:
    """The longest delay, ms."""
    return max(float(late.ms[late.weights != 0].max(initial=0.0)) for late in found.late.values())


def _points(found: Slopes, gone: np.ndarray, growth: float) -> int:
    """Points on the past that tell a mode of this growth or more: it swings no faster than the largest rate."""
    enough = _FEWEST + _radius(_sizes(found, gone, growth)) * _longest(found) / 2
    return int(np.ceil(enough)) if enough < _POINTS else _POINTS


def _with_past(found: Slopes, count: int) -> np.ndarray:
    r"""A matrix whose eigenvalues are near those of the delayed network: the state, and what was sent, at Chebyshev points of the past.

    What is sent travels into the past unchanged, $\partial_t z = \partial_\theta z$; now it is what the state sends.
    """
    n = len(found.at_once)
    points, slopes_ = _chebyshev(count)
    blocks, size = [], n
    for late in found.late.values():
        longest = float(late.ms[late.weights != 0].max(initial=0.0)) or 1.0
        features, nodes = late.sent.shape[0], late.sent.shape[2]
        send = np.einsum("ftj,jk->fjtk", late.sent, np.eye(nodes)).reshape(features * nodes, n)
        feel = np.einsum("sfi,ik->sifk", late.felt, np.eye(nodes)).reshape(n, features * nodes)
        blocks.append((late, longest, send, feel, size))
        size += count * features * nodes
    whole_ = np.zeros((size, size))
    whole_[:n, :n] = found.at_once
    for late, longest, send, feel, first in blocks:
        width = len(send)
        derivative = slopes_ * (2 / longest)
        shares = _lagrange(points, 1 - 2 * np.minimum(late.ms, longest) / longest)  # (point, target, source)
        features = late.sent.shape[0]
        for m in range(count + 1):
            heard = np.kron(np.eye(features), late.weights * shares[m])
            block = feel @ heard
            if m == 0:
                whole_[:n, :n] += block @ send
            else:
                at = first + (m - 1) * width
                whole_[:n, at : at + width] += block
        for m in range(1, count + 1):
            rows = slice(first + (m - 1) * width, first + m * width)
            whole_[rows, :n] += derivative[m, 0] * send
            for k in range(1, count + 1):
                columns = slice(first + (k - 1) * width, first + k * width)
                whole_[rows, columns] += derivative[m, k] * np.eye(width)
    return whole_


@functools.cache
def _chebyshev(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Points from 1 (now) to -1 (the longest delay ago), and the derivative there of the polynomial through them."""
    points = np.cos(np.pi * np.arange(count + 1) / count)
    c = np.r_[2.0, np.ones(count - 1), 2.0] * (-1.0) ** np.arange(count + 1)
    apart = points[:, None] - points[None, :] + np.eye(count + 1)
    found = np.outer(c, 1 / c) / apart
    np.fill_diagonal(found, 0.0)
    return points, found - np.diag(found.sum(1))


def _lagrange(points: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Values at places of the polynomials that are 1 at one of the points and 0 at the others, `(point, *place)`."""
    found = np.ones((len(points), *at.shape))
    for m, own in enumerate(points):
        for k, other in enumerate(points):
            if k != m:
                found[m] *= (at - other) / (own - other)
    return found


def _shapes_of(found: Slopes, rate: complex) -> np.ndarray:
    """All shapes that a root of the characteristic equation has, `(shape, flat)`."""
    jacobian = np.asarray(found.jacobian(rate))
    matrix = np.eye(len(jacobian)) * rate - jacobian
    _, sizes, rows = np.linalg.svd(matrix if rate.imag else matrix.real)
    many = max(int((sizes < 1e-9 * (abs(rate) + np.abs(jacobian).max())).sum()), 1)
    return rows[len(rows) - many :].conj().astype(complex)


def _multiple(found: Slopes, rate: complex) -> complex | None:
    """A root near a guess by its smallest singular value, which several modes of one rate do not disturb; None where there is none."""
    start = rate
    for _ in range(_NEWTON):
        matrix = np.eye(len(found.at_once)) * rate - np.asarray(found.jacobian(rate))
        left, sizes, right = np.linalg.svd(matrix)
        bends = left[:, -1].conj() @ (np.eye(len(matrix)) - np.asarray(found.slope(rate))) @ right[-1].conj()
        if not abs(bends) > 0:
            return None
        move = -sizes[-1] / bends
        rate = complex(rate + move)
        if not np.isfinite(rate) or abs(rate - start) > 0.5 * (abs(start) + sizes[0]):
            return None
        if abs(move) < 1e-12 * (abs(rate) + sizes[0]):
            return rate
    return None


def _newton(found: Slopes, rate: complex, shape: np.ndarray) -> tuple[complex, np.ndarray] | None:
    """A root of the characteristic equation near a guess, and its vector; None where there is none."""
    if not np.linalg.norm(shape) > 0:
        return None
    shape = shape / np.linalg.norm(shape)
    first, n = shape.conj(), len(shape)
    # a rate of zero, as where stability is lost, is exact to rounding beside the others alone
    size = np.abs(np.asarray(found.jacobian(0.0))).max()
    for _ in range(_NEWTON):
        matrix = np.eye(n) * rate - np.asarray(found.jacobian(rate))
        bent = (np.eye(n) - np.asarray(found.slope(rate))) @ shape
        whole_ = np.block([[matrix, bent[:, None]], [first[None], np.zeros((1, 1))]])
        try:
            move = np.linalg.solve(whole_, -np.r_[matrix @ shape, first @ shape - 1])
        except np.linalg.LinAlgError:
            return None
        shape, rate = shape + move[:-1], complex(rate + move[-1])
        if not np.isfinite(rate):
            return None
        if abs(move[-1]) < 1e-12 * (abs(rate) + size):
            return rate, shape / np.linalg.norm(shape)
    return None
