"""What the engine is compared with: one plain NumPy loop, no windows, no tiles, no scans."""

import dataclasses
import functools

import equinox as eqx
import jax.numpy as jnp
import numpy as np

import gyrax as gx
from gyrax.noise import increments

# What they are parts of are arguments: networks of the same classes and sizes share what is compiled.


@eqx.filter_jit
def drift_of(model, y, u):
    return model.drift(0.0, y, u)


@eqx.filter_jit
def encoded(model, coupling, y):
    return coupling.encode(model.read(coupling.source, y))


@eqx.filter_jit
def decoded(model, coupling, total, y, degree):
    return coupling.decode(total, model.read(coupling.source, y), degree)


def wiener(net: gx.Network, key, steps: int, dt: float) -> np.ndarray:
    """The increments the engine draws, for all states: `(step, state, node)`."""
    dw = np.zeros((steps, len(net.model.states), net.n_nodes))
    if net.noise is not None:
        rows = [net.model.states.index(name) for name in net.noisy]
        drawn = np.asarray(increments(key, jnp.array(0), steps, (len(rows), net.n_nodes), dt))
        dw[:, rows] = drawn * np.asarray(jnp.broadcast_to(net.noise.sigma, drawn.shape[1:]))
    return dw


def loop(
    net: gx.Network,
    steps: int,
    dt: float,
    key=None,
    scheme: str = "heun",
    own: dict | None = None,
    coupling_once: bool = False,
) -> np.ndarray:
    """States after each step, `(step, state, node)`: delays looked up one pair at a time in the full past.

    `own`: by coupling, weights and delays in ms (None: at once) of its own, in place of the connectome's and the network's.
    `coupling_once`: what was fed at the start of a step is fed at all its stages.
    """
    model = net.model
    shared = None if net.delay is None else np.asarray(net.delay.times(net.connectome), float)
    wires = {c: (own or {}).get(c, (np.asarray(net.connectome.weights), shared)) for c in net.couplings}
    n, dw = net.n_regions, wiener(net, key, steps, dt)
    bare = {c: dataclasses.replace(k, weights=None, delay=None) for c, k in net.couplings.items()}
    encode = {c: functools.partial(encoded, model, k) for c, k in bare.items()}
    degrees = {c: jnp.asarray(weights.sum(1)) for c, (weights, _) in wires.items()}
    interpolation = "nearest" if net.delay is None else net.delay.interpolation
    y = np.asarray(net.start())
    sent = {c: [np.asarray(f(y))] for c, f in encode.items()}

    def total(c, y, step, ahead):
        """Weighted sums at the time `step + ahead`, where ahead is 0, 1/2 or 1 of a step."""
        now = np.asarray(encode[c](y))
        out, (weights, times) = np.zeros(now.shape), wires[c]
        for i in range(n):
            for j in range(n):
                if weights[i, j] == 0:
                    continue
                for back, share in [(0, 1.0)] if times is None else samples(times[i, j] / dt, interpolation):
                    if back == 0:
                        past = now[:, j]
                    else:
                        at = [sent[c][max(step + k - back, 0)][:, j] for k in ((0, 1) if ahead else (0,))]
                        past = (1 - ahead) * at[0] + ahead * at[-1]
                    out[:, i] += share * weights[i, j] * past
        return out

    held = {}

    def flow(y, step, ahead):
        u = np.zeros((len(model.inputs), n))
        for c, coupling in net.couplings.items():
            if ahead == 0 or not coupling_once:
                held[c] = np.asarray(decoded(model, bare[c], total(c, y, step, ahead), y, degrees[c]))
            fed = held[c]
            for name, row in zip(net.targets(coupling), fed, strict=True):
                u[model.inputs.index(name)] += row
        return np.asarray(drift_of(model, y, u), float)

    path = []
    for step in range(steps):
        k1 = flow(y, step, 0) * dt + dw[step]
        if scheme == "euler":
            y = y + k1
        elif scheme == "heun":
            y = y + (k1 + flow(y + k1, step, 1) * dt + dw[step]) / 2
        else:
            k2 = flow(y + k1 / 2, step, 0.5) * dt + dw[step]
            k3 = flow(y + k2 / 2, step, 0.5) * dt + dw[step]
            y = y + (k1 + 2 * k2 + 2 * k3 + flow(y + k3, step, 1) * dt + dw[step]) / 6
        for name, (low, high) in model.limits.items():
            row = model.states.index(name)
            y[row] = np.clip(y[row], low, high)
        for c, f in encode.items():
            sent[c].append(np.asarray(f(y)))
        path.append(y.copy())
    return np.array(path)


def samples(lag: float, interpolation: str) -> list[tuple[int, float]]:
    """How many steps back the samples lie that a delay reads, and their shares."""
    if interpolation == "nearest":
        return [(round(lag), 1.0)]
    first = int(np.floor(lag)) if interpolation == "linear" else max(int(np.floor(lag)) - 1, 0)
    backs = np.arange(first, first + (2 if interpolation == "linear" else 4))
    shares = [np.prod([(lag - o) / (b - o) for o in backs if o != b]) for b in backs]
    return list(zip(backs.tolist(), shares, strict=True))


def wiring(tag: str, n: int = 6, share: float = 1.0, shortest: float = 1.0, longest: float = 24.0, deaf: bool = False):
    """A random connectome of n regions; with a `deaf` one, which hears nobody. A tag of its own is compiled on its own."""
    rng = np.random.default_rng(5)
    weights = rng.uniform(0.1, 1.0, (n, n)) * (rng.random((n, n)) < share)
    np.fill_diagonal(weights, 0)
    weights[1, 3] = 0
    if deaf:
        weights[2] = 0
    lengths = rng.uniform(shortest, longest, (n, n))
    lengths[0, 1], lengths[4, 2], lengths[3, 0] = shortest, longest, shortest
    weights[0, 1], weights[4, 2], weights[3, 0] = 0.5, 0.7, 0.6
    return gx.Connectome(weights, lengths, labels=[f"{tag}{i}" for i in range(n)])
