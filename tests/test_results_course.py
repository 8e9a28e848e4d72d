"""The results file of a notebook, and the runner of the course on hand-made notebooks."""

import json
import os
import signal
import sys
import threading
import time
from pathlib import Path

import nbformat
import pytest

from imap_keras.course import runner
from imap_keras.course.baseline import drift
from imap_keras.course.handover import Settings
from imap_keras.course.parameters import declared_parameters, read_parameters
from imap_keras.course.results import Results, holds, installed_versions
from imap_keras.course.runner import Outcome, find_notebooks, main, run_notebook, summary

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


def test_an_output_folder_may_begin_with_a_tilde(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    Results("01_x", "~/out", {}).save()
    assert (tmp_path / "out" / "results" / "01_x.json").is_file()
    assert str(Settings(output_dir="~/out").folder).startswith(f"{tmp_path}/out/handover/")


def test_an_interrupted_write_keeps_the_older_results(tmp_path, monkeypatch):
    results = Results("01_x", tmp_path, {})
    results.add("one", 1, "> 0")
    results.save()
    results.parameters = {"not json": object()}
    with pytest.raises(TypeError):
        results.save()
    told = json.loads((tmp_path / "results" / "01_x.json").read_text())
    assert told["parameters"] == {} and len(told["results"]) == 1


def test_bounds_do_not_apply_to_a_users_file(tmp_path):
    results = Results("00_x", tmp_path, {"dataset": "/home/me/mine.h5ad"})
    results.add("gain", 0.07, ">= 0.15")
    assert results.rows == [
        {"name": "gain", "value": 0.07, "bound": "none: your own file", "holds": True}
    ]
    with pytest.raises(ValueError, match="not a comparison"):
        results.add("loss", 2, "positive")


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
        "class SkipNotebook(Exception): pass",
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
    defaults = {"dataset": "demo", "seed": 0, "fast": False, "output_dir": "build"}
    assert declared_parameters(path) == defaults
    other = write(folder, "01_more", "x = 1", parameters="epochs = 5")
    given = read_parameters([path, other], {"seed": "1", "epochs": "2"})  # each of some notebook
    assert given == {path: {"seed": 1}, other: {"epochs": 2}}
    with pytest.raises(ValueError, match="'later'; there are dataset, epochs, fast"):
        read_parameters([path, other], {"later": "2"})


def test_a_parameter_whose_default_is_text_stays_text(folder):
    text = 'batch_key = "batch"\nseed = 0\nepochs = None\nfast = False'
    path = write(folder, "00_tour", "x = 1", parameters=text)
    given = {"batch_key": "10", "seed": "10", "epochs": "10", "fast": "true"}
    expected = {"batch_key": "10", "seed": 10, "epochs": 10, "fast": True}
    assert read_parameters([path], given) == {path: expected}


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


# ------------------------------------------------------------------ what may go wrong around it


@pytest.mark.parametrize("place", ["a file", "below a file", "read-only"])
def test_an_output_folder_that_cannot_be_written_is_said_before_anything_runs(folder, place, capsys):
    write(folder, "00_tour", "x = 1")
    output = folder.parent / "out"
    if place == "read-only":
        output.mkdir(mode=0o500)
        if os.access(output, os.W_OK):
            pytest.skip("this user may write everywhere")
    else:
        output.write_text("mine")
        output = output / "below" if place == "below a file" else output
    assert main(["--notebooks", str(folder), "--output-dir", str(output)]) == 2
    assert capsys.readouterr().err.startswith(f"error: --output-dir {output} cannot be written: ")


@pytest.mark.parametrize(
    "text", ["{", "[]", '{"results": [{"name": "a", "value": 1, "bound": ">= 0"}]}']
)
def test_a_damaged_results_file_fails_its_notebook_only(folder, text):
    damage = "import pathlib\nfolder = pathlib.Path(output_dir) / 'results'\nfolder.mkdir()\n"
    path = write(folder, "01_damages", damage + f"(folder / '01_damages.json').write_text({text!r})")
    outcome = run_notebook(path, folder.parent / "out", {}, timeout=60)
    file = folder.parent / "out" / "results" / "01_damages.json"
    assert outcome.status == "failed"
    assert outcome.message.startswith(f"ValueError: {file} is no results file (")


def test_a_folder_in_the_place_of_a_results_file_fails_its_notebook_only(folder):
    path = write(folder, "01_x", "x = 1")
    (folder.parent / "out" / "results" / "01_x.json").mkdir(parents=True)
    outcome = run_notebook(path, folder.parent / "out", {}, timeout=60)
    assert outcome.status == "failed" and "01_x.json" in outcome.message


@pytest.mark.parametrize("seconds", ["0", "-5"])
def test_a_timeout_is_at_least_a_second(folder, seconds, capsys):
    write(folder, "00_tour", "x = 1")
    with pytest.raises(SystemExit) as error:
        run(folder, f"--timeout={seconds}")
    assert error.value.code == 2
    assert f"{seconds} seconds; at least 1 is needed" in capsys.readouterr().err


def test_a_kernel_that_dies_is_told_with_its_log(folder):
    die = "import os, sys\nos.write(2, b'last words')\nos.kill(os.getpid(), 9)"
    path = write(folder, "03_dies", die)
    outcome = run_notebook(path, folder.parent / "out", {}, timeout=60)
    log = folder.parent / "out" / "logs" / "03_dies.txt"
    assert outcome.status == "failed"
    assert outcome.message.startswith("its Python died, most often for want of memory")
    assert outcome.message.endswith(f"its last words are in {log}")
    assert log.read_text() == "last words"


def test_the_terminal_shows_the_bar_and_the_table_only(folder, capfd):
    """What the kernel's process writes, ipykernel's and TensorFlow's warnings too, is in its log."""
    write(folder, "00_tour", "import os; os.write(2, b'a driver speaks')", writes("00_tour", 0.75))
    code, output = run(folder)
    told = capfd.readouterr()
    assert (code, told.err) == (0, "")
    lines = told.out.replace("\r", "\n").split("\n")
    lines = lines[[line.startswith("00_tour: 100%") for line in lines].index(True) :]
    lines = [line for line in lines if line and not line.startswith("00_tour: ")]
    assert lines[0].split() == ["notebook", "seconds", "status"]
    assert lines[1].startswith("00_tour") and lines[1].endswith("passed")
    assert lines[2:] == [f"Executed notebooks, figures and results are in {output}."]
    assert (output / "logs" / "00_tour.txt").read_text().startswith("a driver speaks")


def test_a_second_run_in_the_same_folder_is_refused(folder, capsys):
    write(folder, "00_tour", writes("00_tour", 0.75))
    with runner.the_only_run(folder.parent / "out"):
        code, output = run(folder)
    assert code == 2
    assert f"another run of the course is at work in {output}; wait" in capsys.readouterr().err
    assert run(folder)[0] == 0


def alive(pid: int) -> bool:
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return False
    return status.rpartition(")")[2].split()[0] != "Z"


@pytest.fixture
def interruptible():
    """A shell that starts the tests in the background has their interrupts ignored."""
    found = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, found)


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.usefixtures("interruptible")
def test_a_cancelled_course_leaves_no_kernel_and_says_where_to_go_on(folder, sent, capsys):
    pid = folder.parent / "pid"
    write(folder, "00_tour", writes("00_tour", 0.75))
    tell = f"pathlib.Path({str(pid)!r}).write_text(str(os.getpid()))"
    write(folder, "01_long", f"import os, time, pathlib\n{tell}\ntime.sleep(90)")
    write(folder, "02_never", "x = 1")

    def cancel():
        while not (pid.exists() and pid.read_text()):
            time.sleep(0.05)
        os.kill(os.getpid(), sent)

    threading.Thread(target=cancel, daemon=True).start()
    before = signal.getsignal(signal.SIGTERM)
    code, _ = run(folder)
    out = capsys.readouterr().out
    assert code == 130
    assert "Interrupted. To go on: the same command with the notebooks 01 02.\n" in out
    assert [line for line in out.splitlines() if line.startswith("00_tour  ")][0].endswith("passed")
    assert not alive(int(pid.read_text()))
    assert signal.getsignal(signal.SIGTERM) is before


