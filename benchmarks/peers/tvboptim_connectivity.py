"""All weights between 84 regions, as tvboptim's "Excitation-Inhibition Balance Tuning" does it.

Excitatory and inhibitory populations with feedback inhibition J_i of every region and two weights of every connection, of
long-range excitation and of feed-forward inhibition. Three ways from the same start: feedback inhibition control by its
rule, then the excitation-inhibition balance rule beside it (loops in Python over repetition times; its example does not
compile the model there, here it is compiled), and the gradient of both aims at once. Its matrices have diagonals, which
do nothing, as no region has a tract to itself. Judged as in tvboptim_fmri.py. See tvboptim_shared.py.
"""

import time

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from peers.tvboptim_shared import TRAIN_SEED, UNSEEN_SEEDS, main, off_diagonal, optimise, over_seeds, with_noise
from tvboptim.experimental.network_dynamics import Network, prepare
from tvboptim.experimental.network_dynamics.core.bunch import Bunch
from tvboptim.experimental.network_dynamics.coupling.base import InstantaneousCoupling
from tvboptim.experimental.network_dynamics.dynamics.tvb import WongWangExcInh
from tvboptim.experimental.network_dynamics.graph import DenseGraph
from tvboptim.experimental.network_dynamics.noise import AdditiveNoise
from tvboptim.experimental.network_dynamics.solvers import BoundedSolver, Heun
from tvboptim.observations.observation import compute_fc, rmse
from tvboptim.observations.tvb_monitors import HRFBold
from tvboptim.types import BoundedParameter, Parameter

jax.config.update("jax_enable_x64", True)  # as in its example

FULL = {
    "dt_ms": 4.0,
    "duration_ms": 300_000.0,  # of the transient and of the fitted run
    "tr_ms": 720.0,
    "sigma": 0.01,
    "target_S_e": 0.25,
    "skip_tr": 20,  # where a fit is judged
    "control": {"rate": 0.5, "steps": 200},
    "balance": {"control_rate": 0.1, "rate": 0.005, "window": 150, "steps": 2000},
    "gradient": {"rate": 0.033, "steps": 66, "skip_tr": 30, "last_steps": 500},
}
SMOKE = {
    "duration_ms": 36_000.0,
    "control": {"rate": 0.5, "steps": 12},
    "balance": {"control_rate": 0.1, "rate": 0.005, "window": 10, "steps": 5},
    "gradient": {"rate": 0.033, "steps": 2, "skip_tr": 30, "last_steps": 500},
}


class TwoInputs(WongWangExcInh):
    """tvboptim's model, whose two populations get one input, with one for each."""

    COUPLING_INPUTS = {"coupling": 2}  # noqa: RUF012

    def dynamics(self, t, state, params, coupling, external):
        excitation, inhibition = coupling.coupling
        params = params.copy()
        params.G, params.lamda = 1.0, 1.0
        params.I_ext = params.J_N * (excitation - inhibition)  # which only the excitatory population gets
        one = Bunch(instant=inhibition[None], delayed=jnp.zeros_like(inhibition)[None])
        return super().dynamics(t, state, params, one, external)


class TwoWeights(InstantaneousCoupling):
    N_OUTPUT_STATES = 2
    DEFAULT_PARAMS = Bunch(excitation=1.0, inhibition=1.0)
    EDGE_PARAMS = ("excitation", "inhibition")

    def pre(self, incoming_states, local_states, params):
        return incoming_states * jnp.stack([params.excitation, params.inhibition])

    def post(self, summed_inputs, local_states, params):
        return summed_inputs


