"""What a stage's code depends on: every module of stages/lib that it imports, and the data files beside them.

python tests/support/dependencies.py [STAGE …]     print it as the deps that dvc.yaml should list
"""

import ast
import sys
from functools import cache
from pathlib import Path

import grimp

REPOSITORY = Path(__file__).resolve().parent.parent.parent
LIB = Path("stages/lib")


@cache
def graph() -> grimp.ImportGraph:
    sys.path.insert(0, str(REPOSITORY))
    return grimp.build_graph("stages")


@cache
def sources() -> tuple[Path, ...]:
    """Every file under stages/lib that says something."""
    found = (path for path in (REPOSITORY / LIB).rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return tuple(path.relative_to(REPOSITORY) for path in sorted(found) if path.read_bytes().strip())


def stages() -> list[str]:
    return sorted(path.stem for path in (REPOSITORY / "stages").glob("[a-z]*.py"))


@cache
def modules_of(stage: str) -> frozenset[Path]:
    """The files of lib that run when `stage` is imported, the `__init__.py` of their packages included."""
    names = set(graph().find_upstream_modules(f"stages.{stage}"))
    names |= {name.rsplit(".", depth)[0] for name in names for depth in range(1, name.count("."))}
    return frozenset(file for file in map(_file, names) if file in sources())


@cache
def programs() -> frozenset[Path]:
    """Modules that no stage imports: they are run, inside a sandbox or by another library, and count as data."""
    imported = frozenset[Path]().union(*map(modules_of, stages()))
    return frozenset(file for file in sources() if file.suffix == ".py" and file not in imported)


@cache
def words_of(module: Path) -> frozenset[str]:
    """Every string in the code of `module`."""
    tree = ast.parse((REPOSITORY / module).read_text())
    return frozenset(
        node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and node.value.__class__ is str
    )


def names(module: Path, file: Path) -> bool:
    """Whether `module` names the data `file` at or below its folder: by its path from there, by its folder, by a
    pattern, or, in the same folder, by its ending alone."""
    path = file.relative_to(module.parent)
    known = {str(path), *(str(folder) for folder in path.parents if folder != Path())}
    known.add(file.suffix if len(path.parts) == 1 else file.name)
    patterns = (word for word in words_of(module) if "*." in word or "*/" in word)
    return bool(known & words_of(module)) or any(
        len(Path(pattern).parts) == len(path.parts) and path.match(pattern) for pattern in patterns
    )


@cache
def readers_of(file: Path) -> frozenset[Path]:
    """The modules above the data `file` that name it, those of lib itself aside; all of the nearest folder's, where
    none does (a template that another one includes). A stage's own file may name one too."""
    above = [
        module
        for module in sources()
        if module.suffix == ".py"
        and module not in programs()
        and module.parent in file.parents
        and module.parent != LIB
    ]
    nearest = max((len(module.parts) for module in above), default=0)
    naming = [module for module in above if names(module, file)]
    naming += [path for path in map(Path, map("stages/{}.py".format, stages())) if file.name in words_of(path)]
    return frozenset(naming or [module for module in above if len(module.parts) == nearest])


def data() -> list[Path]:
    """The files of lib that are no modules of a stage."""
    return [file for file in sources() if file.suffix != ".py" or file in programs()]


@cache
def files_of(stage: str) -> frozenset[Path]:
    """The modules of `stage`, and the data files that one of them names."""
    modules = modules_of(stage)
    readers = {*modules, Path(f"stages/{stage}.py")}
    return modules | {file for file in data() if readers_of(file) & readers}


def deps_of(stage: str) -> list[str]:
    """`files_of`, where all files of a folder are in it as that folder."""
    files, deps = set(files_of(stage)), []
    folders = {parent for file in files for parent in file.parents if LIB in parent.parents}
    for folder in sorted(folders, key=lambda folder: len(folder.parts)):
        inside = {file for file in sources() if folder in file.parents}
        if inside <= files:
            deps.append(folder)
            files -= inside
    return sorted(str(path) for path in [*deps, *files])


def _file(module: str) -> Path:
    path = Path(*module.split("."))
    return path.with_suffix(".py") if (REPOSITORY / path).with_suffix(".py").is_file() else path / "__init__.py"


if __name__ == "__main__":
    for name in sys.argv[1:] or stages():
        print(f"{name}:", *deps_of(name), sep="\n  - ")
