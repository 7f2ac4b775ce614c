"""A branch of fixed points: what was found along it, in labels, words and pictures."""

from typing import Any

import equinox as eqx
import numpy as np
import xarray as xr
from jaxtyping import Bool, Complex, Float

from .._pictures import draw
from ..labelled import LabelledArray, Names
from .telling import count_of

#: How a branch ends, in words.
WHY = {
    "end": "",
    "closed": "it closes upon itself",
    "lost": "it is lost there, where the drift is not smooth or not finite",
    "limit": "a state reaches a limit of the model there, beyond which no run goes",
    "most": "it has more points than were allowed",
}
#: Points, and stretches, that its words tell of.
_SHOWN = 10


class Branch(eqx.Module):
    """Fixed points of a network along a parameter. Made by `continuation`.

    Attributes:
        parameter: its name.
        at: its values, in the order of the branch, `(point,)`.
        values: the states, `(point, state, region)`.
        rates: of the modes that last longest, or grow fastest, per ms, `(point, mode)`.
        crossing: where stability changes, the rate of the mode that crosses zero; elsewhere of the first one.
        kinds: 'fold', 'hopf' or 'branch point' for points where stability changes, otherwise empty.
        why: how it ends at either side: 'end' of the range, 'closed', 'lost', a 'limit' of the model or 'most' points.
        missing: which states a region does not have, as it is of another group, `(state, region)`.
    """

    parameter: str = eqx.field(static=True)
    at: Float[np.ndarray, " point"]
    values: Float[np.ndarray, "point state node"]
    rates: Complex[np.ndarray, "point mode"]
    crossing: Complex[np.ndarray, " point"]
    kinds: tuple[str, ...] = eqx.field(static=True)
    why: tuple[str, str] = eqx.field(static=True)
    missing: Bool[np.ndarray, "state node"]
    states: Names = eqx.field(static=True)
    regions: Names = eqx.field(static=True)

    @property
    def stable(self) -> Bool[np.ndarray, " point"]:
        """Where the network comes back to the branch; not where stability changes."""
        return (np.real(self.rates[:, 0]) < 0) & (np.array(self.kinds) == "")

    @property
    def frequencies(self) -> Float[np.ndarray, " point"]:
        """Hz, of the mode that crosses zero or of the first one; 0 for what does not oscillate."""
        return np.abs(np.imag(self.crossing)) / (2 * np.pi) * 1000

    @property
    def folds(self) -> xr.Dataset:
        """The points where the branch turns back."""
        return self._of_kind("fold")

    @property
    def hopfs(self) -> xr.Dataset:
        """The points where it begins to oscillate, or ceases to, with the frequency."""
        return self._of_kind("hopf")

    @property
    def branch_points(self) -> xr.Dataset:
        """The points where a mode changes stability and the branch does not turn: other branches meet it there."""
        return self._of_kind("branch point")

    def _of_kind(self, kind: str) -> xr.Dataset:
        return self.to_xarray().isel(point=np.array(self.kinds) == kind)

    def __len__(self):
        return len(self.at)

    def __getitem__(self, index: int) -> LabelledArray:
        """One of the states, `(state, region)`."""
        return LabelledArray(self.values[index], (self.states, self.regions))

    def to_xarray(self) -> xr.Dataset:
        """All of it with labels, NaN where a region has no such state; complex numbers as their real and imaginary parts along 'part'."""
        parts = np.stack([np.real(self.rates), np.imag(self.rates)], -1)
        return xr.Dataset(
            {
                "value": (("point", "state", "region"), np.where(self.missing, np.nan, self.values)),
                "rate": (("point", "mode", "part"), parts, {"units": "1/ms"}),
                "stable": ("point", self.stable),
                "kind": ("point", np.array(self.kinds, dtype=str)),
                "frequency": ("point", self.frequencies, {"units": "Hz"}),
            },
            coords={
                self.parameter: ("point", self.at),
                "state": list(self.states),
                "region": list(self.regions),
                "part": ["real", "imaginary"],
            },
        )

    def plot(self, variable: str | None = None, *, region: str | None = None, ax: Any = None) -> Any:
        """Draws it, solid where it is stable and dashed where it is not; needs matplotlib. See `gx.plot.branch`."""
        return draw("branches.branch", self, variable, region=region, ax=ax)

    def __repr__(self):
        regions = count_of(len(self.regions), "region")
        tidy, low, high = self._tidy, self.at.min(), self.at.max()
        lines = [f"Branch of {regions}: {self.parameter} from {tidy(low)} to {tidy(high)} in {len(self)} points"]
        special = [i for i, kind in enumerate(self.kinds) if kind]
        for i in special[:_SHOWN]:
            swings = f", {self.frequencies[i]:.4g} Hz" if self.kinds[i] == "hopf" else ""
            lines.append(f"  {self.kinds[i]} at {tidy(self.at[i])}{swings}")
        lines += [f"  ... and {len(special) - _SHOWN} more"] * (len(special) > _SHOWN)
        stable = [f"from {tidy(self.at[part[0]])} to {tidy(self.at[part[-1]])}" for part in self.parts(True)]
        more = f", and in {len(stable) - _SHOWN} more parts" if len(stable) > _SHOWN else ""
        lines.append(f"  stable {', '.join(stable[:_SHOWN])}{more}" if stable else "  stable nowhere")
        return "\n".join(lines + [f"  {said}" for said in self.failures])

    def _tidy(self, value: float) -> str:
        """A value of the parameter, 0 for what rounding leaves of it."""
        return f"{0.0 if abs(value) < 1e-9 * (self.at.max() - self.at.min()) else value:.6g}"

    @property
    def failures(self) -> list[str]:
        """How it ends, where that is not at the ends of the range."""
        if "closed" in self.why:
            return ["it closes upon itself"]
        ends = zip(self.at[[0, -1]], self.why, strict=True)
        return [f"ends at {self.parameter} = {self._tidy(at)}: {WHY[why]}" for at, why in ends if WHY[why]]

    def parts(self, stable: bool) -> list[list[int]]:
        """Stretches of points in order that are stable, or are not, from one where stability changes to the next."""
        found: list[list[int]] = []
        for i in range(len(self) - 1):
            # of a step between two points where stability changes nothing is known, and it counts as unstable
            sides = {bool(self.stable[j]) for j in (i, i + 1) if not self.kinds[j]} or {False}
            if sides != {stable}:
                continue
            if found and found[-1][-1] == i and not self.kinds[i]:
                found[-1].append(i + 1)
            else:
                found.append([i, i + 1])
        return found
