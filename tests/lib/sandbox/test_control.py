"""The control run: tests of which about half must fail, and what is made of their reports."""

import ast
import gzip
import json
import platform
import random
import re
import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from stages.lib.sandbox import assertions, changes, control
from stages.lib.sandbox.inside import control as python_control
from stages.lib.sandbox.inside import filter as calls

HERE = Path(__file__).parent / "hostile"
PACKS = {"cpp": "cpp", "go": "go", "java": "java", "javascript": "js", "rust": "rust"}
CPP = (HERE / "cpp/tests.cpp").read_text()


def two_copies() -> list[control.Copy]:
    return control.copies(CPP, "cpp", lambda number, condition: f"report({number}, {condition})", True)


def play(copies: list[control.Copy], answer: Callable[[int, control.Site], bool | None]) -> tuple[str, str] | None:
    """The verdict on a program whose assertions say `answer`; None leaves one out."""
    sheet = control.Sheet([copy.sites for copy in copies])
    for index, copy in enumerate(copies):
        for number, site in copy.sites.items():
            held = answer(index, site)
            if held is not None and (verdict := sheet.report(number, held)):
                return verdict
        if verdict := sheet.finish():
            return verdict
    return None


def test_each_assertion_is_true_in_one_copy_and_false_in_the_other() -> None:
    for _ in range(20):
        first, second = two_copies()
        truths = [
            {site.of: site.holds for site in copy.sites.values() if site.of is not None} for copy in (first, second)
        ]
        assert len(truths[0]) == 6
        assert all(truths[0][number] is not truths[1][number] for number in truths[0])
        assert not first.sites.keys() & second.sites.keys()
        assert first.text.count("f(1) == 2,") + second.text.count("f(1) == 2,") <= 1


def test_without_control_the_tests_are_as_they_were() -> None:
    (only,) = control.copies(CPP, "cpp", lambda number, condition: f"assert({condition})", False)
    assert only.text == CPP
    assert all(site.holds for site in only.sites.values())


def test_the_verdict_of_what_is_reported() -> None:
    right = play(two_copies(), lambda _, site: site.holds)
    wrong = play(two_copies(), lambda _, site: site.holds if site.of != 3 else not site.holds)
    always = play(two_copies(), lambda _, site: True if site.of is not None else site.holds)
    blind = play(two_copies(), lambda _, site: site.of != 99)
    left = play(two_copies(), lambda _, site: None if site.of == 2 else site.holds)
    assert right == ("passed", "")
    assert wrong == ("wrong answer", "f(0) == 1")
    assert always == ("forged", f"{control.CONTRADICTION}: {always[1].partition(': ')[2]}") if always else False
    assert blind is None or blind[0] == "forged"
    assert left and left[0] == "forged" and left[1].startswith("left the tests before 1 of")


def test_who_guesses_passes_as_a_coin_falls() -> None:
    draw = random.Random(0)
    verdicts = [play(two_copies(), lambda _, site: draw.random() < 0.5) for _ in range(2000)]
    assert sum(verdict == ("passed", "") for verdict in verdicts) <= 2  # of 2,000; twelve coins and more


def test_counting_the_values_of_both_copies_tells_little() -> None:
    """Who reads both copies and knows how they are made still has to toss a coin for each two assertions."""
    right = [2, 6, 7, 1, 8, 9]
    tests = "int main() {\n" + "".join(f"assert(f({x}) == {y});\n" for x, y in enumerate(right)) + "}\n"
    passed, draw = 0, random.Random(0)
    for _ in range(300):
        texts = [copy.text for copy in control.copies(tests, "cpp", lambda number, condition: condition, True)]
        pairs = [{int(re.search(rf"f\({x}\) == (\d+)", text)[1]) for text in texts} for x in range(6)]  # type: ignore[index]
        passed += count_out(pairs, draw) == right
    assert passed < 300 / 2**3 + 30


def count_out(pairs: list[set[int]], draw: random.Random) -> list[int]:
    """Each assertion's value, each value once: what is in one pair only is right there; then a guess."""
    found: dict[int, int] = {}
    while open_ := {index: pair - set(found.values()) for index, pair in enumerate(pairs) if index not in found}:
        seen = [value for pair in open_.values() for value in pair]
        sure = [(index, value) for index, pair in open_.items() for value in pair if seen.count(value) == 1]
        sure += [(index, max(pair)) for index, pair in open_.items() if len(pair) == 1]
        index, value = sure[0] if sure else next((index, draw.choice(sorted(pair))) for index, pair in open_.items())
        found[index] = value
    return [found[index] for index in range(len(pairs))]


