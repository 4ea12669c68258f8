"""names: what a function uses, which imports it carries, and why it does not stand by itself, in every language."""

import sys

import pytest

from stages.lib.corpus import functions, names

OF_CLASS = "is a method of its class: overrides another, or takes nothing"
# Language, file, and why its last function does not stand by itself ("": it does) with the imports that it carries.
FILES: list[tuple[str, str, str, list[str]]] = [
    ("Python", "import math\nimport os\n\ndef f(a):\n    return math.pi * a", "", ["import math"]),
    (
        "Python",
        "from collections import deque, Counter as C\n\ndef f(a: list) -> list:\n"
        "    def g(x): return h(x)\n    def h(x): return [y for y in x if y]\n    return deque(g(a)), C(a)",
        "",
        ["from collections import deque", "from collections import Counter as C"],
    ),
    ("Python", "import os.path\n\ndef f(a):\n    return os.path.join(a, a)", "", ["import os.path"]),
    ("Python", "import numpy as np\n\ndef f(a):\n    return np.sum(a)", "imports numpy", ["import numpy as np"]),
    ("Python", "from .core import g\n\ndef f(a):\n    return g(a)", "imports .core", ["from .core import g"]),
    ("Python", "LIMIT = 3\n\ndef f(a):\n    return a > LIMIT", "needs LIMIT", []),
    ("Python", "def f(self, a):\n    return self.x + a", "is a method: takes self", []),
    ("Python", "def f(a):\n    global x\n    x = a", "writes a global name", []),
    ("Python", "@wraps\ndef f(a: Shape = DEFAULT):\n    return a", "needs DEFAULT, Shape, wraps", []),
    ("Python", "def f(n):\n    return 1 if n < 2 else n * f(n - 1)", "", []),
    (
        "Python",
        "def f(a):\n    try:\n        return int(a)\n    except ValueError as error:\n        raise error",
        "",
        [],
    ),
    ("PHP", "function f(array $a): int { return strlen($a[0]) + Count($a) + PHP_INT_MAX; }", "", []),
    ("PHP", "function f($a) { return helper($a) . Text::of($a); }", "needs Text, helper", []),
    ("PHP", "public function f($a) { return $this->x($a); }", "uses $this", []),
    ("PHP", "public static function f($a) { return self::g($a); }", "uses self", []),
    ("PHP", 'function f($a) { throw new \\InvalidArgumentException("no $a"); }', "", []),
    (
        "Go",
        'import (\n\t"strings"\n\tstr "strconv"\n\t"os"\n)\n\nfunc f(a []int, b ...string) string {\n\ts := ""\n'
        "\tfor _, x := range a {\n\t\ts += str.Itoa(x)\n\t}\n\treturn strings.ToUpper(s)\n}",
        "",
        ['import "strings"', 'import str "strconv"'],
    ),
    (
        "Go",
        'import "github.com/a/b/v2"\n\nfunc f() int { return b.C() }',
        "imports github.com/a/b/v2",
        ['import "github.com/a/b/v2"'],
    ),
    ("Go", 'import "C"\n\nfunc f(a C.int) C.int { return a }', "imports C", ['import "C"']),
    ("Go", "func f(a int) int { return limit(a) }", "needs limit", []),
    ("Go", "func (s *Stack) f() int { return s.n }", "uses (s *Stack)", []),
    (
        "Java",
        "import java.util.*;\nimport java.util.List;\nimport com.a.Box;\npublic static <T> int f(List<T> a) {"
        " int n = 0; for (T x : a) { n += x.hashCode(); } return Math.abs(n); }",
        "",
        ["import java.util.List;"],
    ),
    ("Java", "import com.a.Box;\nstatic int f(Box b) { return b.n; }", "imports com.a.Box", ["import com.a.Box;"]),
    ("Java", "static int f() { return count + 1; }", "needs count", []),
    ("Java", "int f() { return this.count; }", "uses this", []),
    ("Java", "static int f(int a) { return f(a, 1); }", "calls another function of its name", []),
    ("Java", "static int f(int a) { return f((long) a); }", "calls another function of its name", []),
    ("Java", "static int f(int a) { return a < 2 ? 1 : a * f(a - 1); }", "", []),
    (
        "JavaScript",
        "const { join: glue, sep } = require('path');\nimport fs from 'fs';\n"
        "function f(a, { b, c: d } = {}, ...e) { return glue(a, ...e) + b + d; }",
        "",
        ["const { join: glue, sep } = require('path');"],
    ),
    (
        "JavaScript",
        "import g, { h } from './g';\nfunction f(a) { return h(a); }",
        "imports ./g",
        ["import g, { h } from './g';"],
    ),
    ("JavaScript", "function f(a) { return document.getElementById(a); }", "needs document", []),
    ("JavaScript", "function f(a) { return this.a + a; }", "uses this", []),
    ("JavaScript", "exports.f = function (a) { for (let k of a) { a = { k }; } return a; };", "", []),
    ("Ruby", "def f(a, b = 1, *c, d:)\n  a.map { |x, (y, z)| x + y + z + b + d }\nend", "", []),
    ("Ruby", "def f(a)\n  Set.new(JSON.parse(a))\nend", "", ["require 'set'", "require 'json'"]),
    ("Ruby", "def f(a)\n  helper(a)\nend", "needs helper", []),
    ("Ruby", "def f(a)\n  @a = a\n  a\nend", "uses @a", []),
    ("Ruby", "def self.f(a)\n  total = a.sum\n  total + 1\nend", "", []),
    (
        "C++",
        "template <typename T> T f(const std::vector<T>& a) { T s{}; for (auto& x : a) s = std::max(s, x); return s; }",
        "",
        ["#include <algorithm>", "#include <vector>"],
    ),
    ("C++", "double f(double a) { auto [p, q] = std::make_pair(a, 1.0); return sqrt(p) + q; }", "", []),
    ("C++", "int f(int a) { return detail::g(a) + kLimit; }", "needs detail, kLimit", []),
    ("C++", "void Stack::f(int a) { a = 1; }", "needs Stack", []),
    ("C++", "int f(struct Box* a) { return a->n; }", "needs Box", []),
    ("C++", "int f(int a) { return static_cast<int>(unsigned(a)); }", "", []),
    ("C++", "int f(int a) { return this->n + a; }", "uses this", []),
    ("C++", "Box(int a) : width(a * 2) {}", "is a method, constructor or conversion of its class", []),
    ("C++", "int f(int a) const { return a + 1; }", "is a method, constructor or conversion of its class", []),
    ("C++", "const int* f(const int* a) { return a + 1; }", "", []),
    ("Go", 'import "crawler/urls"\nfunc f(a string) string { return urls.Clean(a) }', "imports crawler/urls", []),
    (
        "Python",
        "import urllib\nimport urllib.parse\ndef f(a):\n    return urllib.parse.quote(a)",
        "",
        ["import urllib", "import urllib.parse"],
    ),
    ("Python", "def f(a):\n    from rich.syntax import Syntax\n    return Syntax(a)", "imports rich.syntax", []),
    ("Python", "def f(a):\n    from math import tau\n    return a * tau", "", []),
    (
        "C#",
        "public static List<int> f(this IEnumerable<int> a, out int n) { n = a.Count(); foreach (var x in a) n += x;"
        " return a.Select(y => Math.Abs(y)).ToList(); }",
        "",
        ["using System;", "using System.Collections.Generic;", "using System.Linq;"],
    ),
    ("C#", "public int f() { return this.n; }", "uses this", []),
    ("C#", "public override int f(int a) { return a + 1; }", OF_CLASS, []),
    ("C#", "public int f() { return 1; }", OF_CLASS, []),
    ("C#", "public int f(int a) { return a + 1; }", "", []),
    ("Java", "@Override public int f(int a) { return a + 1; }", OF_CLASS, []),
    ("PHP", "public function f() { return 1; }", OF_CLASS, []),
    ("PHP", "public function f($a) { return $a + 1; }", "", []),
    ("JavaScript", "f() { return 1; }", OF_CLASS, []),
    ("JavaScript", "function f(a) { return { g() { return a; } }; }", "", []),
    ("C#", "public static int f(int a) { return Add(a, offset); }", "needs Add, offset", []),
    ("C#", "public static int f(int a) { return f(a, 1); }", "calls another function of its name", []),
    (
        "Rust",
        "use std::collections::HashMap;\nuse std::{fmt, io};\n\nfn f(a: &[u32]) -> HashMap<u32, usize> {\n"
        "    let mut m = HashMap::new();\n    for (i, &v) in a.iter().enumerate() { m.insert(v, i); }\n    m\n}",
        "",
        ["use std::collections::HashMap;"],
    ),
    ("Rust", "use rand::Rng;\n\nfn f<R: Rng>(r: R) -> R { r }", "imports rand::Rng", ["use rand::Rng;"]),
    ("Rust", "fn f(&self) -> u32 { self.n }", "uses self", []),
    ("Rust", "fn f(a: u32) -> u32 { helper(a) }", "needs helper", []),
]


