"""How much memory this process holds."""

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


def _line(status: Path, name: str) -> int:
    (line,) = [line for line in status.read_text().splitlines() if line.startswith(f"{name}:")]
    return 1024 * int(line.split()[1])
