"""Posteriors learnt from simulations: a flow that turns features into a distribution of parameters, without any likelihood."""

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PyTree

from .._kinds import expect, random_key, whole
from .._progress import tqdm
from .._warned import warn
from ..fitting.objective import check_objective, named_arrays
from ..fitting.space import Space, space_of
from ..fitting.tracing import seen
from ..io.saving import load, save
from ..labelled import LabelledArray, check_same, known_names
from .posterior import Posterior, SamplingWarning, told
from .priors import drawn, resolved, told_priors
from .splines import blank_flow, flowjax_version, trained_flow

#: Simulations of a call into XLA, and side by side within.
_CALL, _SIDE_BY_SIDE = 256, 64
#: Fewest simulations with finite features that are worth learning from.
_FEWEST = 100
#: What part of the simulations lies less far from their middle than data may.
_USUAL = 0.999


class Learnt(eqx.Module):
    """Posteriors for any observed features, learnt once. Made by `learn_posterior`.

    Attributes:
        model, space: what is free, and of what.
        weights: of the flow, of parameters on the real line given features, both in units of their standard deviation over simulations.
        design: what the flow is made by, with the version of FlowJAX.
        middle, spread: of parameters and features, by name.
        names: of the features, one a number.
        shapes: of the features, by name, and names along their axes.
        simulated: features of the simulations, `(simulation, feature)`.
        lost: how many simulations had features that are not finite.
        loss: of the flow on simulations that were held out, at the end.
        gap: by how much that is above the loss on those it was trained on.
        interrupted: when Ctrl-C ended the simulations, in words; empty if it did not.
        priors: that parameters were drawn from, in words, a line for each leaf (for each number along a basis).
    """

    model: PyTree
    space: Space
    weights: tuple[Array, ...]
    design: tuple[tuple[str, int | str], ...] = eqx.field(static=True)
    middle: dict[str, np.ndarray]
    spread: dict[str, np.ndarray]
    names: tuple[str, ...] = eqx.field(static=True)
    shapes: Any = eqx.field(static=True)
    simulated: Float[np.ndarray, "simulation feature"]
    lost: int = eqx.field(static=True)
    loss: float = eqx.field(static=True)
    gap: float = eqx.field(static=True)
    interrupted: str = eqx.field(static=True, default="")
    priors: tuple[str, ...] = eqx.field(static=True, default=())

    @property
    def flow(self) -> Any:
        """The flow, as FlowJAX has it.

        Raises:
            ValueError: if the FlowJAX that is installed makes another one than that of the file.
        """
        design = dict(self.design)
        made = str(design.pop("FlowJAX"))
        tree, shapes, rest = blank_flow(tuple(design.items()), jnp.result_type(float).name)
        if shapes != [np.shape(x) for x in self.weights]:
            raise ValueError(
                f"the flow was learnt with FlowJAX {made}, and FlowJAX {flowjax_version()} makes it of other arrays: install flowjax=={made}, or "
                "learn it anew"
            )
        return eqx.combine(jax.tree.unflatten(tree, self.weights), rest)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes it to an npz, as `gx.io.save`: simulations and training need not be repeated."""
        save(path, self)

    @staticmethod
    def load(path: str | os.PathLike[str], *, own: Sequence[Any] = ()) -> "Learnt":
        """What `save` wrote.

        Args:
            path: the file.
            own: your own classes and functions that the model has, as in `gx.io.load`.

        Raises:
            ValueError: for a file that holds something else, or a flow of a FlowJAX that made it otherwise.
        """
        found = load(path, own=own)
        if not isinstance(found, Learnt):
            raise ValueError(
                f"{path}: it holds a {type(found).__name__}, and nothing that was learnt by gx.inference.learn_posterior"
            )
        if not all(
            np.isfinite(np.asarray(x)).all() for x in (*found.weights, *found.middle.values(), *found.spread.values())
        ):
            raise ValueError(f"{path}: numbers of the flow are not finite: it was damaged")
        found.flow  # noqa: B018 - which refuses one that does not fit
        return found

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
        figures = {
            "simulations": float(len(self.simulated)),
            "loss on held-out simulations": self.loss,
            "lower on those trained on by": self.gap,
        }
        real = real[None].astype(condition.dtype)
        return told(Posterior(self.model, self.space, real, {}, "a neural posterior", figures, self.interrupted))

    def check_of(self, space: Space, priors: Any) -> None:
        """Refuses other free numbers, domains or priors than those of the simulations.

        Raises:
            ValueError: saying which.
        """
        mine, yours = ({part.name: (part.names, part.domain) for part in x.parts} for x in (self.space, space))
        if list(mine) != list(yours):
            raise ValueError(f"it was learnt of {', '.join(mine)}, and free are {', '.join(yours)}: give the same spec")
        for name, (names, domain) in mine.items():
            own, other = (f"{name} as {len(n)} numbers in {d!r}" for n, d in ((names, domain), yours[name]))
            if (names, domain) != yours[name]:
                raise ValueError(
                    f"it was learnt of {own}, and free is {other}: give the same spec, and priors that reach as far"
                )
        for learnt, given in zip(self.priors, told_priors(space, priors), strict=True):
            if learnt != given:
                raise ValueError(f"it was learnt with the prior {learnt}, and the prior now is {given}: give the same")

    def _observed(self, observed: Any) -> np.ndarray:
        seen = _numbers(observed, dict(self.shapes), self.names)
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
        text += f" ({self.lost} more simulations were not finite)" if self.lost else ""
        return text + (f"; interrupted {self.interrupted}" if self.interrupted else "")


def _numbers(observed: Any, wanted: dict[str, Any], names: tuple[str, ...]) -> np.ndarray:
    """Observed features one after another.

    Raises:
        ValueError: for other features than are simulated, and for what is not finite.
    """
    given = observed if isinstance(observed, dict) else {"value": observed}
    if set(given) != set(wanted):
        raise ValueError(f"observed has {', '.join(given)}, and the simulated features are {', '.join(wanted)}")
    found = []
    for name, (shape, along) in wanted.items():
        values, own = known_names(given[name], f"observed[{name!r}]" if len(wanted) > 1 else "observed")
        _refuse_complex(f"observed '{name}'", values.dtype)
        if np.shape(values) != shape:
            raise ValueError(f"observed '{name}' has shape {np.shape(values)}, and the simulated feature {shape}")
        for one, two in zip(own, along, strict=True):
            check_same(one, two, "observed", "the simulated features")
        found.append(np.ravel(np.asarray(values, float)))
    seen = np.concatenate(found)
    if not np.isfinite(seen).all():
        raise ValueError(f"observed {names[int(np.argmin(np.isfinite(seen)))]} is not finite")
    return seen


def _refuse_complex(what: str, dtype: Any) -> None:
    if jnp.issubdtype(dtype, jnp.complexfloating):
        raise ValueError(f"{what} is complex ({dtype}), and features are real numbers: give real and imaginary parts")


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

    Returns:
        What was learnt; Ctrl-C during the simulations goes on with those that there are, if at least 100, which it says.

    Raises:
        ValueError: as `log_density` for priors; for a feature that is the same in all simulations, or if too few are finite, which is looked
            at first after 256 of them.

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
    return _learn(model, features, spec, priors, simulations, key, progress, lambda shapes, names: None)


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
        ValueError: before anything is simulated, for features of other names, shapes or regions, or that are not finite; as
            `learn_posterior`; for features outside of all simulated ones.

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
    learnt = _learn(
        model,
        features,
        spec,
        priors,
        simulations,
        key,
        progress,
        lambda shapes, names: _numbers(observed, shapes, names),
    )
    return learnt.given(observed, draws=draws, key=key)


def _learn(
    model: PyTree,
    features: Callable[[Any, Any], Any],
    spec: PyTree,
    priors: Mapping[Any, Any] | None,
    simulations: int,
    key: Any,
    progress: bool | str,
    look: Callable[[dict[str, Any], tuple[str, ...]], Any],
) -> Learnt:
    """`learn_posterior`, with a look at the shapes and names of the features before anything is simulated."""
    check_objective(model, features, "features", "lambda model, key: ...")
    expect("progress", progress, (bool, str), "True, False or a title", "True")
    simulations = whole("simulations", simulations, _FEWEST)
    key = random_key("key", 0 if key is None else key)
    begun, trained = jax.random.split(key)
    space, found = resolved(model, space_of(model, spec), priors)
    shapes = _shapes(features, model)
    names = tuple(_feature_names(shapes))
    look(shapes, names)  # before hours of simulations
    keys = jax.random.split(begun, simulations)
    now = seen(features, model, begun).function
    real, flat = _simulated(now, model, space, found, keys, names, progress)
    count = len(flat)
    fine = np.isfinite(flat).all(1)
    if fine.sum() < max(_FEWEST, count / 10):
        raise _not_finite(flat, names)
    # What is not finite is unlike any data, so to leave it out changes no posterior of data.
    flat, real = flat[fine], real[fine]
    _refuse_constant(flat, names)
    middle = {"features": flat.mean(0), "parameters": real.mean(0)}
    spread = {"features": flat.std(0), "parameters": real.std(0)}
    scaled = [(x - middle[n]) / spread[n] for n, x in (("parameters", real), ("features", flat))]
    weights, design, loss, gap = trained_flow(trained, scaled[0], scaled[1], progress)
    lost, ended = int((~fine).sum()), f"after {count} of {simulations} simulations" if count < simulations else ""
    return Learnt(
        *(model, space, weights, design, middle, spread, names, tuple(shapes.items()), flat, lost, loss, gap, ended),
        told_priors(space, found),
    )


def _shapes(features: Callable[..., Any], model: PyTree) -> dict[str, Any]:
    """Of each feature its shape, and names along its axes; nothing is simulated."""
    out = eqx.filter_eval_shape(lambda model, key: named_arrays(features(model, key)), model, jax.random.key(0))
    for name, x in out.items():
        _refuse_complex(f"the feature '{name}'", x.dtype)
    return {
        name: (x.shape, (None,) * (len(x.shape) - len(x.names)) + x.names)
        if isinstance(x, LabelledArray)
        else (x.shape, (None,) * len(x.shape))
        for name, x in out.items()
    }


def _not_finite(flat: np.ndarray, names: tuple[str, ...]) -> ValueError:
    fine, bad = np.isfinite(flat), names[int(np.argmax((~np.isfinite(flat)).sum(0)))]
    return ValueError(
        f"of {len(flat)} simulations {fine.all(1).sum()} have finite features (the fewest of {bad}): give narrower priors, or more simulations="
    )


def _refuse_constant(flat: np.ndarray, names: tuple[str, ...]) -> None:
    same = np.std(flat, 0) <= 1e-9 * np.abs(flat).max(0)
    if same.any():
        raise ValueError(
            f"{names[int(same.argmax())]} is the same in all of {len(flat)} simulations: leave it out, as gx.features.off_diagonal does with the "
            "diagonal"
        )


def _check_first(flat: np.ndarray, names: tuple[str, ...]) -> None:
    """Looks at the first of many simulations, for what would be refused after the last."""
    fine = np.isfinite(flat).all(1)
    if not fine.any():
        raise _not_finite(flat, names)
    if fine.sum() >= _FEWEST:
        _refuse_constant(flat[fine], names)


def _feature_names(shapes: dict[str, Any]) -> list[str]:
    """Of every number: the feature's, and in brackets its place."""
    found = []
    for name, (shape, along) in shapes.items():
        for at in np.ndindex(*shape):
            where = ", ".join(str(i) if a is None else a[i] for i, a in zip(at, along, strict=True))
            found.append(f"{name}[{where}]" if where else name)
    return found


