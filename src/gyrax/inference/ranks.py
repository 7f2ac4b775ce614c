"""Whether posteriors hold the truth as often as they say, on data that the model itself made."""

import warnings
from collections.abc import Callable, Mapping
from typing import Any

import equinox as eqx
import jax
import numpy as np
import pandas as pd
import xarray as xr
from jaxtyping import Float, Int, PyTree
from scipy import stats

from .._kinds import expect, expect_function, number, random_key, whole
from .._pictures import draw
from .._progress import tqdm
from ..fitting.captured import as_now
from ..fitting.space import Space, space_of
from .flows import Learnt
from .normal import laplace
from .posterior import Posterior, SamplingWarning
from .priors import drawn, resolved

#: Draws among which the truth has a rank: so few that draws of a chain that are so far apart are nearly independent.
_RANKED = 99
#: Below which chance of as uneven ranks, over all parameters, calibration is refused.
_CHANCE = 0.01


class Given(eqx.Module):
    """A loss of a model and data, as one of a model: other data are no reason to compile anew.

    Attributes:
        loss: `loss(model, key, data)`.
        data: arrays.
    """

    loss: Callable[..., Any]
    data: PyTree

    def __call__(self, model: Any, key: Any) -> Any:
        return self.loss(model, key, self.data)


class Calibration(eqx.Module):
    """Where the truth lay in posteriors of data that were simulated with it. Made by `calibration`.

    Attributes:
        names: of the free numbers.
        ranks: of the truth among 99 draws, from 0 to 99, `(repetition, number)`.
        below: the part of all draws below the truth, `(repetition, number)`.
        method: by which the posteriors were made.
        doubted: in how many repetitions the method itself warned.
    """

    names: tuple[str, ...] = eqx.field(static=True)
    ranks: Int[np.ndarray, "repetition number"]
    below: Float[np.ndarray, "repetition number"]
    method: str = eqx.field(static=True)
    doubted: int = eqx.field(static=True)

    def chances(self) -> pd.Series:
        """For each number the chance of ranks as uneven as these or more, were posteriors right (chi-square)."""
        counts = np.stack([np.histogram(r, self._edges())[0] for r in self.ranks.T])
        return pd.Series(stats.chisquare(counts, axis=1).pvalue, list(self.names), name="p")

    def _edges(self) -> np.ndarray:
        """Of so many equal bins that at least five ranks are expected in each."""
        most = max(len(self.ranks) // 5, 2)
        bins = next(k for k in (20, 10, 5, 4, 2) if k <= most)
        return np.linspace(0, _RANKED + 1, bins + 1) - 0.5

    def coverage(self, level: float = 0.9) -> pd.Series:
        """For each number the part of repetitions in which a central interval of this level held the truth.

        Raises:
            ValueError: for a level that is not between 0 and 1.
        """
        if not 0 < number("level", level, "0.9") < 1:
            raise ValueError(f"level is the part of a posterior that an interval holds, between 0 and 1, got {level}")
        held = np.abs(self.below - 0.5) <= level / 2
        return pd.Series(held.mean(0), list(self.names), name=f"{level:.0%}")

    def summary(self) -> pd.DataFrame:
        """A row for each number: the chance of its ranks, and how often intervals of 50 and 90 % held the truth."""
        return pd.concat([self.chances(), self.coverage(0.5), self.coverage(0.9)], axis=1)

    @property
    def calibrated(self) -> bool:
        """Whether the ranks are no more uneven than chance makes them in all but one of a hundred such checks."""
        return bool((self.chances() >= _CHANCE / len(self.names)).all())

    def to_xarray(self) -> xr.Dataset:
        """Ranks and parts below with names."""
        dims = ("repetition", "number")
        return xr.Dataset({"rank": (dims, self.ranks), "below": (dims, self.below)}, {"number": list(self.names)})

    def plot(self, ax: Any = None) -> Any:
        """How often the truth had which rank, for each number, and what chance allows; returns the matplotlib axes."""
        return draw("posteriors.ranks", self.to_xarray(), self._edges(), ax=ax)

    def __repr__(self):
        if not isinstance(self.ranks, np.ndarray):
            return super().__repr__()
        verdict = (
            "the ranks are as even as they should be" if self.calibrated else "NOT calibrated: the ranks are uneven"
        )
        lines = [f"Calibration of {self.method} in {len(self.ranks)} repetitions: {verdict}"]
        lines += [
            "  " + line for line in self.summary().to_string(float_format="{:.3f}".format, max_rows=12).splitlines()
        ]
        if self.doubted:
            lines.append(f"  ! the method itself warned in {self.doubted} of them")
        return "\n".join(lines)


def calibration(
    model: PyTree,
    data: Callable[[Any, Any], Any],
    loss: Callable[[Any, Any, Any], Any] | None,
    spec: PyTree,
    *,
    priors: Mapping[Any, Any] | None = None,
    method: Callable[..., Posterior] | Learnt = laplace,
    options: Mapping[str, Any] | None = None,
    repetitions: int = 100,
    key: Any = None,
    progress: bool | str = True,
) -> Calibration:
    """Checks posteriors on data whose parameters are known: simulation-based calibration.

    Parameters are drawn from the prior, data simulated with them, and a posterior made of these; were it right, the rank of the truth among
    its draws would be any with one chance (Talts et al. 2018, "Validating Bayesian inference algorithms with simulation-based
    calibration", arXiv:1804.06788). Ranks heaped in the middle say that posteriors are too wide, at both ends too narrow, at one end
    that they lie to one side. It tells whether loss, priors, sampler and simulation fit each other, and nothing of real data.

    Args:
        model: a Network, any other Module, or a tuple or dict of them; the methods begin there.
        data: `data(model, key)`: what would be measured of a model, an array or a tree of arrays.
        loss: `loss(model, key, data)`, minus a log-likelihood in nats. None for what was learnt from simulations.
        spec: which leaves are free: `gx.select(model, ...)`.
        priors: that the truth is drawn from, and that the posteriors have, as in `log_density`.
        method: `gx.inference.laplace`, `nuts`, `svi`, `pseudo_marginal`, a function of your own with the same arguments; or what
            `learn_posterior` gave, whose features then are the data.
        options: arguments of the method.
        repetitions: how many; each is a simulation and a posterior.
        key: of all that is random; key 0 if left out.
        progress: show a bar; a text is its title.

    Raises:
        ValueError: as `log_density` and the method, with the number of the repetition.

    Example:
        >>> import jax.numpy as jnp, gyrax as gx, numpyro.distributions as d
        >>> model = gx.models.Linear(gamma=-1.0)
        >>> def data(m, key):
        ...     return m.gamma[None] + 0.1 * jax.random.normal(key, (1,))
        >>> def loss(m, key, data):
        ...     return -gx.losses.gaussian_log_likelihood(m.gamma[None], data, sd=0.1)
        >>> prior = {"gamma": d.TruncatedNormal(-1.0, 0.3, high=0.0)}
        >>> found = calibration(model, data, loss, gx.select(model, "gamma"), priors=prior, repetitions=20, progress=False)
        >>> found.ranks.shape, found.calibrated
        ((20, 1), True)
    """
    expect("progress", progress, (bool, str), "True, False or a title", "True")
    expect_function("data", data, "lambda model, key: ...")
    if loss is not None or not isinstance(method, Learnt):
        loss = as_now(expect_function("loss", loss, "lambda model, key, data: ..."))
    if not isinstance(method, Learnt):
        expect_function("method", method, "gx.inference.nuts")
    expect("options", options, (Mapping, None), "a dict of arguments of the method", "{'draws': 500}")
    repetitions, options = whole("repetitions", repetitions, 10), dict(options or {})
    key = random_key("key", 0 if key is None else key)
    space, found = resolved(model, space_of(model, spec), priors)
    ranks, below, doubted, name = [], [], 0, ""
    data, title = as_now(data), progress if isinstance(progress, str) else "calibration"
    for k in tqdm(range(repetitions), desc=title, disable=not progress):
        drawn_by, sampled_by = jax.random.split(jax.random.fold_in(key, k))
        truth, measured = _made(data, model, space, found, drawn_by)
        if not all(np.isfinite(np.asarray(x)).all() for x in jax.tree.leaves(measured) if eqx.is_inexact_array(x)):
            raise ValueError(
                f"in repetition {k} the simulated data are not finite, {_at(space, truth)}: give priors within which the model does what it is for"
            )
        try:
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always", SamplingWarning)
                posterior = _posterior(model, loss, spec, priors, method, options, measured, sampled_by)
        except ValueError as error:
            error.add_note(f"gyrax: in repetition {k} of a calibration, {_at(space, truth)}")
            raise
        doubted, name = doubted + any(issubclass(w.category, SamplingWarning) for w in caught), posterior.method
        draws = posterior.real.reshape(-1, space.size)
        below.append((draws < np.asarray(truth)).mean(0))
        spread = draws[np.linspace(0, len(draws) - 1, _RANKED).round().astype(int)]
        ranks.append((spread < np.asarray(truth)).sum(0))
    return Calibration(space.names, np.array(ranks), np.array(below), name, doubted)


def _at(space: Space, truth: Any) -> str:
    """The true values, in words."""
    return "with " + ", ".join(f"{name} {np.ravel(x)[:4]}" for name, x in space.values(truth).items())


def _posterior(
    model: PyTree, loss: Any, spec: PyTree, priors: Any, method: Any, options: dict[str, Any], measured: Any, key: Any
) -> Posterior:
    """Of one set of data."""
    if isinstance(method, Learnt):
        return method.given(measured, key=key, **options)
    if method is not laplace and "progress" not in options and method.__module__.startswith("gyrax."):
        options = options | {"progress": False}
    found = method(model, Given(loss, measured), spec, priors=priors, key=key, **options)
    if found.real[..., 0].size < _RANKED:
        raise ValueError(
            f"a posterior has {found.real[..., 0].size} draws, and the rank of the truth is among {_RANKED}: give draws="
        )
    return found


@eqx.filter_jit
def _made(data: Callable[..., Any], model: PyTree, space: Space, priors: Any, key: Any) -> tuple[Any, Any]:
    """Parameters from the prior, on the real line, and data simulated with them."""
    prior, noise = jax.random.split(key)
    vector = drawn(space, priors, prior)
    free, fixed = space.split(model)
    return vector, data(space.model(vector, free, fixed), noise)
