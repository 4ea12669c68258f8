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
    """harness.c calls tidemill_tests, which no macro of the candidate can rename; main() is there so that the candidate
    has none."""
    tests = re.sub(r"\bint\s+main\s*\(", f"int tests_{word}(", program.tests)
    head, brace, tail = tests.rpartition("}")
    undefine = "#undef int\n#undef return\n"
    entry = f"#undef tidemill_tests\nint tidemill_tests() {{ return tests_{word}(); }}\nint main() {{}}\n"
    return {"p.cpp": f"{program.candidate}\n{undefine}{head}return 0;{brace}{tail}\n{undefine}{entry}"}


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
    return {"Main.java": f"{program.candidate}\n{program.tests}\n"}


def _javascript(program: Program, word: str) -> dict[str, str]:
    check = f"{CHECK}_{word}"
    return {"p.js": f"{program.candidate}\n{program.tests.replace('console.assert(', f'{check}(')}\n", "check": check}


def _rust(program: Program, word: str) -> dict[str, str]:
    """The tests are called one by one: libtest's own harness would exit before the secret could be written."""
    names = re.findall(r"#\[test\]\s*(?://[^\n]*\s*)*(?:pub\s+)?fn\s+(\w+)", program.tests)
    if len(names) != program.tests.count("#[test]") or not names:
        raise ValueError(f"the tests of {program.entry_point} hold a #[test] that is no function")
    tests = re.sub(r"#\[cfg\(test\)\]|#\[test\]", "", program.tests)
    tests = re.sub(r"(?<![:\w])(assert(?:_eq|_ne)?!)", r"::std::\1", tests)
    head, brace, tail = tests.rpartition("}")
    calls = "".join(f"{name}();" for name in names)
    main = f"""
fn main() {{
    tests::all_{word}();
}}
"""
    candidate = re.sub(r"\bfn\s+main\s*\(\s*\)\s*\{\s*\}", "", program.candidate)  # main() is the harness's
    return {"p.rs": f"{candidate}\n{head}\npub fn all_{word}() {{ {calls} }}\n{brace}{tail}\n{main}"}


_FILES = {"cpp": _cpp, "go": _go, "java": _java, "javascript": _javascript, "rust": _rust}
