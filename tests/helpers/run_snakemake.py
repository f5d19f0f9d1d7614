"""Snakemake with another Python for the scripts that it starts: PYTHON OPTION..."""

import asyncio
import os
import sys

from snakemake.cli import main
from snakemake_interface_executor_plugins.executors.remote import RemoteExecutor


async def shortly(executor):
    """Ask a cluster again after a second: Slurm is asked after ten seconds more each time that
    nothing has finished.
    """
    await asyncio.sleep(1)


RemoteExecutor.sleep = shortly
# as with python -m; and uv and what else lies beside the real Python is found behind the other one
sys.path[0] = os.getcwd()
os.environ["PATH"] = os.pathsep.join([os.path.dirname(sys.executable), *os.get_exec_path()])
sys.executable = sys.argv.pop(1)
main()
