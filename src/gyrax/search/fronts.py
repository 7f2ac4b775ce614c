"""Fits to several terms at once: the models that no other one beats in all of them."""

import dataclasses
import functools
import time
from collections.abc import Callable, Mapping
from typing import Any, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, PyTree

from .._extras import need
from .._kinds import expect, number, refused, whole
from .._pictures import draw
from .._progress import tqdm
from ..fitting.descent import Validation
from ..fitting.objective import AbstractObjective, keys_of
from ..fitting.training import held_out
from ..parameters.splitting import Fixed, join
from .pareto import Downhill
from .walking import check_validation, task

#: What a term counts that is not finite.
_WORST = 1e30
#: How far a point moves at the first step downhill, on the real line.
_STEP = 0.05


@dataclasses.dataclass(frozen=True)
class Front:
    """Models of which none is beaten by another in all terms. Made by `front`, in the order of the first term, best first.

    Attributes:
        models: one a point.
        terms: `(point, term)`, means over noise that the search never saw, or of the search's own if it hears none.
        sd: the same, standard deviations over that noise; NaN without.
        goals: by term 'min' or 'max'.
        history: of the search, the terms of the best of each generation, `(generation, term)`.
        seconds: wall time.
    """

    models: list[Any]
    terms: Float[np.ndarray, "point term"]
    sd: Float[np.ndarray, "point term"]
    goals: dict[str, str]
    history: Float[np.ndarray, "generation term"]
    seconds: float

    def __len__(self) -> int:
        """Number of points."""
        return len(self.models)

    def to_xarray(self) -> xr.Dataset:
        """The terms and their scatter over noise, with a dimension 'point'."""
        coords = {"point": np.arange(len(self)), "term": list(self.goals)}
        return xr.Dataset({"mean": (("point", "term"), self.terms), "sd": (("point", "term"), self.sd)}, coords=coords)

    def balanced(self) -> int:
        """The point nearest to the best of each term, where each term's range over the front counts as one.

        Example:
            >>> terms = np.array([[0.0, 1.0], [0.1, 0.1], [1.0, 0.0]])
            >>> Front([None] * 3, terms, 0 * terms, {"a": "min", "b": "min"}, terms, 0.0).balanced()
            1
        """
        signed = self.terms * _signs(self.goals)
        low, width = signed.min(0), np.ptp(signed, axis=0)
        return int(np.argmin((((signed - low) / np.where(width > 0, width, 1.0)) ** 2).sum(1)))

    def plot(self, ax: Any = None) -> Any:
        """The first term against each other one, with the scatter over unseen noise; returns the matplotlib axes."""
        return draw("fronts.front", self.terms, self.sd, list(self.goals), best=self.balanced(), ax=ax)

    def __repr__(self):
        lines = [f"Front of {len(self)} models, {self.seconds:.1f} s"]
        at = self.balanced()
        for i, (name, goal) in enumerate(self.goals.items()):
            column = self.terms[:, i]
            lines.append(f"  {name} ({goal}): {column.min():.4g} to {column.max():.4g}, balanced {column[at]:.4g}")
        return "\n".join(lines)


