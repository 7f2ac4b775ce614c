"""What several networks need to be one program: bounds of delays and lists of connections that hold for all, and nothing else that differs."""

import copy
import dataclasses
from collections.abc import Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from .._formats.trees import children_of, fields_of, is_static, join
from .._kinds import shown
from ..anatomy.edges import Edges
from ..couplings import AbstractCoupling, AbstractPairCoupling
from ..delays import AbstractDelay, Spans
from ..network import Network

_ABSENT = object()


def is_network(x: Any) -> bool:
    """Whether a part of a tree is a network."""
    return isinstance(x, Network)


def delays_of(network: Network) -> dict[str, AbstractDelay]:
    """The delays of a network that have bounds, by their dotted names."""
    found: dict[str, Any] = {"delay": network.delay}
    several = isinstance(network.coupling, dict)
    for name, coupling in network.couplings.items():
        found[f"coupling.{name}.delay" if several else "coupling.delay"] = coupling.delay
    return {name: delay for name, delay in found.items() if delay is not None and delay.spans is not None}


def is_rigid(delay: AbstractDelay) -> bool:
    """Whether a network's delays have no room beyond what they are: none may become another."""
    if delay.spans is None:
        return False
    low, high = (x[delay.spans.connected] for x in (delay.spans.low, delay.spans.high))
    return bool(low.size and high.max() > 0 and (low == high).all())


def rigid_delays(networks: Sequence[Network]) -> list[str]:
    """Names of the delays that have no room in some network, before these get bounds in common."""
    each = [delays_of(network) for network in networks]
    return [name for name in each[0] if any(name in delays and is_rigid(delays[name]) for delays in each)]


def in_common(networks: Sequence[Network]) -> list[Network]:
    """Networks whose delays have the same bounds and whose couplings of pairs the same lists of connections: those of any of them.

    What differs otherwise stays as it is.

    Example:
        >>> import gyrax as gx
        >>> def net(length):
        ...     regions = gx.Connectome([[0, 1], [1, 0]], lengths=[[0, length], [length, 0]])
        ...     return gx.Network(gx.models.Linear(), gx.couplings.Linear(source="x"), regions, gx.Delay(speed=2.0))
        >>> [one.delay.bounds for one in in_common([net(20.0), net(30.0)])]
        [(10.0, 15.0), (10.0, 15.0)]
    """
    if len({network.labels for network in networks}) > 1:
        return list(networks)
    whole = _delays_in_common([network.delay for network in networks])
    coupling: list[Any] = [network.coupling for network in networks]
    if all(isinstance(c, dict) for c in coupling) and len({tuple(sorted(c)) for c in coupling}) == 1:
        by_name = {name: _couplings_in_common([c[name] for c in coupling]) for name in coupling[0]}
        coupling = [{name: by_name[name][i] for name in c} for i, c in enumerate(coupling)]
    elif all(isinstance(c, AbstractCoupling) for c in coupling):
        coupling = _couplings_in_common(coupling)

    def with_parts(network: Network, delay: Any, coupling: Any) -> Network:
        return _put(network, delay=delay, coupling=coupling)

    return [with_parts(*parts) for parts in zip(networks, whole, coupling, strict=True)]


def _put(x: Any, **parts: Any) -> Any:
    """A Module with other parts, static ones too, of a class whose `__init__` may be the user's own."""
    found = copy.copy(x)
    for name, part in parts.items():
        object.__setattr__(found, name, part)
    return found


def _delays_in_common(delays: Sequence[Any]) -> list[Any]:
    spans: list[Any] = [getattr(delay, "spans", None) for delay in delays]
    if any(one is None for one in spans) or len({one.low.shape for one in spans}) > 1:
        return list(delays)
    low, high = np.min([one.low for one in spans], 0), np.max([one.high for one in spans], 0)
    bounds = min(delay.bounds[0] for delay in delays), max(delay.bounds[1] for delay in delays)
    return [dataclasses.replace(delay, bounds=bounds, spans=Spans(low, high)) for delay in delays]


