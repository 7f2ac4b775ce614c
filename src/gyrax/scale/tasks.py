"""Independent tasks: one after another in this process, or side by side on the workers of a Dask cluster."""

import collections
import contextlib
import pickle
import queue
import signal
import threading
import time
import uuid
import warnings
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import CancelledError
from typing import Any

from .._extras import need
from .._kinds import refused
from .._warned import warn
from .workers import ONE_THREAD, Driver, OutOfMemoryError, Payload, UnfitWorkerError, attempt, run

__all__ = ["LostError", "OutOfMemoryError", "UnfitWorkerError", "Waiting", "check_client", "completed", "shared_out"]

#: Tasks that a worker has at a time: one that runs, one that waits, so that it never waits itself.
_A_WORKER = 2
#: Tasks that a worker gets of what is shared out, at least: one that is slower gets fewer.
_SHARES = 4
#: Seconds between looks at who the workers are.
_LOOK = 1.0
#: Seconds without any worker after which that is said.
_PATIENCE = 60.0
#: Seconds within which a worker that died is to be back, before its cluster gives it up for good: what it imports takes its time. Dask gives 15.
_RETURN = 120


class LostError(RuntimeError):
    """A task whose workers died, one after another: the memory of a machine, mostly."""


class Waiting:
    """Tasks that have not begun. More can be added while others run, such as the halves of one that took too much memory.

    Args:
        tasks: any iterable; its elements are taken when their turn comes.

    Example:
        >>> def total(shared, numbers):
        ...     if len(numbers) > 2:
        ...         raise MemoryError
        ...     return sum(numbers)
        >>> waiting = Waiting([(1, 2), (3, 4, 5, 6)])
        >>> for index, outcome in completed(total, None, waiting):
        ...     if isinstance(outcome, OutOfMemoryError):
        ...         task = waiting[index]
        ...         outcome = waiting.add(task[:2]), waiting.add(task[2:])
        ...     print(index, outcome)
        0 3
        1 (2, 3)
        2 7
        3 11
    """

    def __init__(self, tasks: Iterable[Any]):
        self._later = iter(tasks)
        self._added: collections.deque[tuple[int, Any]] = collections.deque()
        self._under_way: dict[int, Any] = {}
        self._count = 0

    def add(self, task: Any) -> int:
        """One more, which comes before those that have not begun; returns its index, the next one that is free."""
        self._added.append((self._count, task))
        self._count += 1
        return self._count - 1

    def __getitem__(self, index: int) -> Any:
        """The task of an index that is under way, or whose outcome has just come."""
        return self._under_way[index]

    def begin(self) -> tuple[int, Any] | None:
        """The next one, with its index; None if there is none at present."""
        if self._added:
            index, task = self._added.popleft()
        else:
            try:
                index, task = self._count, next(self._later)
            except StopIteration:
                return None
            self._count += 1
        self._under_way[index] = task
        return index, task

    def end(self, index: int) -> None:
        """Forgets a task."""
        del self._under_way[index]


def completed(
    function: Callable[[Any, Any], Any], shared: Any, tasks: Iterable[Any] | Waiting, *, client: Any = None
) -> Iterator[tuple[int, Any]]:
    """Runs `function(shared, task)` for every task, and yields each one's index and outcome as it ends.

    Without a client one after another, here. With one in any order: `function` and `shared` go to each worker once, two tasks a worker are on
    their way at a time, and no more begin than are asked for, so that any number of tasks take little memory. A task whose worker
    dies runs again on another one, so that `function` may run more than once, while its outcome comes once. Closing the iterator, or
    leaving it by an error or Ctrl-C, cancels what has not begun; what runs on a worker runs to its end, unheard.

    Args:
        function: of the shared thing and a task. It is to return numbers that depend on nothing else.
        shared: what all tasks need, such as a model and a function of the user's.
        tasks: an iterable, which is consumed as tasks begin, or a `Waiting`, to which more can be added. Indices count tasks as they
            begin: in a list to which nothing is added, they are its places.
        client: of `dask.distributed`; its workers have one thread each.

    Yields:
        Indices and outcomes: what the function returned, or, where it raised, the exception: `OutOfMemoryError` if memory was short, `LostError` if the
        task's workers died again and again.

    Raises:
        TypeError: if `client` is no client.
        ValueError: if it is closed or asynchronous, or workers have several threads.
        UnfitWorkerError: from the iterator: if a worker has other versions of gyrax, JAX or Python, or another precision that cannot be changed.
        ConnectionError: from the iterator: if the scheduler has gone.

    Example:
        >>> list(completed(lambda shared, task: shared * task, 10, [1, 2]))
        [(0, 10), (1, 20)]
    """
    waiting = tasks if isinstance(tasks, Waiting) else Waiting(tasks)
    if client is None:
        return _here(function, shared, waiting)
    check_client(client)
    return _on_workers(client, function, shared, waiting)


