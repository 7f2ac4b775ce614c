"""gx.analysis beside tvboptim's adiabatic_scan, lyapunov and fisher_information: the same numbers, and the time they take.

    python benchmarks/analysis.py --tvboptim PYTHON [--out docs/studies]

PYTHON is the interpreter of an environment that has tvboptim. Wong and Wang's model in 84 regions in float64, one after another on
one machine; `nox -s studies -- analysis` runs it. It writes analysis.md and analysis.json.
"""

import argparse
import datetime
import json
import os
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

import jax
import numpy as np
import numpyro.distributions as dist
from run import started
from table import cpu, table

import gyrax as gx

jax.config.update("jax_enable_x64", True)
ROOT = Path(__file__).resolve().parent.parent
HEAD = """# Analysis beside tvboptim

This page is written by `nox -s studies -- analysis`, on one machine, one after another; it is not edited by hand. Wong and Wang's
model in 84 regions, float64, Heun with the coupling at each stage, steps of 1 ms. A scan is 12 strengths up and 12 down, 500 ms each, of
which the means of the second half in every region are compared. An exponent is over 10 000 ms; what it should be is the largest real part of the
exact modes (`gx.analysis.modes`). Fisher information is of the state after 500 ms, by a coupling strength and an input current. The posterior is of these
two in the first 12 regions, from their states every 25 ms for 500 ms with errors of .02, by NumPyro's NUTS from the true values on (300 draws of warm-up, 500 kept, one
chain): what is compared are its means and standard deviations, which agree up to the error of the draws.

"""


def case():
    data = gx.datasets.load("dk84")
    connectome = gx.study.scaled(data.connectome).connectome
    values = {"w": 0.9, "I_o": 0.3, "G": 0.3, "S": 0.1, "low": 0.1, "high": 0.6, "n": 12, "t": 500.0, "skip": 250.0}
    values |= {"stretch": 500.0, "stretches": 20, "sd": 0.01}
    values |= {"error": 0.02, "each": 25.0, "warmup": 300, "draws": 500}
    values |= {"part": 12}
    seen = observed(built(part(connectome, values), values, False), values)
    values["measured"] = np.asarray(seen) + values["error"] * np.random.default_rng(0).normal(size=seen.shape)
    return connectome, values | {
        "weights": np.asarray(connectome.weights),
        "delays": np.asarray(connectome.lengths) / 3.0,
    }


def observed(net, case):
    """Every region's state every so often: `(sample, region)`."""
    monitor = gx.monitors.Subsample(source="S", period=case["each"])
    start = np.full((1, net.n_regions), case["S"])
    return gx.simulate(net, case["t"], 1.0, start=start, monitors={"S": monitor})["S"].values[:, 0]


def part(connectome, case):
    """The regions of which a posterior is."""
    return connectome.subset(connectome.labels[: case["part"]])


def built(connectome, case, delayed):
    model = gx.models.WongWang(w=case["w"], I_o=case["I_o"])
    coupling = gx.couplings.Linear(source="S", strength=case["G"])
    return gx.Network(model, coupling, connectome, gx.Delay(speed=3.0) if delayed else None)


def timed(function):
    seconds = []
    for _ in range(2):
        began = time.perf_counter()
        found = np.asarray(jax.block_until_ready(function()))
        seconds.append(time.perf_counter() - began)
    return {"value": found.tolist(), "seconds": seconds}


