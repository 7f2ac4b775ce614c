"""What runs on a worker: as the driver computes, in the same precision and versions, one task at a time."""

import contextlib
import os
import pickle
import platform
import socket
import threading
import traceback
import uuid
from collections.abc import Callable, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, NamedTuple

import jax

from .._devices import usable_cores
from .._extras import need

#: What of JAX's configuration changes the numbers that a function gives.
_CONFIGURED = (
    "jax_enable_x64",
    "jax_default_matmul_precision",
    "jax_default_prng_impl",
    "jax_threefry_partitionable",
    "jax_numpy_dtype_promotion",
    "jax_numpy_rank_promotion",
    "jax_disable_most_optimizations",
)
#: What is pickled differs between their versions, and so do numbers.
_PACKAGES = ("gyrax", "jax", "jaxlib", "equinox")
#: Where SLURM, PBS, SGE and LSF say how many cores a job has.
_GIVEN = ("SLURM_CPUS_PER_TASK", "NCPUS", "NSLOTS", "LSB_DJOB_NUMPROC")
#: Earlier jaxlibs load loops from the cache that take no step.
_CACHE_FROM = (0, 10)
#: Shared things that a worker keeps, the latest ones: a second run begins with those of the first in place.
_KEPT = 2


class OutOfMemoryError(MemoryError):
    """A task needed more memory than there was."""


class UnfitWorkerError(RuntimeError):
    """A worker cannot compute what the driver would."""


class Driver(NamedTuple):
    """What workers compare themselves with: versions, what of JAX's configuration changes numbers, and which process it is."""

    versions: dict[str, str]
    config: dict[str, Any]
    process: tuple[str, int]

    @classmethod
    def here(cls) -> "Driver":
        """This process."""
        versions = {"Python": ".".join(platform.python_version_tuple()[:2])} | {
            name: _version(name) for name in _PACKAGES
        }
        config = {name: _configured(name) for name in _CONFIGURED}
        return cls(versions, config, (_PROCESS, os.getpid()))


class Payload(NamedTuple):
    """Function and shared things as bytes, which a worker turns into objects only when it is set up for them.

    Attributes:
        token: of this run.
        driver: what workers are to be like.
        content: both, as bytes.
        beside: how many workers each machine had when the run began, by its address: they share its cores.
    """

    token: str
    driver: Driver
    content: bytes
    beside: dict[str, int]


#: Tells this process from those on other machines that have its number.
_PROCESS = uuid.uuid4().hex
#: JAX is called by one thread at a time, also where several workers are threads of one process.
_ALONE = threading.Lock()
_LOADED: dict[str, tuple[Callable[[Any, Any], Any], Any]] = {}
_SETTLED: dict[str, Any] = {}


def run(payload: Payload, task: bytes) -> bytes:
    """One task on a worker. What goes in and comes out are bytes: float64 that Dask made arrays of before the precision is set would be cut.

    Raises:
        UnfitWorkerError: where it would compute something else than the driver.
        OutOfMemoryError: for lack of memory.
        Exception: what the function raised.
    """
    cloudpickle = need("cloudpickle", "cluster")
    with _ALONE:
        if payload.token not in _LOADED:
            settle(payload.driver, payload.beside)
            while len(_LOADED) >= _KEPT:
                del _LOADED[next(iter(_LOADED))]
            _LOADED[payload.token] = _loaded(payload)
        function, shared = _LOADED[payload.token]
        return cloudpickle.dumps(attempt(function, shared, pickle.loads(task)))


def _loaded(payload: Payload) -> tuple[Callable[[Any, Any], Any], Any]:
    try:
        return pickle.loads(payload.content)
    except Exception as error:  # the same for every task
        raise UnfitWorkerError(
            f"the worker on {socket.gethostname()} cannot make the function of what it was sent ({type(error).__name__}: {error}): modules that it "
            "uses have to be there too: install them, or client.upload_file('mine.py')"
        ) from error