def check_client(client: Any) -> None:
    """Refuses what is no client of a cluster that can run tasks; None is none.

    Raises:
        TypeError: if it is no client.
        ValueError: if it is closed or asynchronous, or workers have several threads.
    """
    if client is None:
        return
    distributed = need("distributed", "cluster")
    if isinstance(client, distributed.deploy.Cluster):
        raise refused("client", client, "a client of a cluster and not the cluster itself", "cluster.get_client()")
    if not isinstance(client, distributed.Client):
        raise refused(
            "client", client, "a client of dask.distributed", "distributed.Client(n_workers=4, threads_per_worker=1)"
        )
    if client.asynchronous:
        raise ValueError("client is asynchronous, and results are waited for: make it without asynchronous=True")
    if client.status != "running":
        raise ValueError(f"client is {client.status}, and not running: make a new one, distributed.Client(cluster)")
    _count_workers(client)


def _count_workers(client: Any) -> int:
    """How many workers there are at present.

    Raises:
        ValueError: if one has several threads.
        ConnectionError: if the scheduler does not answer.
    """
    try:
        threads = client.nthreads()
    except (OSError, TimeoutError) as error:
        raise ConnectionError(f"the scheduler of client= does not answer ({error}): {_GONE}") from error
    several = {address: count for address, count in threads.items() if count > 1}
    if several:
        address, count = next(iter(several.items()))
        raise ValueError(f"client: its worker {address} has {count} threads, {ONE_THREAD}")
    return len(threads)


