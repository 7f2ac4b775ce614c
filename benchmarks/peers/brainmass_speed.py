"""brainmass: microseconds a step. run.py starts it (see harness.py) in an environment with brainmass.

Its Wong-Wang models are other ones (two populations), so the reduced one of Deco et al. (2013) is written here as its
user would, and wired by its Network.
"""

import brainmass
import brainstate
import braintools
import brainunit as u
import jax
import jax.numpy as jnp
import numpy as np
from harness import Job, main

NOTE = """
Its Network (additive coupling) and Simulator around the reduced Wong-Wang model, written as its user would, with the
rk2 (Heun) step and the Gaussian noise of its ecosystem. It evaluates the coupling once a step, and rounds delays up (half
a step is taken off, so that they are those of the others).
"""


class ReducedWongWang(brainstate.nn.Dynamics):
    def __init__(self, n, noise):
        super().__init__(n)
        self.noise = noise

    def init_state(self, batch_size=None, **_):
        self.S = brainstate.HiddenState(jnp.full(self.varshape, 0.1, jnp.float32))

    def derivative(self, s, t, c):
        z = 0.270 * (0.6 * 0.2609 * s + 0.2609 * c + 0.33) - 0.108
        return (-s / 100.0 + (1 - s) * 0.641 * z / (1 - jnp.exp(-154.0 * z))) / u.ms

    def update(self, c):
        s = braintools.quad.ode_rk2_step(self.derivative, self.S.value, brainstate.environ.get("t"), c)
        self.S.value = s if self.noise is None else s + self.noise()
        return self.S.value


def built(case, data, steps):
    """The run as a function of the strength."""
    n, dt = len(data["weights"]), case["dt"] * u.ms
    sigma = case["sigma"] * np.sqrt(case["dt"])
    times = data["lengths"] / case["speed"] - case["dt"] / 2 if case["delays"] else np.zeros((n, n))

    def run(strength):
        noise = brainmass.GaussianNoise(n, sigma=sigma) if sigma else None
        with brainstate.environ.context(dt=dt):
            network = brainmass.Network(
                ReducedWongWang(n, noise),
                conn=data["weights"],
                coupling="additive",
                coupled_var="S",
                k=strength,
                delay_init=braintools.init.Constant(0.1),
                distance=np.maximum(times, 0.0) * u.ms,
                speed=1.0,
            )
            return brainmass.Simulator(network, dt=dt).run(steps * dt, jit=False)["output"]

    return run


def jobs(case, data):
    data = {name: values.astype("float32") for name, values in data.items()}
    brainstate.random.seed(0)
    for kind in case["kinds"]:
        run = built(case, data, case["steps"])
        function = run
        if kind == "gradient":
            function = brainstate.transform.grad(
                lambda strength, run=run: jnp.mean(run(strength) ** 2), argnums=0, return_value=True
            )
        function = brainstate.transform.jit(function)

        def call(strength, function=function):
            return jax.block_until_ready(function(jnp.asarray(strength, jnp.float32)))

        yield Job(kind, call, case["steps"])


if __name__ == "__main__":
    main(jobs, ("brainmass", "brainstate", "jax", "numpy"), NOTE)
