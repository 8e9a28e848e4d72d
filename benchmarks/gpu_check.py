"""Does another device give what the committed results say, and how fast is it?

    make gpu-check     # or: python benchmarks/gpu_check.py --output-dir build/gpu-check

Runs notebooks 00, 03 and 05 on whatever device TensorFlow sees, lists the numbers that are not the
committed ones, which a CPU made (tolerance by row, a tenth where a row states none), and measures
an epoch of each stage at the default's settings: 3 x 500 simulated cells, 2,000 genes; the difference
between a long and a short training, divided by the epochs between them, after one that is not counted.
Where TensorFlow sees no GPU it says so, and checks the CPU. Exit code 1 where a notebook failed, which
it does where a number leaves its bound. A GPU rounds otherwise, and training makes much of it: so a
number that only differs is no failure.
"""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

HERE = Path(__file__).resolve().parent
NOTEBOOKS = ("00", "03", "05")
STAGE1_EPOCHS, STAGE2_EPOCHS = (2, 12), (2, 22)


def seconds_an_epoch(train: Callable[[int], object], epochs: tuple[int, int]) -> float:
    """What an epoch takes longer; a training before, in which a GPU starts, is not counted."""
    took = []
    for n in (epochs[0], *epochs):
        start = time.perf_counter()
        train(n)
        took.append(time.perf_counter() - start)
    return (took[2] - took[1]) / (epochs[1] - epochs[0])


def measured() -> dict:
    """Device, seconds an epoch, highest memory; for a process of its own."""
    import numpy as np
    import tensorflow as tf

    from imap_keras import datasets, preprocess
    from imap_keras.imap.hyperparameters import Hyperparameters
    from imap_keras.imap.training import find_pairs, train_stage1, train_stage2
    from imap_keras.nn.fitting import run
    from imap_keras.nn.memory import highest_resident

    gpus = tf.config.list_physical_devices("GPU")
    raw = datasets.simulate(n_cells=1500, n_genes=2000, n_batches=3, seed=0)
    adata = preprocess(raw, min_genes=50, verbose=0)
    cells, codes = adata.X.toarray(), adata.obs["batch"].cat.codes.to_numpy()
    anchor, query = np.flatnonzero(codes == 0), np.flatnonzero(codes == 1)
    hp = Hyperparameters(search="exact", pair_agreement=0)
    found, models = {}, {}

    def stage1(n: int) -> None:
        models.update(train_stage1(cells, codes, hp.changed(stage1_epochs=n))[0])

    found["stage I"] = seconds_an_epoch(stage1, STAGE1_EPOCHS)
    pairs, _ = find_pairs(run(models["encoder"], cells), cells, query, anchor, hp)
    found["stage II"] = seconds_an_epoch(
        lambda n: train_stage2(cells, pairs, query, hp.changed(stage2_epochs=n)), STAGE2_EPOCHS
    )
    names = [
        tf.config.experimental.get_device_details(gpu).get("device_name", gpu.name) for gpu in gpus
    ]
    found |= {"gpus": names, "memory_gb": highest_resident() / 2**30}
    if gpus:
        found["gpu_memory_gb"] = tf.config.experimental.get_memory_info("GPU:0")["peak"] / 2**30
    return found


def told(found: dict) -> str:
    """What was measured, as a table in Markdown under one sentence.

    Parameters
    ----------
    found
        From :func:`measured`.
    """
    if found["gpus"]:
        sentence = f"TensorFlow sees {len(found['gpus'])} GPU: {', '.join(found['gpus'])}."
    else:
        sentence = (
            "TensorFlow sees no GPU here, so this was a check of the CPU. For an NVIDIA GPU on Linux: "
            "pip install -e '.[gpu]'."
        )
    device = found["gpus"][0] if found["gpus"] else "CPU"
    on_device = f"{found['gpu_memory_gb']:.2f} GB" if "gpu_memory_gb" in found else "-"
    return (
        f"{sentence}\n\n"
        "| device | stage I, s an epoch | stage II, s an epoch | memory | of the GPU |\n"
        "|---|---|---|---|---|\n"
        f"| {device} | {found['stage I']:.3f} | {found['stage II']:.3f} "
        f"| {found['memory_gb']:.2f} GB | {on_device} |"
    )


def in_own_process() -> dict:
    """What :func:`measured` finds where nothing else has run.

    Raises
    ------
    RuntimeError
        The process failed; the message ends with what it said.
    """
    done = subprocess.run([sys.executable, __file__, "--measure"], capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"Measuring failed (exit {done.returncode}): {done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output-dir", default="build/gpu-check")
    parser.add_argument("--measure", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.measure:
        print("\n" + json.dumps(measured()))
        return 0
    from imap_keras.course.baseline import drift_report
    from imap_keras.course.runner import find_notebooks
    from imap_keras.course.runner import main as course

    code = course([*NOTEBOOKS, "--output-dir", options.output_dir])
    made = Path(options.output_dir) / "results"
    names = [path.stem for path in find_notebooks(list(NOTEBOOKS))]
    print(drift_report(names, made, HERE.parent / "notebooks" / "results")[0])
    print(told(in_own_process()))
    return code


if __name__ == "__main__":
    sys.exit(main())
