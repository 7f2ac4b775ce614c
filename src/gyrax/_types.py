"""Shape aliases, written once: `Float[Array, "state node"]` and friends in words."""

from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

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


def is_traced(*values: Any) -> bool:
    """Whether any of the values is not known yet, because JAX is tracing."""
    return any(isinstance(value, Tracer) for value in values)