def _simulated(
    features: Callable[..., Any],
    model: PyTree,
    space: Space,
    priors: Any,
    keys: Array,
    names: tuple[str, ...],
    progress: bool | str,
) -> tuple[np.ndarray, np.ndarray]:
    """Parameters drawn from the prior, on the real line, and the features of a simulation with each."""
    real, flat = [], []
    title = progress if isinstance(progress, str) else "simulations"
    with tqdm(total=len(keys), desc=title, disable=not progress) as bar:
        try:
            for begin in range(0, len(keys), _CALL):
                some, out = _batch(features, model, space, priors, keys[begin : begin + _CALL])
                parts = [np.asarray(x, float).reshape(len(some), -1) for x in named_arrays(out).values()]
                new = np.asarray(some), np.concatenate(parts, axis=1)
                real.append(new[0])
                flat.append(new[1])
                bar.update(len(some))
                if not begin:
                    _check_first(flat[0], names)
        except KeyboardInterrupt:
            if sum(map(len, flat)) < _FEWEST:
                raise
    return np.concatenate(real[: len(flat)]), np.concatenate(flat)


@eqx.filter_jit
def _batch(features: Callable[..., Any], model: PyTree, space: Space, priors: Any, keys: Array) -> tuple[Array, Any]:
    free, fixed = space.split(model)

    def one(key: Array) -> tuple[Array, Any]:
        prior, noise = jax.random.split(key)
        vector = drawn(space, priors, prior)
        return vector, features(space.model(vector, free, fixed), noise)

    return jax.lax.map(one, keys, batch_size=min(_SIDE_BY_SIDE, len(keys)))


@eqx.filter_jit
def _drawn(flow: Any, condition: Array, key: Array, draws: int) -> Array:
    return flow.sample(key, (draws,), condition=condition)
