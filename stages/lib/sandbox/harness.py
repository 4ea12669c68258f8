"""The source files of one job in a language whose tests and candidate are one program.

The tests are there once for each copy that control.py draws; an assertion in them reports whether it held and goes on.
What the candidate could name is kept from it: the names that this module writes end in a word drawn for the run.
"""

import re
from dataclasses import dataclass

from stages.lib.sandbox import control
from stages.lib.sandbox.program import Program


@dataclass(frozen=True)
class Job:
    """Names and texts of the source files; the assertions of each copy of the tests, by number; the name by which the
    harness finds the first copy, and with a number behind it the others."""

    files: dict[str, str]
    copies: list[dict[int, control.Site]]
    entry: str


def job(program: Program, word: str, controlled: bool, values: bool) -> Job:
    """The job of a program; `word` is drawn for the run; `controlled` and `values` as in `control.copies`.

    Raises ValueError for tests that the language's harness does not understand.
    """
    write, wrap = _LANGUAGES[program.language]
    drawn = control.copies(
        program.tests, program.language, lambda number, condition: wrap(word, number, condition), controlled, values
    )
    files = write(program, word, [copy.text for copy in drawn])
    return Job(files, [copy.sites for copy in drawn], f"tests_{word}_")


def _cpp(program: Program, word: str, copies: list[str]) -> dict[str, str]:
    """No macro of the candidate reaches the tests: every name in them is undefined first, for a #define has more
    spellings than can be looked for. So tests may use no macro of a header, and none of HumanEvalPack's does.
    main() is there so that the candidate has none."""
    report = f"static int (*report_{word})(int, int);\n"
    parts = []
    for number, tests in enumerate(copies):
        includes = "".join(f"{line}\n" for line in re.findall(r"^\s*#\s*include.*", tests, re.MULTILINE))
        tests = re.sub(r"^\s*#\s*(?:include|undef)\b.*", "", tests, flags=re.MULTILINE)
        head, brace, tail = re.sub(r"\bint\s+main\s*\(", "int tests(", tests).rpartition("}")
        parts.append(f"""
{includes}
namespace space_{word}_{number} {{
{head}return 0;{brace}{tail}
}}
extern "C" int tests_{word}_{number}(int (*report)(int, int)) {{
    report_{word} = report;
    return space_{word}_{number}::tests();
}}
""")
    own = f"{report}{''.join(parts)}int main() {{}}\n"
    names = set(re.findall(r"[A-Za-z_]\w*", own)) - _NO_MACROS
    undefine = "\n".join(f"#undef {name}" for name in sorted(names))
    # The empty line is for a last line that the candidate leaves open.
    return {"p.cpp": f"{program.candidate}\n\n{undefine}\n{own}"}


def _go(program: Program, word: str, copies: list[str]) -> dict[str, str]:
    """The variables of the first file are set before those of the candidate's, and before any init()."""
    parts, calls = [], []
    for number, tests in enumerate(copies):
        test = re.search(r"^func (Test\w+)\(\w+ \*testing\.T\)", tests, re.MULTILINE)
        name = test[1] if test else "Test"
        for defined in re.findall(r"^func (\w+)\(", tests, re.MULTILINE):
            tests = re.sub(rf"\b{defined}\b", f"{defined}_{word}_{number}", tests)
        tests = re.sub(r"^(\s*)assert\s*:=\s*assert\.New\(t\)", r"\1_ = assert.New", tests, flags=re.MULTILINE)
        parts.append(tests.replace("testify.ObjectsAreEqual(", f"same_{word}("))
        calls.append(f"{name}_{word}_{number}")
    harness = f"""package main

import (
	"os"
	"strconv"
	"testing"

	testify "github.com/stretchr/testify/assert"
)

var secret_{word} = func() []byte {{
	secret := make([]byte, 32)
	os.Stdin.Read(secret)
	os.Stdin.Close()
	return secret
}}()

var out_{word}, seen_{word}, same_{word} = os.Stdout, [2][1 << 16]bool{{}}, testify.ObjectsAreEqual

func report_{word}(number int, held bool) bool {{
	word := "0"
	if held {{
		word = "1"
	}}
	if seen := &seen_{word}[word[0]-'0'][number]; !*seen {{
		*seen = true
		digits := strconv.FormatInt(int64(number)+1<<16, 16)
		out_{word}.Write([]byte(string(secret_{word}) + digits[1:] + word))
	}}
	return true
}}

func main() {{
	copy, _ := strconv.Atoi(os.Args[1])
	t, done := new(testing.T), make(chan bool)
	go func() {{
		returned := false
		defer func() {{
			if reason := recover(); reason != nil {{
				panic(reason)
			}}
			done <- returned
		}}()
		[]func(*testing.T){{{", ".join(calls)}}}[copy](t)
		returned = true
	}}()
	if !<-done || t.Failed() {{
		os.Stderr.WriteString("the tests did not return\\n")
		os.Exit(1)
	}}
	out_{word}.Write([]byte(string(secret_{word}) + "done" + os.Args[1]))
	os.Exit(0)
}}
"""
    return {"h.go": harness, "p.go": "\n".join([program.candidate, *parts])}


