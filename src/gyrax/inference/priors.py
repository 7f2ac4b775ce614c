"""What is known of parameters before data: given, or by their domains."""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree

from .._digests import digest
from .._extras import need
from .._kinds import expect, refused
from .._types import is_traced
from ..fitting.space import Part, Space
from ..parameters.addresses import find_one, leaf_names
from ..parameters.domains import Above, AbstractDomain, Below, Interval, Positive, Real

#: What stands for the ends of the real line where a domain is asked whether it holds them.
_FAR = 1e30
_LINE = "{'model.w': numpyro.distributions.LogNormal(0.0, 0.5)}"


def default_prior(name: str, domain: AbstractDomain) -> Any:
    """The prior of a parameter without one: proper, weak, and of its domain alone, never of the value that it has now.

    Between two ends it is uniform. Above a lower end, the distance to it is log-normal around the size s of the declared
    default, LogNormal(log s, 1): nine of ten lie between a fifth of s and five times s. Below an upper end alike. On the whole
    real line it is Normal(0, 2 s).

    Raises:
        ValueError: where the domain has no size of its own, as nobody declared a default.

    Example:
        >>> import gyrax as gx
        >>> described_prior(default_prior("w", gx.Positive(scale=0.5)))
        'LogNormal(loc=-0.693, scale=1)'
    """
    d = need("numpyro.distributions", "inference")
    if isinstance(domain, Interval):
        return d.Uniform(domain.lower, domain.upper)
    scale = getattr(domain, "scale", None)
    if scale is None or not isinstance(domain, Above | Positive | Below | Real):
        raise ValueError(
            f"{name} has no prior, and its domain {domain!r} says nothing of its size: give "
            f"priors={{'{name}': ...}}, a distribution of NumPyro in the unit of the parameter"
        )
    if isinstance(domain, Real):
        return d.Normal(0.0, 2 * scale)
    apart = d.LogNormal(math.log(scale), 1.0)
    if isinstance(domain, Below):
        return d.TransformedDistribution(apart, d.transforms.AffineTransform(domain.upper, -1.0))
    if domain.lower == 0:
        return apart
    return d.TransformedDistribution(apart, d.transforms.AffineTransform(domain.lower, 1.0))


def described_prior(prior: Any) -> str:
    """A distribution in a few words.

    Example:
        >>> import numpyro.distributions as d
        >>> described_prior(d.Gamma(2.0, 2.0))
        'Gamma(concentration=2, rate=2)'
    """
    base = getattr(prior, "base_dist", None)
    if (
        base is not None and not hasattr(prior, "transforms") and hasattr(prior, "low") | hasattr(prior, "high")
    ):  # truncated
        ends = [f"{name}={float(getattr(prior, name)):.3g}" for name in ("low", "high") if hasattr(prior, name)]
        return f"truncated {described_prior(base)[:-1]}, {', '.join(ends)})"
    arguments = []
    for name in prior.arg_constraints:
        value = getattr(prior, name, None)
        if value is not None and not is_traced(value):
            known = np.asarray(value)
            arguments.append(f"{name}={known.item():.3g}" if known.size == 1 else f"{name} of shape {known.shape}")
    text = f"{type(prior).__name__}({', '.join(arguments)})"
    if not arguments and base is not None and hasattr(prior, "transforms"):
        text = described_prior(base)
        for t in prior.transforms:  # as the defaults have them: a distance from an end
            loc, scale = (np.asarray(getattr(t, name, np.nan), float) for name in ("loc", "scale"))
            if type(t).__name__ == "ExpTransform":
                text = f"Log{text}" if text.startswith("Normal") else f"exp {text}"
            elif loc.size == scale.size == 1 and np.isfinite(loc * scale):
                size = f"{abs(scale.item()):g} " if abs(scale) != 1 else ""
                text = f"{loc.item():g} {'-' if scale < 0 else '+'} {size}{text}"
            else:
                text = f"{type(t).__name__} of {text}"
    return text


def resolved(model: PyTree, space: Space, priors: Any) -> tuple[Space, tuple[Any, ...]]:
    """A prior for each free leaf (for each number along a basis), and the free leaves in what these allow.

    Where a prior reaches less far than the domain, its own ends are the domain: every point of the real line has some
    probability, and no sampler runs against a wall.

    Raises:
        TypeError: for what is no distribution of real numbers.
        ValueError: for a prior of a leaf that is not free, one that reaches outside of the domain, or of another shape.
    """
    given = _by_name(model, space, priors)
    parts, found = [], []
    for part in space.parts:
        prior = given.get(part.name)
        if part.basis is not None:
            found.append(_along(part, prior))
            parts.append(part)
            continue
        if prior is None:
            prior = default_prior(part.name, part.domain)
        domain = _fitted(part, prior, part.domain)
        _check_shape(part, prior)
        parts.append(dataclasses.replace(part, domain=domain))
        found.append(prior)
    # Numbers as arrays: other numbers in them are then no reason to compile anew.
    return Space(tuple(parts), space.follows), jax.tree.map(_array, tuple(found))


