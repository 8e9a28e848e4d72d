"""The locked versions name everything that is asked for, for each Python."""

import runpy
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]
ASKED = PROJECT["dependencies"] + EXTRAS["course"] + EXTRAS["test"]


@pytest.mark.parametrize("python", ["3.11", "3.12", "3.13"])
def test_a_lock_holds_a_version_of_everything_that_is_asked_for(python):
    lines = (ROOT / "requirements" / f"{python}.lock").read_text().splitlines()
    locked = dict(line.split("==") for line in lines if not line.startswith("#"))
    for requirement in map(Requirement, ASKED):
        version = locked[canonicalize_name(requirement.name)]
        assert requirement.specifier.contains(version), (requirement, version)
    assert canonicalize_name(PROJECT["name"]) not in locked


def test_what_pip_would_install_becomes_sorted_lines_without_the_project_itself():
    pinned = runpy.run_path(str(ROOT / "requirements" / "lock.py"))["pinned"]
    found = (("scikit_misc", "0.5.1"), ("imap_keras", "0.1.0"), ("Jinja2", "3.1.6"))
    report = {"install": [{"metadata": {"name": n, "version": v}} for n, v in found]}
    assert pinned(report) == ["jinja2==3.1.6", "scikit-misc==0.5.1"]
