"""The report's page in a real browser: filters, chains, marks, files, a phone's width, paper, and 5,000 rows."""

import ast
import csv
import hashlib
import json
import sysconfig
import textwrap
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import chromium
import pytest
from chromium import Browser
from finished import NASTY, Built
from workspace import Workspace

from stages.lib.report import packing

Row = dict[str, Any]

pytestmark = pytest.mark.slow
ROWS, MOST_BYTES, MOST_MS = 5000, 5_000_000, 100
BLIND = "#blind"


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with chromium.start(tmp_path_factory.mktemp("downloads")) as running:
        yield running


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of a small run, one of whose rows would run a script if the page let it."""
    folder = tmp_path_factory.mktemp("run")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        ran = (workspace := Workspace(folder)) and Built(nasty=NASTY) and workspace.run("report")
    assert ran.returncode == 0, ran.stderr
    return folder / "report/index.html"


@pytest.fixture(scope="module")
def rows(page: Path) -> list[Row]:
    return packing.read(page)["rows"]


@pytest.fixture(autouse=True)
def fresh(browser: Browser, page: Path) -> None:
    browser.resize(1280, 900)
    for file in browser.downloads.iterdir():
        file.unlink()
    browser.open(page)
    browser.run("localStorage.clear()")
    browser.open(page)


def listed(browser: Browser) -> list[str]:
    return browser.run("return [...document.querySelectorAll('#list > .row')].map((one) => one.dataset.id)")


def test_the_page_asks_for_nothing_else(browser: Browser, page: Path) -> None:
    browser.requests()
    browser.open(page)
    browser.click(".line")
    assert set(browser.requests()) <= {"about:blank", page.as_uri()}


@pytest.mark.parametrize("facet", ["outcome", "task", "language", "source", "rule"])
def test_a_filter_shows_the_rows_that_it_names(browser: Browser, rows: list[Row], facet: str) -> None:
    def values(row: Row) -> list[str]:
        return row.get("stopped", []) if facet == "rule" else [row.get(facet) or row["function"].get(facet, "")]

    for value, count in Counter(value for row in rows for value in values(row) if value).items():
        browser.choose(facet, value)
        wanted = {row["id"] for row in rows if value in values(row)}
        assert set(listed(browser)) == wanted and len(listed(browser)) == count
        assert browser.texts(".count") == [f"{count} of {len(rows)} rows"]
        shown = browser.texts(f'[data-facet="{facet}"] option:checked')
        assert shown == [f"{value.replace('_', ' ')[:60]} ({count})"]
    browser.click("#clear")
    assert len(listed(browser)) == len(rows)


def test_filters_narrow_one_another_and_count_what_another_choice_gives(browser: Browser, rows: list[Row]) -> None:
    browser.choose("outcome", "in the dataset")
    kept = [row for row in rows if row["outcome"] == "in the dataset"]
    languages = Counter(row["language"] for row in kept)
    for language in {row["language"] for row in rows}:
        assert f"{language} ({languages[language]})" in browser.texts('[data-facet="language"] option')
    language, count = languages.most_common(1)[0]
    browser.choose("language", language)
    assert len(listed(browser)) == count < len(kept)
    assert (
        f"failed the checks ({sum(r['language'] == language and r['outcome'] == 'failed the checks' for r in rows)})"
        in (browser.texts('[data-facet="outcome"] option'))
    )


@pytest.mark.parametrize("needle", ["a + b * 7", "REASON 3", "package-1 module_1", "no such text", "  "])
def test_the_search_finds_all_words_in_all_texts(browser: Browser, rows: list[Row], needle: str) -> None:
    def text(row: Row) -> str:
        rulings = [ruling[3] for ruling in row.get("rulings", [])]
        values = [
            row["id"],
            *(row.get(name, "") for name in ("instruction", "input", "output")),
            *row.get("stopped", []),
        ]
        values += [str(value) for value in row["function"].values()] + rulings + row.get("tests", [])
        return " ".join([*values, row.get("asked", {}).get("answer", "")]).lower()

    browser.write("#q", needle)
    words = needle.lower().split()
    assert set(listed(browser)) == {row["id"] for row in rows if all(word in text(row) for word in words)}


def test_the_address_keeps_the_filters_and_links_open_them(browser: Browser, page: Path, rows: list[Row]) -> None:
    browser.choose("task", "code repair")
    assert browser.run("return location.hash") == "#rows?task=code+repair"
    browser.open(page, "#rows?task=code+repair&q=function_1")
    assert 0 < len(listed(browser)) < sum(row["task"] == "code repair" for row in rows if "task" in row)
    row_id = rows[-1]["id"]
    browser.open(page, f"#row/{row_id[:16]}")
    assert browser.run("return document.querySelector('.row.open').dataset.id") == row_id
    rule = browser.run("return document.querySelector('#judge a[href^=\"#rows?rule=\"]').hash")
    browser.run("document.querySelector('#judge a[href^=\"#rows?rule=\"]').click()")
    browser.wait(lambda: browser.texts("#filters .chosen"))
    stopped = rule.partition("rule=")[2]
    assert set(listed(browser)) == {row["id"] for row in rows if stopped in row.get("stopped", [])}


def test_a_row_opens_with_its_whole_chain(browser: Browser, page: Path, rows: list[Row]) -> None:
    row = next(row for row in rows if "judged" in row and "tests" in row and NASTY not in row["instruction"])
    browser.open(page, f"#row/{row['id']}")
    [chain] = browser.texts(".chain")
    steps = ["Raw function", "Request to the teacher", "Its answer", "Checks", "The judge", "Tests"]
    assert browser.texts(".steps > li > h4") == steps
    for part in (
        row["instruction"],
        row["output"],
        row["function"]["code"].strip(),
        row["asked"]["answer"],
        row["tests"][0],
    ):
        assert part in chain
    assert f"make trace ID={row['id'][:16]}" in chain and "parses" in chain
    assert "You write data" not in chain, "messages before the question are folded"
    browser.run("document.querySelectorAll('.chain details').forEach((one) => (one.open = true))")
    assert "You write data to teach programming." in browser.texts(".chain")[0]


def test_dead_letters_and_functions_set_aside_open_too(browser: Browser, rows: list[Row]) -> None:
    browser.choose("outcome", "dead letter")
    assert len(listed(browser)) == 2
    for number in (1, 2):
        browser.click(f".row:nth-child({number}) .line")
        assert "I cannot" in browser.texts(".chain")[0]
    browser.choose("outcome", "set aside")
    browser.click(".line")
    assert "too long" in browser.texts(".chain")[0] and "return a + b" in browser.texts(".chain")[0]
    assert not browser.texts(".marking"), "there is no text to mark"


def test_text_of_a_model_is_only_ever_text(browser: Browser, page: Path, rows: list[Row]) -> None:
    nasty = next(row for row in rows if row.get("instruction") == NASTY)
    browser.open(page, f"#row/{nasty['id']}")
    assert browser.texts(".chain .instruction") == [NASTY]
    assert browser.run("return document.querySelectorAll('#list script, #list b').length") == 0


def test_a_repair_is_a_diff(browser: Browser, page: Path) -> None:
    before = "def f(a):\n    total = a | 1\n    return total\n\n# end"
    after = "def f(a):\n    total = a & 1\n    return total\n\n# end"
    data = packing.read(page)
    repair = {**data["rows"][0], "input": before, "output": after, "id": "ab" * 32}
    browser.open(with_rows(page, [repair]), "#row/abab")
    assert browser.texts(".diff .gone") == ["-     total = a | 1"]
    assert browser.texts(".diff .came") == ["+     total = a & 1"]
    assert browser.texts(".diff mark") == ["|", "&"]
    assert len(browser.texts(".diff .same")) == 4


def test_marks_are_kept_exported_and_loaded(browser: Browser, page: Path, rows: list[Row]) -> None:
    browser.click(".line")
    [first] = listed(browser)[:1]
    browser.click(".choice.wrong")
    browser.write(".why", "off by one")
    browser.press("\ue00c")  # Escape leaves the field
    browser.press("j", "r")
    second = listed(browser)[1]
    browser.open(page)
    assert browser.texts("#marked") == ["1 right, 1 wrong"], "kept over a reload"
    browser.choose("mark", "wrong")
    assert listed(browser) == [first]
    browser.click("#export")
    exported = json.loads(browser.downloaded("marks.json").read_text())
    by_id = {row["id"]: row for row in rows}
    assert exported["dataset"] == packing.read(page)["dataset"]
    found = {mark["id"]: mark for mark in exported["marks"]}
    assert found.keys() == {first, second}
    assert found[first] == {
        "id": first,
        "mark": "wrong",
        "why": "off by one",
        "blind": False,
        "task": by_id[first]["task"],
        "fingerprint": by_id[first]["fingerprint"],
    }
    browser.run("localStorage.clear()")
    browser.open(page)
    assert browser.texts("#marked") == ["0 right, 0 wrong"]
    browser.write("#import", str(browser.downloads / "marks.json"))
    browser.wait(lambda: browser.texts("#marked") == ["1 right, 1 wrong"])
    bad = browser.downloads / "no.json"
    bad.write_text("[]")
    browser.write("#import", str(bad))
    browser.wait(lambda: "holds no marks" in browser.texts("#marked")[0])


def test_marks_of_another_dataset_are_not_shown(browser: Browser, page: Path) -> None:
    browser.click(".line")
    browser.press("r")
    data = packing.read(page)
    browser.open(with_rows(page, data["rows"], dataset="another"))
    assert browser.texts("#marked") == ["0 right, 0 wrong"]


def test_a_mark_can_be_made_without_seeing_the_verdict(browser: Browser) -> None:
    browser.click(BLIND)
    browser.click(".line")
    browser.press("r")
    said = " ".join(browser.texts("#list") + browser.texts("#tally") + browser.texts("#filters"))
    for word in ("in the dataset", "failed the", "parses", "is clear", "Verdict"):
        assert word not in said
    browser.click("#export")
    [mark] = json.loads(browser.downloaded("marks.json").read_text())["marks"]
    assert mark["blind"] is True
    browser.click(BLIND)
    assert "in the dataset" in browser.texts("#list")[0]


def test_the_keyboard_is_enough(browser: Browser) -> None:
    order = listed(browser)
    browser.press("/")
    assert browser.run("return document.activeElement.id") == "q"
    browser.press("j")
    assert browser.run("return document.getElementById('q').value") == "j", "a letter in a field is a letter"
    browser.press("\ue003", "\ue00c")  # Backspace, Escape
    browser.press("j", "j", "k", "j")
    opened = "return [...document.querySelectorAll('.row.open')].map((one) => one.dataset.id)"
    assert browser.run(opened) == [order[1]], "one at a time"
    assert browser.run("return document.activeElement.getAttribute('aria-expanded')") == "true"
    browser.press("w", "w")
    assert browser.texts("#marked") == ["0 right, 0 wrong"], "the same key takes a mark back"
    browser.press("\ue007")  # Enter, on the row's button
    assert browser.run(opened) == []


def test_the_rows_come_out_as_csv_and_json(browser: Browser, rows: list[Row]) -> None:
    browser.choose("task", "code repair")
    browser.click("#csv")
    wanted = [row for row in rows if row.get("task") == "code repair"]
    with browser.downloaded("rows.csv").open(newline="") as stream:
        found = list(csv.DictReader(stream))
    assert [row["id"] for row in found] == [row["id"] for row in wanted]
    for got, row in zip(found, wanted, strict=True):
        assert (got["instruction"], got["output"], got["input"]) == (row["instruction"], row["output"], row["input"])
        assert got["source"] == row["function"]["source"] and got["outcome"] == row["outcome"]
    browser.click("#json")
    told = json.loads(browser.downloaded("rows.json").read_text())
    assert [row["id"] for row in told] == [row["id"] for row in wanted]
    asked = next(row["asked"] for row in told if "asked" in row)
    assert asked["messages"][0]["content"] == "You write data to teach programming.", "shared texts are written out"


@pytest.mark.parametrize("width", [390, 360, 768, 1280])
def test_nothing_is_wider_than_the_screen(browser: Browser, page: Path, rows: list[Row], width: int) -> None:
    browser.resize(width, 844)
    browser.open(page, f"#row/{rows[0]['id']}")
    assert browser.run("return document.documentElement.scrollWidth") <= width
    outside = """const isOutside = (one) => one.checkVisibility() && one.getBoundingClientRect().right > innerWidth + 1;
        const found = [...document.querySelectorAll("#rows *")].filter((one) => isOutside(one) && !one.closest("pre"));
        return found.map((one) => one.outerHTML.slice(0, 80));"""
    assert browser.run(outside) == []


def test_paper_gets_the_open_row_and_no_buttons(browser: Browser, page: Path, rows: list[Row]) -> None:
    browser.open(page, f"#row/{rows[0]['id']}")
    browser.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    browser.run("dispatchEvent(new Event('beforeprint'))")
    assert rows[0]["instruction"] in browser.texts(".chain")[0]
    assert "You write data to teach programming." in browser.texts(".chain")[0], "what is folded is opened"
    hidden = "return ['nav', '#filters', '.tools'].every((one) => !document.querySelector(one).checkVisibility())"
    assert browser.run(hidden)
    browser.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})


def test_five_thousand_rows_are_light_and_quick(browser: Browser, page: Path) -> None:
    heavy = with_rows(page, make_rows(ROWS))
    size = heavy.stat().st_size
    assert size < MOST_BYTES
    browser.driver.get(heavy.as_uri())
    browser.wait(lambda: browser.run("return document.getElementById('rows').dataset.ready !== undefined"))
    assert browser.texts(".count") == [f"{ROWS:,} of {ROWS:,} rows"]
    loaded = browser.run("return performance.now()")
    took = {name: median_ms(browser, change) for name, change in CHANGES.items()}
    print(f"{size:,} bytes, ready after {loaded:.0f} ms, CPU ms of a filter: {took}")
    assert max(took.values()) < MOST_MS, took


# What a reader does for the i-th time, as scripts; and how it is undone.
CHOOSE = """const select = document.querySelector('[data-facet=%s]');
select.value = select.options[1 + arguments[0] %% (select.options.length - 1)].value;
select.dispatchEvent(new Event('change'));"""
TYPE = "const q = document.getElementById('q'); q.value = %s[arguments[0] %% 3]; q.dispatchEvent(new Event('input'));"
ORDER = """const order = document.querySelector('[aria-label=Order]');
order.value = ['longest', 'turns', 'shortest'][arguments[0] % 3];
order.dispatchEvent(new Event('change'));"""
CLEAR = "document.getElementById('clear').click();"
CHANGES = {
    **{facet: CHOOSE % facet for facet in ("outcome", "task", "language", "rule", "source", "length")},
    "common words": TYPE % '["return", "self", "the"]',
    "rare words": TYPE % '["urlsafe", "mimetype", "popleft"]',
    "another order": ORDER,
    "clear": CLEAR,
}


def median_ms(browser: Browser, change: str) -> float:
    """The median CPU time of seven changes, each from all rows; of clearing, each from a search."""
    took = []
    for number in range(7):
        browser.run(CLEAR)
        if change == CLEAR:
            browser.run(TYPE % '["return", "self", "the"]', number)
        took.append(browser.cpu_ms(change, number))
    browser.run(CLEAR)
    return round(sorted(took)[3], 1)


def with_rows(page: Path, rows: list[Row], **facts: Any) -> Path:
    """A copy of the page that holds `rows`."""
    data = {name: value for name, value in packing.read(page).items() if name != "rows"}
    packed, kept = packing.pack({**data, **facts}, rows)
    assert kept == len(rows)
    html = page.read_text()
    found = packing.ELEMENT.search(html)
    assert found
    copy = page.with_name("other.html")
    copy.write_text(html[: found.start(1)] + packed + html[found.end(1) :])
    return copy


def make_rows(count: int) -> list[Row]:
    """Rows with as much and as various text as a run's: the standard library's functions, each asked and judged about
    with the prompts of the default run."""
    return [make_row(number, *found) for number, found in zip(range(count), functions(), strict=False)]


@cache
def functions() -> tuple[tuple[str, str, str, str], ...]:
    """Name, code, docstring and file of functions of Python's standard library that take 4 to 40 lines."""
    found = []
    library = Path(sysconfig.get_paths()["stdlib"])
    for folder in (library, library / "asyncio", library / "idlelib", library / "lib2to3", library / "test"):
        for file in sorted(folder.glob("*.py")):
            try:
                source = file.read_text()
                tree = ast.parse(source)
            except (SyntaxError, ValueError):
                continue
            lines = source.splitlines()
            for node in ast.walk(tree):
                if isinstance(node, ast.FunctionDef) and 3 <= (node.end_lineno or 0) - node.lineno < 40:
                    code = textwrap.dedent("\n".join(lines[node.lineno - 1 : node.end_lineno]))
                    found.append((node.name, code, ast.get_docstring(node) or "", str(file.relative_to(library))))
            if len(found) > ROWS:
                break
    return tuple(sorted(found, key=lambda one: hashlib.sha256(one[1].encode()).hexdigest()))


