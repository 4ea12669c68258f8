"""HumanEvalPack's programs in six languages: what of an answer is run, and the tests that it is run against.

The rules per language stand in languages.yaml. `compat` is the published harness to the letter, its faults included
(github.com/bigcode-project/bigcode-evaluation-harness, bigcode_eval/tasks/humanevalpack.py); `repaired` takes
the function's head from `prompt`, which is whole where `declaration` is not (C++/38, Go/10, 32, 38, 50).
"""

import re
from functools import cache
from pathlib import Path
from typing import Any

from stages.lib.benchmarks.suites import Problem

TABLE = Path(__file__).parent / "languages.yaml"


@cache
def rules(language: str) -> dict[str, Any]:
    """The language's row of languages.yaml."""
    from ruamel.yaml import YAML

    return dict(YAML(typ="safe", pure=True).load(TABLE)[language])


def base(language: str, problem: Problem) -> str:
    """What stands before a completion as the published harness prompts it: the declaration."""
    return f"{rules(language)['compat'].get('main', '')}{problem.declaration}"


# compat


def compat(language: str, problem: Problem, answer: str) -> str:
    """The program that the published harness makes of an answer to HumanEvalFix or HumanEvalExplain."""
    code = base(language, problem).rstrip() + cut(language, answer.rstrip())
    return _COMPAT.get(language, lambda _, code, __: code)(language, code, problem)


def cut(language: str, code: str) -> str:
    """`remove_last_block`: up to a stop text, then up to where the brackets that were open are closed."""
    rule = rules(language)["compat"]
    for stop in rule["stop"]:
        code = code.partition(stop)[0]
    if language == "python":
        lines = code.split("\n")
        ends = (number for number, line in enumerate(lines) if line.strip() and line[0] not in " \t")
        return "\n".join(lines[: next(ends, None)])
    level = rule["open"]
    for number, letter in enumerate(code):
        level += {"{": 1, "}": -1}.get(letter, 0)
        if level == 0:
            return code[: number + 1]
    return _unclosed_java(code) if language == "java" else _to_last_bracket(code)


def _to_last_bracket(code: str) -> str:
    return code[: code.rfind("}") + 1] if "}" in code else code


def _unclosed_java(code: str) -> str:
    start = code.find("public static void main")
    code = _to_last_bracket(code if start < 0 else code[:start] + "}")
    return code + "\n}" if code.count("{") - 1 == code.count("}") else code


def _compat_python(language: str, code: str, _problem: Problem) -> str:
    rule = rules(language)["compat"]
    # The published harness imports numpy always; where it is not named, nobody can tell, and it takes 0.1 s.
    numpy = rule["numpy"] if re.search(r"\b(?:np|numpy)\b", code) else ""
    return f"{rule['imports']}{numpy}{code}".strip()


def _compat_cpp(language: str, code: str, _problem: Problem) -> str:
    rule = rules(language)["compat"]
    return f"{rule['imports']}{code.split(rule['cut'])[0]}".strip()


def _compat_java(_language: str, code: str, _problem: Problem) -> str:
    return code.replace("public class Main {\n    }", "").strip()


def _compat_go(language: str, code: str, problem: Problem) -> str:
    setup = problem.setup + "\n"
    for line in setup.split("\n"):
        name = re.sub(r"import|[()]", "", line).strip()
        if name.startswith('"') and name in code:
            setup = setup.replace(name, "")
    whole = f"{setup}{code}\n\n{problem.test}"
    used = []
    for path in rules(language)["compat"]["packages"]:
        name = path.split("/")[-1]
        lines = (line for line in whole.split("\n") if f"{name}." in line)
        if f'"{path}"' not in whole and any(not line.strip().startswith("//") for line in lines):
            used.append(f'    "{name}"')
    imports = "import (\n" + "\n".join(used) + "\n)\n" if used else ""
    if "package main" in code and "package main" in setup:
        code = code.replace("package main", "")
    return setup + imports + code


def _compat_rust(language: str, code: str, problem: Problem) -> str:
    main = rules(language)["compat"]["main"]
    head = "" if "fn main()" in code else main
    for line in map(str.strip, problem.declaration.split("\n")):
        known = line.startswith("fn") and line.split("(")[0] in code
        if line not in code and not known:
            head += line + "\n"
    return head + "fn main()".join(code.split("fn main()")[:2])


_COMPAT = {"python": _compat_python, "cpp": _compat_cpp, "java": _compat_java, "go": _compat_go, "rust": _compat_rust}


# repaired


def repaired(language: str, problem: Problem, code: str) -> str:
    """The program of an answer without its fence: a whole function, or the body that follows the prompt."""
    for pattern in rules(language)["repaired"].get("drop", []):
        code = _drop_block(language, pattern, code)
    prompt = _prompt(language, problem)
    whole = defines(language, problem.entry_point, code)
    code = _whole(language, problem, prompt, code) if whole else _closed(language, prompt, code)
    return _FINISH.get(language, lambda _, code, __: code)(language, code, problem)


def defines(language: str, name: str, code: str) -> bool:
    """True if the code holds the head of the function."""
    return _head(language, name).search(_plain(language, code)) is not None


