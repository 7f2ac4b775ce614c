"""What gyrax asks of XLA when it is imported."""

import os
import subprocess
import sys

import jax
import pytest

from gyrax._compiler import compile_loops_whole

WHOLE = "--xla_backend_extra_options=xla_cpu_small_while_loop_byte_threshold=1000000000"
LOOP = """
import gyrax, jax, jax.numpy as jnp
loop = jax.jit(lambda x: jax.lax.fori_loop(0, 9, lambda i, x: jnp.sin(x) + i, x))
print("small_call" in loop.lower(jnp.ones(1000)).compile().as_text())
"""


@pytest.mark.once
@pytest.mark.parametrize(
    ("flags", "version", "expected"),
    [
        (None, (0, 10, 2), WHOLE),
        ("", (0, 7, 1), WHOLE),
        ("--xla_dump_to=here", (0, 11, 2), f"--xla_dump_to=here {WHOLE}"),
        ("--xla_dump_to=here", (0, 12, 0), "--xla_dump_to=here"),
        (None, (0, 7, 0), None),
        (None, (0, 13, 1), None),
        (WHOLE.replace("1000000000", "0"), (0, 10, 2), WHOLE.replace("1000000000", "0")),
    ],
)
def test_flags_are_added_once_where_the_version_needs_them(flags, version, expected):
    environ = {} if flags is None else {"XLA_FLAGS": flags}
    compile_loops_whole(environ, version)
    compile_loops_whole(environ, version)
    assert environ.get("XLA_FLAGS") == expected


@pytest.mark.once
@pytest.mark.skipif(jax.__version_info__ < (0, 7, 1), reason="this JAX has no such option")
def test_loops_are_compiled_whole_where_gyrax_is_imported():
    environ = {name: value for name, value in os.environ.items() if name != "XLA_FLAGS"}
    command = [sys.executable, "-c", LOOP]
    assert subprocess.run(command, env=environ, capture_output=True, text=True, check=True).stdout == "True\n"