def last_function(file: str) -> str:
    """The last function of `file`, which begins on the line after its imports."""
    lines = file.splitlines(keepends=True)
    heads = ("import ", "from ", "use ", "const {", ")", '\t"', "\tstr ", "LIMIT", "\n")
    while lines[0].startswith(heads):
        lines.pop(0)
    return "".join(lines)


@pytest.mark.parametrize(("language", "file", "reason", "imports"), FILES, ids=lambda value: str(value)[:50])
def test_each_language_knows_what_stands_by_itself(language: str, file: str, reason: str, imports: list[str]) -> None:
    code = last_function(file)
    carried = names.used_imports(names.find_imports(file, language), code, language)
    assert (names.lacks(code, carried, language) or "") == reason
    if imports:
        assert carried.splitlines() == imports


def test_every_language_has_its_names() -> None:
    assert set(names._definitions()) == set(functions.languages())
    assert {language for language, *_ in FILES} == set(functions.languages())


def test_without_its_imports_a_function_stands_no_more() -> None:
    assert names.lacks("def f(a):\n    return math.pi * a", "", "Python") == "needs math"
    assert names.lacks("func f(a string) string { return strings.ToUpper(a) }", "", "Go") == "needs strings"
    assert names.lacks("double f(std::vector<int> a) { return a.size(); }", "", "C++") == "needs std::vector"


def test_pythons_own_words_are_known() -> None:
    assert {"len", "ValueError", "print"} <= names._words("Python", "builtins")
    assert {"math", "os", "collections"} <= names._words("Python", "standard")
    assert names._words("Python", "standard") <= set(sys.stdlib_module_names)


def test_deeply_nested_code_is_read() -> None:
    code = "static int f(int a) { return " + "(" * 3000 + "a + other" + ")" * 3000 + "; }"
    assert names.lacks(code, "", "Java") == "needs other"