def attempt(function: Callable[[Any, Any], Any], shared: Any, task: Any) -> Any:
    """What a function makes of a task; whatever says that memory was short, in one class.

    Raises:
        OutOfMemoryError: for lack of memory.

    Example:
        >>> def grows(shared, task):
        ...     raise MemoryError("20 GB")
        >>> attempt(grows, None, 1)
        Traceback (most recent call last):
        ...
        gyrax.scale.workers.OutOfMemoryError: 20 GB
    """
    try:
        found = function(shared, task)
    except Exception as error:
        if not lacks_memory(error):
            raise
        traceback.clear_frames(error.__traceback__)  # which hold what took the memory
        said = str(error)
    else:
        if isinstance(found, BaseException):
            raise found
        return found
    raise OutOfMemoryError(said)


def lacks_memory(error: BaseException) -> bool:
    """Whether memory was short, here or in what was the cause."""
    if isinstance(error, MemoryError):
        return True
    if isinstance(error, jax.errors.JaxRuntimeError) and "RESOURCE_EXHAUSTED" in str(error):
        return True
    return error.__cause__ is not None and lacks_memory(error.__cause__)


def settle(driver: Driver, beside: Mapping[str, int]) -> None:
    """Sets a worker's process up as the driver's is, once, and has it use its share of the machine's cores.

    Raises:
        UnfitWorkerError: for other versions; for a precision that other tasks of this process have fixed; for several threads.
    """
    worker = _this_worker()
    where = f"the worker {getattr(worker, 'address', '')} on {socket.gethostname()}"
    if driver.process == (_PROCESS, os.getpid()):  # a worker that is a thread of the driver
        return
    here = Driver.here()
    other = [
        f"{name} {there} and not {driver.versions[name]}"
        for name, there in here.versions.items()
        if there != driver.versions[name]
    ]
    if other:
        raise UnfitWorkerError(
            f"{where} has {', '.join(other)} as the driver: numbers might differ without a word. Start workers in its environment"
        )
    threads = worker.state.nthreads if worker is not None else 1
    if threads > 1:
        raise UnfitWorkerError(f"{where} has {threads} threads, {ONE_THREAD}")
    for name, value in driver.config.items():
        if _configured(name) == value:
            continue
        if name in _SETTLED:
            raise UnfitWorkerError(
                f"{where} computes with {name}={_SETTLED[name]}, as another run asked for, and this one asks for {value}: start workers "
                "anew, client.restart()"
            )
        jax.config.update(name, value)
    _SETTLED.update(driver.config)
    if worker is not None and "JAX_NUM_CPU_DEVICES" not in os.environ:
        with contextlib.suppress(RuntimeError):  # at work already
            jax.config.update("jax_num_cpu_devices", cores(os.environ, beside.get(_host(worker.address), 1)))
    if worker is not None and jax.config.jax_compilation_cache_dir is None and jax.__version_info__ >= _CACHE_FROM:  # pyright: ignore[reportAttributeAccessIssue]
        # beside the folder of this worker, which goes with it: the one that takes its place is not to compile again
        jax.config.update("jax_compilation_cache_dir", str(Path(worker.local_directory).parent / "gyrax-compiled"))


#: Why several threads are refused, and what to write.
ONE_THREAD = (
    "and JAX, which uses all its cores by itself, is to be called by one: start workers with one thread each, "
    "LocalCluster(n_workers=4, threads_per_worker=1) or SLURMCluster(cores=1, job_cpu=8, ...)"
)


def _this_worker() -> Any:
    """Dask's worker that runs this; None outside of one."""
    try:
        return need("distributed", "cluster").get_worker()
    except ValueError:
        return None


def cores(environment: Mapping[str, str], beside: int) -> int:
    """Cores that are one worker's: those that a queue gave to its job, or its share of the machine's.

    Args:
        environment: of the process.
        beside: workers on this machine, of which this is one.

    Example:
        >>> cores({"SLURM_CPUS_PER_TASK": "8"}, 2), cores({"NSLOTS": "4"}, 1)
        (8, 4)
    """
    given = next((environment[name] for name in _GIVEN if environment.get(name, "").isdigit()), None)
    return int(given) if given else max(1, usable_cores() // beside)


def _host(address: str) -> str:
    return need("distributed.comm", "cluster").get_address_host(address)


def _configured(name: str) -> Any:
    """What JAX is told; None for what this one does not know."""
    try:
        return getattr(jax.config, name)
    except AttributeError:  # some are read in another way
        return jax.config.values.get(name)


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:  # run from a source tree that is not installed
        return "0"