# ------------------------------------------------------------------ baseline


def results_file(folder, name, **values):
    folder.mkdir(exist_ok=True)
    rows = [{"name": n, "value": v, "bound": ">= 0", "holds": True} for n, v in values.items()]
    (folder / f"{name}.json").write_text(json.dumps({"results": rows}))
    return folder / f"{name}.json"


def test_drift_is_told_by_row(tmp_path):
    earlier = results_file(tmp_path, "earlier", same=0.5, near=0.5, far=0.5, small=0.001, gone=1)
    now = results_file(tmp_path, "now", same=0.5, near=0.549, far=0.551, small=0.0109, new=1)
    told = json.loads(earlier.read_text())
    told["results"].append({"name": "seconds", "value": 10, "bound": ">= 0", "holds": True})
    earlier.write_text(json.dumps(told))
    told = json.loads(now.read_text())
    told["results"].append(
        {"name": "seconds", "value": 19, "bound": ">= 0", "holds": True, "tolerance": 1.0}
    )
    now.write_text(json.dumps(told))
    table = drift(now, earlier)
    assert table["drifted"].to_dict() == {
        "same": False,
        "near": False,
        "far": True,
        "small": False,
        "gone": True,
        "seconds": False,
        "new": True,
    }
    assert table.loc["far", "tolerance"] == pytest.approx(0.05)
    assert table.loc["seconds", "tolerance"] == 10


@pytest.mark.parametrize("value, code", [(0.76, 0), (0.9, 1)])
def test_a_run_is_compared_with_a_baseline(folder, value, code, capsys):
    write(folder, "00_tour", writes("00_tour", 0.75))
    results_file(folder.parent / "earlier", "00_tour", score=value)
    assert run(folder, "--baseline", str(folder.parent / "earlier"))[0] == code
    lines = capsys.readouterr().out.splitlines()
    assert f"{code} of 1 results drifted from {folder.parent / 'earlier'}." in lines
    if code:
        assert lines[-1].split() == ["00_tour", "score", "0.9", "0.75", "0.09"]


def test_a_baseline_without_the_notebook_is_refused_before_anything_runs(folder, capsys):
    write(folder, "00_tour", "x = 1")
    code, output = run(folder, "--baseline", str(folder / "nowhere"))
    assert code == 2 and not output.exists()
    assert (
        capsys.readouterr().err == f"error: There is no results file {folder}/nowhere/00_tour.json.\n"
    )
