"""Draws from a posterior by its gradient: the No-U-Turn sampler."""

from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PyTree

from .._devices import mapped
from .._extras import need
from .._kinds import expect, number, random_key, whole
from ..fitting.blocks import compiled_steps, in_blocks
from ..fitting.space import vector_of
from .density import LogDensity, log_density
from .posterior import Posterior, told

#: Steps that one call into XLA may take.
_BLOCK = 64
#: Free numbers up to which the covariance is learnt as a whole, and not each number's variance alone.
_DENSE = 50
#: How far from the start chains begin on the real line, and how many places are tried for each.
_APART, _TRIES = 0.5, 4


def nuts(
    model: PyTree,
    loss: Callable[[Any, Any], Any],
    spec: PyTree,
    *,
    priors: Mapping[Any, Any] | None = None,
    chains: int = 4,
    warmup: int = 500,
    draws: int = 500,
    target_accept: float = 0.8,
    noise: Literal["fixed"] | None = None,
    realisations: int = 1,
    key: Any = None,
    progress: bool | str = True,
) -> Posterior:
    """Draws from the posterior by NumPyro's No-U-Turn sampler, all chains side by side.

    (Hoffman and Gelman 2014, "The No-U-Turn Sampler: adaptively setting path lengths in Hamiltonian Monte Carlo", JMLR 15.)
    Step size and covariance are learnt while it warms up.

    Args:
        model: a Network, any other Module, or a tuple or dict of them; around it chains begin, so best that of a fit.
        loss: `loss(model, key)`, minus a log-likelihood in nats, as `log_density` has it.
        spec: which leaves are free: `gx.select(model, ...)`.
        priors: as in `log_density`.
        chains: how many; they begin in different places, so that one sees whether they agree.
        warmup: draws of each that are thrown away.
        draws: of each that are kept.
        target_accept: how much of steps is to be accepted, between 0 and 1: nearer to 1 steps are shorter and corners safer.
        noise: of a loss that hears its key, as in `log_density`.
        realisations: of such a loss.
        key: of all that is random; key 0 if left out.
        progress: show a bar; a text is its title.

    Returns:
        The posterior; Ctrl-C ends it with the draws that there are, which it says. Draws that diverged and chains that disagree are warned of.

    Raises:
        ValueError: as `log_density`.

    Example:
        >>> import gyrax as gx, numpyro.distributions as d
        >>> model = gx.models.Linear(gamma=-0.5)
        >>> loss = lambda m, key: -gx.losses.gaussian_log_likelihood(m.gamma[None], jnp.array([-1.0]), sd=0.1)
        >>> found = nuts(model, loss, gx.select(model, "gamma"), priors={"gamma": d.TruncatedNormal(-1.0, 1.0, high=0.0)}, progress=False)
        >>> dict(found.samples.sizes), bool(abs(found.samples["gamma"].mean() + 1.0) < 0.05)
        ({'chain': 4, 'draw': 500}, True)
    """
    expect("progress", progress, (bool, str), "True, False or a title", "True")
    chains, warmup, draws = whole("chains", chains), whole("warmup", warmup, 10), whole("draws", draws, 4)
    target_accept = number("target_accept", target_accept, "0.8")
    if not 0 < target_accept < 1:
        raise ValueError(f"target_accept lies between 0 and 1, got {target_accept}")
    key = random_key("key", 0 if key is None else key)
    density = log_density(model, loss, spec, priors=priors, noise=noise, realisations=realisations, key=key)
    begun, within = jax.random.split(jax.random.fold_in(key, 1))
    plan = _Plan(warmup, float(target_accept))
    states = _begin(density, plan, jax.random.split(begun, chains), jax.random.split(within, chains))
    record, stopped = _run(density, plan, states, warmup + draws, progress)
    kept = {name: np.moveaxis(values[warmup:], 0, 1) for name, values in record.items()}
    if stopped == "interrupted" and len(record["real"]) < warmup + 4:
        raise KeyboardInterrupt(f"after {len(record['real'])} steps, before there was a draw")
    real = kept.pop("real")
    ended = f"after {real.shape[1]} of {draws} draws of each chain" if stopped == "interrupted" else ""
    return told(Posterior(density.model, density.space, real, kept, "NUTS", {}, ended))


