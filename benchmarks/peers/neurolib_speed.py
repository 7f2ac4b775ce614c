"""neurolib: microseconds a step. run.py starts it (see harness.py) in an environment with neurolib."""

import numpy as np
from harness import Job, main
from neurolib.models.hopf import HopfModel

NOTE = """
Its Hopf model with additive coupling, integrated by its compiled (numba) Euler loop in float64; the wall time is that of
`model.run()`. Its noise is an Ornstein-Uhlenbeck process on both states, which it always integrates; gyrax has white
noise on both, the nearest it offers. The parameters are neurolib's own (a = 0.25, w = 0.2). No gradients.
"""


def built(case, data):
    model = HopfModel(Cmat=data["weights"].astype(float), Dmat=data["lengths"].astype(float), seed=0)
    n = len(data["weights"])
    model.params.update(
        dt=case["dt"],
        duration=case["steps"] * case["dt"],
        coupling="additive",
        signalV=case["speed"],
        K_gl=case["strength"],
        sigma_ou=case["sigma"],
        xs_init=np.full((n, 1), 0.1),
        ys_init=np.full((n, 1), 0.1),
    )
    return model


def jobs(case, data):
    model = built(case, data)

    def call(strength):
        model.params["K_gl"] = strength
        model.run()
        return model.x.T

    for kind in case["kinds"]:
        yield Job(kind, call, case["steps"], same_scheme=True)


if __name__ == "__main__":
    main(jobs, ("neurolib", "numpy", "numba"), NOTE)
