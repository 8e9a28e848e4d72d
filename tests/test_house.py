"""The project's own files agree with each other."""

import re
import tomllib
from pathlib import Path

import yaml

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def pip_part(file: str) -> list[str]:
    environment = yaml.safe_load((ROOT / file).read_text())
    return next(entry["pip"] for entry in environment["dependencies"] if isinstance(entry, dict))


def conda_part(file: str) -> list[str]:
    environment = yaml.safe_load((ROOT / file).read_text())
    return [entry for entry in environment["dependencies"] if isinstance(entry, str)]


def test_environment_names_no_dependency_of_its_own():
    assert pip_part("environment.yml") == ["-e .[course,test]"]
    assert conda_part("environment.yml") == [f"python{PROJECT['requires-python']}", "pip"]


def test_environment_with_tensorflow_addons_points_to_the_pinned_extra():
    assert pip_part("environment-tfa.yml") == ["-e .[course,test,tfa]"]
    assert conda_part("environment-tfa.yml") == ["python=3.11", "pip"]
    assert set(PROJECT["optional-dependencies"]["tfa"]) == {
        "tensorflow==2.15.1",
        "keras==2.15.0",
        "tensorflow-addons==0.23.0",
        "numpy<2",
    }


def test_extras_exist_and_every_dependency_has_a_lower_bound():
    extras = PROJECT["optional-dependencies"]
    assert {"course", "test", "gpu", "tfa"} == set(extras)
    for requirement in PROJECT["dependencies"] + extras["course"] + extras["test"] + extras["gpu"]:
        assert ">=" in requirement, requirement


def test_packages_the_kit_is_built_on_are_dependencies():
    everything = " ".join(PROJECT["dependencies"] + sum(PROJECT["optional-dependencies"].values(), []))
    built_on = ["tensorflow", "keras", "tensorflow-addons", "annoy"]
    for name in [*built_on, "anndata", "scanpy", "jupyterlab", "papermill"]:
        assert re.search(rf"(^| ){name}[>=<\[]", everything), name


def test_pre_commit_runs_the_ruff_of_the_test_extra():
    ruff = next(r for r in PROJECT["optional-dependencies"]["test"] if r.startswith("ruff"))
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"][0]["hooks"]
    assert [hook["additional_dependencies"] for hook in hooks] == [[ruff], [ruff]]


def test_readme_lists_every_notebook_and_both_commands():
    readme = (ROOT / "README.md").read_text()
    for notebook in sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb")):
        assert notebook.name in readme, notebook.name
    assert "make course" in readme
    assert "make test" in readme
    assert "TIME_" not in readme
    assert "RESULTS_TABLE" not in readme


def test_version_is_the_same_everywhere():
    import imap_keras

    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert imap_keras.__version__ == PROJECT["version"] == citation["version"]


def test_modules_stay_small():
    """One idea a module; 350 lines, docstrings included, is where to split."""
    for path in (ROOT / "imap_keras").rglob("*.py"):
        assert len(path.read_text().splitlines()) <= 350, path.name
