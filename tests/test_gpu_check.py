"""make gpu-check: what it says of a device, what it lists, and when it fails."""

import importlib.util
import json
from pathlib import Path

import pytest

import imap_keras.course.runner

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def check():
    spec = importlib.util.spec_from_file_location("gpu_check", ROOT / "benchmarks" / "gpu_check.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


FOUND = {"gpus": [], "memory_gb": 1.234, "stage I": 0.25, "stage II": 0.0625}


def test_without_a_gpu_it_says_so(check):
    said = check.told(FOUND)
    assert said.startswith("TensorFlow sees no GPU here, so this was a check of the CPU.")
    assert said.endswith("| CPU | 0.250 | 0.062 | 1.23 GB | - |")


def test_a_gpu_is_named_with_its_memory(check):
    said = check.told(FOUND | {"gpus": ["Some GPU"], "gpu_memory_gb": 3.0})
    assert said.startswith("TensorFlow sees 1 GPU: Some GPU.\n")
    assert said.endswith("| Some GPU | 0.250 | 0.062 | 1.23 GB | 3.00 GB |")


@pytest.mark.parametrize("code", [0, 1])
def test_what_differs_is_listed_and_a_failure_is_the_exit_code(
    check, monkeypatch, capsys, tmp_path, code
):
    asked, results = [], ROOT / "notebooks" / "results"

    def course(told):
        asked.append(told)
        (tmp_path / "results").mkdir()
        rows = json.loads((results / "00_tour.json").read_text())
        rows["results"][0]["value"] += 1  # and 03 and 05 wrote none
        (tmp_path / "results" / "00_tour.json").write_text(json.dumps(rows))
        return code

    monkeypatch.setattr(imap_keras.course.runner, "main", course)
    monkeypatch.setattr(check, "in_own_process", lambda: FOUND)
    assert check.main(["--output-dir", str(tmp_path)]) == code
    assert asked == [["00", "03", "05", "--output-dir", str(tmp_path)]]
    assert all(list(results.glob(f"{number}_*.json")) for number in asked[0][:3])
    said = capsys.readouterr().out
    assert "1 of 15 results drifted" in said and "true_positive_gain" in said
    assert "| CPU | 0.250 |" in said


def test_the_training_in_which_a_gpu_starts_is_not_counted(check, monkeypatch):
    # With it counted, an epoch on an H200 took less than no time.
    asked, clock = [], iter([0, 103, 200, 203, 300, 308])
    monkeypatch.setattr(check.time, "perf_counter", lambda: next(clock))
    assert check.seconds_an_epoch(asked.append, (2, 12)) == 0.5
    assert asked == [2, 2, 12]
