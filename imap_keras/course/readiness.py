"""Is this laptop ready for the course? ``python -m imap_keras.course --check`` asks before the day."""

import os
import platform
import shutil
import sys
import time
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

import numpy as np
from packaging.requirements import Requirement

from ..datasets import cache_folder, load, registry
from ..imap.model import IMAP
from ..nn.backend import describe_device
from ..preprocessing import preprocess
from .handover import FAST

# What the notebooks that fetch real data need; the rest runs without.
COURSE_DATA = ("sc_mixology", "inclust_plus", "scgem", "snareseq")
LEAST_MEMORY_GB, LEAST_DISK_GB = 4.0, 1.0


@dataclass(frozen=True)
class Finding:
    """One line of the check.

    Parameters
    ----------
    what, found
        What was looked at, and what it is.
    mend
        What to do about it; empty where all is well.
    stops
        Whether the course cannot run with it.
    """

    what: str
    found: str
    mend: str = ""
    stops: bool = False


def check_python() -> Finding:
    """Python's version against what the package admits."""
    found = platform.python_version()
    if (3, 11) <= sys.version_info[:2] < (3, 14):
        return Finding("Python", found)
    return Finding("Python", found, "install Python 3.11, 3.12 or 3.13", stops=True)


def check_packages(extra: str = "course") -> Finding:
    """Installed packages against the versions that the package asks for.

    Examples
    --------
    >>> from imap_keras.course.readiness import check_packages
    >>> check_packages().what
    'packages'
    """
    faults, n = [], 0
    for text in requires("imap_keras") or []:
        wanted = Requirement(text)
        if wanted.marker is not None and not wanted.marker.evaluate({"extra": extra}):
            continue
        n += 1
        try:
            if not wanted.specifier.contains(version(wanted.name), prereleases=True):
                faults.append(f"{wanted.name} {version(wanted.name)} (needs {wanted.specifier})")
        except PackageNotFoundError:
            faults.append(f"{wanted.name} is missing")
    if faults:
        mend = "pip install -e '.[course]'"
        if "annoy is missing" in faults:
            mend += (
                " (annoy is compiled: install g++ or Xcode's tools first, or conda's python-annoy; "
                "the library runs without it, IMAP(search='exact'), notebook 04 does not)"
            )
        return Finding("packages", "; ".join(faults), mend, stops=True)
    return Finding("packages", f"all {n} there")


def check_memory() -> Finding:
    """Memory of the machine."""
    try:
        total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    except (AttributeError, OSError, ValueError):  # Windows
        return Finding("memory", "not known here")
    if total >= LEAST_MEMORY_GB:
        return Finding("memory", f"{total:.1f} GB")
    return Finding("memory", f"{total:.1f} GB", "close other programs; notebooks 00-06 need 1.5 GB")


def check_disk(folder: Path) -> Finding:
    """Room where the results go.

    Examples
    --------
    >>> from pathlib import Path
    >>> from imap_keras.course.readiness import check_disk
    >>> check_disk(Path(".")).what
    'disk'
    """
    places = (folder.absolute(), *folder.absolute().parents)
    there = next(place for place in places if place.exists())
    free = shutil.disk_usage(there).free / 1e9
    if free >= LEAST_DISK_GB:
        return Finding("disk", f"{free:.0f} GB free")
    return Finding("disk", f"{free:.2f} GB free", f"make room: {LEAST_DISK_GB:.0f} GB", stops=True)


def check_data() -> Finding:
    """Which real data lie in the cache."""
    table = registry()
    table = table[table["dataset"].isin(COURSE_DATA)]
    there = [(cache_folder() / file).is_file() for file in table["file"]]
    if all(there):
        return Finding("data", f"all {len(there)} files in {cache_folder()}")
    megabytes = table.loc[~np.array(there), "bytes"].sum() / 1e6
    return Finding(
        "data",
        f"{sum(there)} of {len(there)} files in {cache_folder()}",
        f"make data (fetches {megabytes:.0f} MB), or set IMAP_KERAS_DATA to the stick's folder; "
        "notebooks 00-06, 08, 09 and 12 need none",
    )


def check_run() -> Finding:
    """The demo, preprocessed and integrated with small networks: does it run, and how fast."""
    start = time.perf_counter()
    adata = preprocess(load("demo"), min_genes=50, verbose=0)
    fast = FAST | {"stage1_epochs": 3, "stage2_epochs": 2}
    integrated = IMAP(**fast).fit_transform(adata, verbose=0)
    if not np.isfinite(integrated.obsm["X_imap"]).all():
        return Finding("a short run", "gave values that are not finite", "reinstall", stops=True)
    return Finding("a short run", f"{time.perf_counter() - start:.0f} s")


def check_laptop(output_dir: Path) -> list[Finding]:
    """All of it, in order.

    Examples
    --------
    >>> from imap_keras.course.readiness import Finding, told
    >>> print(told([Finding("cores", "2"), Finding("disk", "0.1 GB free", "make room", stops=True)]))
    ok    cores        2
    STOP  disk         0.1 GB free: make room
    """
    findings = [
        check_python(),
        check_packages(),
        Finding("cores", str(os.cpu_count())),
        check_memory(),
        check_disk(output_dir),
        Finding("device", describe_device()),
        check_data(),
    ]
    return findings if any(finding.stops for finding in findings) else [*findings, check_run()]


def told(findings: list[Finding]) -> str:
    """The findings as lines: ok, note or STOP."""
    lines = []
    for finding in findings:
        mark = "STOP" if finding.stops else ("note" if finding.mend else "ok")
        mend = f": {finding.mend}" if finding.mend else ""
        lines.append(f"{mark:<5} {finding.what:<12} {finding.found}{mend}")
    return "\n".join(lines)


def main() -> int:
    """Print what was found; returns 1 if something stops the course, else 0."""
    findings = check_laptop(Path("build/course"))
    print(told(findings))
    return int(any(finding.stops for finding in findings))