def front(
    model: Any,
    loss: Callable[[Any, Any], Any],
    spec: PyTree,
    *,
    terms: Mapping[str, Literal["min", "max"]],
    generations: int = 40,
    population: int = 40,
    refine: int = 20,
    within: float = 2.0,
    key: Any = None,
    realisations: int = 1,
    validation: Validation | Literal["auto"] | None = "auto",
    progress: bool | str = True,
) -> Front:
    """The models that no other one beats in all of several terms, such as FC and frequency.

    NSGA-II (Deb et al. 2002, "A fast and elitist multiobjective genetic algorithm"; pymoo's), all candidates of a generation
    simulated side by side on the same noise; then every point is moved downhill in all terms at once by gradient (Desideri 2012),
    the whole front side by side; then it is judged on noise that it never saw, and whatever is beaten there is left out.

    Args:
        model: a Network, any other Module, or a tuple or dict of them.
        loss: `loss(model, key)`, a scalar and a dict of named scalars.
        spec: which leaves are free: `gx.select(model, ...)`.
        terms: by name, 'min' or 'max': two or more of the loss's terms, or 'loss' for its value.
        generations: of the search.
        population: candidates of each.
        refine: steps by gradient after it; 0 for none, as where terms have no gradient.
        within: candidates lie so far around the start at most, in each number on the real line, where one is about the size of a parameter.
        key: `jax.random.key(...)`, or a whole number as its seed. All of the search hears the same noise.
        realisations: the terms are means over so many keys, computed side by side.
        validation: noise on which the front is judged. Left out, it is `gx.Validation()` if the loss hears noise.
        progress: show a bar; a text is its title.

    Raises:
        ImportError: without pymoo, which `pip install 'gyrax[search]'` brings.
        ValueError: for fewer than two terms, one that the loss does not have, or arguments out of range.
        FloatingPointError: if no candidate has finite terms, or none on unseen noise.
        TypeError: for what is of another kind.

    Example:
        >>> import gyrax as gx
        >>> model = gx.models.Linear(gamma=-0.5)
        >>> loss = lambda m, key: (m.gamma**2, {"near_1": (m.gamma + 1.0) ** 2, "near_2": (m.gamma + 2.0) ** 2})
        >>> goals = {"near_1": "min", "near_2": "min"}
        >>> found = front(model, loss, gx.select(model, "gamma"), terms=goals, generations=10, population=8, progress=False)
        >>> bool((found.terms.sum(1) < 1.1).all())
        True
    """
    began = time.perf_counter()
    whole("generations", generations)
    whole("population", population, 4)
    whole("refine", refine, 0)
    check_validation(validation)
    if not number("within", within) > 0:
        raise ValueError(f"within, how far candidates lie around the start, is a positive number, got {within}")
    what = task(model, loss, spec, key, realisations, progress)
    goals = _goals(terms, what.terms)
    held = held_out(validation, what.noisy, 5, what.objective, model, what.key)[0]
    flat, _ = ravel_pytree(what.free)
    keys = keys_of(what.key, realisations)
    names, signs = tuple(goals), jnp.asarray(_signs(goals), flat.dtype)
    title = progress if isinstance(progress, str) else "front"
    with tqdm(total=generations + refine, desc=title, unit="step", disable=not progress) as bar:
        terms_of = functools.partial(_terms, what.objective, what.free, names=names, keys=keys)

        def judged(points: np.ndarray) -> np.ndarray:
            return np.asarray(terms_of(jnp.asarray(points, flat.dtype)) * signs)

        points, history = _nsga(judged, np.asarray(flat), within, population, generations, what.key, bar)
        points = jnp.asarray(points, flat.dtype)
        if refine:
            points = _refined(what.objective, what.free, points, names, signs, keys, refine, bar)
    unseen = keys if held is None else held.keys
    objective = what.objective if held is None else held.objective
    each = np.stack(
        [
            np.asarray(_terms(objective, what.free, points, names=names, keys=unseen[i : i + 1]))
            for i in range(len(unseen))
        ]
    )
    mean = each.mean(0)
    sd = np.full(mean.shape, np.nan) if held is None or len(unseen) < 2 else each.std(0, ddof=1)
    kept = _unbeaten(mean * np.asarray(signs))
    if not len(kept):
        raise FloatingPointError("no point of the front has finite terms on unseen noise: give more realisations")
    models = [_model(points[i], what.free, what.fixed) for i in kept]
    return Front(models, mean[kept], sd[kept], goals, history * np.asarray(signs), time.perf_counter() - began)


def _goals(terms: Any, known: list[str]) -> dict[str, str]:
    """What is to become small and what large."""
    expect("terms", terms, Mapping, "a dict by the name of a term", "{'r': 'max', 'frequency': 'min'}")
    goals = dict(terms)
    every = ["loss", *known]
    for name, goal in goals.items():
        if name not in every:
            raise ValueError(f"the loss has no term {name!r}; it has {', '.join(every)}")
        if goal not in ("min", "max"):
            raise refused(f"terms[{name!r}]", goal, "'min' or 'max'", f"{{{name!r}: 'min'}}")
    if len(goals) < 2:
        raise ValueError(f"a front is of two terms or more, got {list(goals)}; for one, use gx.fit or gx.search.evolve")
    return goals


def _signs(goals: Mapping[str, str]) -> Float[np.ndarray, " term"]:
    return np.array([1.0 if goal == "min" else -1.0 for goal in goals.values()])


def _model(point: Any, free: PyTree, fixed: Fixed) -> Any:
    return join(ravel_pytree(free)[1](point), fixed)


def _named(objective: AbstractObjective, free: PyTree, keys: Array, names: tuple[str, ...]) -> Float[Array, " term"]:
    value, terms = objective.mean(free, keys)
    return jnp.stack([{"loss": value, **terms}[name] for name in names])


@eqx.filter_jit
def _terms(objective: AbstractObjective, free: PyTree, points: Array, *, names: tuple[str, ...], keys: Array) -> Array:
    """The terms of all points, one ensemble."""
    back = ravel_pytree(free)[1]
    return jax.vmap(lambda x: _named(objective, back(x), keys, names))(points)


