"""Shape aliases, written once: `Float[Array, "state node"]` and friends in words."""

from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Float

if TYPE_CHECKING:  # fields convert what they are given: numbers, lists and arrays are all welcome
    Parameter: TypeAlias = Any
else:
    #: One value, or one value a region.
    Parameter: TypeAlias = Float[Array, "..."]
State: TypeAlias = Float[Array, "state node"]
Inputs: TypeAlias = Float[Array, "input node"]
Sources: TypeAlias = Float[Array, "source node"]
Features: TypeAlias = Float[Array, "feature node"]
Matrix: TypeAlias = Float[Array, "node node"]


class Channels(NamedTuple):
    """What lies along the last axis of samples: 'region', 'vertex', 'sensor', ..., and the names."""

    dim: str
    labels: tuple[str, ...]


def refuse_masked(value: Any) -> None:
    """Refuses an array of NumPy with a mask, which everything else would drop without a word.

    Example:
        >>> refuse_masked(np.ma.array([1.0, 2.0], mask=[False, True]))
        Traceback (most recent call last):
        ValueError: 1 of 2 entries are masked: leave them out (where=, in losses), or fill them with what they are, x.filled(0.0)
    """
    if isinstance(value, np.ma.MaskedArray) and np.ma.is_masked(value):
        raise ValueError(
            f"{np.ma.count_masked(value)} of {value.size} entries are masked: leave them out (where=, in losses), or fill them "
            "with what they are, x.filled(0.0)"
        )


def owned(value: Any, dtype: Any = None) -> Array:
    """An array that shares no memory with what it is made of: what becomes of a user's buffer later changes no model.

    Example:
        >>> buffer = np.zeros(2)
        >>> kept = owned(buffer)
        >>> buffer[:] = 1.0
        >>> kept.tolist()
        [0.0, 0.0]
    """
    # `jnp.asarray` takes a NumPy buffer over as it is. JAX's own arrays never change; what holds some is not copied by NumPy.
    refuse_masked(value)
    if not isinstance(value, jax.Array) and not is_traced(*jax.tree.leaves(value)):
        value = np.array(value)
    return jnp.asarray(value, dtype)


def is_known(*values: Any) -> bool:
    """Whether all are arrays of numbers that can be told: not filters, placeholders of shapes, or what JAX traces."""
    return all(isinstance(value, np.ndarray | jax.Array) and not isinstance(value, Tracer) for value in values)


def has_shape(*values: Any) -> bool:
    """Whether all have a shape, as arrays, tracers and placeholders have, and leaves of a filter have not."""
    return all(isinstance(getattr(value, "shape", None), tuple) for value in values)


def is_traced(*values: Any) -> bool:
    """Whether any of the values is not known yet, because JAX is tracing."""
    return any(isinstance(value, Tracer) for value in values)
