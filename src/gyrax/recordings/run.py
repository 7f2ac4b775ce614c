"""A finished run, and where it ended."""

from typing import Any

import equinox as eqx
import numpy as np
from jaxtyping import Array, Float, Int

from .._kinds import few
from .._types import has_shape, is_known
from .recording import Recording


class Final(eqx.Module):
    """Where a run ended: all that is needed to go on as if it had not. Pass it as `start=`."""

    y: Float[Array, "row node"]
    history: dict[str, Float[Array, "region column"] | None]
    monitors: dict[str, Any]
    step: Int[Array, ""]
    key: Any
    dt: float = eqx.field(static=True)
    phases: tuple[tuple[str, int], ...] = eqx.field(static=True)
    kinds: tuple[tuple[str, str], ...] = eqx.field(static=True)
    labels: tuple[str, ...] = eqx.field(static=True, default=())
    rows: tuple[str, ...] = eqx.field(static=True, default=())

    def __repr__(self):
        if not has_shape(self.y):
            return super().__repr__()
        at = f" at {int(self.step) * self.dt:g} ms" if is_known(self.step) and not self.step.ndim else ""
        return f"Final(state {self.y.shape}{at}, monitors: {', '.join(self.monitors) or 'none'})"


class Run(eqx.Module):
    """A finished run: `run["bold"]` is a recording, `run.final` continues it."""

    recordings: dict[str, Recording]
    final: Final
    failed_at: Int[Array, " node"]
    dt: float = eqx.field(static=True)
    steps: int = eqx.field(static=True)
    labels: tuple[str, ...] = eqx.field(static=True)

    def __getitem__(self, name: str) -> Recording:
        if name not in self.recordings:
            raise KeyError(f"no recording '{name}'; this run has {', '.join(self.recordings) or 'none'}")
        return self.recordings[name]

    @property
    def finite(self) -> bool:
        """Whether all states stayed finite."""
        return bool((np.asarray(self.failed_at) < 0).all())

    @property
    def failure(self) -> str:
        """When and where a state stopped being finite; empty if none did."""
        failed = np.asarray(self.failed_at)
        if (failed < 0).all():
            return ""
        first = failed[failed >= 0].min()
        regions = [self.labels[i] for i in np.unique(np.argwhere(failed == first)[:, -1])]
        return (
            f"a state is not finite from {first * self.dt:g} ms on, first in {few(regions)}: "
            "take a smaller dt, or look at the parameters there"
        )

    def __repr__(self):
        lines = [f"Run of {self.steps * self.dt:g} ms in {self.steps} steps"]
        lines += [f"  {name:9s} {recording!r}" for name, recording in self.recordings.items()]
        if is_known(self.failed_at) and not self.finite:
            lines.append(f"  NOT FINITE: {self.failure}")
        return "\n".join(lines)