def _java(program: Program, word: str, copies: list[str]) -> dict[str, str]:
    """What the tests name is imported by its own name: a class of the candidate's of that name is then an error, where
    it would come before what `import java.util.*` brings."""
    used = set(re.findall(r"\b[A-Z]\w*", program.tests))
    names = [f"{package}.{name}" for package, names in _JAVA.items() for name in names.split() if name in used]
    imports = "".join(f"import {name};" for name in names)
    classes = [
        re.sub(r"\bMain\b", f"tests_{word}_{number}", re.sub(r"\bpublic\s+class\s+Main\b", "class Main", tests))
        for number, tests in enumerate(copies)
    ]
    return {"Main.java": "\n".join([imports + program.candidate, *classes, ""])}


def _javascript(program: Program, word: str, copies: list[str]) -> dict[str, str]:
    return {f"p{number}.js": f"{program.candidate}\n{tests}\n" for number, tests in enumerate(copies)}


def _rust(program: Program, word: str, copies: list[str]) -> dict[str, str]:
    """The tests are called one by one: libtest's own harness would exit before the end of the tests could be told.

    Their macros are std's own: even `::std` can be another crate (`extern crate self as std`), so that std gets a name
    that the candidate cannot know.
    """
    own = f"""
extern crate std as std_{word};
static REPORT_{word}: crate::std_{word}::sync::atomic::AtomicUsize =
    crate::std_{word}::sync::atomic::AtomicUsize::new(0);
fn report_{word}(number: i32, held: bool) -> bool {{
    let call = REPORT_{word}.load(crate::std_{word}::sync::atomic::Ordering::Relaxed);
    let call: extern "C" fn(i32, i32) -> i32 = unsafe {{ crate::std_{word}::mem::transmute(call) }};
    call(number, held as i32) != 0
}}
macro_rules! same_{word} {{
    ($one:expr, $other:expr) => {{
        match (&$one, &$other) {{
            (one, other) => {{
                let _: (&dyn crate::std_{word}::fmt::Debug, &dyn crate::std_{word}::fmt::Debug) = (one, other);
                *one == *other
            }}
        }}
    }};
}}
fn main() {{}}
"""
    parts = [own]
    for number, tests in enumerate(copies):
        names = re.findall(r"#\[test\]\s*(?://[^\n]*\s*)*(?:pub\s+)?fn\s+(\w+)", tests)
        if len(names) != tests.count("#[test]") or not names:
            raise ValueError(f"the tests of {program.entry_point} hold a #[test] that is no function")
        tests = re.sub(r"#\[cfg\(test\)\]|#\[test\]", "", tests)
        tests = re.sub(r"\bassert_ne!\(", f"!same_{word}!(", re.sub(r"\bassert_eq!\(", f"same_{word}!(", tests))
        tests = re.sub(rf"(?<![:\w])(?=(?:{_RUST})!)", f"crate::std_{word}::", tests)
        tests = re.sub(r"\bmod\s+tests\b", f"mod space_{word}_{number}", tests)
        head, brace, tail = tests.rpartition("}")
        calls = "".join(f"{name}();" for name in names)
        parts.append(f"{head}\npub fn all_{word}() {{ {calls} }}\n{brace}{tail}")
        parts.append(f"""
#[no_mangle]
pub extern "C" fn tests_{word}_{number}(report: usize) -> i32 {{
    REPORT_{word}.store(report, crate::std_{word}::sync::atomic::Ordering::Relaxed);
    space_{word}_{number}::all_{word}();
    0
}}
""")
    candidate = re.sub(r"\bfn\s+main\s*\(\s*\)\s*\{\s*\}", "", program.candidate)  # main() is the harness's
    return {"p.rs": "\n".join([candidate, *parts])}


# What HumanEvalPack's tests use, and what is most like it; words that the C++ standard lets nobody define.
_JAVA = {
    "java.lang": "AssertionError Boolean Character Double Integer Long Math Object String StringBuilder",
    "java.util": "ArrayList Arrays Collections HashMap HashSet LinkedList List Map Objects Optional Random Set TreeMap",
}
_NO_MACROS = set(re.findall(r"\w+", "defined and and_eq bitand bitor compl not not_eq or or_eq xor xor_eq"))
_RUST = "(?:debug_)?assert(?:_eq|_ne)?|format|matches|panic|println|unreachable|vec"
_LANGUAGES = {
    "cpp": (_cpp, lambda word, number, condition: f"report_{word}({number}, ({condition}) ? 1 : 0)"),
    "go": (_go, lambda word, number, condition: f"report_{word}({number}, {condition})"),
    "java": (_java, lambda word, number, condition: f"Harness.report({number}, {condition})"),
    "javascript": (_javascript, lambda word, number, condition: f"report_{word}_({number}, {condition})"),
    "rust": (_rust, lambda word, number, condition: f"crate::report_{word}({number}, {condition})"),
}
