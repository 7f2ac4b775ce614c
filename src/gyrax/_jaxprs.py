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
        if any(not isinstance(v, Literal) and v in reached for v in equation.invars):
            reached.update(equation.outvars)
    return [not isinstance(v, Literal) and v in reached for v in jaxpr.outvars]
