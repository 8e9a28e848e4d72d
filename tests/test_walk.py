"""The course walked as a student does it: JupyterLab on a copy, a browser, mouse and keyboard.

``make walk`` walks all; a plain test run walks the tour only.
"""

import os
import secrets
import socket
import subprocess
import sys
import time
import urllib.request
from importlib.util import find_spec
from pathlib import Path

import nbformat
import psutil
import pytest
from papermill.iorw import load_notebook_node
from papermill.parameterize import parameterize_notebook

from imap_keras.course.edition import write_edition
from imap_keras.course.runner import NOTEBOOKS, prepare_environment

pytest.importorskip("jupyterlab", reason="JupyterLab is not installed")

once = pytest.mark.skipif(
    bool(find_spec("tensorflow_addons")), reason="walked without tensorflow-addons"
)
on_demand = pytest.mark.skipif(not os.environ.get("IMAP_KERAS_WALK"), reason="on demand: make walk")

PATIENCE = 180_000  # milliseconds: other tests may want the cores, too
# Folders that are a user's own elsewhere.
OWN = ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR")
OWN += ("JUPYTERLAB_SETTINGS_DIR", "JUPYTERLAB_WORKSPACES_DIR")
# What of the open notebook its file would hold; cells out of sight are not in the page.
CELLS = """() => {
  const widget = jupyterapp.shell.currentWidget;
  return [...Array(widget.content.model.cells.length).keys()].map(place => {
    const cell = widget.content.model.cells.get(place).toJSON();
    return {...cell, source: String(cell.source), tags: cell.metadata.tags ?? []};
  });
}"""
IDLE = """() => {
  const kernel = window.jupyterapp?.shell.currentWidget?.sessionContext?.session?.kernel;
  return kernel?.status === "idle" && kernel?.connectionStatus === "connected";
}"""
TOO_WIDE = """() => [...document.querySelectorAll(".jp-OutputArea-output")]
  .filter(output => output.scrollWidth > output.clientWidth).map(output => output.innerText)"""
COUNT = "place => jupyterapp.shell.currentWidget.content.widgets[place].model.executionCount"
LAST_RUN = """ran => {
  const notebook = jupyterapp.shell.currentWidget.content;
  const code = notebook.widgets.filter(cell => cell.model.type === "code");
  return code.every(cell => cell.model.executionCount > 0) && code.at(-1).model.outputs.length > 0;
}"""


def is_up(address: str) -> bool:
    try:
        return urllib.request.urlopen(address, timeout=2).status == 200
    except OSError:
        return False


@pytest.fixture
def lab(tmp_path):
    """JupyterLab on a folder of its own, with no settings but its own; nothing of it stays."""
    prepare_environment()
    own = {name: str(tmp_path / name.lower()) for name in OWN} | {"PYTHONPATH": str(NOTEBOOKS.parent)}
    quiet = Path(own["JUPYTERLAB_SETTINGS_DIR"], "@jupyterlab", "apputils-extension")
    quiet.mkdir(parents=True)
    (quiet / "notification.jupyterlab-settings").write_text('{"fetchNews": "false"}')
    folder = tmp_path / "notebooks"
    folder.mkdir()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    token = secrets.token_hex(16)
    options = ["--no-browser", "--ip=127.0.0.1", f"--port={port}", "--ServerApp.port_retries=0"]
    options += [f"--IdentityProvider.token={token}", "--expose-app-in-browser"]
    options += [f"--notebook-dir={folder}"]
    options += ["--allow-root"] if os.geteuid() == 0 else []
    command, environment = [sys.executable, "-m", "jupyterlab", *options], os.environ | own
    with open(tmp_path / "lab.log", "wb") as log:
        server = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
    family = psutil.Process(server.pid)
    address = f"http://127.0.0.1:{port}"
    try:
        until = time.monotonic() + PATIENCE / 1000
        while not is_up(f"{address}/api?token={token}"):
            said = (tmp_path / "lab.log").read_text()
            assert server.poll() is None and time.monotonic() < until, said
            time.sleep(0.3)
        yield folder, lambda name: f"{address}/lab/tree/{name}?token={token}&reset"
    finally:
        kernels = family.children(recursive=True)
        server.terminate()
        server.wait(timeout=60)
        left = psutil.wait_procs(kernels, timeout=60)[1]
        for process in left:
            process.kill()
    assert left == [], "processes of JupyterLab were left"


@pytest.fixture
def window(browser):
    """A window of a laptop's size."""
    page = browser.new_page(viewport={"width": 1280, "height": 800})
    page.set_default_timeout(PATIENCE)
    yield page
    page.close()


