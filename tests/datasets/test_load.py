"""Collections are read from local files, or fetched, or refused with what to do."""

import gzip
from urllib.error import URLError

import numpy as np
import pytest

from expand_and_cluster.core.errors import EacError, FileFormatError, InvalidInputError
from expand_and_cluster.datasets import DATA_VARIABLE, load
from expand_and_cluster.datasets.dataset import from_bytes
from expand_and_cluster.datasets.online import fetch


@pytest.fixture(autouse=True)
def offline(monkeypatch):
    """No test reads the machine's own data or asks the network."""

    def refuse(*_, **__):
        raise URLError("no network in tests")

    monkeypatch.delenv(DATA_VARIABLE, raising=False)
    monkeypatch.setattr("sklearn.datasets.fetch_openml", refuse)


def idx(array: np.ndarray) -> bytes:
    header = bytes([0, 0, 8, array.ndim])
    return header + b"".join(int(n).to_bytes(4, "big") for n in array.shape) + array.tobytes()


def images(count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    pixels = rng.integers(0, 256, size=(count, 28, 28), dtype=np.uint8)
    return pixels, rng.integers(0, 10, size=count, dtype=np.uint8)


def write_mnist(folder, *, zipped=False, train=12, test=5):
    folder.mkdir(parents=True)
    for part, count, seed in (("train", train, 0), ("t10k", test, 1)):
        pixels, labels = images(count, seed)
        for name, array in ((f"{part}-images-idx3-ubyte", pixels),
                            (f"{part}-labels-idx1-ubyte", labels)):  # fmt: skip
            content = idx(array)
            if zipped:
                (folder / f"{name}.gz").write_bytes(gzip.compress(content))
            else:
                (folder / name).write_bytes(content)


def test_digits_are_always_there():
    digits = load("digits")
    assert digits.name == "digits"
    assert digits.image_shape == (8, 8)
    assert (digits.input_size, digits.classes) == (64, 10)
    assert (len(digits.train_inputs), len(digits.test_inputs)) == (1437, 360)
    assert digits.train_inputs.dtype == np.float64
    assert (digits.train_inputs.min(), digits.train_inputs.max()) == (0, 1)
    assert np.all(np.bincount(digits.test_labels, minlength=10) > 20)
    # The split is fixed: the same image of an eight stands first today and tomorrow.
    again = load("digits")
    assert np.array_equal(again.train_inputs, digits.train_inputs)
    assert digits.test_labels[:8].tolist() == [2, 8, 2, 6, 6, 7, 1, 9]


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize(
    ("name", "inside"), [("mnist", "mnist"), ("fashion_mnist", "fashion-mnist")]
)
def test_local_files_are_read(tmp_path, name, inside, zipped):
    write_mnist(tmp_path / inside, zipped=zipped)
    data = load(name, folder=tmp_path)
    assert (data.name, data.image_shape) == (name, (28, 28))
    for part, count, seed in (("train", 12, 0), ("test", 5, 1)):
        pixels, labels = images(count, seed)
        inputs = getattr(data, f"{part}_inputs")
        assert inputs.dtype == np.float64
        assert np.array_equal(inputs, pixels.reshape(count, 784) / 255)
        assert np.array_equal(getattr(data, f"{part}_labels"), labels)


def test_the_environment_names_the_folder(tmp_path, monkeypatch):
    write_mnist(tmp_path / "mnist")
    monkeypatch.setenv(DATA_VARIABLE, str(tmp_path))
    assert len(load("mnist").train_inputs) == 12
    # It does not have the other one, which is then fetched: here in vain.
    with pytest.raises(EacError, match=r"fashion-mnist/.*EXPAND_AND_CLUSTER_DATA"):
        load("fashion_mnist")
    # An argument comes first, and is not replaced by anything.
    with pytest.raises(EacError, match="does not hold mnist"):
        load("mnist", folder=tmp_path / "elsewhere")


def test_what_is_neither_here_nor_reachable_is_refused_with_advice():
    with pytest.raises(EacError, match=r"mnist_784 could not be fetched .*folder="):
        load("mnist")


@pytest.mark.parametrize(
    ("name", "collection"),
    [("mnist", "mnist_784"), ("fashion_mnist", "Fashion-MNIST"), ("cifar10", "CIFAR_10")],
)
def test_each_name_has_its_collection(monkeypatch, name, collection):
    asked = []

    def answer(name, **settings):
        asked.append((name, settings["version"], settings["as_frame"]))
        raise URLError("enough")

    monkeypatch.setattr("sklearn.datasets.fetch_openml", answer)
    with pytest.raises(EacError, match="enough"):
        load(name)
    assert asked == [(collection, 1, False)]


def test_what_openml_gives_is_split(monkeypatch):
    pixels = np.arange(5 * 4).reshape(5, 4) * 10
    classes = np.array(["3", "1", "4", "1", "5"], dtype=object)
    monkeypatch.setattr("sklearn.datasets.fetch_openml", lambda *_, **__: (pixels, classes))
    data = from_bytes("tiny", *fetch("Tiny", 1, 3, "give up."), image_shape=(2, 2))
    assert np.array_equal(data.train_inputs, pixels[:3] / 255)
    assert np.array_equal(data.test_inputs, pixels[3:] / 255)
    assert data.train_labels.tolist() == [3, 1, 4]
    assert data.test_labels.tolist() == [1, 5]


def cifar(count: int, seed: int) -> tuple[bytes, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 10, size=count, dtype=np.uint8)
    pixels = rng.integers(0, 256, size=(count, 3072), dtype=np.uint8)
    return np.column_stack([labels, pixels]).tobytes(), pixels, labels


def test_cifar_batches_are_read_in_order(tmp_path):
    folder = tmp_path / "cifar-10-batches-bin"
    folder.mkdir()
    parts = {name: cifar(count, seed) for seed, (name, count) in enumerate(
        [("data_batch_1", 3), ("data_batch_2", 2), ("test_batch", 4)])}  # fmt: skip
    for name, (content, _, _) in parts.items():
        (folder / f"{name}.bin").write_bytes(content)
    data = load("cifar10", folder=tmp_path)
    assert data.image_shape == (3, 32, 32)
    expected = np.concatenate([parts["data_batch_1"][1], parts["data_batch_2"][1]])
    assert np.array_equal(data.train_inputs, expected / 255)
    assert np.array_equal(data.train_labels[3:], parts["data_batch_2"][2])
    assert np.array_equal(data.test_labels, parts["test_batch"][2])

    (folder / "test_batch.bin").write_bytes(parts["test_batch"][0][:-1])
    with pytest.raises(FileFormatError, match="whole number of records"):
        load("cifar10", folder=tmp_path)
    (folder / "test_batch.bin").write_bytes(b"\x0a" + parts["test_batch"][0][1:])
    with pytest.raises(FileFormatError, match="label 10"):
        load("cifar10", folder=tmp_path)
    (folder / "test_batch.bin").unlink()
    with pytest.raises(EacError, match=r"data_batch_\*\.bin and test_batch\.bin"):
        load("cifar10", folder=tmp_path)


LABELS = "train-labels-idx1-ubyte"
DAMAGED = [
    (LABELS, b"", "no IDX file"),
    (LABELS, b"\x00\x00", "no IDX file"),
    (LABELS, b"\x00\x00\x0d\x01" + bytes(8), "no IDX file"),
    (LABELS, b"\x00\x00\x08\x03" + bytes(4), "no IDX file"),
    # Without the time of day, which would give the test another name in every process.
    (LABELS, gzip.compress(idx(np.zeros(12, np.uint8)), mtime=0), "no IDX file"),
    (LABELS, idx(np.zeros(12, np.uint8))[:-1], "holds 11 values"),
    (LABELS, idx(np.zeros(11, np.uint8)), "12 images and 11 labels"),
    ("t10k-images-idx3-ubyte", idx(np.zeros((5, 8, 8), np.uint8)), "64 values"),
    ("t10k-images-idx3-ubyte", idx(np.zeros((0, 28, 28), np.uint8)), "0 images"),
]


@pytest.mark.parametrize(("name", "content", "words"), DAMAGED)
def test_damaged_files_are_refused(tmp_path, name, content, words):
    write_mnist(tmp_path / "mnist")
    (tmp_path / "mnist" / name).write_bytes(content)
    with pytest.raises(FileFormatError, match=words):
        load("mnist", folder=tmp_path)


def test_a_damaged_archive_is_refused(tmp_path):
    write_mnist(tmp_path / "mnist", zipped=True)
    path = tmp_path / "mnist" / f"{LABELS}.gz"
    for content in (path.read_bytes()[:-9], b"not gzip at all"):
        path.write_bytes(content)
        with pytest.raises(FileFormatError, match="gzip"):
            load("mnist", folder=tmp_path)


def test_an_unknown_name_is_refused():
    with pytest.raises(InvalidInputError, match=r"'letters' is unknown; choose one of digits"):
        load("letters")
