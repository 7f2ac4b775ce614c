"""The two-population Wong-Wang network as one plain NumPy loop in float64, from the equations of Deco et al. (2014)."""

import jax.numpy as jnp
import numpy as np

import gyrax as gx
from gyrax.noise import increments

WEIGHTS = np.array(
    [
        [0.0, 0.6, 0.2, 0.0, 0.3],
        [0.5, 0.0, 0.0, 0.4, 0.1],
        [0.1, 0.3, 0.0, 0.7, 0.0],
        [0.0, 0.2, 0.9, 0.0, 0.5],
        [0.4, 0.1, 0.0, 0.6, 0.0],
    ]
)


def network(sigma: float | None = 0.01, scale: float = 1.0) -> gx.Network:
    """Five regions with two couplings, whose weights differ."""
    linear, weights = gx.couplings.Linear, scale * WEIGHTS
    couplings: dict[str, gx.AbstractCoupling] = {
        "lre": linear(source="S_e", target="c_lre", weights=weights),
        "ffi": linear(source="S_e", target="c_ffi", weights=0.5 * weights),
    }
    noise = None if sigma is None else gx.noise.White(sigma=sigma, states="S_e")
    model = gx.models.WongWangExcInh(J_i=np.linspace(0.9, 1.3, 5))
    return gx.Network(model, couplings, gx.Connectome(WEIGHTS, labels=list("ABCDE")), noise=noise)


def rate(x, a, b, d):
    """Firing rate in Hz at a current in nA."""
    return (a * x - b) / (1 - np.exp(-d * (a * x - b)))


def drift(y: np.ndarray, J_i: np.ndarray, lre: np.ndarray, ffi: np.ndarray) -> np.ndarray:
    S_e, S_i = y
    x_e = 1.4 * 0.15 * S_e - J_i * S_i + 0.382 + 0.15 * lre @ S_e
    x_i = 0.15 * S_e - S_i + 0.7 * 0.382 + 0.15 * ffi @ S_e
    return np.stack(
        [
            -S_e / 100 + (1 - S_e) * 0.641e-3 * rate(x_e, 310, 125, 0.16),
            -S_i / 10 + 1e-3 * rate(x_i, 615, 177, 0.087),
        ]
    )


def wiener(key, steps: int, dt: float, sigma: float = 0.01) -> np.ndarray:
    """The increments that the engine draws for S_e, `(step, state, region)`."""
    drawn = sigma * np.asarray(increments(key, jnp.array(0), steps, (1, len(WEIGHTS)), dt), float)
    return np.concatenate([drawn, np.zeros_like(drawn)], 1)


def run(y: np.ndarray, dw: np.ndarray, dt: float, J_i: np.ndarray, lre: np.ndarray, ffi: np.ndarray) -> np.ndarray:
    """States at the start and after each step of Heun, held in [0, 1]."""
    path = [np.array(y, float)]
    for noise in dw:
        k1 = dt * drift(path[-1], J_i, lre, ffi) + noise
        k2 = dt * drift(path[-1] + k1, J_i, lre, ffi) + noise
        path.append(np.clip(path[-1] + (k1 + k2) / 2, 0, 1))
    return np.array(path)