def test_reports_of_nothing_and_a_copy_that_ended_early() -> None:
    first, second = two_copies()
    sheet = control.Sheet([first.sites, second.sites])
    unknown = next(number for number in range(1 << 16) if number not in first.sites | second.sites)
    assert sheet.report(unknown, True) == ("forged", "reported an assertion that was never run")
    assert sheet.report(next(iter(second.sites)), True) == ("early exit", "exit status 0")


def test_results_that_change_within_a_run_are_wrong_and_not_forged() -> None:
    either = [(copy, false_sites(copy)) for copy in two_copies()]  # one copy in 64 has all assertions as they were
    copy, false = next((copy, false) for copy, false in either if false)
    sheet = control.Sheet([copy.sites])
    for number, site in copy.sites.items():
        assert sheet.report(number, site.holds) is None
    assert sheet.report(false[0], True) is None
    assert sheet.finish() == ("wrong answer", copy.sites[false[0]].text)


def false_sites(copy: control.Copy) -> list[int]:
    """The numbers of the assertions that a right program reports as false."""
    return [number for number, site in copy.sites.items() if not site.holds and site.of is not None]


@pytest.mark.parametrize("language", sorted(PACKS))
def test_every_problem_has_assertions_and_most_have_values_to_change(
    language: str, shared_data: Callable[[str], Path]
) -> None:
    draw = random.Random(0)
    with gzip.open(shared_data(f"humanevalpack/{PACKS[language]}.jsonl.gz"), "rt") as lines:
        tests = [json.loads(line)["test"] for line in lines]
    without = 0
    for text in tests:
        found = assertions.find(text, language)
        assert found, text
        strings = changes.strings(text)
        changed = [changes.change(one.condition, language, strings, [], draw) for one in found]
        assert all(other != one.condition for one, (other, _) in zip(found, changed, strict=True))
        without += not any(value for _, value in changed)
    assert len(tests) == 164
    assert without == {"cpp": 4, "go": 0, "java": 19, "javascript": 1, "rust": 6}[language]  # docs/sandbox.md


@pytest.mark.parametrize(
    ("language", "condition", "negated"),
    [
        ("cpp", "f(x) < 1", "(f(x) < 1) ? false : true"),
        ("cpp", "!f(x)", "f(x)"),
        ("java", "!(s.f(1) != 2)", "s.f(1) != 2"),
        ("javascript", "JSON.stringify(f(1)) === JSON.stringify((8, 1))", None),
        ("rust", "f(1) == vec![0; 3]", "!(f(1) == vec![0; 3])"),
        ("cpp", "abs(f(1) - 2.0/3.0) < 1e-4", "(abs(f(1) - 2.0/3.0) < 1e-4) ? false : true"),
        ("cpp", "f(1)[0] == g(2)", "(f(1)[0] == g(2)) ? false : true"),
    ],
)
def test_what_cannot_be_changed_is_negated(language: str, condition: str, negated: str | None) -> None:
    """Nothing is changed that might leave the assertion true."""
    for seed in range(20):
        other, changed = changes.change(condition, language, frozenset(), [], random.Random(seed))
        if negated is None:  # of a sequence only the last counts
            assert changed and other.partition("(8, ")[2] and other != condition
        else:
            assert (other, changed) == (negated, False)


def test_a_condition_of_go_may_hold_braces() -> None:
    tests = "func TestF(t *testing.T) {\n\tif x > 1 { y() }\n\tif !(same(f([]int{1}), []int{2})) { t.Fail() }\n}\n"
    assert [one.condition for one in assertions.find(tests, "go")] == ["same(f([]int{1}), []int{2})"]


def test_another_value_is_another_and_fits_the_type() -> None:
    for seed in range(200):
        draw = random.Random(seed)
        for literal in (
            "0",
            "7",
            "10",
            "127",
            "128",
            "255",
            "65535",
            "2147483647",
            "1000000000",
            "0.5",
            "3.25",
            "9usize",
        ):
            other = changes.change(f"f(1) == {literal}", "rust", frozenset(), [], draw)[0].removeprefix("f(1) == ")
            number, before = float(other.removesuffix("usize")), float(literal.removesuffix("usize"))
            assert abs(number - before) >= 1 and other.endswith("usize") == literal.endswith("usize")
            assert number <= max(before, 99)  # no overflow where there was none
        for literal in ('""', '"Yes"', '"a\\n"', '"123"'):
            assert changes.change(f"f(1) == {literal}", "cpp", frozenset(), [], draw)[0] != f"f(1) == {literal}"


