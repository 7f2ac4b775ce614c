"""Runs a network: checks what was asked for, calls the engine, labels what it recorded."""

import dataclasses
import math
import warnings
from collections.abc import Mapping
from typing import Any, Literal

import diffrax as dfx
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import xarray as xr
from jaxtyping import Array, Float

from ._engine.prepare import Setup, resolve
from ._engine.running import run
from ._engine.starts import begin
from ._kinds import choice, expect, number, random_key, reals, refused
from ._ranges import STEP, UnitWarning, check_usual
from ._steps import MOST, whole_steps
from ._types import State, is_traced
from ._warned import warn
from .labelled import LabelledArray, is_named, known_names
from .monitors import AbstractMonitor, Raw
from .network import Network
from .network.carrying import closed
from .parameters.declaring import time_constants
from .recordings import Final, History, Recording, Run
from .solvers import Heun
from .stimuli.stimulus import loses_digits


def simulate(
    network: Network,
    duration: float,
    dt: float,
    *,
    solver: dfx.AbstractSolver | None = None,
    stepsize_controller: dfx.AbstractStepSizeController | None = None,
    monitors: dict[str, AbstractMonitor] | AbstractMonitor | None = None,
    key: Any = None,
    start: State
    | Float[np.ndarray, "state node"]
    | LabelledArray
    | pd.DataFrame
    | xr.DataArray
    | History
    | Recording
    | Final
    | None = None,
    autodiff: Literal["reverse", "forward"] = "reverse",
    gradient_horizon: float | None = None,
) -> Run:
    """Simulates a network and records it.

    Works under `jit`, `grad` and `vmap`; a second call with the same shapes does not compile again, whatever the values
    of the parameters. (Within `jit` of your own, keep parameters arrays: of a Python number that `eqx.tree_at` puts in,
    every value is compiled anew; `jnp.asarray(0.3)` is not.) A `gx.UnitWarning` tells of values that are likely to be in
    another unit, and of a step longer than a time constant of the model.

    Args:
        network: what to run.
        duration: ms, a whole number of steps.
        dt: ms a step.
        solver: any diffrax solver; `gx.solvers.Heun()` if left out.
        stepsize_controller: such as `diffrax.PIDController(rtol, atol)`, for a solver that estimates its error and a network
            without noise: steps as they need be, between the grid points of dt at which states are recorded and histories
            kept. Delayed input is interpolated to third order. Left out, steps of dt.
        monitors: what to record, by name; `{"raw": Raw()}` if left out, `{}` for nothing. One alone is called 'monitor'.
        key: `jax.random.key(...)` for the noise, or a whole number as its seed. A run that goes on from `run.final` draws on from its key, unless given another.
        start: `run.final` of an earlier run, to go on exactly, monitors included (with a stepsize_controller, which begins
            its steps anew, within its tolerances); a state `(state, node)`, which then has also been the state at all
            times before; a `gx.History`, or a recording of all states, which says what has; left out, the model's own start.
        autodiff: "reverse" for `jax.grad`; "forward" for `jax.jvp` and `jax.jacfwd` too, with slower gradients.
        gradient_horizon: ms over which gradients look back at most: at its multiples the network's state, what it has sent and
            what it hears just then count as given, which tames them where the activity is chaotic (truncated backpropagation
            through time, Williams & Peng 1990, doi:10.1162/neco.1990.2.4.490). The run is the same, to the bit. Monitors are not
            cut. Left out, gradients look back to the start.

    Raises:
        ValueError: if duration or a period is no multiple of dt, a key is missing, names do not exist, shapes do not match,
            a delay is outside of its bounds, the run is shorter than a monitor's period, or the solver needs more of the
            noise than its increments. Within `jax.shard_map` without `check_vma=False`, or on a mesh with explicit axes.
        TypeError: for an argument of another kind, with what to write.

    Example:
        >>> import gyrax as gx
        >>> net = gx.Network(gx.models.WongWang(), gx.couplings.Linear(source="S"), gx.datasets.load("dk84").connectome)
        >>> run = gx.simulate(net, duration=100.0, dt=1.0, monitors={"mean": gx.monitors.TemporalAverage(period=10.0)})
        >>> run["mean"].values.shape
        (10, 1, 84)
    """
    expect("network", network, Network, "a network", "gx.Network(model, coupling, connectome)")
    dt = number("dt", dt, unit="ms")
    if not dt > 0:
        raise ValueError(f"dt is a positive number of ms, got {dt}")
    choice("autodiff", autodiff, ("reverse", "forward"))
    network, start = _in_default_precision(network), _checked_start(start)
    solver = Heun() if solver is None else solver
    _check_solver(solver, stepsize_controller, network)
    check_usual(dt, STEP)
    if stepsize_controller is None and not isinstance(solver, dfx.AbstractImplicitSolver):
        _check_fast_enough(network, dt)
    if isinstance(stepsize_controller, dfx.ConstantStepSize):
        stepsize_controller = None
    named = _named(monitors)
    if isinstance(start, Final) and start.dt != dt:
        raise ValueError(
            f"the earlier run had dt = {start.dt} ms and this has {dt}: a history cannot go on with another step"
        )
    _check_devices(network, start, key)
    setup = resolve(network, named, solver, stepsize_controller, dt)
    steps = whole_steps(duration, dt, "duration")
    _check_samples(setup, start, steps)
    _check_late(network, start, steps, dt)
    horizon = None if gradient_horizon is None else whole_steps(gradient_horizon, dt, "gradient_horizon")
    if horizon is not None and horizon >= steps:
        horizon = None  # nothing to cut
    key = _key(setup, start, key)
    found = _run(setup, begin(setup, start, key), key, steps, autodiff, horizon)
    if not is_traced(found.failed_at) and not found.finite:
        warnings.warn(found.failure, RuntimeWarning, stacklevel=2)
    return found