def _couplings_in_common(couplings: Sequence[Any]) -> list[Any]:
    delays = _delays_in_common([coupling.delay for coupling in couplings])
    found = [_put(coupling, delay=delay) for coupling, delay in zip(couplings, delays, strict=True)]
    edges: list[Any] = [
        coupling.edges if isinstance(coupling, AbstractPairCoupling) else None for coupling in couplings
    ]
    if any(one is None for one in edges) or len({one.n_targets for one in edges}) > 1:
        return found
    # of a delayed coupling, lists of all pairs cannot be: all have delays, or none has
    there = np.any([one.connected(one.n_targets) for one in edges], axis=0)
    common = Edges.among_all(there) if any(one.every for one in edges) else Edges.of(there)
    return [_put(coupling, edges=common) for coupling in found]


def difference(one: Any, two: Any, path: str = "") -> tuple[str, str, str] | None:
    """Where two trees are built otherwise, what the first has there and what the second; None where values of arrays alone differ.

    Example:
        >>> import gyrax as gx
        >>> difference(gx.couplings.Linear(source="x"), gx.couplings.Linear(source="y"))
        ('source', "('x',)", "('y',)")
        >>> difference({"w": np.ones(2)}, {"w": np.zeros(2)}), difference({"w": np.ones(2)}, {"w": np.ones(3)})
        (None, ('w', 'shape (2,)', 'shape (3,)'))
    """
    if one is two:
        return None
    if _is_number(one) and _is_number(two):
        kinds = [jnp.result_type(x) for x in (one, two)]
        same = len({_kind(kind) for kind in kinds}) == 1
        if jnp.shape(one) != jnp.shape(two):
            return path, f"shape {jnp.shape(one)}", f"shape {jnp.shape(two)}"
        return None if same else (path, f"of {kinds[0]}", f"of {kinds[1]}")
    if type(one) is not type(two):
        return path, _said(one), _said(two)
    return _difference_below(one, two, path)


def _difference_below(one: Any, two: Any, path: str) -> tuple[str, str, str] | None:
    """The same of two parts of one class."""
    fields = fields_of(one)
    if fields is not None:
        for name, field in fields.items():
            parts = getattr(one, name), getattr(two, name, _ABSENT)
            if field is None or not is_static(field):
                found = difference(*parts, join(path, name))
            else:
                found = None if _same(*parts) else _of_static(*parts, join(path, name))
            if found:
                return found
        return None
    if isinstance(one, tuple | list) and len(one) != len(two):
        return path, f"{len(one)} parts", f"{len(two)} parts"
    if isinstance(one, dict) and one.keys() != two.keys():
        return path, f"{', '.join(map(str, one)) or 'nothing'}", f"{', '.join(map(str, two)) or 'nothing'}"
    below = children_of(one), children_of(two)
    if below[0] is not None and below[1] is not None:
        if below[0][1] != below[1][1]:
            return path, _said(one), _said(two)
        each = ((x, y, join(path, name)) for (name, x), (_, y) in zip(below[0][0], below[1][0], strict=True))
        return next((found for x, y, where in each if (found := difference(x, y, where))), None)
    return None if _same(one, two) else (path, _said(one), _said(two))


def _of_static(one: Any, two: Any, path: str) -> tuple[str, str, str]:
    """Of labels, those that differ."""
    if all(isinstance(x, tuple) and x and all(isinstance(name, str) for name in x) for x in (one, two)):
        if len(one) != len(two):
            return path, f"{len(one)} names", f"{len(two)} names"
        at = next(i for i, (a, b) in enumerate(zip(one, two, strict=True)) if a != b)
        return (path, f"{one!r}", f"{two!r}") if len(one) == 1 else (f"{path}[{at}]", f"{one[at]!r}", f"{two[at]!r}")
    return path, _said(one), _said(two)


def _is_number(x: Any) -> bool:
    return isinstance(x, bool | int | float | complex | np.ndarray | np.generic | jax.Array)


def _kind(dtype: Any) -> str:
    kinds = {"f": jnp.floating, "c": jnp.complexfloating, "i": jnp.integer}
    return next((letter for letter, kind in kinds.items() if jnp.issubdtype(dtype, kind)), str(dtype))


def _same(one: Any, two: Any) -> bool:
    if isinstance(one, np.ndarray | jax.Array) or isinstance(two, np.ndarray | jax.Array):
        return bool(np.array_equal(one, two))
    try:
        return bool(one == two)
    except (TypeError, ValueError):
        return False


def _said(x: Any) -> str:
    if x is _ABSENT:
        return "nothing"
    return f"a {type(x).__name__}" if isinstance(x, eqx.Module | Spans | Edges) else shown(x)
