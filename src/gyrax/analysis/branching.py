"""Fixed points followed while a parameter moves: round folds, with what becomes of their stability."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array
from scipy.optimize import brentq

from .._kinds import expect, number, shown, whole
from .._progress import tqdm
from .._types import State
from .._warned import warn
from ..network.network import Network
from ..parameters.addresses import Where, domains
from ..parameters.selection import Free
from .branches import Branch
from .curves import Curve, Point, as_array, back_to, jacobian, moved, rates_at
from .resting import newton, rest
from .slopes import absent, check_simple
from .stability import checked_state
from .within import beyond, worst

#: The cosine of how far a branch may turn from one point to the next.
_BENT = 0.9
#: A step is as much shorter, or longer, after one that failed or did not.
_SHORTER, _LONGER = 0.5, 1.5
#: Of the longest step, from which on there is no way ahead.
_SHORTEST = 1e-6
#: Of a step, to where a state reaches a limit.
_HALVINGS = 40
#: Modes that a branch keeps.
_MODES = 6


def continuation(
    network: Network,
    parameter: Where | Free,
    between: tuple[float, float] | list[float] | np.ndarray,
    *,
    start: Any = None,
    step: float = 0.02,
    points: int = 1000,
    progress: bool | str = False,
) -> Branch:
    r"""Follows a fixed point of a network while a parameter moves, round folds, with its stability and where that changes.

    Pseudo-arclength continuation (Keller 1977, "Numerical solution of bifurcation and nonlinear eigenvalue problems"): steps along the
    tangent of the branch, and Newton's method back to it, perpendicular to the tangent. Folds (the tangent turns), Hopf points (a pair
    of modes begins to grow) and branch points (a mode does, and the branch does not turn: others meet it) are located to rounding.
    Delays do not move fixed points, but decide on their stability. A mode that grows and dies again within one step is not seen.

    Args:
        network: without a stimulus; noise is left out. The branch goes through the value that its parameter has.
        parameter: what moves, one number: a dotted path, a function such as `lambda n: n.model.w`, or `gx.Free(where, domain=)` to let it
            leave the domain that it was declared with.
        between: the lowest and the highest value; the branch is followed both ways until it leaves them.
        start: which fixed point, `(state, region)`, such as of `fixed_points`; left out, the one to which a run would come.
        step: the longest, in shares of the range of the parameter and of the size of the states.
        points: at most so many each way.
        progress: show a bar; a text is its title.

    A `RuntimeWarning` tells of a branch that ends elsewhere than at an end of the range, as where a state reaches one of the model's `limits`.

    Raises:
        ValueError: for a parameter that is not one number, values outside of its domain, a start that leads to no fixed point, or beyond the
            model's limits, a stimulus.

    Example:
        >>> import gyrax as gx
        >>> net = gx.Network(gx.models.Hopf(a=-0.3, omega=0.1), gx.couplings.Linear(source="x", target="c_x"), np.zeros((1, 1)))
        >>> branch = continuation(net, "model.a", (-0.5, 0.5))
        >>> branch
        Branch of 1 region: model.a from -0.5 to 0.5 in 56 points
          hopf at 0, 15.92 Hz
          stable from -0.5 to 0
    """
    expect("network", network, Network, "a network", "gx.Network(model, coupling, connectome)")
    check_simple(network)
    name, index, value, ends = _moved(network, parameter, between)
    step, points = number("step", step), whole("points", points, 2)
    if not 0 < step <= 1:
        raise ValueError(f"step is a share of the range, above 0 and at most 1, got {step}")
    expect("progress", progress, (bool, str), "True, False or a title", "False")
    y = _begin(network, start)
    curve, first = _first(network, index, ends, y, value)
    bar = tqdm(desc=progress if isinstance(progress, str) else name, unit="point", disable=not progress)
    with bar:
        after, why = _follow(curve, first, step, points, bar)
        before, other = ([], why) if why == "closed" else _follow(curve, _back(first), step, points, bar)
    every = [_back(point) for point in before[::-1]] + [first] + after
    branch = _branch(network, name, every, (other, why))
    if not {other, why} <= {"end", "closed"}:
        warn(f"the branch {'; '.join(branch.failures)}")
    return branch


def _branch(network: Network, name: str, every: list[Point], why: tuple[str, str]) -> Branch:
    shape = len(network.model.states), network.n_nodes
    modes = max(min(len(point.rates), _MODES) for point in every)
    return Branch(
        name,
        np.array([point.place[-1] for point in every]),
        np.stack([point.place[:-1].reshape(shape) for point in every]),
        np.stack([np.r_[point.rates[:modes], np.full(max(modes - len(point.rates), 0), np.nan)] for point in every]),
        np.array([point.crossing for point in every]),
        tuple(point.kind for point in every),
        why,
        absent(network),
        network.model.states,
        network.labels,
    )


def _moved(network: Network, parameter: Any, between: Any) -> tuple[str, int, float, tuple[float, float]]:
    """Name, index and value of what moves, and how far it does."""
    where, own = (parameter.where, parameter.domain) if isinstance(parameter, Free) else (parameter, None)
    if isinstance(parameter, Free) and (parameter.mask is not None or parameter.basis is not None):
        raise ValueError(f"{parameter!r}: along a branch one number moves; leave mask= and basis= out")
    name, index = moved(network, where)
    leaf = jax.tree.leaves(network)[index]
    if jnp.size(leaf) != 1:
        raise ValueError(
            f"parameter: {name} has {jnp.size(leaf)} values, shape {jnp.shape(leaf)}, and along a branch one number moves: name one that is a "
            "single number for all regions, such as the strength of a coupling"
        )
    if not isinstance(between, tuple | list | np.ndarray) or len(between) != 2:
        raise TypeError(f"between= takes the lowest and the highest value of {name}, got {shown(between)}")
    low, high = (float(number("between", end)) for end in between)
    value = float(np.ravel(np.asarray(leaf))[0])
    if not (np.isfinite([low, high]).all() and low < high):
        raise ValueError(
            f"between is the lowest and then the highest value of {name}, both finite, got {low:g} and {high:g}"
        )
    slack = 1e-6 * (high - low)
    if not low - slack <= value <= high + slack:
        raise ValueError(
            f"between {low:g} and {high:g} there is no {name} = {value:.6g}, which the network has and the branch goes through: give it "
            "another first, or another between"
        )
    domain = own or domains(network)[index]
    for end in (low, high):
        if not bool(domain.admits(jnp.asarray(end))):
            raise ValueError(
                f"between reaches {name} = {end:g}, outside of its domain {domain!r}: end inside it, or give it another, "
                f"gx.Free({name!r}, domain=gx.Real())"
            )
    return name, index, min(max(value, low), high), (low, high)


def _begin(network: Network, start: Any) -> np.ndarray:
    """The fixed point that a branch goes through."""
    if start is None:
        y, settled = _come_to_rest(network, jnp.asarray(network.start(), jnp.result_type(float)))
    else:
        y, settled = _refined(network, checked_state(network, start, "start"))
    if not settled:
        raise ValueError(
            f"the {'network' if start is None else 'given'} start leads to no state in which the network stands still: give a start nearer "
            "to one; gx.analysis.fixed_points(network) finds some"
        )
    if np.asarray(beyond(network, y)).any():
        raise ValueError(
            f"the {'network' if start is None else 'given'} start leads beyond the model's limits, where no run goes: {worst(network, y)}. Give a "
            "start nearer to a fixed point within them; gx.analysis.fixed_points(network) finds some"
        )
    return np.asarray(y, float)


@eqx.filter_jit
def _come_to_rest(network: Network, start: State) -> tuple[State, Array]:
    return rest(network, start)


@eqx.filter_jit
def _refined(network: Network, start: State) -> tuple[State, Array]:
    return newton(network, start)


def _first(network: Network, index: int, ends: tuple[float, float], y: np.ndarray, value: float) -> tuple[Curve, Point]:
    """The curve through a fixed point, and this as a point of it, in the direction in which the parameter grows."""
    place, reach = np.r_[y.reshape(-1), value], ends[1] - ends[0]
    plain = Curve(network, np.ones(len(place)), index, ends)
    way = np.linalg.svd(np.asarray(jacobian(plain, as_array(place)), float))[2][-1]
    # a state that is zero has no size of its own: by how much it would change over the range, or one
    moves = np.abs(way[:-1] / way[-1]).reshape(y.shape).max(1) * reach / 10 if abs(way[-1]) > 1e-6 else np.zeros(len(y))
    sizes = np.maximum(np.abs(y).max(1), moves)
    sizes = np.where(sizes > 1e-9, sizes, 1.0)
    curve = Curve(network, np.r_[np.repeat(sizes, y.shape[1]), reach], index, ends)
    way = way * (np.sign(way[-1]) or 1.0)
    rates = rates_at(curve, place)
    return curve, Point(place, way, rates, crossing=rates[0])


def _back(point: Point) -> Point:
    return point._replace(way=-point.way)


def _grown(curve: Curve, place: np.ndarray) -> Curve:
    """The curve in units of states as large as they have become."""
    now = np.repeat(np.abs(place[:-1]).reshape(curve.shape).max(1), curve.shape[1])
    return eqx.tree_at(lambda c: c.sizes, curve, np.r_[np.maximum(curve.sizes[:-1], now), curve.sizes[-1]])


def _follow(curve: Curve, first: Point, longest: float, most: int, bar: Any) -> tuple[list[Point], str]:
    """The points after the first one, with those where stability changes; and why there are no more."""
    last, found, h, count = first, [], longest / 4, 0
    while count < most:
        curve = _grown(curve, last.place)
        if _at_the_end(curve, last):
            return found, "end"
        ahead = _ahead(curve, last, h)
        if ahead is None:
            h *= _SHORTER
            if h < _SHORTEST * longest:
                return found, "lost"
            continue
        if np.asarray(beyond(curve.network, _state(curve, ahead))).any():
            return found + _to_the_limit(curve, last, ahead), "limit"
        if count > 2 and _passes(curve, last, ahead, first):
            return [*found, *_between(curve, last, first), first], "closed"
        found += [*_between(curve, last, ahead), ahead]
        last, h, count = ahead, min(h * _LONGER, longest), count + 1
        bar.update()
    return found, "most"


def _state(curve: Curve, point: Point) -> np.ndarray:
    return point.place[:-1].reshape(curve.shape)


def _to_the_limit(curve: Curve, last: Point, ahead: Point) -> list[Point]:
    """What lies between a point and one beyond the model's limits, up to where the branch reaches them."""
    at, whole_ = _way(curve, last, ahead)
    inside, outside = 0.0, whole_
    gone = absent(curve.network)
    for _ in range(_HALVINGS):
        middle = (inside + outside) / 2
        state = as_array(at(middle)[0][:-1].reshape(curve.shape))
        if bool(((curve.network.model.limit(state) == state) | gone).all()):
            inside = middle
        else:
            outside = middle
    between = [p for p in _between(curve, last, ahead) if not np.asarray(beyond(curve.network, _state(curve, p))).any()]
    place, way = at(inside)
    if inside == 0.0 or any(np.allclose(point.place, place, rtol=1e-6, atol=1e-9) for point in between):
        return between
    rates = rates_at(curve, place)
    return [*between, Point(place, way, rates, crossing=rates[0])]


