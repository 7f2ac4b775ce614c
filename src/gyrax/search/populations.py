"""Searches by populations, which ask no gradient."""

import functools
import os
from collections.abc import Callable
from typing import Any, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Int, PyTree

from .._extras import need
from .._kinds import choice, number, whole
from .._warned import warn
from ..fitting.descent import HOPELESS, Validation
from ..fitting.objective import AbstractObjective, keys_of
from ..fitting.results import FitResult
from .walking import AbstractMethod, Carry, Moved, task, walked

#: Of evosax. The first learns how all pairs of numbers go together, the second each number's own size.
STRATEGIES = {"cma": "CMA_ES", "sep-cma": "Sep_CMA_ES"}
#: What candidates are drawn with; the noise of a generation folds its number in, and validation another constant.
_DRAWS = np.uint32(2**32 - 2)
#: Free numbers up to which 'auto' keeps the covariance of all pairs.
_ALL_PAIRS = 300


class Population(AbstractMethod):
    """A strategy of evosax: candidates around a mean, all of them one ensemble, and the mean moved towards the better ones."""

    objective: AbstractObjective
    key: Any
    sd: Array
    strategy: Any = eqx.field(static=True)
    name: str = eqx.field(static=True)
    realisations: int = eqx.field(static=True)
    noisy: bool = eqx.field(static=True)
    common: bool = eqx.field(static=True)
    small: float = eqx.field(static=True)
    hopeless: int = eqx.field(static=True, default=HOPELESS)

    def described(self) -> dict[str, str]:
        size = self.strategy.population_size
        return {
            "the method": f"{self.name} of {size} with sd {float(self.sd):g}",
            "noise": "common" if self.common else "new",
        }

    def _settings(self) -> Any:
        return self.strategy.default_params.replace(std_init=self.sd)

    def begin(self, free: PyTree) -> PyTree:
        flat, _ = ravel_pytree(free)
        return self.strategy.init(jax.random.fold_in(self.key, 0), flat, self._settings())

    def judged(self, before: PyTree, moved: Moved) -> PyTree:
        """The mean that the candidates of this move lay around, of which the history tells; the first is the start."""
        return before

    def keys(self, step: Int[Array, ""]) -> Array:
        """The noise of a generation: all candidates hear the same."""
        base = self.key if self.common else jax.random.fold_in(self.key, step)
        return keys_of(base, self.realisations)

    def move(self, free: PyTree, state: PyTree, step: Int[Array, ""], stalled: Int[Array, ""]) -> Moved:
        mean, back = ravel_pytree(free)
        asked, told = jax.random.split(jax.random.fold_in(jax.random.fold_in(self.key, _DRAWS), step))
        population, state = self.strategy.ask(asked, state, self._settings())
        size = len(population)
        # The mean is judged beside its candidates: it is what is found where noise makes the lowest one the luckiest.
        points = jax.vmap(back)(jnp.concatenate([population, mean[None]]))
        values, terms = self.objective.means(points, self.keys(step), size + 1)
        values, at_mean = values[:size], values[size]
        finite = jnp.isfinite(values)
        best = jnp.argmin(jnp.where(finite, values, jnp.inf))
        lowest = jnp.where(finite.any(), values[best], jnp.inf)
        # Strategies rank: whatever is not finite ranks last, all alike.
        highest = jnp.where(finite, values, -jnp.inf).max()
        ranked = jnp.where(finite, values, highest + jnp.abs(highest) + 1)
        later, _ = self.strategy.tell(told, population, ranked, state, self._settings())
        state = jax.tree.map(lambda new, old: jnp.where(finite.any(), new, old), later, state)
        spread = jnp.sqrt(((population - mean) ** 2).mean())
        at_mean = jnp.where(jnp.isfinite(at_mean), at_mean, jnp.nan)
        new = {"loss": at_mean, "lowest": lowest, "spread": spread} | {name: x[size] for name, x in terms.items()}
        lucky = self.noisy and not self.common
        at_mean_best = lucky | (at_mean <= lowest)
        where = jax.tree.map(lambda a, b: jnp.where(at_mean_best, a, b), free, back(population[best]))
        score = jnp.where(at_mean_best, at_mean, lowest)
        moved = back(state.mean)
        stalled = jnp.where(finite.any(), 0, stalled + 1)
        return Moved(moved, state, new, where, score, stalled, spread < self.small)


@functools.lru_cache(maxsize=32)
def _strategy(name: str, population: int, count: int, dtype: Any) -> Any:
    """One object for one size, by which JAX knows again what it has compiled."""
    kinds = need("evosax.algorithms", "search")
    return getattr(kinds, STRATEGIES[name])(population_size=population, solution=jnp.zeros(count, dtype))


