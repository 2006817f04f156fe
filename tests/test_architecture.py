"""The house: a thin core, wings named after the field, and imports that only run downwards."""

import ast
import re
from collections import defaultdict
from functools import cache
from pathlib import Path

PACKAGE = Path(__file__).parents[1] / "fedet"
# From the ground up. A part may import parts of lower floors and, if it is a folder, itself. The parts of
# one line do not import each other.
FLOORS = """
errors
intervals files
video matching
annotations
metrics faces
datasets synthetic evaluation second_opinion
model features review
losses plots explorer
windows
postprocess
detection
training
experiments analysis
teaching report bench export
cli
""".strip().splitlines()
CORE = {"intervals", "features", "model", "losses", "windows", "postprocess", "detection", "matching",
        "metrics"}  # fmt: skip
PLUMBING = ["errors", "files", "__init__", "__main__"]
FOREIGN_TO_CORE = ["datasets", "synthetic", "training", "annotations", "review", "experiments"]
FAMILIES = ["shapes", "relief", "mesh", "splats"]
MOST_MODULES, MOST_CORE_FILES, MOST_CORE_LINES = 15, 10, 3000


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def name_of(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def names() -> set[str]:
    """Of all modules."""
    return {name_of(path) for path in modules()}


def part_of(module: str) -> str:
    """The core module or the wing that a module belongs to; "" for the package itself."""
    return (module.split(".") + [""])[1]


@cache
def imports_of(path: Path) -> tuple[tuple[str, int], ...]:
    """(module, line) for each import of the package, late ones too; those of type checkers are left out."""
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            node.body = [ast.Pass()]
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [(alias.name, node.lineno) for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, f"{path}:{node.lineno}: write the whole name of the module"
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                found.append((whole if whole in names() else node.module, node.lineno))
    return tuple((m, line) for m, line in found if m.split(".")[0] == "fedet")


def test_every_part_has_a_floor():
    floors = {part for line in FLOORS for part in line.split()}
    parts = {part_of(name_of(path)) for path in modules()} - {"", "__main__"}
    assert parts == floors, "a new part needs a floor, and a line in fedet/README.md"


def test_imports_run_downwards():
    floor = {part: i for i, line in enumerate(FLOORS) for part in line.split()}
    climbs = []
    for path in modules():
        here = part_of(name_of(path))
        if here in ("", "__main__"):
            continue
        for module, line in imports_of(path):
            there = part_of(module)
            if there and there != here and floor[there] >= floor[here]:
                climbs.append(f"{path.relative_to(PACKAGE)}:{line} imports {module}")
    assert not climbs, "\n".join(climbs)


def test_no_modules_import_each_other_in_a_circle():
    graph = {name_of(path): {module for module, _ in imports_of(path)} for path in modules()}
    state: dict[str, int] = defaultdict(int)  # 1 being visited, 2 done

    def visit(module: str, trail: tuple[str, ...]) -> None:
        assert state[module] != 1, " -> ".join((*trail[trail.index(module) :], module))
        if state[module] == 0:
            state[module] = 1
            for other in sorted(graph.get(module, ())):
                visit(other, (*trail, module))
            state[module] = 2

    for module in graph:
        visit(module, ())


def test_the_core_is_thin_and_knows_no_dataset_renderer_or_training():
    paths = [path for path in PACKAGE.glob("*.py") if path.stem in CORE]
    top = {path.stem for path in PACKAGE.glob("*.py")}
    assert top == {*CORE, *PLUMBING}, "the top of the package holds the core alone; a new file needs a folder"
    assert len(paths) < MOST_CORE_FILES
    assert sum(len(path.read_text().splitlines()) for path in paths) < MOST_CORE_LINES
    for path in paths:
        foreign = [m for m, _ in imports_of(path) if part_of(m) in FOREIGN_TO_CORE]
        assert not foreign, f"{path.name} imports {foreign}"


SLOW_TO_IMPORT = {"torchvision", "torch._dynamo", "matplotlib", "scipy", "sklearn", "lightning", "IPython"}


def test_detecting_loads_no_dataset_renderer_or_training_and_no_slow_library():
    import subprocess
    import sys

    code = "import sys; from fedet.detection import load_detector; load_detector(); print(*sys.modules)"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = shown.stdout.split()
    assert not [m for m in loaded if m.startswith("fedet.") and part_of(m) in FOREIGN_TO_CORE], loaded
    assert not SLOW_TO_IMPORT & set(loaded)


MAP = PACKAGE / "README.md"


def test_the_map_draws_these_floors():
    block = MAP.read_text().split("```mermaid\n")[1].split("```")[0].splitlines()
    rows = [re.findall(r"(\w+):\d+", line) for line in block if ":" in line and "classDef" not in line]
    assert rows == [line.split() for line in reversed(FLOORS)]
    tinted = next(line for line in block if line.strip().startswith("class "))
    assert set(tinted.split()[1].split(",")) == CORE


def test_the_map_links_every_part_and_names_only_what_is_there():
    text = re.sub(r"```.*?```", "", MAP.read_text(), flags=re.S)
    link = re.compile(r"\[[^]]*\]\(([^)]+)\)")
    linked = [PACKAGE / place for place in link.findall(text)]
    assert all(path.exists() for path in linked), [str(path) for path in linked if not path.exists()]
    folders = {path.parent for path in PACKAGE.glob("*/__init__.py")}
    assert {PACKAGE / f"{name}.py" for name in CORE} | folders <= set(linked)
    sources = "\n".join(path.read_text() for path in modules())
    defined = {a or b for a, b in re.findall(r"^(?:def|class) (\w+)|^(\w+)\b.* = ", sources, re.M)}
    defined |= {path.stem for path in modules()} | {"js", "fedet"}
    for code in re.findall(r"`([^`]+)`", link.sub("", text)):
        there = list(PACKAGE.rglob(code)) if code.endswith((".py", "/")) else set(code.split(".")) <= defined
        assert there, f"fedet/README.md speaks of `{code}`, which is not there"


def test_no_folder_is_a_corridor():
    folders = defaultdict(list)
    for path in modules():
        if path.name != "__init__.py":
            folders[path.parent.relative_to(PACKAGE)].append(path.name)
    for folder, names in folders.items():
        assert len(names) <= MOST_MODULES, f"{folder} has {len(names)} modules: {sorted(names)}"


def test_families_of_faces_share_no_drawing_code():
    folder = PACKAGE / "synthetic"
    for family in FAMILIES:
        paths = (
            [folder / f"{family}.py"]
            if (folder / f"{family}.py").exists()
            else (folder / family).glob("*.py")
        )
        for path in paths:
            for module, line in imports_of(path):
                other = re.match(r"fedet\.synthetic\.(\w+)", module)
                shared = other and other.group(1) in FAMILIES and other.group(1) != family
                assert not shared, f"{path.relative_to(PACKAGE)}:{line} draws with {module}"


def test_names_are_imported_from_where_they_are_defined():
    """Nobody learns where a thing lives from a module that only passes it on."""
    passed_on = {name_of(path): names_imported_by(path) for path in modules()}
    wrong = []
    for path in modules():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom):
                known = passed_on.get(node.module or "", set())
                wrong += [f"{path.name}: {a.name} from {node.module}" for a in node.names if a.name in known]
    assert not wrong, wrong


def names_imported_by(path: Path) -> set[str]:
    body = ast.parse(path.read_text()).body
    return {a.asname or a.name for node in body if isinstance(node, ast.ImportFrom) for a in node.names}
