"""Posteriors learnt from simulations: a flow that turns features into a distribution of parameters, without any likelihood."""

from collections.abc import Callable, Mapping
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PyTree

from .._extras import need
from .._kinds import expect, random_key, whole
from .._progress import tqdm
from .._ranges import warn
from ..fitting.captured import as_now
from ..fitting.objective import check_objective, named_arrays
from ..fitting.space import Space, space_of
from ..labelled import LabelledArray, check_same, known_names
from .posterior import Posterior, SamplingWarning
from .priors import drawn, resolved

#: Simulations of a call into XLA, and side by side within.
_CALL, _SIDE_BY_SIDE = 256, 64
#: Fewest simulations with finite features that are worth learning from.
_FEWEST = 100
#: Layers and knots of the flow, and epochs without a gain after which learning ends.
_LAYERS, _KNOTS, _WIDTH, _PATIENCE, _EPOCHS, _RATE = 5, 8, 50, 15, 300, 1e-3
#: What part of the simulations lies less far from their middle than data may.
_USUAL = 0.999


class Learnt(eqx.Module):
    """Posteriors for any observed features, learnt once. Made by `learn_posterior`.

    Attributes:
        model, space: what is free, and of what.
        flow: parameters on the real line given features, both in units of their standard deviation over simulations.
        middle, spread: of parameters and features, by name.
        names: of the features, one a number.
        shapes: of the features, by name, and names along their axes.
        simulated: features of the simulations, `(simulation, feature)`.
        lost: how many simulations had features that are not finite.
        loss: of the flow on simulations that were held out, at the end.
    """

    model: PyTree
    space: Space
    flow: Any
    middle: dict[str, np.ndarray]
    spread: dict[str, np.ndarray]
    names: tuple[str, ...] = eqx.field(static=True)
    shapes: Any = eqx.field(static=True)
    simulated: Float[np.ndarray, "simulation feature"]
    lost: int = eqx.field(static=True)
    loss: float = eqx.field(static=True)

    def given(self, observed: Any, *, draws: int = 1000, key: Any = None) -> Posterior:
        """The posterior given observed features, in a moment.

        Args:
            observed: what the function of features returns of data: an array, or a dict of arrays by name.
            draws: from the flow.
            key: of the draws; key 0 if left out.

        Raises:
            ValueError: for features of other names, shapes or regions, that are not finite, or that lie outside of all simulated ones.
        """
        seen = self._observed(observed)
        key = random_key("key", 0 if key is None else key)
        condition = jnp.asarray((seen - self.middle["features"]) / self.spread["features"], jnp.result_type(float))
        real = np.asarray(_drawn(self.flow, condition, key, whole("draws", draws, 2)))
        real = real * self.spread["parameters"] + self.middle["parameters"]
        figures = {"simulations": float(len(self.simulated)), "loss on held-out simulations": self.loss}
        return Posterior(self.model, self.space, real[None].astype(condition.dtype), {}, "a neural posterior", figures)

    def _observed(self, observed: Any) -> np.ndarray:
        given = observed if isinstance(observed, dict) else {"value": observed}
        wanted = dict(self.shapes)
        if set(given) != set(wanted):
            raise ValueError(f"observed has {', '.join(given)}, and the simulated features are {', '.join(wanted)}")
        found = []
        for name, (shape, names) in wanted.items():
            values, own = known_names(given[name], f"observed[{name!r}]" if len(wanted) > 1 else "observed")
            if np.shape(values) != shape:
                raise ValueError(f"observed '{name}' has shape {np.shape(values)}, and the simulated feature {shape}")
            for one, two in zip(own, names, strict=True):
                check_same(one, two, "observed", "the simulated features")
            found.append(np.ravel(np.asarray(values, float)))
        seen = np.concatenate(found)
        if not np.isfinite(seen).all():
            raise ValueError(f"observed {self.names[int(np.argmin(np.isfinite(seen)))]} is not finite")
        low, high = self.simulated.min(0), self.simulated.max(0)
        outside = (seen < low) | (seen > high)
        if outside.any():
            far = np.maximum(low - seen, seen - high) / self.spread["features"]
            i = int(far.argmax())
            raise ValueError(
                f"observed {self.names[i]} is {seen[i]:.4g}, and simulations reach from {low[i]:.4g} to {high[i]:.4g}"
                + (f" (and {outside.sum() - 1} more features lie outside)" if outside.sum() > 1 else "")
                + ": a flow knows nothing there; give wider priors, or a model that does what the data do"
            )
        self._warn_if_unlike(seen)
        return seen

    def _warn_if_unlike(self, seen: np.ndarray) -> None:
        """Each feature may lie inside, and all together far from every simulation."""
        scaled = (self.simulated - self.middle["features"]) / self.spread["features"]
        covariance = np.cov(scaled.T).reshape(len(self.names), -1) + 1e-6 * np.eye(len(self.names))
        inverse = np.linalg.inv(covariance)
        point = (seen - self.middle["features"]) / self.spread["features"]
        distance, usual = point @ inverse @ point, np.quantile(((scaled @ inverse) * scaled).sum(1), _USUAL)
        if distance > usual:
            warn(
                f"together the observed features are as far from the middle of the simulated ones as less than {1 - _USUAL:.1%} of simulations "
                "are: the flow has hardly seen such; give wider priors, or a model that does what the data do",
                SamplingWarning,
            )

    def __repr__(self):
        if not isinstance(self.space, Space) or not isinstance(self.simulated, np.ndarray):
            return super().__repr__()
        count = len(self.simulated)
        text = f"Learnt from {count} simulations of {len(self.names)} features: {self.space.size} free numbers"
        return text + (f" ({self.lost} more simulations were not finite)" if self.lost else "")


