"""The page of what was found again, as Markdown."""

import numpy as np
from table import table

HEAD = """# Known parameters, found again

This page is written by `nox -s studies -- recovery`, on one machine; it is not edited by hand. A network whose
parameters are known is simulated and measured with noise; every method gets the same network with other parameters, the same measurement, and one loss
that returns its value and its residuals:

    residuals = (simulated - measured) / sd
    return 0.5 * (residuals**2).sum(), {{"residuals": residuals}}      # minus a log-likelihood in nats, up to a constant

The regions are damped Hopf oscillators of about 10 Hz on regions of dk84, at rest, each pushed by pulses at known times: what is measured is an evoked
response, as of stimulation through electrodes. There the state is known at the start and noise that is left is that of
the measurement, so that the likelihood is exact, and so is the Cramér-Rao error of it, the least standard error that any unbiased estimate can have
(`gx.analysis.identifiability`, at the truth). Of a recording at rest, noise within the network would hide the moments. Runs are with
`autodiff="forward"`, which all methods take. sd is {sd:g} of a signal of about 0.05, and a fifth of that where all weights are free, as of the mean of 25 trials.

Starts are nearly the same in all regions: a twice as damped, omega a tenth too slow, coupling at half its strength (each by 5 % by chance), or all weights their mean. Domains have
the size of what is expected (`gx.Free("model.a", domain=gx.Real(0.02))`).

"""
COLUMNS = """Errors are in Cramér-Rao standard errors: of an efficient estimate the median is 0.67, and 95 % are within 1.96; r is between found and true
numbers. Above the lowest: by how many nats a loss is above the lowest that any method found for the same measurement, at worst; half a nat is one
standard error along one direction. Seconds are of a first call, with compilation, and of later ones, with another measurement (median).
Steps are evaluations with their derivatives, of `evolve` generations, of samplers draws.

"""
#: Ours beside scipy's.
PAIRS = {"gx.search.least_squares": "scipy least_squares", "gx.search.minimise": "scipy L-BFGS-B"}


def page(record):
    text = HEAD.format(sd=record["sd"])
    versions = ", ".join(f"{name} {number}" for name, number in record["versions"].items())
    text += f"{record['date']}, {record['cpu']}, {record['cores']} cores; {versions}.\n\n"
    text += f"Run {record['run']}.\n\n" if "run" in record else ""
    if max(case["load"] for case in record["cases"].values()) > record["cores"]:
        text += "Others worked on the machine meanwhile: under such a load seconds are several times those of a quiet machine, those of compiling most of all.\n\n"
    text += "**A smoke run: small networks and few steps, to see that all works.**\n\n" if record["smoke"] else ""
    text += COLUMNS
    for case in record["cases"].values():
        text += section(case)
    return text + beside(record["cases"]) + verdict(record["cases"])


def section(case):
    free = " and ".join(f"`{name}`" for name in case["free"])
    least, middle, most = (f"{100 * x:.1f}" if x < 0.1 else f"{100 * x:.0f}" for x in case["relative errors"])
    text = f"## {case['numbers']} numbers\n\n{free}; {case['regions']} regions, {case['duration']:g} ms, {case['residuals']} residuals. "
    text += f"The data tell {case['told']} of {case['numbers']} directions, the best {case['condition']:.0f} times as well as the worst. "
    text += f"Standard errors are {middle} % of the true values (median; {least} to {most} %), and the start is {case['away']:.1f} of them away (median). The machine's load was {case['load']:g} when it began.\n\n"
    lowest = lowest_losses(case)
    rows = [row(name, runs, lowest) for name, runs in case["methods"].items()]
    head = ["", "measurements", "above the lowest", "median error", "within 1.96", "r", "steps", "s, first", "s, later"]
    text += table(head, rows)
    truth, start = (
        np.mean([r[k] for r in next(iter(case["methods"].values()))]) for k in ("loss at truth", "loss at start")
    )
    found = np.mean(list(lowest.values()))
    text += f"The loss is {start:.1f} at the start, {truth:.1f} at the truth and {found:.1f} at the lowest (means); below the truth it is expected to be by half the number of free ones.\n\n"
    if any("sd" in runs[0] for runs in case["methods"].values()):
        text += posteriors(case)
    return text


