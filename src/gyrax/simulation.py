"""Runs a network: checks what was asked for, calls the engine, labels what it recorded."""

import dataclasses
import warnings
from typing import Any, Literal

import diffrax as dfx
import equinox as eqx
import numpy as np
from jaxtyping import Array, Float

from ._engine.prepare import Setup, resolve
from ._engine.running import run
from ._engine.starts import begin
from ._steps import whole_steps
from ._types import State, is_traced
from .monitors import AbstractMonitor, Raw
from .network import Network
from .recordings import Final, History, Recording, Run
from .solvers import Heun


def simulate(
    network: Network,
    duration: float,
    dt: float,
    *,
    solver: dfx.AbstractSolver | None = None,
    stepsize_controller: dfx.AbstractStepSizeController | None = None,
    monitors: dict[str, AbstractMonitor] | AbstractMonitor | None = None,
    key: Any = None,
    start: State | Float[np.ndarray, "state node"] | History | Recording | Final | None = None,
    autodiff: Literal["reverse", "forward"] = "reverse",
    gradient_horizon: float | None = None,
) -> Run:
    """Simulates a network and records it.

    Works under `jit`, `grad` and `vmap`; a second call with the same shapes does not compile again, whatever the values
    of the parameters.

    Args:
        network: what to run.
        duration: ms, a whole number of steps.
        dt: ms a step.
        solver: any diffrax solver; `gx.solvers.Heun()` if left out.
        stepsize_controller: such as `diffrax.PIDController(rtol, atol)`, for a solver that estimates its error and a network
            without noise: steps as they need be, between the grid points of dt at which states are recorded and histories
            kept. Delayed input is interpolated to third order. Left out, steps of dt.
        monitors: what to record, by name; `{"raw": Raw()}` if left out, `{}` for nothing. One alone is called 'monitor'.
        key: `jax.random.key(...)` for the noise. A run that goes on from `run.final` draws on from its key, unless given another.
        start: `run.final` of an earlier run, to go on exactly, monitors included (with a stepsize_controller, which begins
            its steps anew, within its tolerances); a state `(state, node)`, which then has also been the state at all
            times before; a `gx.History`, or a recording of all states, which says what has; left out, the model's own start.
        autodiff: "reverse" for `jax.grad`; "forward" for `jax.jvp` and `jax.jacfwd` too, with slower gradients of delays.
        gradient_horizon: ms over which gradients look back: at its multiples the network's state, what it has sent and what
            it hears just then count as given, which tames them where the activity is chaotic. Monitors are not cut. Left
            out, gradients look back to the start.

    Raises:
        ValueError: if duration or a period is no multiple of dt, a key is missing, names do not exist, shapes do not match,
            a delay is outside of its bounds, or the solver needs more of the noise than its increments.
        TypeError: for what is no monitor.

    Example:
        >>> import gyrax as gx
        >>> net = gx.Network(gx.models.WongWang(), gx.couplings.Linear(source="S"), gx.datasets.load("dk84").connectome)
        >>> run = gx.simulate(net, duration=100.0, dt=1.0, monitors={"mean": gx.monitors.TemporalAverage(period=10.0)})
        >>> run["mean"].values.shape
        (10, 1, 84)
    """
    if not dt > 0:
        raise ValueError(f"dt is a positive number of ms, got {dt}")
    if autodiff not in ("reverse", "forward"):
        raise ValueError(f"autodiff is 'reverse' or 'forward', got {autodiff!r}")
    solver = Heun() if solver is None else solver
    _check_solver(solver, stepsize_controller, network)
    if isinstance(stepsize_controller, dfx.ConstantStepSize):
        stepsize_controller = None
    named = _named(monitors)
    if isinstance(start, Final) and start.dt != dt:
        raise ValueError(
            f"the earlier run had dt = {start.dt} ms and this has {dt}: a history cannot go on with another step"
        )
    setup = resolve(network, named, solver, stepsize_controller, dt)
    steps = whole_steps(duration, dt, "duration")
    horizon = None if gradient_horizon is None else whole_steps(gradient_horizon, dt, "gradient_horizon")
    key = _key(setup, start, key)
    found = _run(setup, begin(setup, start, key), key, steps, autodiff, horizon)
    if not is_traced(found.failed_at) and not found.finite:
        warnings.warn(found.failure, RuntimeWarning, stacklevel=2)
    return found


def _named(monitors: Any) -> dict[str, AbstractMonitor]:
    """The monitors by name."""
    if monitors is None:
        return {"raw": Raw()}
    named = {"monitor": monitors} if isinstance(monitors, AbstractMonitor) else dict(monitors)
    for name, monitor in named.items():
        if not isinstance(monitor, AbstractMonitor):
            raise TypeError(f"monitors['{name}'] is no monitor but {monitor!r}")
    return named


def _check_solver(solver: dfx.AbstractSolver, controller: Any, network: Network) -> None:
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
        y=carry.y,
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
