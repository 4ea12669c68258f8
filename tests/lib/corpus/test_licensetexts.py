"""Licences by their texts: those of the packages that are installed here, and what their authors say of them."""

from importlib import metadata
from pathlib import Path

import pytest

from stages.lib.corpus import licenses, licensetexts

MIT = b"Permission is hereby granted, free of charge, to any person obtaining a copy of this software, to deal in the Software without restriction, including without limitation the rights to use, copy, modify, merge, publish, distribute, sublicense, and/or sell copies. The above copyright notice and this permission notice shall be included in all copies or substantial portions."  # fmt: skip # noqa: E501
APACHE = b"Apache License\n Version 2.0, January 2004\n http://www.apache.org/licenses/\n"


def test_no_installed_package_is_taken_for_another_licence_than_its_own() -> None:
    known = unknown = 0
    for package in metadata.distributions():
        expression = licenses.parse(package.metadata.get("License-Expression") or "")
        files = [Path(str(file.locate())) for file in package.files or [] if ".dist-info/" in str(file)]
        texts = [file for file in files if licensetexts.may_state(file.name) and file.is_file()]
        if len(texts) != 1 or expression is None or not expression.isliteral:
            continue
        found = licensetexts.recognize(texts[0].read_bytes())
        assert found in (set(), {str(expression)}), package.name
        known, unknown = known + bool(found), unknown + (not found)
    assert known > 40 and known > 8 * unknown


@pytest.mark.parametrize(
    ("files", "stated"),
    [
        ({"LICENSE": MIT}, "MIT"),
        ({"LICENSE-MIT": MIT, "LICENSE-APACHE": APACHE}, "Apache-2.0 AND MIT"),
        (
            {
                "LICENSE-MIT": MIT,
                "LICENSE-APACHE": APACHE,
                "Cargo.toml": b'[package]\nlicense = "MIT OR Apache-2.0"\n',
            },
            "MIT OR Apache-2.0",
        ),
        ({"LICENSE-MIT": MIT, "LICENSE": b"See LICENSE-MIT."}, "MIT"),
        ({"LICENSE": MIT, "COPYING": b"Never on a Sunday. " * 40}, ""),
        ({"LICENSE": MIT + b" But never on a Sunday." * 60}, ""),
        ({"pyproject.toml": b'[project]\nlicense = {text = "ISC"}\n'}, "ISC"),
        ({"package.json": b'{"license": "SEE LICENSE IN x"}'}, None),
        ({"package.json": b"{oops"}, None),
        ({"LICENSE": b"Mine.", "package.json": b'{"license": "MIT"}'}, ""),
    ],
)
def test_what_a_folder_states(files: dict[str, bytes], stated: str | None) -> None:
    assert licensetexts.stated(files) == stated
