"""What an argument is, and one sentence where it is something else: what was given, what is wanted, the line to write."""

import functools
import inspect
import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar, cast, get_args

import jax
import jax.numpy as jnp
import numpy as np

from ._types import is_traced, refuse_masked

_F = TypeVar("_F", bound=Callable)
#: Characters of a value that a sentence quotes.
_LONG = 60


def few(names: Sequence[Any], most: int = 5) -> str:
    """The first of several names, and how many more there are.

    Example:
        >>> few(["A", "B", "C"], most=2), few(["A"])
        ('A, B and 1 more', 'A')
    """
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(map(str, names[:most])) + more


def shown(value: Any) -> str:
    """What was given, in a few words.

    Example:
        >>> shown(np.zeros((2, 3))), shown(dict), shown("V1")
        ('an array of shape (2, 3)', 'the class dict', "'V1'")
    """
    if inspect.isclass(value):
        return f"the class {value.__name__}"
    if isinstance(value, np.ndarray | jax.Array) and value.ndim:
        return f"an array of shape {value.shape}"
    text = " ".join(repr(value).split())
    return text if len(text) <= _LONG else f"{text[:_LONG]}... ({type(value).__name__})"


def refused(argument: str, value: Any, wanted: str, line: str) -> TypeError:
    """The error for an argument of another kind."""
    return TypeError(f"{argument}= takes {wanted}, got {shown(value)}: write {argument}={line}")


def expect(argument: str, value: Any, kinds: Any, wanted: str, line: str) -> Any:
    """The value, if it is an instance of one of these kinds.

    Args:
        argument: its name.
        value: what was given.
        kinds: a class or several; None among them allows None.
        wanted: what it is to be, in words.
        line: what to write in place of it.

    Raises:
        TypeError: for anything else.

    Example:
        >>> expect("memory", "2 GB", (int, float), "a number of bytes", "2e9")
        Traceback (most recent call last):
        TypeError: memory= takes a number of bytes, got '2 GB': write memory=2e9
    """
    kinds = kinds if isinstance(kinds, tuple) else (kinds,)
    if (value is None and None in kinds) or isinstance(value, tuple(kind for kind in kinds if kind is not None)):
        return value
    if inspect.isclass(value) and issubclass(value, tuple(kind for kind in kinds if kind is not None)):
        line = f"{value.__name__}({'' if _bare(value) else '...'}), an instance of it"
    raise refused(argument, value, wanted, line)


def _bare(kind: type) -> bool:
    """Whether an instance can be made without arguments."""
    try:
        inspect.signature(kind).bind()
    except (TypeError, ValueError):
        return False
    return True


def expect_function(argument: str, value: Any, line: str) -> Any:
    """The value, if it is a function.

    Raises:
        TypeError: for anything that cannot be called, and for a class.
    """
    if not callable(value) or inspect.isclass(value):
        raise refused(argument, value, "a function", line)
    return value


def number(argument: str, value: Any, line: str = "1.0", unit: str = "") -> int | float:
    """A plain number: NumPy's scalars, and arrays without axes, are numbers too.

    Raises:
        TypeError: for anything else, and for what JAX traces: such numbers fix what is compiled.

    Example:
        >>> number("dt", np.float32(0.1)), number("dt", np.array(2))
        (0.1, 2)
    """
    of = f"a number{f' of {unit}' if unit else ''}"
    if is_traced(value):
        raise TypeError(
            f"{argument}= takes {of} that is known when a run is compiled, got {value}: leave it out of jit"
        )
    found = np.asarray(value) if isinstance(value, int | float | np.number | np.ndarray | jax.Array) else None
    if found is None or found.ndim or found.dtype.kind not in "iuf":
        raise refused(argument, value, of, line)
    return float(str(found)) if found.dtype.kind == "f" else found.item()  # a float32 means the decimal that it shows


def whole(argument: str, value: Any, least: int = 1) -> int:
    """A whole number from `least` on.

    Raises:
        TypeError: for anything that is no whole number.
        ValueError: for a smaller one.

    Example:
        >>> whole("steps", np.int64(3))
        3
    """
    wanted = f"a whole number from {least} on"
    try:
        found = operator.index(value.item() if isinstance(value, np.ndarray) and not value.ndim else value)
    except (TypeError, jax.errors.JAXTypeError):
        raise refused(argument, value, wanted, "10") from None
    if isinstance(value, bool | np.bool_):
        raise refused(argument, value, wanted, "10")
    if found < least:
        raise ValueError(f"{argument} is {wanted}, got {found}")
    return found


def flag(argument: str, value: Any) -> bool:
    """True or False.

    Raises:
        TypeError: for anything else.
    """
    if not isinstance(value, bool | np.bool_):
        raise refused(argument, value, "True or False", "True")
    return bool(value)


