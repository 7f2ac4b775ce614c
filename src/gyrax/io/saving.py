"""Models and results to disk and back: a file says what it holds, and nothing in it is run."""

import functools
import os
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import jax.numpy as jnp
import numpy as np

from .._formats import archive
from .._formats.likeness import differences, filled
from .._formats.names import Names
from .._formats.reading import DAMAGED
from .._formats.trees import Building, Describing, Node, dtype_name, join
from .validity import validate

#: What this version writes; it reads those up to it.
FORMAT = 1
#: Differences that an error names.
_FEW = 5
#: What a number or array is described by.
_LEAVES = ("array", "float", "complex")


def save(path: str | os.PathLike[str], model: Any) -> None:
    """Writes a Network or any other Module, or what came out of one, to an npz that says what it holds.

    Networks, parts of them, runs, recordings, `run.final`, results of `fit`, `tune`, `evaluate` and `sweep`, and lists, tuples
    and dicts of such and of arrays and numbers. The file has the arrays under their dotted names, which `np.load` reads, and
    a text `gyrax.json` with classes, labels, other static fields and units. The new file takes the old one's place in one
    move: an interruption leaves either whole.

    Of functions the file has the name alone, and so of classes of your own: see `load`.

    Raises:
        TypeError: naming the part, for what is none of these, such as a DataFrame or an array of objects, or is not known
            yet (in `jit`).
        OSError: if there is no such folder, the disk is full, or what stands there is no file.

    Example:
        >>> import tempfile, gyrax as gx
        >>> file = tempfile.mkdtemp() + "/model.npz"
        >>> gx.io.save(file, gx.models.WongWang(w=0.8))
        >>> gx.io.load(file)
        WongWang(w=0.8, J_N=0.2609 nA, I_o=0.33 nA, a=270 Hz/nA, b=108 Hz, d=0.154 s, gamma=0.000641 1/(Hz ms), tau_S=100 ms)
    """
    writing = Describing(Names())
    tree = writing.node(model, "")
    about = {"format": FORMAT, "gyrax": _version(), "float": jnp.result_type(float).name, "tree": tree}
    archive.write(path, about, writing.arrays)


def load(path: str | os.PathLike[str], model: Any = None, *, own: Any = ()) -> Any:
    """What `save` wrote: the same classes, labels, static fields and, bit for bit, numbers.

    Floats that were saved in the other precision (`jax_enable_x64`) become those of this one, as in all constructors.

    Args:
        path: the file.
        model: what it is to be like, with any values: the file must have the same classes, labels and static fields. One value a
            region may stand where `model` has a scalar. Classes and functions of your own are taken from it, never from the
            file. Files of gyrax 0.1, which are arrays alone, need it.
        own: instead, your own classes and functions that the file may hold.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if the file is damaged, or of a later version; if it differs from `model`, with what differs; if it holds
            what is not the library's and not in `model` or `own`; naming the parameter, if a value is not finite, outside its
            domain, or of a shape that does not fit.
        TypeError: for a class as `model`, or `own` that is no list.

    Example:
        >>> import tempfile, gyrax as gx
        >>> file = tempfile.mkdtemp() + "/coupling.npz"
        >>> gx.io.save(file, gx.couplings.Linear(source="E"))
        >>> gx.io.load(file, gx.couplings.Linear(source="I"))
        Traceback (most recent call last):
        ...
        ValueError: .../coupling.npz: the file does not fit the model: source[0] is 'E' in the file and 'I' in the model
    """
    if isinstance(model, type):
        raise TypeError(f"model= is the class {model.__name__}: give load(path, model) an instance, or leave it out")
    if not isinstance(own, list | tuple):
        raise TypeError(f"own= takes a list of classes and functions of your own, such as [MyModel]; got {own!r}")
    about, arrays = archive.read(path)
    here = Describing(Names())
    like = here.node(model, "")
    try:
        if about is None:
            if model is None:
                raise ValueError(
                    "it has arrays alone, as gyrax 0.1 wrote them: give load(path, model) a model to put them in"
                )
            about = {"format": FORMAT, "float": jnp.result_type(float).name, "tree": _of_arrays(like, arrays)}
            arrays = {**here.arrays, **arrays}
        if about["format"] > FORMAT:
            raise ValueError(
                f"gyrax {about['gyrax']} wrote it in a later format than this one, {_version()}, knows: update gyrax"
            )
        file = Building(Names([*own, *here.own.values()]), arrays, about["float"])
        if model is None:
            found = file.tree(about["tree"])
        else:
            _refuse(differences(file, about["tree"], here, like))
            found = filled(model, file, about["tree"])
        validate(found, "", model)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    except DAMAGED as error:
        raise ValueError(f"{path}: its description makes no sense ({type(error).__name__}: {error})") from error
    return found


@functools.cache
def _version() -> str:
    try:
        return version("gyrax")
    except PackageNotFoundError:  # run from a source tree that is not installed
        return "0"


def _refuse(found: list[str]) -> None:
    if found:
        more = f"; and {len(found) - _FEW} more" if len(found) > _FEW else ""
        raise ValueError(f"the file does not fit the model: {'; '.join(found[:_FEW])}{more}")


def _of_arrays(like: Node, arrays: dict[str, np.ndarray]) -> Node:
    """The description of a file that has none: that of the model, with the arrays of the file."""
    left = set(arrays)

    def put(node: Node, path: str) -> Node:
        if isinstance(node, bool | int | float) or (isinstance(node, dict) and next(iter(node)) in _LEAVES):
            if path not in arrays:
                raise ValueError(f"the file does not fit the model: only the model has {path}")
            left.discard(path)
            value = arrays[path]
            return {"array": path, "of": "numpy", "dtype": dtype_name(value.dtype), "shape": list(value.shape)}
        if not isinstance(node, dict):
            return node
        new = dict(node)
        for kind in ("tuple", "list"):
            if kind in node:
                new[kind] = [put(part, join(path, i)) for i, part in enumerate(node[kind])]
        for kind in ("dict", "children"):
            if kind in node:
                new[kind] = [[key, put(part, join(path, key))] for key, part in node[kind]]
        if "class" in node:
            new["fields"] = {name: put(part, join(path, name)) for name, part in node["fields"].items()}
        return new

    tree = put(like, "")
    if left:
        raise ValueError(f"the file does not fit the model: only the file has {min(left)}")
    return tree
