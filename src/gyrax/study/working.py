"""Where a network works: the coupling strength at which its fixed point loses stability."""

from collections.abc import Mapping
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from .._kinds import expect, number, reals
from ..network.network import Network
from ..parameters.addresses import replace

_NEWTON = 30
_HALVINGS = 14


def critical(network: Network, path: str, highest: float, values: dict[str, np.ndarray]) -> np.ndarray:
    """The strength up to which the fixed point that begins at strength zero is there and stable, for several settings.

    By the linearisation: Newton's method follows the fixed point while the strength grows, and the largest real part of the
    eigenvalues of its Jacobian says when it is lost. Delays do not move fixed points; here they are left out of its stability.

    Args:
        network: deterministic or not; noise is left out.
        path: of the scalar that grows from zero on, such as 'coupling.strength'.
        highest: where to stop looking.
        values: of other scalars, one an entry of the result, by their paths.

    Returns:
        One strength a setting: `highest` where it is never lost, 0 where there is none even without coupling.

    Example:
        >>> import gyrax as gx
        >>> ring = np.roll(np.eye(4), 1, axis=0)
        >>> net = gx.Network(gx.models.Linear(gamma=-2.0), gx.couplings.Linear(source="x"), ring)
        >>> critical(net, "coupling.strength", 10.0, {"model.gamma": np.array([-2.0, -1.0])}).round(2).tolist()
        [2.0, 1.0]
    """
    expect("network", network, Network, "a network", "gx.Network(model, coupling, connectome)")
    expect("path", path, str, "a dotted path", "'coupling.strength'")
    if not number("highest", highest) > 0:
        raise ValueError(f"highest is a positive number, got {highest}")
    expect("values", values, Mapping, "a dict of values by dotted path", "{'model.w': np.linspace(0.1, 0.8, 8)}")
    settings = [jnp.asarray(reals("values", one), jnp.result_type(float)) for one in values.values()]
    if any(one.ndim != 1 or len(one) != len(settings[0]) for one in settings):
        raise ValueError(f"values are lists of one length, got shapes {[one.shape for one in settings]}")
    names, steps = tuple(values), 24

    @eqx.filter_jit
    def largest(strength: Array, y: Array, *others: Array) -> tuple[Array, Array]:
        """The fixed point nearest to a state, and the largest real part there; infinite where there is none."""
        changed = replace(network, {path: strength, **dict(zip(names, others, strict=True))})
        shape = y.shape

        def flow(flat: Array) -> Array:
            return changed.drift(0.0, flat.reshape(shape)).reshape(-1)

        def newton(_: Any, flat: Array) -> Array:
            return flat - jnp.linalg.solve(jax.jacfwd(flow)(flat), flow(flat))

        # settled first by the flow itself: Newton alone may jump to another fixed point
        found = jax.lax.fori_loop(0, _NEWTON, newton, y.reshape(-1))
        slopes = jax.jacfwd(flow)(found)
        size = jnp.abs(flow(found)).max() / jnp.maximum(
            jnp.abs(jnp.diag(slopes)).min() * (1e-3 + jnp.abs(found).max()), 1e-30
        )
        there = jnp.isfinite(found).all() & (size < 1e-3)
        moved = jnp.abs(found - y.reshape(-1)).max() < 0.5 * (0.1 + jnp.abs(y).max())
        top = jnp.linalg.eigvals(slopes).real.max()
        return jnp.where(there & moved, top, jnp.inf), jnp.where(there, found.reshape(shape), y)

    def followed(*others: Array) -> float:
        top, y = largest(jnp.zeros_like(others[0]) if others else jnp.zeros(()), network.start(), *others)
        if not top < 0:
            return 0.0
        low, width, at = 0.0, highest / steps, y
        for _ in range(steps):
            top, y = largest(jnp.asarray(low + width, jnp.result_type(float)), at, *others)
            if not top < 0:
                break
            low, at = low + width, y
        else:
            return highest
        for _ in range(_HALVINGS):
            width /= 2
            top, y = largest(jnp.asarray(low + width, jnp.result_type(float)), at, *others)
            if top < 0:
                low, at = low + width, y
        return low

    count = len(settings[0]) if settings else 1
    return np.array([followed(*(one[i] for one in settings)) for i in range(count)])
