"""A parameter turned slowly up and down again in a running network, and where the way matters."""

from collections.abc import Callable
from typing import Any

import diffrax as dfx
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

from .._kinds import expect, expect_function, number, random_key, reals, shown
from .._pictures import draw
from .._progress import tqdm
from .._steps import whole_steps
from .._warned import warn
from ..labelled import LabelledArray, known_names
from ..monitors.base import AbstractMonitor
from ..monitors.sampling import Raw
from ..network.living import begun
from ..network.network import Network
from ..parameters.addresses import Where, domains, replace, tell
from ..parameters.declaring import names_of, refuse_names
from ..recordings.run import Run
from ..simulation import simulate
from .curves import moved

#: The two ways, and by how much of its range over all values what is measured differs between them where they count as different.
WAYS, APART = ("up", "down"), 0.1
#: Of its size at least: what differs by less differs by rounding.
_ROUNDING = 1e-4


class AdiabaticScan(eqx.Module):
    """What a network did while a parameter was turned up and down again. Made by `adiabatic_scan`.

    Attributes:
        parameter: its name.
        found: by the name of what was measured, over 'direction' (up, down) and the parameter; what it is of has its own axes. NaN for values
            that were not reached.
        done: how many values were reached, of both ways.
        stopped: where and why before the last of them; empty if all were reached.
    """

    parameter: str = eqx.field(static=True)
    found: xr.Dataset = eqx.field(static=True)
    done: int = eqx.field(static=True)
    stopped: str = eqx.field(static=True)

    def __getitem__(self, name: str) -> xr.DataArray:
        return self.found[name]

    def to_xarray(self) -> xr.Dataset:
        """All of it with labels."""
        return self.found

    def differs(self, apart: float = APART) -> xr.DataArray:
        """Where it matters from which side a value was reached, True or False over the parameter: two states side by side, or a turn too fast.

        What is not a finite number on both ways is not compared; `unknown` tells where.

        Args:
            apart: by which share of its range, over all values and both ways, anything that was measured has to differ. With noise, take it
                larger than what two runs differ by.
        """
        if not 0 < number("apart", apart) < 1:
            raise ValueError(f"apart is a share of a range, between 0 and 1, got {apart}")
        where = np.zeros(self.found.sizes[self.parameter], bool)
        # extremes and the mean of one state are in one unit, and how far it swings is its range
        shared = self._range(*self.found) if self._of_states else None
        for name in self.found:
            up, down = self._numbers(name)
            size = self._range(name) if shared is None else shared
            where |= (np.abs(up - down) > apart * size).reshape(len(where), -1).any(1)
        return self._over(where, "differs")

    @property
    def unknown(self) -> xr.DataArray:
        """Where something that was measured cannot be compared, True or False over the parameter: no finite number on one of the ways.

        Numbers that are so at all values are left out, as a state is in regions of another group.
        """
        where = np.zeros(self.found.sizes[self.parameter], bool)
        for name in self.found:
            nan = np.isnan(self._numbers(name))
            where |= (nan.any(0) & ~nan.all((0, 1))).reshape(len(where), -1).any(1)
        return self._over(where, "unknown")

    @property
    def _of_states(self) -> bool:
        return set(self.found) == {"mean", "min", "max"}

    def _over(self, where: np.ndarray, name: str) -> xr.DataArray:
        return xr.DataArray(where, {self.parameter: self.found[self.parameter]}, (self.parameter,), name)

    def _numbers(self, name: Any) -> np.ndarray:
        """Up and down, NaN for what is not finite."""
        values = np.asarray(self.found[name].sel(direction=list(WAYS)).values, float)
        return np.where(np.isfinite(values), values, np.nan)

    def _range(self, *names: Any) -> np.ndarray:
        every = np.stack([self._numbers(name) for name in names])
        high, low = np.fmax.reduce(every, (0, 1, 2)), np.fmin.reduce(every, (0, 1, 2))
        rounding = _ROUNDING * np.maximum(np.abs(high), np.abs(low)) + np.finfo(float).tiny
        return np.asarray(np.maximum(high - low, rounding))

    def plot(
        self, name: str | None = None, *, state: str | None = None, region: str | None = None, ax: Any = None
    ) -> Any:
        """Draws what was measured, up and down; needs matplotlib. See `gx.plot.adiabatic_scan`."""
        return draw("branches.adiabatic_scan", self, name, state=state, region=region, ax=ax)

    def __repr__(self):
        values, differs = self.found[self.parameter].values, self.differs().values
        lines = [
            f"AdiabaticScan of {', '.join(map(str, self.found))}: {self.parameter} from {values[0]:.6g} to {values[-1]:.6g} and back"
        ]
        lines += [f"  stopped {self.stopped}; {self.done} of {2 * len(values)} values are kept"] * bool(self.stopped)
        both = np.arange(len(values)) >= 2 * len(values) - self.done
        if not both.any():
            return "\n".join([*lines, "  up and down cannot be compared"])
        lines += [f"  up and down differ {part}" for part in _parts(values, differs)[:10]]
        unknown = _parts(values, self.unknown.values & both)
        known = " where they are known" * bool(unknown or not both.all())
        lines += [f"  up and down differ nowhere{known}"] * (not differs.any())
        lines += [f"  not compared {part}, where something is not finite" for part in unknown[:10]]
        for name in () if self._of_states else self.found:
            never = np.isnan(self._numbers(name)).all((0, 1))
            lines += [f"  not compared: '{name}' is finite nowhere"] * bool(never.all())
            lines += [f"  not compared: {never.sum()} of {never.size} numbers of '{name}', finite nowhere"] * bool(
                never.any() and not never.all()
            )
        return "\n".join(lines)


