"""A fit of everything else, at each of several values of one free number."""

import dataclasses
import difflib
import re
from collections.abc import Callable, Sequence
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import xarray as xr
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, PyTree
from scipy.stats import chi2

from .._kinds import expect, number, reals, shown, whole
from .._pictures import draw
from .._progress import tqdm
from .._warned import warn
from ..fitting.objective import AbstractObjective, Outcome, outcome
from ..fitting.results import FitResult
from ..fitting.space import Space, apart, space_of
from ..parameters.splitting import Fixed, join, split
from ..search.quasi_newton import descended
from ..search.squares import least_of
from ..search.walking import Task, task

#: How much lower a profile may fall than at the model's own value before that is said: a share of its range, and of the loss.
_SLACK, _TOLD = 1e-2, 1e-6
#: Of the rise that bounds an interval, what the own value may lie above the lowest one and still be taken for the best.
_TIED = 1e-2
#: On the real line, where one is about the size of a parameter: a step that must not gain more than the slack where a fit arrived.
_STEP = 1e-3
#: How a line begins that says what was raised.
_NAMED = re.compile(r"^[\w.]*(Error|Exception|Warning|Interrupt)\b")


class Profile(eqx.Module):
    """The lowest loss that is left at each value of one free number. Made by `profile`.

    Attributes:
        name: of the number.
        values: of it, in its unit, ascending; the model's own is among them, `(value,)`.
        losses: the lowest that the other free numbers reach there.
        own: the model's own value.
        space: the free numbers.
        others: all free numbers in their unit at each value, `(value, number)`: what makes up for a change.
        models: the fitted models.
        stopped: why each fit ended: 'converged', where nothing was left to gain beside the range of the profile; 'stuck', where no step led
            lower although the slope says so, as at a kink; 'steps' before either.
        failed: values at which the fit failed, and why, a sentence each: the profile ends before them.
        interrupted: when Ctrl-C ended it, in words; empty if it did not.
    """

    name: str = eqx.field(static=True)
    values: Float[np.ndarray, " value"]
    losses: Float[np.ndarray, " value"]
    own: float = eqx.field(static=True)
    space: Space
    others: Float[np.ndarray, "value number"]
    models: tuple[Any, ...]
    stopped: tuple[str, ...] = eqx.field(static=True)
    failed: tuple[str, ...] = eqx.field(static=True, default=())
    interrupted: str = eqx.field(static=True, default="")

    @property
    def rises(self) -> Float[np.ndarray, " value"]:
        """How much higher the loss is than where it is lowest."""
        return self.losses - self.losses.min()

    def interval(self, level: float = 0.95) -> tuple[float, float]:
        r"""Where the loss lies no more than $\chi^2_1$ of the level, halved, above its lowest: 1.92 for 95 %.

        Of a loss that is a negative log-likelihood (a sum, not a mean) it is the confidence interval of the number, whatever else is free
        (Raue et al. 2009, doi 10.1093/bioinformatics/btp358). Between values by straight lines through the root of the rise, which is straight where the loss is a parabola.

        Args:
            level: between 0 and 1.

        Returns:
            Lower and upper end; -inf or inf where the loss does not rise so far at any value that was tried.

        Warns:
            RuntimeWarning: if there are other pieces, which `intervals` gives: this one is around the model's own value, if no other is better.
        """
        pieces, best = self.intervals(level), self._best(level)
        here = next(piece for piece in pieces if piece[0] <= self.values[best] <= piece[1])
        if len(pieces) > 1:
            warn(
                f"the loss of {self.name} has {len(pieces)} valleys, so that the interval is of {len(pieces)} pieces, {_in_words(pieces)}, and this is "
                f"the one around {self.values[best]:.4g} alone: intervals() gives all"
            )
        return here

    def intervals(self, level: float = 0.95) -> list[tuple[float, float]]:
        """All pieces of `interval`, ascending: several, where there are valleys with a ridge between them. One between two values is not seen.

        Args:
            level: between 0 and 1.
        """
        if not 0 < number("level", level) < 1:
            raise ValueError(f"level is a share between 0 and 1, such as 0.95; got {level}")
        root, wanted = np.sqrt(self.rises), np.sqrt(chi2.ppf(level, 1) / 2)
        inside = root < wanted
        edges = np.flatnonzero(np.diff(inside.astype(int)))  # between this value and the next

        def end(i: int) -> float:
            inner, outer = (i, i + 1) if inside[i] else (i + 1, i)
            return float(np.interp(wanted, root[[inner, outer]], self.values[[inner, outer]]))

        ends = [-np.inf] * bool(inside[0]) + [end(int(i)) for i in edges] + [np.inf] * bool(inside[-1])
        return list(zip(ends[::2], ends[1::2], strict=True))

    def _best(self, level: float = 0.95) -> int:
        """Where the loss is lowest: at the model's own value, if that is no worse than by next to nothing."""
        own, lowest = int(np.flatnonzero(self.values == self.own)[0]), int(np.argmin(self.losses))
        return own if self.rises[own] <= _TIED * chi2.ppf(level, 1) / 2 * min(1.0, self.rises.max()) else lowest

    def to_xarray(self) -> xr.Dataset:
        """Losses, and all free numbers, over the values. A number that has the name of one of these is called 'loss_value'."""
        name = apart(self.name, ("loss", "fitted", "number"))
        return xr.Dataset(
            {"loss": (name, self.losses), "fitted": ((name, "number"), self.others)},
            coords={name: self.values, "number": list(self.space.names)},
        )

    def plot(self, level: float | None = 0.95, ax: Any = None) -> Any:
        """The lowest loss over the values; the interval of a level, or none for None. Returns the matplotlib axes."""
        return draw("profiles.profile", self, level=level, ax=ax)

    def __repr__(self):
        best, pieces = self._best(), self.intervals()
        ends = _in_words(pieces)
        ends += ": it rises by less than 1.92 there" if np.isinf(pieces).any() else ""
        text = f"Profile of {self.name}: loss {self.losses[best]:.4g} at {self.values[best]:.4g}, up to {self.rises.max():.3g} more"
        text += f"\n  of a negative log-likelihood, 95 % {ends}"
        text += f"\n  ! it was interrupted {self.interrupted}, and is what there was then" if self.interrupted else ""
        text += "".join(f"\n  ! it ends before {sentence}" for sentence in self.failed)
        unfinished = sum(s not in ("converged", "stuck") for s in self.stopped)
        return text + (f"\n  {unfinished} of {len(self.stopped)} fits took all their steps" if unfinished else "")


