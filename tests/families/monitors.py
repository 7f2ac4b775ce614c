"""Monitors, on the network below, and kernels of HRFBold: cases of tests/test_contract_monitors.py."""

import dataclasses

import numpy as np

import gyrax as gx

m = gx.monitors
LABELS, SENSORS = ("A", "B", "C"), ("P", "Q")
DT, PERIOD = 2.0, 40.0


def network() -> gx.Network:
    """Three oscillators of two states and two inputs, whose connections learn; without delays, which compile longer and which no monitor sees."""
    weights = np.array([[0.0, 1.0, 0.5], [0.3, 0.0, 0.7], [0.9, 0.2, 0.0]])
    return gx.Network(
        gx.models.Hopf(a=[0.02, 0.03, 0.01], omega=[0.05, 0.06, 0.08]),
        {
            "far": gx.couplings.Linear(source="x", target="c_x", strength=0.02),
            "learning": gx.plasticity.Hebbian(
                source="x", target="c_y", strength=1e-3, tau=50.0, eta=20.0, weights=np.ones((3, 3))
            ),
        },
        gx.Connectome(weights, labels=list(LABELS)),
    )


@dataclasses.dataclass(frozen=True)
class Watched:
    """A monitor, and what one sample of it is.

    Attributes:
        monitor: of the network above; a period is 40 ms, or twice that.
        axes: the axes of a sample, and what lies along each: names, or frequencies.
        stamp: ms before the end of what a sample covers, where its time lies.
    """

    monitor: gx.AbstractMonitor
    axes: dict[str, tuple]
    stamp: float = 0.0


def field() -> gx.LeadField:
    return gx.LeadField([[1.0, 0.4, -0.3], [0.2, 0.8, 0.5]], sensors=SENSORS, regions=LABELS)


REGIONS = {"region": LABELS}
BOTH = {"state": ("x", "y"), "region": LABELS}
MATRIX = {"region": LABELS, "other": LABELS}
OVER_SENSORS = {"sensor": SENSORS}

#: Every public monitor, and what `then` makes of two.
MONITORS = {
    "Raw": Watched(m.Raw(), BOTH),
    "Subsample": Watched(m.Subsample(period=PERIOD), BOTH),
    "TemporalAverage": Watched(
        m.TemporalAverage(source=("y", "x"), period=PERIOD), BOTH | {"state": ("y", "x")}, PERIOD / 2
    ),
    "AfferentCoupling": Watched(m.AfferentCoupling(source="c_x", period=PERIOD), BOTH | {"state": ("c_x",)}),
    "SpatialAverage": Watched(
        m.SpatialAverage([0, 1, 0], labels=["outer", "inner"], period=PERIOD), BOTH | {"region": ("outer", "inner")}
    ),
    "GlobalAverage": Watched(m.GlobalAverage(period=PERIOD), BOTH | {"region": ("mean",)}),
    "Balloon": Watched(m.Balloon(source="x", period=PERIOD), REGIONS),
    "HRFBold": Watched(m.HRFBold(source="x", period=PERIOD, length=400.0), REGIONS),
    "MEG": Watched(m.MEG(field(), source="x", period=PERIOD), OVER_SENSORS, PERIOD / 2),
    "EEG": Watched(m.EEG(field(), source="x", period=PERIOD, covariance=[0.01, 0.02]), OVER_SENSORS, PERIOD / 2),
    "SEEG": Watched(m.SEEG(field(), source="x", period=PERIOD), OVER_SENSORS, PERIOD / 2),
    "ObservationNoise": Watched(
        m.ObservationNoise(m.TemporalAverage(source="x", period=PERIOD), sigma=0.1),
        BOTH | {"state": ("x",)},
        PERIOD / 2,
    ),
    "Covariance": Watched(m.Covariance(source="x", period=2 * PERIOD), MATRIX, PERIOD),
    "FC": Watched(m.FC(source="x", period=2 * PERIOD), MATRIX, PERIOD),
    "PSD": Watched(
        m.PSD(40.0, source="x", period=2 * PERIOD),
        {"frequency": tuple(range(0, 251, 25)), "region": LABELS},
        PERIOD,
    ),
    "Connections": Watched(
        m.Connections(source="learning.w", period=PERIOD),
        {"state": ("learning.w",), "target": LABELS, "source": LABELS},
    ),
    "Chain": Watched(
        m.GlobalAverage(source="x", period=PERIOD / 2).then(m.Balloon(period=PERIOD)), {"region": ("mean",)}
    ),
}
#: Every public kernel: a function of time in s.
KERNELS = {
    "FirstOrderVolterra": m.FirstOrderVolterra(),
    "Gamma": m.Gamma(),
    "DoubleExponential": m.DoubleExponential(),
    "MixtureOfGammas": m.MixtureOfGammas(),
}