def _parts(values: np.ndarray, where: np.ndarray) -> list[str]:
    """Stretches of values in words."""
    edges = np.flatnonzero(np.diff(np.r_[False, where, False])).reshape(-1, 2)
    return [
        f"from {values[first]:.6g} to {values[last - 1]:.6g}" if last - first > 1 else f"at {values[first]:.6g}"
        for first, last in edges
    ]


def adiabatic_scan(
    network: Network,
    parameter: Where,
    values: Any,
    duration: float,
    dt: float,
    *,
    settle: float | None = None,
    states: str | tuple[str, ...] | list[str] | None = None,
    function: Callable[[Run], Any] | None = None,
    monitors: dict[str, AbstractMonitor] | AbstractMonitor | None = None,
    solver: dfx.AbstractSolver | None = None,
    key: Any = None,
    start: Any = None,
    progress: bool | str = False,
) -> AdiabaticScan:
    """Turns a parameter slowly up and down again in one run, as an experimenter turns a knob, and measures at each value.

    The network goes on from value to value as it is: its state, what is under way along delayed connections, its noise, and what
    monitors remember. So it stays on a branch until that ends, and where two branches lie side by side it is on another one on the way
    back (hysteresis). `continuation` finds the branches themselves. Where a run does not stay finite, or at Ctrl-C, what was finished is kept, and
    `stopped` says where and why; a `RuntimeWarning` tells of it.

    Args:
        network: what runs.
        parameter: what is turned: a dotted path or a function such as `lambda n: n.model.w`.
        values: that it takes on the way up, rising; on the way down the same, falling. Of a parameter that is no scalar, `(value, *its
            shape)`, in the order of the way up.
        duration: ms at each value, a whole number of steps.
        dt: ms a step.
        settle: ms of these that do not count; half of them if left out.
        states: names of the states or outputs that the mean, min and max are of, by default all states.
        function: `function(run)`, what is measured in place of these: an array or a dict of arrays by name, of a run's recordings, in which
            the time to settle is left out.
        monitors: what the function is given recordings of, as of `simulate`.
        solver: as of `simulate`.
        key: of the noise.
        start: where the first run starts, as of `simulate`.
        progress: show a bar; a text is its title.

    Raises:
        ValueError: for values outside of their domain, or that do not rise; a run that does not stay finite at the first value; a function that does
            not give the same names and shapes at all values; as `simulate`.
        TypeError: for arguments of another kind.

    Example:
        >>> import gyrax as gx
        >>> net = gx.Network(gx.models.WongWang(w=1.0, I_o=0.3), gx.couplings.Linear(source="S"), np.zeros((1, 1)))
        >>> adiabatic_scan(net, "model.I_o", np.linspace(0.3, 0.34, 9), 2000.0, 1.0)
        AdiabaticScan of mean, min, max: model.I_o from 0.3 to 0.34 and back
          up and down differ from 0.32 to 0.325
    """
    expect("network", network, Network, "a network", "gx.Network(model, coupling, connectome)")
    expect("progress", progress, (bool, str), "True, False or a title", "False")
    name, index, values = _values(network, parameter, values)
    duration, dt = number("duration", duration, unit="ms"), number("dt", dt, unit="ms")
    whole_steps(duration, dt, "duration")
    settle = duration / 2 // dt * dt if settle is None else number("settle", settle, unit="ms")
    if not 0 <= settle < duration:
        raise ValueError(f"settle is a part of the {duration:g} ms at each value, got {settle:g} ms")
    if settle:
        whole_steps(settle, dt, "settle")
    if function is None:
        if monitors is not None:
            raise ValueError("monitors record for a function: give function= too, or states= in place of both")
        source = network.model.states if states is None else names_of("states")(states)
        monitors, function = {"raw": Raw(source=source)}, _extremes
    elif states is not None:
        raise ValueError("states are what the mean, min and max are of: leave states= or function= out")
    expect_function("function", function, 'lambda run: gx.features.fc(run["raw"])')
    key = None if key is None else random_key("key", key)
    ways = np.r_[np.arange(len(values)), np.arange(len(values))[::-1]]
    found, place, stopped = [], start, ""
    bar = tqdm(ways, desc=progress if isinstance(progress, str) else name, unit="value", disable=not progress)
    try:
        for count, at in enumerate(bar):
            told = f"on the way {WAYS[count >= len(values)]} at {name} = {np.ravel(values[at])[0]:g}"
            now = replace(network, {index: values[at]})
            run = simulate(now, duration, dt, solver=solver, monitors=monitors, key=key, start=place)
            if not run.finite:
                stopped = f"{told}: {run.failure}"
                break
            measured = _measured(function, _settled(run, duration, settle))
            _expect_alike(found[0] if found else measured, measured, told)
            found.append(measured)
            place, key = run.final, None
    except KeyboardInterrupt:
        stopped = f"after {len(found)} of {len(ways)} values: interrupted"
        if not found:
            raise
    bar.close()
    if not found:
        raise ValueError(f"nothing was measured, stopped {stopped}")
    if stopped:
        warn(f"the scan stopped {stopped}; {len(found)} of {len(ways)} values are kept")
    return AdiabaticScan(name, _labelled(found, name, values, network), len(found), stopped)