def shared_out(count: int, client: Any) -> int:
    """How many of so many things are a task, so that each worker gets several and none waits long for the last.

    Example:
        >>> shared_out(1000, None)
        1000
    """
    return count if client is None else -(-count // (_SHARES * max(_count_workers(client), 1)))


_GONE = "its cluster was closed, restarted or lost. What had ended by then is kept; call again with a new client for the rest"


def _here(function: Callable[[Any, Any], Any], shared: Any, waiting: Waiting) -> Iterator[tuple[int, Any]]:
    while (begun := waiting.begin()) is not None:
        index, task = begun
        with _interrupts_raised():
            try:
                outcome = attempt(function, shared, task)
            except Exception as error:
                outcome = error
        yield index, outcome
        waiting.end(index)


@contextlib.contextmanager
def _interrupts_raised() -> Iterator[None]:
    """Raises KeyboardInterrupt at the end if one came and was caught within, as `gx.fit` does, which then gives what it has by then."""
    before = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or not callable(before):
        yield
        return
    came: list[int] = []

    def note(number: int, frame: Any) -> None:
        came.append(number)
        before(number, frame)

    signal.signal(signal.SIGINT, note)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if came:
        raise KeyboardInterrupt


def _on_workers(
    client: Any, function: Callable[[Any, Any], Any], shared: Any, waiting: Waiting
) -> Iterator[tuple[int, Any]]:
    token = uuid.uuid4().hex
    payload = _sent(
        client,
        Payload(
            token,
            Driver.here(),
            _bytes((function, shared), "the function, or what it reads,"),
            _workers_by_machine(client),
        ),
    )
    under_way: dict[str, tuple[int, Any]] = {}
    ended: queue.SimpleQueue[Any] = queue.SimpleQueue()
    room = _Room(client)
    patience = _patient_clusters()
    try:
        while True:
            while len(under_way) < room.now() and (begun := waiting.begin()) is not None:
                index, task = begun
                try:
                    content = _bytes(task, f"task {index}")
                except TypeError as error:
                    yield index, error
                    waiting.end(index)
                    continue
                future = client.submit(run, payload, content, key=f"gyrax-{token}-{index}", pure=False)
                under_way[future.key] = index, future
                future.add_done_callback(ended.put)
            if not under_way:
                return
            try:
                future = ended.get(timeout=_LOOK)
            except queue.Empty:
                continue
            index, _ = under_way.pop(future.key)
            outcome = _outcome(future)
            future.release()
            yield index, outcome
            waiting.end(index)
    finally:
        if client.status == "running":
            client.cancel([future for _, future in under_way.values()])
            payload.release()
        patience.close()


def _workers_by_machine(client: Any) -> dict[str, int]:
    """How many workers each machine has at present, by its address."""
    hosts = need("distributed.comm", "cluster").get_address_host
    return dict(collections.Counter(map(hosts, client.nthreads())))


def _patient_clusters() -> contextlib.ExitStack:
    """Until it is closed, clusters wait longer for a worker that died to come back: gyrax alone may take what Dask gives, and then none comes back."""
    config, utils = need("dask.config", "cluster"), need("dask.utils", "cluster")
    name = "distributed.deploy.lost-worker-timeout"
    seconds = max(utils.parse_timedelta(config.get(name, default=0)), _RETURN)
    stack = contextlib.ExitStack()
    stack.enter_context(config.set({name: f"{seconds}s"}))
    return stack


def _sent(client: Any, payload: Payload) -> Any:
    """A future of what all tasks need: as a task of its own, which Dask repeats if all workers that had it died. What is scattered is lost then."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Sending large graph")  # it is sent once
        return client.submit(Payload, *payload, key=f"gyrax-{payload.token}", pure=False)


class _Room:
    """How many tasks may be under way, as workers come and go."""

    def __init__(self, client: Any):
        self.client = client
        self.since = self.looked = time.monotonic()
        self.workers = _count_workers(client)
        self.said = False

    def now(self) -> int:
        """Two tasks a worker; two of them where there is none yet, by which clusters that grow as needed see that they are."""
        at = time.monotonic()
        if at - self.looked > _LOOK:
            self.workers, self.looked = _count_workers(self.client), at
        if self.workers:
            self.since = at
        elif at - self.since > _PATIENCE and not self.said:
            self.said = True
            warn(
                f"no worker has come for {_PATIENCE:g} s: look at the queue (squeue, qstat) and at the workers' logs, "
                "cluster.get_logs(); this goes on as soon as one is there, and cluster.scale(n) begins more"
            )
        return _A_WORKER * max(self.workers, 1)


def _outcome(future: Any) -> Any:
    """What a future that has ended gave, or the exception that says why it did not.

    Raises:
        UnfitWorkerError, ConnectionError: which are of the whole, and not of this task.
    """
    try:
        if future.status in ("cancelled", "lost"):
            raise CancelledError
        return pickle.loads(future.result())
    except UnfitWorkerError:
        raise
    except CancelledError as error:
        raise ConnectionError(f"the cluster of client= dropped a task: {_GONE}") from error
    except need("distributed", "cluster").KilledWorker:
        return LostError(
            "workers died, one after another, while they ran it: it needs more memory than they have, or machines are taken away "
            "again and again (their logs say which: cluster.get_logs())"
        )
    except Exception as error:
        return error


def _bytes(of: Any, what: str) -> bytes:
    """Anything as bytes, functions of notebooks and scripts too.

    Raises:
        TypeError: for what cannot leave this process.
    """
    try:
        return need("cloudpickle", "cluster").dumps(of)
    except Exception as error:
        raise TypeError(
            f"{what} cannot be sent to workers ({type(error).__name__}: {error}): leave open files, locks and connections out, and open them there"
        ) from error
