"""Losses made of several terms."""

from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .._kinds import expect
from .._types import is_traced

#: What the history of a fit has of its own, so that no term of a loss can be called so.
RESERVED = ("loss", "gradient", "validation", "validation on each key", "nonfinite")


def weighted_sum(terms: Mapping[Any, Any]) -> tuple[Float[Array, ""], dict[str, Float[Array, ""]]]:
    """A weighted sum of named terms, and the terms themselves, unweighted: what `gx.fit` takes from a loss for its history.

    A term of weight zero is reported but not minimised, even where it is not finite.

    Args:
        terms: `{name: (weight, value)}`.

    Returns:
        The sum, and `{name: value}`.

    Raises:
        TypeError: for terms that are no pairs, or names that are no text.
        ValueError: for no terms, weights that are negative, not finite or all zero, values that are no scalars, or names
            that the history of a fit has of its own.

    Example:
        >>> total, terms = weighted_sum({"fc": (2.0, jnp.array(0.5)), "psd": (1.0, jnp.array(0.25))})
        >>> float(total), {name: float(value) for name, value in terms.items()}
        (1.25, {'fc': 0.5, 'psd': 0.25})
    """
    expect("terms", terms, Mapping, "a dict of pairs (weight, value)", "{'fc': (1.0, value)}")
    total, values, counted = jnp.zeros(()), {}, False
    for name, term in terms.items():
        if not isinstance(name, str):
            raise TypeError(f"terms are called by text, got {name!r}")
        if name in RESERVED:
            raise ValueError(f"the history of a fit has a '{name}' of its own: call the term otherwise")
        if not isinstance(term, tuple) or len(term) != 2:
            raise TypeError(f"term '{name}' is a pair (weight, value), got {term!r}")
        weight, value = term[0], jnp.asarray(term[1], jnp.result_type(float))
        if jnp.shape(weight) != () or value.shape != ():
            raise ValueError(
                f"term '{name}' has a weight of shape {jnp.shape(weight)} and a value of shape {value.shape}, expected scalars"
            )
        if not is_traced(weight) and not (np.isfinite(weight) and weight >= 0):
            raise ValueError(f"the weight of '{name}' is {weight}, expected a finite number, zero or more")
        values[name] = value
        if is_traced(weight) or weight > 0:
            total, counted = total + weight * value, True
    if not counted:
        raise ValueError("no term has a weight above zero: there is nothing to minimise")
    return total, values
