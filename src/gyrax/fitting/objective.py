"""What a function of a model returns, read in one place, and a loss as an objective on the real line."""

import abc
import inspect
from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from .._devices import mapped
from .._jaxprs import depends
from .._kinds import expect_function, refused
from ..labelled import LabelledArray, MaybeLabelled
from ..losses.terms import RESERVED
from ..parameters.splitting import Fixed, join
from .tracing import AsNow, seen

#: What a loss may name for least squares: an array of any shape, whose squares it is made of. No history has it.
RESIDUALS = "residuals"


class Outcome(NamedTuple):
    """What a loss returned: its value, named terms, and residuals if it has some."""

    value: Any
    terms: dict[str, Any]
    residuals: Any = None


def outcome(out: Any) -> Outcome:
    """What a loss returned: a scalar, or a scalar and a dict of named scalars, in which residuals may be.

    Raises:
        TypeError: if beside the value there is no dict.

    Example:
        >>> outcome((0.5, {"r": 0.9, "residuals": jnp.ones(2)})).terms
        {'r': 0.9}
    """
    value, terms = out if isinstance(out, tuple) and len(out) == 2 else (out, {})
    if not isinstance(terms, dict):
        raise TypeError(f"what a loss returns beside its value is a dict of named scalars, got {terms!r}")
    terms = dict(terms)
    residuals = terms.pop(RESIDUALS, None)
    return Outcome(value, terms, residuals)


def named_arrays(out: Any) -> dict[str, MaybeLabelled]:
    """What a function of a model returned, by name: a bare array is called 'value', a loss with terms 'loss' and these.

    Raises:
        TypeError: for anything else.

    Example:
        >>> list(named_arrays((jax.numpy.ones(()), {"r": jax.numpy.zeros(())})))
        ['loss', 'r']
    """
    if isinstance(out, tuple) and len(out) == 2 and isinstance(out[1], dict):
        value, terms, residuals = outcome(out)
        out = {"loss": value, **terms} | ({} if residuals is None else {RESIDUALS: residuals})
    named: dict[str, Any] = out if isinstance(out, dict) else {"value": out}
    for name, values in named.items():
        if not isinstance(values, jax.Array | LabelledArray):
            raise TypeError(f"expected an array or a dict of named arrays; '{name}' is {type(values).__name__}")
    return named


class Description(NamedTuple):
    """What a loss returns beside its value, by name, whether anything of it depends on the key, and the loss as it is now."""

    terms: list[str]
    noisy: bool
    loss: AsNow


def _refuse_unreal(kind: Any) -> None:
    if jnp.issubdtype(kind, jnp.complexfloating) or jnp.issubdtype(kind, jnp.bool_):
        raise TypeError(
            f"the loss is a real number, got one of {kind}: take jnp.abs(...) of complex ones, and .astype(float) of what is true or false"
        )


def described(
    loss: Callable[..., Any], model: Any, key: Any, refuse_unreal: Callable[[Any], None] = _refuse_unreal
) -> Description:
    """What a loss is like, by tracing it once; nothing is compiled, and JAX remembers what it will trace again.

    Raises:
        TypeError: if the loss does not return a scalar, or its named terms are no scalars.
        ValueError: for a term with a name that a history has of its own, or a loss that does not depend on the model.

    Example:
        >>> described(lambda model, key: (model, {"r": model + jax.random.normal(key)}), jax.numpy.ones(()), jax.random.key(0))[:2]
        (['r'], True)
    """
    # a plain float of a user's own model becomes an array when it is freed
    model = jax.tree.map(lambda x: jnp.asarray(x) if isinstance(x, float) else x, model)
    try:
        now, jaxpr, own, out = seen(loss, model, key)
    except jax.errors.JAXTypeError as error:
        error.add_note(
            "gyrax: a loss is traced, so it takes jax.numpy's functions: no float(), no `if` on a value, no NumPy"
        )
        raise
    value, terms, _ = outcome(out)
    shapes = {"the loss": value, **{f"the loss's term '{name}'": term for name, term in terms.items()}}
    for name, what in shapes.items():
        if getattr(what, "shape", None) != ():
            raise TypeError(
                f"{name} must be a scalar (or the loss a pair of a scalar and a dict of scalars), got {what}"
            )
    refuse_unreal(getattr(value, "dtype", None))
    for name, term in terms.items():
        dtype: Any = getattr(term, "dtype", None)
        if jnp.issubdtype(dtype, jnp.complexfloating):
            raise TypeError(f"the loss's term '{name}' is a real number, got one of {dtype}: take jnp.abs(...) of it")
        if name in RESERVED:
            raise ValueError(f"the history has a '{name}' of its own: call the loss's term otherwise")
    keys = len(jax.tree.leaves(eqx.filter(key, eqx.is_array)))
    if not depends(jaxpr.jaxpr, jaxpr.jaxpr.invars[own : len(jaxpr.jaxpr.invars) - keys])[0]:
        raise ValueError(
            "the loss does not depend on the model that it is given: nothing can be fitted. Does it use another one from outside?"
        )
    heard = jaxpr.jaxpr.invars[len(jaxpr.jaxpr.invars) - keys :]
    return Description(list(terms), any(depends(jaxpr.jaxpr, heard)), now)