def evolve(
    model: Any,
    loss: Callable[[Any, Any], Any],
    spec: PyTree,
    *,
    generations: int = 100,
    population: int | None = None,
    method: Literal["auto", "cma", "sep-cma"] = "auto",
    sd: float = 0.3,
    key: Any = None,
    realisations: int = 1,
    noise: Literal["new", "common"] = "new",
    validation: Validation | Literal["auto"] | None = "auto",
    checkpoint: str | os.PathLike[str] | None = None,
    progress: bool | str = True,
) -> FitResult:
    """Minimises a loss over the free leaves of a model by a population of candidates, without gradients.

    Evolution strategies with covariance matrix adaptation (Hansen 2016, "The CMA evolution strategy: a tutorial"; evosax's), on the
    real line of the domains, so that no candidate lies outside of them. All candidates of a generation are simulated side by side and hear
    the same noise. A candidate whose loss is not finite ranks last.

    Args:
        model: a Network, any other Module, or a tuple or dict of them.
        loss: `loss(model, key)`, a scalar, or a scalar and a dict of named scalars for the history. It need not be differentiable.
        spec: which leaves are free: `gx.select(model, ...)`.
        generations: how many.
        population: candidates of each; 4 + 3 log(free numbers) if left out, and more where the loss has many valleys.
        method: 'cma' learns how all pairs of free numbers go together, 'sep-cma' the size of each alone (Ros & Hansen 2008). 'auto'
            takes the first up to 300 free numbers, the second beyond.
        sd: how far the first candidates scatter around the start, on the real line, where one is about the size of a parameter.
        key: `jax.random.key(...)`, or a whole number as its seed.
        realisations: the loss is a mean over so many keys, computed side by side.
        noise: 'new' keys in every generation, or 'common' ones in all.
        validation: noise never searched on, by which the best mean of candidates is kept, as in `gx.fit`. Left out, it is
            `gx.Validation()` if the loss hears noise.
        checkpoint: a file to keep the state in. If it exists, the search goes on from there, bit for bit.
        progress: show a bar; a text is its title.

    Returns:
        A `gx.FitResult`, whose history has 'loss' (of the mean of the candidates), 'lowest' of them, their 'spread' on the real line,
        the loss's terms, and 'validation'. The first mean is the start. Its model is the mean that was best on validation noise; of a loss without
        noise, or with 'common' noise and no validation, the best of all candidates and means; without any, the last mean. It was stopped by
        'steps', 'converged' (the spread is no more than rounding), or 'interrupted'.

    Raises:
        ImportError: without evosax, which `pip install 'gyrax[search]'` brings.
        ValueError: for a start outside of its domain, a spec that frees nothing, or arguments out of range.
        FloatingPointError: if no candidate's loss was finite in ten generations in a row.
        TypeError: for what is of another kind.
        KeyboardInterrupt: before the first generation was finished; later, Ctrl-C gives what there is by then.

    Warns:
        RuntimeWarning: of generations without a finite loss.

    Example:
        >>> import gyrax as gx
        >>> model = gx.models.Linear(gamma=-0.5)
        >>> loss = lambda m, key: abs(m.gamma + 1.0)
        >>> found = gx.search.evolve(model, loss, gx.select(model, "gamma"), generations=60, progress=False)
        >>> round(float(found.model.gamma), 4)
        -1.0
    """
    whole("generations", generations)
    choice("method", method, ("auto", *STRATEGIES))
    choice("noise", noise, ("new", "common"))
    _check_sd(sd)
    what = task(model, loss, spec, key, realisations, progress)
    flat, _ = ravel_pytree(what.free)
    size = 4 + int(3 * np.log(flat.size)) if population is None else whole("population", population, 4)
    name = ("cma" if flat.size <= _ALL_PAIRS else "sep-cma") if method == "auto" else method
    strategy = _strategy(name, size, flat.size, flat.dtype)
    small, common = float(np.finfo(flat.dtype).eps ** (2 / 3)), noise == "common"
    made = Population(
        objective=what.objective,
        key=what.key,
        sd=jnp.asarray(sd, flat.dtype),
        strategy=strategy,
        name=name,
        realisations=realisations,
        noisy=what.noisy,
        common=common,
        small=small,
    )

    def look(record: dict[str, np.ndarray], carry: Carry) -> None:
        if int(carry.stalled) >= HOPELESS:
            raise FloatingPointError(
                f"no candidate's loss was finite in {HOPELESS} generations. Start where the model runs (run.failure says when and where "
                f"a state breaks), or let the candidates scatter less: sd={sd / 10:g}"
            )

    found = walked(
        what,
        made,
        ["lowest", "spread"],
        steps=generations,
        validation=validation,
        checkpoint=checkpoint,
        look=look,
        title="evolve",
        unit="generation",
        progress=progress,
        lucky=what.noisy and not common,
    )
    _tell_broken(found.history["lowest"], sd)
    return found


def _tell_broken(lowest: np.ndarray, sd: float) -> None:
    """Warns of generations in which there was no finite loss."""
    broken = np.flatnonzero(np.isinf(lowest))
    if len(broken):
        warn(
            f"no candidate's loss was finite in {len(broken)} of {len(lowest)} generations, the first of them {broken[0]}: let them scatter "
            f"less, sd={sd / 10:g}"
        )


def _check_sd(sd: float) -> None:
    if not 0 < number("sd", sd) < np.inf:
        raise ValueError(f"sd, how far the first candidates scatter, is a positive finite number, got {sd}")