def put(path: Path, folder: Path, **parameters) -> str:
    """Copy a notebook without outputs, its parameters set as papermill sets them."""
    notebook = parameterize_notebook(load_notebook_node(str(path)), parameters)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    notebook.metadata.kernelspec = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(notebook, folder / path.name)
    return path.name


def opened(window, address: str) -> None:
    """Open a notebook and wait for its kernel."""
    window.goto(address)
    window.wait_for_selector(".jp-Notebook .jp-Cell")
    window.wait_for_function(IDLE)


def choose(window, menu: str, item: str) -> None:
    """Choose an item of a menu with the mouse."""
    window.click(f".lm-MenuBar-itemLabel:text-is('{menu}')")
    window.click(f".lm-Menu-itemLabel:text-is('{item}')")


def run_all(window) -> list[dict]:
    """Run all cells from the menu and return them as their file would hold them."""
    choose(window, "Run", "Run All Cells")
    window.wait_for_function(LAST_RUN, timeout=5 * PATIENCE)
    window.wait_for_function(IDLE)
    return window.evaluate(CELLS)


def errors(cells: list[dict]) -> list[str]:
    outputs = [output for cell in cells for output in cell.get("outputs", [])]
    return [f"{o['ename']}: {o['evalue']}" for o in outputs if o["output_type"] == "error"]


def printed(cells: list[dict], stream: str) -> list[str]:
    outputs = [output for cell in cells for output in cell.get("outputs", [])]
    return ["".join(o["text"]) for o in outputs if o.get("name") == stream]


def show(window, place: int):
    """Scroll to a cell and return it as the page has it."""
    window.evaluate("place => jupyterapp.shell.currentWidget.content.scrollToItem(place)", place)
    cell = window.locator(f".jp-Cell[data-windowed-list-index='{place}']")
    cell.wait_for()
    return cell


@once
def test_the_tour_runs_in_jupyterlab_and_shows_its_three_pictures(lab, window, tmp_path):
    folder, address = lab
    name = put(
        NOTEBOOKS / "00_tour.ipynb", folder, fast=True, epochs=2, output_dir=str(tmp_path / "course")
    )
    opened(window, address(name))
    cells = run_all(window)
    assert errors(cells) == []
    for figure in ("00_before_after", "00_critic", "00_index"):
        places = [i for i, cell in enumerate(cells) if f'"{figure}"' in cell["source"]]
        picture = show(window, places[0]).locator(".jp-OutputArea-output img")
        picture.wait_for()
        assert picture.evaluate("image => image.decode().then(() => image.naturalWidth)") > 300
        picture.screenshot(path=tmp_path / f"{figure}.png")
    assert printed(cells, "stderr") == []
    # A bar of progress is one line; without a terminal it must not become one for each step.
    assert max(len(text.splitlines()) for text in printed(cells, "stdout")) <= 12
    assert window.evaluate(TOO_WIDE) == []


def answer(window, place: int, *lines: str):
    """Write lines at the end of a cell, run it and the cell of its check, return what that says."""
    editor = show(window, place).locator(".cm-content")
    editor.click()
    window.keyboard.press("Control+End")
    for line in lines:
        window.keyboard.press("Enter")
        window.keyboard.type(line)
    window.keyboard.press("Shift+Enter")
    window.keyboard.press("Shift+Enter")
    return show(window, place + 1).locator(".jp-OutputArea-output")


@on_demand
def test_a_student_is_told_red_then_green_and_may_restart(lab, window, tmp_path):
    folder, address = lab
    write_edition("student", folder)
    name = put(
        folder / "04_pairs.ipynb", folder, fast=True, epochs=2, output_dir=str(tmp_path / "course")
    )
    opened(window, address(name))
    cells = run_all(window)
    assert errors(cells) == []
    assert printed(cells, "stderr") == []
    place = next(i for i, c in enumerate(cells) if c["metadata"].get("exercise") == "nb04_by_hand")
    said = answer(
        window,
        place,
        'reason = "Only in these two do both ask."',
        "mutual_by_hand = [(0, 2), (1, 0), (2, 1)]",
    )
    said.locator(".ansi-red-fg").wait_for()
    assert "This is one direction. Does each anchor cell ask back?" in said.text_content()
    window.screenshot(path=tmp_path / "red.png")
    said = answer(window, place, "mutual_by_hand = [(0, 2), (1, 0)]")
    said.locator(".ansi-green-fg").wait_for()
    assert "right, 1 of 1 points" in said.text_content()
    window.screenshot(path=tmp_path / "green.png")
    choose(window, "Kernel", "Restart Kernel…")
    window.click(".jp-Dialog button:has-text('Restart')")
    window.wait_for_function(IDLE)
    show(window, place).locator(".cm-content").click()
    window.keyboard.press("Shift+Enter")
    window.wait_for_function("place => " + COUNT.removeprefix("place => ") + " === 1", arg=place)
