"""Break saved models on purpose and count what happens: ``python benchmarks/break_it.py [--kills 30]``.

One tiny model of every class (``tests/saved``). Survived: the model comes back bit by bit, or the
documented error (FileNotFoundError, ValueError) names a file of the folder. Everything else failed.

- kills: a process saves again and again into one folder and is killed (SIGKILL) at a random moment;
- together: two processes save at once, three times each;
- truncations and byte flips of the archives and of the description.
"""

import argparse
import hashlib
import io
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
import zipfile
from collections import Counter
from pathlib import Path

import h5py
import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "saved"))
from make import ARCHIVE, CLASSES  # one list of all classes


def same(model, other) -> bool:
    """Weights and state are equal bit by bit."""
    ours, theirs = (m._networks() for m in (model, other))
    pairs = [(ours[n].get_weights(), theirs[n].get_weights()) for n in ours]
    equal = all(np.array_equal(a, b) for one, two in pairs for a, b in zip(one, two, strict=True))
    return set(ours) == set(theirs) and equal and str(model._state()) == str(other._state())


def verdict(kind: str, folder: Path, whole: Path) -> str:
    """How loading ended: "the same", "refused", or what went wrong."""
    try:
        model = CLASSES[kind].load(folder)
    except (FileNotFoundError, ValueError) as error:
        return "refused" if str(folder) in str(error) else f"no path: {error}"
    except BaseException as error:
        return f"{type(error).__name__}: {error}"
    return "the same" if same(model, CLASSES[kind].load(whole)) else "ANOTHER MODEL"


def child(work) -> int:
    """Run work in a process of its own (TensorFlow is imported, not yet used, when it is forked)."""
    pid = os.fork()
    if pid == 0:
        try:
            os._exit(work() or 0)
        except BaseException as error:
            print(type(error).__name__, error, file=sys.stderr)
            os._exit(9)
    return pid


def exit_code(pid: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def save_for_ever(model, folder: Path, saved: int, times: int = 10**6) -> None:
    for _ in range(times):
        model.save(folder)
        os.write(saved, b"x")


def whole_on_disk(folder: Path, whole: Path) -> bool:
    """The folder holds the model of `whole`: description, hashes, and weights bit by bit.

    Without Keras, so that a kill costs no start of TensorFlow; :func:`verdict` loads at the end.
    """
    told = [json.loads((place / "model.json").read_text()) for place in (folder, whole)]
    if told[0]["info"] != told[1]["info"] or set(told[0]["models"]) != set(told[1]["models"]):
        return False
    for name, entry in told[0]["models"].items():
        files = [
            place / text["models"][name]["file"]
            for place, text in zip((folder, whole), told, strict=True)
        ]
        if hashlib.sha256(files[0].read_bytes()).hexdigest() != entry["sha256"]:
            return False
        if numbers(files[0]) != numbers(files[1]):
            return False
    return True


def numbers(archive: Path) -> dict[str, bytes]:
    """Every table of numbers of one network by its place."""
    found = {}

    def keep(name, item):
        if hasattr(item, "dtype"):
            found[name] = item[()].tobytes()

    with zipfile.ZipFile(archive) as members:
        content = io.BytesIO(members.read("model.weights.h5"))
    with h5py.File(content) as weights:
        weights.visititems(keep)
    return found


def kills(kind: str, whole: Path, folder: Path, count: int, rng: random.Random) -> Counter:
    """Kill a saving process `count` times; the folder holds a model before the first one.

    The model is loaded once, in a process that forks the saving ones: they only read its weights.
    """
    told, model = Counter(), CLASSES[kind].load(whole)
    for _ in range(count):
        read, write = os.pipe()
        pid = child(lambda write=write: save_for_ever(model, folder, write))
        start = time.perf_counter()
        os.read(read, 1)  # it has saved once
        time.sleep(rng.uniform(0, time.perf_counter() - start))
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        os.close(read), os.close(write)
        told["survived" if whole_on_disk(folder, whole) else "FAILED"] += 1
    if verdict(kind, folder, whole) != "the same":
        told["FAILED"] += 1
    return told


def together(kind: str, whole: Path, folder: Path) -> Counter:
    read, write = os.pipe()
    model = CLASSES[kind].load(whole)
    pids = [child(lambda: save_for_ever(model, folder, write, 3)) for _ in range(2)]
    codes = [exit_code(pid) for pid in pids]
    os.close(read), os.close(write)
    codes.append(int(verdict(kind, folder, whole) != "the same"))
    return Counter("survived" if code == 0 else "FAILED" for code in codes)


def damages(kind: str, whole: Path, folder: Path, count: int, rng: random.Random) -> Counter:
    """Cut `count` files short and flip a bit of ten times as many."""
    told = Counter()
    for number in range(11 * count):
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(whole, folder)
        file = rng.choice(sorted(folder.iterdir())) if number % 2 else folder / "model.json"
        content = bytearray(file.read_bytes())
        if number < count:
            what, content = "cut", content[: rng.randrange(len(content))]
        else:
            what, place = "flip", rng.randrange(len(content))
            content[place] ^= 1 << rng.randrange(8)
        file.write_bytes(content)
        how = verdict(kind, folder, whole)
        told[f"{what}: {how if how in ('the same', 'refused') else 'FAILED ' + how[:80]}"] += 1
    return told


def break_all(kind: str, whole: Path, folder: Path, kill: int, cut: int, rng: random.Random) -> int:
    """Everything on one class, in a process of its own; returns 1 if something failed."""
    told = {"damages": damages(kind, whole, folder, cut, rng)}
    print(kind, dict(told["damages"]), flush=True)
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(whole, folder)
    told |= {"kills": kills(kind, whole, folder, kill, rng), "together": together(kind, whole, folder)}
    print(kind, {name: dict(told[name]) for name in ("kills", "together")}, flush=True)
    return int(any("FAILED" in how for counts in told.values() for how in counts))


def main() -> int:
    """Break every class and print the counts; returns 1 if something failed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=30, help="of each class")
    parser.add_argument("--cuts", type=int, default=10, help="of each class; ten times as many flips")
    parser.add_argument("--classes", nargs="+", choices=[*CLASSES], default=[*CLASSES])
    options = parser.parse_args()
    rng, failed = random.Random(0), False
    with tempfile.TemporaryDirectory() as place:
        shutil.unpack_archive(ARCHIVE, place)
        for kind in options.classes:
            whole, folder = Path(place) / f"{kind}-whole", Path(place) / f"{kind}-broken"
            again = child(lambda kind=kind, w=whole: CLASSES[kind].load(Path(place) / kind).save(w))
            assert exit_code(again) == 0  # saved as it is done today
            work = (kind, whole, folder, options.kills, options.cuts, rng)
            failed |= bool(exit_code(child(lambda work=work: break_all(*work))))
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