def learn_posterior(
    model: PyTree,
    features: Callable[[Any, Any], Any],
    spec: PyTree,
    *,
    priors: Mapping[Any, Any] | None = None,
    simulations: int = 2000,
    key: Any = None,
    progress: bool | str = True,
) -> Learnt:
    """Learns from simulations which parameters go with which features: posteriors of any data then, in a moment each.

    Neural posterior estimation (Papamakarios and Murray 2016, "Fast epsilon-free inference of simulation models with Bayesian conditional
    density estimation", NeurIPS; Greenberg et al. 2019, ICML) by FlowJAX's masked autoregressive flow of rational-quadratic splines. It takes
    neither likelihood nor gradient, only features that one simulation has as the data have them: of the same length, with the same noise.
    Few telling features are learnt from far fewer simulations than many.

    Args:
        model: a Network, any other Module, or a tuple or dict of them.
        features: `features(model, key)`: an array, or a dict of arrays by name.
        spec: which leaves are free: `gx.select(model, ...)`.
        priors: that parameters are drawn from, as in `log_density`.
        simulations: how many; a tenth of them is held out.
        key: of all that is random; key 0 if left out.
        progress: show bars; a text is the title of the first.

    Raises:
        ValueError: as `log_density` for priors; for a feature that is the same in all simulations, or if too few are finite.

    Example:
        >>> import gyrax as gx, numpyro.distributions as d
        >>> model, spec = gx.models.Linear(gamma=-0.5), gx.select(gx.models.Linear(), "gamma")
        >>> features = lambda m, key: m.gamma[None] + 0.1 * jax.random.normal(key, (1,))
        >>> learnt = learn_posterior(model, features, spec, priors={"gamma": d.Uniform(-2.0, -0.1)}, simulations=500, progress=False)
        >>> learnt
        Learnt from 500 simulations of 1 features: 1 free numbers
        >>> bool(abs(learnt.given(jnp.array([-1.0])).samples["gamma"].mean() + 1.0) < 0.1)
        True
    """
    check_objective(model, features, "features", "lambda model, key: ...")
    expect("progress", progress, (bool, str), "True, False or a title", "True")
    simulations = whole("simulations", simulations, _FEWEST)
    key = random_key("key", 0 if key is None else key)
    begun, trained = jax.random.split(key)
    space, found = resolved(model, space_of(model, spec), priors)
    real, out = _simulated(as_now(features), model, space, found, jax.random.split(begun, simulations), progress)
    shapes = {
        n: (x.shape[1:], (None,) * (x.ndim - 1) if not isinstance(x, LabelledArray) else _names(x))
        for n, x in out.items()
    }
    flat = np.concatenate([np.asarray(x, float).reshape(simulations, -1) for x in out.values()], axis=1)
    names = tuple(_feature_names(shapes))
    fine = np.isfinite(flat).all(1)
    if fine.sum() < max(_FEWEST, simulations / 10):
        bad = names[int(np.argmax((~np.isfinite(flat)).sum(0)))]
        raise ValueError(
            f"of {simulations} simulations {fine.sum()} have finite features (the fewest of {bad}): give narrower priors, or more simulations="
        )
    # What is not finite is unlike any data, so to leave it out changes no posterior of data.
    flat, real = flat[fine], real[fine]
    middle = {"features": flat.mean(0), "parameters": real.mean(0)}
    spread = {"features": flat.std(0), "parameters": real.std(0)}
    same = spread["features"] <= 1e-9 * np.abs(flat).max(0)
    if same.any():
        raise ValueError(
            f"{names[int(same.argmax())]} is the same in all simulations: leave it out, as gx.features.off_diagonal does with the diagonal"
        )
    scaled = [(x - middle[n]) / spread[n] for n, x in (("parameters", real), ("features", flat))]
    flow, loss = _learnt(trained, scaled[0], scaled[1], progress)
    return Learnt(model, space, flow, middle, spread, names, tuple(shapes.items()), flat, int((~fine).sum()), loss)


