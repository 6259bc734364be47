"""Commands in processes of their own, without the seconds that each takes to import PyTorch and Lightning.

They are forked from one server, which has imported the package and done nothing else: a process has its own
exit status, signals, output, folder and environment, as one that is started anew.

    assert run_command("test", "--ckpt_path", path).returncode == 0
    both = run_ranks(2, "fit", "--config", "ucf_urdmu.yaml", "--config", "with/ddp.yaml")

What a start itself is to show, such as what is imported, takes ``subprocess`` and ``sys.executable``.
"""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory

from wsvad_lightning.cli import main

Done = subprocess.CompletedProcess[str]

SERVER = get_context("forkserver")
SERVER.set_forkserver_preload(["tests.warm"])


class Command:
    """``wsvad`` as it runs in a process.

    Args:
        args: its arguments.
        cwd: folder to run in, by default the present one.
        env: environment variables to set.
    """

    def __init__(self, *args: str, cwd: Path | None = None, env: Mapping[str, str] | None = None) -> None:
        self.args, self.output = args, TemporaryDirectory()
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("MASTER_")}
        environment = {**inherited, "OMP_NUM_THREADS": "1", **(env or {})}
        where = str(cwd or Path.cwd())
        self.process = SERVER.Process(target=_run, args=(args, self.output.name, where, environment))
        self.process.start()

    def send_signal(self, signum: int) -> None:
        """Send a signal to the process."""
        assert self.process.pid is not None
        os.kill(self.process.pid, signum)

    def finish(self, timeout: float = 240) -> Done:
        """Wait for its end; a negative ``returncode`` is the signal that ended it.

        Raises:
            TimeoutError: if it takes longer; it is killed.
        """
        self.process.join(timeout)
        if self.process.exitcode is None:
            self.process.kill()
            raise TimeoutError(f"wsvad {' '.join(self.args)}")
        with self.output as folder:
            printed = [Path(folder, name).read_text() for name in ("stdout", "stderr")]
        return Done(self.args, self.process.exitcode, *printed)


def run_command(*args: str, cwd: Path | None = None, env: Mapping[str, str] | None = None) -> Done:
    """Run ``wsvad`` to its end."""
    return Command(*args, cwd=cwd, env=env).finish()


def save_script(folder: Path) -> Path:
    """Write the script that ``wsvad`` is: a forked process starts further ones by it, from its folder."""
    (folder / "wsvad").write_text("from wsvad_lightning.cli import main\nraise SystemExit(main())\n")
    return folder


def run_ranks(world: int, *args: str, cwd: Path | None = None) -> list[Done]:
    """Run ``wsvad`` in several processes that belong together, as ``torchrun`` starts them."""
    ranks = [Command(*args, cwd=cwd, env=env) for env in rank_environments(world)]
    return [rank.finish() for rank in ranks]


def rank_environments(world: int) -> list[dict[str, str]]:
    """What ``torchrun`` puts into the environment of each of several processes."""
    agent = {"GROUP_RANK": 0, "LOCAL_WORLD_SIZE": world, "WORLD_SIZE": world, "TORCHELASTIC_RUN_ID": "test"}
    shared = {**agent, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": free_port()}
    return [
        {name: str(value) for name, value in {**shared, "RANK": rank, "LOCAL_RANK": rank}.items()}
        for rank in range(world)
    ]


def free_port() -> int:
    """A port on which nobody listens."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def wait_for(path: Path, process: Command, seconds: float = 120) -> None:
    """Wait until a process has written a file, or has ended."""
    end = time.monotonic() + seconds
    while not path.exists() and process.process.is_alive() and time.monotonic() < end:
        time.sleep(0.02)


def _run(args: tuple[str, ...], output: str, cwd: str, environment: dict[str, str]) -> None:
    """Be the process."""
    for descriptor, name in ((1, "stdout"), (2, "stderr")):
        with Path(output, name).open("w") as file:
            os.dup2(file.fileno(), descriptor)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(cwd)
    sys.path[:] = [entry for entry in sys.path if entry]  # a script has no current folder in it
    sys.argv = ["wsvad", *args]
    sys.exit(main(args))
