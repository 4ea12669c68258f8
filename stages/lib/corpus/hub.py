"""A dataset of the hub at a pinned revision, read over the network as its rows are asked for, and no further.

`datasets` resolves configuration and split to the data files and opens them, as it does for its own streaming (with its
credentials, cache of metadata and retries); their bytes go through the same reader as a local table's, which holds no
row larger than it takes.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

from stages.lib.corpus import columns
from stages.lib.corpus.columns import Entry
from stages.lib.corpus.sources import Hub
from stages.lib.errors import BadInput


def check(source: Hub) -> None:
    """Raise `BadInput` if the hub does not answer, has no such dataset, or its first file lacks a column."""
    first = files(source)[0]
    with _opened(source, first) as stream:
        columns.check(stream, _inside(first), source.columns)


def files(source: Hub) -> list[str]:
    """The split's data files. Raises `BadInput` if they cannot be had, or are of a format that we do not read."""
    import datasets
    from datasets.exceptions import DatasetsError

    try:
        builder = datasets.load_dataset_builder(source.name, source.config, revision=source.revision)
    except (OSError, ValueError, DatasetsError) as error:
        raise BadInput(
            f"dataset {source.name} at {source.revision} cannot be had from the hub: {error}; correct its name, "
            "revision or config in collect.sources, or log in (`hf auth login`) if it is gated"
        ) from None
    splits = builder.config.data_files or {}
    if source.split not in splits:
        raise BadInput(f"dataset {source.name} has no split {source.split!r}; it has {', '.join(map(str, splits))}")
    found = list(map(str, splits[source.split]))
    if odd := next((file for file in found if not columns.is_table(file)), None):
        raise BadInput(f"dataset {source.name}: {_inside(odd)} is neither Parquet nor JSON lines")
    return found


def read(source: Hub, file: str) -> Iterator[Entry]:
    """The rows of one of the `files`. Raises `ConnectionError` if it breaks off: then nothing is set aside."""
    with _opened(source, file) as stream:
        yield from columns.read(stream, _inside(file), source)


@contextmanager
def _opened(source: Hub, file: str) -> Iterator[IO[bytes]]:
    from datasets.utils.file_utils import xopen
    from huggingface_hub.errors import HfHubHTTPError

    try:
        stream = xopen(file, "rb")
        try:
            yield stream
        finally:
            stream.close()
    except (ConnectionError, HfHubHTTPError) as error:  # after the retries of datasets
        raise ConnectionError(
            f"dataset {source.name}: {_inside(file)} broke off ({error}); run it again, it goes on from the last save"
        ) from error


def _inside(file: str) -> str:
    """The file's path in its dataset."""
    return file.rpartition("@")[2].partition("/")[2] if "@" in file else file.rpartition("/")[2]