def _at_the_end(curve: Curve, point: Point) -> bool:
    """Whether the branch leaves the range of the parameter here."""
    low, high = curve.ends
    near = 1e-9 * (high - low)
    value, way = point.place[-1], point.way[-1]
    return bool((value >= high - near and way >= 0) or (value <= low + near and way <= 0))


def _ahead(curve: Curve, last: Point, h: float) -> Point | None:
    """The next point, on the edge of the range if it would be beyond; None where the step is too long."""
    place, way = last.place / curve.sizes, _unit(curve, last.way / curve.sizes)
    low, high = (end / curve.sizes[-1] for end in curve.ends)

    def near(guess: np.ndarray, normal: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
        found = _arrived(curve, guess, normal, way)
        if found is None or found[1] @ (way * curve.metric) < _BENT:
            return None
        # further off than that it may be another branch
        return found if curve.norm(found[0] - guess) <= 0.5 * curve.norm(guess - place) + 1e-9 else None

    guess, end = place + h * way, None
    found = near(guess, way * curve.metric) if low <= guess[-1] <= high else (guess, way)
    if found is not None and not low <= found[0][-1] <= high:
        end = int(found[0][-1] > high)
        edge = (low, high)[end]
        guess = place + (edge - place[-1]) / (found[0][-1] - place[-1]) * (found[0] - place)
        guess[-1] = edge
        found = near(guess, np.eye(len(place))[-1])
    if found is None:
        return None
    new = found[0] * curve.sizes
    new[-1] = new[-1] if end is None else curve.ends[end]
    rates = rates_at(curve, new)
    return Point(new, found[1] * curve.sizes, rates, crossing=rates[0])


def _arrived(
    curve: Curve, guess: np.ndarray, normal: np.ndarray, way: np.ndarray
) -> tuple[np.ndarray, np.ndarray] | None:
    """The place on the branch beside a guess and the direction there, onwards; None where there is none."""
    place, turned, good = back_to(curve, as_array(guess), as_array(normal))
    if not good:
        return None
    turned = _unit(curve, np.asarray(turned, float))
    return np.asarray(place, float), turned * (np.sign(turned @ (way * curve.metric)) or 1.0)


def _unit(curve: Curve, way: np.ndarray) -> np.ndarray:
    return way / curve.norm(way)


def _passes(curve: Curve, last: Point, ahead: Point, first: Point) -> bool:
    """Whether the branch has come round to where it began."""
    way, to = (ahead.place - last.place) / curve.sizes, (first.place - last.place) / curve.sizes
    length = curve.norm(way)
    along = (way * curve.metric) @ to / length
    return bool(0 <= along <= length and curve.norm(to - along * way / length) < 0.1 * length)


def _way(curve: Curve, last: Point, ahead: Point) -> tuple[Callable[[float], tuple[np.ndarray, np.ndarray]], float]:
    """Place and direction of the branch between two points by how far ahead; and how far the second one is."""
    way = _unit(curve, last.way / curve.sizes)
    place, normal = last.place / curve.sizes, way * curve.metric
    whole_ = float(normal @ (ahead.place / curve.sizes - place))

    def at(s: float) -> tuple[np.ndarray, np.ndarray]:
        if s in (0.0, whole_):
            point = ahead if s else last
            return point.place, point.way
        found = _arrived(curve, place + s * way, normal, way)
        return (last.place, last.way) if found is None else (found[0] * curve.sizes, found[1] * curve.sizes)

    return at, whole_


def _between(curve: Curve, last: Point, ahead: Point) -> list[Point]:
    """Where stability changes, or the branch turns, on the way from one point to the next."""
    at, whole_ = _way(curve, last, ahead)
    found: list[tuple[float, Point]] = []
    if last.way[-1] * ahead.way[-1] < 0:
        s = _zero(lambda s: at(s)[1][-1], whole_)
        rates = rates_at(curve, at(s)[0])
        found.append((s, Point(*at(s), rates, "fold", complex(rates[np.abs(rates).argmin()]))))
    for s, rates, crossing in _crossings(curve, lambda s: at(s)[0], last, ahead, whole_):
        swings = abs(crossing.imag) > 1e-7 * np.abs(rates).max()
        turns = any(point.kind == "fold" and abs(s - other) < 0.02 * whole_ for other, point in found)
        if swings or not turns:
            found.append((s, Point(*at(s), rates, "hopf" if swings else "branch point", crossing)))
    return [point for _, point in sorted(found, key=lambda pair: pair[0])]


def _crossings(
    curve: Curve, at: Callable[[float], np.ndarray], last: Point, ahead: Point, whole_: float
) -> list[tuple[float, np.ndarray, complex]]:
    """Where the number of modes that grow changes: how far ahead, all rates there, and that which crosses.

    In the order of their real parts, the k-th of these is a continuous function of the way, whatever modes do.
    """
    ends = last.rates, ahead.rates
    small = [_small(rates) for rates in ends]
    counts = [int((np.real(rates) > near).sum()) for rates, near in zip(ends, small, strict=True)]
    found: list[tuple[float, np.ndarray, complex]] = []
    for k in range(min(counts), max(counts)):
        if any(k >= len(rates) for rates in ends):
            continue

        def growth(s: float, k: int = k) -> float:
            rates = last.rates if s == 0 else ahead.rates if s == whole_ else rates_at(curve, at(s))
            return float(np.real(rates[min(k, len(rates) - 1)]))

        near = [abs(rates[k].real) <= limit for rates, limit in zip(ends, small, strict=True)]
        s = 0.0 if near[0] else whole_ if near[1] else _zero(growth, whole_)
        rates = rates_at(curve, at(s))
        crossing = complex(rates[k].real, abs(rates[k].imag))
        same = 1e-6 * (np.abs(rates).max() + 1e-300)
        if not any(abs(s - t) < 1e-4 * whole_ and abs(crossing.imag - other.imag) < same for t, _, other in found):
            found.append((s, rates, crossing))
    return found


def _small(rates: np.ndarray) -> float:
    """A real part that rounding leaves of zero."""
    return (1e-9 if jnp.result_type(float) == jnp.float64 else 1e-5) * float(np.abs(rates).max())


def _zero(function: Callable[[float], float], end: float) -> float:
    """Where a function of the way changes its sign."""
    if function(0.0) * function(end) > 0:
        return end
    digits = 1e-12 if jnp.result_type(float) == jnp.float64 else 1e-6
    found: Any = brentq(function, 0.0, end, xtol=digits * end)
    return float(found)
