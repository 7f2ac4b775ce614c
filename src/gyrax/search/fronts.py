"""Fits to several terms at once: the models that no other one beats in all of them."""

import dataclasses
import os
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import jax
import numpy as np
import xarray as xr
from jax.flatten_util import ravel_pytree
from jaxtyping import Float, PyTree

from .._extras import need
from .._kinds import expect, number, shown, whole
from .._pictures import draw
from .._progress import tqdm
from ..fitting.checkpoint import Checkpoint, kept_in
from ..fitting.descent import Held, Validation
from ..fitting.objective import described
from ..fitting.training import held_out, stacked
from ..parameters.splitting import join
from .genetic import unbeaten
from .plans import Plan, Walk, judged, seed_of, signs_of
from .walking import Task, check_validation, task


@dataclasses.dataclass(frozen=True)
class Front:
    """Models of which none is beaten by another in all terms. Made by `front`, in the order of the first term, best first.

    Attributes:
        models: one a point.
        terms: `(point, term)`, means over noise that the search never saw, or of the search's own if it hears none.
        sd: the same, standard deviations over that noise; NaN without.
        goals: by term 'min' or 'max'.
        history: of the search, the terms of the best of each generation, `(generation, term)`.
        seconds: wall time, that before a resumption included.
        stopped: why it ended: 'steps', or 'interrupted'.
    """

    models: list[Any]
    terms: Float[np.ndarray, "point term"]
    sd: Float[np.ndarray, "point term"]
    goals: dict[str, str]
    history: Float[np.ndarray, "generation term"]
    seconds: float
    stopped: str = "steps"

    def __len__(self) -> int:
        """Number of points."""
        return len(self.models)

    def to_xarray(self) -> xr.Dataset:
        """The terms and their scatter over noise, with a dimension 'point'."""
        coords = {"point": np.arange(len(self)), "term": list(self.goals)}
        return xr.Dataset({"mean": (("point", "term"), self.terms), "sd": (("point", "term"), self.sd)}, coords=coords)

    def balanced(self) -> int:
        """The point nearest to the best of each term, where each term's range over the front counts as one.

        Example:
            >>> terms = np.array([[0.0, 1.0], [0.1, 0.1], [1.0, 0.0]])
            >>> Front([None] * 3, terms, 0 * terms, {"a": "min", "b": "min"}, terms, 0.0).balanced()
            1
        """
        signed = self.terms * signs_of(self.goals)
        low, width = signed.min(0), np.ptp(signed, axis=0)
        return int(np.argmin((((signed - low) / np.where(width > 0, width, 1.0)) ** 2).sum(1)))

    def plot(self, ax: Any = None) -> Any:
        """The first term against each other one, with the scatter over unseen noise; returns the matplotlib axes."""
        return draw("fronts.front", self.terms, self.sd, list(self.goals), best=self.balanced(), ax=ax)

    def __repr__(self):
        end = "" if self.stopped == "steps" else f", {self.stopped}"
        lines = [f"Front of {len(self)} models, {self.seconds:.1f} s{end}"]
        at = self.balanced()
        for i, (name, goal) in enumerate(self.goals.items()):
            column = self.terms[:, i]
            lines.append(f"  {name} ({goal}): {column.min():.4g} to {column.max():.4g}, balanced {column[at]:.4g}")
        return "\n".join(lines)