def _head(language: str, name: str) -> re.Pattern[str]:
    return re.compile(rules(language)["repaired"]["head"].replace("NAME", re.escape(name)), re.MULTILINE)


def _plain(language: str, code: str) -> str:
    """The code with comments and texts blanked, every other character where it was."""
    return re.sub(
        rules(language)["repaired"]["comment"],
        lambda found: re.sub(r"[^\n]", " ", found[0]),
        code,
        flags=re.DOTALL,
    )


def _prompt(language: str, problem: Problem) -> str:
    """The prompt without the empty main() of Rust's."""
    return re.sub(r"^fn main\(\)\{\}\n", "", problem.prompt) if language == "rust" else problem.prompt


def _preamble(language: str, problem: Problem, prompt: str) -> str:
    """What stands before the function's head in its prompt: imports, helpers, Java's class."""
    found = list(_head(language, problem.entry_point).finditer(_plain(language, prompt)))
    if not found:
        return prompt
    start = prompt.rfind("\n", 0, found[-1].start() + 1) + 1
    return prompt[:start]


def _whole(language: str, problem: Problem, prompt: str, code: str) -> str:
    before = _preamble(language, problem, prompt)
    if language == "java":
        if re.search(r"\bclass\s+Solution\b", _plain(language, code)):
            before = before[: re.search(r"\bclass\s+Solution\b", before).start()]  # type: ignore[union-attr]
            code = re.sub(r"\bpublic\s+(?=(?:final\s+)?(?:class|interface|enum|record)\s)", "", code)
            imports = "".join(re.findall(r"^\s*import\s[^;]*;\s*\n", code, re.MULTILINE))
            return f"{before}{imports}{re.sub(r'^[ ]*(?:import|package)[ ][^;]*;', '', code, flags=re.MULTILINE)}"
        return f"{before}{code}\n}}\n"
    helpers = re.findall(r"\b(?:fn|func|const)\s+(\w+)\s*[(=<]|\b(\w+)\s*\([^;{}]*\)\s*\{", _plain(language, before))
    again = [name for pair in helpers for name in pair if name and defines(language, name, code)]
    if again:  # the answer brings the helpers along
        before = "".join(re.findall(r"^(?:#include|using|use|import)\b.*\n", before, re.MULTILINE))
    return before + code


def _closed(language: str, prompt: str, body: str) -> str:
    """Prompt and body, up to the last bracket, and with those that are missing at its end."""
    body = _to_last_bracket(body)
    plain = _plain(language, prompt + body)
    return prompt + body + "\n}" * max(0, plain.count("{") - plain.count("}"))


def _drop_block(language: str, pattern: str, code: str) -> str:
    """The code without what matches and the block in brackets behind it."""
    plain = _plain(language, code)
    found = re.search(pattern + r"\{", plain, re.MULTILINE)
    if not found:
        return code
    level, end = 1, found.end()
    while level and end < len(plain):
        level += {"{": 1, "}": -1}.get(plain[end], 0)
        end += 1
    return code[: found.start()] + code[end:]


def _finish_go(language: str, code: str, problem: Problem) -> str:
    """Imports by use: those of the answer, of the tests' own head, and of the table."""
    block = re.compile(r'^import\s*(?:\([^)]*\)|[\w.]*\s*"[^"]*")', re.MULTILINE)
    paths = {f'"{path}"': path.split("/")[-1] for path in rules(language)["repaired"]["packages"]}
    for text in (problem.setup, code):
        for found in block.findall(text):
            for alias, path in re.findall(r'([\w.]*)[ \t]*("[^"]+")', found.removeprefix("import")):
                name = alias or path.strip('"').split("/")[-1]
                paths[path] = name
    code = re.sub(r"^package\s+\w+", "", block.sub("", code), flags=re.MULTILINE)
    plain = _plain(language, f"{code}\n{problem.test}")
    used = [f"import {name} {path}" for path, name in sorted(paths.items()) if re.search(rf"\b{name}\.[A-Z]", plain)]
    return "package main\n\n" + "\n".join(used) + "\n" + code


def _finish_rust(_language: str, code: str, problem: Problem) -> str:
    """The prompt's `use` lines in a module of their own: what an answer uses again by name is then no clash."""
    given = re.findall(r"^use .*;$", problem.prompt, re.MULTILINE)
    for line in given:
        code = code.replace(line + "\n", "", 1)
    lines = "\n".join(f"    pub {line}" for line in given)
    return f"mod tidemill_given {{\n{lines}\n}}\nuse tidemill_given::*;\n{code}"


def _finish_cpp(language: str, code: str, _problem: Problem) -> str:
    return f"{rules(language)['compat']['imports']}{code}"


_FINISH = {"go": _finish_go, "rust": _finish_rust, "cpp": _finish_cpp}


def tests(language: str, problem: Problem, mode: str) -> str:
    """The problem's tests as the sandbox runs them."""
    test = problem.test
    if language == "python":  # the sandbox calls check(candidate) itself
        return re.sub(rf"^check\({re.escape(problem.entry_point)}\)\s*\Z", "", test, flags=re.MULTILINE)
    if mode == "repaired" and problem.task_id == "CPP/23":  # a text is no string, and calls libc's strlen
        return re.sub(r'strlen\(("[^"]*")\)', r"strlen(string(\1))", test)
    return test
