"""How much memory this process holds, and work in a process of its own, to be measured there."""

import ctypes
import gc
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path


def resident() -> int:
    """Bytes of memory this process holds now; where the system does not say, the most it ever held."""
    status = Path("/proc/self/status")
    return _line(status, "VmRSS") if status.exists() else highest_resident()


def highest_resident() -> int:
    """The most bytes of memory this process ever held.

    On Linux not what `getrusage` says: a new process inherits the number of the one that started it.

    Examples
    --------
    >>> from imap_keras.nn.memory import highest_resident, resident
    >>> highest_resident() >= resident() > 1e6
    True
    """
    status = Path("/proc/self/status")
    if status.exists():
        return _line(status, "VmHWM")
    import resource  # not on Windows

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # macOS: bytes


def give_back(circles: bool = False) -> None:
    """Hand the system the memory that was freed: glibc keeps it, for what is asked for next.

    Parameters
    ----------
    circles
        Free first what is held in circles only, as Keras' training graphs are; takes a quarter of a
        second.

    Examples
    --------
    >>> from imap_keras.nn.memory import give_back
    >>> give_back()
    """
    if circles:
        gc.collect()
    if sys.platform == "linux":
        with suppress(OSError, AttributeError):  # another C library
            ctypes.CDLL("libc.so.6").malloc_trim(0)


def run_apart(module: str, order: Sequence, failed: str, **environment: str) -> dict:
    """What ``main(order)`` of a module prints last, as JSON; it runs in a process of its own.

    Parameters
    ----------
    module, order
        Name of the module; what its `main` is told, as JSON.
    failed
        Begins the sentence of an error.
    environment
        Variables that the process sees beside those of this one.

    Raises
    ------
    RuntimeError
        The process failed; ends with what it said.
    """
    # glibc gives threads heaps of their own, and how many differs from run to run: the same training
    # then took 0.23 to 0.30 of a matrix, and 0.18 each time with one heap.
    one_heap = {"TF_CPP_MIN_LOG_LEVEL": "2", "MALLOC_ARENA_MAX": "1"}
    done = subprocess.run(
        [sys.executable, "-c", f"import {module} as module; module.main({json.dumps(order)!r})"],
        capture_output=True,
        text=True,
        env=os.environ | one_heap | environment,
    )
    if done.returncode:
        said = done.stderr.strip().splitlines() or ["it said nothing; too little memory?"]
        raise RuntimeError(f"{failed} failed (exit {done.returncode}): {said[-1]}")
    return json.loads(done.stdout.splitlines()[-1])


def _line(status: Path, name: str) -> int:
    (line,) = [line for line in status.read_text().splitlines() if line.startswith(f"{name}:")]
    return 1024 * int(line.split()[1])
