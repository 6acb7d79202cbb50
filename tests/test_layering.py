"""The table of allowed imports is the architecture: one direction of flow."""

import ast
import subprocess
import sys
from pathlib import Path

import rai_kit

PACKAGE = Path(rai_kit.__file__).parent

# module -> modules of the kit that it may import; a folder counts as one module
ALLOWED = {
    "schema": set(),
    "cache": set(),
    "cores": set(),
    "progress": set(),
    "pool": {"schema"},
    "html": {"schema"},
    "quoting": {"schema"},
    "data": {"schema", "cache"},
    "journal": {"schema"},
    "embedded": {"schema", "cache", "cores", "data"},
    "models": {"schema", "journal", "embedded", "cost"},
    "simulators": {"schema", "data", "quoting"},
    "attacks": {"schema", "data", "quoting", "simulators"},
    "judges": {"schema", "data", "cache", "cores", "metrics", "labelling", "quoting"},
    "labelling": {"schema", "cache", "html"},
    "corpus": {"schema", "data", "cache", "pool", "metrics"},
    "training": {"schema", "data", "cache", "cores", "embedded", "progress"},
    "cost": {"schema", "data"},
    "engine": {"schema", "cost", "pool"},
    "metrics": {"schema"},
    "gates": {"schema"},
    "tables": {"schema", "cache"},
    "plots": {"schema", "cache"},
    "report": {"schema", "html", "cache"},
    "doctor": {"schema", "cache", "embedded"},
    "measure": {
        "schema",
        "cache",
        "pool",
        "embedded",
        "training",
        "progress",
        "data",
        "corpus",
        "journal",
        "cost",
        "models",
        "simulators",
        "attacks",
        "judges",
        "labelling",
        "engine",
        "metrics",
        "gates",
        "tables",
    },
    "cli": {"schema", "cache", "corpus", "training", "measure", "metrics", "gates", "plots", "report", "embedded", "doctor"},
    "__main__": {"cli"},
}
HEAVY = (
    "torch",
    "transformers",
    "trl",
    "peft",
    "matplotlib",
    "pandas",
    "sklearn",
    "scipy",
    "openai",
    "aiohttp",
    "xllamacpp",
    "papermill",
    "nbconvert",
)


def module_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names = []
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name}: write absolute imports"
            names = [f"{node.module}.{alias.name}" if node.module == "rai_kit" else str(node.module) for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        found |= {name.split(".")[1] for name in names if name.startswith("rai_kit.")}
    return found - {"__version__"}


def test_every_module_imports_only_what_the_table_allows():
    seen = set()
    for path in sorted(PACKAGE.rglob("*.py")):
        name = module_of(path)
        if name == "__init__":
            continue
        seen.add(name)
        extra = imports(path) - ALLOWED[name] - {name}
        assert not extra, f"{path.relative_to(PACKAGE)} imports {extra}; the table allows {ALLOWED[name]}"
    assert seen == set(ALLOWED), "the table and the package name the same modules"


def test_the_table_has_one_direction():
    done: set[str] = set()
    while len(done) < len(ALLOWED):
        ready = {name for name, needs in ALLOWED.items() if name not in done and needs <= done}
        assert ready, f"a circle among {set(ALLOWED) - done}"
        done |= ready


def test_only_the_report_knows_papermill_and_nbconvert():
    for path in PACKAGE.rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        if module_of(path) != "report":
            assert "import papermill" not in text, path
            assert "import nbconvert" not in text, path


def test_importing_the_kit_loads_nothing_heavy():
    code = f"import sys, rai_kit, rai_kit.cli; print([m for m in {HEAVY!r} if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"


def test_public_names_exist_and_stay_what_they_are():
    for name in rai_kit.__all__:
        first = getattr(rai_kit, name)
        assert first is not None
        # A submodule of the same name would take the place of a function at its first use.
        assert getattr(rai_kit, name) is first
        assert not isinstance(first, type(sys)), f"{name} is hidden by a module"
