"""Noise: cases of the contract."""

import gyrax as gx


def grown(y):
    return 1 + y**2


CASES = {
    "noise.White": (gx.noise.White(), [(-1.0, 1.0)] * 2),
    "noise.Multiplicative": (gx.noise.Multiplicative(grown), [(-1.0, 1.0)] * 2),
    "noise.OrnsteinUhlenbeck": (gx.noise.OrnsteinUhlenbeck(), [(-1.0, 1.0)] * 2),
}