def stages(data, settings):
    began = time.perf_counter()
    target, dt, tr = jnp.asarray(data["fc"]), settings["dt_ms"], settings["tr_ms"]
    n, solver = len(target), BoundedSolver(Heun(), low=0.0, high=1.0)
    ones = jnp.ones((n, n))
    network = Network(
        dynamics=TwoInputs(J_i=jnp.ones(n)),
        coupling={"coupling": TwoWeights(incoming_states=["S_e"], excitation=ones, inhibition=ones)},
        graph=DenseGraph(jnp.asarray(data["weights"]), region_labels=data["labels"].tolist()),
        noise=AdditiveNoise(sigma=settings["sigma"], apply_to="S_e", key=jax.random.key(TRAIN_SEED)),
    )
    model, state = prepare(network, solver, t1=settings["duration_ms"], dt=dt)
    transient = model(state)
    network.update_history(transient)
    model, state = prepare(network, solver, t1=settings["duration_ms"], dt=dt)
    bold = HRFBold(period=tr, downsample_period=dt, voi=0, history=transient)
    twice, _ = prepare(network, solver, t1=2 * settings["duration_ms"], dt=dt)
    first = int(settings["duration_ms"] // tr)

    @jax.jit
    def observe(state):
        return compute_fc(bold(model(state)), skip_t=settings["skip_tr"])

    @jax.jit
    def settle(state):
        return compute_fc(bold(twice(state)), skip_t=first + settings["skip_tr"])

    def stage(name, n_free, seconds, state, train=None, **more):
        """`train` is what the rule saw last, where there is no noise that it was trained on."""
        unseen = []
        for noisy in (with_noise(state, seed) for seed in UNSEEN_SEEDS):
            after = off_diagonal(settle(noisy), target)
            unseen.append(off_diagonal(observe(noisy), target) | {f"settled_{k}": v for k, v in after.items()})
        train = train or off_diagonal(observe(with_noise(state, TRAIN_SEED)), target)
        fitted = {"J_i": np.asarray(state.dynamics.J_i).tolist()}
        judged = {"train": train, "unseen": over_seeds(unseen)}
        return {"name": name, "n_free": n_free, "seconds": seconds} | judged | {"fitted": fitted} | more

    def at(found):
        """The long run from the common start, with the parameters that a rule found."""
        there = with_noise(state, TRAIN_SEED)
        there.dynamics, there.coupling = found.dynamics, found.coupling
        return there

    yield stage("start", 0, time.perf_counter() - began, state)

    tuned = Rules(network, solver, bold, target, settings)
    for name, n_free, tune in (
        ("feedback inhibition control", n, tuned.control),
        ("balance rule", n + 2 * n * (n - 1), tuned.balance),
    ):
        seconds = tune()
        yield stage(name, n_free, seconds, at(tuned.state), train=tuned.last_window())

    options = settings["gradient"]

    def loss(state):
        solution = model(state)
        activity = solution.ys[-options["last_steps"] :, 0].mean(0)
        fc = compute_fc(bold(solution), skip_t=options["skip_tr"])
        return rmse(fc, target) + ((activity - settings["target_S_e"]) ** 2).mean()

    state.dynamics.J_i = Parameter(state.dynamics.J_i)
    for name in ("excitation", "inhibition"):
        weights = BoundedParameter(ones, low=0.0, high=jnp.inf)
        state.coupling.coupling[name] = weights
    state, losses, seconds = optimise(loss, state, optax.adamaxw(options["rate"]), options["steps"])
    yield stage("gradient", n + 2 * n * (n - 1), seconds, state, losses=losses)


class Rules:
    """The two tuning rules over one simulation that goes on, a repetition time after another."""

    def __init__(self, network, solver, bold, target, settings):
        self.model, self.state = prepare(network, solver, t1=settings["tr_ms"], dt=settings["dt_ms"])
        self.model = jax.jit(self.model)
        self.bold, self.target, self.settings, self.signal = bold, target, settings, []

    def step(self, key, rate):
        """A repetition time, after which J_i follows the mean activity of its region."""
        solution = self.model(eqx.tree_at(lambda s: s.noise.key, self.state, key))
        self.signal.append(self.bold(solution).ys[0, 0])
        seen = jnp.concatenate([self.bold.history, solution.ys[:, :1]])[len(solution.ys) :]
        self.bold = eqx.tree_at(lambda monitor: monitor.history, self.bold, seen)
        self.state.initial_state.dynamics = solution.ys[-1]
        S_e, S_i = solution.ys.mean(0)
        self.state.dynamics.J_i += rate * S_i * (S_e - self.settings["target_S_e"])

    def control(self):
        """Seconds of feedback inhibition control alone."""
        options, began = self.settings["control"], time.perf_counter()
        for key in jax.random.split(jax.random.key(42), options["steps"]):
            self.step(key, options["rate"])
        jax.block_until_ready(self.state.dynamics.J_i)
        return time.perf_counter() - began

    def balance(self):
        """Seconds of both rules: weights follow the functional connectivity of the last `window` repetition times."""
        options, began = self.settings["balance"], time.perf_counter()
        weights = self.state.coupling.coupling
        for i, key in enumerate(jax.random.split(jax.random.key(43), options["steps"])):
            self.step(key, options["control_rate"])
            missing = self.target - self.window()
            change = options["rate"] * (i + 1) / options["steps"] * missing
            change *= jnp.sqrt((missing**2).mean(1, keepdims=True))
            weights.excitation = jnp.maximum(weights.excitation + change, 0)
            weights.inhibition = jnp.maximum(weights.inhibition - change, 0)
        jax.block_until_ready(weights.excitation)
        return time.perf_counter() - began

    def window(self):
        return compute_fc(jnp.stack(self.signal[-self.settings["balance"]["window"] :]))

    def last_window(self):
        return off_diagonal(self.window(), self.target)


if __name__ == "__main__":
    main("connectivity", stages, FULL, SMOKE)
