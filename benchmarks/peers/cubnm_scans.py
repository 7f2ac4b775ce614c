"""A group's connectivity and its dynamics by cubnm 0.1.0: its rWW model with its own feedback inhibition, by CMA-ES on the CPU.

Its data, which come with it, are written beside what it finds: they are read from where it is installed, and none are kept here.

    python -m peers.cubnm_scans --out FOLDER [--seconds 180] [--smoke]
"""

import argparse
import json
import time
from importlib.metadata import version
from pathlib import Path

import numpy as np
from cubnm import datasets, optimize
from pymoo.core.termination import Termination

GROUP, HELD_OUT, PERSON = "group-train706", "group-test303", "100206"


class Seconds(Termination):
    """Ends after so much wall time."""

    n_max_gen = 10**6

    def __init__(self, seconds):
        super().__init__()
        self.began, self.seconds = time.perf_counter(), seconds

    def _update(self, algorithm):
        return min(1.0, (time.perf_counter() - self.began) / self.seconds)


class Timed(optimize.CMAESOptimizer):
    """Its optimiser, with the time at which each generation was known."""

    def optimize(self):
        self.times, ask, began = [], self.algorithm.tell, time.perf_counter()

        def tell(*args, **kwargs):
            found = ask(*args, **kwargs)
            self.times.append(time.perf_counter() - began)
            return found

        self.algorithm.tell = tell
        super().optimize()


def data(folder):
    for name in (GROUP, HELD_OUT):
        np.savez(
            folder / f"{name}.npz",
            weights=datasets.load_sc("strength", sub=name, norm=None),
            lengths=datasets.load_sc("length", sub=name),
            fc=datasets.load_fc(sub=name, return_tril=False),
            fcd=datasets.load_fcd(sub=name),
        )
    series = {session: datasets.load_bold(sub=PERSON, ses=session).T for session in ("REST1_LR", "REST2_LR")}
    np.savez(folder / f"{PERSON}.npz", **series)


def fitted(name, params, seconds, smoke, **more):
    """Its best after so many seconds, and its best after each generation."""
    problem = optimize.BNMProblem(
        model="rWW",
        params=params,
        emp_fc_tril=datasets.load_fc(sub=GROUP, return_tril=True),
        emp_fcd_tril=datasets.load_fcd(sub=GROUP),
        duration=60 if smoke else 450,
        TR=0.72,
        sc=datasets.load_sc("strength", sub=GROUP),
        dt="1.0",
        sim_verbose=False,
        force_cpu=True,
        **more,
    )
    search = Timed(popsize=4 if smoke else 10, termination=Seconds(seconds), seed=1, print_history=False)
    search.setup_problem(problem)
    began = time.perf_counter()
    search.optimize()
    by_generation = search.history.groupby("gen")
    best = [float(by_generation.get_group(gen)["+fc_corr"].max()) for gen in sorted(by_generation.groups)]
    opt = search.opt
    return {
        "name": name,
        "n_free": len(problem.free_params),
        "seconds": round(time.perf_counter() - began, 1),
        "simulations": len(search.history),
        "train": {"r": float(opt["+fc_corr"])} | ({"ks": -float(opt["-fcd_ks"])} if "-fcd_ks" in opt else {}),
        "times": [round(t, 2) for t in search.times],
        "best_r": np.maximum.accumulate(best).tolist(),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seconds", type=float, default=180.0)
    parser.add_argument("--smoke", action="store_true")
    arguments = parser.parse_args()
    data(arguments.out)
    seconds = 5.0 if arguments.smoke else arguments.seconds
    found = {"peer": "cubnm", "versions": {"cubnm": version("cubnm"), "numpy": np.__version__}, "stages": []}
    ranges = {"G": (0.001, 10.0), "w_p": (0.0, 2.0), "J_N": (0.001, 0.5)}
    maps = np.asarray(datasets.load_maps(["myelinmap", "fcgradient01"], norm="zscore"), float)
    runs = [
        ("three parameters, r of FC", ranges, {"gof_terms": ["+fc_corr"]}),
        ("three parameters, r of FC and KS of FCD", ranges, {"gof_terms": ["+fc_corr", "-fcd_ks"]}),
        (
            "w_p and J_N along two maps, r of FC and KS of FCD",
            ranges,
            {"gof_terms": ["+fc_corr", "-fcd_ks"], "het_params": ["w_p", "J_N"], "maps": maps},
        ),
    ]
    for name, params, more in runs[: 1 if arguments.smoke else None]:
        try:
            found["stages"].append(fitted(name, params, seconds, arguments.smoke, **more))
        except Exception as error:  # said in the table
            found["failed"] = f"{name}: {error}"
        (arguments.out / "cubnm.json").write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
