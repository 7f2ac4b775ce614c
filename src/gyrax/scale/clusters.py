"""A cluster as a file: `slurm.yaml`, of which the command line makes workers."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from .._extras import need
from .._formats.lines import mapping, place, plain, said
from .._kinds import whole

#: Where the class of each kind is, by the name of its package.
_QUEUES = ("HTCondor", "LSF", "Moab", "OAR", "PBS", "SGE", "SLURM")
_KINDS = {
    "local": ("distributed", "LocalCluster"),
    "ssh": ("distributed", "SSHCluster"),
} | {name.lower(): ("dask_jobqueue", f"{name}Cluster") for name in _QUEUES}
#: Imports gyrax before a worker says that it is ready.
_PRELOAD = "gyrax.scale.workers"


def read_cluster(path: Path) -> tuple[str, int | None, dict[str, Any]]:
    r"""What a file says of a cluster: its kind, how many jobs, and arguments of Dask's class.

    Workers get one thread each, and import gyrax when they begin, unless the file says otherwise.

    Raises:
        ValueError: naming the file and the line.
        OSError: if it cannot be read.

    Example:
        >>> import tempfile
        >>> file = Path(tempfile.mkdtemp()) / "slurm.yaml"
        >>> _ = file.write_text("kind: slurm\njobs: 20\nmemory: 16GB\nwalltime: 12:00:00\n")
        >>> kind, jobs, given = read_cluster(file)
        >>> kind, jobs, given["walltime"], given["cores"]
        ('slurm', 20, '12:00:00', 1)
    """
    nodes = mapping(path, needed=("kind",))
    found = {name: plain(node) for name, node in nodes.items()}
    if "walltime" in nodes:
        found["walltime"] = nodes["walltime"].value  # which YAML takes for a number in base 60
    kind = found.pop("kind")
    if kind not in _KINDS:
        raise ValueError(f"{place(path, nodes['kind'])}: kind is one of {', '.join(_KINDS)}; got {kind!r}")
    if kind == "ssh":
        if not isinstance(found.get("hosts"), list):
            raise ValueError(f"{path}: an ssh cluster has hosts, a list, of which the first runs the scheduler")
        worker = {"nthreads": 1, "n_workers": 1, "preload": [_PRELOAD]} | found.get("worker_options", {})
        return kind, None, found | {"worker_options": worker}
    if "jobs" not in found:
        raise ValueError(f"{path} has no jobs: how many workers there are to be")
    jobs = said(path, nodes["jobs"], lambda: whole("jobs", found.pop("jobs")))
    if kind == "local":
        return kind, None, {"n_workers": jobs, "threads_per_worker": 1, "preload": [_PRELOAD]} | found
    return kind, jobs, {"cores": 1, "worker_extra_args": ["--preload", _PRELOAD]} | found


@contextmanager
def client_of(path: Path) -> Iterator[Any]:
    """A client of the cluster that a file describes, which begins here and ends with the block.

    Raises:
        ValueError: naming the file, for what the cluster's class does not take.
        ImportError: if Dask, or dask-jobqueue for a queue, is not installed.
    """
    kind, jobs, given = read_cluster(path)
    package, name = _KINDS[kind]
    distributed, home = need("distributed", "cluster"), need(package, "cluster")
    try:
        cluster = getattr(home, name)(**given)
    except (TypeError, ValueError, RuntimeError) as error:
        raise ValueError(f"{path}: {name} does not begin: {' '.join(str(error).split())}") from error
    with cluster:
        if jobs is not None:
            cluster.scale(jobs=jobs)
        with distributed.Client(cluster) as client:
            yield client