def _in_words(pieces: list[tuple[float, float]]) -> str:
    """Intervals one after another."""

    def words(low: float, high: float) -> str:
        if np.isfinite([low, high]).all():
            return f"from {low:.4g} to {high:.4g}"
        where = "below" if np.isfinite(high) else "above" if np.isfinite(low) else "on either side"
        known = f", from {low:.4g}" if np.isfinite(low) else f", to {high:.4g}" if np.isfinite(high) else ""
        return f"open {where}{known}"

    return " and ".join(words(*piece) for piece in pieces)


def profile(
    model: PyTree,
    loss: Callable[[Any, Any], Any],
    spec: PyTree,
    name: str,
    values: Sequence[float] | Float[np.ndarray, " value"],
    *,
    steps: int = 100,
    key: Any = None,
    realisations: int = 1,
    tolerance: float | None = None,
    progress: bool | str = True,
) -> Profile:
    """Holds one free number at each of several values and fits all others: how far data bound it, and what makes up for it.

    From the model, which should be the best fit, outward to either side, every fit from where its neighbour ended, by L-BFGS as
    `gx.search.minimise`. All hear the same noise. Standard errors (`gx.analysis.identifiability`) tell the same where the loss is a parabola; a
    profile tells it where it is not.

    Args:
        model: a fitted Network, or any other Module.
        loss: `loss(model, key)`, as `gx.fit` takes it; for intervals a negative log-likelihood.
        spec: what is free, from `gx.select`.
        name: of one free number, such as 'coupling.strength' or 'model.a[lh.insula]'.
        values: of it, in its unit, two or more; the model's own is added.
        steps: most of each fit.
        key: `jax.random.key(...)`, or a whole number as its seed.
        realisations: the loss is a mean over so many keys.
        tolerance: as in `gx.search.minimise`.
        progress: show a bar; a text is its title.

    Returns:
        A `Profile`. After Ctrl-C, of the values that were finished.

    Raises:
        ValueError: for a name that is not free, or values outside of its domain.
        FloatingPointError: if loss or gradient are not finite at the model's own value, or the loss is too small for the precision everywhere.
        TypeError: for what is of another kind.
        KeyboardInterrupt: before the fit at the model's own value was finished.

    Warns:
        RuntimeWarning: if somewhere the loss became lower than at the model's own value, which then was not the best fit; of a value from which on
            there is no profile, as its fit failed from where its neighbour ended.

    Example:
        >>> import gyrax as gx
        >>> model = gx.models.Hopf(a=-0.5, omega=0.1)
        >>> loss = lambda m, key: 50 * (m.a + m.omega + 0.2) ** 2 + 50 * (m.omega - 0.2) ** 2
        >>> best = gx.search.minimise(model, loss, gx.select(model, "a", "omega"), progress=False).model
        >>> found = gx.analysis.profile(best, loss, gx.select(best, "a", "omega"), "a", [-0.8, -0.6, -0.2, -0.1], progress=False)
        >>> [round(x, 2) for x in found.interval()]
        [-0.68, -0.12]
    """
    whole("steps", steps)
    what, space = task(model, loss, spec, key, realisations, progress), space_of(model, spec)
    place = _place(space, name)
    flat, _ = ravel_pytree(what.free)
    grid, real, own = _grid(space, np.asarray(flat), place, values)
    found: dict[int, FitResult] = {}
    failed, interrupted = [], ""

    def fit(i: int, near: PyTree) -> PyTree | None:
        """From where the neighbour ended; None if that was the last one on this side."""
        held = _Pinned(what.objective.loss, what.fixed, place, jnp.asarray(real[i], flat.dtype))
        at = dataclasses.replace(what, free=held.pinned(near), objective=held)
        try:
            result = descended(at, steps=steps, tolerance=tolerance, progress=False)
        except Exception as error:  # whatever a user's own functions raise: what is finished is not lost by it
            if i == own:
                raise
            failed.append(f"{name} = {grid[i]:.4g}: {_reason(error)}")
            warn(f"the profile ends before {failed[-1]}")
            return None
        if result.stopped == "interrupted":
            raise KeyboardInterrupt
        found[i] = result
        bar.update()
        return split(result.model, spec)[0]

    title = progress if isinstance(progress, str) else f"profile of {name}"
    with tqdm(total=len(grid), desc=title, unit="value", disable=not progress) as bar:
        try:
            middle = fit(own, what.free)
            for side in (range(own + 1, len(grid)), range(own - 1, -1, -1)):
                near = middle
                for i in side:
                    near = fit(i, near)
                    if near is None:
                        break
        except KeyboardInterrupt:
            interrupted = f"after {len(found)} of {len(grid)} values"
            if own not in found:
                raise KeyboardInterrupt(f"{interrupted}, before the model's own: there is no profile") from None
    _check_small(what, found)
    return _made(name, grid, own, space, found, spec, tuple(failed), interrupted)