def ours(connectome, case):
    strengths, start = np.linspace(case["low"], case["high"], case["n"]), np.full((1, 84), case["S"])
    duration = case["stretch"] * case["stretches"]

    def scanned(net):
        found = gx.analysis.adiabatic_scan(
            net, "coupling.strength", strengths, case["t"], 1.0, settle=case["skip"], start=start
        )
        mean = found["mean"].values[:, :, 0]
        return np.concatenate([mean[0], mean[1, ::-1]])

    def fisher(net):
        def predict(net, key):
            return gx.simulate(net, case["t"], 1.0, start=start, monitors={}).final.y

        spec = gx.select(
            net, gx.Free("coupling.strength", domain=gx.Real(1.0)), gx.Free("model.I_o", domain=gx.Real(1.0))
        )
        found = gx.analysis.identifiability(net, predict, spec, sd=case["sd"])
        order = [found.names.index(name) for name in ("coupling.strength", "model.I_o")]
        return found.fisher[np.ix_(order, order)]

    def posterior(net, key):
        def loss(net, key):
            return 0.5 * (((observed(net, case) - case["measured"]) / case["error"]) ** 2).sum()

        found = gx.inference.nuts(
            net,
            loss,
            gx.select(net, "coupling.strength", "model.I_o"),
            priors={
                "coupling.strength": dist.LogNormal(np.log(0.3), 0.5),
                "model.I_o": dist.LogNormal(np.log(0.3), 0.2),
            },
            chains=1,
            warmup=case["warmup"],
            draws=case["draws"],
            key=key,
            progress=False,
        )
        drawn = np.stack([found.samples[name].values.reshape(-1) for name in ("coupling.strength", "model.I_o")])
        return np.concatenate([drawn.mean(1), drawn.std(1)])

    def exact(net):
        rests = gx.analysis.fixed_points(net, start[None])
        return gx.analysis.modes(net, rests[int(np.argmin(rests.rates))], 1).rates[0].real

    def exponent(net):
        return gx.analysis.lyapunov_exponents(net, duration, 1.0, warm_up=2000.0, start=start).values[0]

    net, late = built(connectome, case, False), built(connectome, case, True)
    return {
        "scan": timed(lambda: scanned(net)),
        "scan with delays": timed(lambda: scanned(late)),
        "exponent": timed(lambda: exponent(net)) | {"exact": float(exact(net))},
        "exponent with delays": timed(lambda: exponent(late)) | {"exact": float(exact(late))},
        "fisher": timed(lambda: fisher(net)),
        "posterior": timed(lambda: posterior(built(part(connectome, case), case, False), 0)),
    }


def rows(one, other):
    """Of each job: what both found, how far apart, and the seconds of first and later calls."""
    for name, mine in one.items():
        theirs = other.get(name, {"failed": "did not run"})
        if "failed" in theirs:
            yield [name, "", theirs["failed"], "", f"{mine['seconds'][0]:.2f}, {mine['seconds'][1]:.2f}", "", ""]
            continue
        a, b = np.asarray(mine["value"]), np.asarray(theirs["value"])
        apart = f"{np.abs(a - b).max() / np.abs(a).max():.1e}"
        said = (f"{a:.6g}", f"{b:.6g}", f"{mine['exact']:.6g}") if "exact" in mine else ("", "", "")
        times = [f"{x['seconds'][0]:.2f}, {x['seconds'][1]:.2f}" for x in (mine, theirs)]
        ratio = ", ".join(f"{b / a:.2g}" for a, b in zip(mine["seconds"], theirs["seconds"], strict=True))
        yield [name, *said, apart, *times, ratio]


def page(record):
    versions = ", ".join(f"{name} {number}" for name, number in record["tvboptim"].get("versions", {}).items())
    text = f"{record['date']}, {record['cpu']}, {record['cores']} cores under a load of {record['load']:g}. gyrax {record['gyrax']}, jax {record['jax']}; {versions}.\n\n"
    head = ["", "gyrax", "tvboptim", "exact", "largest difference", "s, gyrax", "s, tvboptim", "ratio"]
    text += table(head, list(rows(record["ours"], record["tvboptim"])))
    return (
        HEAD
        + text
        + "Seconds are of a first call, with compilation, and of a second one. A difference is relative to the largest number.\n"
        "With delays tvboptim says itself that it resets what is under way between values and stretches; ours is tested against a loop of\n"
        "NumPy's that keeps it. Both exponents are estimates from one run, which many modes that die almost as slowly bias.\n"
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tvboptim", metavar="PYTHON", required=True, help="interpreter with tvboptim")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "studies")
    arguments = parser.parse_args()
    connectome, values = case()
    with tempfile.TemporaryDirectory() as folder:
        given, told = Path(folder) / "case.npz", Path(folder) / "tvboptim.json"
        np.savez(given, **values)
        python = str(Path(arguments.tvboptim).absolute())
        reason = started([python, "-m", "peers.tvboptim_analysis", str(given), str(told)])
        peer = json.loads(told.read_text()) if told.exists() else {"failed": reason}
    record = {
        "date": datetime.date.today().isoformat(),
        "cpu": cpu(),
        "cores": os.cpu_count(),
        "load": round(os.getloadavg()[0], 1),
        "gyrax": version("gyrax"),
        "jax": version("jax"),
        "ours": ours(connectome, values),
        "tvboptim": peer,
    }
    arguments.out.mkdir(parents=True, exist_ok=True)
    (arguments.out / "analysis.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    (arguments.out / "analysis.md").write_text(page(record), encoding="utf-8")
    print(page(record))


if __name__ == "__main__":
    main()
