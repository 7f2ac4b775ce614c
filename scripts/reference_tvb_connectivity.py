"""What The Virtual Brain reads from the connectivities of tvb-data, for tests/test_connectome_formats.py.

    python scripts/reference_tvb_connectivity.py FOLDER tests/data/tvb_connectivity.npz

FOLDER is `tvb_data/connectivity` of tvb-data 3.0. Runs in an environment of its own with tvb-library 2.10 from PyPI (both
are GPL: they are asked for numbers, and only sums and checksums are kept). `NAME.coupling` is the input to every region when `NAME.state` is sent along all
connections, as the simulator itself computes it: it tells rows from columns.
"""

import hashlib
import sys
import warnings
from pathlib import Path

import numpy as np
from tvb.datatypes.connectivity import Connectivity
from tvb.simulator import coupling, integrators, simulator
from tvb.simulator.models.linear import Linear

NAMES = ("connectivity_66", "connectivity_68", "connectivity_76", "connectivity_96", "connectivity_192", "paupau")


def received(connectivity: Connectivity, state: np.ndarray) -> np.ndarray:
    """Input to each region from a state, without delays."""
    connectivity.speed = np.array([np.inf])
    sim = simulator.Simulator(
        model=Linear(),
        connectivity=connectivity,
        coupling=coupling.Linear(a=np.array([1.0])),
        integrator=integrators.EulerDeterministic(dt=1.0),
        initial_conditions=np.broadcast_to(state[None, None, :, None], (1, 1, len(state), 1)).copy(),
        monitors=(),
    )
    sim.configure()
    return np.asarray(sim._loop_compute_node_coupling(0))[0, :, 0]


def main(folder: Path, out: Path) -> None:
    warnings.simplefilter("ignore")
    rng, facts = np.random.default_rng(5), {}
    for name in NAMES:
        connectivity = Connectivity.from_file(str(folder / f"{name}.zip"))
        labels, n = "\n".join(connectivity.region_labels), len(connectivity.region_labels)
        state = rng.uniform(0.1, 1.0, n)
        facts |= {
            f"{name}.labels": np.array(hashlib.sha256(labels.encode()).hexdigest()),
            f"{name}.received": connectivity.weights.sum(1),
            f"{name}.sent": connectivity.weights.sum(0),
            f"{name}.length_to": connectivity.tract_lengths.sum(1),
            f"{name}.length_from": connectivity.tract_lengths.sum(0),
            f"{name}.centre": connectivity.centres.sum(0),
            f"{name}.state": state,
            f"{name}.coupling": received(connectivity, state),
        }
    np.savez_compressed(out, **facts)


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve(), Path(sys.argv[2]))