def _reason(error: Exception) -> str:
    """What an error says, in one line: of a callback's, what that raised, which stands last."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if "Traceback" not in str(error):
        return f"{type(error).__name__}: {' '.join(lines)}"
    return next((line for line in reversed(lines) if _NAMED.match(line)), lines[-1])


def _check_small(what: Task, found: dict[int, FitResult]) -> None:
    """Refuses a loss of which the precision tells nothing at any value."""
    least, dtype = least_of(what)
    largest = max(abs(result.best_loss) for result in found.values())
    if largest < least:
        raise FloatingPointError(
            f"the loss is {largest:.3g} at most, less than {dtype} tells anything of ({least:.1g}): multiply the loss, or take what it is of in a "
            "smaller unit (fT in place of T)"
        )


class _Pinned(AbstractObjective):
    """A loss along all free numbers but one, which is held on the real line wherever it is asked for."""

    loss: Callable[..., Any]
    fixed: Fixed
    place: int = eqx.field(static=True)
    real: Float[Array, ""]

    def pinned(self, free: PyTree) -> PyTree:
        flat, back = ravel_pytree(free)
        return back(flat.at[self.place].set(self.real))

    def at(self, free: PyTree, key: Any) -> Outcome:
        """What the loss returns there. Its gradient along the number that is held is zero, so that no step moves it."""
        return outcome(self.loss(join(self.pinned(free), self.fixed), key))


def _place(space: Space, name: str) -> int:
    """Where the number stands among the free ones."""
    expect("name", name, str, "the name of a free number", f"{space.names[0]!r}")
    if name not in space.names:
        near = difflib.get_close_matches(name, space.names, n=3, cutoff=0.3) or space.names[:3]
        raise ValueError(
            f"name is of a free number, and none is called {name!r}; there are {', '.join(map(repr, near))}"
            + ", ..." * (space.size > 3)
        )
    return space.names.index(name)


def _in_unit(space: Space, flat: Any) -> Float[np.ndarray, " number"]:
    """All free numbers in their unit."""
    found = space.values(jnp.asarray(flat))
    return np.concatenate([np.ravel(found[part.name]) for part in space.parts]).astype(float)


def _grid(
    space: Space, flat: np.ndarray, place: int, values: Any
) -> tuple[Float[np.ndarray, " value"], Float[np.ndarray, " value"], int]:
    """The values in order with the model's own among them, the same on the real line, and where its own is."""
    wanted = np.atleast_1d(reals("values", values)).astype(float)
    if wanted.ndim != 1 or len(wanted) < 2 or not np.isfinite(wanted).all() or len(set(wanted)) < len(wanted):
        raise ValueError(f"values are two different finite numbers or more, got {shown(values)}")
    name, ends = space.names[place], np.cumsum([part.size for part in space.parts])
    which = int(np.searchsorted(ends, place, side="right"))
    part, inside = space.parts[which], place - int(ends[which] - space.parts[which].size)
    if part.basis is None or part.levels[inside]:
        outside = wanted[~np.asarray(part.domain.contains(jnp.asarray(wanted)))]
        if len(outside):
            raise ValueError(
                f"{name} lives in {part.domain}; {', '.join(f'{x:g}' for x in outside)} lies outside of it"
            )
    own = float(_in_unit(space, flat)[place])
    wanted = np.sort(wanted[~np.isclose(wanted, own, rtol=1e-6, atol=0)])
    grid = np.sort(np.append(wanted, own))

    def real(value: float) -> float:
        return float(part.reals(jnp.full(part.shape, value)).reshape(-1)[inside])

    middle = int(np.flatnonzero(grid == own)[0])
    return grid, np.array([flat[place] if i == middle else real(x) for i, x in enumerate(grid)]), middle


