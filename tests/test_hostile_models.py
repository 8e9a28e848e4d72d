"""Saved models that were damaged, or made to do harm: nothing in them runs, no file outside is read.

A network of one layer, saved as every model is. What is hostile is put in with hashes that fit, as
somebody would who means harm: hashes find accidents only.
"""

import io
import json
import os
import pickle
import sys
import time
import zipfile

import h5py
import keras
import numpy as np
import pytest

from imap_keras.nn import archive, persistence
from imap_keras.nn.blocks import Mish
from imap_keras.nn.persistence import _sha256, _sha256_of, load_models, save_models


def small_network(seed=0):
    keras.utils.set_random_seed(seed)
    cell = keras.Input((2,), name="cell")
    return keras.Model(cell, Mish(name="bend")(keras.layers.Dense(3, name="weights")(cell)))


@pytest.fixture
def folder(tmp_path):
    save_models(tmp_path / "model", "toy", {"network": small_network()}, {"numbers": [1.5, 2.0]})
    return tmp_path / "model"


def archive_of(folder):
    (file,) = folder.glob("*.keras")
    return file


def describe(folder, change=lambda description: None):
    """Write the description anew, with hashes that fit."""
    description = json.loads((folder / "model.json").read_text())
    description.pop("sha256")
    for entry in description["models"].values():
        if (folder / entry["file"]).is_file():
            entry["sha256"] = _sha256(folder / entry["file"])
    change(description)
    description["sha256"] = _sha256_of(description)
    (folder / "model.json").write_text(json.dumps(description))


def repack(folder, change, compression=zipfile.ZIP_STORED):
    """Change the members of the network's archive, and all hashes with them."""
    file = archive_of(folder)
    with zipfile.ZipFile(file) as old:
        members = {name: old.read(name) for name in old.namelist()}
    change(members)
    with zipfile.ZipFile(file, "w", compression) as new:
        for name, content in members.items():
            new.writestr(name, content)
    describe(folder)


def in_config(folder, change):
    def of_members(members):
        config = json.loads(members["config.json"])
        change(config)
        members["config.json"] = json.dumps(config).encode()

    repack(folder, of_members)


def in_weights(folder, change):
    def of_members(members):
        content = io.BytesIO(members["model.weights.h5"])
        with h5py.File(content, "r+") as file:
            change(file)
        members["model.weights.h5"] = content.getvalue()

    repack(folder, of_members)


def layer_of(config, name="weights"):
    return next(layer for layer in config["config"]["layers"] if layer["config"]["name"] == name)


@pytest.fixture
def refused(folder, monkeypatch):
    """Loading raises the documented error, names the file, and Keras never sees it."""

    def check(told, place=None):
        monkeypatch.setattr(
            keras.models, "load_model", lambda *_, **__: pytest.fail("Keras has opened the file")
        )
        with pytest.raises(ValueError) as error:
            load_models(folder, "toy")
        assert str(error.value).startswith(str(place or archive_of(folder))), error.value
        assert told in str(error.value)

    return check


def test_the_network_itself_loads(folder):
    models, info = load_models(folder, "toy")
    x = np.ones((4, 2), "float32")
    np.testing.assert_array_equal(models["network"](x), small_network()(x))
    assert info == {"numbers": [1.5, 2.0]}
    in_config(folder, lambda config: None)  # repacked as below, it still does
    in_weights(folder, lambda file: None)
    assert load_models(folder, "toy")[1] == info


# ------------------------------------------------------------------ names in the description


@pytest.mark.parametrize("kind", ["legacy", "relative", "absolute", "link by name", "number"])
def test_a_file_of_another_name_is_not_opened(folder, tmp_path, refused, kind):
    """In Keras before 3.11.3 an .h5 file runs Lambda layers, whatever safe_mode says."""
    own = archive_of(folder)
    outside = tmp_path / own.name
    outside.write_bytes(own.read_bytes())
    name = {
        "legacy": "00-00000000.h5",
        "relative": f"../{own.name}",
        "absolute": str(outside),
        "link by name": "00-0000000g.keras",
        "number": 3,
    }[kind]
    (folder / "00-00000000.h5").write_bytes(b"never read")

    def point(description):
        description["models"]["network"]["file"] = name

    describe(folder, point)
    refused(f"names the file {name!r} (network)", folder / "model.json")


# ------------------------------------------------------------------ config.json

