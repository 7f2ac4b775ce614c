"""Parameters whose truth is known, found again from one objective by every method, beside scipy's with the same derivatives.

    python benchmarks/recovery.py [--smoke] [--only 2 85] [--out docs/studies]

Damped Hopf oscillators answer to pulses, and what they do is measured with noise. `nox -s studies -- recovery` runs it, some minutes.
It writes recovery.md and recovery.json.
"""

import argparse
import dataclasses
import datetime
import json
import operator
import os
import sys
import time
import warnings
from importlib.metadata import version
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import optax
from jax.flatten_util import ravel_pytree
from recovery_page import page
from scipy import optimize
from table import cpu

import gyrax as gx

jax.config.update("jax_enable_x64", True)
jax.config.update("jax_enable_compilation_cache", False)  # a first call is to compile
CASES = [2, 85, 168, 380]
ROOT = Path(__file__).resolve().parent.parent
DT, PERIOD, SD = 1.0, 4.0, 0.01
DECAY, FREQUENCY, STRENGTH = -0.02, 2 * np.pi * 0.01, 0.02
DOMAINS = {
    "model.a": gx.Real(0.02),
    "model.omega": gx.Positive(0.06),
    "coupling.strength": gx.Positive(0.02),
    "connectome.weights": gx.Real(0.2),
}
PRIORS = {"network.model.a": dist.Normal(-0.03, 0.03), "network.coupling.strength": dist.LogNormal(np.log(0.02), 1.0)}
#: Pulses of a region, in which it is pushed up or down for 10 ms, and how hard.
PULSES, LENGTH, PUSH = 2, 10, 0.03
#: How many runs the measurement of all weights is a mean of, each of more pulses.
TRIALS, MORE = 25, 8


@dataclasses.dataclass
class Case:
    """A network whose numbers are known, another one to start from, and what is free."""

    truth: gx.Network
    start: gx.Network
    free: tuple[str, ...]
    duration: float
    sd: float = SD

    def __post_init__(self):
        def predict(model, key):
            listener = gx.monitors.Subsample(source="x", period=PERIOD)
            rest = jnp.zeros((2, model["network"].n_regions))
            run = gx.simulate(model["network"], self.duration, DT, monitors=listener, start=rest, autodiff="forward")
            return run["monitor"].values[:, 0]

        def loss(model, key):
            residuals = (predict(model, key) - model["measured"]) / self.sd
            return 0.5 * (residuals**2).sum(), {"residuals": residuals}

        self.predict, self.loss = predict, loss
        self.clean = np.asarray(jax.jit(lambda network: predict({"network": network}, None))(self.truth))
        masks = {"connectome.weights": ~np.eye(self.truth.n_regions, dtype=bool)}
        marks = [gx.Free(f"network.{n}", domain=DOMAINS[n], mask=masks.get(n)) for n in self.free]
        self.spec = gx.select(self.model(self.start, 0), *marks)
        self.information = gx.analysis.identifiability(self.model(self.truth, 0), predict, self.spec, sd=self.sd)
        self.true = self.numbers(self.truth)
        np.testing.assert_allclose(self.information.values, self.true, rtol=1e-10)

    def model(self, network, seed):
        """A network and what was measured: arrays of one shape, so that a second measurement compiles nothing."""
        noise = np.random.default_rng(1000 + seed).normal(size=self.clean.shape)
        return {"network": network, "measured": jnp.asarray(self.clean + self.sd * noise)}

    def leaves(self, network):
        """The free numbers, by leaf."""
        found = {name: np.asarray(operator.attrgetter(name)(network)) for name in self.free}
        return {n: x[~np.eye(len(x), dtype=bool)] if x.ndim == 2 else np.atleast_1d(x) for n, x in found.items()}

    def numbers(self, network):
        return np.concatenate(list(self.leaves(network).values()))


