"""What any of the methods finds: draws of the free leaves, with names, and models made of them."""

import os
from collections.abc import Callable, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import xarray as xr
from jaxtyping import Array, Float, PyTree
from scipy import stats

from .._extras import need
from .._kinds import expect_function, random_key, whole
from .._pictures import draw
from .._warned import warn
from ..fitting.objective import check_objective, named_arrays
from ..fitting.space import Space, apart, region_axes
from ..fitting.tracing import seen
from ..io.saving import load, save
from ..labelled import LabelledArray
from .diagnostics import effective_draws, r_hat

#: From which on chains do not agree, and importance ratios say that a normal distribution does not fit.
AGREE, FITS = 1.01, 0.7
#: The least share of draws that importance ratios should leave.
_SHARE = 0.1
#: Nats by which estimates of a log-likelihood may scatter.
_SCATTER = 3.0
#: Nats a free number by which a flow may be surer of the simulations that it was trained on than of others. Below 0.11 intervals of 50 and 90 %
#: held 50 and 92 % of unseen truths (7 features, 1000 simulations), from 0.35 to 0.84 they held 35 to 44 and 79 to 89 %.
_GAP = 0.25
#: Draws of a flow so many standard deviations from the middle, as quantiles have these, are of its tails and not of a posterior: even of one
#: that falls off exponentially 4000 draws have one in 25 cases.
_FAR = 12.0
#: Models that `predictive` runs side by side.
_SIDE_BY_SIDE = 64


class SamplingWarning(UserWarning):
    """Draws that may not be those of the posterior."""


