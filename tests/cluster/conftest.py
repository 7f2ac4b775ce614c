"""A SLURM of one node, started for these tests in a folder of its own and stopped after them."""

import contextlib
import os
import secrets
import shutil
import socket
import subprocess
import time
from pathlib import Path

import pytest

DAEMONS = ("munged", "slurmctld", "slurmd")
#: As many as tests want to use at once, whatever the machine has.
CORES, MEGABYTES = 4, 4000
CONFIGURATION = """
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
CredType=cred/munge
AuthInfo=socket={folder}/munge.socket
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
SlurmdParameters=config_overrides
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
SwitchType=switch/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerParameters=batch_sched_delay=0,sched_interval=1,bf_interval=1
ReturnToService=2
KillWait=2
NodeName={host} NodeAddr=127.0.0.1 CPUs={cores} RealMemory={memory} State=UNKNOWN
PartitionName=main Nodes={host} Default=YES MaxTime=INFINITE State=UP
"""


def daemon(name: str) -> str | None:
    """Its path; those of administrators are not on everybody's."""
    return shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin:/usr/local/sbin")


@pytest.fixture(scope="session")
def slurm(tmp_path_factory):
    """The environment of a process that talks to a SLURM that runs; its daemons' logs stay with the tests' folders."""
    missing = [name for name in (*DAEMONS, "sbatch") if daemon(name) is None]
    if missing:
        pytest.skip(f"SLURM is not installed ({', '.join(missing)}): apt-get install slurm-wlm munge")
    if os.geteuid() != 0:
        pytest.skip("the daemons of SLURM run jobs as their users and so need root: run these tests in a container")
    folder = Path(tmp_path_factory.mktemp("slurm"))
    for inner in ("state", "spool"):
        (folder / inner).mkdir()
    (folder / "munge.key").write_bytes(secrets.token_bytes(1024))
    (folder / "munge.key").chmod(0o400)
    host = socket.gethostname().split(".")[0]
    settings = {
        "folder": folder,
        "host": host,
        "user": "root",
        "ports": free_ports(2),
        "cores": CORES,
        "memory": MEGABYTES,
    }
    (folder / "slurm.conf").write_text(CONFIGURATION.format(**settings))
    environment = os.environ | {"SLURM_CONF": str(folder / "slurm.conf")}
    munge = [
        f"--{what}={folder}/munge.{what.removesuffix('-file')}"
        for what in ("socket", "key-file", "pid-file", "seed-file")
    ]
    with contextlib.ExitStack() as stack:
        # the folder of a test may be open to others, which munged refuses unless it is forced to
        start(
            stack, folder, environment, "munged", "--foreground", "--force", *munge, f"--log-file={folder}/munged.log"
        )
        wait_for(lambda: (folder / "munge.socket").exists(), folder)
        start(stack, folder, environment, "slurmctld", "-D", "-f", f"{folder}/slurm.conf")
        start(stack, folder, environment, "slurmd", "-D", "-f", f"{folder}/slurm.conf", "-N", host)
        wait_for(lambda: "idle" in asked(environment, "sinfo", "-h", "-o", "%t"), folder)
        yield environment
        asked(environment, "scancel", "--user=root")


def start(stack, folder, environment, name, *arguments):
    """A daemon, which ends with the stack."""
    with open(folder / f"{name}.out", "wb") as out:
        process = subprocess.Popen([daemon(name) or name, *arguments], stdout=out, stderr=out, env=environment)

    def stop():
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    stack.callback(stop)


def asked(environment, *command) -> str:
    """What a command of SLURM answers."""
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=30).stdout


def wait_for(done, folder, seconds=60.0):
    until = time.monotonic() + seconds
    while not done():
        if time.monotonic() > until:
            logs = "\n".join(f"{path.name}: {path.read_text()[-2000:]}" for path in folder.glob("*.out"))
            raise TimeoutError(f"SLURM did not start within {seconds:g} s\n{logs}")
        time.sleep(0.2)


def free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