def _ended(result: FitResult, losses: np.ndarray) -> str:
    """Why a fit ended: also after all steps, or where no step led lower, it arrived where nothing is left to gain beside the range of the profile."""
    slack, loss = _SLACK * np.ptp(losses), result.history["loss"]
    late = loss[: -max(len(loss) // 10, 5)]
    still = len(late) > 0 and np.nanmin(late) - result.best_loss <= slack / 100 + _TOLD * abs(result.best_loss)
    flat = _STEP * result.history["gradient"][result.best_step] <= slack + _TOLD * abs(result.best_loss)
    arrived = flat and (still or result.stopped == "stuck")
    return "converged" if arrived else result.stopped


def _made(
    name: str,
    grid: np.ndarray,
    own: int,
    space: Space,
    found: dict[int, FitResult],
    spec: PyTree,
    failed: tuple[str, ...],
    interrupted: str,
) -> Profile:
    """What was fitted, in the order of the values."""
    done = sorted(found)
    losses = np.array([found[i].best_loss for i in done])
    others = np.stack([_in_unit(space, ravel_pytree(split(found[i].model, spec)[0])[0]) for i in done])
    lowest, base = int(np.argmin(losses)), losses[done.index(own)]
    if base - losses[lowest] > _SLACK * (losses.max() - losses[lowest]) and base - losses[lowest] > _TOLD * abs(base):
        warn(
            f"at {name} = {grid[done[lowest]]:.4g} the loss is {losses[lowest]:.6g}, lower than {base:.6g} at the model's own {grid[own]:.4g}: the "
            f"model was not the best fit. Go on from models[{lowest}]"
        )
    return Profile(
        name,
        grid[done],
        losses,
        float(grid[own]),
        space,
        others,
        tuple(found[i].model for i in done),
        tuple(_ended(found[i], losses) for i in done),
        failed,
        interrupted,
    )
