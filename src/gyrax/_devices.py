"""Ensembles over all devices there are: the cores of a CPU that JAX is told of, or every GPU."""

import contextlib
import contextvars
import os
from collections.abc import Callable
from typing import Any, Literal, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, PartitionSpec

from ._kinds import refused, whole
from ._types import is_traced

#: The axis of the mesh along which ensembles are shared out.
_AXIS = "gyrax_ensemble"
#: Whether what is being traced is one device's share already.
_SHARED_OUT: contextvars.ContextVar[bool] = contextvars.ContextVar("shared_out", default=False)

Tree = TypeVar("Tree")


def devices(cpu: int | Literal["all"] | None = None) -> list[Any]:
    """The devices over which sweeps, evaluations, realisations, starts and subjects are spread.

    JAX takes all cores of a CPU for one device, which simulates with one core at a time. Told of more devices, it has them work side by side: say
    so before the first array is made, at the top of a script or notebook. The command `gyrax` does so by itself.

    Args:
        cpu: how many devices the CPU is to be taken for, "all" for one a core; left out, as JAX was told, which is one. GPUs are
            all used without a word.

    Raises:
        RuntimeError: if JAX is at work already with another number of CPU devices.
        TypeError, ValueError: for what is neither a number of devices nor "all".

    Example:
        >>> import gyrax as gx
        >>> len(gx.devices()) >= 1
        True
    """
    if cpu is not None:
        if isinstance(cpu, str):
            if cpu != "all":
                raise refused("cpu", cpu, "a number of devices, or 'all' for one a core", "'all'")
            count = usable_cores()
        else:
            count = whole("cpu", cpu)
        try:
            # told already, by the environment or before: JAX takes no second word, even of the same number
            if jax.config.jax_num_cpu_devices != count:  # pyright: ignore[reportAttributeAccessIssue]
                jax.config.update("jax_num_cpu_devices", count)
        except RuntimeError as error:
            there = len(jax.local_devices(backend="cpu"))
            if there != count:
                raise RuntimeError(
                    f"JAX is at work already, with {there} CPU device{'s' * (there > 1)}, and {count} cannot come to it any more: call "
                    f"gx.devices(cpu={cpu!r}) before the first array is made (in a notebook: restart it, and make it the first cell)"
                ) from error
    return _usable()


def usable_cores() -> int:
    """Cores that this process may use, which a cluster's scheduler may make fewer than there are.

    Example:
        >>> usable_cores() >= 1
        True
    """
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return allowed or 1


def _usable() -> list[Any]:
    chosen = jax.config.jax_default_device  # pyright: ignore[reportAttributeAccessIssue]
    if chosen is None:
        return jax.local_devices()
    return jax.local_devices(backend=chosen) if isinstance(chosen, str) else [chosen]  # the user wants it on one


def among(count: int) -> list[Any]:
    """The devices among which so many members are shared out: all, or one where there is one member.

    All, for within one program JAX knows one set of devices.

    Example:
        >>> len(among(1))
        1
    """
    return _usable()[: 1 if count < 2 else None]


def mapped(function: Callable[..., Any], *several: Any) -> Any:
    """`jax.vmap(function)(*several)`, spread over all devices. To be called within `jit`.

    Where the members are no multiple of the devices, the last one is repeated, and what comes of that is dropped. Members do not know of
    each other, so nothing travels between devices but what comes in and out.

    Example:
        >>> jax.jit(lambda x: mapped(jnp.sin, x))(jnp.zeros(3)).shape
        (3,)
    """
    count = len(jax.tree.leaves(several)[0])
    there = among(count)
    if len(there) < 2 or _SHARED_OUT.get() or _inside_a_mesh():
        return jax.vmap(function)(*several)
    filled = -(-count // len(there)) * len(there)

    def fill(x: Any) -> Any:
        return x if filled == count else jnp.concatenate([x, jnp.repeat(x[-1:], filled - count, axis=0)])

    def own(*mine: Any) -> Any:
        token = _SHARED_OUT.set(True)
        try:
            return jax.vmap(function)(*mine)
        finally:
            _SHARED_OUT.reset(token)

    out = _shard_map(own, Mesh(np.array(there), (_AXIS,)))(*jax.tree.map(fill, several))
    return jax.tree.map(lambda x: x[:count], out)


def _shard_map(function: Callable[..., Any], mesh: Mesh) -> Callable[..., Any]:
    """Of functions whose arguments and results all have the members in front.

    Without JAX's check of what varies from device to device: loops whose carry begins as a constant, as a user's may, do not pass it, and
    here everything varies.
    """
    spec = PartitionSpec(_AXIS)
    if hasattr(jax, "shard_map"):
        return jax.shard_map(function, mesh=mesh, in_specs=spec, out_specs=spec, check_vma=False)
    from jax.experimental.shard_map import shard_map  # before JAX 0.6.1

    return shard_map(function, mesh=mesh, in_specs=spec, out_specs=spec, check_rep=False)  # pyright: ignore[reportCallIssue]


def _inside_a_mesh() -> bool:
    """Whether the user shares out what we are part of: within `jax.set_mesh`, or a `shard_map` of their own."""
    with contextlib.suppress(AttributeError):  # before JAX 0.6.1
        return not jax.sharding.get_abstract_mesh().empty
    return False


def at_home(tree: Tree) -> Tree:
    """Arrays that lie on several devices, or are bound to one, as arrays of the first that go with any others.

    What comes out of a program for several devices lies on all of them, and whatever is computed with it later would run on each.

    Example:
        >>> at_home({"x": jnp.ones(2)})["x"].tolist()
        [1.0, 1.0]
    """
    return jax.tree.map(_fetched, tree)


def _fetched(x: Any) -> Any:
    if not isinstance(x, jax.Array) or is_traced(x) or len(_usable()) == 1:
        return x
    if not getattr(x, "committed", False) and len(x.devices()) == 1:
        return x
    if jnp.issubdtype(x.dtype, jax.dtypes.prng_key):
        return jax.random.wrap_key_data(_fetched(jax.random.key_data(x)), impl=jax.random.key_impl(x))
    return jnp.asarray(np.asarray(x))