def _values(network: Network, parameter: Any, values: Any) -> tuple[str, int, np.ndarray]:
    """Name and index of what is turned, and the values that it takes."""
    name, index = moved(network, parameter)
    if name in begun(network):
        raise ValueError(
            f"{name} is where a state begins, which a run that goes on has left: turning it does nothing; turn another parameter"
        )
    shape = jnp.shape(jax.tree.leaves(network)[index])
    refuse_names(values, "what a parameter is turned to")
    values = reals("values", values)
    if values.ndim == 0 or values.shape[1:] != shape or len(values) < 2:
        what = "a list of two numbers at least" if shape == () else f"of shape (value, {', '.join(map(str, shape))})"
        raise ValueError(f"the values of {name} are {what}, got shape {values.shape}")
    if shape == () and not (np.diff(values) > 0).all():
        at = int(np.flatnonzero(~(np.diff(values) > 0))[0])
        raise ValueError(
            f"values are those on the way up, rising, and after {name} = {values[at]:g} comes {values[at + 1]:g}: sort them; the way down is "
            "added"
        )
    domain = domains(network)[index]
    outside = ~np.asarray(domain.admits(jnp.asarray(values)))
    if outside.any():
        raise ValueError(f"values: {name} = {values[outside][0]:g} lies outside of its domain {domain!r}")
    tell(network, "check_movable", [name])
    return name, index, values


