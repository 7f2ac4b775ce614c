"""What a run that goes on from a file is of, part by part, so that it can say which part is not the one it began with."""

import dataclasses
from collections.abc import Callable, Mapping
from importlib.metadata import version
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree

from .._digests import digest, loose
from ..parameters.splitting import Fixed
from .descent import Carry, Descent, Held, Moves
from .objective import AbstractObjective
from .tracing import AsNow

#: By name what each part is: as it reads, or after a '#' what it is a digest of and the digest.
Fingerprint = dict[str, str]

#: Where one of these differs, so do most of the others, and nothing else is said.
_FIRST = ("the precision", "what is free", "the number of starts")
#: These may differ because other versions trace the same function otherwise.
_TRACED = ("the loss", "the validation loss", "the optimiser", "the rules")
_MADE_WITH = "made with"
_MOST = 6


def of_fit(descent: Descent, carry: Carry, model: Any) -> Fingerprint:
    """Of a fit before its first step: objective, optimiser, keys, what is free and from where, what is frozen at what."""
    method = {
        "the optimiser": f"#{descent.moves.computes}{digest(carry.optimiser)}",
        "noise": "common" if descent.common else "new",
        "clip": str(descent.clip),
        "the gradient": str(descent.evolution or "exact"),
    }
    held = None if descent.held is None else (descent.held, descent.every)
    return of_objective(
        descent.objective, carry.free, held, model, descent.key, descent.realisations, descent.starts, method
    )


def of_objective(
    objective: AbstractObjective,
    free: PyTree,
    held: tuple[Held, int] | None,
    model: Any,
    key: Any,
    realisations: int,
    starts: int | None,
    method: Fingerprint,
) -> Fingerprint:
    """Of whatever looks for free leaves: the objective, the noise, where it starts, and what the method says of itself."""
    fixed, leaves = objective.fixed, jax.tree.leaves(free)
    parts = surroundings() | {
        "what is free": ", ".join(
            f"{fixed.names[r.index]}{_shape(x, starts)}" for r, x in zip(fixed.rules, leaves, strict=True)
        ),
        "the number of starts": str(starts or 1),
        "the loss": _computes(objective.loss, model, key),
        **method,
        "the key": as_read(key),
        "realisations": str(realisations),
        "validation": "none" if held is None else f"{len(held[0].keys)} keys every {held[1]} steps",
    }
    if held is not None:
        parts["the validation noise"] = as_read(held[0].keys)
        parts["the validation loss"] = _computes(held[0].objective.loss, model, key)
    return parts | _leaves(fixed, free) | statics(model)


def surroundings() -> Fingerprint:
    """The precision, and the versions that a function is traced by."""
    packages = ("gyrax", "jax", "equinox", "diffrax", "optax", "numpy")
    return {
        "the precision": str(jnp.result_type(float)),
        _MADE_WITH: ", ".join(f"{name} {version(name)}" for name in packages),
    }


def traced(function: Callable[..., Any], *arguments: Any) -> str:
    """What a function computes of such arguments. Nothing is compiled, and what a fit traces again is remembered by JAX."""
    return f"#{digest(eqx.filter_make_jaxpr(function)(*arguments)[0])}"


def _computes(loss: Any, model: Any, key: Any) -> str:
    """Of a loss that was looked at, the very trace by which its program is known."""
    return f"#{loss.told()}" if isinstance(loss, AsNow) else traced(loss, model, key)


def as_read(leaf: Any) -> str:
    """A number as it reads, a larger array by shape and digest."""
    if eqx.is_array_like(leaf) and np.shape(leaf) == () and not isinstance(leaf, jax.Array | np.ndarray):
        return str(leaf)
    if eqx.is_array(leaf) and leaf.shape == () and not jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        return str(np.asarray(leaf)[()])
    return f"#{digest(leaf)}"


def statics(tree: Any, name: str = "") -> Fingerprint:
    """Whatever of a model is no leaf: which classes, and what their static fields hold, such as labels and bounds."""
    at = f"{name}." if name else ""
    if dataclasses.is_dataclass(tree) and not isinstance(tree, type):
        found = {f"the class of {name or 'the model'}": type(tree).__qualname__}
        for field in dataclasses.fields(tree):
            value = getattr(tree, field.name, None)
            inner = (
                {f"{at}{field.name}": _brief(value)}
                if field.metadata.get("static")
                else statics(value, f"{at}{field.name}")
            )
            found |= inner
        return found
    if isinstance(tree, Mapping):
        return {k: v for key, value in tree.items() for k, v in statics(value, f"{at}{key}").items()}
    if isinstance(tree, tuple | list):
        return {k: v for i, value in enumerate(tree) for k, v in statics(value, f"{at}{i}").items()}
    return {}


