"""Whole processes measured from outside: seconds, processor time, peak memory, time to the first word."""

import os
import subprocess
import sys
import time
from dataclasses import dataclass

from fedet.errors import InputError


@dataclass(frozen=True)
class Process:
    """One finished process; what `/usr/bin/time -v` measures, and when it printed something first."""

    wall_s: float
    cpu_s: float  # user and system time, of all its threads
    peak_mb: float  # largest resident memory, MiB
    first_word_s: float  # until the first byte on either output; the wall time if it printed nothing


def run_process(words: list[str]) -> Process:
    """Runs a command and measures it as a whole.

    Raises InputError, with the end of what it said, if it fails.
    """
    start = time.perf_counter()
    child = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert child.stdout is not None
    said = os.read(child.stdout.fileno(), 1)
    first = time.perf_counter() - start
    said += child.stdout.read()
    _, status, usage = os.wait4(child.pid, 0)
    wall = time.perf_counter() - start
    child.returncode = os.waitstatus_to_exitcode(status)
    child.stdout.close()
    if child.returncode:
        raise InputError(f"{' '.join(words)} failed: {said.decode(errors='replace')[-500:]}")
    scale = 2**20 if sys.platform == "darwin" else 2**10  # ru_maxrss is in bytes there, else in kB
    peak = usage.ru_maxrss / scale
    return Process(wall, usage.ru_utime + usage.ru_stime, peak, first if said else wall)


def python(*words: str) -> list[str]:
    """A command of this Python."""
    return [sys.executable, *words]
