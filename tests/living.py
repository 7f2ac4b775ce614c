"""Couplings with states of their own by plain NumPy loops: every connection looked up by itself in all that was sent."""

import dataclasses
from collections.abc import Callable
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np

import gyrax as gx
from gyrax.noise import increments
from naive import samples

N, DT, STEPS = 6, 0.5, 80


class Both(gx.AbstractPairCoupling):
    """States of sources, which tire, and of connections, which learn; either is held inside a limit."""

    source_states = ("a",)
    edge_states = ("w", "trace")  # in an order of their own
    limits: ClassVar = {"a": (0.3, None), "w": (None, 1.2)}

    strength: gx.Array = gx.parameter(0.05, domain=gx.Positive())
    pace: gx.Array = gx.parameter(10.0, domain=gx.Positive(), unit="ms")
    bias: gx.Array = gx.parameter(0.1, domain=gx.Real(scale=1.0))
    a: gx.Array = gx.parameter(0.9, domain=gx.Positive())
    w: gx.Array = gx.parameter(1.0, domain=gx.Real())
    trace: gx.Array = gx.parameter(0.2, domain=gx.Real())

    def encode(self, x, a):
        return jnp.concatenate([x * a, a[None]])

    def source_drift(self, x, a):
        return {"a": (1 - a) / self.pace - a * x[0] ** 2}

    def message(self, x_source, x_target, w, bias):
        return w * jnp.tanh(x_source[:1] - x_target - bias)

    def edge_drift(self, x_source, x_target, bias, trace, w):
        return {
            "trace": (x_source[0] - trace) / 5,
            "w": 0.2 * x_source[1] * (trace * x_target[0] - bias) - (w - 1) / 30,
        }

    def decode(self, total, x, degree):
        return self.strength * total


@dataclasses.dataclass
class Rule:
    """A coupling in NumPy. Values of sources are `(node,)`, of connections `(target, source)`, and targets come as `(target, 1)`."""

    strength: Any
    message: Callable
    sources: dict[str, np.ndarray]
    edges: dict[str, np.ndarray]
    encode: Callable = lambda x, s: np.stack([x])
    source_drift: Callable = lambda x, s: {}
    edge_drift: Callable = lambda sent, own, e: {}


def used(k, s, rate):
    return {
        "R": (1 - s["R"]) / k["tau_rec"] - s["u"] * s["R"] * rate,
        "u": (k["U"] - s["u"]) / k["tau_facil"] + k["U"] * (1 - s["u"]) * rate,
    }


def rule(coupling) -> Rule:
    """The equations of a coupling, written anew."""
    k = {f.name: np.asarray(getattr(coupling, f.name), float) for f in dataclasses.fields(coupling) if f.name in _OWN}
    wide = {name: np.broadcast_to(k[name], (N, N)).copy() for name in getattr(coupling, "edge_states", ())}
    long = {name: np.broadcast_to(k[name], N).copy() for name in coupling.source_states}
    G = k["strength"]
    match coupling:
        case gx.plasticity.TsodyksMarkram():
            return Rule(
                G,
                lambda sent, own, e: e["u"] * e["R"] * sent[0],
                long,
                wide,
                edge_drift=lambda sent, own, e: used(k, e, k["gain"] * sent[0]),
            )
        case gx.plasticity.TsodyksMarkramSources():
            return Rule(
                G,
                lambda sent, own, e: sent[0],
                long,
                wide,
                encode=lambda x, s: np.stack([s["u"] * s["R"] * x]),
                source_drift=lambda x, s: used(k, s, k["gain"] * x),
            )
        case gx.plasticity.Hebbian():
            post = k["theta_post"].reshape(-1, 1)
            return Rule(
                G,
                lambda sent, own, e: e["w"] * sent[0],
                long,
                wide,
                edge_drift=lambda sent, own, e: {
                    "w": (k["eta"] * (sent[0] - k["theta_pre"]) * (own - post) - (e["w"] - k["rest"])) / k["tau"]
                },
            )
        case gx.plasticity.Oja():
            return Rule(
                G,
                lambda sent, own, e: e["w"] * sent[0],
                long,
                wide,
                edge_drift=lambda sent, own, e: {"w": (own * sent[0] - k["alpha"] * own**2 * e["w"]) / k["tau"]},
            )
        case gx.plasticity.Vogels():
            return Rule(
                -G,
                lambda sent, own, e: np.maximum(e["w"], 0) * sent[0],
                long,
                wide,
                edge_drift=lambda sent, own, e: {"w": sent[0] * (own - k["rho"].reshape(-1, 1)) / k["tau"]},
            )
        case Both():
            return Rule(
                G,
                lambda sent, own, e: e["w"] * np.tanh(sent[0] - own - k["bias"]),
                long,
                wide,
                encode=lambda x, s: np.stack([x * s["a"], s["a"]]),
                source_drift=lambda x, s: {"a": (1 - s["a"]) / k["pace"] - s["a"] * x**2},
                edge_drift=lambda sent, own, e: {
                    "w": 0.2 * sent[1] * (e["trace"] * own - k["bias"]) - (e["w"] - 1) / 30,
                    "trace": (sent[0] - e["trace"]) / 5,
                },
            )
    raise TypeError(coupling)


