"""A model whose activity is a known function of time, so that monitors see known input."""

import jax.numpy as jnp
import numpy as np

import gyrax as gx

LABELS = ("A", "B", "C")
SLOPES = np.array([1.0, -2.0, 0.25])
#: Amplitudes `(region, wave)`, frequencies in Hz and phases of the drive.
AMPLITUDES = np.array([[0.15, 0.06, 0.03], [0.03, 0.12, -0.1], [-0.06, 0.03, 0.1]])
FREQUENCIES = np.array([0.05, 0.13, 0.31])
PHASES = np.array([0.3, 1.1, 2.0])


class Clock(gx.AbstractModel):
    """States that grow by one a ms and by a slope a ms; dyadic numbers, so that their ramps are exact in float32."""

    states = ("t", "ramp")
    inputs = ("c",)
    outputs = ("drive", "quiet")

    def drift(self, t, y, u):
        return jnp.stack([jnp.ones_like(y[0]), jnp.asarray(SLOPES, y.dtype)])

    def drive(self, y):
        """A sum of slow waves."""
        angles = 2 * jnp.pi * FREQUENCIES[:, None] * y[0] / 1000 + PHASES[:, None]
        return (AMPLITUDES.T * jnp.sin(angles)).sum(0)

    def quiet(self, y):
        return jnp.zeros_like(y[0])


def drive(t):
    """The output of that name at the times t in ms, `(time, region)`."""
    return np.sin(2 * np.pi * FREQUENCIES * np.asarray(t)[..., None] / 1000 + PHASES) @ AMPLITUDES.T


def clock() -> gx.Network:
    return gx.Network(Clock(), gx.couplings.Linear(source="t"), gx.Connectome(np.ones((3, 3)), labels=list(LABELS)))


def counting() -> tuple[type[gx.AbstractModel], list[int]]:
    """A model, and a list that grows each time its drift is traced."""
    count: list[int] = []

    class Counting(gx.models.WongWang):
        def drift(self, t, y, u):
            count.append(1)
            return super().drift(t, y, u)

    return Counting, count
