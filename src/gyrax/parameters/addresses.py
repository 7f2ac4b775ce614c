"""Where a parameter is in a tree: found by its dotted name or by a function that returns it."""

import difflib
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.tree_util as jtu
from jaxtyping import PyTree

from .._kinds import refused
from .._types import owned
from .domains import AbstractDomain, Real

Tree = TypeVar("Tree")
Where = str | Callable[[Any], Any]


def path_name(path: Sequence[Any]) -> str:
    """The dotted name of a way into a tree."""
    return ".".join(str(getattr(k, "name", getattr(k, "key", getattr(k, "idx", k)))) for k in path)


def leaf_names(tree: PyTree) -> list[str]:
    """Dotted names of a tree's leaves, in flattening order.

    Example:
        >>> leaf_names({"a": [1.0, 2.0]})
        ['a.0', 'a.1']
    """
    return [path_name(path) for path, _ in jtu.tree_flatten_with_path(tree)[0]]


def named_leaves(tree: PyTree) -> dict[str, Any]:
    """A tree's leaves by their dotted names.

    Example:
        >>> named_leaves({"a": [1.0, 2.0]})
        {'a.0': 1.0, 'a.1': 2.0}
    """
    return dict(zip(leaf_names(tree), jax.tree.leaves(tree), strict=True))


def trainable(leaf: Any) -> bool:
    """Whether a leaf is a floating-point number or array, which can be free."""
    return eqx.is_inexact_array(leaf) or isinstance(leaf, float)


class _Token:
    """Stands for a leaf while a selection runs; nothing can be computed from it."""

    def __init__(self, index: int):
        self.index = index


_AS_THEY_ARE = "a selection returns leaves of the network as they are, such as lambda n: n.model.w"


def find(tree: PyTree, where: Where, wholes: bool = True) -> list[int]:
    """Indices of the leaves that `where` names."""
    if not isinstance(where, str) and (not callable(where) or inspect.isclass(where)):
        raise refused("where", where, "a dotted path or a function that returns leaves", "'model.w'")
    names, leaves = leaf_names(tree), jax.tree.leaves(tree)
    if isinstance(where, str):
        found = [i for i, name in enumerate(names) if name == where or name.startswith(where + ".")]
        if not found:
            free = [n for n, leaf in zip(names, leaves, strict=True) if trainable(leaf)]
            close = difflib.get_close_matches(where, free, n=1) or [
                n for n in free if n.rsplit(".", 1)[-1] == where.rsplit(".", 1)[-1]
            ]
            hint = f"did you mean '{close[0]}'? " if close else ""
            raise ValueError(f"no parameter '{where}'; {hint}there are: {', '.join(free)}")
    else:
        tokens = jax.tree.unflatten(jax.tree.structure(tree), [_Token(i) for i in range(len(leaves))])
        try:
            taken = jax.tree.leaves(where(tokens))
        except AttributeError as error:
            raise ValueError(f"{error}; the leaves are: {', '.join(names)}") from error
        except TypeError as error:  # arithmetic on a token
            raise ValueError(f"{_AS_THEY_ARE}; this one raised {error}") from error
        if not taken or not all(isinstance(token, _Token) for token in taken):
            raise ValueError(f"{_AS_THEY_ARE}; this one returned {where(tree)!r}")
        found = [token.index for token in taken]
    if len(found) == 1 or not wholes:
        for i in found:
            if not trainable(leaves[i]):
                raise TypeError(f"{names[i]} is {leaves[i]!r}: only floating-point arrays can be free")
        return found
    return [i for i in found if trainable(leaves[i])]


def find_one(tree: PyTree, where: Where) -> int:
    """The index of the one parameter that `where` names.

    Raises:
        ValueError: if it names none (the closest is suggested) or several.
        TypeError: if it is no floating-point array.
    """
    found = find(tree, where)
    if len(found) != 1:
        names = leaf_names(tree)
        raise ValueError(f"{where} is {len(found)} parameters: {', '.join(names[i] for i in found)}; name one")
    return found[0]


def get(tree: PyTree, where: Where) -> Any:
    """The value of one parameter, by its dotted name or a function that returns it.

    Raises:
        ValueError, TypeError: as `find_one`.

    Example:
        >>> import gyrax as gx
        >>> float(get(gx.models.Linear(gamma=-2.0), "gamma")), float(get(gx.models.Linear(gamma=-2.0), lambda m: m.gamma))
        (-2.0, -2.0)
    """
    return jax.tree.leaves(tree)[find_one(tree, where)]


def replace(tree: Tree, values: Mapping[Any, Any]) -> Tree:
    """The tree with other values of some parameters, in their own dtypes; whatever the shapes.

    Args:
        tree: a Network or any other tree.
        values: by dotted name, function or index among the leaves.

    Raises:
        ValueError, TypeError: as `find_one`.

    Example:
        >>> import gyrax as gx
        >>> replace(gx.models.Linear(gamma=-2.0), {"gamma": -1.0})
        Linear(gamma=-1 1/ms)
    """
    leaves, treedef = jax.tree.flatten(tree)
    changed = list(leaves)
    for where, value in values.items():
        index = where if isinstance(where, int) else find_one(tree, where)
        changed[index] = owned(value, jnp.result_type(leaves[index]))
    return jax.tree.unflatten(treedef, changed)


def tell(tree: PyTree, method: str, names: Sequence[str]) -> None:
    """Calls a method of the tree with these names of leaves; of a tuple, list or dict, of each part with those within it.

    Example:
        >>> import types
        >>> tell((1.0, types.SimpleNamespace(heard=print)), "heard", ["0", "1.model.w"])
        ['model.w']
    """
    if isinstance(tree, tuple | list | dict):
        for key, part in tree.items() if isinstance(tree, dict) else enumerate(tree):
            tell(part, method, [name.removeprefix(f"{key}.") for name in names if name.startswith(f"{key}.")])
    elif names and hasattr(tree, method):
        getattr(tree, method)(list(names))


def domains(tree: PyTree) -> list[AbstractDomain]:
    """The declared domain of every leaf, in flattening order; `Real()` where none was declared.

    Example:
        >>> import gyrax as gx
        >>> domains(gx.couplings.Linear(source="S"))
        [Positive(scale=1.0)]
    """
    found = []
    for path, _ in jtu.tree_flatten_with_path(tree)[0]:
        node, domain = tree, Real()
        for key in path:
            if isinstance(key, jtu.GetAttrKey):
                fields = getattr(type(node), "__dataclass_fields__", {})
                metadata = fields[key.name].metadata if key.name in fields else {}
                domain = metadata.get("domain", domain)
                node = getattr(node, key.name)
            else:
                node = node[key.key if isinstance(key, jtu.DictKey) else getattr(key, "idx", None)]
        found.append(domain)
    return found