TOUCH = "import pathlib; pathlib.Path({!r}).write_text('ran')"
ENTRIES = {
    "Lambda": ("keras.layers", "Lambda", None),
    "Lambda of Keras 2": (None, "Lambda", None),
    "TFSMLayer": ("keras.layers", "TFSMLayer", None),
    "StringLookup": ("keras.layers", "StringLookup", None),
    "a module beside the model": ("evil_module", "Layer", None),
    "a class not registered": ("evil_module", "Evil", "imap_keras>Evil"),
    "another name than registered": ("evil_module", "Layer", "imap_keras>Mish"),
    "get_file": ("keras.utils", "get_file", "get_file"),
    "os.system": ("os", "function", "system"),
    "a lambda": ("builtins", "__lambda__", None),
    "a function": ("builtins", "function", "function"),
    "the loader": ("keras.models", "load_model", "load_model"),
}


@pytest.mark.parametrize("name", ENTRIES)
def test_a_class_that_this_project_does_not_write_is_refused(
    folder, tmp_path, refused, monkeypatch, name
):
    (tmp_path / "evil_module.py").write_text(TOUCH.format(str(tmp_path / "ran")))
    monkeypatch.syspath_prepend(tmp_path)
    module, class_name, registered = ENTRIES[name]

    def replace(config):
        layer = layer_of(config)
        layer.update(module=module, class_name=class_name, registered_name=registered)
        layer["config"].update(
            vocabulary="/etc/hostname", filepath=str(tmp_path), function=["4wAAAA==", None, None]
        )

    in_config(folder, replace)
    refused(f"names {module}.{class_name} ({registered}), which is no part of its networks")
    assert not (tmp_path / "ran").exists() and "evil_module" not in sys.modules


def test_a_class_deep_inside_a_layer_is_refused(folder, refused):
    evil = {"class_name": "Lambda", "config": {"function": "x"}}
    in_config(
        folder, lambda config: layer_of(config)["config"].update(kernel_initializer=[[{"a": evil}]])
    )
    refused("names None.Lambda (None)")


def test_what_a_network_was_compiled_with_is_not_read(folder, tmp_path, monkeypatch):
    (tmp_path / "evil_module.py").write_text(TOUCH.format(str(tmp_path / "ran")))
    monkeypatch.syspath_prepend(tmp_path)
    loss = {"module": "evil_module", "class_name": "Loss", "config": {}, "registered_name": None}
    in_config(folder, lambda config: config.update(compile_config={"optimizer": loss, "loss": loss}))
    models, _ = load_models(folder, "toy")
    assert models["network"].output_shape == (None, 3)
    assert not (tmp_path / "ran").exists() and "evil_module" not in sys.modules


def test_a_huge_config_is_not_read(folder, refused):
    def blow_up(members):
        members["config.json"] = b" " * archive.LARGEST_CONFIG + members["config.json"]

    repack(folder, blow_up)
    refused("bytes, more than 4000000")


def test_a_deep_config_is_an_error_as_any(folder, refused):
    repack(folder, lambda members: members.update({"config.json": b"[" * 100_000 + b"]" * 100_000}))
    refused("cannot be read as a network: RecursionError")


# ------------------------------------------------------------------ members, weights


class Evil:
    def __reduce__(self):
        return os.system, ("false",)


def test_a_pickle_in_the_place_of_weights_is_refused(folder, refused):
    def pickled(members):
        members.pop("model.weights.h5")
        members["model.weights.npz"] = pickle.dumps(Evil())

    repack(folder, pickled)
    refused("its members are ['config.json', 'metadata.json', 'model.weights.npz'], not")


@pytest.mark.parametrize("extra", ["assets/vocabulary.txt", "../outside.txt", "/outside.txt"])
def test_a_further_member_is_refused(folder, refused, extra):
    repack(folder, lambda members: members.update({extra: b"x"}))
    refused("its members are [")


def test_a_packed_archive_is_refused(folder, refused):
    repack(folder, lambda members: None, zipfile.ZIP_DEFLATED)
    refused("is compressed")


def first_dataset(file):
    found = []
    file.visititems(lambda name, entry: found.append(name) if isinstance(entry, h5py.Dataset) else None)
    return found[0]


def external(file, outside):
    file.create_dataset("more", shape=(8,), dtype="f4", external=[(str(outside), 0, 32)])


def virtual(file, outside):
    layout = h5py.VirtualLayout(shape=(8,), dtype="f4")
    layout[:] = h5py.VirtualSource(str(outside), "x", shape=(8,))
    file.create_virtual_dataset("more", layout)


def external_link(file, outside):
    file["more"] = h5py.ExternalLink(str(outside), "/")


def soft_link(file, _):
    file["more"] = h5py.SoftLink("/" + first_dataset(file))


def twice(file, _):
    file["more"] = file[first_dataset(file)]


def words(file, _):
    file["more"] = np.array([b"/etc/hostname"])


def bomb(file, _):
    file.create_dataset("more", shape=(10**6, 10**6), chunks=(8, 8), dtype="f4")


