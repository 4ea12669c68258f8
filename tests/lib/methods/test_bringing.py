"""Rows that another tool wrote: read, tested, judged, assembled and traced as any, without a teacher."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import endpoint
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from instances import prepare, root
from workspace import Workspace

from stages import assemble, generate
from stages.lib import artifacts, records, sandbox
from stages.lib.corpus.decontamination import load_benchmarks
from stages.lib.dataset import rows as dataset_rows
from stages.lib.errors import BadInput
from stages.lib.methods import bringing, brought_tests
from stages.lib.tasks.definitions import load_task

Row = dict[str, Any]

ADD = "def add(a, b):\n    return a + b"
RIGHT = ["assert add(1, 2) == 3", "assert add(-1, 1) == 0"]
GO = "func add(a int, b int) int {\n\treturn a + b\n}"


def alpaca(**changes: Any) -> Row:
    return {"instruction": "Write a Python function that adds two numbers.", "output": ADD, **changes}


def write(*found: Any, name: str = "rows.jsonl") -> str:
    Path(name).write_text("".join(json.dumps(row) + "\n" for row in found))
    return name


def read(*found: Any, most_dead: float = 0.0, **wish: Any) -> list[bringing.Entry]:
    return bringing.read(bringing.Foreign(file=write(*found), **wish), "method", most_dead)


def candidate(*found: Any, **wish: Any) -> Row:
    (entry,) = read(*found, **wish)
    assert entry.candidate is not None
    return entry.candidate


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_the_same_row_in_every_form_is_one_row() -> None:
    said = [{"role": "user", "content": alpaca()["instruction"]}, {"role": "assistant", "content": ADD}]
    forms: dict[str, Callable[[], str]] = {
        "lines": lambda: write(alpaca()),
        "list": lambda: str(Path("list.json").write_text(json.dumps([alpaca()])) and "list.json"),
        "messages": lambda: write({"messages": said, "instruction": None}),
        "parquet": lambda: str(pq.write_table(pa.Table.from_pylist([alpaca()]), "rows.parquet") or "rows.parquet"),
        "messages in parquet": lambda: str(
            pq.write_table(pa.Table.from_pylist([{"messages": said}]), "said.parquet") or "said.parquet"
        ),
    }
    made = {
        form: bringing.read(bringing.Foreign(file=put(), language="Python"), "method", 0.0)[0]
        for form, put in forms.items()
    }
    assert len({one.id for one in made.values()}) == 1
    assert {form: one.place for form, one in made.items()}["parquet"] == "row 1"
    named = {"problem": alpaca()["instruction"], "response": ADD, "messages": "not these"}
    columns = {"instruction": "problem", "output": "response"}
    assert read(named, columns=columns)[0].id == made["lines"].id


def test_a_rows_lineage_is_the_files_name_hash_and_place() -> None:
    empty, entry = read({}, alpaca(code="x = 1", license="Apache-2.0"), most_dead=0.5, license="MIT")
    assert empty.fault and entry.source is not None
    assert entry.source["source"] == f"foreign rows.jsonl@{artifacts.hash_file(Path('rows.jsonl'))}"
    assert (entry.source["path"], entry.source["line"]) == ("rows.jsonl line 2", 2)
    assert (entry.source["code"], entry.source["license"]) == ("x = 1", "Apache-2.0")
    (other,) = read(alpaca(), license="MIT")
    assert other.source is not None and other.source["license"] == "MIT"


def test_code_is_taken_out_of_its_fence_which_names_the_language() -> None:
    fenced = "Sure, here it is.\n\n```js\nfunction one() { return 1; }\n```\nIt returns 1."
    made = candidate(alpaca(output=fenced), language="Python")
    assert made["solution"] == "function one() { return 1; }"
    assert made["language"] == made["target_language"] == "JavaScript"
    two = f"```bash\npip install numbers\n```\n\n```python\n{ADD}\n```"
    assert candidate(alpaca(output=two, tests=RIGHT))["solution"] == ADD, "the block that the tests call"
    assert candidate(alpaca(instruction="Add.", language="golang", output=GO))["language"] == "Go"
    assert candidate(alpaca(instruction="Add two numbers."), language="python")["language"] == "Python"
    assert candidate(alpaca())["language"] == "Python", "by the instruction's words, at last"


def test_tasks_with_an_input_find_it_in_the_question_too() -> None:
    asked = f"Summarize this function.\n\n```python\n{ADD}\n```"
    made = candidate({"task": "code summarization", "instruction": asked, "output": "It adds two numbers."})
    assert (made["instruction"], made["information"]) == ("Summarize this function.", ADD)
    assert (made["language"], made["solution"]) == ("Python", "It adds two numbers.")
    row = alpaca(task="code translation", language="Python", input=ADD, output=f"```go\n{GO}\n```")
    made = candidate(row)
    assert (made["language"], made["target_language"], made["solution"]) == ("Python", "Go", GO)
    repaired = candidate(alpaca(task="code repair", input="def add(a, b):\n    return a - b"))
    assert repaired["information"].endswith("a - b") and repaired["solution"] == ADD


def test_tests_come_in_the_forms_that_other_tools_write() -> None:
    wanted = ["assert candidate(1, 2) == 3", "assert candidate(-1, 1) == 0"]
    whole = "def check(candidate):\n    assert candidate(1, 2) == 3\n    assert candidate(-1, 1) == 0\n"
    for given in (
        RIGHT,
        json.dumps(RIGHT),
        "\n".join(RIGHT),
        [f"\n{line}\n" for line in RIGHT],
        whole,
        [*RIGHT, *RIGHT],
    ):
        assert candidate(alpaca(tests=given))["tests"] == wanted
    for given in (None, [], "", "[]"):
        assert candidate(alpaca(tests=given))["tests"] == []
    assert candidate(alpaca(language="Go", output=GO, tests=RIGHT))["tests"] == wanted
    assert brought_tests.called(RIGHT) == "add" and brought_tests.called(wanted) == ""


@pytest.mark.parametrize(
    ("row", "fault"),
    [
        ("text", "it is no object but 'text'"),
        ({"instruction": "Add."}, "it has no text in 'output'; a row needs instruction and output, or messages"),
        ({"output": ADD}, "it has no text in 'instruction'"),
        (alpaca(output=" \n"), "it has an empty output"),
        (alpaca(output=["a"]), "it has no text in 'output'"),
        ({"messages": [{"role": "user", "content": "Add."}]}, "it has messages by ['user']"),
        (
            {"messages": [{"role": role, "content": "Add."} for role in ("user", "assistant") * 2]},
            "messages: it has earlier turns",
        ),
        (alpaca(task="code review"), "task: no task 'code review'; choose one of code generation"),
        (alpaca(task=3), "task is no text but 3"),
        (alpaca(language="Cobol"), "language: 'Cobol' is none of Python, PHP"),
        (alpaca(output=f"```haskell\n{ADD}\n```"), "language: 'haskell' is none of Python"),
        (alpaca(instruction="Add two numbers."), "language: none is named; give it a key, a fence"),
        (alpaca(task="code repair"), "it has no text in 'input', and code repair needs some"),
        (alpaca(task="code translation", input=GO, language="Go"), "target_language: a translation needs one"),
        (
            alpaca(tests=RIGHT, language="Ruby", output="def add(a, b)\n  a + b\nend"),
            "tests: the sandbox cannot run Ruby",
        ),
        (alpaca(tests=RIGHT, task="code summarization", input=ADD, output="It adds."), "no code that could be run"),
        (alpaca(tests=RIGHT, output="print(1)"), "tests: the output has no function that they could call"),
        (alpaca(tests=RIGHT[:1]), "tests: 1 of 1 fit the output's function; 2 are needed"),
        (alpaca(tests=["add(1, 2)", "x"]), "tests: 'add(1, 2)' is no assert"),
        (alpaca(tests=["assert add(1, 2) =="]), "is not Python"),
        (alpaca(tests={"inputs": [1]}), "tests: they are no texts but {'inputs': [1]}"),
        (alpaca(tests=["assert other(1) == 1", "assert add(open('x'), 1)"]), "it does not call candidate"),
        (alpaca(tests=["assert add(open('x'), 1)", *RIGHT]), "it uses open, which is no built-in value"),
        (
            alpaca(language="Go", output=GO, tests=["assert add('a', 2) == 3", "assert add(1) == 1"]),
            "tests: 0 of 2 fit the output's function",
        ),
    ],
)
def test_a_row_that_cannot_be_used_is_named_with_its_fault(row: Any, fault: str) -> None:
    entry = read(row, alpaca(), most_dead=0.5)[0]
    assert fault in entry.fault and entry.candidate is None
    letter = entry.answer
    assert letter.value is None and letter.attempts[0]["fault"].startswith("line 1: ")
    assert json.loads(letter.attempts[0]["response"]) == row, "nothing of it is lost"
    with pytest.raises(BadInput, match=r"1 of 2 rows of rows\.jsonl cannot be used, more than .* = 0\.2: line 1: "):
        read(row, alpaca(), most_dead=0.2)


@pytest.mark.parametrize(
    ("wish", "message"),
    [
        ({"file": "none.jsonl"}, r"generate\.foreign\.file: none\.jsonl does not exist"),
        ({"file": "torn.jsonl"}, r"generate\.foreign\.file: torn\.jsonl line 2 is not JSON"),
        ({"file": "empty.jsonl"}, r"empty\.jsonl has no rows"),
        ({"file": "torn.parquet"}, r"torn\.parquet cannot be read"),
        (
            {"columns": {"tests": "unit_tests"}},
            r"columns: tests: no row of rows\.jsonl has 'unit_tests'; they have instr",
        ),
    ],
)
def test_a_file_that_cannot_be_used(wish: Row, message: str) -> None:
    write(alpaca())
    Path("torn.jsonl").write_text(json.dumps(alpaca()) + "\n{\n")
    Path("empty.jsonl").write_text("\n")
    Path("torn.parquet").write_text("PAR1")
    with pytest.raises(BadInput, match=message):
        bringing.read(bringing.Foreign(**{"file": "rows.jsonl", **wish}), "method", 0.2)


def test_wrong_parameters_are_named() -> None:
    for values, message in (
        ({"language": "Cobol"}, r"generate\.foreign: language: .*no language 'Cobol'; choose one of Python"),
        ({"task": "review"}, r"generate\.foreign: task: .*no task 'review'"),
        ({"columns": {"answer": "x"}}, r"generate\.foreign: columns\.answer"),
    ):
        with pytest.raises(BadInput, match=message):
            bringing.parse({"foreign": {"file": "x", **values}})


def test_many_faults_are_counted_and_the_first_are_shown() -> None:
    bad = [alpaca(output="") for _ in range(9)]
    with pytest.raises(BadInput, match=r"9 of 10 rows .*line 1: .*line 5: [^;]*; [^;]*; and 4 more\. Mend them"):
        read(*bad, alpaca(), most_dead=0.2)


def test_a_language_that_this_machine_lacks_is_said_before_a_judge_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox, "missing", lambda word: "no compiler" if word == "go" else "")
    with pytest.raises(BadInput, match=r"rows\.jsonl line 2: tests: Go cannot be run here: no compiler"):
        read(alpaca(tests=RIGHT), alpaca(language="Go", output=GO, tests=RIGHT))


def test_parquet_is_read_by_train_too() -> None:
    pq.write_table(pa.Table.from_pylist([alpaca(), alpaca(output="x")]), "mine.parquet")
    assert [row["output"] for row in dataset_rows.read_own(Path("mine.parquet"))] == [ADD, "x"]


def test_ids_are_of_what_a_row_says_and_not_of_where_it_stands() -> None:
    one, two = read(alpaca(), alpaca(output=f"{ADD}\n\n"))
    assert two.repeats and not two.fault and two.id != one.id
    first, second = (entry.id for entry in read(alpaca(), alpaca(output="def f():\n    return 1")))
    swapped = [entry.id for entry in read(alpaca(output="def f():\n    return 1"), alpaca())]
    assert swapped == [second, first] and load_task("code generation").solution_is_code


def verdicts(number: int) -> list[Row]:
    return records.read(Path(f"data/verdicts/{number}/verdicts.parquet"), records.VERDICT).to_pylist()


def rows_of(count: int) -> list[Row]:
    """Rows of which the third has a wrong solution; the others differ and pass their tests."""
    made = []
    for number in range(count):
        body = f"    kept = [one * {number + 2} for one in items]\n    return sum(kept) - most"
        code = f"def keep_{number}(items, most):\n{body}"
        wrong = code.replace("- most", "+ most") if number == 2 else code
        tests = [
            f"assert keep_{number}([1], 0) == {number + 2}",
            f"assert keep_{number}([1, 1], 1) == {2 * number + 3}",
        ]
        asked = f"Write a Python function that sums {number} ways of counted pebbles, less the {number + 7} most."
        made.append({"instruction": asked, "output": f"```python\n{wrong}\n```", "tests": tests})
    return made


def bring(workspace: Workspace, url: str, rows: list[Any]) -> None:
    """Point the stages at `rows` and at the judge `url`, without a corpus."""
    prepare(workspace, url)
    for name in ("corpus", "coreset"):
        Path(f"data/{name}/artifact.json").unlink()
    workspace.set("generate.method", "foreign")
    workspace.set("generate.foreign", {"file": write(*rows, name="mine.jsonl"), "license": "MIT"})


def passing(body: Row) -> str:
    value = json.loads(endpoint.answer_schema(body))
    assert endpoint.is_judgement(value), "no teacher is asked"
    return json.dumps({rule: {"reason": "as it should be", "verdict": "pass"} for rule in value})


def run(workspace: Workspace, *stages: str) -> None:
    for stage in stages:
        ran = workspace.run(stage)
        assert ran.returncode == 0, ran.stderr


@pytest.mark.slow
def test_they_are_tested_judged_assembled_and_traced_without_a_corpus_or_a_teacher(workspace: Workspace) -> None:
    from commands import trace

    benchmarks, _ = load_benchmarks(None)
    stolen = next(text for text in benchmarks[0].texts.values() if len(text.split()) > 60)
    copied = alpaca(output=f'def add(a, b):\n    """{stolen.replace(chr(34), "")}"""\n    return a + b')
    first = rows_of(8)
    near = {**first[1], "instruction": first[1]["instruction"].replace("Write a", "Write one")}
    bad = {"instruction": "Write a Python function."}
    with endpoint.serve() as server:
        server.reply = passing
        bring(workspace, server.url, [*first[:7], first[0], bad, first[7], near, copied])
        run(workspace, "generate@1", "generate@2")
        assert not server.asked
        run(workspace, "judge@1", "judge@2", "assemble")
        assert len(server.asked) == 9, "one request for each row that passes its checks and tests"
        made = root("data/dataset")
        Path("data/candidates/2/artifact.json").unlink()
        run(workspace, "generate@2", "judge@2", "assemble")
        assert len(server.asked) == 9 and root("data/dataset") == made, "a rerun is a replay"
    ruled = {row["instruction"]: row for number in (1, 2) for row in verdicts(number)}
    assert [ruled[row["instruction"]]["execution"] for row in first] == ["passed"] * 2 + ["wrong answer"] + [
        "passed"
    ] * 5
    assert [row["instruction"] for row in ruled.values() if not row["passed"]] == [first[2]["instruction"]]
    letters = records.read_lines(Path("data/candidates/2/dead_letters.jsonl"))
    assert [letter["attempts"][0]["fault"][:7] for letter in letters] == ["line 9:"]
    (again,) = records.read_lines(Path("data/candidates/2/set_aside.jsonl"))
    assert (again["reason"], again["row"]) == ("repeats an earlier row", "line 8")
    told = artifacts.read_json(Path("metrics/generate-2.json"))
    assert (told["asked"], told["rows"], told["dead_letters"], told["spend_usd"]) == (5, 4, 1, 0.0)
    told = artifacts.read_json(Path("metrics/assemble.json"))
    assert told["dropped"] == {"untested": 0, "near_duplicate": 1, "contamination": 1}
    kept = [row for split in ("train", "validation") for row in lines(split)]
    sha256 = artifacts.hash_file(Path("mine.jsonl"))
    assert len(kept) == 7 and {row["source"] for row in kept} == {f"foreign mine.jsonl@{sha256}"}
    assert {row["license"] for row in kept} == {"MIT"} and all(row["tests"] for row in kept)
    card = Path("data/dataset/README.md").read_text()
    assert f"Another tool wrote these rows: `mine.jsonl`, sha256 `{sha256}`" in card and "real function" not in card
    assert f"| foreign mine.jsonl@{sha256} | MIT | 7 |" in card
    links = dict(trace.chain(kept[0]["id"]))
    (origin,) = (row for title, row in links.items() if "sources.parquet" in title)
    assert origin["path"] == kept[0]["path"] and origin["path"].startswith("mine.jsonl line ")


def lines(split: str) -> list[Row]:
    return records.read_lines(Path(f"data/dataset/{split}.jsonl"))


@pytest.mark.slow
def test_killed_while_it_is_judged_and_run_again(workspace: Workspace) -> None:
    with endpoint.serve(latency_s=0.15) as server:
        server.reply = passing
        bring(workspace, server.url, rows_of(24))
        run(workspace, "generate@1", "judge@1")
        undisturbed = root("data/verdicts/1")
        Path("journal/exchanges.log").unlink()
        server.answered.clear()
        server.stop(workspace.start("judge@1"), answers=4)
        run(workspace, "generate@1", "judge@1")
        assert root("data/verdicts/1") == undisturbed
        assert sum(server.answered.values()) - len(server.answered) <= 4, "only what was in flight was asked again"


def test_a_teacher_may_write_the_tests_that_rows_lack(workspace: Workspace) -> None:
    with_tests, without = rows_of(2)
    del without["tests"]
    with endpoint.serve() as server:
        server.reply = lambda body: json.dumps(
            {"tests": ["assert candidate([1], 0) == 3", "assert candidate([], 1) == -1"]}
        )
        bring(workspace, server.url, [with_tests, without])
        workspace.set("generate.tests.from", "teacher")
        workspace.set("generate.rounds", 1)
        run(workspace, "generate@1")
        assert len(server.asked) == 1
    made = records.read(Path("data/candidates/1/candidates.parquet"), records.CANDIDATE).to_pylist()
    assert [len(row["tests"]) for row in made] == [2, 2] and "-1" in made[1]["tests"][1]


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("generate.foreign", None, "the method foreign and generate.foreign, which names its file, go together"),
        ("generate.method", "commit", "the method foreign and generate.foreign, which names its file, go together"),
        ("generate.until", {"passing": 3}, "the method foreign has its rows"),
        ("generate.answers", 2, "the method foreign has its rows"),
        ("generate.rounds", 9, "round 9 has no rows: mine.jsonl has 4, for 9 rounds"),
        ("generate.foreign", {"file": "none.jsonl"}, "none.jsonl does not exist"),
    ],
)
def test_parameters_that_do_not_go_together(workspace: Workspace, key: str, value: Any, message: str) -> None:
    bring(workspace, "http://127.0.0.1:9/v1", rows_of(4))
    workspace.set(key, value)
    with pytest.raises(BadInput, match=message):
        generate.main("9" if key == "generate.rounds" else "1")
    assert not Path("data/candidates").exists(), "before anything is computed"


def test_a_selection_by_the_corpus_is_refused(workspace: Workspace) -> None:
    workspace.set("assemble.draw", "k-center")
    with pytest.raises(BadInput, match="k-center: another tool's rows come from no corpus; set random"):
        assemble.make_drawer(assemble.read_params(), [], [], None)
