"""Hostile programs of languages whose tests and candidate share a process: files under hostile/LANGUAGE.

Each file's first line says what comes of it: `expect: VERDICT`; two where the machine's speed decides, and why.
SECRET stands for the path of a file outside, MARK for an argument by which a process that is left running would be
found.
"""

import os
import random
import re
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from test_sandbox import each_wall, open_folder, processes_with, run_each  # noqa: F401 (two are fixtures)

from stages.lib import sandbox
from stages.lib.sandbox import compiled, languages, slot, walls

HERE = Path(__file__).parent / "hostile"
FULL = os.environ.get("TIDEMILL_FULL") == "1"  # every program behind the second wall too, instead of a seeded sample
OUTSIDE = re.compile("SECRET|MARK|syscall|socket|/proc|ptrace|mount|keyctl|fork|exec", re.IGNORECASE)
LIMITS = sandbox.Limits(cpu_s=30, wall_s=60.0, memory_mb=512, processes=16, file_mb=8, output_kb=64)


@pytest.fixture
def secret() -> Iterator[Path]:
    """A file that anyone may read, where no wall is."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        file = Path(folder) / "secret"
        file.write_text("1\n")
        yield file


@pytest.fixture
def toolchain(language: str) -> None:
    """Found and prepared before a wall's tools are all that can be found."""
    if reason := sandbox.missing(language):
        pytest.skip(reason)


@pytest.mark.slow
@pytest.mark.toolchain
@pytest.mark.usefixtures("toolchain", "each_wall")
@pytest.mark.parametrize("language", sorted(folder.name for folder in HERE.iterdir()))
def test_no_hostile_program_passes_or_leaves_anything(language: str, secret: Path) -> None:
    mark = str(random.randrange(10**6, 10**7))
    files = sorted(file for file in (HERE / language).iterdir() if file.stem != "tests")
    tests = next((HERE / language).glob("tests.*")).read_text()
    texts = {file.stem: file.read_text() for file in files}
    if sandbox.isolation().startswith(walls.NAMES["unshare"]) and not FULL:
        texts = some(texts)
    expected = {name: text.splitlines()[0].partition("expect: ")[2] for name, text in texts.items()}
    programs = {
        name: sandbox.Program(language, text.replace("SECRET", str(secret)).replace("MARK", mark), tests, "f")
        for name, text in texts.items()
    }
    results = run_each(programs, expected, LIMITS)
    odd = {name: (expected[name], o) for name, o in results.items() if o.verdict not in expected[name].split("|")}
    assert odd == {}
    assert results["right"].verdict == "passed", "the scorer is alive"
    until = time.monotonic() + 60  # the kernel ends a namespace's processes soon, not at once
    while processes_with(mark) and time.monotonic() < until:
        time.sleep(0.05)
    assert processes_with(mark) == 0