def by_annotations(function: _F) -> _F:
    """Checks what its annotations say are plain numbers, flags or instances of a class, before the function is entered.

    What JAX traces passes as a number. `X | None` may be left out.

    Example:
        >>> @by_annotations
        ... def twice(x: float) -> float:
        ...     return 2 * x
        >>> twice("1")
        Traceback (most recent call last):
        TypeError: x= takes a number, got '1': write x=1.0
    """
    checks = {}
    for name, argument in inspect.signature(function).parameters.items():
        kinds = [kind for kind in get_args(argument.annotation) or (argument.annotation,) if kind is not type(None)]
        if len(kinds) == 1 and (check := _check_of(kinds[0])):
            checks[name] = check, type(None) in get_args(argument.annotation)
    signature = inspect.signature(function)

    @functools.wraps(function)
    def checked(*args, **kwargs):
        given = signature.bind(*args, **kwargs).arguments
        for name, (check, optional) in checks.items():
            if name in given and not (optional and given[name] is None):
                check(name, given[name])
        return function(*args, **kwargs)

    return cast(_F, checked)


def _check_of(kind: Any) -> Callable[[str, Any], Any] | None:
    """What refuses values that are not of a kind that an annotation names."""
    if kind is bool:
        return flag
    if kind is int:
        return lambda name, value: whole(name, value, 0)
    if kind is float:
        return lambda name, value: is_traced(value) or number(name, value)
    if inspect.isclass(kind) and kind.__module__.startswith(__package__ or ""):
        words = kind.__name__.lower()
        return lambda name, value: expect(name, value, kind, f"a {words}", f"{words}, as gyrax makes it")
    return None


def random_key(argument: str, value: Any) -> Any:
    """A random key; a whole number is a seed of one.

    Raises:
        TypeError: for anything else.

    Example:
        >>> bool((random_key("key", 0) == jax.random.key(0)).all())
        True
    """
    if isinstance(value, np.ndarray) and not value.ndim:
        value = value[()]
    if isinstance(value, int | np.integer) and not isinstance(value, bool):
        if not 0 <= value < 2**32:
            raise ValueError(
                f"{argument}= as a seed is a whole number from 0 to {2**32 - 1}, got {value}: others repeat them"
            )
        return jax.random.key(int(value))
    if isinstance(value, jax.Array):
        typed = jnp.issubdtype(value.dtype, jax.dtypes.prng_key)
        if value.shape == (() if typed else (2,)) and (typed or value.dtype == jnp.uint32):
            return value
        if not value.ndim and jnp.issubdtype(value.dtype, jnp.integer):
            return jax.random.key(value)
    raise refused(argument, value, "one random key or a whole number", "jax.random.key(0)")


def choice(argument: str, value: Any, options: tuple[Any, ...]) -> Any:
    """One of several words or numbers.

    Raises:
        ValueError: for anything else.

    Example:
        >>> choice("scheme", "heun", ("heun", "euler"))
        'heun'
    """
    if not isinstance(value, str | int | float | np.number | None) or value not in options:
        *most, last = map(repr, options)
        raise ValueError(f"{argument} is {', '.join(most)} or {last}, got {shown(value)}")
    return value


def reals(argument: str, value: Any) -> Any:
    """A NumPy array of floats, a copy; what JAX traces stays as it is.

    Raises:
        TypeError: for what is no array of real numbers.

    Example:
        >>> reals("gain", [[1, 2]])
        array([[1., 2.]])
    """
    if is_traced(*jax.tree.leaves(value)):
        return jnp.asarray(value)
    refuse_masked(value)
    try:
        found = np.array(value)
    except (TypeError, ValueError) as error:
        raise TypeError(f"{argument}= takes an array of real numbers, got {shown(value)}: {error}") from error
    if found.dtype.kind not in "biuf" and not (found.dtype.kind == "O" and _all_numbers(found)):
        raise refused(argument, value, "an array of real numbers", "np.asarray(values, float)")
    return found.astype(float)


def _all_numbers(found: np.ndarray) -> bool:
    return bool(found.size) and all(isinstance(x, int | float | np.number | jax.Array) for x in found.ravel())


def names(argument: str, value: Any) -> tuple[str, ...]:
    """Several names, such as labels; what is no text is taken as what it prints.

    Raises:
        TypeError: for what is no sequence.

    Example:
        >>> names("labels", ["V1", 2])
        ('V1', '2')
    """
    if isinstance(value, str | Mapping) or not isinstance(value, Iterable) or np.ndim(getattr(value, "values", 0)) > 1:
        raise refused(argument, value, "a list of names", "['V1', 'V2']")
    if isinstance(value, np.ndarray) and value.ndim != 1:
        raise refused(argument, value, "a list of names", "['V1', 'V2']")
    return tuple(map(str, value))
