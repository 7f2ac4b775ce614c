"""Flows of rational-quadratic splines, by FlowJAX: made, trained, and taken apart into numbers and what they are put into."""

import functools
from importlib import metadata
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from .._extras import need

#: Layers and knots of the flow, and epochs without a gain after which learning ends.
_LAYERS, _KNOTS, _WIDTH, _PATIENCE, _EPOCHS, _RATE = 5, 8, 50, 15, 300, 1e-3


def _built(key: Any, parameters: int, features: int, layers: int, knots: int, width: int) -> Any:
    """A flow of parameters given features, as it begins."""
    flows = need("flowjax.flows", "inference")
    distributions, bijections = need("flowjax.distributions", "inference"), need("flowjax.bijections", "inference")
    spline = bijections.RationalQuadraticSpline(knots=knots, interval=4)
    return flows.masked_autoregressive_flow(
        key,
        base_dist=distributions.Normal(jnp.zeros(parameters)),
        # Splines alone squeeze a narrow posterior out of their whole box, and what is left of that throws single draws far away.
        transformer=bijections.Chain([spline, bijections.Affine()]),
        cond_dim=features,
        flow_layers=layers,
        nn_width=width,
    )


def flowjax_version() -> str:
    """Of the FlowJAX that is installed."""
    need("flowjax", "inference")
    return metadata.version("flowjax")


@functools.lru_cache(maxsize=8)
def blank_flow(design: tuple[tuple[str, int], ...], precision: str) -> tuple[Any, list[tuple[int, ...]], Any]:
    """A flow without its numbers: how its arrays are put together, of which shapes they are in this precision, and the rest.

    It is made once and its numbers are thrown away: FlowJAX keeps some of them in functions, which leaves no way to make it of shapes alone.
    """
    arrays, rest = eqx.partition(_built(jax.random.key(0), **dict(design)), eqx.is_array)
    return jax.tree.structure(arrays), [x.shape for x in jax.tree.leaves(arrays)], rest


def trained_flow(
    key: Any, parameters: np.ndarray, features: np.ndarray, progress: bool | str
) -> tuple[tuple[Array, ...], tuple[tuple[str, int | str], ...], float, float]:
    """The numbers of a flow of parameters given features, what it is made by, its loss on simulations that it was not trained on, and by
    how much that is above the loss on the others.
    """
    train = need("flowjax.train", "inference")
    made, trained = jax.random.split(key)
    sizes = {"parameters": parameters.shape[1], "features": features.shape[1]}
    design = sizes | {"layers": _LAYERS, "knots": _KNOTS, "width": _WIDTH}
    flow, losses = train.fit_to_data(
        trained,
        _built(made, **design),
        tuple(jnp.asarray(x, jnp.result_type(float)) for x in (parameters, features)),
        learning_rate=_RATE,
        max_epochs=_EPOCHS,
        max_patience=_PATIENCE,
        batch_size=min(100, len(parameters) // 4),
        show_progress=bool(progress),
    )
    best = int(np.argmin(losses["val"]))
    loss = float(losses["val"][best])
    gap = loss - float(losses["train"][best])
    return (
        tuple(jax.tree.leaves(eqx.filter(flow, eqx.is_array))),
        (*design.items(), ("FlowJAX", flowjax_version())),
        loss,
        gap,
    )