class _Plan(NamedTuple):
    """What is fixed when a sampler is compiled."""

    warmup: int
    target_accept: float


def _sampler(density: LogDensity, plan: _Plan, key: Array, vector: Array) -> tuple[Callable, Any]:
    """One step of the sampler, and the state to begin with.

    NumPyro's kernel keeps what `init` was given between its two functions, so both are made wherever one is traced; XLA drops the
    state where it is not used.
    """
    hmc = need("numpyro.infer.hmc", "inference").hmc

    def potential(density: LogDensity) -> Callable[[Array], Array]:
        return lambda vector: -density.at(vector)

    init, sample = hmc(potential_fn_gen=potential, algo="NUTS")
    state = init(
        vector,
        plan.warmup,
        target_accept_prob=plan.target_accept,
        dense_mass=density.space.size <= _DENSE,
        model_args=(density,),
        rng_key=key,
    )
    return sample, state


@eqx.filter_jit
def _begin(density: LogDensity, plan: _Plan, places: Array, keys: Array) -> Any:
    """Every chain at a place of its own where the density is finite."""
    start = vector_of(density.start)

    def place(key: Array) -> Array:
        steps = jax.random.uniform(key, (_TRIES, start.size), start.dtype, -_APART, _APART)
        tried = jnp.concatenate([start + steps, start[None]])
        return tried[jnp.argmax(jnp.isfinite(jax.lax.map(density.at, tried)))]

    return mapped(lambda place_key, key: _sampler(density, plan, key, place(place_key))[1], places, keys)


@eqx.filter_jit
def _advance(density: LogDensity, plan: _Plan, states: Any, most_steps: Array) -> tuple[Array, Any, dict[str, Array]]:
    def one(state: Any) -> tuple[Any, dict[str, Array]]:
        sample, _ = _sampler(density, plan, state.rng_key, state.z)
        new = sample(state, (density,))
        told = {
            "real": new.z,
            "log density": -new.potential_energy,
            "diverging": new.diverging,
            "steps": new.num_steps,
            "acceptance": new.accept_prob,
        }
        return new, told

    return compiled_steps(
        lambda states: mapped(one, states), states, most_steps, lambda states: jnp.array(True), _BLOCK
    )


def _run(
    density: LogDensity, plan: _Plan, states: Any, steps: int, progress: bool | str
) -> tuple[dict[str, Float[np.ndarray, "draw chain ..."]], str]:
    """All steps, in calls between which a bar moves."""
    chains, size = len(states.rng_key), density.space.size
    real = np.zeros((0, chains, size), np.asarray(states.z).dtype)
    record = {"real": real} | {
        name: np.zeros((0, chains), kind)
        for name, kind in (
            ("log density", real.dtype),
            ("diverging", bool),
            ("steps", np.int64),
            ("acceptance", real.dtype),
        )
    }

    def block(states: Any, most_steps: int) -> tuple[int, Any, dict[str, Array]]:
        taken, later, new = _advance(density, plan, states, jnp.asarray(most_steps, jnp.int32))
        return int(taken), later, new

    def shown(states: Any, record: dict[str, np.ndarray]) -> dict[str, str]:
        done = len(record["diverging"])
        text = (
            {"": "warm-up"} if done < plan.warmup else {"diverged": str(int(record["diverging"][plan.warmup :].sum()))}
        )
        return text | {"gradients a draw": str(int(record["steps"][-1].mean()))}

    _, record, stopped = in_blocks(
        block,
        states,
        record,
        done=0,
        steps=steps,
        room=_BLOCK,
        look=lambda states, record, done: None,
        shown=shown,
        title="nuts",
        unit="draw",
        progress=progress,
    )
    return record, stopped
