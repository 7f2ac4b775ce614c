"""A sweep as a file: `study.yaml`, read with the line of whatever is wrong in it."""

import importlib
import importlib.util
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from .._formats.lines import entries, mapping, place, plain, said
from .axes import LatinHypercube, Seeds, Sobol, Together

_KEYS = ("model", "function", "space", "store", "grid", "key", "realisations", "memory", "batch")
_NEEDED = ("model", "function", "space", "store")
#: What the values of a parameter may be, beside a list of numbers.
_RANGES: dict[str, Callable[..., np.ndarray]] = {"linear": np.linspace, "log": np.geomspace}
_FILLINGS = {"sobol": Sobol, "latin_hypercube": LatinHypercube}


def read_study(path: Path) -> dict[str, Any]:
    r"""What a file says of a sweep: the arguments of `gx.sweep`.

    `model` and `function` are things in Python, 'file.py:name' beside the YAML or 'package.module:name'; a model may be a function that makes it.
    In `space`, a parameter has a list, `{linear: [first, last, count]}` or `{log: [first, last, count]}`; a name of its own has
    `{together: {...}}`, `{sobol: {parameter: [lowest, highest]}, count: 64}`, `{latin_hypercube: ...}` or `{seeds: 8}`.

    Raises:
        ValueError: naming the file and the line.
        OSError: if it cannot be read.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> _ = (folder / "mine.py").write_text("import gyrax as gx\nmodel = gx.models.WongWang()\ndef w(m, key): return m.w\n")
        >>> _ = (folder / "study.yaml").write_text("model: mine.py:model\nfunction: mine.py:w\nstore: s.zarr\nspace:\n  w: {linear: [0, 1, 3]}\n")
        >>> read_study(folder / "study.yaml")["space"]["w"].tolist()
        [0.0, 0.5, 1.0]
    """
    given, here = mapping(path, _KEYS, _NEEDED), path.absolute().parent
    found = {name: plain(value) for name, value in given.items() if name != "space"}
    for name in ("model", "function"):
        found[name] = said(path, given[name], lambda name=name: _python(found[name], here))
    if isinstance(found["model"], Callable) and not hasattr(found["model"], "__dataclass_fields__"):
        found["model"] = said(path, given["model"], found["model"])
    found["store"] = here / said(path, given["store"], lambda: _text(found["store"]))
    space = given["space"]
    if not isinstance(space, yaml.MappingNode):
        raise ValueError(f"{place(path, space)}: space is a dict of values by parameter")
    values = {name: (at, said(path, at, lambda at=at: _values(plain(at)))) for name, at in entries(space, path).items()}
    return found | {"space": {name: value for name, (_, value) in values.items()}}


def _values(value: Any) -> Any:
    """The values of a parameter, or an axis of several."""
    if isinstance(value, list):
        return value
    if not isinstance(value, Mapping) or not value:
        raise ValueError(f"expected a list of numbers, or one of {_kinds()}; got {value!r}")
    kind, *rest = value
    inner, other = value[kind], {name: value[name] for name in rest}
    if kind in _RANGES and not other:
        if not isinstance(inner, list) or len(inner) != 3 or not isinstance(inner[2], int):
            raise ValueError(f"{kind} is [first, last, count], got {inner!r}")
        return _RANGES[kind](*inner)
    if kind == "together" and not other:
        return Together({name: _values(values) for name, values in inner.items()} if isinstance(inner, dict) else inner)
    if kind == "seeds" and not other:
        return Seeds(inner)
    if kind in _FILLINGS and set(other) <= {"count", "seed"}:
        return _FILLINGS[kind](inner, **other)
    raise ValueError(f"expected a list of numbers, or one of {_kinds()}; got {', '.join(map(str, value))}")


def _kinds() -> str:
    return ", ".join((*_RANGES, "together", *_FILLINGS, "seeds"))


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"store is the name of a folder, got {value!r}")
    return value


def _python(named: Any, here: Path) -> Any:
    """A thing in Python by 'file.py:name' or 'package.module:name'."""
    if not isinstance(named, str) or named.count(":") != 1:
        raise ValueError(f"expected 'file.py:name' or 'package.module:name', got {named!r}")
    where, name = named.split(":")
    if where.endswith(".py"):
        file = here / where
        if not file.exists():
            raise ValueError(f"there is no {file}")
        called = file.stem
        spec = importlib.util.spec_from_file_location(called, file)
        assert spec is not None and spec.loader is not None
        module = sys.modules.get(called)
        if module is None or getattr(module, "__file__", None) != str(file):
            module = importlib.util.module_from_spec(spec)
            sys.modules[called] = module  # which workers ask for
            spec.loader.exec_module(module)
    else:
        module = importlib.import_module(where)
    if not hasattr(module, name):
        raise ValueError(f"{where} has no {name}")
    return getattr(module, name)