def some(texts: dict[str, str]) -> dict[str, str]:
    """The right program, all that reach out of their own process, and a third of the others: what those do inside of it
    is the same behind either wall."""
    outside = {name for name, text in texts.items() if name == "right" or OUTSIDE.search(text)}
    others = sorted(texts.keys() - outside)
    return {name: texts[name] for name in sorted({*outside, *random.Random(0).sample(others, len(others) // 3)})}


RUST_TESTS = """#[cfg(test)]
mod tests {
    use super::*;
    #[test]
    fn test_f() {
        assert_eq!(f(1), vec![2]);
        assert!(f(5) == vec![6]);
    }
}
"""
JAVA_TESTS = """public class Main {
    public static void main(String[] args) {
        Solution s = new Solution();
        List<Boolean> correct = Arrays.asList(s.f(1) == 2, Objects.equals(s.f(5), 6));
        if (correct.contains(false)) throw new AssertionError();
    }
}
"""
CPP_TESTS = (HERE / "cpp/tests.cpp").read_text()
RUST = "fn f(_: i32) -> Vec<i32> { Vec::new() }\n"
JAVA = "import java.util.*;\nclass Solution { public int f(int x) { return 0; } }\n"
LIST = "public static List<Boolean> asList(Object... x) { return new ArrayList<>(); }"
CPP = "int f(int x) { return 0; }\n"
ONE_MORE = "f(x) ((x) + 1)"
# Candidates that would give another meaning to what the tests say, and right ones that use the same names.
REDEFINED: dict[str, dict[str, tuple[str, str]]] = {
    "rust": {
        "right": (RUST.replace("_", "x").replace("Vec::new()", "vec![x + 1]"), "passed"),
        "vec": ("macro_rules! vec { ($($t:tt)*) => { Vec::new() } }\n" + RUST, "wrong answer"),
        "std": (
            "extern crate self as std;\n#[macro_export] macro_rules! assert { ($($t:tt)*) => {} }\n"
            "#[macro_export] macro_rules! assert_eq { ($($t:tt)*) => {} }\n" + RUST,
            "wrong answer",
        ),
    },
    "java": {
        "right": (JAVA.replace("0;", "Math.max(x, Arrays.asList(x + 1).get(0));"), "passed"),
        "a class": (f"{JAVA}class Arrays {{ {LIST} }}\n", "compile error"),
        "two": (f"{JAVA}class List<T> {{ boolean contains(Object x) {{ return false; }} }}\n", "compile error"),
        "java": (
            f"{JAVA}class java {{ static class util {{ static class Arrays {{ {LIST} }} }} }}\n",
            "wrong answer",
        ),
    },
    "cpp": {
        "right": (
            "#define int long long\n#define ONE(x) ((x) + 1)\nsigned f(signed x) { int y = ONE(x); return y; }",
            "passed",
        ),
        "a macro": (f"{CPP}#define {ONE_MORE}\n", "wrong answer"),
        "of keywords": (f"{CPP}#define if(x) if (0)\n#define static_cast\n#define void(x) 1\n", "wrong answer"),
        "of the assertion": (f"{CPP}#define __assert_fail(...) (void)0\n", "wrong answer"),
        "on two lines": (f"{CPP}#def\\\nine \\ \n{ONE_MORE}\n", "wrong answer"),
        "with a comment": (f"{CPP}%: /*\n*/ define/**/{ONE_MORE}\n", "wrong answer"),
        "with a zero": (f"{CPP}#\0define\0{ONE_MORE}\n", "wrong answer"),
        "popped": (
            f'#define {ONE_MORE}\n#pragma push_macro("f")\n#undef f\n{CPP}_Pragma("pop_macro(\\"f\\")")\n',
            "wrong answer",
        ),
        "an open line": (f"{CPP}#define {ONE_MORE}\n// \\", "wrong answer"),
        "a failure that returns": (
            f'extern "C" void __assert_fail(const char *, const char *, unsigned, const char *) noexcept {{}}\n{CPP}',
            "wrong answer",
        ),
    },
}


@pytest.mark.slow
@pytest.mark.toolchain
@pytest.mark.parametrize(("language", "tests"), [("rust", RUST_TESTS), ("java", JAVA_TESTS), ("cpp", CPP_TESTS)])
def test_the_tests_mean_what_they_say(language: str, tests: str) -> None:
    if reason := sandbox.missing(language):
        pytest.skip(reason)
    cases = REDEFINED[language]
    programs = [sandbox.Program(language, text, tests, "f") for text, _ in cases.values()]
    outcomes = dict(zip(cases, sandbox.run_all(programs, LIMITS, 2), strict=True))
    assert {name: o.verdict for name, o in outcomes.items()} == {name: end for name, (_, end) in cases.items()}


# Objects that equal everything, and comparisons that are made to hold: they agree with a test and with its contrary.
AGREEING = {
    "java": (
        "class Solution { public Object f(int x) { return new Object() {"
        " public boolean equals(Object o) { return true; } }; } }\n",
        """public class Main {
    public static void main(String[] args) {
        Solution s = new Solution();
        List<Boolean> correct = Arrays.asList(s.f(1).equals(2), Objects.equals(s.f(5), 6), s.f(0).equals("a"));
        if (correct.contains(false)) throw new AssertionError();
    }
}
""",
    ),
    "javascript": (
        "JSON.stringify = () => 'same'\nconst f = (x) => []\n",
        "console.assert(JSON.stringify(f(1)) === JSON.stringify([2]))\n"
        "console.assert(JSON.stringify(f(5)) === JSON.stringify([6, 'a']))\n",
    ),
    "rust": (
        '#[no_mangle]\npub unsafe extern "C" fn bcmp(_: *const u8, _: *const u8, _: usize) -> i32 { 0 }\n'
        '#[no_mangle]\npub unsafe extern "C" fn memcmp(_: *const u8, _: *const u8, _: usize) -> i32 { 0 }\n'
        "#[derive(Debug)]\nstruct Any;\nimpl PartialEq<&str> for Any { fn eq(&self, _: &&str) -> bool { true } }\n"
        "fn f(_: i32) -> Any { Any }\n",
        '#[cfg(test)]\nmod tests {\n use super::*;\n #[test]\n fn test_f() {\n  assert_eq!(f(1), "two");\n'
        '  assert!(f(5) == "six");\n }\n}\n',
    ),
    "cpp": (
        "struct Any { operator bool() const { return true; } bool operator!() const { return true; } };\n"
        "Any f(int x) { return Any(); }\n",
        "int main() {\n assert(f(1));\n assert(!f(5));\n assert(!(f(6)));\n}\n",
    ),
    "go": (
        'package main\n\nimport (\n\t"reflect"\n\t"syscall"\n\t"testing"\n\t"unsafe"\n\n'
        '\t"github.com/stretchr/testify/assert"\n)\n\n'
        "func f(x int) []int {\n\tstart := reflect.ValueOf(reflect.DeepEqual).Pointer()\n"
        "\tpage := unsafe.Slice((*byte)(unsafe.Pointer(start&^4095)), 8192)\n\tif syscall.Mprotect(page, 7) == nil {\n"
        "\t\tcopy(unsafe.Slice((*byte)(unsafe.Pointer(start)), 6), []byte{0xb8, 1, 0, 0, 0, 0xc3})\n"
        "\t}\n\treturn nil\n}\n",
        "func TestF(t *testing.T) {\n\tassert := assert.New(t)\n\tassert.Equal([]int{2}, f(1))\n"
        "\tassert.Equal([]int{6}, f(5))\n}\n",
    ),
}


@pytest.mark.toolchain
@pytest.mark.parametrize("language", sorted(AGREEING))
def test_what_agrees_with_everything_is_forged(language: str) -> None:
    if reason := sandbox.missing(language):
        pytest.skip(reason)
    candidate, tests = AGREEING[language]
    if language == "java":
        candidate = "import java.util.*;\n" + candidate
    program = sandbox.Program(language, candidate, tests, "f")
    with_it, without = (
        next(iter(sandbox.run_all([program], LIMITS, 1, control=controlled))) for controlled in (True, False)
    )
    assert (with_it.verdict, without.verdict) == ("forged", "passed"), (with_it, without)


# The first assertion fails, the second never returns.
FAILING_TWICE = {
    "cpp": "#include <cstdlib>\nint f(int x) { if (x > 1) abort(); return 0; }\n",
    "javascript": "const f = (x) => { if (x > 1) throw new TypeError('two'); return 0; };\n",
}


@pytest.mark.toolchain
@pytest.mark.usefixtures("toolchain")
@pytest.mark.parametrize("language", sorted(FAILING_TWICE))
def test_how_a_program_fails_does_not_hang_on_the_draw(language: str) -> None:
    tests = next((HERE / language).glob("tests.*")).read_text()
    program = sandbox.Program(language, FAILING_TWICE[language], tests, "f")
    found = {(one.verdict, one.detail) for one in sandbox.run_all([program] * 8, LIMITS, 2)}
    (uncontrolled,) = sandbox.run_all([program], LIMITS, 1, control=False)
    assert found == {(uncontrolled.verdict, uncontrolled.detail)}
    assert uncontrolled.verdict == "wrong answer" and "f(1) ==" in uncontrolled.detail


@pytest.mark.toolchain
@pytest.mark.parametrize("language", sorted(languages.NATIVE))
def test_a_job_needs_no_wall(language: str) -> None:
    """As in a pod that is the wall itself: the toolchain is where it is installed, not where a wall shows it."""
    if reason := sandbox.missing(language):
        pytest.skip(reason)
    tests = next((HERE / language).glob("tests.*")).read_text()
    kept = slot.Slot(walls.Isolation("none"), sandbox.Limits(), languages.SPARE_PROCESSES)
    try:
        for name, verdict in (("right", "passed"), ("wrong", "wrong answer")):
            text = next((HERE / language).glob(f"{name}.*")).read_text()
            outcome = compiled.judge(kept, sandbox.Program(language, text, tests, "f"))
            assert outcome.verdict == verdict, outcome
    finally:
        kept.close()
