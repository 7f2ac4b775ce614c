"""Shape aliases, written once: `Float[Array, "state node"]` and friends in words."""

from typing import TypeAlias

from jaxtyping import Array, Float

#: One value, or one value a region.
Parameter: TypeAlias = Float[Array, "..."]
State: TypeAlias = Float[Array, "state node"]
Inputs: TypeAlias = Float[Array, "input node"]
Sources: TypeAlias = Float[Array, "source node"]
Features: TypeAlias = Float[Array, "feature node"]
Matrix: TypeAlias = Float[Array, "node node"]
