"""make gpu-check: what it says of a device, and that a drift is its exit code."""

import importlib.util
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
def test_three_notebooks_are_compared_and_a_drift_is_the_exit_code(check, monkeypatch, capsys, code):
    asked = []
    monkeypatch.setattr(imap_keras.course.runner, "main", lambda told: asked.append(told) or code)
    monkeypatch.setattr(check, "in_own_process", lambda: FOUND)
    assert check.main(["--output-dir", "somewhere"]) == code
    results = ROOT / "notebooks" / "results"
    assert asked == [["00", "03", "05", "--output-dir", "somewhere", "--baseline", str(results)]]
    assert all(list(results.glob(f"{number}_*.json")) for number in asked[0][:3])
    assert "| CPU | 0.250 |" in capsys.readouterr().out
