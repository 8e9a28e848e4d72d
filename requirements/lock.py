"""Write the versions that the course and its tests are run with: ``python requirements/lock.py``.

Asks pip what it would install of ``.[course,test,book]`` for the Python that runs this, installs
nothing, and writes ``3.11.lock`` (or 3.12, 3.13) beside this file. ``make lock`` does it for one.
"""

import json
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
ASK = ["-m", "pip", "install", "--dry-run", "--ignore-installed", "--quiet", "--report", "-"]


def pinned(report: dict) -> list[str]:
    """``name==version`` of everything that would be installed, by name, this project aside."""
    found = {
        item["metadata"]["name"].lower().replace("_", "-"): item["metadata"]["version"]
        for item in report["install"]
    }
    found.pop("imap-keras", None)
    return [f"{name}=={version}" for name, version in sorted(found.items())]


def main() -> None:
    command = [sys.executable, *ASK, f"{HERE.parent}[course,test,book]"]
    report = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    lines = [f"# Python {version}; made by: python requirements/lock.py", *pinned(json.loads(report))]
    (HERE / f"{version}.lock").write_text("\n".join(lines) + "\n")
    print(f"requirements/{version}.lock: {len(lines) - 1} packages")


if __name__ == "__main__":
    main()
