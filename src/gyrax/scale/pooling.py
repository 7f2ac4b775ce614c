"""One subject's loss as that of a cohort, with individual parameters drawn to the group's mean."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
from jaxtyping import Array, Float

from .._kinds import expect, random_key, reals, refused, whole
from ..fitting.objective import RESIDUALS, keys_of, outcome
from ..labelled import LabelledArray, is_named, known_names
from ..parameters.addresses import domains, find_one, leaf_names, replace
from .cohort import Cohort
from .gathering import check_of_subject

#: Terms that the loss of a cohort has of its own.
_OWN = ("subject", "pooling")


class CohortLoss(eqx.Module):
    """The loss of a cohort. Made by `cohort_loss`; called with a cohort and a key.

    Attributes:
        loss: that of one subject.
        pooled: standard deviations around the group's mean, by the leaf's name.
    """

    loss: Callable[..., Any]
    pooled: dict[str, Float[Array, "..."]]

    def __call__(self, cohort: Cohort, key: Any) -> tuple[Float[Array, ""], dict[str, Array]]:
        """The sum over subjects and what pools them; terms are means over subjects, 'subject' that of the loss itself."""
        expect("cohort", cohort, Cohort, "a cohort", 'gx.Cohort({"sub-01": network, ...})')
        value, terms, residuals = outcome(cohort.map(self.loss, key))
        if jnp.shape(value) != (len(cohort),):
            raise TypeError(
                f"the loss of a subject must be a scalar (or a pair of a scalar and a dict of scalars), got shape {jnp.shape(value)[1:]}"
            )
        for name in terms:
            if name in _OWN:
                raise ValueError(
                    f"the loss of a cohort has a term '{name}' of its own: call the subject's term otherwise"
                )
        found = {name: jnp.mean(term, 0) for name, term in terms.items()} | {"subject": value.mean()}
        total = value.sum()
        if self.pooled:
            found["pooling"] = self.penalty(cohort)
            total = total + found["pooling"]
        elif residuals is not None:
            found[RESIDUALS] = residuals
        return total, found

    def each(self, cohort: Cohort, key: Any) -> dict[str, LabelledArray]:
        """The loss and its terms of each subject, for `gx.evaluate(cohort, loss.each, keys)` and `Cohort.table`."""
        expect("cohort", cohort, Cohort, "a cohort", 'gx.Cohort({"sub-01": network, ...})')
        value, terms, _ = outcome(cohort.map(self.loss, key))
        return {name: LabelledArray(x, [cohort.subjects]) for name, x in {"loss": value, **terms}.items()}

    def penalty(self, cohort: Cohort) -> Float[Array, ""]:
        """Half the squared distances to the group's mean, in standard deviations, summed."""
        total = jnp.zeros(())
        for name, sd in self.pooled.items():
            real = real_of(cohort, name)
            if jnp.shape(sd) not in ((), real.shape[1:]):
                raise ValueError(
                    f"the sd of {name} has shape {jnp.shape(sd)}: expected one number, or that of a subject's value, {real.shape[1:]}"
                )
            total = total + 0.5 * (((real - real.mean(0)) / sd) ** 2).sum()
        return total


def real_of(cohort: Cohort, name: str) -> Float[Array, "subject ..."]:
    """The values of an individual leaf on the real line of its declared domain.

    Raises:
        ValueError: if there is no such leaf, or all share it.
    """
    index = find_one(cohort, name)
    full = leaf_names(cohort)[index]
    if full not in cohort.individual:
        raise ValueError(
            f"{full} is shared by all subjects, so there is no spread between them: make it individual, gx.per_subject(cohort, {full!r})"
        )
    return domains(cohort)[index].to_real(jax.tree.leaves(cohort)[index])


