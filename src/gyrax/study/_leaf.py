"""The value of one leaf of a tree, by its dotted path."""

from collections.abc import Callable
from typing import Any


def get(tree: Any, where: str | Callable[[Any], Any]) -> Any:
    """What a dotted path or a function names in a tree.

    Example:
        >>> get({"model": {"w": 0.6}}, "model.w")
        0.6
    """
    if not isinstance(where, str):
        return where(tree)
    for name in where.split("."):
        tree = tree[name] if isinstance(tree, dict) else getattr(tree, name)
    return tree