_OWN = {"strength", "U", "tau_rec", "tau_facil", "gain", "R", "u", "eta", "tau", "theta_pre", "theta_post", "rest"}
_OWN |= {"w", "alpha", "rho", "pace", "bias", "a", "trace"}


def noise(net: gx.Network, key, steps: int) -> tuple[np.ndarray, np.ndarray]:
    """What white noise adds to each step, `(step, node)`, and what coloured noise is at all ends of steps."""
    white, coloured = np.zeros((steps, N)), np.zeros((steps + 1, N))
    if net.noise is None:
        return white, coloured
    rows = np.asarray(increments(key, jnp.array(0), steps, (len(net.noisy), N), DT))
    normals = np.asarray(jax.random.normal(jax.random.fold_in(key, 0x0C01), (len(net.noisy), N)))
    for row, part in enumerate(net.noises.values()):
        sigma = float(part.sigma)
        if isinstance(part, gx.noise.White):
            white += sigma * rows[:, row]
            continue
        tau = float(part.tau)
        coloured[0] = sigma * normals[row]
        for k in range(steps):
            fresh = sigma * np.sqrt((1 - np.exp(-2 * DT / tau)) / DT) * rows[k, row]
            coloured[k + 1] = np.exp(-DT / tau) * coloured[k] + fresh
    return white, coloured


def loop(net: gx.Network, start: np.ndarray, steps: int = STEPS, key=None) -> dict[str, np.ndarray]:
    """Heun's steps of a network of `gx.models.Linear`: what its state and those of its couplings are after each of them."""
    gamma, (white, coloured) = float(net.model.gamma), noise(net, key, steps)
    rules = {name: rule(coupling) for name, coupling in net.couplings.items()}
    weights = {name: np.asarray(net.weights(c), float) for name, c in net.couplings.items()}
    reads = {}  # of every connection: how many steps ago, and the share of it
    for name, coupling in net.couplings.items():
        delay = net.delay_of(coupling)
        times = None if delay is None else np.asarray(delay.times(net.connectome), float)
        pairs = zip(*np.nonzero(weights[name]), strict=True)
        reads[name] = {
            (i, j): [(0, 1.0)] if times is None else samples(times[i, j] / DT, delay.interpolation) for i, j in pairs
        }
    x, own = start.astype(float), {}
    for name, r in rules.items():
        own |= {(name, "source", k): v for k, v in r.sources.items()} | {
            (name, "edge", k): v for k, v in r.edges.items()
        }

    def of(name, kind, own):
        return {k: v for (n, t, k), v in own.items() if (n, t) == (name, kind)}

    def sends(x, own):
        return {name: r.encode(x, of(name, "source", own)) for name, r in rules.items()}

    sent = {name: [rows] for name, rows in sends(x, own).items()}

    def flow(x, own, step, eta):
        """`step`: how many are past at the time."""
        dx, more, now = gamma * x + eta, {}, sends(x, own)
        for name, r in rules.items():
            arrived = np.zeros((len(now[name]), N, N))
            for (i, j), taps in reads[name].items():
                for back, share in taps:
                    rows = now[name] if back == 0 else sent[name][max(step - back, 0)]
                    arrived[:, i, j] += share * rows[:, j]
            edges = of(name, "edge", own)
            dx = dx + r.strength * (weights[name] * r.message(arrived, x[:, None], edges)).sum(1)
            more |= {(name, "source", k): v for k, v in r.source_drift(x, of(name, "source", own)).items()}
            more |= {(name, "edge", k): v for k, v in r.edge_drift(arrived, x[:, None], edges).items()}
        return dx, more

    path = {"x": []} | {f"{n}.{k}": [] for n, _, k in own}
    for step in range(steps):
        dx, more = flow(x, own, step, coloured[step])
        guess = x + DT * dx + white[step], {k: v + DT * more[k] for k, v in own.items()}
        later, much = flow(*guess, step + 1, coloured[step + 1])
        x = x + DT * (dx + later) / 2 + white[step]
        own = {k: v + DT * (more[k] + much[k]) / 2 for k, v in own.items()}
        for name, coupling in net.couplings.items():
            for state, (low, high) in coupling.limits.items():
                for kind in ("source", "edge"):
                    if (name, kind, state) in own:
                        own[name, kind, state] = np.clip(own[name, kind, state], low, high)
        for name, rows in sends(x, own).items():
            sent[name].append(rows)
        path["x"].append(x)
        for (name, kind, state), values in own.items():
            seen = values if kind == "source" else np.where(weights[name] != 0, values, np.nan)
            path[f"{name}.{state}"].append(seen)
    return {name: np.array(rows) for name, rows in path.items()}


