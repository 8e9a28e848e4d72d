"""The results file of a notebook, and the runner of the course on hand-made notebooks."""

import json
import os
import sys

import nbformat
import pytest

from imap_keras.course.results import Results, holds, installed_versions
from imap_keras.course.runner import (
    Outcome,
    check_parameters,
    declared_parameters,
    find_notebooks,
    main,
    run_notebook,
    summary,
)

# ------------------------------------------------------------------ results


@pytest.mark.parametrize(
    "value, bound, expected",
    [
        (0.9, ">= 0.9", True),
        (0.89, ">= 0.9", False),
        (0.9, "<= 0.9", True),
        (0.91, "<= 0.9", False),
        (3, "== 3", True),
        (3.1, "== 3", False),
        (1, "> 0", True),
        (0, "> 0", False),
        (-2, "< -1.5", True),
        (-1, "< -1.5", False),
        (2e-5, "<=1e-4", True),
        (True, " >= 1 ", True),
    ],
)
def test_bounds_are_kept_or_not(value, bound, expected):
    assert holds(value, bound) is expected


@pytest.mark.parametrize("bound", [">= 0", "<= 0", "== 0", "> 0", "< 0"])
def test_nan_keeps_no_bound(bound):
    assert holds(float("nan"), bound) is False


@pytest.mark.parametrize("bound", ["0.9", "!= 3", "about 3", ">= x", ">= 1 2", "", ">= 1e", ">= -"])
def test_a_bound_that_is_none_is_refused(bound):
    with pytest.raises(ValueError, match="is not a comparison with a number"):
        holds(1, bound)


def test_results_are_written_whole_and_come_back_as_a_table(tmp_path):
    results = Results("03_stage_one", tmp_path, {"seed": 0, "dataset": "demo"})
    results.add("types_kept", 0.97, ">= 0.9")
    results.add("loss", 3, "< 1")
    table = results.save()
    assert table.to_dict("records") == results.rows
    assert [path.name for path in (tmp_path / "results").iterdir()] == ["03_stage_one.json"]
    told = json.loads((tmp_path / "results" / "03_stage_one.json").read_text())
    assert set(told) == {"notebook", "parameters", "device", "versions", "seconds", "results"}
    assert told["notebook"] == "03_stage_one"
    assert told["parameters"] == {"seed": 0, "dataset": "demo"}
    assert told["results"] == [
        {"name": "types_kept", "value": 0.97, "bound": ">= 0.9", "holds": True},
        {"name": "loss", "value": 3.0, "bound": "< 1", "holds": False},
    ]
    assert told["versions"] == installed_versions()
    assert told["versions"]["python"] == ".".join(map(str, sys.version_info[:3]))
    assert told["device"].startswith(("CPU", "GPU"))
    assert told["seconds"] >= 0


def test_an_interrupted_write_keeps_the_older_results(tmp_path, monkeypatch):
    results = Results("01_x", tmp_path, {})
    results.add("one", 1, "> 0")
    results.save()
    results.parameters = {"not json": object()}
    with pytest.raises(TypeError):
        results.save()
    told = json.loads((tmp_path / "results" / "01_x.json").read_text())
    assert told["parameters"] == {} and len(told["results"]) == 1


def test_a_name_is_used_once(tmp_path):
    results = Results("01_x", tmp_path, {})
    results.add("one", 1, "> 0")
    with pytest.raises(ValueError, match="'one' was added before"):
        results.add("one", 2, "> 0")
    with pytest.raises(ValueError, match="not a comparison"):
        results.add("two", 2, "positive")
    assert [row["value"] for row in results.rows] == [1.0]


# ------------------------------------------------------------------ course

PARAMETERS = 'dataset = "demo"\nseed = 0\nfast = False\noutput_dir = "build"'
# What a notebook's last cell does, without the seconds that importing TensorFlow takes.
WRITE = """
import json, pathlib
rows = [{"name": "score", "value": VALUE, "bound": ">= 0.5", "holds": VALUE >= 0.5}]
content = {"results": rows, "told": [dataset, seed, fast], "cwd": str(pathlib.Path.cwd())}
folder = pathlib.Path(output_dir) / "results"
folder.mkdir(exist_ok=True)
(folder / "NAME.json").write_text(json.dumps(content))
"""


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "notebooks"
    path.mkdir()
    return path


def write(folder, name, *cells, parameters=PARAMETERS):
    first = nbformat.v4.new_code_cell(parameters, metadata={"tags": ["parameters"]})
    notebook = nbformat.v4.new_notebook(cells=[first, *map(nbformat.v4.new_code_cell, cells)])
    notebook.metadata = {"kernelspec": {"name": "python3", "language": "python", "display_name": "P"}}
    nbformat.write(notebook, folder / f"{name}.ipynb")
    return folder / f"{name}.ipynb"


def writes(name, value):
    return WRITE.replace("VALUE", str(value)).replace("NAME", name)


def run(folder, *arguments):
    output = folder.parent / "out"
    return main([*arguments, "--notebooks", str(folder), "--output-dir", str(output)]), output


def test_a_passing_notebook_gets_its_parameters_and_leaves_its_results(folder, capsys):
    write(folder, "00_tour", writes("00_tour", 0.75))
    code, output = run(
        folder, "00", "-p", "seed", "3", "-p", "fast", "true", "-p", "dataset", "my.h5ad"
    )
    assert code == 0
    lines = capsys.readouterr().out.splitlines()
    assert any(line.startswith("00_tour") and line.endswith("passed") for line in lines)
    told = json.loads((output / "results" / "00_tour.json").read_text())
    assert told["told"] == [os.path.abspath("my.h5ad"), 3, True]  # the notebook runs elsewhere
    assert told["cwd"] == str(folder)
    executed = nbformat.read(output / "notebooks" / "00_tour.ipynb", as_version=4)
    assert [cell.execution_count for cell in executed.cells if cell.cell_type == "code"] == [1, 2, 3]