def built(regions, duration, values, count):
    """Oscillators at rest, each pushed at moments of its own."""
    connectome = gx.datasets.load("dk84").connectome
    if regions < 84:
        connectome = connectome.subset(list(range(0, 84, 84 // regions))[:regions])
    connectome = connectome.normalised("max")
    rng, pulses = np.random.default_rng(0), np.zeros((int(duration) + 1, regions))
    for region in range(regions):
        for part in range(count):  # each in a part of the run of its own, so that none ends what another began
            onset = int(part * duration / count) + rng.integers(0, int(duration / count) - 5 * LENGTH)
            pulses[onset : onset + LENGTH, region] = rng.choice([-PUSH, PUSH])
    stimulus = gx.stimuli.Stimulus(gx.stimuli.Recorded(pulses, period=1.0, outside="zero"), target="c_x")
    if "connectome.weights" in values:
        connectome = gx.Connectome(values["connectome.weights"], connectome.lengths, connectome.labels)
    return gx.Network(
        gx.models.Hopf(a=values["model.a"], omega=values["model.omega"]),
        gx.couplings.Difference(source=("x", "y"), strength=values["coupling.strength"]),
        connectome,
        stimulus=stimulus,
    )


def case(count, smoke=False):
    """By the number of free ones."""
    rng = np.random.default_rng(count)
    regions = {2: 20, 85: 84, 168: 84, 380: 20}[count]
    duration = {2: 400.0, 85: 400.0, 168: 400.0, 380: 1600.0}[count]
    if smoke:
        regions, duration = 4, 200.0
    truth = {"model.a": DECAY, "model.omega": FREQUENCY, "coupling.strength": STRENGTH}
    if count in (85, 168):
        truth["model.a"] = DECAY * np.exp(0.3 * rng.normal(size=regions))
    if count == 168:
        truth["model.omega"] = FREQUENCY * np.exp(0.1 * rng.normal(size=regions))
    if count == 380:
        weights = rng.lognormal(np.log(0.07), 0.8, size=(regions, regions))
        truth["connectome.weights"] = weights * (1 - np.eye(regions))
    free = {
        2: ("model.a", "coupling.strength"),
        85: ("model.a", "coupling.strength"),
        168: ("model.a", "model.omega"),
        380: ("connectome.weights",),
    }[count]
    away = {"model.a": 2.0, "model.omega": 0.9, "coupling.strength": 0.5}
    start = dict(truth)
    for name in free:
        x = np.asarray(truth[name])
        if name == "connectome.weights":
            start[name] = np.full(x.shape, x.sum() / (regions * (regions - 1))) * (1 - np.eye(regions))
        else:  # the same in every region, and a little by chance
            start[name] = away[name] * x.mean() * np.exp(0.05 * rng.normal(size=x.shape))
    pulses = PULSES * (MORE if count == 380 else 1)
    networks = [built(regions, duration, values, pulses) for values in (truth, start)]
    return Case(*networks, free, duration, SD / np.sqrt(TRIALS if count == 380 else 1))


# Methods: of a case and a model (network and measurement), the network found, steps, and what else is told of it.


def by_fit(gradient, steps, rate, **options):
    optimiser = optax.adam(optax.cosine_decay_schedule(rate, steps))  # one object, by which JAX knows it again

    def method(case, model):
        found = gx.fit(
            model, case.loss, case.spec, optimiser, steps=steps, gradient=gradient, key=0, progress=False, **options
        )
        return found.model["network"], len(found.history["loss"]), {"stopped": found.stopped}

    return method


def by_search(search, **options):
    def method(case, model):
        found = search(model, case.loss, case.spec, progress=False, **options)
        return found.model["network"], len(found.history["loss"]), {"stopped": found.stopped}

    return method


def by_bayes(sampler, **options):
    def method(case, model):
        found = sampler(model, case.loss, case.spec, priors=PRIORS, **options)
        draws = {n: np.asarray(found.samples[f"network.{n}"]).reshape(-1) for n in case.free}
        low, high = (np.array([np.quantile(x, q) for x in draws.values()]) for q in (0.025, 0.975))
        network = eqx.tree_at(
            operator.attrgetter(*case.free), case.start, tuple(jnp.asarray(x.mean()) for x in draws.values())
        )
        told = {
            "sd": [float(x.std()) for x in draws.values()],
            "held": ((low < case.true) & (case.true < high)).tolist(),
        }
        return network, len(next(iter(draws.values()))), told

    return method


def by_scipy(squares, **options):
    """What scipy is given is compiled once: the same objective on the real line, with its derivatives."""
    compiled = {}

    def functions(case, back, fixed):
        def at(x, measured):
            model = {"network": gx.join(back(x), fixed)["network"], "measured": measured}
            value, terms = case.loss(model, None)
            return terms["residuals"].reshape(-1) if squares else value

        return [jax.jit(at), jax.jit(jax.jacfwd(at))] if squares else [jax.jit(jax.value_and_grad(at))]

    def method(case, model):
        free, fixed = gx.split(model, case.spec)
        flat, back = ravel_pytree(free)
        made = compiled.setdefault(id(case), None) or functions(case, back, fixed)
        compiled[id(case)] = made
        value, *slope = [lambda x, f=f: jax.tree.map(np.asarray, f(x, model["measured"])) for f in made]
        if squares:
            found = optimize.least_squares(value, np.asarray(flat), *slope, **options)
        else:
            found = optimize.minimize(value, np.asarray(flat), jac=True, method="L-BFGS-B", options=options)
        network = gx.join(back(jnp.asarray(found.x)), fixed)["network"]
        return network, int(found.nfev), {"stopped": str(found.message)}

    return method


def methods(count, smoke=False):
    """By name: a method with what it may spend, and how many measurements it is tried on."""
    few = 0.1 if smoke else 1.0

    def some(n):
        return max(2, int(few * n))

    steps = {2: 200, 85: 400, 168: 400, 380: 300}[count]
    pairs_steps = {2: 150, 85: 200, 168: 200, 380: 150}[count]
    generations = {2: 80, 85: 300, 168: 300, 380: 200}[count]
    many, few_seeds = (2, 2) if smoke else (20, 4) if count == 2 else (2, 1)
    found = {
        "gx.fit, Adam": (by_fit("exact", some(steps), 0.1), many),
        "gx.fit, Evolution": (by_fit(gx.Evolution(), some(pairs_steps), 0.1), few_seeds),
        "gx.search.least_squares": (by_search(gx.search.least_squares), many),
        "gx.search.minimise": (by_search(gx.search.minimise, steps=500), many),
        "gx.search.evolve": (
            by_search(gx.search.evolve, generations=some(generations)),
            many if count == 2 else few_seeds,
        ),
        "scipy least_squares": (by_scipy(True), many),
        "scipy L-BFGS-B": (by_scipy(False, maxiter=500), many),
    }
    if count == 2 and not smoke:  # which take longest to compile
        found |= {
            "gx.inference.laplace": (by_bayes(gx.inference.laplace), many),
            "gx.inference.nuts": (
                by_bayes(gx.inference.nuts, chains=2, warmup=some(150), draws=some(150), progress=False),
                2,
            ),
            "gx.inference.svi": (by_bayes(gx.inference.svi, steps=some(400), progress=False), 2),
        }
    return found


def tried(name, method, case, seeds):
    """What a method reached on so many measurements, in standard errors that the data allow."""
    runs = []
    for seed in range(seeds):
        model, began = case.model(case.start, seed), time.perf_counter()
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            network, steps, more = method(case, model)
        seconds = time.perf_counter() - began
        leaves = case.leaves(network)
        runs.append(
            {
                "seconds": round(seconds, 3),
                "steps": steps,
                "loss": float(case.loss(model | {"network": network}, None)[0]),
                "loss at truth": float(case.loss(model | {"network": case.truth}, None)[0]),
                "loss at start": float(case.loss(model, None)[0]),
                "errors": ((case.numbers(network) - case.true) / case.information.errors).round(4).tolist(),
                "r": {n: round(correlation(x, case.leaves(case.truth)[n]), 4) for n, x in leaves.items() if x.size > 1},
                "said": sorted({str(w.message) for w in said}),
            }
            | more
        )
        print(
            f"  {name} {seed}: {seconds:.2f} s, {steps} steps, loss {runs[-1]['loss']:.6g}", file=sys.stderr, flush=True
        )
    return runs


def correlation(a, b):
    return float(np.corrcoef(a, b)[0, 1])


def studied(count, smoke):
    load, made = os.getloadavg()[0], case(count, smoke)
    told = made.information
    share = np.abs(told.errors / made.true)
    print(f"{count}: {told.eigenvalues[[0, -1]]}", file=sys.stderr, flush=True)
    return {
        "load": round(load, 1),
        "regions": made.truth.n_regions,
        "numbers": len(made.true),
        "free": list(made.free),
        "duration": made.duration,
        "residuals": made.clean.size,
        "signal": float(made.clean.std()),
        "errors": told.errors.tolist() if count == 2 else None,
        "told": int((~told.sloppy).sum()),
        "condition": float(np.sqrt(told.eigenvalues[0] / told.eigenvalues[-1])),
        "relative errors": [float(np.quantile(share, q)) for q in (0.0, 0.5, 1.0)],
        "away": float(np.median(np.abs(made.numbers(made.start) - made.true) / told.errors)),
        "methods": {name: tried(name, method, made, seeds) for name, (method, seeds) in methods(count, smoke).items()},
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--smoke",
        action="store_true",
        help="2 numbers of a small network in few steps, without posteriors, to see that all works",
    )
    parser.add_argument("--only", type=int, nargs="*", default=CASES, help="how many numbers are free")
    parser.add_argument("--out", type=Path, help="folder of the page, docs/studies")
    arguments = parser.parse_args()
    if (arguments.smoke or arguments.only != CASES) and not arguments.out:
        parser.error("--smoke and --only need --out, so that their page does not replace that of a full run")
    out = arguments.out or ROOT / "docs" / "studies"
    record = {
        "date": datetime.date.today().isoformat(),
        "cpu": cpu(),
        "cores": os.cpu_count(),
        "versions": {p: version(p) for p in ("gyrax", "jax", "optax", "optimistix", "evosax", "numpyro", "scipy")},
        "smoke": arguments.smoke,
        "sd": SD,
        "cases": {},
    }
    out.mkdir(parents=True, exist_ok=True)
    for count in [2] if arguments.smoke else arguments.only:  # what is done is kept, whatever becomes of the rest
        record["cases"][str(count)] = studied(count, arguments.smoke)
        (out / "recovery.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
        (out / "recovery.md").write_text(page(record), encoding="utf-8")
    print(page(record))


if __name__ == "__main__":
    main()
