"""What a traced function's results depend on."""

from collections.abc import Iterable
from typing import Any

from jax.extend.core import Literal


def depends(jaxpr: Any, inputs: Iterable[Any]) -> list[bool]:
    """For each output of a jaxpr, whether it depends on any of these inputs.

    Example:
        >>> import jax
        >>> jaxpr = jax.make_jaxpr(lambda x, y: (x + 1, 2 * y, x * y))(1.0, 2.0).jaxpr
        >>> depends(jaxpr, jaxpr.invars[:1])
        [True, False, True]
    """
    reached = set(inputs)
    for equation in jaxpr.eqns:
        heard = [not isinstance(v, Literal) and v in reached for v in equation.invars]
        if any(heard):
            reached.update(v for v, yes in zip(equation.outvars, _through(equation, heard), strict=True) if yes)
    return [not isinstance(v, Literal) and v in reached for v in jaxpr.outvars]


def _through(equation: Any, heard: list[bool]) -> list[bool]:
    """Which outputs of an equation depend on the inputs heard.

    Of a jitted function, or one that devices share, those inside; otherwise all.
    """
    inner = equation.params.get("jaxpr")
    if equation.primitive.name not in ("jit", "pjit", "shard_map") or inner is None:
        return [True] * len(equation.outvars)
    inner = getattr(inner, "jaxpr", inner)
    return depends(inner, [v for v, yes in zip(inner.invars, heard, strict=True) if yes])
