"""The state of a fit, or of tuning, in one file, from which it goes on bit for bit."""

import contextlib
import dataclasses
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from .._formats.locking import held
from .._formats.npz import write_npz
from .._formats.reading import BROKEN, is_of_the_file
from .fingerprint import Fingerprint, comparable, differences

Record = dict[str, np.ndarray]


@contextlib.contextmanager
def kept_in(path: str | os.PathLike[str] | None, of: Callable[[], Fingerprint]) -> Iterator["Checkpoint"]:
    """The checkpoint in a file that no other process has meanwhile; one that keeps nothing if there is no path.

    Raises:
        OSError: if another process has it, or its folder takes no files.
    """
    if path is None:
        yield Checkpoint(None, {})
        return
    if Path(path).is_dir():
        raise IsADirectoryError(
            f"checkpoint= is a file, and {path} a folder: write checkpoint='{Path(path) / 'fit.npz'}'"
        )
    with held(Path(path)):
        yield Checkpoint(Path(path), of())


@dataclasses.dataclass(frozen=True)
class Checkpoint:
    """Where a run keeps its state.

    Attributes:
        path: the file; None to keep nothing.
        of: what the run is of.
    """

    path: Path | None
    of: Fingerprint

    def save(self, carry: Any, record: Record, seconds: float) -> None:
        """All of the run's state. `carry` is a Module; `record` has one entry a step by name."""
        if self.path is None:
            return
        leaves = {f"{name}_{i}": _bare(x) for name, tree in _fields(carry).items() for i, x in enumerate(_arrays(tree))}
        history = {f"history_{name}": values for name, values in record.items()}
        about = json.dumps({"of": self.of, "seconds": seconds})
        write_npz(self.path, {"about": np.array(about), **leaves, **history})

    def load(
        self,
        carry: Any,
        record: Record,
        anew: Callable[[Callable[[str], Any]], Any] | None = None,
        changed: str = "raise",
    ) -> tuple[Any, Record, float]:
        """Carry, record and seconds of the run that these are the beginning of; these themselves if there is no file yet.

        Args:
            carry: of the run's beginning.
            record: by name what has one entry a step.
            anew: makes a carry of what it asks for by name, where the file is of a run that differs from this; left out, such a
                file is of no use.
            changed: 'accept' such a file, or 'raise'.

        Raises:
            ValueError: if the file is damaged, or of another run: what differs.
        """
        if self.path is None or not self.path.exists():
            return carry, record, 0.0
        about, arrays = self._read()
        found = differences(about["of"], self.of)
        usable = anew is not None and comparable(about["of"], self.of)
        if found and not (usable and changed == "accept"):
            raise ValueError(
                f"{self.path} is the checkpoint of another run: {'; '.join(found)}. Give what it was begun with, or another file"
                + (", or give changed='accept' to go on from its parameters" if usable else "")
            )
        like = _fields(carry)

        def saved(name: str) -> Any:
            return self._tree(arrays, name, like[name])

        if found and anew is not None:
            return anew(saved), self._record(arrays, record, filled=True), about["seconds"]
        carry = dataclasses.replace(carry, **{name: saved(name) for name in like})
        return carry, self._record(arrays, record, filled=False), about["seconds"]

    def _read(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """What stands in the file, of the kinds that it has to be."""
        assert self.path is not None
        try:
            with np.load(self.path, allow_pickle=False) as file:
                arrays = {name: file[name] for name in file}
            about = json.loads(str(arrays.pop("about")))
            of, seconds = about.get("of", {}), float(about["seconds"])
            if not isinstance(of, dict) or not np.isfinite(seconds):
                raise ValueError(f"it was at {of!r} after {seconds} seconds")
        except BROKEN as error:
            if not is_of_the_file(error):
                raise
            raise self._damaged(str(error) or type(error).__name__) from error
        return {"of": of, "seconds": seconds}, arrays

    def _tree(self, arrays: dict[str, np.ndarray], name: str, like: Any) -> Any:
        moving, rest = eqx.partition(like, eqx.is_array)
        leaves, treedef = jax.tree.flatten(moving)
        saved = [arrays.get(f"{name}_{i}") for i in range(len(leaves))]
        for i, (new, old) in enumerate(zip(saved, leaves, strict=True)):
            old = _bare(old)
            if new is None or new.shape != old.shape or new.dtype != old.dtype:
                here = "nothing" if new is None else f"{new.dtype}{list(new.shape)}"
                raise self._damaged(f"{name}_{i} is {here}, not {old.dtype}{list(old.shape)}")
        whole = jax.tree.unflatten(treedef, [_as(old, new) for new, old in zip(saved, leaves, strict=True)])
        return eqx.combine(whole, rest)

    def _record(self, arrays: dict[str, np.ndarray], record: Record, filled: bool) -> Record:
        """The history by name. Where the run has changed and `filled`, what was not recorded then is NaN."""
        saved = {name: arrays.get(f"history_{name}") for name in record}
        steps = {len(values) for values in saved.values() if values is not None and values.ndim}
        for name, values in saved.items():
            if values is None and filled and len(steps) == 1:
                saved[name] = np.full((*steps, *record[name].shape[1:]), np.nan)
            elif values is None or len(steps) != 1 or values.ndim == 0 or values.shape[1:] != record[name].shape[1:]:
                raise self._damaged(f"its history of {name} does not fit")
        return {name: values for name, values in saved.items() if values is not None}

    def _damaged(self, why: str) -> ValueError:
        why = " ".join(why.split())
        return ValueError(
            f"{self.path} is damaged, or no checkpoint ({why}): give another file, or delete it to begin anew"
        )


def _fields(carry: Any) -> dict[str, Any]:
    return {field.name: getattr(carry, field.name) for field in dataclasses.fields(carry)}


def _arrays(tree: Any) -> list[Any]:
    return jax.tree.leaves(eqx.filter(tree, eqx.is_array))


def _is_key(x: Any) -> bool:
    return jnp.issubdtype(x.dtype, jax.dtypes.prng_key)


def _bare(x: Any) -> np.ndarray:
    return np.asarray(jax.random.key_data(x) if _is_key(x) else x)


def _as(old: Any, new: Any) -> Any:
    """As an array of the kind that `old` is."""
    if _is_key(old):
        return jax.random.wrap_key_data(jnp.asarray(new), impl=jax.random.key_impl(old))
    return jnp.asarray(new)