def lowest_losses(case):
    """Of each measurement."""
    losses = [[run["loss"] for run in runs] for runs in case["methods"].values()]
    return {seed: min(x[seed] for x in losses if len(x) > seed) for seed in range(max(map(len, losses)))}


def row(name, runs, lowest):
    errors = np.abs([run["errors"] for run in runs])
    above = max(run["loss"] - lowest[seed] for seed, run in enumerate(runs))
    names = sorted({n for run in runs for n in run["r"]})
    r = ", ".join(f"{n.split('.')[-1]} {np.mean([run['r'][n] for run in runs]):.3f}" for n in names)
    later = [run["seconds"] for run in runs[1:]]
    return [
        name,
        len(runs),
        f"{above:.1g}" if above >= 1e-4 else "< 1e-4",
        f"{np.median(errors):.2f}",
        f"{100 * np.mean(errors < 1.96):.0f} %",
        r or "–",
        f"{np.median([run['steps'] for run in runs]):.0f}",
        f"{runs[0]['seconds']:.1f}",
        f"{np.median(later):.2f}" if later else "–",
    ]


def posteriors(case):
    rows = []
    for name, runs in case["methods"].items():
        if "sd" in runs[0]:
            ratio = np.mean([run["sd"] for run in runs], 0) / case["errors"]
            held = np.array([run["held"] for run in runs])
            rows.append([name, *(f"{x:.2f}" for x in ratio), f"{held.sum()} of {held.size}"])
    names = [f"sd of {name}" for name in case["free"]]
    return (
        "Posteriors: their standard deviations over Cramér-Rao's, and how many of their 95 % intervals hold the truth. "
        "What was found is their mean.\n\n" + table(["", *names, "intervals"], rows)
    )


def beside(cases):
    """Seconds of later calls, and evaluations, of ours and scipy's."""
    rows = []
    for case in cases.values():
        for ours, theirs in PAIRS.items():
            one, two = case["methods"][ours], case["methods"][theirs]
            seconds = [np.median([run["seconds"] for run in runs[1:]]) for runs in (one, two)]
            steps = [np.median([run["steps"] for run in runs]) for runs in (one, two)]
            rows.append([case["numbers"], ours, f"{steps[0]:.0f}, {steps[1]:.0f}"])
            rows[-1] += [f"{seconds[0]:.2f}, {seconds[1]:.2f}", f"{seconds[1] / seconds[0]:.2f}"]
    return (
        "## Beside scipy\n\nThe same objective, with derivatives by JAX, compiled. scipy ends at relative changes of 1e-8 (least squares) and 2e-9, ours at 1e-10.\n\n"
        + table(["numbers", "", "evaluations, ours and scipy's", "s of later calls, ours and scipy's", "ratio"], rows)
    )


def verdict(cases):
    """Which methods came within half a nat of the lowest, and what to take from it."""
    methods = list(dict.fromkeys(name for case in cases.values() for name in case["methods"] if name.startswith("gx")))
    rows = []
    for name in methods:
        near = {True: [], False: []}
        for case in cases.values():
            lowest = lowest_losses(case)
            above = [run["loss"] - lowest[seed] for seed, run in enumerate(case["methods"].get(name, []))]
            if above:
                near[max(above) <= 0.5].append(str(case["numbers"]))
        rows.append([name, *(", ".join(near[good]) or "–" for good in (True, False))])
    head = ["within half a nat of the lowest loss", "at numbers", "not at"]
    return "## What to take from it\n\n" + table(head, rows) + TAKEN


TAKEN = """`gx.search.least_squares` takes the fewest steps and no setting, wherever a loss names residuals and its runs go forward; `gx.search.minimise` takes the least time where
many numbers are free, for its steps cost one gradient each. `gx.fit` with Adam comes as near at a learning rate that suits the domains, in more steps: take it
where noise must be new at every step, and leave `gx.Evolution` and `gx.search.evolve`, which ask no gradient, to few numbers or to losses that have none.
Posteriors of few numbers say what Cramér and Rao's error says, Laplace's in one fit; NUTS costs a hundred times as much and is for where a loss is no parabola, and `svi` is still too wide after 400 steps.
"""
