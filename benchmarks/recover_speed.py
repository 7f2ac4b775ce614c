"""Recovers a conduction speed of 4 mm/ms from starts of 1, 2, 3 and 5.5 mm/ms, on noise that the target never saw.

    python benchmarks/recover_speed.py

21 regions of dk84, damped Hopf oscillators with noise, delays interpolated. The target is the mean lagged covariance of 16
runs of 10 s at 4 mm/ms; a step of the fit compares 4 other runs with it. Everything but the speed is known.
"""

import jax
import jax.numpy as jnp
import numpy as np
import optax

import gyrax as gx

TRUTH, STARTS = 4.0, (1.0, 2.0, 3.0, 5.5)
SLOWEST, FASTEST = 0.8, 8.0
DURATION, PERIOD, LAGS = 10_000.0, 4.0, (0, 3, 6, 12, 18, 24, 32, 40, 50, 60)


def network(speed):
    connectome = gx.datasets.load("dk84").connectome.normalised("max").subset(list(range(0, 84, 4)))
    lengths = np.asarray(connectome.lengths)[np.asarray(connectome.weights) > 0]
    bounds = (float(lengths.min() / FASTEST), float(lengths.max() / SLOWEST))
    return gx.Network(
        model=gx.models.Hopf(a=-0.02, omega=0.05),
        coupling=gx.couplings.Difference(source=("x", "y"), strength=0.4),
        connectome=connectome,
        delay=gx.Delay(speed, bounds=bounds, interpolation="linear"),
        noise=gx.noise.White(sigma=0.05),
    )


def lagged(net, key):
    """Covariance of all pairs of regions at several lags, `(lag, region, region)`."""
    record = gx.monitors.Subsample(source="x", period=PERIOD)
    x = gx.simulate(net, DURATION, 1.0, monitors=record, key=key)["monitor"].values[100:, 0]
    x = (x - x.mean(0)) / x.std(0)
    n = len(x) - LAGS[-1]
    return jnp.stack([x[:n].T @ x[k : k + n] / n for k in LAGS])


def mean_lagged(net, keys):
    return jnp.mean(jax.vmap(lambda key: lagged(net, key))(keys), 0)


def main():
    target = jax.jit(mean_lagged)(network(TRUTH), jax.random.split(jax.random.key(100), 16))

    def loss(net, key):
        return 1e3 * jnp.mean((mean_lagged(net, jax.random.split(key, 4)) - target) ** 2)

    for start in STARTS:
        net = network(start)
        spec = gx.select(net, gx.Free("delay.speed", domain=gx.Interval(SLOWEST * 1.02, FASTEST * 0.98)))
        optimiser = optax.adam(optax.exponential_decay(0.3, 40, 0.2))
        result = gx.fit(net, loss, spec, optimiser, steps=80, key=jax.random.key(1))
        print(f"from {start}: {float(result.model.delay.speed):.2f} mm/ms (truth {TRUTH})", flush=True)


if __name__ == "__main__":
    main()
