"""The page's data: gzipped JSON in base64, in a script element that the page unpacks and `make compare-runs` reads."""

import base64
import copy
import gzip
import json
import re
from pathlib import Path
from typing import Any

from stages.lib.artifacts import canonical
from stages.lib.errors import BadInput
from stages.lib.report import exchanges
from stages.lib.report.tables import Row

FORMAT = 1
MOST_BYTES = 4_300_000  # of base64; the page around it takes some 300 kB, and 5 MB is what people will mail
ELEMENT = re.compile(r'<script type="application/gzip" id="data">([^<]*)</script>')


def pack(facts: dict[str, Any], rows: list[Row], most_bytes: int = MOST_BYTES) -> tuple[str, int]:
    """The packed data, and how many of the rows are in it: all, or the first ones that fit into `most_bytes`."""
    kept = len(rows)
    while True:
        packed = _pack({**facts, "format": FORMAT}, rows[:kept])
        if len(packed) <= most_bytes or not kept:
            return packed, kept
        kept = min(kept - 1, int(0.97 * kept * most_bytes / len(packed)))


def read(page: Path) -> dict[str, Any]:
    """The data of a report's page, with every text in its place. Raises `BadInput` if it has none."""
    try:
        return unpack(page.read_text(encoding="utf-8"), str(page))
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"{page} cannot be read: {error}") from None


def unpack(html: str, where: str) -> dict[str, Any]:
    """`read` of the page's text; `where` is what errors call it."""
    found = ELEMENT.search(html)
    if not found:
        raise BadInput(f"{where} is no report, or one of an older Tidemill without rows in it: run `make report` there")
    data: dict[str, Any] = json.loads(gzip.decompress(base64.b64decode(found[1])))
    if data["format"] != FORMAT:
        raise BadInput(f"{where} has format {data['format']}, but this code reads {FORMAT}: run `make report` there")
    exchanges.write_out_texts(data["rows"], data.pop("shared"))
    return data


def _pack(facts: dict[str, Any], rows: list[Row]) -> str:
    rows = copy.deepcopy(rows)
    shared = exchanges.share_texts(rows)
    text = canonical({**facts, "shared": shared, "rows": rows})
    return base64.b64encode(_codec().compress(text.encode(), asbytes=True)).decode()


def _codec() -> Any:
    """Arrow's gzip: the lock pins it, while Python's zlib is the system's, and other versions give other bytes."""
    import pyarrow as pa

    return pa.Codec("gzip", compression_level=9)
