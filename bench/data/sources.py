"""The data sets that have a name: what they are, where they come from and where they lie on this disk."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import msgspec

from bench import downloads
from bench.downloads import Download

if TYPE_CHECKING:
    from io import BufferedReader, BytesIO
    from pathlib import Path


class Source(msgspec.Struct, frozen=True, kw_only=True):
    """A data set that has a name.

    Attributes:
        name: As `--dataset` takes it.
        description: What the images show.
        input_shape: Height, width, channels.
        num_classes: Classes.
        num_train: Images of the training split as published.
        num_test: Images of the test split as published.
        places: Where a copy may lie, relative to a data folder, in the order in which they are tried.
        digests: SHA-256 or MD5 of each file that is read, as published, by its name.
        downloads: What to fetch; empty for a data set that is drawn.
        download_bytes: The size of all downloads.
    """

    name: str
    description: str
    input_shape: tuple[int, int, int]
    num_classes: int
    num_train: int
    num_test: int
    places: tuple[str, ...] = ()
    digests: dict[str, str] = {}
    downloads: tuple[Download, ...] = ()
    download_bytes: int = 0


_KERAS_FILES = "https://storage.googleapis.com/tensorflow/tf-keras-datasets/"

# Places, addresses and SHA-256 sums are those of keras.datasets, so that both find what either has downloaded;
# MD5 sums are those of torchvision.datasets.
_MNIST_SHA256 = "731c5ac602752760c8e48fbffcf8c3b850d9dc2a2aedcf2cc48468fc17b673d1"
_FASHION_MNIST_MD5 = {
    "train-images-idx3-ubyte.gz": "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
    "train-labels-idx1-ubyte.gz": "25c81989df183df01b3e8a0aad5dffbe",
    "t10k-images-idx3-ubyte.gz": "bef4ecab320f06d8554ea6380940ec79",
    "t10k-labels-idx1-ubyte.gz": "bb300cfdad3c16e7a12a480ee83cd310",
}

SOURCES: dict[str, Source] = {
    source.name: source
    for source in (
        Source(
            name="synthetic",
            description="drawn objects in 20 groups of 5 classes; nothing to download",
            input_shape=(32, 32, 3),
            num_classes=100,
            num_train=50_000,
            num_test=10_000,
        ),
        Source(
            name="cifar100",
            description="photographs in 20 groups of 5 classes; `cifar100:coarse` takes the groups as classes",
            input_shape=(32, 32, 3),
            num_classes=100,
            num_train=50_000,
            num_test=10_000,
            places=("cifar-100-python-target/cifar-100-python", "cifar-100-python", "cifar-100-python.tar.gz"),
            digests={
                "train": "16019d7e3df5f24257cddd939b257f8d",
                "test": "f0ef6b0ae62326f3e7ffdfab6717acfc",
                "meta": "7973b15100ade9c7d40fb424638fde48",
            },
            downloads=(
                Download(
                    url="https://www.cs.toronto.edu/~kriz/cifar-100-python.tar.gz",
                    digest="85cd44d02ba6437773c5bbd22e183051d648de2e7d6b014e1ef29b855ba677a7",
                    filename="cifar-100-python-target",
                    extract=True,
                ),
            ),
            download_bytes=169_001_437,
        ),
        Source(
            name="cifar10",
            description="photographs of animals and vehicles",
            input_shape=(32, 32, 3),
            num_classes=10,
            num_train=50_000,
            num_test=10_000,
            places=("cifar-10-batches-py-target/cifar-10-batches-py", "cifar-10-batches-py", "cifar-10-python.tar.gz"),
            digests={
                "data_batch_1": "c99cafc152244af753f735de768cd75f",
                "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
                "data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
                "data_batch_4": "634d18415352ddfa80567beed471001a",
                "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
                "test_batch": "40351d587109b95175f43aff81a1287e",
            },
            downloads=(
                Download(
                    url="https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz",
                    digest="6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce",
                    filename="cifar-10-batches-py-target",
                    extract=True,
                ),
            ),
            download_bytes=170_498_071,
        ),
        Source(
            name="mnist",
            description="handwritten digits",
            input_shape=(28, 28, 1),
            num_classes=10,
            num_train=60_000,
            num_test=10_000,
            places=("mnist.npz",),
            digests={"mnist.npz": _MNIST_SHA256},
            downloads=(Download(url=f"{_KERAS_FILES}mnist.npz", digest=_MNIST_SHA256, filename="mnist.npz"),),
            download_bytes=11_490_434,
        ),
        Source(
            name="fashion_mnist",
            description="articles of clothing",
            input_shape=(28, 28, 1),
            num_classes=10,
            num_train=60_000,
            num_test=10_000,
            places=("fashion-mnist",),
            digests=_FASHION_MNIST_MD5,
            downloads=tuple(
                Download(url=f"{_KERAS_FILES}{filename}", digest=digest, filename=filename, folder="fashion-mnist")
                for filename, digest in _FASHION_MNIST_MD5.items()
            ),
            download_bytes=30_878_645,
        ),
    )
}

NAMES = (*SOURCES, "cifar100:coarse")
"""What `--dataset` takes besides paths."""


def source_name(name: str) -> str:
    """The key of `SOURCES` that one of `NAMES` refers to."""
    return name.removesuffix(":coarse")


def folders(data_dir: str | None) -> tuple[Path, ...]:
    """Where data sets are looked for; the first folder is the one that they are downloaded to.

    Args:
        data_dir: What the user named, if anything.
    """
    return downloads.folders("datasets", data_dir)


def find(name: str, data_dir: str | None = None) -> Path | None:
    """Where a named data set lies.

    Args:
        name: A key of `SOURCES`.
        data_dir: A folder to look in first. Defaults to none.

    Returns:
        The first folder, file or archive there is; None if there is none, or nothing is needed.
    """
    candidates = (folder / place for folder in folders(data_dir) for place in SOURCES[name].places)
    return next((path for path in candidates if path.exists()), None)


def has_digest(file: BufferedReader | BytesIO, digest: str) -> bool:
    """Whether a file's content, from its beginning, has this SHA-256 or MD5; rewinds it."""
    file.seek(0)
    found = hashlib.file_digest(file, "md5" if len(digest) == 32 else "sha256").hexdigest()
    file.seek(0)
    return found == digest


def provenance(name: str, place: Path, *, official: bool) -> tuple[str, ...]:
    """What to tell the user about files whose content is not the published one; nothing if it is."""
    if official:
        return ()
    return (f"the content of {place.name} is not {name} as published: it is used as it is, under its own digest",)