def drawn(density: float = 0.8, seed: int = 0, tag: str = "") -> gx.Connectome:
    """Six regions; some pairs of them are connected, and 4 to 40 mm apart. A tag of its own is compiled on its own."""
    rng = np.random.default_rng(seed)
    there = rng.uniform(size=(N, N)) < density
    lengths = rng.uniform(4, 40, (N, N))
    return gx.Connectome(
        rng.uniform(0.2, 1, (N, N)) * there * (1 - np.eye(N)), lengths, labels=[tag + x for x in "abcdef"]
    )


def one_each(low: float, high: float, seed: int = 1) -> np.ndarray:
    """One value a connection."""
    return np.random.default_rng(seed).uniform(low, high, (N, N))


def listens(net: gx.Network, period: float = 2 * DT) -> dict[str, Any]:
    """A monitor of every state that there is."""
    found: dict[str, Any] = {"x": gx.monitors.Subsample(source="x", period=period)}
    for name in net.source_states:
        found[name] = gx.monitors.Subsample(source=name, period=period)
    for name, coupling in net.couplings.items():
        if names := getattr(coupling, "edge_states", ()):
            full = tuple(f"{name}.{state}" for state in names)
            found[f"{name}'s"] = gx.monitors.Connections(source=full, period=period)
    return found


def recorded(run: gx.Run) -> dict[str, np.ndarray]:
    """What those have heard, by state."""
    return {
        state: np.asarray(run[name].values[:, row])
        for name in run.recordings
        for row, state in enumerate(run[name].source)
    }


START = np.random.default_rng(2).uniform(0.5, 2.0, (1, N))
DELAYS = {
    "none": None,
    "nearest": gx.Delay(speed=3.0),
    "linear": gx.Delay(speed=3.0, interpolation="linear", bounds=(0.5, 60.0)),
    "short": gx.Delay(speed=60.0, interpolation="linear", bounds=(0.0, 5.0)),
}


def markram(**more) -> gx.AbstractCoupling:
    """Fast enough for everything to move within a few ms, with values of each connection."""
    own = dict(U=one_each(0.1, 0.6), tau_rec=one_each(10, 60, 2), R=one_each(0.5, 1, 3), tau_facil=40.0, gain=0.05)
    return gx.plasticity.TsodyksMarkram(**(dict(source="x", strength=0.05) | own | more))


def hebb(**more) -> gx.AbstractCoupling:
    own = dict(eta=one_each(0.5, 1.5), w=one_each(-1, 1, 2), tau=15.0, theta_pre=0.3, theta_post=one_each(0, 1)[0])
    return gx.plasticity.Hebbian(**(dict(source="x", strength=0.05) | own | more))


def network(coupling, delay: str = "none", density: float = 0.8, tag: str = "", **more) -> gx.Network:
    return gx.Network(gx.models.Linear(gamma=-0.1), coupling, drawn(density, tag=tag), DELAYS[delay], **more)
