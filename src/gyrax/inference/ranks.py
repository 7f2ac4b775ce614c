"""Whether posteriors hold the truth as often as they say, on data that the model itself made."""

import functools
import warnings
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

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
from .._warned import warn
from ..fitting.space import Space, space_of
from ..fitting.tracing import hashable, seen
from .flows import Learnt
from .normal import laplace
from .posterior import Posterior, SamplingWarning
from .priors import drawn, resolved

#: Draws among which the truth has a rank: so few that draws of a chain that are so far apart are nearly independent.
_RANKED = 99
#: The most chance that right posteriors are called wrong, over all tests of all numbers together.
_CHANCE = 0.05
#: Central intervals whose coverage is tested.
_LEVELS = (0.5, 0.9)
#: Fewest repetitions that see anything: fewer leave ranks in two or three bins, in which too narrow and too wide look alike.
_FEWEST = 20
#: How often a fault is to be found where it is said that it would be.
_POWER = 0.8
#: Repetitions that fail before any has worked, after which it ends.
_HOPELESS = 5


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
        failed: what repetitions raised that are not among these, a sentence each.
        interrupted: whether Ctrl-C ended it.
    """

    names: tuple[str, ...] = eqx.field(static=True)
    ranks: Int[np.ndarray, "repetition number"]
    below: Float[np.ndarray, "repetition number"]
    method: str = eqx.field(static=True)
    doubted: int = eqx.field(static=True)
    failed: tuple[str, ...] = eqx.field(static=True, default=())
    interrupted: bool = eqx.field(static=True, default=False)

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

    def _coverage_chances(self, level: float) -> pd.Series:
        """For each number the chance of a coverage as far off as this or more, were posteriors right (exact binomial test)."""
        chances = _binomial(level, len(self.ranks))
        held = (self.coverage(level).to_numpy(float) * len(self.ranks)).round().astype(int)
        return pd.Series(chances[held], list(self.names), name=f"p of {level:.0%}")

    def summary(self) -> pd.DataFrame:
        """A row for each number: the chance of its ranks; how often intervals of 50 and 90 % held the truth, and the chance of that."""
        each = [column for level in _LEVELS for column in (self.coverage(level), self._coverage_chances(level))]
        return pd.concat([self.chances(), *each], axis=1)

    def _tests(self) -> dict[str, float]:
        """The chance of what each test found, by what it found, in words."""
        found = {f"the ranks of {name} are uneven": p for name, p in self.chances().items()}
        for level in _LEVELS:
            for (name, part), p in zip(self.coverage(level).items(), self._coverage_chances(level), strict=True):
                found[f"intervals of {level:.0%} of {name} held the truth in {part:.0%}"] = p
        return {words: float(p) for words, p in found.items()}

    @property
    def calibrated(self) -> bool:
        """Whether at least 20 repetitions worked and no test finds a fault.

        Of each number three: whether its ranks are even (chi-square), and whether its central intervals of 50 and of 90 % held the
        truth as often as that (exact binomial tests). Together they call right posteriors wrong in less than one of twenty such checks
        (Bonferroni). What so many repetitions cannot see passes: the repr says how large a fault they find.
        """
        chances = self._tests().values()
        return len(self.ranks) >= _FEWEST and min(chances) >= _CHANCE / len(chances)

    def _verdict(self) -> str:
        count, found = len(self.ranks), self._tests()
        if count < _FEWEST:
            return f"too few to tell anything, which takes {_FEWEST}"
        faults = [f"{words} (chance {p:.2g})" for words, p in found.items() if p < _CHANCE / len(found)]
        if faults:
            more = f", and {len(faults) - 3} more" if len(faults) > 3 else ""
            return f"NOT calibrated: {'; '.join(faults[:3])}{more}"
        seen = [_visible(level, count, _CHANCE / len(found)) for level in _LEVELS]
        text = f"no fault found; {count} repetitions see only those as large as: {'; '.join(words for words in seen if words)}"
        least = min(found, key=lambda words: found[words])
        if found[least] < _CHANCE:
            text += f". The least likely of {len(found)} tests: {least} (chance {found[least]:.2g}); more repetitions would tell"
        return text

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
        lines = [f"Calibration of {self.method} in {len(self.ranks)} repetitions: {self._verdict()}"]
        lines += [
            "  " + line for line in self.summary().to_string(float_format="{:.3f}".format, max_rows=12).splitlines()
        ]
        if self.doubted:
            lines.append(f"  ! the method itself warned in {self.doubted} of them")
        if self.failed:
            lines.append(f"  ! {self._left_out()}")
        if self.interrupted:
            lines.append("  ! it was interrupted: these are the repetitions until then")
        return "\n".join(lines)

    def _left_out(self) -> str:
        """Of what failed, in words."""
        return (
            f"{len(self.failed)} of {len(self.failed) + len(self.ranks)} repetitions failed and are left out, so that these are no fair choice of "
            f"the prior; the first: {self.failed[0]}"
        )


@functools.lru_cache(maxsize=16)
def _binomial(level: float, count: int) -> np.ndarray:
    """The chance of as unlikely a number of intervals that hold the truth, for each from none to all (exact, two-sided)."""
    return np.array([stats.binomtest(k, count, level).pvalue for k in range(count + 1)])


def _visible(level: float, count: int, chance: float) -> str:
    """How far off the coverage of intervals has to be for that many repetitions to find it in four of five checks, in words."""
    parts, refused = np.linspace(0.0, 1.0, 101), _binomial(level, count) < chance
    found = stats.binom.pmf(np.arange(count + 1)[:, None], count, parts)[refused].sum(0) >= _POWER
    low, high = parts[found & (parts < level)], parts[found & (parts > level) & (parts < 1)]
    ends = [f"less than {part:.0%}" for part in low[-1:]] + [f"more than {part:.0%}" for part in high[:1]]
    return f"intervals of {level:.0%} that hold the truth in {' or '.join(ends)}" if ends else ""


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
    that they lie to one side. Beside the ranks it looks at how often central intervals of 50 and 90 % held the truth: see
    `Calibration.calibrated` for the tests and their level. Few repetitions see only large faults: with one free number 30 find intervals
    of 90 % in four of five checks if these hold the truth in less than 67 %, 100 if in less than 79 %.

    It tells whether loss, priors, sampler and simulation fit each other, and nothing of real data. It is blind to what data could
    have told and the loss leaves out: a loss that ignores the data gives the prior back, whose intervals hold the truth as
    often as they say. Look whether posteriors are narrower than the prior.

    Args:
        model: a Network, any other Module, or a tuple or dict of them; the methods begin there.
        data: `data(model, key)`: what would be measured of a model, an array or a tree of arrays.
        loss: `loss(model, key, data)`, minus a log-likelihood in nats. None for what was learnt from simulations.
        spec: which leaves are free: `gx.select(model, ...)`.
        priors: that the truth is drawn from, and that the posteriors have, as in `log_density`.
        method: `gx.inference.laplace`, `nuts`, `svi`, `pseudo_marginal`, a function of your own with the same arguments; or what
            `learn_posterior` gave, whose features then are the data.
        options: arguments of the method.
        repetitions: how many, at least 20; each is a simulation and a posterior.
        key: of all that is random; key 0 if left out.
        progress: show a bar; a text is its title.

    Returns:
        Ranks and intervals of all repetitions that worked. What the others raised stands in `failed`, with a warning; Ctrl-C ends it with
        those that are finished.

    Raises:
        ValueError: for fewer than 20 repetitions, or what was learnt of another spec or with other priors, naming what differs. Whatever `log_density` or the method raises, with the number of the repetition, if the
            first five fail.

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
        expect_function("loss", loss, "lambda model, key, data: ...")
    if not isinstance(method, Learnt):
        expect_function("method", method, "gx.inference.nuts")
    expect("options", options, (Mapping, None), "a dict of arguments of the method", "{'draws': 500}")
    repetitions, options = whole("repetitions", repetitions), dict(options or {})
    if repetitions < _FEWEST:
        raise ValueError(
            f"{repetitions} repetitions see no fault but the grossest, and would pass for a proof: give repetitions= from {_FEWEST} on, at best 100"
        )
    key = random_key("key", 0 if key is None else key)
    space, found = resolved(model, space_of(model, spec), priors)
    if isinstance(method, Learnt):
        method.check_of(space, found)
        _check_draws(whole("draws", options.get("draws", 1000), 2))
    data, title = seen(data, model, key).function, progress if isinstance(progress, str) else "calibration"

    def repetition(k: int) -> _Repetition:
        drawn_by, sampled_by = jax.random.split(jax.random.fold_in(key, k))
        truth, measured = _made(data, model, space, found, drawn_by)
        try:
            if not all(np.isfinite(np.asarray(x)).all() for x in jax.tree.leaves(measured) if eqx.is_inexact_array(x)):
                raise ValueError(
                    "the simulated data are not finite: give priors within which the model does what it is for"
                )
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always", SamplingWarning)
                posterior = _posterior(model, loss, spec, priors, method, options, measured, sampled_by)
        except Exception as error:
            error.add_note(f"gyrax: in repetition {k} of a calibration, {_at(space, truth)}")
            raise
        draws = posterior.real.reshape(-1, space.size)
        spread = draws[np.linspace(0, len(draws) - 1, _RANKED).round().astype(int)]
        doubted = any(issubclass(w.category, SamplingWarning) for w in caught)
        return _Repetition(
            (spread < np.asarray(truth)).sum(0), (draws < np.asarray(truth)).mean(0), doubted, posterior.method
        )

    done, failed, interrupted = _repeated(repetition, tqdm(range(repetitions), desc=title, disable=not progress))
    ranks, below = (np.array([getattr(one, name) for one in done]) for name in ("ranks", "below"))
    doubted = sum(one.doubted for one in done)
    made = Calibration(space.names, ranks, below, done[0].method, doubted, tuple(failed), interrupted)
    if failed:
        warn(made._left_out(), SamplingWarning)
    return made


class _Repetition(NamedTuple):
    """What one repetition of a calibration found."""

    ranks: np.ndarray
    below: np.ndarray
    doubted: bool
    method: str


def _repeated(repetition: Callable[[int], _Repetition], bar: Any) -> tuple[list[_Repetition], list[str], bool]:
    """All repetitions that worked, what the others raised, and whether Ctrl-C ended them.

    Raises:
        Exception: the first one, if the first five fail.
    """
    done: list[_Repetition] = []
    errors: list[Exception] = []
    try:
        for k in bar:
            try:
                done.append(repetition(k))
            except Exception as error:  # whatever a user's own functions raise: what is finished is not lost by it
                errors.append(error)
                if not done and len(errors) == _HOPELESS:
                    raise errors[0] from None
    except KeyboardInterrupt:
        if not done:
            raise
        return done, _told(errors), True
    finally:
        bar.close()
    return done, _told(errors), False


def _told(errors: list[Exception]) -> list[str]:
    """A sentence of each."""
    return [f"{type(e).__name__}: {e} ({', '.join(getattr(e, '__notes__', ()))})".replace("\n", " ") for e in errors]


def _at(space: Space, truth: Any) -> str:
    """The true values, in words."""
    return "with " + ", ".join(f"{name} {np.ravel(x)[:4]}" for name, x in space.values(truth).items())


def _posterior(
    model: PyTree, loss: Any, spec: PyTree, priors: Any, method: Any, options: dict[str, Any], measured: Any, key: Any
) -> Posterior:
    """Of one set of data."""
    if isinstance(method, Learnt):
        return method.given(measured, key=key, **options)
    if "progress" not in options and getattr(method, "__module__", "").startswith("gyrax."):
        options = options | {"progress": False}
    found = method(model, Given(hashable(loss), measured), spec, priors=priors, key=key, **options)
    if found.interrupted:  # it kept what there was: not the posterior that is to be judged
        raise KeyboardInterrupt(found.interrupted)
    _check_draws(found.real[..., 0].size)
    return found


def _check_draws(count: int) -> None:
    """Refuses fewer draws than the truth is ranked among."""
    if count < _RANKED:
        raise ValueError(
            f"a posterior has {count} draws, and the rank of the truth is among {_RANKED}: give draws= of at least so many"
        )


@eqx.filter_jit
def _made(data: Callable[..., Any], model: PyTree, space: Space, priors: Any, key: Any) -> tuple[Any, Any]:
    """Parameters from the prior, on the real line, and data simulated with them."""
    prior, noise = jax.random.split(key)
    vector = drawn(space, priors, prior)
    free, fixed = space.split(model)
    return vector, data(space.model(vector, free, fixed), noise)