def make_row(number: int, name: str, code: str, docstring: str, path: str) -> Row:
    def sha(*parts: Any) -> str:
        return hashlib.sha256(repr((number, *parts)).encode()).hexdigest()

    task = ["code generation", "code repair", "code summarization", "code translation"][number % 4]
    outcome = ["in the dataset", "failed the judge", "failed the judge", "failed the checks", "set aside"][number % 5]
    about = " ".join((docstring or name.replace("_", " ")).split())[:160]
    instruction = f"Write a Python function called {name} that does this: {about}"
    question = (
        f"```python\n{code}\n```\nIts documentation: {docstring}\nWrite one instruction that asks for this function."
    )
    probability = 0.01 * (number % 100)
    examples = [
        ["user", f"An example of a function, as the default run's prompts have five.\n{EXAMPLES[number % 5]}"]
    ] * 3
    settings = [
        ["seed", str(int(sha("seed")[:8], 16))],
        ["temperature", "0.3"],
        ["response_format", '{"type":"json_schema"}'],
    ]
    asked = {
        "key": sha("asked")[:16],
        "model": "weights:qwen2.5-coder-0.5b-instruct",
        "tokens": [400 + number % 300, 54],
    }
    judged = {"key": sha("judged")[:16], "model": "weights:qwen2.5-coder-1.5b-instruct", "tokens": [517, 1]}
    verdict = (
        f"Instruction: {instruction}\nSolution:\n{code}\nDoes the solution do exactly what the instruction asks for?"
    )
    said = f"{probability:7.2%}  'Yes'\n{0.98 - probability:7.2%}  'No'\n{int(sha('p')[:4], 16) / 1e7:7.2%}  ' Yes'"
    checks = ["fields_present", "instruction_names_language", "no_repetition", "solution_parses", "code_only"]
    return {
        "id": sha("id"),
        "outcome": outcome,
        "stopped": [[], ["is_right"], ["is_right"], ["solution_parses"], ["too long"]][number % 5],
        "task": task,
        "language": ["Python", "Java", "JavaScript", "PHP", "Go", "C++"][number % 6],
        "round": 1 + number % 2,
        "style": "precise",
        "instruction": instruction,
        "input": code.replace("=", "!=", 1) if task == "code repair" else "",
        "output": code,
        "fingerprint": sha("text")[:12],
        "rulings": [
            *([rule, "check", True, ""] for rule in checks),
            [
                "is_right",
                "judge",
                outcome == "in the dataset",
                f"the probability of a yes is {probability:.2f}; 0.60 is needed",
            ],
        ],
        "tests": [f"assert candidate({number}, '{sha('test')[:8]}') == {number % 7}"] if number % 3 == 0 else [],
        "function": {
            "id": sha("function"),
            "name": name,
            "code": code,
            "docstring": docstring,
            "source": f"package-{number % 40}==1.{number % 40}",
            "path": path,
            "line": number,
            "license": "MIT",
        },
        "asked": {
            **asked,
            "messages": [["system", SYSTEM_MESSAGE], *examples, ["user", question]],
            "settings": settings,
            "answer": json.dumps({"instruction": instruction}),
        },
        "judged": {
            **judged,
            "messages": [["system", "You are a strict reviewer."], ["user", verdict]],
            "settings": settings[1:],
            "answer": said,
        },
    }


SYSTEM_MESSAGE = (
    "You write data to teach programming. Task: Implement a function that performs the described operation."
)
EXAMPLES = [f"def example_{n}(values):\n    return [{n} * value for value in values]" for n in range(5)]