def check_objective(model: Any, function: Any, argument: str, line: str) -> None:
    """Refuses a class in place of a model, and what is no function of one.

    Raises:
        TypeError: with what to write.
    """
    if inspect.isclass(model) or isinstance(model, str):
        raise refused("model", model, "a Network or any other Module", "gx.Network(model, coupling, connectome)")
    expect_function(argument, function, line)
    try:
        inspect.signature(function).bind(model, None)
    except TypeError as error:
        raise TypeError(f"{argument}= is called with a model and a key ({error}): write {argument}={line}") from None
    except ValueError:  # of what is not written in Python
        return


def length(x: Float[Array, "..."]) -> Float[Array, ""]:
    """The root of the sum of squares, of numbers whose own squares the precision does not hold.

    In float32 the square of 1e-23 is zero and that of 1e20 infinite, and errors of MEG in T², or counts, have such gradients.

    Example:
        >>> float(length(jnp.array([3e-30, 4e-30], jnp.float32)) / 5e-30).__round__(5)
        1.0
    """
    largest = jnp.abs(x).max()
    usable = (largest > 0) & jnp.isfinite(largest)
    scale = jnp.where(usable, largest, 1.0)
    return jnp.where(usable, scale * jnp.linalg.norm(jnp.ravel(x / scale)), largest)


def keys_of(key: Any, realisations: int) -> Array:
    """The keys that a mean over so many realisations hears.

    Example:
        >>> keys_of(jax.random.key(0), 3).shape
        (3,)
    """
    return key[None] if realisations == 1 else jax.random.split(key, realisations)


class AbstractObjective(eqx.Module):
    """A loss as a function of the free leaves of a model, on the real line: what every method of fitting takes.

    Attributes:
        loss: `loss(model, key)`.
        fixed: what of the model is not free, from `split`.
    """

    loss: eqx.AbstractVar[Callable[..., Any]]
    fixed: eqx.AbstractVar[Fixed]

    @abc.abstractmethod
    def at(self, free: PyTree, key: Any) -> Outcome:
        """What the loss returns at the free leaves."""

    def each(self, free: PyTree, keys: Array, starts: int | None) -> Array:
        """The value on every key, of every start if there are several: `(start, key)` or `(key,)`."""
        if starts is None:
            return mapped(lambda key: self.at(free, key).value, keys)
        several = jax.tree.map(lambda x: jnp.repeat(x, len(keys), axis=0), free)
        found = mapped(lambda free, key: self.at(free, key).value, several, jnp.concatenate([keys] * starts))
        return found.reshape(starts, len(keys))

    def mean(self, free: PyTree, keys: Array) -> tuple[Array, dict[str, Array]]:
        """Value and terms, means over keys."""

        def one(key):
            return self.at(free, key)[:2]

        if len(keys) == 1:
            return one(keys[0])
        return jax.tree.map(lambda x: x.mean(0), mapped(one, keys))

    def means(self, free: PyTree, keys: Array, starts: int | None) -> tuple[Array, dict[str, Array]]:
        """The same of every start, if there are several and `free` has them stacked: all simulations are one ensemble."""
        if starts is None:
            return self.mean(free, keys)

        def one(free, key):
            return self.at(free, key)[:2]

        several = jax.tree.map(lambda x: jnp.repeat(x, len(keys), axis=0), free)
        found = mapped(one, several, jnp.concatenate([keys] * starts))
        return jax.tree.map(lambda x: x.reshape(starts, len(keys)).mean(1), found)


class Objective(AbstractObjective):
    """The loss at the free leaves as they are.

    Example:
        >>> import gyrax as gx
        >>> model = gx.models.Linear(gamma=-0.5)
        >>> free, fixed = gx.split(model, gx.select(model, "gamma"))
        >>> float(Objective(lambda m, key: m.gamma**2, fixed).at(free, None).value)
        0.25
    """

    loss: Callable[..., Any]
    fixed: Fixed

    def at(self, free: PyTree, key: Any) -> Outcome:
        """What the loss returns at the free leaves."""
        return outcome(self.loss(join(free, self.fixed), key))
