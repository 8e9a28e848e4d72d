"""The project's own files agree with each other."""

import ast
import io
import re
import sys
import tokenize
import tomllib
from pathlib import Path

import pytest
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
    assert {"book", "cluster", "course", "test", "nbgrader", "gpu", "tfa"} == set(extras)
    for requirement in PROJECT["dependencies"] + sum(
        (extras[name] for name in ("book", "cluster", "course", "test", "nbgrader", "gpu")), []
    ):
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


# ------------------------------------------------------------------ layout

PACKAGE = ROOT / "imap_keras"
SHARED = {"nn", "inputs"}
METHODS = {"imap", "scarches", "inclust", "omics", "bayes", "regions"}


def lines_of_code(path: Path) -> int:
    """Lines that hold code: neither blank, nor comment, nor docstring."""
    source = path.read_text()
    held = {
        number
        for token in tokenize.generate_tokens(io.StringIO(source).readline)
        if token.type not in (tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE) and token.string.strip()
        for number in range(token.start[0], token.end[0] + 1)
    }
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node):
            held -= set(range(node.body[0].lineno, node.body[0].end_lineno + 1))
    return len(held)


def test_modules_stay_small():
    """One idea a module: at most 200 lines of code; docstrings, comments and blank lines are free."""
    for path in PACKAGE.rglob("*.py"):
        assert lines_of_code(path) <= 200, path.relative_to(ROOT)


def test_lines_of_code_are_counted_without_docstrings(tmp_path):
    path = tmp_path / "module.py"
    path.write_text('"""One\n\ntwo."""\n\nx = (\n    1,\n)  # three\n# four\n')
    assert lines_of_code(path) == 3


def unit_of(module: str) -> str:
    """The folder or module right below the package that a module belongs to."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else "__init__"


def imports_of(path: Path) -> set[str]:
    """Units of the package that a module imports, also inside functions."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    package = parts[:-1]
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            start = package[: len(package) - node.level + 1] if node.level else ()
            stem = ".".join([*start, *([node.module] if node.module else [])])
            modules = (
                [f"{stem}.{alias.name}" for alias in node.names] if stem == "imap_keras" else [stem]
            )
        else:
            continue
        found |= {unit_of(module) for module in modules if module.split(".")[0] == "imap_keras"}
    return found


@pytest.fixture(scope="module")
def arrows():
    """Unit -> units that it imports."""
    graph: dict[str, set[str]] = {}
    for path in PACKAGE.rglob("*.py"):
        first = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
        graph.setdefault(first, set()).update(imports_of(path) - {first})
    return graph


def test_shared_folders_import_nothing_of_ours(arrows):
    for name in SHARED:
        assert arrows[name] == set(), name


def test_a_method_imports_shared_folders_and_no_other_method(arrows):
    for name in METHODS:
        assert arrows[name] <= SHARED | {"plots", "metrics", "preprocessing"}, name


def test_nothing_imports_the_course(arrows):
    for name, imported in arrows.items():
        assert "course" not in imported, name


def test_the_house_is_small_and_has_no_circle(arrows):
    assert len(arrows) <= 18, sorted(arrows)

    def level(name, above=()):
        assert name not in above, f"circle: {' -> '.join([*above, name])}"
        return 1 + max((level(other, (*above, name)) for other in arrows[name]), default=0)

    assert max(level(name) for name in arrows) <= 5


def test_short_names_are_the_same_objects():
    import imap_keras.pairs
    import imap_keras.stage1
    import imap_keras.stage2

    import imap_keras
    from imap_keras.imap import pairs, stage1, stage2

    for short, module in (("pairs", pairs), ("stage1", stage1), ("stage2", stage2)):
        assert getattr(imap_keras, short) is module is sys.modules[f"imap_keras.{short}"]
    assert imap_keras.IMAP is imap_keras.imap.model.IMAP
    assert imap_keras.integrate is imap_keras.imap.model.integrate
