"""What classes and functions are called in files, and the list of those that a file may ask for."""

import dataclasses
import functools
import importlib
import importlib.util
import inspect
import sys
from collections.abc import Callable, Iterable
from typing import Any

import equinox as eqx

#: Where JAX's functions are looked for; nothing else of it is.
_JAX = ("jax.numpy", "jax.nn", "jax.lax", "jax.scipy.special", "jax.numpy.linalg", "jax.numpy.fft")
_MEND = "give load(path, model) a model built with it, or load(path, own=[...]) what the file may hold of yours"


def known_as(what: Any) -> str:
    """The qualified name of a class or function; of any other object, that of its class.

    Example:
        >>> known_as(Names), known_as(2.0)
        ('gyrax._formats.names.Names', 'builtins.float')
    """
    named = what if hasattr(what, "__qualname__") and hasattr(what, "__module__") else type(what)
    return f"{named.__module__}.{named.__qualname__}"


def _is_plain(kind: Any) -> bool:
    """Whether a class is made of its fields."""
    return inspect.isclass(kind) and (
        issubclass(kind, eqx.Module) or dataclasses.is_dataclass(kind) or hasattr(kind, "_fields")
    )


@functools.lru_cache(1)
def _library(modules: int) -> tuple[dict[str, type], dict[type, str]]:
    """The classes of gyrax by name, and names by class: the public one of those that have one, which stays when a class moves."""
    classes: dict[str, type] = {}
    names: dict[type, str] = {}
    ours = [name for name in sys.modules if name.split(".", 1)[0] == "gyrax"]
    for home in sorted(ours, key=lambda n: (n.count("."), n)):
        public = getattr(sys.modules[home], "__all__", ())
        for key, what in list(vars(sys.modules[home]).items()):
            if not _is_plain(what) or what.__module__.split(".")[0] != "gyrax" or inspect.isabstract(what):
                continue
            if what.__module__ == home or key in public:
                classes[f"{home}.{key}"] = what
                names.setdefault(what, f"{home}.{key}")  # the shortest
    return classes, names


class Names:
    """The library's classes and functions by name, and those of a user's own that may be built.

    Example:
        >>> import jax.numpy as jnp, gyrax as gx
        >>> names = Names()
        >>> names.name_of(gx.models.WongWang), names.name_of(jnp.tanh), names.name_of(lambda x: x)
        ('gyrax.models.WongWang', 'jax.numpy.tanh', None)
        >>> names.class_of("os.system", "model")
        Traceback (most recent call last):
        ...
        ValueError: model is a os.system, which is not gyrax's, and a file does not decide what is run: give load(path, model) ...
    """

    def __init__(self, own: Iterable[Any] = ()):
        self._classes, self._names = _library(len(sys.modules))
        self._own = {known_as(what): what for what in own}

    def name_of(self, what: Any) -> str | None:
        """The name of a class or function of the library, or a function of JAX; None for any other."""
        if isinstance(what, type):
            return self._names.get(what)
        name = getattr(what, "__name__", None)
        if not callable(what) or not isinstance(name, str):
            return None
        home = str(getattr(what, "__module__", ""))
        for place in (home, *_JAX):
            full = f"{place}.{name}"
            if _function(full) is what:
                return full
        return None

    def class_of(self, name: str, path: str) -> type:
        """The class of that name.

        Raises:
            ValueError: naming the part, if there is none that may be built.
        """
        if _bring(name):
            self._classes, self._names = _library(len(sys.modules))
        found = self._classes.get(name) or self._mine(name)
        if found is None or not _is_plain(found):
            here = "none that this version has" if name.startswith("gyrax.") else "not gyrax's"
            raise ValueError(
                f"{path or 'it'} is a {name}, which is {here}, and a file does not decide what is run: {_MEND}"
            )
        return found

    def function_of(self, name: str, path: str) -> Any:
        """The function of that name, or what the user gave of it.

        Raises:
            ValueError: naming the part, if there is none.
        """
        _bring(name)
        found = _function(name) or self._mine(name)
        if found is None:
            raise ValueError(f"{path or 'it'} is {name}, of which a file can hold but the name: {_MEND}")
        return found

    def _mine(self, name: str) -> Any:
        """What the user gave of that name; a module may be called otherwise, as `__main__` is."""
        same = (what for full, what in self._own.items() if full.rpartition(".")[2] == name.rpartition(".")[2])
        return self._own.get(name) or next(same, None)


def _bring(name: str) -> bool:
    """Imports the room of gyrax that a name is from, where it is one of those that come when they are asked for."""
    home = ".".join(name.split(".")[:2])
    if home.split(".")[0] != "gyrax" or home in sys.modules or name == home:
        return False
    if importlib.util.find_spec(home) is None:
        return False
    importlib.import_module(home)
    return True


@functools.cache
def _function(name: str) -> Callable[..., Any] | None:
    """A function that gyrax defines or that one of JAX's namespaces offers; None for any other name."""
    home, _, short = name.rpartition(".")
    module = sys.modules.get(home)
    if module is None or short.startswith("__"):
        return None
    found = vars(module).get(short)
    if home in _JAX:
        offered = callable(found) and not inspect.isclass(found) and not short.startswith("_")
        return found if offered else None  # pyright: ignore[reportReturnType]
    ours = home.split(".")[0] == "gyrax" and inspect.isfunction(found) and found.__module__ == home
    return found if ours else None