def _array(x: Any) -> Any:
    return (
        jnp.asarray(x, jnp.result_type(float))
        if isinstance(x, float | int | np.ndarray) and not isinstance(x, bool)
        else x
    )


def _by_name(model: PyTree, space: Space, priors: Any) -> dict[str, Any]:
    """What was given, by name of the leaf."""
    if priors is None:
        return {}
    expect("priors", priors, Mapping, "a dict of distributions by the path of a leaf", _LINE)
    names, found = leaf_names(model), {}
    free, follows = [part.name for part in space.parts], dict(space.follows)
    for where, prior in priors.items():
        name = names[find_one(model, where)]
        if name in follows:
            raise ValueError(f"{name} follows {follows[name]}: give priors={{'{follows[name]}': ...}} for both")
        if name not in free:
            raise ValueError(
                f"{name} has a prior and is not free: free it in gx.select(...), or leave the prior out; free: {', '.join(free)}"
            )
        if name in found:
            raise ValueError(f"{name} has two priors")
        found[name] = prior
    return found


def _along(part: Part, prior: Any) -> tuple[Any, ...]:
    """A prior for each number of a leaf along a basis."""
    d = need("numpyro.distributions", "inference")
    if prior is not None and not isinstance(prior, Mapping):
        if not all(part.levels):
            raise ValueError(
                f"{part.name} is free along {', '.join(part.columns)}: give a prior for each, "
                f"priors={{'{part.name}': {{'{part.columns[0]}': ..., }}}}, or none"
            )
        prior = dict.fromkeys(part.columns, prior)
    prior = dict(prior or {})
    unknown = set(prior) - set(part.columns)
    if unknown:
        raise ValueError(
            f"{part.name} has no part '{min(unknown)}' to give a prior to; it has {', '.join(part.columns)}"
        )
    found = []
    for column, level in zip(part.columns, part.levels, strict=True):
        name, domain = f"{part.name} along {column}", part.domain if level else Real()
        one = prior.get(column)
        if one is None:
            one = default_prior(name, domain) if level else d.Normal(0.0, 1.0)
        if _fitted(part, one, domain, name) != domain:
            raise ValueError(
                f"the prior of {name}, {described_prior(one)}, reaches less far than its domain {domain!r}, which all its parts "
                "share: give the leaf that domain, gx.Free(..., domain=...), or a prior of all of it"
            )
        if one.shape() != ():
            raise ValueError(f"the prior of {name} has shape {one.shape()}, expected that of one number")
        found.append(one)
    return tuple(found)


def _check_shape(part: Part, prior: Any) -> None:
    if prior.shape() not in ((), part.shape):
        raise ValueError(
            f"the prior of {part.name} has shape {prior.shape()}, and its free numbers {part.shape}: give one distribution for "
            "each of them, or one of that shape"
        )


def _fitted(part: Part, prior: Any, domain: AbstractDomain, name: str | None = None) -> AbstractDomain:
    """The domain, or the part of it that a prior reaches.

    Raises:
        TypeError: for what is no continuous distribution.
        ValueError: if the prior reaches outside.
    """
    d = need("numpyro.distributions", "inference")
    name = name or part.name
    if not isinstance(prior, d.Distribution):
        raise refused(
            f"priors[{name!r}]", prior, "a distribution of NumPyro", "numpyro.distributions.LogNormal(0.0, 0.5)"
        )
    lower, upper = _ends(prior, name)
    inside = [bool(jnp.all(domain.admits(jnp.asarray(end)))) for end in (max(lower, -_FAR), min(upper, _FAR))]
    if not all(inside):
        raise ValueError(
            f"the prior of {name}, {described_prior(prior)}, reaches from {lower:g} to {upper:g}, outside of its domain {domain!r}: "
            f"take one that stays inside, such as a truncated one, or free the leaf with another domain, gx.Free('{part.name}', domain=...)"
        )
    own = [bool(jnp.all(domain.contains(jnp.asarray(end)))) for end in (lower, upper)]
    if not any(own):  # as far as the domain
        return domain
    scale = getattr(domain, "scale", None)
    if math.isfinite(lower) and math.isfinite(upper):
        return Interval(lower, upper, scale)
    return Above(lower, scale) if math.isfinite(lower) else Below(upper, scale)


def _ends(prior: Any, name: str) -> tuple[float, float]:
    """From where to where a distribution reaches."""
    d = need("numpyro.distributions", "inference")
    if isinstance(prior, d.ImproperUniform):
        raise ValueError(f"the prior of {name} is improper, no distribution to draw from: give a wide one that is")
    if isinstance(prior, d.Delta):
        raise ValueError(f"the prior of {name} is a single value: leave the leaf out of gx.select(...) instead")
    if isinstance(prior, d.MaskedDistribution):
        raise ValueError(
            f"the prior of {name} is masked, so that its density is none: give the distribution without .mask(...)"
        )
    if not isinstance(prior, d.TransformedDistribution):
        within = getattr(prior, "base_dist", None)  # of what is expanded, or has several for one
        nested = isinstance(prior, d.ExpandedDistribution | d.Independent)
        return _ends(within, name) if nested else _ends_of(prior.support, prior, name)
    lower, upper = _ends(prior.base_dist, name)
    for t in prior.transforms:
        if isinstance(t, d.transforms.AffineTransform):  # whose codomain NumPyro knows of few domains
            loc, size = _same(t.loc, name), _same(t.scale, name)
            lower, upper = sorted((loc + size * lower, loc + size * upper))
        else:
            lower, upper = _through(t, lower, upper, prior, name)
    # Some say more of themselves than their parts do.
    try:
        least, most = _ends_of(prior.support, prior, name)
    except ValueError:
        return lower, upper
    return max(lower, least), min(upper, most)


