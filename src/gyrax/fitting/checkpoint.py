"""The state of a fit in one file, from which it goes on bit for bit."""

import json
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .._formats.npz import write_npz
from .descent import Carry


def save(path: Any, carry: Carry, record: dict[str, np.ndarray], key: Any, names: list[str], seconds: float) -> None:
    """All of the fit's state into one file."""
    leaves = {f"carry_{i}": np.asarray(x) for i, x in enumerate(jax.tree.leaves(carry))}
    history = {f"history_{name}": values for name, values in record.items()}
    about = json.dumps({"names": names, "seconds": seconds})
    write_npz(path, {"about": np.array(about), "key": _key_data(key), **leaves, **history})


def _key_data(key: Any) -> np.ndarray:
    return np.asarray(jax.random.key_data(key) if jnp.issubdtype(key.dtype, jax.dtypes.prng_key) else key)


def load(path: Any, carry: Carry, record: dict[str, np.ndarray], key: Any, names: list[str]) -> Any:
    """Carry, record and seconds of a fit like the one that these are the beginning of.

    Raises:
        ValueError: if the file is of another fit.
    """
    with np.load(path, allow_pickle=False) as file:
        about = json.loads(str(file["about"]))
        leaves, treedef = jax.tree.flatten(carry)
        saved = [file[f"carry_{i}"] for i in range(len(leaves)) if f"carry_{i}" in file]
        same = about["names"] == names and len(saved) == len([k for k in file if k.startswith("carry_")]) == len(leaves)
        same = same and all(a.shape == b.shape and a.dtype == b.dtype for a, b in zip(saved, leaves, strict=True))
        if not same or {k[8:] for k in file if k.startswith("history_")} != set(record):
            raise ValueError(
                f"{path} is the checkpoint of another fit (free there: {', '.join(about['names'])}; here: {', '.join(names)}), "
                "or of another optimiser, loss, validation, number of starts or precision: give another file, or delete it"
            )
        if not np.array_equal(file["key"], _key_data(key)):
            raise ValueError(
                f"{path} is the checkpoint of a fit with another key: give that key, another file, or delete it"
            )
        record = {name: file[f"history_{name}"] for name in record}
    return jax.tree.unflatten(treedef, [jnp.asarray(x) for x in saved]), record, float(about["seconds"])