def cohort_loss(loss: Callable[[Any, Any, Any], Any], pooled: Mapping[str, Any] | None = None) -> CohortLoss:
    r"""The loss of a cohort: the sum of its subjects' losses, with partial pooling of individual parameters where asked for.

    A sum, so that it is the negative log-likelihood of all data where each is that of a subject's, for `gx.fit` and `gx.inference` alike;
    and so that what one subject's own leaves do depends on no other subject. The history has means over subjects: of the loss itself as
    'subject', and of its terms.

    Pooled parameters are normal around their group's mean, $u_s \sim N(m, \mathrm{sd}^2)$ on the real line of the declared domain, where
    the default's size is about 1. The mean is the best one, that of the subjects, which adds

    $$\frac{1}{2\,\mathrm{sd}^2} \sum_s (u_s - \bar u)^2$$

    to the loss; a mean integrated out under a flat prior adds the same. The fit is then the maximum a posteriori for this sd, if the loss is
    in nats; with any other loss sd says how strongly to pool, and no more. `random_effects` estimates it from separate fits. As sd goes to zero all subjects
    share one value (complete pooling); without pooling, each goes by itself.

    Args:
        loss: `loss(network, data, key)` of one subject: a scalar, or a scalar and a dict of named scalars, as `gx.fit` takes them.
            It is traced once, for all subjects side by side, each with its own key.
        pooled: sd by the name of an individual leaf, such as {"network.model.w": 0.1}: one number, or one for each of a subject's values.

    Raises:
        TypeError: for what is no function of these three, or no dict of numbers.
        ValueError: for an sd that is not positive.

    Example:
        >>> import gyrax as gx
        >>> one, two = (gx.models.Linear(gamma=gamma) for gamma in (-1.0, -2.0))
        >>> nets = {n: gx.Network(m, gx.couplings.Linear(source="x"), [[0, 1], [1, 0]]) for n, m in (("A", one), ("B", two))}
        >>> cohort = gx.Cohort(nets, {"A": 1.0, "B": 3.0})
        >>> loss = gx.scale.cohort_loss(lambda net, data, key: (net.model.gamma + data) ** 2, {"network.model.gamma": 0.5})
        >>> {name: float(value) for name, value in loss(cohort, None)[1].items()}
        {'subject': 0.5, 'pooling': 0.554}
    """
    check_of_subject("loss", loss)
    expect(
        "pooled",
        pooled,
        (Mapping, None),
        "a dict of standard deviations by the leaf's name",
        "{'network.model.w': 0.1}",
    )
    found = {}
    for name, sd in (pooled or {}).items():
        if not isinstance(name, str):
            raise refused(
                "pooled", pooled, "a dict of standard deviations by the leaf's name", "{'network.model.w': 0.1}"
            )
        values = reals(f"pooled[{name!r}]", sd)
        if not isinstance(values, jax.Array) and not ((values > 0) & np.isfinite(values)).all():
            raise ValueError(
                f"pooled[{name!r}] is a positive number, got {sd}: leave it out for no pooling, and share the leaf for complete pooling"
            )
        found[name] = jnp.asarray(values, jnp.result_type(float))
    return CohortLoss(loss, found)


class Spread(NamedTuple):
    """What `random_effects` found of a parameter, on the real line of its domain.

    Attributes:
        mean: of the group.
        error: the mean's standard error.
        sd: between subjects, the errors of the single values taken out; 0 where they explain all.
        values: of each subject, drawn to the mean by as much as its own error asks for.
    """

    mean: float
    error: float
    sd: float
    values: np.ndarray


def random_effects(values: Any, errors: Any) -> Spread:
    r"""How much subjects differ, from separate estimates and their standard errors.

    The two-stage model $\hat u_s \sim N(u_s, e_s^2)$, $u_s \sim N(m, \mathrm{sd}^2)$, with the sd of restricted maximum likelihood
    (found on a fine grid, then by bisection of its slope): what `pooled=` of `cohort_loss` takes.

    Args:
        values: estimates of separate fits on the real line, `(subject,)`: `standard_errors` gives them.
        errors: their standard errors, `(subject,)`. Too small ones make subjects seem to differ. Where both have names (of pandas, xarray), these
            are the same in the same order.

    Raises:
        ValueError: for fewer than three subjects, shapes or names that differ, or errors that are not positive.

    Example:
        >>> found = random_effects([0.0, 1.0, 2.0, 3.0], [0.1, 0.1, 0.1, 0.1])
        >>> round(found.mean, 3), round(found.sd, 3)
        (1.5, 1.287)
    """
    _check_same_subjects(values, errors)
    u, e = reals("values", values), reals("errors", errors)
    if u.ndim != 1 or u.shape != e.shape or len(u) < 3:
        raise ValueError(
            f"values and errors are one number a subject, of three or more: got shapes {u.shape} and {e.shape}"
        )
    if not (np.isfinite(u).all() and np.isfinite(e).all() and (e > 0).all()):
        raise ValueError("values are finite, and errors finite and positive: leave a subject out whose fit has none")

    def weighted(variance: float) -> tuple[np.ndarray, float]:
        weights = 1 / (variance + e**2)
        return weights, float((weights * u).sum() / weights.sum())

    def minus_twice(variance: float) -> float:
        weights, mean = weighted(variance)
        return float(-np.log(weights).sum() + np.log(weights.sum()) + (weights * (u - mean) ** 2).sum())

    top = 10 * u.var(ddof=1) + e.max() ** 2
    grid = np.concatenate([[0.0], np.geomspace(1e-10, 1.0, 400) * top])
    at = int(np.argmin([minus_twice(v) for v in grid]))
    low, high = grid[max(at - 1, 0)], grid[min(at + 1, len(grid) - 1)]
    for _ in range(80):
        third = (high - low) / 3
        low, high = (low, high - third) if minus_twice(low + third) < minus_twice(high - third) else (low + third, high)
    variance = (low + high) / 2 if at else 0.0
    weights, mean = weighted(variance)
    drawn = variance / (variance + e**2)
    return Spread(mean, float(weights.sum() ** -0.5), float(np.sqrt(variance)), mean + drawn * (u - mean))