def test_a_value_comes_from_the_other_assertions_if_one_fits() -> None:
    known = ['"No"', '"Yes"', "3"]
    changed, _ = changes.change('f(1) == "Yes"', "cpp", frozenset(), known, random.Random(0))
    assert changed == 'f(1) == "No"'


# Python's


def holds(tree: ast.Module, candidate: Callable[..., object]) -> bool:
    space: dict[str, object] = {python_control.REACHED: lambda _: None}
    exec(compile(tree, "control.py", "exec"), space)
    try:
        space["check"](candidate)  # type: ignore[operator]
    except AssertionError:
        return False
    return True


@pytest.mark.parametrize(
    "line",
    [
        "assert candidate(1) == 2",
        "assert [2] == [candidate(1)]",
        "assert candidate(1) < 3",
        "for n in range(3):\n        assert candidate(n) == n + 1",
        "assert (candidate(1), 'a') == (2, 'a')",
        "assert {'a': candidate(1)} == {'a': 2}",
    ],
)
def test_pythons_control_fails_a_right_program(line: str) -> None:
    tests = f"def check(candidate):\n    assert candidate(4) == 5\n    {line}\n"
    for _ in range(20):
        pair = python_control.write(tests)
        assert pair is not None
        assert not holds(pair[0], lambda x: x + 1)
        assert holds(pair[1], lambda x: x + 1)


def test_tests_that_check_nothing_themselves_have_no_control() -> None:
    assert python_control.write("def check(candidate):\n    compare(candidate(1))\n") is None


# The system call filter


def decide(machine: str, number: int, *arguments: int, architecture: int | None = None) -> int:
    """What the filter says of a call: classic BPF, interpreted."""
    known = calls._ARCHITECTURE[machine]
    data = struct.pack("<iIQ6Q", number, architecture or known, 0, *(*arguments, 0, 0, 0, 0, 0, 0)[:6])
    value, at, steps = 0, 0, calls.steps(machine)
    while True:
        code, yes, no, operand = steps[at]
        at += 1
        if code == calls._RETURN:
            return operand
        if code == calls._LOAD:
            (value,) = struct.unpack_from("<I", data, operand)
            continue
        so = {calls._EQUAL: value == operand, calls._ABOVE: value > operand, calls._ANY_BIT: bool(value & operand)}
        at += yes if so[code] else no


@pytest.mark.parametrize("which", [0, 1])
def test_the_filter_decides_as_it_is_written(which: int) -> None:
    machine = calls.MACHINES[which]
    for name, numbers in calls.FORBIDDEN.items():
        number = numbers[which % len(numbers)]
        assert not number or decide(machine, number) == calls._EPERM, name
    write, clone, socket, fcntl = (1, 56, 41, 72) if which == 0 else (64, 220, 198, 25)
    assert decide(machine, write) == calls._ALLOW
    assert decide(machine, write, architecture=0x40000003) == calls._EPERM  # a 32-bit call
    assert decide(machine, 457) == decide(machine, 435) == calls._ENOSYS  # statmount, clone3
    assert decide(machine, clone, 17) == calls._ALLOW and decide(machine, clone, 0x20000000 | 17) == calls._EPERM
    assert [decide(machine, socket, family) for family in (1, 2)] == [calls._ALLOW] * 2
    assert {decide(machine, socket, family) for family in (0, 10, 16, 17, 38, 40)} == {calls._NO_FAMILY}
    assert decide(machine, fcntl, 3, 1) == calls._ALLOW and decide(machine, fcntl, 3, 6) == calls._EPERM
    if which == 0:
        assert decide(machine, 0x40000000 | 1) == calls._EPERM  # x32


# What Docker's default profile keeps from a container without capabilities (moby/profiles, seccomp/default.json)
DOCKER = """
acct add_key bpf chroot clock_adjtime clock_settime delete_module fanotify_init finit_module fsconfig fsmount
fsopen fspick get_mempolicy init_module ioperm iopl io_uring_enter io_uring_register io_uring_setup kcmp
kexec_file_load kexec_load keyctl lookup_dcookie mbind mount mount_setattr move_mount move_pages nfsservctl
open_by_handle_at open_tree perf_event_open pidfd_getfd pivot_root process_madvise quotactl quotactl_fd reboot
request_key set_mempolicy set_mempolicy_home_node setdomainname sethostname setns settimeofday swapoff swapon
sysfs syslog umount2 unshare uselib userfaultfd ustat vhangup
"""


def test_the_filter_refuses_what_docker_refuses() -> None:
    assert set(DOCKER.split()) - calls.FORBIDDEN.keys() == set()
    assert platform.machine() in calls.MACHINES
