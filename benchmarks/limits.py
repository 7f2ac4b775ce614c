"""What a step costs at least: its operations and its bytes, at the rates that this machine reaches where it does nothing else."""

import time

import numpy as np

#: Operations of one evaluation of a model, and of one normal number: 20 rounds of Threefry and the inverse of erf.
_MODEL = {"WongWang": 55, "Hopf": 15}
_NORMAL = 190
#: A gradient goes forward, makes the derivatives of every step, and goes back; weights are read on the first and the last way.
_GRADIENT, _READ_AGAIN = 3, 2


def rates() -> dict[str, float]:
    """Operations a second of a product of matrices, bytes a second of a copy that stays in the second cache; all cores, best of many."""
    a, b = (np.random.default_rng(0).random((768, 768), np.float32) for _ in range(2))
    source = np.zeros(2**17, np.float32)
    target = np.empty_like(source)

    def seconds(work, times):
        best = np.inf
        for _ in range(30):
            began = time.perf_counter()
            for _ in range(times):
                work()
            best = min(best, (time.perf_counter() - began) / times)
        return best

    return {
        "operations": 2 * len(a) ** 3 / seconds(lambda: a @ b, 1),
        "bytes": 2 * source.nbytes / seconds(lambda: np.copyto(target, source), 200),
    }


def size(data: dict) -> dict[str, int]:
    """How much there is of what a step goes over."""
    return {
        "nodes": len(data.get("region_of", data["weights"])),
        "far": int(np.count_nonzero(data["weights"])),
        "local": len(data.get("local_values", ())),
    }


def microseconds(case: dict, kind: str, size: dict[str, int], rates: dict[str, float]) -> float:
    """The longer of operations and bytes, for one step of one simulation."""
    stages = 1 if case["euler"] else 2
    # What is delayed is summed once a step; what acts at once, at every stage.
    sums = (size["far"] if case["delays"] else stages * size["far"]) + stages * size["local"]
    states = 2 if case["model"] == "Hopf" else 1
    normals = states * size["nodes"] if case["sigma"] else 0
    operations = 2 * sums + stages * _MODEL[case["model"]] * size["nodes"] + _NORMAL * normals
    # A weight, and where there are delays what it weighs, each its own; a batch shares its weights. The path is written.
    read = 4 * (sums * (2 if case["delays"] and not case["batch"] else 1) + 2 * states * size["nodes"])
    if "gradient" in kind:
        operations, read = _GRADIENT * operations, _READ_AGAIN * read
    return 1e6 * max(operations / rates["operations"], read / rates["bytes"])