def _named(monitors: Any) -> dict[str, AbstractMonitor]:
    """The monitors by name."""
    if monitors is None:
        return {"raw": Raw()}
    if isinstance(monitors, AbstractMonitor):
        return {"monitor": monitors}
    if not isinstance(monitors, Mapping):
        several = monitors if isinstance(monitors, list | tuple) else ()
        listed = ", ".join(f'"{type(m).__name__.lower()}": {m!r}' for m in several if isinstance(m, AbstractMonitor))
        line = "{" + (listed or '"raw": gx.monitors.Raw()') + "}"
        raise refused("monitors", monitors, "a monitor or a dict of them by name", line)
    for name, monitor in monitors.items():
        if not isinstance(name, str):
            raise TypeError(f"monitors= is a dict by name, got the name {name!r}")
        expect(f"monitors[{name!r}]", monitor, AbstractMonitor, "a monitor", "gx.monitors.Raw()")
    return dict(monitors)


def _check_devices(*inputs: Any) -> None:
    """Refuses what JAX's loops do not take: batches whose devices are part of their type."""
    for leaf in jax.tree.leaves(inputs):
        kind = getattr(leaf, "aval", None) if is_traced(leaf) else None
        mesh = getattr(getattr(kind, "sharding", None), "mesh", None)
        if "Explicit" in str(getattr(mesh, "axis_types", "")):
            raise ValueError(
                "a run cannot be shared out over a mesh with explicit axes: "
                'make it jax.make_mesh((n,), ("batch",), axis_types=(jax.sharding.AxisType.Auto,))'
            )
        # what varies over the axes of a `shard_map`, as JAX has called it
        if getattr(kind, "vma", None) or getattr(getattr(kind, "mat", None), "varying", None):
            raise ValueError(
                "within jax.shard_map a run needs check_vma=False: write jax.shard_map(..., check_vma=False)"
            )


def _checked_start(start: Any) -> Any:
    """What a run starts from, if it is something that one can start from; its arrays in the default precision."""
    if start is None or is_traced(start):
        return start
    if isinstance(start, Final | History | Recording):
        return _in_default_precision(start)
    if isinstance(start, Run):
        raise refused("start", start, "where a run ended", "run.final")
    if is_named(start):
        values, names = known_names(start, "start")
        return LabelledArray(reals("start", values), names)
    expect(
        "start",
        start,
        (np.ndarray, jax.Array, list, tuple),
        "a state, a History, a Recording or run.final",
        "np.zeros((states, nodes))",
    )
    found = start if isinstance(start, jax.Array) else reals("start", start)
    if not is_traced(found) and not np.isfinite(found).all():
        at = [int(i) for i in np.argwhere(~np.isfinite(found))[0]]
        raise ValueError(f"start{at} is {found[tuple(at)]}: a run starts from finite states")
    return found


def _in_default_precision(tree: Any) -> Any:
    """The same with its floats as arrays of the default dtype: those set to Python's numbers, whose every value would be
    compiled anew, and those made before jax_enable_x64 was switched.
    """
    dtype = jnp.result_type(float)

    def off(leaf: Any) -> bool:
        return type(leaf) is float or (eqx.is_inexact_array(leaf) and (leaf.dtype != dtype or _weak(leaf)))

    if not any(map(off, jax.tree.leaves(tree))):
        return tree
    return jax.tree.map(lambda leaf: jnp.asarray(leaf, dtype) if off(leaf) else leaf, tree)


def _weak(leaf: Any) -> bool:
    return bool(getattr(leaf, "weak_type", False))


