"""The check before the course: what stops it, what is only worth a note."""

from pathlib import Path

import pytest

from imap_keras.course import readiness
from imap_keras.course.readiness import Finding


def test_packages_that_are_missing_or_too_old_are_named(monkeypatch):
    wanted = ["numpy>=1.26", "keras>=99", "nosuchpackage>=1", 'papermill>=2.6; extra == "course"']
    monkeypatch.setattr(readiness, "requires", lambda name: [*wanted, 'other>=1; extra == "gpu"'])
    finding = readiness.check_packages()
    assert finding.stops
    assert finding.found.startswith("keras ")
    assert finding.found.endswith("(needs >=99); nosuchpackage is missing")


def test_a_missing_annoy_is_told_what_it_needs(monkeypatch):
    def version(name):
        raise readiness.PackageNotFoundError(name)

    monkeypatch.setattr(readiness, "requires", lambda name: ["annoy>=1.17"])
    monkeypatch.setattr(readiness, "version", version)
    assert readiness.check_packages() == Finding(
        "packages",
        "annoy is missing",
        "pip install -e '.[course]' (annoy is compiled: install g++ or Xcode's tools first, or conda's "
        "python-annoy; the library runs without it, IMAP(search='exact'), notebook 04 does not)",
        stops=True,
    )


def test_installed_packages_are_enough():
    finding = readiness.check_packages()
    assert (finding.stops, finding.mend) == (False, "")
    assert finding.found.startswith("all ")


def test_a_small_disk_stops_and_missing_data_do_not(monkeypatch, tmp_path):
    monkeypatch.setattr(readiness.shutil, "disk_usage", lambda path: type("Usage", (), {"free": 5e8}))
    assert readiness.check_disk(tmp_path / "not" / "there") == Finding(
        "disk", "0.50 GB free", "make room: 1 GB", stops=True
    )
    monkeypatch.setenv("IMAP_KERAS_DATA", str(tmp_path))
    finding = readiness.check_data()
    assert not finding.stops
    assert finding.found == f"0 of {int(finding.found.split()[2])} files in {tmp_path}"
    assert "IMAP_KERAS_DATA" in finding.mend


def test_another_python_stops(monkeypatch):
    monkeypatch.setattr(readiness.sys, "version_info", (3, 10, 1))
    assert readiness.check_python().stops


def test_nothing_is_trained_where_something_stops(monkeypatch):
    old = Finding("Python", "3.9", "install", stops=True)
    monkeypatch.setattr(readiness, "check_python", lambda: old)
    monkeypatch.setattr(readiness, "check_run", lambda: pytest.fail("trained"))
    findings = readiness.check_laptop(Path("."))
    assert [finding.what for finding in findings if finding.stops] == ["Python"]


def test_the_check_prints_findings_and_says_by_its_exit_code(monkeypatch, capsys):
    for stops, code in ((False, 0), (True, 1)):
        findings = [Finding("cores", "2"), Finding("disk", "0.5 GB free", "make room", stops=stops)]
        monkeypatch.setattr(readiness, "check_laptop", lambda folder, findings=findings: findings)
        assert readiness.main() == code
        mark = "STOP" if stops else "note"
        said = capsys.readouterr().out
        assert said == f"ok    cores        2\n{mark}  disk         0.5 GB free: make room\n"
