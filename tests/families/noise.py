"""Noise: cases of the contract."""

import gyrax as gx

CASES = {"noise.White": (gx.noise.White(), [(-1.0, 1.0)] * 2)}
