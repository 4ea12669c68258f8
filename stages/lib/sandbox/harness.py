"""The source files of one job in a language whose tests and candidate are one program.

What the candidate could name is kept from it: the functions that this module writes end in a word drawn for the run.
The run's secret is read before anything of the candidate runs, and written after the last test has returned (C++, Rust:
jobs/harness.c).
"""

import re

from stages.lib.sandbox.languages import CHECK
from stages.lib.sandbox.program import Program


def files(program: Program, word: str) -> dict[str, str]:
    """Names and texts of the job's source files; `word` is drawn for the run."""
    return _FILES[program.language](program, word)


def _cpp(program: Program, word: str) -> dict[str, str]:
    """No macro of the candidate reaches the tests: every name in them is undefined first, for a #define has more
    spellings than can be looked for, and assert is the harness's. So tests may use no macro of a header, and none of
    HumanEvalPack's does. A failed assertion does not go on where the candidate's own __assert_fail returns. harness.c
    calls tidemill_tests; main() is there so that the candidate has none."""
    tests = re.sub(r"\bint\s+main\s*\(", f"int tests_{word}(", program.tests)
    head, brace, tail = re.sub(r"#\s*include\s*<assert\.h>", "", tests).rpartition("}")
    check = f"""
static void (*volatile failed_{word})(const char *, const char *, unsigned, const char *) = __assert_fail;
#define assert(holds) ((holds) ? void(0) : (failed_{word}(#holds, "p.cpp", 0, "tests"), __builtin_trap()))
"""
    entry = f"int tidemill_tests() {{ return tests_{word}(); }}\nint main() {{}}\n"
    names = set(re.findall(r"[A-Za-z_]\w*", f"{check}{head}{tail}{entry}")) - _NO_MACROS
    undefine = "\n".join(f"#undef {name}" for name in sorted(names))
    # The empty line is for a last line that the candidate leaves open.
    return {"p.cpp": f"{program.candidate}\n\n{undefine}\n{check}{head}return 0;{brace}{tail}\n{entry}"}


def _go(program: Program, word: str) -> dict[str, str]:
    """The variable of the first file is set before those of the candidate's, and before any init()."""
    test = re.search(r"^func (Test\w+)\(\w+ \*testing\.T\)", program.tests, re.MULTILINE)
    name = test[1] if test else "Test"
    harness = f"""package main

import (
	"os"
	"testing"
)

var secret_{word} = func() []byte {{
	secret := make([]byte, 32)
	os.Stdin.Read(secret)
	os.Stdin.Close()
	return secret
}}()

var out_{word} = os.Stdout

func main() {{
	t, done := new(testing.T), make(chan bool)
	go func() {{
		returned := false
		defer func() {{
			if reason := recover(); reason != nil {{
				panic(reason)
			}}
			done <- returned
		}}()
		{name}(t)
		returned = true
	}}()
	returned := <-done
	if t.Failed() {{
		os.Stderr.WriteString("an assertion of the tests failed\\n")
		os.Exit(1)
	}}
	if !returned {{
		os.Stderr.WriteString("the tests did not return\\n")
		os.Exit(1)
	}}
	out_{word}.Write(append([]byte("\\n"), secret_{word}...))
	os.Exit(0)
}}
"""
    return {"h.go": harness, "p.go": f"{program.candidate}\n{program.tests}"}


def _java(program: Program, _word: str) -> dict[str, str]:
    """What the tests name is imported by its own name: a class of the candidate's of that name is then an error, where
    it would come before what `import java.util.*` brings."""
    used = set(re.findall(r"\b[A-Z]\w*", program.tests))
    names = [f"{package}.{name}" for package, names in _JAVA.items() for name in names.split() if name in used]
    imports = "".join(f"import {name};" for name in names)
    return {"Main.java": f"{imports}{program.candidate}\n{program.tests}\n"}


def _javascript(program: Program, word: str) -> dict[str, str]:
    check = f"{CHECK}_{word}"
    return {"p.js": f"{program.candidate}\n{program.tests.replace('console.assert(', f'{check}(')}\n", "check": check}


def _rust(program: Program, word: str) -> dict[str, str]:
    """The tests are called one by one: libtest's own harness would exit before the secret could be written.

    Their macros are std's own: even `::std` can be another crate (`extern crate self as std`), so that std gets a name
    that the candidate cannot know.
    """
    names = re.findall(r"#\[test\]\s*(?://[^\n]*\s*)*(?:pub\s+)?fn\s+(\w+)", program.tests)
    if len(names) != program.tests.count("#[test]") or not names:
        raise ValueError(f"the tests of {program.entry_point} hold a #[test] that is no function")
    tests = re.sub(r"#\[cfg\(test\)\]|#\[test\]", "", program.tests)
    tests = re.sub(rf"(?<![:\w])(?=(?:{_RUST})!)", f"crate::std_{word}::", tests)
    head, brace, tail = tests.rpartition("}")
    calls = "".join(f"{name}();" for name in names)
    main = f"""
extern crate std as std_{word};
fn main() {{
    tests::all_{word}();
}}
"""
    candidate = re.sub(r"\bfn\s+main\s*\(\s*\)\s*\{\s*\}", "", program.candidate)  # main() is the harness's
    return {"p.rs": f"{candidate}\n{head}\npub fn all_{word}() {{ {calls} }}\n{brace}{tail}\n{main}"}


# What HumanEvalPack's tests use, and what is most like it; words that the C++ standard lets nobody define.
_JAVA = {
    "java.lang": "AssertionError Boolean Character Double Integer Long Math Object String StringBuilder",
    "java.util": "ArrayList Arrays Collections HashMap HashSet LinkedList List Map Objects Optional Random Set TreeMap",
}
_NO_MACROS = set(re.findall(r"\w+", "defined and and_eq bitand bitor compl not not_eq or or_eq xor xor_eq"))
_RUST = "(?:debug_)?assert(?:_eq|_ne)?|format|matches|panic|println|unreachable|vec"
_FILES = {"cpp": _cpp, "go": _go, "java": _java, "javascript": _javascript, "rust": _rust}
