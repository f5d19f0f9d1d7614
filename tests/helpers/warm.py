"""Entry scripts in forks of one process that has imported the large libraries already: importing
them takes longer than most of what these jobs do.

What is of joulegrid is imported after the fork, as in a job of its own. By the standard library
alone, since it runs in environments of the compute jobs too:

PYTHON warm.py DESCRIPTOR MODULE...     the process that forks (see `warmed`)
PYTHON warm.py ADDRESS SCRIPT OPTION... one job; ends as the script does
"""

import importlib
import json
import os
import runpy
import shlex
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# What the jobs of envs/llm import; gptqmodel starts threads when it is imported, which a fork has
# not
OF_LLM = (
    "torch",
    "transformers",
    "transformers.models.llama.modeling_llama",
    "accelerate",
    "codecarbon",
)
# What Snakemake and the steps of a study import
OF_STEPS = (
    "snakemake.cli",
    "snakemake.executors.dryrun",
    "snakemake.executors.local",
    "snakemake_executor_plugin_slurm",
    "altair",
    "jinja2",
    "jsonschema",
    "msgspec.json",
    "netCDF4",
    "pandas",
    "psutil",
    "pyarrow.parquet",
    "scipy.optimize",
    "scipy.stats",
    "vl_convert",
    "xarray",
    "yaml",
)
OFFLINE = {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}


@contextmanager
def warmed(python: Path | str, *modules: str, **variables: str) -> Iterator[str]:
    """A process of the interpreter `python` that has imported `modules`, with these environment
    variables besides; gives the address for `ask`, and ends with the block.
    """
    with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX) as listener:
        address = os.path.join(folder, "s")
        listener.bind(address)
        listener.listen(64)
        number = listener.fileno()
        command = [python, __file__, str(number), *modules]
        environment = {**os.environ, **OFFLINE, **variables}
        server = subprocess.Popen(command, env=environment, pass_fds=[number])
        listener.close()  # who asks a process that has died is refused
        try:
            yield address
        finally:
            server.terminate()
            server.wait()


def ask(address: str, command: list[str], out: int, err: int, folder: Path | None = None) -> int:
    """Run an entry script in a fork, with this environment; gives its exit code.

    Parameters
    ----------
    command
        the script and its options.
    out, err
        file descriptors of its output and its errors.
    folder
        where it runs; left out: here.
    """
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(address)
        socket.send_fds(connection, [b"."], [out, err])
        told = {"command": command, "folder": str(folder or Path.cwd())}
        told["environment"] = dict(os.environ)
        connection.sendall(json.dumps(told).encode())
        connection.shutdown(socket.SHUT_WR)
        with connection.makefile() as answer:
            return int(answer.read() or 1)


@contextmanager
def played(environment: Path, real: Path, *modules: str, **variables: str) -> Iterator[Path]:
    """An environment that plays the one at `real`: its interpreter, which is given, runs scripts in
    forks of a process that has imported `modules`, with these environment variables besides.
    """
    python = environment / ".venv/bin/python"
    python.parent.mkdir(parents=True)
    built = real / ".venv/joulegrid.json"
    (environment / ".venv/joulegrid.json").write_text(built.read_text())
    with warmed(real / ".venv/bin/python", *modules, **variables) as address:
        command = shlex.join([sys.executable, "-S", __file__, address])
        python.write_text(f'#!/bin/sh\nexec {command} "$@"\n')
        python.chmod(0o755)
        yield python


def serve(listener: socket.socket) -> None:
    """Answer whoever asks, until the tests are gone; returns in the forks that run a script."""
    tests = os.getppid()
    listener.settimeout(2)
    while os.getppid() == tests:
        try:
            connection, _ = listener.accept()
        except TimeoutError:
            continue
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for those who answer
        if os.fork() == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            listener.close()
            return answer(connection)
        connection.close()
    sys.exit()


def answer(connection: socket.socket) -> None:
    """Fork, become what is asked for and return; who stays behind tells how that ended."""
    _, streams, *_ = socket.recv_fds(connection, 1, 2)
    with connection.makefile() as question:
        told = json.load(question)
    job = os.fork()
    if job:
        code = os.waitstatus_to_exitcode(os.waitpid(job, 0)[1])
        connection.sendall(str(code).encode())
        os._exit(0)
    connection.close()
    for number, stream in enumerate(streams, start=1):
        os.dup2(stream, number)
        os.close(stream)
    os.chdir(told["folder"])
    os.environ.clear()
    os.environ.update(told["environment"])
    sys.argv = told["command"]
    sys.path[0] = os.path.abspath(os.path.dirname(sys.argv[0]))


def use_threads() -> None:
    """As many as a job of its own would use: PyTorch reads this when it is imported."""
    torch, number = sys.modules.get("torch"), os.environ.get("OMP_NUM_THREADS")
    if torch is not None and number:
        torch.set_num_threads(int(number))


if __name__ == "__main__":
    if not sys.argv[1].isdigit():
        sys.exit(ask(sys.argv[1], sys.argv[2:], 1, 2))
    for module in sys.argv[2:]:
        importlib.import_module(module)
    serve(socket.socket(fileno=int(sys.argv[1])))
    use_threads()
    if "TRACES" in os.environ and "--output" in sys.argv:  # of tests/helpers/tracing, on PYTHONPATH
        importlib.import_module("sitecustomize").watch()
    runpy.run_path(sys.argv[0], run_name="__main__")