def neural_posterior(
    model: PyTree,
    features: Callable[[Any, Any], Any],
    spec: PyTree,
    observed: Any,
    *,
    priors: Mapping[Any, Any] | None = None,
    simulations: int = 2000,
    draws: int = 1000,
    key: Any = None,
    progress: bool | str = True,
) -> Posterior:
    """The posterior given observed features, learnt from simulations: `learn_posterior`, and what it gives for these data.

    Args:
        model: a Network, any other Module, or a tuple or dict of them.
        features: `features(model, key)`: an array, or a dict of arrays by name.
        spec: which leaves are free: `gx.select(model, ...)`.
        observed: the features of the data, of the same names, shapes and regions.
        priors: that parameters are drawn from, as in `log_density`.
        simulations: how many; a tenth of them is held out.
        draws: from the posterior.
        key: of all that is random; key 0 if left out.
        progress: show bars; a text is the title of the first.

    Raises:
        ValueError: as `learn_posterior`; for features of other shapes or regions, or outside of all simulated ones.

    Example:
        >>> import gyrax as gx, numpyro.distributions as d
        >>> model, spec = gx.models.Linear(gamma=-0.5), gx.select(gx.models.Linear(), "gamma")
        >>> features = lambda m, key: m.gamma[None] + 0.1 * jax.random.normal(key, (1,))
        >>> prior = {"gamma": d.Uniform(-2.0, -0.1)}
        >>> found = neural_posterior(model, features, spec, jnp.array([-1.0]), priors=prior, simulations=500, progress=False)
        >>> bool(abs(found.samples["gamma"].mean() + 1.0) < 0.1)
        True
    """
    draws = whole("draws", draws, 2)
    learnt = learn_posterior(model, features, spec, priors=priors, simulations=simulations, key=key, progress=progress)
    return learnt.given(observed, draws=draws, key=key)


def _names(x: LabelledArray) -> tuple[Any, ...]:
    return (None,) * (x.values.ndim - 1 - len(x.names)) + tuple(x.names)


def _feature_names(shapes: dict[str, Any]) -> list[str]:
    """Of every number: the feature's, and in brackets its place."""
    found = []
    for name, (shape, along) in shapes.items():
        for at in np.ndindex(*shape):
            where = ", ".join(str(i) if a is None else a[i] for i, a in zip(at, along, strict=True))
            found.append(f"{name}[{where}]" if where else name)
    return found


def _simulated(
    features: Callable[..., Any], model: PyTree, space: Space, priors: Any, keys: Array, progress: bool | str
) -> tuple[np.ndarray, dict[str, Any]]:
    """Parameters drawn from the prior, on the real line, and the features of a simulation with each."""
    real, parts = [], []
    title = progress if isinstance(progress, str) else "simulations"
    with tqdm(total=len(keys), desc=title, disable=not progress) as bar:
        for begin in range(0, len(keys), _CALL):
            some, out = _batch(features, model, space, priors, keys[begin : begin + _CALL])
            real.append(np.asarray(some))
            parts.append(named_arrays(out))
            bar.update(len(some))
    found = {}
    for name, first in parts[0].items():
        values = np.concatenate([np.asarray(part[name]) for part in parts])
        found[name] = LabelledArray(values, first.names) if isinstance(first, LabelledArray) else values
    return np.concatenate(real), found


@eqx.filter_jit
def _batch(features: Callable[..., Any], model: PyTree, space: Space, priors: Any, keys: Array) -> tuple[Array, Any]:
    free, fixed = space.split(model)

    def one(key: Array) -> tuple[Array, Any]:
        prior, noise = jax.random.split(key)
        vector = drawn(space, priors, prior)
        return vector, features(space.model(vector, free, fixed), noise)

    return jax.lax.map(one, keys, batch_size=min(_SIDE_BY_SIDE, len(keys)))


def _learnt(key: Any, parameters: np.ndarray, features: np.ndarray, progress: bool | str) -> tuple[Any, float]:
    """A flow of parameters given features, and its loss on simulations that it was not trained on."""
    flows = need("flowjax.flows", "inference")
    distributions, bijections = need("flowjax.distributions", "inference"), need("flowjax.bijections", "inference")
    train = need("flowjax.train", "inference")
    made, trained = jax.random.split(key)
    flow = flows.masked_autoregressive_flow(
        made,
        base_dist=distributions.Normal(jnp.zeros(parameters.shape[1])),
        transformer=bijections.RationalQuadraticSpline(knots=_KNOTS, interval=4),
        cond_dim=features.shape[1],
        flow_layers=_LAYERS,
        nn_width=_WIDTH,
    )
    flow, losses = train.fit_to_data(
        trained,
        flow,
        tuple(jnp.asarray(x, jnp.result_type(float)) for x in (parameters, features)),
        learning_rate=_RATE,
        max_epochs=_EPOCHS,
        max_patience=_PATIENCE,
        batch_size=min(100, len(parameters) // 4),
        show_progress=bool(progress),
    )
    return flow, float(min(losses["val"]))


@eqx.filter_jit
def _drawn(flow: Any, condition: Array, key: Array, draws: int) -> Array:
    return flow.sample(key, (draws,), condition=condition)