def _check_fast_enough(network: Network, dt: float) -> None:
    """Warns of a step that is longer than a time constant of the model: explicit steps overshoot there, and stay finite."""
    name, shortest = min(time_constants(network.model), key=lambda found: found[1], default=("", math.inf))
    if shortest < dt * (1 - 1e-6):
        warn(
            f"dt = {dt:g} ms is longer than a time constant of the model, {shortest:.3g} ms (by {name}), so that steps "
            f"overshoot and results may be wrong, though finite: take a tenth of it, {shortest / 10:.1g} ms",
            UnitWarning,
        )


def _check_samples(setup: Setup, start: Any, steps: int) -> None:
    """A first run is long enough for a sample; one that goes on, or with other monitors, may be short for some."""
    short = [name for name, ear in setup.ears.items() if ear.period > steps]
    if isinstance(start, Final) or not short:
        return
    period = setup.ears[short[0]].period * setup.dt
    sentence = (
        f"duration = {steps * setup.dt:g} ms is shorter than the period of '{short[0]}', {period:g} ms: it records nothing of "
        "it; both are in ms, not in s"
    )
    if len(short) == len(setup.ears):
        raise ValueError(sentence)
    warn(sentence, UnitWarning)


def _check_late(network: Network, start: Any, steps: int, dt: float) -> None:
    """A run that goes on from others ends at a step that 32 bits count, and a time that a stimulus can tell."""
    if not isinstance(start, Final) or is_traced(start.step) or np.ndim(start.step):
        last = steps
    else:
        last = int(start.step) + steps
    if last > MOST:
        raise ValueError(f"this run would end at step {last}, and runs that go on from each other count to {MOST}")
    ends = np.asarray(last * dt, jnp.result_type(float))
    plain = loses_digits(network.stimulus)
    if plain and np.spacing(ends) > dt:
        warn(
            f"the run ends at {last * dt:g} ms, where {ends.dtype} tells times apart by {np.spacing(ends):.3g} ms, more than a step, "
            f'and {plain[0]} is given such times: switch jax.config.update("jax_enable_x64", True) on, or start it anew'
        )


def _check_solver(solver: dfx.AbstractSolver, controller: Any, network: Network) -> None:
    expect("solver", solver, dfx.AbstractSolver, "a solver", "gx.solvers.Heun()")
    kinds = (dfx.AbstractStepSizeController, None)
    line = "diffrax.PIDController(rtol=1e-6, atol=1e-8)"
    expect("stepsize_controller", controller, kinds, "a step size controller of diffrax", line)
    levy_area = getattr(solver, "minimal_levy_area", None)
    if network.noises and levy_area not in (None, dfx.AbstractBrownianIncrement):
        raise ValueError(
            f"{type(solver).__name__} needs Levy areas of the noise, which a run does not draw: use gx.solvers.Heun()"
        )
    if isinstance(solver.term_structure, tuple):
        raise ValueError(f"{type(solver).__name__} wants separate terms for parts of the state: a network has one")
    if controller is not None and network.noises:
        raise ValueError("a stepsize_controller is for networks without noise: leave it out, or the network's noise")


def _key(setup: Setup, start: Any, key: Any) -> Any:
    """The key of a run's noise: the one given, or that of the run it goes on from."""
    if isinstance(start, Final):
        key = start.key if key is None else key
    key = None if key is None else random_key("key", key)
    noisy = ["this network"] if setup.network.noises else []
    noisy += [f"monitor '{name}'" for name, monitor in setup.monitors.items() if monitor.noisy]
    if noisy and key is None:
        raise ValueError(f"{noisy[0]} has noise: give simulate a key=jax.random.key(0)")
    return key


@eqx.filter_jit
def _run(setup: Setup, start: Final, key: Any, steps: int, autodiff: str, horizon: int | None) -> Run:
    """A run, and its samples as recordings."""
    carry, samples, phases = run(setup, start, key, steps, autodiff, horizon)
    final = dataclasses.replace(
        start,
        y=closed(setup.network, carry.y),
        history=carry.history,
        monitors=carry.monitors,
        step=start.step + steps,
        key=key,
        phases=tuple(phases.items()),
    )
    recordings = {name: _recording(setup, name, values, start) for name, values in samples.items()}
    return Run(recordings, final, carry.failed_at, setup.dt, steps, setup.network.labels)


def _recording(setup: Setup, name: str, values: Array, start: Final) -> Recording:
    """The samples of one monitor with their labels."""
    ear, monitor = setup.ears[name], setup.monitors[name]
    return Recording(
        values,
        # the first sample's step: what is left of a period that an earlier run began
        start.step + ear.period - dict(start.phases)[name],
        ear.period * setup.dt,
        setup.dt,
        monitor.stamp,
        ("time", *(ear.channels.dim if dim == "region" else dim for dim in monitor.dims)),
        ear.source,
        ear.channels.labels,
        ear.channels.dim,
        tuple(monitor.axes(setup.dt).items()),
    )
