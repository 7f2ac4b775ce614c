"""YAML that a user wrote: its entries, each with the line that it stands in."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import yaml

#: Errors whose words are a sentence; others, such as KeyError, need their names.
_SENTENCES = (ValueError, TypeError, OSError, ImportError)


def mapping(path: Path, known: Sequence[str] = (), needed: Sequence[str] = ()) -> dict[str, Any]:
    """The entries of a file, by name, as nodes that know their lines.

    Args:
        path: of a file in UTF-8.
        known: names that there may be; left out, any.
        needed: names that there have to be.

    Raises:
        ValueError: for what is no YAML, no entries, or other ones, naming the file and the line.
        OSError: if it cannot be read.
    """
    try:
        node = yaml.compose(path.read_text(encoding="utf-8"), yaml.SafeLoader)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is no YAML: {' '.join(str(error).split())}") from error
    wanted = ", ".join(needed) or "entries"
    if not isinstance(node, yaml.MappingNode):
        raise ValueError(f"{path} is to have {wanted}, each with a colon behind it")
    found = entries(node, path, known)
    for name in needed:
        if name not in found:
            raise ValueError(f"{path} has no {name}: it is to have {wanted}")
    return found


def entries(node: Any, path: Path, known: Sequence[str] = ()) -> dict[str, Any]:
    """The entries of a mapping, each with where it stands.

    Raises:
        ValueError: for a name that stands there twice, or is not known.
    """
    found: dict[str, Any] = {}
    for key, value in node.value:
        name = str(key.value)
        if name in found:
            raise ValueError(f"{place(path, key)}: {name} stands there twice")
        if known and name not in known:
            raise ValueError(f"{place(path, key)}: there is no {name}; there are {', '.join(known)}")
        found[name] = value
    return found


def said(path: Path, node: Any, make: Callable[[], Any]) -> Any:
    """What is made of an entry; an error of it says the line."""
    try:
        return make()
    except Exception as error:
        kind = "" if isinstance(error, _SENTENCES) else f"{type(error).__name__}: "
        raise ValueError(f"{place(path, node)}: {kind}{' '.join(str(error).split())}") from error


def place(path: Path, node: Any) -> str:
    """Where an entry stands."""
    return f"{path}, line {node.start_mark.line + 1}"


def plain(node: Any) -> Any:
    """What a node holds; numbers such as 1e-3, which YAML takes for text, as numbers."""
    loader = yaml.SafeLoader("")
    try:
        value = loader.construct_document(node)
    finally:
        loader.dispose()
    return _numbers(value)


def _numbers(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _numbers(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_numbers(inner) for inner in value]
    if isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            return value
    return value
