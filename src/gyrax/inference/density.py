"""A loss as a posterior: likelihood, prior and the slopes of the domains, on the real line."""

from collections.abc import Callable, Mapping
from typing import Any, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PyTree

from .._devices import mapped
from .._kinds import choice, random_key, whole
from .._types import is_traced
from ..fitting.objective import Objective, check_objective, described
from ..fitting.space import Space, space_of, vector_of
from ..parameters.splitting import Fixed
from .priors import described_prior, drawn, log_prior, resolved


class LogDensity(eqx.Module):
    """The log-density of a posterior over the free leaves of a model, up to a constant. Made by `log_density`.

    A function of the free leaves on the real line, as `gx.split` takes them out; in float, with gradient, under `jit` and `vmap`.

    Attributes:
        model: that it was made of.
        start: its free leaves, on the real line.
        space: what is free: names, domains, regions.
        priors: of each free leaf, distributions of NumPyro.
        keys: that the likelihood is averaged over; None where the loss hears none.
    """

    model: PyTree
    start: PyTree
    space: Space
    priors: tuple[Any, ...]
    keys: Array | None
    objective: Objective

    def __call__(self, free: PyTree) -> Float[Array, ""]:
        """Log-likelihood and log-prior, in nats."""
        return self.log_likelihood(free) + self.log_prior(free)

    def log_likelihood(self, free: PyTree, keys: Array | None = None) -> Float[Array, ""]:
        """That of the data: minus the loss; of several keys the logarithm of the mean likelihood."""
        keys = self.keys if keys is None else keys
        if keys is None:
            return -self.objective.at(free, jax.random.key(0)).value  # which nothing depends on
        if len(keys) == 1:
            return -self.objective.at(free, keys[0]).value
        each = mapped(lambda key: -self.objective.at(free, key).value, keys)
        return jax.nn.logsumexp(each) - jnp.log(len(keys))

    def log_prior(self, free: PyTree) -> Float[Array, ""]:
        """That of the priors on the real line, so with the logarithms of the slopes of the domains."""
        return log_prior(self.space, self.priors, vector_of(free))

    def at(self, vector: Float[Array, " number"]) -> Float[Array, ""]:
        """The same of a vector of all free numbers, in the order of `space.names`."""
        return self(self.space.tree(vector, self.start))

    def draw(self, key: Any) -> PyTree:
        """Free leaves on the real line, drawn from the prior."""
        return self.space.tree(drawn(self.space, self.priors, key), self.start)

    def model_at(self, free: PyTree) -> Any:
        """The model with these free leaves."""
        return self.space.model(vector_of(free), self.start, self.fixed)

    @property
    def fixed(self) -> Fixed:
        """What is not free."""
        return self.objective.fixed

    def __repr__(self):
        if not isinstance(self.space, Space):
            return super().__repr__()
        lines = [f"LogDensity of {self.space.size} free number{'s' * (self.space.size != 1)}"]
        lines += table_of_priors(self.space, self.priors)
        if self.keys is not None:
            lines.append(f"  likelihood averaged over {len(self.keys)} fixed noise realisations")
        return "\n".join(lines)


def table_of_priors(space: Space, priors: tuple[Any, ...]) -> list[str]:
    """A line for each prior: of what, and which."""
    rows = []
    for part, prior in zip(space.parts, priors, strict=True):
        if part.basis is None:
            several = f" each of {part.size}" if part.shape and prior.shape() == () else ""
            rows.append((part.name, described_prior(prior) + several))
        else:
            rows += [
                (f"{part.name} along {c}", described_prior(p))
                for c, p in list(zip(part.columns, prior, strict=True))[:6]
            ]
            rows += [("...", "")] * (len(part.columns) > 6)
    width = max(len(name) for name, _ in rows)
    return [f"  {name:{width}s}  {text}".rstrip() for name, text in rows]


