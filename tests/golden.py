"""Numbers that the original programs computed: where the files lie, how weights are drawn again.

``IMAP_KERAS_GOLDEN=folder`` takes the files of another folder: other seeds, sizes and options of the
same recipes. The tests of a file that the folder lacks are skipped, by the file's name. The recipes are
in ``tests/golden/README.md``.
"""

import json
import os
from pathlib import Path

import numpy as np
import pytest

FOLDER = Path(__file__).parent / "golden"


def golden_file(name: str) -> Path:
    """Path of a file of numbers; the module that asks is skipped where the folder lacks it."""
    folder = Path(os.environ.get("IMAP_KERAS_GOLDEN", FOLDER))
    if not (folder / name).is_file():
        pytest.skip(f"{name} is not in {folder}", allow_module_level=True)
    return folder / name


def golden_cases(name: str) -> list[dict]:
    """All cases of a JSON file."""
    return json.loads(golden_file(name).read_text())


def case_name(case: dict) -> str:
    """What a test calls a case."""
    return f"{case['kind']}_seed{case.get('seed', '')}"


def draw_weights(rng: np.random.Generator, parameter_order: dict, **scales) -> dict[str, np.ndarray]:
    """Draw weights, in the order of the file: matrices N(0, 0.1) or as `scales` says."""
    drawn = {}
    for name, shape in parameter_order.items():
        if len(shape) == 2:
            value = rng.normal(0, scales.get(name, 0.1), size=shape)
        else:
            value = rng.uniform(-0.05, 0.05, size=shape)
        drawn[name] = value.astype("float32")
    return drawn


def norm(value) -> float:
    """Euclidean norm in double precision."""
    return float(np.linalg.norm(np.asarray(value, "float64")))