def front(
    model: Any,
    loss: Callable[[Any, Any], Any],
    spec: PyTree,
    *,
    terms: Mapping[str, Literal["min", "max"]],
    generations: int = 40,
    population: int = 40,
    refine: int = 20,
    within: float = 2.0,
    starts: Sequence[Any] | None = None,
    key: Any = None,
    realisations: int = 1,
    validation: Validation | Literal["auto"] | None = "auto",
    checkpoint: str | os.PathLike[str] | None = None,
    progress: bool | str = True,
) -> Front:
    """The models that no other one beats in all of several terms, such as FC and frequency.

    NSGA-II (Deb et al. 2002, "A fast and elitist multiobjective genetic algorithm"; pymoo's), all candidates of a generation
    simulated side by side on the same noise; then every point is moved downhill in all terms at once by gradient (Desideri 2012),
    the whole front side by side; then it is judged on noise that it never saw, and whatever is beaten there is left out.

    Ctrl-C ends it early, and what there is by then is judged.

    Args:
        model: a Network, any other Module, or a tuple or dict of them.
        loss: `loss(model, key)`, a scalar and a dict of named scalars.
        spec: which leaves are free: `gx.select(model, ...)`.
        terms: by name, 'min' or 'max': two or more of the loss's terms, or 'loss' for its value.
        generations: of the search; 0 for none, where `starts` are to be moved by gradient alone.
        population: candidates of each; more, where there are more starts.
        refine: steps by gradient after it; 0 for none, as where terms have no gradient.
        within: candidates lie so far around the start at most, in each number on the real line, where one is about the size of a parameter.
        starts: models that are among the first candidates, which differ from `model` in free leaves only, such as those of an earlier
            front with fewer free numbers. The other candidates scatter around `model`.
        key: `jax.random.key(...)`, or a whole number as its seed. All of the search hears the same noise, and no step by gradient is
            taken that leaves a term worse on it.
        realisations: the terms are means over so many keys, computed side by side.
        validation: noise on which the front is judged. Left out, it is `gx.Validation()` if the loss hears noise. With a loss of
            its own, it is judged by that one's terms of the same names.
        checkpoint: a file to keep the state in. If it exists, the search goes on from there, bit for bit.
        progress: show a bar; a text is its title.

    Raises:
        ImportError: without pymoo, which `pip install 'gyrax[search]'` brings.
        ValueError: for fewer than two terms, one that the loss does not have, arguments out of range, or a checkpoint that is damaged
            or of another search.
        FloatingPointError: if no candidate has finite terms, or none on unseen noise.
        TypeError: for what is of another kind.
        OSError: if the checkpoint cannot be written, or another process is at work with it.
        KeyboardInterrupt: before the first generation was finished.

    Example:
        >>> import gyrax as gx
        >>> model = gx.models.Linear(gamma=-0.5)
        >>> loss = lambda m, key: (m.gamma**2, {"near_1": (m.gamma + 1.0) ** 2, "near_2": (m.gamma + 2.0) ** 2})
        >>> goals = {"near_1": "min", "near_2": "min"}
        >>> found = front(model, loss, gx.select(model, "gamma"), terms=goals, generations=10, population=8, progress=False)
        >>> bool((found.terms.sum(1) < 1.1).all())
        True
    """
    began, earlier = time.perf_counter(), 0.0
    whole("generations", generations, 0)
    whole("population", population, 4)
    whole("refine", refine, 0)
    check_validation(validation)
    expect("checkpoint", checkpoint, (str, os.PathLike, None), "the name of a file", "'front.ckpt'")
    if not 0 < number("within", within) < np.inf:
        raise ValueError(f"within, how far candidates lie around the start, is a positive finite number, got {within}")
    need("pymoo", "search")
    what = task(model, loss, spec, key, realisations, progress)
    goals = _goals(terms, what.terms)
    held = held_out(validation, what.noisy, 5, what.objective, model, what.key)[0]
    _check_judge(held, what, goals)
    ends = _candidates(what, spec, starts, population if generations else 0, within)
    plan = Plan(what, goals, *ends, within, realisations)

    def spent() -> float:
        return earlier + time.perf_counter() - began

    title = progress if isinstance(progress, str) else "front"
    with (
        kept_in(checkpoint, lambda: plan.fingerprint(held)) as kept,
        tqdm(total=generations + refine, desc=title, unit="step", disable=not progress) as bar,
    ):
        stand, record = plan.blank()
        stand, record, earlier = kept.load(stand, record)
        _check_counts(kept, len(record["values"]), int(stand.refined), generations, refine)
        walk = Walk(plan, kept, spent, bar, stand, record)
        points, history, stopped = walk.all(generations, refine)
    mean, sd = judged(plan, held, points)
    kept_points = unbeaten(mean * signs_of(goals))
    if not len(kept_points):
        raise FloatingPointError("no point of the front has finite terms on unseen noise: give more realisations")
    models = [join(ravel_pytree(what.free)[1](points[i]), what.fixed) for i in kept_points]
    return Front(models, mean[kept_points], sd[kept_points], goals, history, spent(), stopped)


