"""A search for a front under way: a population, steps downhill, and the file that has all of it."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, Int, PyTree

from .._devices import at_home, mapped
from ..fitting.checkpoint import Checkpoint
from ..fitting.descent import Held
from ..fitting.fingerprint import Fingerprint, as_read, of_objective
from ..fitting.objective import AbstractObjective, keys_of
from .genetic import Genetic
from .pareto import Downhill
from .walking import Task

#: How far a point moves at the first step downhill, on the real line.
_STEP = 0.05


def signs_of(goals: Mapping[str, str]) -> Float[np.ndarray, " term"]:
    """What makes all terms such that are to become small."""
    return np.array([1.0 if goal == "min" else -1.0 for goal in goals.values()])


def seed_of(key: Any) -> int:
    """The seed of what NumPy draws."""
    return int(jax.random.randint(key, (), 0, 2**31 - 1))


class Stand(eqx.Module):
    """What of a front a file keeps beside the search: the steps downhill, and where they led. Points are filled up to as many as there may be."""

    refined: Int[Array, ""]
    state: Downhill


@dataclasses.dataclass(frozen=True)
class Plan:
    """What stays the same in all of a search for a front."""

    what: Task
    goals: dict[str, str]
    first: Float[np.ndarray, "point number"]  # points of the first generation
    low: np.ndarray
    high: np.ndarray
    within: float
    realisations: int

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self.goals)

    @property
    def signs(self) -> Array:
        return jnp.asarray(signs_of(self.goals), self.dtype)

    @property
    def dtype(self) -> Any:
        return ravel_pytree(self.what.free)[0].dtype

    @property
    def keys(self) -> Array:
        """The noise of the search."""
        return keys_of(self.what.key, self.realisations)

    def blank(self) -> tuple[Stand, dict[str, np.ndarray]]:
        """Stand and record before anything was done."""
        count, terms = self.first.shape[1], len(self.goals)
        state = Downhill.at(jnp.zeros(self.first.shape, self.dtype), terms, _STEP)
        record = {"asked": np.empty((0, len(self.first), count)), "values": np.empty((0, len(self.first), terms))}
        return Stand(jnp.zeros((), jnp.int32), state), record

    def fingerprint(self, held: Held | None) -> Fingerprint:
        about = {
            "the method": f"NSGA-II of {len(self.first)} within {self.within:g}",
            "the terms": ", ".join(f"{name} {goal}" for name, goal in self.goals.items()),
            "the first generation": as_read(self.first),
        }
        what, judged = self.what, None if held is None else (held, 1)
        return of_objective(what.objective, what.free, judged, what.model, what.key, self.realisations, None, about)


@dataclasses.dataclass
class Walk:
    """A search under way: whatever is done is in the file before the next begins."""

    plan: Plan
    kept: Checkpoint
    spent: Callable[[], float]
    bar: Any
    stand: Stand
    record: dict[str, np.ndarray]

    def all(self, generations: int, refine: int) -> tuple[Array, np.ndarray, str]:
        """The points, the best of each term by generation, and why it ended."""
        plan = self.plan
        count = len(plan.goals)
        genetic = Genetic(plan.first, plan.low, plan.high, count, seed_of(plan.what.key), plan.within)
        points, stopped = jnp.asarray(plan.first, plan.dtype), "steps"
        try:
            for i in range(generations):
                self._generation(genetic, i)
            if generations:
                points = jnp.asarray(genetic.unbeaten(), plan.dtype)
            points = self._downhill(points, refine)
        except KeyboardInterrupt:
            if not genetic.history and not int(self.stand.refined):
                raise KeyboardInterrupt(
                    f"after 0 of {generations} generations and {refine} steps downhill: there is no front yet"
                ) from None
            stopped = "interrupted"
            if generations:
                points = jnp.asarray(genetic.unbeaten(), plan.dtype)
            if int(self.stand.refined):
                points = self.stand.state.points[: len(points)]
        history = np.array(genetic.history).reshape(-1, count) * signs_of(plan.goals)
        return points, history, stopped

    def _generation(self, genetic: Genetic, i: int) -> None:
        plan, record = self.plan, self.record
        asked = genetic.ask()
        if i < len(record["values"]):
            if not np.array_equal(asked, record["asked"][i]):
                raise ValueError(
                    f"{self.kept.path} was written with another version of pymoo or NumPy, which draws other candidates: "
                    "go on with that one, or give another file"
                )
            values = record["values"][i]
        else:
            points = jnp.asarray(asked, plan.dtype)
            found = terms_of(plan.what.objective, plan.what.free, points, names=plan.names, keys=plan.keys)
            values = np.asarray(found * plan.signs, float)
            new = {"asked": asked, "values": values}
            self.record = {name: np.concatenate([record[name], new[name][None]]) for name in record}
            self.kept.save(self.stand, self.record, self.spent())
        genetic.tell(values)
        self.bar.update(1)

    def _downhill(self, points: Array, steps: int) -> Array:
        """The points after so many steps."""
        plan, done = self.plan, int(self.stand.refined)
        arguments = (plan.what.objective, plan.what.free, plan.names, plan.signs, plan.keys)
        self.bar.update(done)
        if done == steps == 0:
            return points
        if done:
            state = jax.tree.map(lambda x: x[: len(points)], self.stand.state)
        else:
            state = _further(*arguments, Downhill.at(points, len(plan.goals), _STEP))
        for step in range(done, steps):
            state = at_home(_further(*arguments, state))  # which waits: what the bar says is done
            filled = jax.tree.map(lambda x, y: y.at[: len(x)].set(x), state, self.stand.state)
            self.stand = Stand(jnp.asarray(step + 1, jnp.int32), filled)
            self.kept.save(self.stand, self.record, self.spent())
            self.bar.update(1)
        return state.points


def judged(plan: Plan, held: Held | None, points: Array) -> tuple[np.ndarray, np.ndarray]:
    """Means and standard deviations of the terms over unseen noise; of the search's own without."""
    keys, objective = (plan.keys, plan.what.objective) if held is None else (held.keys, held.objective)
    each = [
        terms_of(objective, plan.what.free, points, names=plan.names, keys=keys[i : i + 1]) for i in range(len(keys))
    ]
    values = np.stack([np.asarray(x) for x in each])
    mean = values.mean(0)
    return mean, np.full(mean.shape, np.nan) if held is None or len(keys) < 2 else values.std(0, ddof=1)


def _named(objective: AbstractObjective, free: PyTree, keys: Array, names: tuple[str, ...]) -> Float[Array, " term"]:
    value, terms = objective.mean(free, keys)
    return jnp.stack([{"loss": value, **terms}[name] for name in names])


@eqx.filter_jit
def terms_of(
    objective: AbstractObjective, free: PyTree, points: Array, *, names: tuple[str, ...], keys: Array
) -> Array:
    """The terms of all points, one ensemble."""
    back = ravel_pytree(free)[1]
    return mapped(lambda x: _named(objective, back(x), keys, names), points)


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

    return mapped(one, points)


@eqx.filter_jit
def _further(
    objective: AbstractObjective,
    free: PyTree,
    names: tuple[str, ...],
    signs: Array,
    keys: Array,
    state: Downhill,
) -> Downhill:
    return state.moved(lambda x: _slopes(objective, free, x, names, signs, keys))