def _slopes(
    objective: AbstractObjective, free: PyTree, points: Array, names: tuple[str, ...], signs: Array, keys: Array
) -> tuple[Array, Array]:
    """The same as what is to become small, and their gradients."""
    back = ravel_pytree(free)[1]

    def one(x: Array) -> tuple[Array, Array]:
        def signed(x: Array) -> Array:
            return _named(objective, back(x), keys, names) * signs

        value, pull = jax.vjp(signed, x)
        return value, jax.vmap(lambda row: pull(row)[0])(jnp.eye(len(names), dtype=value.dtype))

    return jax.vmap(one)(points)


def _nsga(
    judged: Callable[[np.ndarray], np.ndarray],
    start: np.ndarray,
    within: float,
    population: int,
    generations: int,
    key: Any,
    bar: Any,
) -> tuple[np.ndarray, np.ndarray]:
    """The unbeaten points of the last generation, and the best of each term over generations."""
    need("pymoo", "search")
    nsga2, core = need("pymoo.algorithms.moo.nsga2", "search"), need("pymoo.core.problem", "search")
    evaluator, static = need("pymoo.core.evaluator", "search"), need("pymoo.problems.static", "search")
    termination = need("pymoo.termination", "search")

    seed = int(jax.random.randint(key, (), 0, 2**31 - 1))
    draws = np.random.default_rng(seed)
    first: Any = start + within * draws.uniform(-1, 1, (population, start.size))
    first[0] = start
    count = judged(first[:1]).shape[1]
    problem = core.Problem(n_var=start.size, n_obj=count, xl=start - within, xu=start + within)
    algorithm: Any = nsga2.NSGA2(pop_size=population, sampling=first, eliminate_duplicates=True)
    algorithm.setup(problem, termination=termination.get_termination("n_gen", generations), seed=seed, verbose=False)
    history: list[np.ndarray] = []
    while algorithm.has_next():
        asked: Any = algorithm.ask()
        values = judged(_filled(asked.get("X"), population))[: len(asked)]
        finite = np.atleast_1d(np.isfinite(values).all(1))
        if not history and not finite.any():
            raise FloatingPointError(
                f"no candidate within {within:g} of the start on the real line has finite terms: give a smaller within="
            )
        evaluator.Evaluator().eval(static.StaticProblem(problem, F=np.where(finite[:, None], values, _WORST)), asked)
        algorithm.tell(infills=asked)
        history.append(np.where(algorithm.pop.get("F") < _WORST, algorithm.pop.get("F"), np.inf).min(0))
        bar.update(1)
    points, values = algorithm.pop.get("X"), algorithm.pop.get("F")
    return points[_unbeaten(np.where(values < _WORST, values, np.nan))], np.array(history)


def _filled(points: np.ndarray, count: int) -> np.ndarray:
    """As many points in every generation, so that one compiled call serves all."""
    points = np.asarray(points, float)
    return points if len(points) >= count else np.concatenate([points, np.repeat(points[-1:], count - len(points), 0)])


def _unbeaten(values: Float[np.ndarray, "point term"]) -> np.ndarray:
    """The points that no other beats, in the order of the first term; each once."""
    finite = np.flatnonzero(np.isfinite(values).all(1))
    _, first = np.unique(values[finite], axis=0, return_index=True)
    some = finite[first]
    beaten = [bool(((values[some] <= values[i]).all(1) & (values[some] < values[i]).any(1)).any()) for i in some]
    return some[~np.array(beaten, bool)] if len(some) else some


def _refined(
    objective: AbstractObjective,
    free: PyTree,
    points: Array,
    names: tuple[str, ...],
    signs: Array,
    keys: Array,
    steps: int,
    bar: Any,
) -> Array:
    """The points after so many steps downhill."""
    arguments = (objective, free, names, signs, keys)
    state = _first(*arguments, points)
    for _ in range(steps):
        state = _further(*arguments, state)
        bar.update(1)
    return state.points


@eqx.filter_jit
def _first(
    objective: AbstractObjective, free: PyTree, names: tuple[str, ...], signs: Array, keys: Array, points: Array
) -> Downhill:
    return Downhill.at(lambda x: _slopes(objective, free, x, names, signs, keys), points, _STEP)


@eqx.filter_jit
def _further(
    objective: AbstractObjective, free: PyTree, names: tuple[str, ...], signs: Array, keys: Array, state: Downhill
) -> Downhill:
    return state.moved(lambda x: _slopes(objective, free, x, names, signs, keys))
