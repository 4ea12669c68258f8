"""Renders the report's templates. Text from a corpus or a model is escaped."""

from pathlib import Path
from typing import Any

from stages.lib import params

FOLDER = Path(__file__).parent
MOST_CHARACTERS = 6000  # per text; `make trace` prints all of it


def render(template: str, folder: Path = FOLDER, **values: Any) -> str:
    """`template`, from `folder` or from this package, rendered with `values`; .html.j2 files are escaped."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader([folder, FOLDER]),
        autoescape=jinja2.select_autoescape(enabled_extensions=("html.j2",), default=False),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"number": number, "percent": percent, "usd": usd, "clip": clip, "plural": plural}
    style = "".join((FOLDER / name).read_text(encoding="utf-8") for name in ("palette.css", "style.css"))
    return environment.get_template(template).render(style=style, **values)


def script() -> str:
    """The page's JavaScript: the files of script/ in the order in which they build on each other."""
    names = ("data", "marks", "filters", "diff", "chain", "list", "exports", "main")
    parts = [(FOLDER / "script" / f"{name}.js").read_text(encoding="utf-8") for name in names]
    return '(() => {\n"use strict";\n' + "\n".join(parts) + "})();"


def paper() -> dict[str, Any]:
    """The paper's figures, paper.yaml."""
    return params.read(FOLDER / "paper.yaml")


def number(value: float | int | None) -> str:
    """`value` for a reader: 12,345 or 0.1234; a dash for None."""
    if value is None:
        return "–"
    return f"{value:,}" if isinstance(value, int) else f"{value:.4g}"


def percent(share: float | None) -> str:
    """A share (0 to 1) as a percentage with one decimal."""
    return "–" if share is None else f"{100 * share:.1f}%"


def usd(amount: float | None) -> str:
    """US dollars, with enough decimals for small amounts."""
    if amount is None:
        return "–"
    return f"${amount:,.2f}" if amount >= 1 or amount == 0 else f"${amount:.2g}"


def plural(count: int, word: str) -> str:
    """ "1 row", "2 rows"."""
    return f"{count:,} {word}" if count == 1 else f"{count:,} {word}s"


def clip(text: str, most: int = MOST_CHARACTERS) -> str:
    """`text`, cut after `most` characters with a note of how many are missing."""
    return text if len(text) <= most else f"{text[:most]}\n… {len(text) - most:,} more characters"
