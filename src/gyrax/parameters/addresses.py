"""Where a parameter is in a tree: found by its dotted name or by a function that returns it."""

import difflib
from collections.abc import Callable, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.tree_util as jtu
from jaxtyping import PyTree

from .domains import AbstractDomain, Real

Where = str | Callable[[Any], Any]


def _name(path: Sequence[Any]) -> str:
    return ".".join(str(getattr(k, "name", getattr(k, "key", getattr(k, "idx", k)))) for k in path)


def leaf_names(tree: PyTree) -> list[str]:
    """Dotted names of a tree's leaves, in flattening order.

    Example:
        >>> leaf_names({"a": [1.0, 2.0]})
        ['a.0', 'a.1']
    """
    return [_name(path) for path, _ in jtu.tree_flatten_with_path(tree)[0]]


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
