"""A sweep as a file: `study.yaml`, read with the line of whatever is wrong in it."""

import importlib
import importlib.util
import inspect
import math
import os
import sys
import sysconfig
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import yaml

from .._formats.lines import entries, mapping, place, plain, said
from .._kinds import flag, number, random_key, whole
from ..fitting.objective import check_objective
from .axes import LatinHypercube, Seeds, Sobol, Together, read_space

_KEYS = ("model", "function", "space", "store", "grid", "key", "realisations", "memory", "batch")
_NEEDED = ("model", "function", "space", "store")
#: What the values of a parameter may be, beside a list of numbers.
_RANGES: dict[str, Callable[..., np.ndarray]] = {"linear": np.linspace, "log": np.geomspace}
_FILLINGS = {"sobol": Sobol, "latin_hypercube": LatinHypercube}
#: Where gyrax is, and where libraries are, Python's own among them.
_GYRAX = f"{Path(__file__).parents[1]}{os.sep}"
_LIBRARIES = tuple(sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib"))
#: Errors that gyrax raises to say what is wrong with what it was given.
_SENTENCES = (OSError, ValueError, TypeError, ImportError, RuntimeError, LookupError)


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
        >>> _ = (folder / "study.yaml").write_text("model: mine.py:model\nfunction: mine.py:w\nstore: s.zarr\nspace:\n  w: {linear: [0.5, 1, 3]}\n")
        >>> read_study(folder / "study.yaml")["space"]["w"].tolist()
        [0.5, 0.75, 1.0]
    """
    given, here = mapping(path, _KEYS, _NEEDED), path.absolute().parent
    found = {name: plain(value) for name, value in given.items() if name != "space"}
    for name in ("model", "function"):
        found[name] = said(path, given[name], lambda name=name: _python(found[name], here))
    if isinstance(found["model"], Callable) and not hasattr(found["model"], "__dataclass_fields__"):
        found["model"] = said(path, given["model"], lambda: _running(found["model"]))
    at_fault = given["model" if inspect.isclass(found["model"]) or isinstance(found["model"], str) else "function"]
    line = "mine.py:features, with def features(model, key)"
    said(path, at_fault, lambda: check_objective(found["model"], found["function"], "function", line))
    found["store"] = here / said(path, given["store"], lambda: _text(found["store"]))
    for name, check in _CHECKS.items():
        if name in given and (found[name] is not None or name not in ("key", "batch")):
            said(path, given[name], lambda name=name, check=check: _checked(check, name, found[name]))
    return found | {"space": _space(path, given["space"], found["model"], found.get("grid", True))}


def _space(path: Path, node: Any, model: Any, grid: bool) -> dict[str, Any]:
    """Values by parameter, checked with every entry that comes, so that the line of the one at fault is told."""
    if not isinstance(node, yaml.MappingNode):
        raise ValueError(f"{place(path, node)}: space is a dict of values by parameter")
    found: dict[str, Any] = {}
    for name, at in entries(node, path).items():
        found[name] = said(path, at, lambda at=at: _values(plain(at)))
        said(path, at, lambda: read_space(model, found, grid))
    said(path, node, lambda: read_space(model, found, grid))  # of none
    return found


def _checked(check: Callable[[str, Any], Any], name: str, value: Any) -> None:
    """A sentence of how to write an argument, as one of how to write it in YAML."""
    try:
        check(name, value)
    except TypeError as error:
        raise TypeError(str(error).replace(f"{name}= ", f"{name} ").replace(f"{name}=", f"{name}: ")) from error


def _bytes(name: str, value: Any) -> None:
    if not number(name, value, "2e9", "bytes") > 0:
        raise ValueError(f"{name} is a number of bytes above 0, got {value}")


#: What gx.sweep says of its arguments, of which it does not know the lines.
_CHECKS: dict[str, Callable[[str, Any], Any]] = {
    "grid": flag,
    "key": lambda name, value: random_key(name, whole(name, value, 0)),
    "realisations": whole,
    "memory": _bytes,
    "batch": whole,
}


def _values(value: Any) -> Any:
    """The values of a parameter, or an axis of several."""
    if isinstance(value, list):
        return value
    if not isinstance(value, Mapping):
        raise ValueError(f"expected a list of numbers, or one of {_kinds()}; got {value!r}")
    there = [name for name in value if name in (*_RANGES, "together", *_FILLINGS, "seeds")]
    if len(there) != 1:
        raise ValueError(f"expected a list of numbers, or one of {_kinds()}; got {', '.join(map(str, value)) or '{}'}")
    kind = there[0]
    inner, beside = value[kind], {name: other for name, other in value.items() if name != kind}
    may = ("count", "seed") if kind in _FILLINGS else ()
    if odd := [str(name) for name in beside if name not in may]:
        raise ValueError(f"beside {kind} there is {' and '.join(may) or 'nothing'}, got {', '.join(odd)}")
    if kind in _RANGES:
        return _range(kind, inner)
    if kind == "together":
        return Together({name: _values(values) for name, values in inner.items()} if isinstance(inner, dict) else inner)
    if kind == "seeds":
        return Seeds(whole("seeds", inner))
    if "count" not in beside:
        raise ValueError(f"how many points? say {{{kind}: {{...}}, count: 64}}")
    return _FILLINGS[kind](inner, **beside)


def _range(kind: str, inner: Any) -> np.ndarray:
    """Numbers from the first to the last, evenly, or evenly in the logarithm."""
    three = isinstance(inner, list) and len(inner) == 3
    if not three or not all(isinstance(x, int | float) and not isinstance(x, bool) for x in inner):
        raise ValueError(f"{kind} is [first, last, count], got {inner!r}")
    first, last, count = inner
    if not isinstance(count, int) or count < 1 or not math.isfinite(first) or not math.isfinite(last):
        raise ValueError(f"{kind} is [first, last, count], with a count from 1 on, got {inner!r}")
    if kind == "log" and not (first > 0 and last > 0):
        raise ValueError(f"the ends of log are both above 0, got {first} and {last}")
    return _RANGES[kind](first, last, count)


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
            _running(lambda: _executed(spec, module))
    else:
        module = _running(lambda: importlib.import_module(where))
    if not hasattr(module, name):
        raise ValueError(f"{where} has no {name}")
    return getattr(module, name)


def _executed(spec: Any, module: ModuleType) -> None:
    """Runs a file; one that fails is no module, and is run again by whoever asks again."""
    try:
        spec.loader.exec_module(module)
    except BaseException:
        sys.modules.pop(spec.name, None)
        raise


def _running(make: Callable[[], Any]) -> Any:
    """What a user's code gives.

    Raises:
        ValueError: if it raises anything, with where that was; also where it ends Python, which would end the command as if all were well.
    """
    try:
        return make()
    except (Exception, SystemExit) as error:
        raise ValueError(by_user(error) or _words(error)) from error


def by_user(error: BaseException) -> str | None:
    """Where a user's code raised an error, and which; None for an error of gyrax itself, also of one that a user's code met within gyrax.

    Example:
        >>> by_user(KeyError("x")) is None
        True
    """
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if frame.filename.startswith(_GYRAX) or not frame.filename.startswith((*_LIBRARIES, "<"))
    ]
    own = [frame for frame in frames if not frame.filename.startswith(_GYRAX)]
    if not own or (frames[-1] is not own[-1] and not isinstance(error, _SENTENCES)):
        return None
    return f"{own[-1].filename}, line {own[-1].lineno}, in {own[-1].name}: {_words(error)}"


def _words(error: BaseException) -> str:
    if isinstance(error, SystemExit):
        return f"sys.exit({'' if error.code is None else repr(error.code)}) is called, which ends Python"
    return f"{type(error).__name__}: {error}"