def log_density(
    model: PyTree,
    loss: Callable[[Any, Any], Any],
    spec: PyTree,
    *,
    priors: Mapping[Any, Any] | None = None,
    noise: Literal["fixed"] | None = None,
    realisations: int = 1,
    key: Any = None,
) -> LogDensity:
    r"""The posterior that a loss and priors make, as a function of the free leaves on the real line.

    $$\log p(x) = -\mathrm{loss}(\theta(x)) + \log \pi(\theta(x)) + \sum_i \log \left| \frac{d \theta_i}{d x_i} \right|$$

    The loss is the negative logarithm of a likelihood, in nats: `-gx.losses.gaussian_log_likelihood(...)`. Another loss, such as
    `1 - fc_correlation`, is none: its size says nothing of how sure one may be.

    Where the loss simulates with noise, each value of it is an estimate. With `noise='fixed'` all evaluations have the same
    `realisations` keys, and the likelihood is their mean (the logarithm of the mean of exp(-loss)). This is the posterior of that average,
    a smooth function: it comes near that of the model as realisations become many, if exp(-loss) is an unbiased estimate of the
    likelihood; with few it is that of a model which has these noises and no others, and is then often too narrow.
    `pseudo_marginal` draws new noise at every step.

    Samplers of other packages take it as it is:

        density = gx.inference.log_density(network, loss, spec)
        kernel = blackjax.nuts(density, step_size=0.1, inverse_mass_matrix=jnp.ones(density.space.size))
        state = kernel.init(density.start)
        state, info = jax.jit(kernel.step)(key, state)
        density.model_at(state.position)               # the network there

    Args:
        model: a Network, any other Module, or a tuple or dict of them, where samplers begin: such as `gx.fit(...).model`.
        loss: `loss(model, key)`, minus a log-likelihood in nats; named terms beside it are left out.
        spec: which leaves are free: `gx.select(model, ...)`.
        priors: distributions of NumPyro by the path of a leaf (or a function that returns it), in its unit:
            `{"model.w": numpyro.distributions.TruncatedNormal(0.6, 0.2, low=0.0, high=2.0)}`. One for a leaf holds for each of its entries by itself; one of the
            leaf's shape for all of them. Of a leaf along maps, a dict by the names of its parts, whose coefficients are on the
            real line. A leaf without one has a weak one of its domain: Uniform between two ends; above or below an end log-normal distances
            around the size s of the declared default (LogNormal(log s, 1)); otherwise Normal(0, 2 s); along maps Normal(0, 1).
        noise: 'fixed' for a loss that hears its key; otherwise None.
        realisations: how many keys.
        key: they are made of; key 0 if left out.

    Raises:
        ValueError: for a leaf whose domain tells no prior and that has none, a prior that reaches outside of its domain or is of a leaf that is
            not free, a start outside of its domain or prior, a loss that hears its key without `noise=`, or a density
            that is not finite at the start.
        TypeError: for a prior that is no distribution, or a loss that returns no scalar, or one that is no real number (bool, int, complex).

    Example:
        >>> import gyrax as gx, numpyro.distributions as d
        >>> model = gx.models.Linear(gamma=-0.5)
        >>> loss = lambda m, key: -gx.losses.gaussian_log_likelihood(m.gamma[None], jnp.array([-1.0]), sd=0.1)
        >>> density = log_density(model, loss, gx.select(model, "gamma"), priors={"gamma": d.TruncatedNormal(-1.0, 0.5, high=0.0)})
        >>> density
        LogDensity of 1 free number
          gamma  truncated Normal(loc=-1, scale=0.5, high=0)
        >>> bool(jnp.isfinite(density(density.start)))
        True
    """
    check_objective(model, loss, "loss", "lambda model, key: -gx.losses.gaussian_log_likelihood(...)")
    with jax.ensure_compile_time_eval():  # inside jit too, what is known is looked at
        space = space_of(model, spec)  # first: a spec of another model is no fault of the loss
    key = random_key("key", 0 if key is None else key)
    _, noisy, now = described(loss, model, key, _refuse_unreal)
    keys = _keys(noisy, noise, whole("realisations", realisations), key)
    density = density_of(model, now, space, priors, keys)
    found = value_at(density, vector_of(density.start))
    if not is_traced(found) and not np.isfinite(found):
        raise ValueError(
            f"the log-density is {float(found):g} where the model is now: the log-likelihood is {np.asarray(density.log_likelihood(density.start))}, "
            f"the log-prior {np.asarray(density.log_prior(density.start))}; start where both are finite, such as from gx.fit(...).model"
        )
    return density


def density_of(model: PyTree, loss: Callable[..., Any], space: Space, priors: Any, keys: Array | None) -> LogDensity:
    """The density of a loss that has been looked at."""
    with jax.ensure_compile_time_eval():
        within, found = resolved(model, space, priors)
        _check_start(within, found, space.values(vector_of(space.split(model)[0])))
        free, fixed = within.split(model)
    return LogDensity(model, free, within, found, keys, Objective(loss, fixed))


def _check_start(space: Space, priors: tuple[Any, ...], values: dict[str, Array]) -> None:
    """Refuses values outside of what priors reach."""
    for part, prior in zip(space.parts, priors, strict=True):
        if part.basis is not None or is_traced(values[part.name]):
            continue
        outside = ~np.asarray(part.domain.contains(values[part.name])).ravel()
        if outside.any():
            i = int(outside.argmax())
            raise ValueError(
                f"{part.names[i]} = {np.ravel(values[part.name])[i]:.6g} lies outside of its prior {described_prior(prior)}: start inside "
                "of it, or give a wider prior"
            )


def _keys(noisy: bool, noise: Any, realisations: int, key: Any) -> Array | None:
    """The keys of a likelihood, if it has some."""
    choice("noise", noise, (None, "fixed"))
    if noisy and noise is None:
        raise ValueError(
            "the loss depends on its key, so each value of it is an estimate: give noise='fixed' and realisations=, or take "
            "gx.inference.pseudo_marginal"
        )
    if not noisy and (noise is not None or realisations > 1):
        raise ValueError("the loss does not depend on its key: leave noise= and realisations= out")
    return jax.random.split(key, realisations) if noisy else None


def _refuse_unreal(dtype: Any) -> None:
    """Refuses a loss that is no real number while it is looked at."""
    if not jnp.issubdtype(dtype, jnp.floating):
        raise TypeError(
            f"the loss is of {dtype}, and minus a log-likelihood is a real number, with a slope: compute it in floats, such as by "
            "-gx.losses.gaussian_log_likelihood(...)"
        )


@eqx.filter_jit
def value_at(density: LogDensity, vector: Float[Array, " number"]) -> Float[Array, ""]:
    """The log-density at a vector of all free numbers, compiled."""
    return density.at(vector)