def _settled(run: Run, duration: float, settle: float) -> Run:
    """A run whose recordings lack the time to settle."""
    for name, recording in run.recordings.items():
        for what, ms in (("duration", duration), ("settle", settle)):
            if abs(ms / recording.period - round(ms / recording.period)) > 1e-6:
                raise ValueError(
                    f"{what} is {ms:g} ms, and monitor '{name}' has a sample every {recording.period:g} ms: take a multiple of that, so "
                    "that every value has as many"
                )
    cut = {name: recording.after(settle) if settle else recording for name, recording in run.recordings.items()}
    return eqx.tree_at(lambda r: r.recordings, run, cut)


def _extremes(run: Run) -> dict[str, Any]:
    """Mean, lowest and highest value of each state in each region."""
    raw = run["raw"]
    values = raw.values
    every = {"mean": values.mean(0), "min": values.min(0), "max": values.max(0)}
    return {name: LabelledArray(x, (raw.source, raw.labels)) for name, x in every.items()}


def _measured(function: Callable[[Run], Any], run: Run) -> dict[str, Any]:
    """What a function gives of a run, by name."""
    out = function(run)
    out = out if isinstance(out, dict) else {"value": out}
    for name, values in out.items():
        numbers = np.asarray(known_names(values, "function")[0])
        if not isinstance(name, str) or numbers.dtype.kind not in "biuf":
            raise TypeError(
                f"function gives an array of real numbers or a dict of these by name; got {shown(values)} for {name!r}"
            )
    return out


def _expect_alike(first: dict[str, Any], now: dict[str, Any], told: str) -> None:
    """Refuses a function that gives something else at another value."""

    def listed(names: Any) -> str:
        return ", ".join(map(repr, names))

    if set(first) != set(now):
        raise ValueError(
            f"function gave {listed(first)} at the first value, and {listed(now) or 'nothing'} {told}: give the same names at all values, NaN for "
            "what is not known"
        )
    for name in first:
        (before, labels), (after, others) = (known_names(one[name]) for one in (first, now))
        if np.shape(before) != np.shape(after):
            raise ValueError(
                f"function gives '{name}' in other shapes at other values: {np.shape(before)} at the first, and {np.shape(after)} {told}"
            )
        if labels != others:
            raise ValueError(
                f"function gives '{name}' with other labels at other values: those of the first are others {told}"
            )


def _labelled(found: list[dict[str, Any]], parameter: str, values: np.ndarray, network: Network) -> xr.Dataset:
    """What was measured over both ways, with names along its own axes."""
    count, data = len(values), {}
    coords: dict[str, Any] = {"direction": list(WAYS)}
    if values.ndim == 1:
        coords[parameter] = values
    else:
        own = tuple(f"{parameter}_{i}" for i in range(values.ndim - 1))
        coords |= {parameter: np.arange(count), f"{parameter} values": ((parameter, *own), values)}
    for name in found[0]:
        _, names = known_names(found[0][name])
        several = [np.asarray(known_names(one[name])[0]) for one in found]
        several += [np.full(several[0].shape, np.nan)] * (2 * count - len(found))
        dims, regions = [], iter(("region", "other"))
        for i, along in enumerate(names):
            states = along is not None and set(along) <= {*network.model.states, *network.model.outputs}
            dims.append(
                "state" if states else next(regions, f"{name}_{i}") if along == network.labels else f"{name}_{i}"
            )
            if along is not None:
                coords[dims[-1]] = list(along)
        both = np.stack([np.stack(several[:count]), np.stack(several[: count - 1 : -1])])
        data[name] = (("direction", parameter, *dims), both)
    return xr.Dataset(data, coords=coords)