def differences(there: Fingerprint, here: Fingerprint) -> list[str]:
    """What differs, a part each: 'the loss differs', 'frozen model.w differs: 0.5 there, 0.6 here'.

    Example:
        >>> differences({"clip": "0.1", "the loss": "#3f"}, {"clip": "None", "the loss": "#a0"})
        ['the loss differs', 'clip differs: 0.1 there, None here']
    """
    if not there:
        return ["it was written by an earlier gyrax and does not say what it is of"]
    names = [name for name in {**here, **there} if here.get(name) != there.get(name) and name != _MADE_WITH]
    names = [name for name in names if name in _FIRST] or sorted(names, key=lambda name: name not in _TRACED)
    found = [_difference(name, there.get(name), here.get(name)) for name in names[:_MOST]]
    if len(names) > _MOST:
        found.append(f"{len(names) - _MOST} more differ")
    if set(names) & set(_TRACED) and there.get(_MADE_WITH) != here.get(_MADE_WITH):
        found.append(
            f"that may come from other versions alone: {there.get(_MADE_WITH)} there, {here.get(_MADE_WITH)} here"
        )
    return found


def comparable(there: Fingerprint, here: Fingerprint) -> bool:
    """Whether the parameters of one can be those of the other."""
    return bool(there) and all(there.get(name) == here.get(name) for name in _FIRST)


def _shape(leaf: Any, starts: int | None) -> str:
    shape = np.shape(leaf)[0 if starts is None else 1 :]
    return str(shape) if shape else ""


def _difference(name: str, there: str | None, here: str | None) -> str:
    if there is None or here is None:
        return f"{name} is only {'here' if there is None else 'there'}"
    if there.startswith("#") or here.startswith("#"):
        return f"{name} differs"
    return f"{name} differs: {there} there, {here} here"


def _brief(value: Any) -> str:
    """A static value as it reads, if that is all of it and short."""
    plain = value is None or isinstance(value, bool | int | float | str)
    return str(value) if plain and len(str(value)) < 60 and not str(value).startswith("#") else f"#{digest(value)}"


def _leaves(fixed: Fixed, free: PyTree) -> Fingerprint:
    """Frozen leaves by their values; free ones by their domains and masks, and where they start."""
    parts = {f"frozen {fixed.names[i]}": as_read(leaf) for i, leaf in zip(fixed.kept, fixed.leaves, strict=True)}
    for rule, start in zip(fixed.rules, jax.tree.leaves(free), strict=True):
        name = fixed.names[rule.index]
        parts[f"the domain of {name}"] = (
            repr(rule.domain) if dataclasses.is_dataclass(rule.domain) else digest(rule.domain)
        )
        parts[f"the bijection of {name}"] = traced(rule.domain.from_real, start)
        parts[f"the start of {name}"] = f"#{digest(start)}"
        parts[f"the mask of {name}"] = f"#{digest(rule.positions)}"
        parts[f"what {name} is made of"] = f"#{digest(rule.basis)}"
        parts[f"the part of {name} that is not free"] = f"#{digest(rule.held)}"
    ties = [f"{fixed.names[follower]} follows {fixed.names[first]}" for follower, first in fixed.follows]
    return parts | {"ties": ", ".join(ties) or "none"}


def moved_by(descent: Descent, carry: Carry) -> Moves:
    """The optimiser with what an update of it computes, for a value function that stands for the loss."""

    def squares(free: PyTree):
        return sum(jnp.sum(x**2) for x in jax.tree.leaves(free))

    def update(state: PyTree, free: PyTree):
        return descent.transform(free).update(free, state, free, value=squares(free), grad=free, value_fn=squares)

    free, state = carry.free, carry.optimiser
    if descent.starts is not None:
        free, state = jax.tree.map(lambda x: x[0], (free, state))
    jaxpr = eqx.filter_make_jaxpr(update)(state, free)[0]
    return Moves(descent.moves.optimiser, digest(jaxpr), not any(loose(jaxpr)))
