"""A cluster as a file: `slurm.yaml`, of which the command line makes workers."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

import yaml

from .._extras import need
from .._formats.lines import mapping, plain, said
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

    def checked(name: str, check: Callable[[], Any]) -> Any:
        return said(path, nodes.get(name, nodes["kind"]), check)

    if "walltime" in nodes:
        found["walltime"] = checked("walltime", lambda: _written(nodes["walltime"]))
    kind = checked("kind", lambda: _kind(found.pop("kind")))
    if kind == "ssh":
        if not isinstance(found.get("hosts"), list):
            raise ValueError(f"{path}: an ssh cluster has hosts, a list, of which the first runs the scheduler")
        checked("hosts", lambda: _two_or_more(found["hosts"]))
        if "jobs" in nodes:
            beside = "there is one on every host but the first, or several by worker_options: {n_workers: 2}"
            checked("jobs", lambda: _refused(f"an ssh cluster has no jobs: {beside}"))
        worker = checked("worker_options", lambda: _worker_options(found.get("worker_options", {})))
        return kind, None, found | {"worker_options": worker}
    if "jobs" not in found:
        raise ValueError(f"{path} has no jobs: how many workers there are to be")
    jobs = checked("jobs", lambda: whole("jobs", found.pop("jobs")))
    if "n_workers" in nodes:
        checked("n_workers", lambda: _refused("jobs says how many workers there are: leave n_workers out"))
    if kind == "local":
        ours = {"preload": checked("preload", lambda: _preloaded(found.get("preload", [])))}
        return kind, None, {"n_workers": jobs, "threads_per_worker": 1} | found | ours
    ours = {"worker_extra_args": checked("worker_extra_args", lambda: _with_ours(nodes.get("worker_extra_args")))}
    return kind, jobs, {"cores": 1} | found | ours


def _kind(kind: Any) -> str:
    if not isinstance(kind, str) or kind not in _KINDS:
        raise ValueError(f"kind is one of {', '.join(_KINDS)}; got {kind!r}")
    return kind


def _refused(words: str) -> NoReturn:
    raise ValueError(words)


def _written(node: Any) -> str:
    """A time as it is written, which YAML takes for a number in base 60."""
    if not isinstance(node, yaml.ScalarNode) or not node.value:
        raise ValueError(f"walltime is a time, such as 04:00:00, got {plain(node)!r}")
    return node.value


def _two_or_more(hosts: list[Any]) -> None:
    if len(hosts) < 2 or not all(isinstance(host, str) for host in hosts):
        raise ValueError(
            f"hosts is a list of two names or more, of which the first runs the scheduler and no worker, got {hosts!r}: name a machine twice for "
            "a worker there too"
        )


def _worker_options(given: Any) -> dict[str, Any]:
    if not isinstance(given, dict):
        raise ValueError(f"worker_options is a dict, such as {{n_workers: 2}}, got {given!r}")
    return {"nthreads": 1, "n_workers": 1} | given | {"preload": _preloaded(given.get("preload", []))}


def _preloaded(given: Any) -> list[str]:
    """Modules that workers import as they begin, ours too."""
    found = [given] if isinstance(given, str) else given
    if not isinstance(found, list) or not all(isinstance(name, str) for name in found):
        raise ValueError(f"preload is a list of modules, got {given!r}")
    return found if _PRELOAD in found else [*found, _PRELOAD]


def _with_ours(node: Any) -> list[str]:
    """Arguments of a worker as they are written, and what has it import gyrax as it begins."""
    if node is None:
        return ["--preload", _PRELOAD]
    if not isinstance(node, yaml.SequenceNode) or not all(isinstance(one, yaml.ScalarNode) for one in node.value):
        raise ValueError(f"worker_extra_args is a list, such as [--lifetime, 230m], got {plain(node)!r}")
    given = [one.value for one in node.value]
    return given if any(_PRELOAD in one for one in given) else [*given, "--preload", _PRELOAD]


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