def _through(transform: Any, lower: float, upper: float, prior: Any, name: str) -> tuple[float, float]:
    """Where an interval comes to by a transform: NumPyro's codomain is that of the whole line."""
    least, most = _ends_of(transform.codomain, prior, name)
    inside = max(lower, -1.0) if math.isinf(upper) else lower if math.isfinite(lower) else upper - 2.0
    width = min(upper - inside, 2.0)
    values = np.asarray(transform(jnp.asarray(inside + width * np.linspace(0.1, 0.9, 9))), float)
    rises, falls = (np.diff(values) > 0).all(), (np.diff(values) < 0).all()
    if values.shape != (9,) or not (rises or falls):
        raise ValueError(
            f"the prior of {name}, {described_prior(prior)}, goes through {type(transform).__name__}, which takes several values to one or is no "
            "function of one number: give a distribution whose density is known"
        )
    ends = []
    for end, beyond in ((lower, least if rises else most), (upper, most if rises else least)):
        value = _same(transform(jnp.asarray(end)), name) if math.isfinite(end) else math.nan
        ends.append(value if math.isfinite(value) else beyond)
    return min(ends), max(ends)


def _ends_of(support: Any, prior: Any, name: str) -> tuple[float, float]:
    constraints = need("numpyro.distributions", "inference").constraints
    if support.is_discrete:
        raise ValueError(
            f"the prior of {name}, {described_prior(prior)}, is of whole numbers, and the parameter is continuous"
        )
    while hasattr(support, "base_constraint"):
        support = support.base_constraint
    lower, upper = getattr(support, "lower_bound", None), getattr(support, "upper_bound", None)
    if lower is None and upper is None and support is not constraints.real:
        raise ValueError(f"the prior of {name}, {described_prior(prior)}, is of {support}, which is no interval")
    return (
        -math.inf if lower is None else _same(lower, name),
        math.inf if upper is None else _same(upper, name),
    )


def _same(end: Any, name: str) -> float:
    """One number, of which each free number has the same; a float32 means the decimal that it shows."""
    known = np.unique(np.asarray(end))
    if len(known) > 1:
        raise ValueError(f"the prior of {name} has other ends for each number: give one that has the same for all")
    return float(str(known[0]))


def told_priors(space: Space, priors: Any) -> tuple[str, ...]:
    """Each prior in words, by all of its numbers to six digits: other digits are those of the precision.

    Args:
        space: what is free.
        priors: of it, as `resolved` gives them.
    """
    found = []
    for part, prior in zip(space.parts, priors, strict=True):
        several = [part.name] if part.basis is None else [f"{part.name} along {c}" for c in part.columns]
        for name, one in zip(several, [prior] if part.basis is None else prior, strict=True):
            numbers = [f"{x:.6g}" for leaf in jax.tree.leaves(one) for x in np.ravel(np.asarray(leaf, float))]
            rest = f"{len(numbers)} numbers, digest {digest(numbers)[:8]}" if len(numbers) > 8 else ", ".join(numbers)
            found.append(f"of {name}, {described_prior(one)} ({rest})")
    return tuple(found)


def drawn(space: Space, priors: tuple[Any, ...], key: Any) -> Any:
    """One vector on the real line, drawn from the prior."""
    found = []
    for part, prior, k in zip(space.parts, priors, jax.random.split(key, len(space.parts)), strict=True):
        if part.basis is None:
            values = prior.sample(k) if prior.shape() == part.shape else prior.sample(k, part.shape)
        else:
            values = jnp.stack([p.sample(q) for p, q in zip(prior, jax.random.split(k, len(prior)), strict=True)])
        found.append(jnp.ravel(part.reals(values)))
    return jnp.concatenate(found).astype(jnp.result_type(float))


def log_prior(space: Space, priors: tuple[Any, ...], vector: Any) -> Any:
    """Log-density of the prior on the real line: in the units of the parameters, times the slopes of their domains."""
    total = jnp.zeros(())
    for part, prior, real in zip(space.parts, priors, space.pieces(vector), strict=True):
        values = part.values(real)
        if part.basis is None:
            total = total + prior.log_prob(values).sum()
        else:
            total = total + sum(p.log_prob(x) for p, x in zip(prior, values, strict=True))
        total = total + part.log_slope(real).sum()
    return total
