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
    """Which outputs of an equation depend on the inputs heard: of a call of a jitted function those inside, otherwise all."""
    inner = equation.params.get("jaxpr")
    if equation.primitive.name not in ("jit", "pjit") or inner is None:
        return [True] * len(equation.outvars)
    return depends(inner.jaxpr, [v for v, yes in zip(inner.jaxpr.invars, heard, strict=True) if yes])