def _goals(terms: Any, known: list[str]) -> dict[str, str]:
    """What is to become small and what large."""
    expect("terms", terms, Mapping, "a dict by the name of a term", "{'r': 'max', 'frequency': 'min'}")
    goals = dict(terms)
    every = ["loss", *known]
    for name, goal in goals.items():
        if name not in every:
            raise ValueError(f"the loss has no term {name!r}; it has {', '.join(every)}")
        if goal not in ("min", "max"):
            meant = "max" if str(goal).lower().startswith("max") else "min"
            line = "{" + "..., " * (len(goals) > 1) + f"{name!r}: {meant!r}}}"
            raise TypeError(f"terms[{name!r}] is 'min' or 'max', got {shown(goal)}: write terms={line}")
    if len(goals) < 2:
        raise ValueError(f"a front is of two terms or more, got {list(goals)}; for one, use gx.fit or gx.search.evolve")
    return goals


def _check_judge(held: Held | None, what: Task, goals: Mapping[str, str]) -> None:
    """Refuses a loss of validation without the terms of the front."""
    if held is None or held.objective is what.objective:
        return
    known = ["loss", *described(held.objective.loss, what.model, what.key).terms]
    for name in goals:
        if name not in known:
            raise ValueError(
                f"validation's loss has no term {name!r}, by which points are judged; it has {', '.join(known)}"
            )


def _candidates(
    what: Task, spec: Any, starts: Sequence[Any] | None, population: int, within: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The points of the first generation, and the ends of each number: the starts, the model's own, and random ones."""
    centre = np.asarray(ravel_pytree(what.free)[0], float)
    given = centre[None]
    if starts is not None:
        expect("starts", starts, Sequence, "a list of models", "found.models")
        several = stacked(starts, spec, what.fixed)
        shapes = [
            (np.shape(a)[1:], np.shape(b)) for a, b in zip(*map(jax.tree.leaves, (several, what.free)), strict=True)
        ]
        for rule, (there, here) in zip(what.fixed.rules, shapes, strict=True):
            if there != here:
                name = what.fixed.names[rule.index]
                raise ValueError(
                    f"{name} has shape {there} in starts and {here} in the model: make them alike, as by gx.per_region"
                )
        given = np.asarray(jax.vmap(lambda free: ravel_pytree(free)[0])(several), float)
    count = max(population - len(given), 0)
    draws = np.random.default_rng(seed_of(what.key))
    scattered = centre + within * draws.uniform(-1, 1, (count, centre.size))
    first = np.concatenate([given, scattered])
    dtype = ravel_pytree(what.free)[0].dtype
    if population and not np.ptp(first.astype(dtype), axis=0).any():
        raise ValueError(
            f"within={within:g} is less than {dtype} tells apart around the start, so that all candidates are the same one: give a larger within="
        )
    return first, np.minimum(centre - within, given.min(0)), np.maximum(centre + within, given.max(0))


def _check_counts(kept: Checkpoint, searched: int, refined: int, generations: int, refine: int) -> None:
    """Refuses to undo what the file has done."""
    if searched > generations:
        raise ValueError(
            f"generations={generations} counts the {searched} that the checkpoint has searched: give {searched} or more"
        )
    if refined > refine:
        raise ValueError(
            f"refine={refine} counts the {refined} steps that the checkpoint has taken: give {refined} or more"
        )
    if refined and searched < generations:
        raise ValueError(
            f"{kept.path} was refined after {searched} generations and cannot be searched on: give generations={searched}, or another file"
        )