class Posterior(eqx.Module):
    """Draws of the free leaves of a model, given data. Made by the methods of `gx.inference`.

    Attributes:
        model: that the draws are put into.
        space: what is free.
        real: the draws on the real line, `(chain, draw, number)`.
        statistics: what the method tells of each draw, `(chain, draw)`, such as 'diverging'.
        method: in words.
        figures: what it tells of all of them, by name, such as 'log evidence'.
        interrupted: when Ctrl-C ended the method, in words; empty if it did not.
    """

    model: PyTree
    space: Space
    real: Float[np.ndarray, "chain draw number"]
    statistics: dict[str, np.ndarray]
    method: str = eqx.field(static=True)
    figures: dict[str, float] = eqx.field(static=True)
    interrupted: str = eqx.field(static=True, default="")

    @property
    def samples(self) -> xr.Dataset:
        """The draws by leaf in its unit, with the dimensions chain, draw and those of the leaf, such as region.

        Of several networks with different regions, axes are called after the network, such as 'left.region'. A leaf that has the name of an axis,
        such as 'draw', is called 'draw_value'.
        """
        values = _values(self.space, jnp.asarray(self.real, jnp.result_type(float)))
        found, coords = {}, {"chain": np.arange(self.real.shape[0]), "draw": np.arange(self.real.shape[1])}
        taken = {*coords, *(dim for part in self.space.parts for dim in part.dims)}
        for part in self.space.parts:
            found[apart(part.name, taken)] = (("chain", "draw", *part.dims), np.asarray(values[part.name]))
            coords |= {dim: list(c) for dim, c in zip(part.dims, part.coords, strict=True) if c is not None}
        return xr.Dataset(found, coords, {"method": self.method})

    def summary(self) -> pd.DataFrame:
        """A row for each free number: mean, sd, the 5 and 95 % quantiles; of several chains R-hat and effective draws."""
        rows = {}
        for part, sample in zip(self.space.parts, self.samples.values(), strict=True):
            values = sample.values.astype(float).reshape(*self.real.shape[:2], -1)
            for name, x in zip(part.names, np.moveaxis(values, -1, 0), strict=True):
                low, high = np.quantile(x, [0.05, 0.95])
                rows[name] = [x.mean(), x.std(ddof=1), low, high, *self._checks(x)]
        columns = ["mean", "sd", "5%", "95%"] + ["r_hat", "ess"] * self.of_chains
        return pd.DataFrame.from_dict(rows, orient="index", columns=columns)

    @property
    def of_chains(self) -> bool:
        """Whether draws follow each other, so that it matters how long they were."""
        return "acceptance" in self.statistics

    def _checks(self, x: np.ndarray) -> list[float]:
        return [r_hat(x), effective_draws(x)] if self.of_chains else []

    def doubts(self) -> list[str]:
        """What speaks against these draws, a sentence each."""
        found = []
        if self.interrupted:
            found.append(f"it was interrupted {self.interrupted}, and is what there was then")
        diverging = int(self.statistics.get("diverging", np.zeros(1)).sum())
        if diverging:
            found.append(
                f"{diverging} of {self.real[..., 0].size} draws diverged: the posterior has corners that steps do not get into; "
                "raise target_accept=, or give narrower priors"
            )
        if self.of_chains:
            each = {n: self._checks(self.real[..., i].astype(float)) for i, n in enumerate(self.space.names)}
            worst = max(each, key=lambda n: np.nan_to_num(each[n][0], nan=np.inf))
            if not each[worst][0] <= AGREE:
                found.append(
                    f"chains disagree, most on {worst} (R-hat {each[worst][0]:.3f}, above {AGREE}): draw more, or warm up longer"
                )
        k, share = self.figures.get("pareto k", 0.0), self.figures.get("share that counts", 1.0)
        if not (k <= FITS and share >= _SHARE):
            found.append(
                f"the posterior is not as the normal distribution that stands for it (Pareto k {k:.2f}, at best below {FITS}; "
                f"{share:.0%} of draws count, at best more than {_SHARE:.0%}): take gx.inference.nuts"
            )
        scatter = self.figures.get("sd of the log-likelihood", 0.0)
        if not scatter <= _SCATTER:
            found.append(
                f"estimates of the log-likelihood scatter by {scatter:.2g} nats, at best by less than {_SCATTER:g}: chains get stuck at "
                "lucky ones; give more realisations="
            )
        gap = self.figures.get("lower on those trained on by", 0.0)
        if not gap <= _GAP * self.space.size:
            found.append(
                f"the flow is surer by {gap:.2g} nats of the simulations that it was trained on than of others (at best less than "
                f"{_GAP * self.space.size:g}): these were too few for so many features, and the posterior is likely too narrow; give more "
                "simulations=, or fewer features that tell more"
            )
        return found + self._astray()

    def _astray(self) -> list[str]:
        """Draws of a flow that are far from all others."""
        if "loss on held-out simulations" not in self.figures:
            return []
        draws = self.real.reshape(-1, self.real.shape[-1]).astype(float)
        low, middle, high = np.quantile(draws, [0.05, 0.5, 0.95], axis=0)
        far = np.abs(draws - middle) > _FAR * (high - low) / (2 * stats.norm.isf(0.05))
        if not far.any():
            return []
        return [
            f"{far.any(1).sum()} of {len(draws)} draws lie more than {_FAR:g} standard deviations from the middle, most in "
            f"{self.space.names[int(far.sum(0).argmax())]}: these are tails of the flow, which make mean and sd wrong and leave quantiles; give more simulations="
        ]

    def models(self, count: int, key: Any = None) -> list[Any]:
        """Models drawn from the posterior.

        Args:
            count: how many; without repetition, where there are so many draws.
            key: of the choice; key 0 if left out.
        """
        free, fixed = self.space.split(self.model)
        return [self.space.model(vector, free, fixed) for vector in self._some(count, key)]

    def predictive(self, function: Callable[[Any, Any], Any], key: Any = None, count: int | None = None) -> xr.Dataset:
        """What models drawn from the posterior do: the posterior predictive distribution of any function of a model.

        Args:
            function: `function(model, key)`: an array, or a dict of named ones; a bare array is called 'value'.
            key: of the choice of models, and of a key for each; key 0 if left out.
            count: how many models; all draws, at most 1000, if left out.

        Returns:
            The values with a dimension 'sample' in front. Axes of a labelled array with the names of the model's regions are called 'region' and
            'other', such as those of functional connectivity (of several networks with different regions 'left.region' and 'left.other'); others
            after the value, 'value_0', with their names.
        """
        check_objective(self.model, function, "function", "lambda model, key: ...")
        key = random_key("key", 0 if key is None else key)
        chosen, within = jax.random.split(key)
        vectors = self._some(min(self.real[..., 0].size, 1000) if count is None else count, chosen)
        keys, one = jax.random.split(within, len(vectors)), self.space.model(vectors[0], *self.space.split(self.model))
        now = seen(function, one, keys[0]).function
        out = _predicted(now, self.space, self.model, vectors, keys)
        axes = region_axes(self.model)
        found, coords = {}, {"sample": np.arange(len(vectors))}
        for name, x in named_arrays(out).items():
            names = x.names if isinstance(x, LabelledArray) else ()
            x = np.asarray(x)
            along = (None,) * (x.ndim - 1 - len(names)) + tuple(names)
            free = {labels: iter(names) for labels, names in axes.items()}  # as tables of labelled arrays call them
            dims = [next(free.get(a, iter(())), f"{name}_{i}") if a else f"{name}_{i}" for i, a in enumerate(along)]
            found[name] = (("sample", *dims), x)
            coords |= {dim: list(a) for dim, a in zip(dims, along, strict=True) if a is not None}
        taken = {"sample", *(dim for dims, _ in found.values() for dim in dims)}
        found = {apart(name, taken): values for name, values in found.items()}
        return xr.Dataset(found, coords, {"method": self.method})

    def _some(self, count: Any, key: Any) -> Array:
        """Vectors of so many draws."""
        count, key = whole("count", count), random_key("key", 0 if key is None else key)
        every = self.real.reshape(-1, self.real.shape[-1])
        chosen = jax.random.choice(key, len(every), (count,), replace=count > len(every))
        return jnp.asarray(every[np.asarray(chosen)], jnp.result_type(float))

    def to_arviz(self) -> Any:
        """The draws as ArviZ takes them: an InferenceData, or of ArviZ 1 a DataTree."""
        arviz = need("arviz", "inference")
        groups = {"posterior": self.samples}
        if self.statistics:
            names = {"acceptance": "acceptance_rate", "log density": "lp", "steps": "n_steps"}
            groups["sample_stats"] = xr.Dataset(
                {names.get(n, n.replace(" ", "_")): (("chain", "draw"), x) for n, x in self.statistics.items()},
                {d: self.samples[d] for d in ("chain", "draw")},
            )
        if int(arviz.__version__.split(".")[0]) < 1:
            return arviz.InferenceData(**groups)
        return xr.DataTree.from_dict(groups)

    def plot(self, ax: Any = None) -> Any:
        """Intervals of 90 and 50 % of every free number, each in its own axes; returns the matplotlib axes."""
        return draw("posteriors.intervals", self.samples, ax=ax)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes it to an npz, as `gx.io.save`."""
        save(path, self)

    @staticmethod
    def load(path: str | os.PathLike[str], *, own: Sequence[Any] = ()) -> "Posterior":
        """What `save` wrote.

        Args:
            path: the file.
            own: your own classes and functions that the model has, as in `gx.io.load`.

        Raises:
            ValueError: for a file that holds something else, or draws that are not finite.
        """
        found = load(path, own=own)
        if not isinstance(found, Posterior):
            raise ValueError(f"{path}: it holds a {type(found).__name__}, and no posterior")
        wrong = int((~np.isfinite(found.real)).any(-1).sum())
        if wrong:
            raise ValueError(
                f"{path}: {wrong} of {found.real[..., 0].size} draws are not finite: it was damaged, or never a posterior"
            )
        if found.real.shape[-1] != found.space.size:
            raise ValueError(f"{path}: draws of {found.real.shape[-1]} numbers, and {found.space.size} are free")
        return found

    def __repr__(self):
        if not isinstance(self.real, np.ndarray):
            return super().__repr__()
        chains, draws, _ = self.real.shape
        lines = [f"Posterior of {self.space.size} free number{'s' * (self.space.size != 1)} by {self.method}"]
        lines[0] += f": {chains} chains of {draws} draws" if chains > 1 else f": {draws} draws"
        with pd.option_context("display.max_rows", 12, "display.width", 120):
            table = self.summary()
            lines += ["  " + line for line in table.to_string(float_format="{:.4g}".format, max_rows=12).splitlines()]
        if self.figures:
            lines.append("  " + ", ".join(f"{name} {value:.4g}" for name, value in self.figures.items()))
        lines += [f"  ! {doubt}" for doubt in self.doubts()]
        return "\n".join(lines)


def told(posterior: Posterior) -> Posterior:
    """The posterior, with a warning of what speaks against it."""
    for doubt in posterior.doubts():
        warn(doubt, SamplingWarning)
    return posterior


@eqx.filter_jit
def _values(space: Space, real: Array) -> dict[str, Array]:
    return jax.vmap(jax.vmap(space.values))(real)


@eqx.filter_jit
def _predicted(function: Callable[..., Any], space: Space, model: Any, vectors: Array, keys: Array) -> Any:
    expect_function("function", function, "lambda model, key: ...")
    free, fixed = space.split(model)

    def one(given: tuple[Array, Array]) -> Any:
        vector, key = given
        return function(space.model(vector, free, fixed), key)

    return jax.lax.map(one, (vectors, keys), batch_size=min(_SIDE_BY_SIDE, len(vectors)))