@pytest.mark.parametrize(
    "change, told",
    [
        (external, "has numbers in another file ('more')"),
        (virtual, "has numbers in another file ('more')"),
        (external_link, "holds a link to another place ('more')"),
        (soft_link, "holds a link to another place ('more')"),
        (twice, "holds one part twice"),
        (words, "holds something that is no numbers ('more')"),
        (bomb, "is smaller than the numbers it claims to hold"),
    ],
)
def test_weights_that_are_no_plain_numbers_are_refused(folder, tmp_path, refused, change, told):
    outside = tmp_path / "outside"
    outside.write_bytes(b"secret" * 10)
    in_weights(folder, lambda file: change(file, outside))
    refused(f"model.weights.h5 {told}")


# ------------------------------------------------------------------ damage


@pytest.mark.parametrize(
    "old, new", [("1.5", "1.6"), ("numbers", "nambers"), ('"sha256": "', '"sha257": "')]
)
def test_one_changed_byte_of_the_description_is_seen(folder, refused, old, new):
    text = (folder / "model.json").read_text()
    (folder / "model.json").write_text(new.join(text.rsplit(old, 1)))
    refused("is damaged (ValueError: ", folder / "model.json")


@pytest.mark.parametrize("text", ["[" * 100_000, "null", '"x"', '{"models": []}', "\xff"], ids=range(5))
def test_a_description_that_is_none_is_one_kind_of_error(folder, refused, text):
    (folder / "model.json").write_text(text, encoding="latin1")
    refused("is damaged (", folder / "model.json")


def expected(info):
    return {"network": ([2], [len(info["numbers"]) + 1])}


def test_networks_of_other_names_or_widths_are_refused(folder):
    load_models(folder, "toy", expected)
    for wrong, told in (
        ({"network": ([2], [3]), "pca": ([2], [3])}, "expected \\['network', 'pca'\\]"),
        ({"network": ([3], [3])}, "has inputs of \\[2\\] numbers, expected \\[3\\]"),
        ({"network": ([2], [4])}, "has outputs of \\[3\\] numbers, expected \\[4\\]"),
    ):
        with pytest.raises(ValueError, match=told):
            load_models(folder, "toy", lambda info, wrong=wrong: wrong)
    with pytest.raises(ValueError, match="model.json is damaged .KeyError: 'genes'"):
        load_models(folder, "toy", lambda info: info["genes"])


# ------------------------------------------------------------------ saves beside one another


def test_two_saves_at_once_leave_one_of_the_two(folder, monkeypatch):
    """The order that lost both: B writes its networks, A finishes, B finishes."""
    write, order = persistence.write_whole, []

    def a_between(path, *args):
        if not order:
            order.append("B waits")
            save_models(folder, "toy", {"network": small_network(1)}, {"who": "A"})
        write(path, *args)

    monkeypatch.setattr(persistence, "write_whole", a_between)
    save_models(folder, "toy", {"network": small_network(2)}, {"who": "B"})
    models, info = load_models(folder, "toy")
    x = np.ones((4, 2), "float32")
    assert info == {"who": "B"}
    np.testing.assert_array_equal(models["network"](x), small_network(2)(x))


def test_a_load_during_a_save_gives_one_of_the_two_models(folder, monkeypatch):
    check, saves = archive.check_archive, []

    def saved_between(path):
        if not saves:
            saves.append(save_models(folder, "toy", {"network": small_network(1)}, {"who": "A"}))
        check(path)

    monkeypatch.setattr(persistence, "check_archive", saved_between)
    models, info = load_models(folder, "toy")
    assert info == {"who": "A"}
    x = np.ones((4, 2), "float32")
    np.testing.assert_array_equal(models["network"](x), small_network(1)(x))


def test_what_a_killed_save_left_goes_after_a_day(folder):
    names = ("00-0123abcd.keras", "writing-0123abcd-model.json")
    for name, age in zip(names, (2, 2), strict=True):
        (folder / name).write_text("left over")
        os.utime(folder / name, (time.time() - age * 86_400,) * 2)
    (folder / "01-0123abcd.keras").write_text("of a save at work")
    (folder / "02-0123abcd.keras").mkdir()
    save_models(folder, "toy", {"network": small_network(1)}, {})
    assert {path.name for path in folder.iterdir()} >= {"01-0123abcd.keras", "02-0123abcd.keras"}
    assert not any((folder / name).exists() for name in names)


def test_a_failed_first_save_leaves_no_folder(tmp_path, monkeypatch):
    def full(*_):
        raise OSError("disk full")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match="disk full"):
        save_models(tmp_path / "new", "toy", {"network": small_network()}, {})
    assert not (tmp_path / "new").exists()


def test_a_path_may_begin_with_a_tilde(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    save_models("~/model", "toy", {"network": small_network()}, {"n": 1})
    assert load_models("~/model", "toy")[1] == {"n": 1}
    assert (tmp_path / "model" / "model.json").is_file()
