"""Whether what came from a file can be: values inside their domains, shapes and indices that fit."""

import dataclasses
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np

from .._formats.trees import children_of, fields_of, is_static, join
from ..anatomy import Connectome, LeadField, Sparse, Surface
from ..anatomy.sparse import Lists, both_ways
from ..network.checks import check, check_names, check_surface, check_weights
from ..network.network import Network
from ..parameters.declaring import Parametric
from ..parameters.domains import AbstractDomain

#: Labels of the nodes around a part.
Labels = tuple[str, ...]


def validate(x: Any, path: str = "", like: Any = None, labels: Labels = (), stacked: bool = False) -> None:
    """What the constructors would have refused, of everything in a tree.

    Args:
        x: the tree.
        path: its dotted path, for people.
        like: the model that it was loaded into; where that lies outside a domain itself, the other may.
        labels: names of the nodes around.
        stacked: whether it is part of several networks in one, as `vmap` makes them: their shapes are not looked at.

    Raises:
        ValueError: naming the part, the value and what is allowed.
    """
    if hasattr(x, "one_by_one"):  # a cohort: each of its subjects is looked at
        for name, part in x.one_by_one():
            validate(part, join(path, name), None, labels)
        return
    if isinstance(x, Network):
        labels, stacked = x.labels, stacked or jnp.ndim(x.connectome.weights) > 2
    below: list[tuple[str, Any, Any]] = []
    fields = fields_of(x)
    if fields is not None:
        below = [
            (name, getattr(x, name), field) for name, field in fields.items() if field is None or not is_static(field)
        ]
    elif isinstance(x, tuple | list):
        below = [(str(i), part, None) for i, part in enumerate(x)]
    elif isinstance(x, dict):
        below = [(str(key), part, None) for key, part in x.items()]
    elif (found := children_of(x)) is not None:
        below = [(name, part, None) for name, part in found[0]]
    for name, part, field in below:
        other = _within(like, name)
        domain = None if field is None else field.metadata.get("domain")
        if domain is not None:
            _check_values(part, domain, join(path, name), other, labels)
        validate(part, join(path, name), other, labels, stacked)
    if isinstance(x, eqx.Module) and not stacked:
        _check_whole(x, path)


def _within(like: Any, name: str) -> Any:
    if isinstance(like, dict):
        return like.get(name)
    if type(like) in (tuple, list):
        return like[int(name)] if int(name) < len(like) else None
    return getattr(like, name, None)


def _check_values(value: Any, domain: AbstractDomain, path: str, like: Any, labels: Labels) -> None:
    """Inside the domain or on its edge, where weights that learn may end."""
    if value is None:
        return
    if not eqx.is_inexact_array(value) or not jnp.isrealobj(value):
        raise ValueError(f"{path} is a number or an array of numbers, got {value!r}")
    outside = _outside(value, domain)
    if not outside.any() or (eqx.is_inexact_array(like) and _outside(like, domain).any() and np.isfinite(value).all()):
        return
    at = tuple(int(i) for i in np.argwhere(outside)[0])
    region = f" ({labels[at[-1]]})" if at and np.shape(value)[-1] == len(labels) else ""
    raise ValueError(
        f"{path}{list(at) if at else ''}{region} = {np.asarray(value)[at]:.6g} does not lie inside its domain {domain!r}"
        + (
            ""
            if np.isnan(np.asarray(value)[at])
            else "; if that is meant, give load(path, model) a model that lies there too"
        )
    )


def _outside(value: Any, domain: AbstractDomain) -> np.ndarray:
    numbers = np.asarray(value)
    edges = [end for end in (getattr(domain, "lower", None), getattr(domain, "upper", None)) if end is not None]
    inside = np.asarray(domain.contains(value)) | np.isin(numbers, np.asarray(edges, numbers.dtype))
    return np.asarray(~inside)


def _check_whole(x: Any, path: str) -> None:
    """What a class checks of its parts together."""
    try:
        for kind in type(x).__mro__:
            # Domains were looked at already, with regard to the model that is loaded into.
            if "__check_init__" in vars(kind) and kind is not Parametric:
                vars(kind)["__check_init__"](x)
        whole = _WHOLE.get(type(x))
        if whole is not None:
            whole(x)
    except (ValueError, TypeError, IndexError, AttributeError, AssertionError) as error:
        raise ValueError(f"{path or type(x).__name__} cannot be: {error}") from error


def _network(net: Network) -> None:
    check_surface(net)
    check_names(net)
    for name, coupling in net.couplings.items():
        check_weights(net, name, coupling)
    check(net)
    n = net.n_regions
    for delay in net.delays.values():
        if delay.spans is None or delay.spans.low.shape != (n, n) or delay.spans.high.shape != (n, n):
            raise ValueError(f"its delays have no bounds of shape {(n, n)}")


def _connectome(x: Connectome) -> None:
    made = Connectome(x.weights, x.lengths, x.labels, x.centres)
    if made.labels != x.labels:
        raise ValueError("its labels are no text")


def _lead_field(x: LeadField) -> None:
    LeadField(x.gain, x.sensors, x.regions, orientation=x.orientation, positions=x.positions, unit=x.unit)


def _surface(x: Surface) -> None:
    made = Surface(np.asarray(x.region_of), x.labels)
    if not (np.array_equal(made.counts, x.counts) and _equal(made.members, x.members)):
        raise ValueError("its regions and the lists of their vertices disagree")


def _sparse(x: Sparse) -> None:
    entries, heard, owners = (np.asarray(part) for part in (x.lists.entries, x.lists.heard, x.lists.owners))
    count, (n, columns) = x.values.shape[0], x.shape
    rows = np.concatenate([np.arange(n), owners])
    there = entries < count
    if entries.shape != heard.shape or len(entries) != len(rows) or np.sum(there) != count:
        raise ValueError("its lists and the number of its weights disagree")
    target, source = np.full(count, -1), np.full(count, -1)
    target[entries[there]] = np.broadcast_to(rows[:, None], entries.shape)[there]
    source[entries[there]] = heard[there]
    if not (np.isin(target, np.arange(n)).all() and np.isin(source, np.arange(columns)).all()):
        raise ValueError(f"a connection lies outside of {n} x {columns}")
    if not np.isfinite(x.values).all() or not all(map(_equal, both_ways(target, source, x.shape), (x.lists, x.back))):
        raise ValueError("its lists are not those of its connections, or a weight is not finite")


def _equal(one: Lists, two: Lists) -> bool:
    return all(np.array_equal(getattr(one, f.name), getattr(two, f.name)) for f in dataclasses.fields(one))


_WHOLE: dict[type, Callable[[Any], None]] = {
    Network: _network,
    Connectome: _connectome,
    LeadField: _lead_field,
    Surface: _surface,
    Sparse: _sparse,
}
