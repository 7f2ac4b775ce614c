"""How XLA compiles loops on a CPU, set when gyrax is imported."""

import os
from collections.abc import MutableMapping

import jax

_OPTION = "xla_cpu_small_while_loop_byte_threshold"
#: JAX from the first version that has the option to the one from which on all loops are compiled whole.
_VERSIONS = (0, 7, 1), (0, 12)


def compile_loops_whole(environ: MutableMapping[str, str], version: tuple[int, ...]) -> None:
    """Lets XLA compile a loop as one function, as it does by itself from JAX 0.12 on.

    Before, it ran the body of all but tiny loops as a list of kernels: on 0.10.2 single runs and their gradients took 1.2 to 1.6
    times as long (docs/speed.md). XLA reads its flags when JAX is first used, so where that was before, nothing changes; nor
    does it where the flags name this option already.

    Example:
        >>> environ = {"XLA_FLAGS": "--xla_force_host_platform_device_count=2"}
        >>> compile_loops_whole(environ, (0, 10, 2))
        >>> environ["XLA_FLAGS"].split()[-1]
        '--xla_backend_extra_options=xla_cpu_small_while_loop_byte_threshold=1000000000'
    """
    flags = environ.get("XLA_FLAGS", "")
    if _VERSIONS[0] <= version < _VERSIONS[1] and _OPTION not in flags:
        environ["XLA_FLAGS"] = f"{flags} --xla_backend_extra_options={_OPTION}=1000000000".strip()


compile_loops_whole(os.environ, jax.__version_info__)
