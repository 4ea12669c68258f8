"""Downloads model weights before a run needs them: `make weights [NAME=…]`.

python -m commands weights            list them, and which are in the cache
python -m commands weights NAME …     download these
"""

import logging

from stages.lib.models import weights
from stages.lib.models.weights.progress import size


def main(arguments: list[str]) -> None:
    """Download the weights that `arguments` names, or list all. Raises `BadInput` if one is not available."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    for name in arguments:
        print(f"{weights.SCHEME}{name}: {weights.fetch(name)}")
    if not arguments:
        _list()


def _list() -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("name", "size", "licence", "here", box=None)
    for name in weights.names():
        known = weights.load(name)
        table.add_row(
            f"{weights.SCHEME}{name}", size(known.bytes), known.license, "yes" if known.path.is_file() else "no"
        )
    Console().print(table)
    print(f"cache: {weights.cache()}")