def test_failures_are_told_apart_and_do_not_stop_the_rest(folder, capsys):
    write(folder, "01_breaks", "x = 1", "raise RuntimeError('the bridge is out')", "y = 2")
    write(folder, "02_misses", writes("02_misses", 0.25))
    write(folder, "03_passes", writes("03_passes", 0.75))
    code, output = run(folder)
    assert code == 1
    out = capsys.readouterr().out
    table = {line.split()[0]: line for line in out.splitlines() if line[:3] in ("01_", "02_", "03_")}
    # Counted as in the executed notebook, the cell that hands over output_dir included.
    assert "failed cell 4: RuntimeError: the bridge is out" in table["01_breaks"]
    assert "failed score = 0.25, not >= 0.5" in table["02_misses"]
    assert table["03_passes"].endswith("passed")
    assert str(output) in out


def test_a_notebook_may_be_skipped_with_its_reason(folder, capsys):
    reason = "sc_mixology is not in the cache and there is no network"
    write(
        folder,
        "05_real",
        "from imap_keras.course import SkipNotebook",
        f"raise SkipNotebook('{reason}')",
    )
    code, _ = run(folder)
    assert code == 0
    assert f"skipped {reason}" in capsys.readouterr().out


def test_a_cell_that_takes_too_long_fails(folder):
    path = write(folder, "06_slow", "import time\ntime.sleep(60)")
    outcome = run_notebook(path, folder.parent / "out", {}, timeout=1)
    assert outcome.status == "failed"
    assert "timeout" in outcome.message.lower() or "timed out" in outcome.message.lower()
    assert 1 <= outcome.seconds < 30


def test_an_older_result_does_not_stand_for_this_run(folder):
    path = write(folder, "07_silent", "x = 1")
    older = folder.parent / "out" / "results" / "07_silent.json"
    older.parent.mkdir(parents=True)
    rows = [{"name": "score", "value": 0.1, "bound": ">= 0.5", "holds": False}]
    older.write_text(json.dumps({"results": rows}))
    outcome = run_notebook(path, folder.parent / "out", {}, timeout=60)
    assert (outcome.status, outcome.message) == ("failed", "wrote no results file")
    assert not older.exists()


def test_an_unknown_parameter_is_refused_before_anything_runs(folder, capsys):
    write(folder, "00_tour", "x = 1")
    code, output = run(folder, "-p", "sede", "3")
    assert code == 2
    told = capsys.readouterr().err
    assert "No notebook has a parameter 'sede'; there are dataset, fast, output_dir, seed" in told
    assert not output.exists()


def test_output_dir_is_no_parameter(folder, capsys):
    write(folder, "00_tour", "x = 1")
    assert run(folder, "-p", "output_dir", "here")[0] == 2
    assert "output_dir is set by --output-dir" in capsys.readouterr().err


def test_an_unknown_number_is_refused(folder, capsys):
    write(folder, "00_tour", "x = 1")
    write(folder, "04_pairs", "x = 1")
    assert run(folder, "00", "09")[0] == 2
    assert "There is no notebook 09; there are 00, 04" in capsys.readouterr().err


def test_a_folder_without_notebooks_says_where_to_run(folder, capsys):
    assert run(folder)[0] == 2
    assert f"no notebooks in {folder}. Run the course from a clone" in capsys.readouterr().err


def test_notebooks_are_found_by_number_in_the_order_asked(folder):
    paths = {name[:2]: write(folder, name, "x = 1") for name in ("04_pairs", "00_tour", "02_data")}
    (folder / "notes.ipynb").write_text("{}")
    assert find_notebooks([], folder) == [paths["00"], paths["02"], paths["04"]]
    assert find_notebooks(["04", "00"], folder) == [paths["04"], paths["00"]]


def test_declared_parameters_are_those_of_the_tagged_cell(folder):
    path = write(folder, "00_tour", "later = 1")
    assert declared_parameters(path) == ["dataset", "seed", "fast", "output_dir"]
    other = write(folder, "01_more", "x = 1", parameters="epochs = 5")
    check_parameters([path, other], {"seed": 1, "epochs": 2})  # each of some notebook
    with pytest.raises(ValueError, match="'later'; there are dataset, epochs, fast"):
        check_parameters([path, other], {"later": 2})


def test_summary_is_a_table():
    told = summary(
        [Outcome("00_tour", 12.34, "passed"), Outcome("10_x", 100.0, "failed", "cell 3: E: e")]
    )
    assert told.splitlines() == [
        "notebook  seconds  status",
        "00_tour      12.3  passed",
        "10_x        100.0  failed cell 3: E: e",
    ]


def test_a_relative_cache_folder_is_the_same_one_inside_a_notebook(folder, monkeypatch):
    monkeypatch.setenv("IMAP_KERAS_DATA", "some/cache")
    expected = os.path.abspath("some/cache")
    look = f"import os; assert os.environ['IMAP_KERAS_DATA'] == {expected!r}"
    path = write(folder, "08_looks", look, writes("08_looks", 0.75))
    outcome = run_notebook(path, folder.parent / "out", {}, timeout=60)
    assert (outcome.status, outcome.message) == ("passed", "")