def _check_same_subjects(values: Any, errors: Any) -> None:
    """Refuses two that have names which differ: they would be paired by their places.

    Raises:
        ValueError: naming the first.
    """
    if not (is_named(values) and is_named(errors)):
        return
    if isinstance(values, pd.Series) and isinstance(errors, pd.Series):
        one, two = list(values.index), list(errors.index)  # whole numbers too, which are no names elsewhere
    else:
        one, two = ((*known_names(x, name)[1], None)[0] for x, name in ((values, "values"), (errors, "errors")))
    if one is None or two is None or one == two:
        return
    if len(one) == len(two):
        at = next(i for i, pair in enumerate(zip(one, two, strict=True)) if pair[0] != pair[1])
        what = f"number {at} is {one[at]!r} in values and {two[at]!r} in errors"
    else:
        what = f"values has {len(one)} subjects and errors {len(two)}"
    raise ValueError(
        f"values and errors are of the same subjects in the same order, but {what}: write errors.reindex(values.index)"
    )


def standard_errors(
    cohort: Cohort, loss: CohortLoss, names: Sequence[str], key: Any = None, realisations: int = 1
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Each subject's values on the real line and their standard errors, from the curvature of its own loss where the cohort is now.

    Of the named parameters together, everything else held, and without pooling. The loss must be in nats, and the cohort at its lowest
    without pooling: the end of a separate fit.

    Args:
        cohort: after a fit in which the named leaves were individual and not pooled.
        loss: of the cohort; what it pools is left out.
        names: individual leaves of one value a subject.
        key: of the noise that the loss hears.
        realisations: of the noise, over which the loss is averaged.

    Returns:
        By name, values and standard errors, `(subject,)` each: what `random_effects` takes.

    Raises:
        ValueError: for a leaf that is not one value a subject, or a curvature that is not positive, naming the subject.
    """
    expect("cohort", cohort, Cohort, "a cohort", 'gx.Cohort({"sub-01": network, ...})')
    expect("loss", loss, CohortLoss, "the loss of a cohort", "gx.scale.cohort_loss(...)")
    if (
        isinstance(names, str)
        or not isinstance(names, Sequence)
        or not all(isinstance(n, str) for n in names)
        or not names
    ):
        raise refused("names", names, "a list of individual leaves", "['network.model.w']")
    whole("realisations", realisations)
    real = [real_of(cohort, name) for name in names]
    for name, u in zip(names, real, strict=True):
        if u.ndim != 1:
            raise ValueError(
                f"{name} has shape {u.shape[1:]} in each subject: standard errors are of one value a subject"
            )
    keys = keys_of(random_key("key", 0 if key is None else key), realisations)
    curved = np.asarray(_curvature(cohort, loss.loss, tuple(names), jnp.stack(real), keys), float)
    bent = np.linalg.eigvalsh((curved + curved.swapaxes(1, 2)) / 2)[:, 0] > 0
    if not bent.all():
        raise ValueError(
            f"the loss of {cohort.subjects[int(np.argmin(bent))]} has no positive curvature there: its fit is not at a minimum, or the data "
            "says nothing of the parameter"
        )
    errors = np.sqrt(np.diagonal(np.linalg.inv(curved), axis1=1, axis2=2))
    return {name: (np.asarray(u, float), errors[:, i]) for i, (name, u) in enumerate(zip(names, real, strict=True))}


@eqx.filter_jit
def _curvature(
    cohort: Cohort, loss: Any, names: tuple[str, ...], real: Array, keys: Array
) -> Float[Array, "subject name name"]:
    """Second derivatives of each subject's loss: no subject's depends on another's values, so that one direction asks all at once."""
    found = [find_one(cohort, name) for name in names]
    declared = [domains(cohort)[i] for i in found]

    def total(real: Array) -> Array:
        moved = replace(cohort, {i: d.from_real(u) for i, d, u in zip(found, declared, real, strict=True)})
        each = jax.vmap(lambda key: outcome(moved.map(loss, key)).value.sum())(keys)
        return each.mean()

    def column(i: Array) -> Array:
        direction = jnp.zeros_like(real).at[i].set(1.0)
        return jax.jvp(jax.grad(total), (real,), (direction,))[1]

    return jnp.moveaxis(jax.lax.map(column, jnp.arange(len(names))), 2, 0)
