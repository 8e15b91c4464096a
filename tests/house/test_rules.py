"""House rules, checked on the source: imports, lengths, randomness, documentation and names of tests.

A new module of minivae must be entered in LAYERS.
"""

import ast
import sys
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCE = ("minivae", "derivations")
OURS = (*SOURCE, "tests")
LAYERS = (                                                  # a module may import from its layer and from earlier layers
    # The core: a student reads these files.
    {"__init__", "_moved", "checks"},
    {"divergences", "ops", "gaussian", "likelihood", "params"},
    {"objective"},
    {"vae"},
    {"adam"},
    {"train"},
    # Folders: a user calls their functions, but need not read their code.
    {"data"},
    # Students also read one_page. It imports `data`, so it must come after `data`.
    {"one_page"},
    {"runs", "evidence"},
    {"figures"},
    {"rosetta", "museum", "doctor", "explorer", "exercises", "app"},
    {"__main__"},
)
LEVEL = {module: level for level, modules in enumerate(LAYERS) for module in modules}


def files_of(*packages):
    """Return the Python files of these packages, except the benchmarks: they may import any installed library."""
    found = [path for package in packages for path in sorted((ROOT / package).rglob("*.py"))]
    return [path for path in found if "benchmarks" not in path.parts]


@cache
def tree_of(path):
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


@cache
def nodes_of(tree):
    return list(ast.walk(tree))


def imported(tree, package):
    """Yield (dotted name, line) of every import, also inside functions. Relative imports are relative to `package`."""
    for node in nodes_of(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) + 1 - node.level] if node.level else []
            home = ".".join([*above, *filter(None, [node.module])])
            yield from ((f"{home}.{alias.name}", node.lineno) for alias in node.names)


def module_of(dotted, modules):
    """Return the module with this dotted name. For a function or class, return the module that defines it.

    For a package, return its __init__. Return None if `modules` has no such module.
    """
    while dotted:
        for module in (dotted, f"{dotted}.__init__"):
            if module in modules:
                return module
        dotted = dotted.rpartition(".")[0]
    return None


def place_of(path):
    """Return the name under which LAYERS lists a file of minivae: for a file in a subpackage, the subpackage's name."""
    return path.relative_to(ROOT / "minivae").with_suffix("").parts[0]


def wrong_imports(module, tree):
    """Yield every forbidden import of a module of minivae: the imported module is in a later layer."""
    for dotted, line in imported(tree, "minivae"):
        source = module_of(dotted, [f"minivae.{name}" for name in LEVEL])
        if source and LEVEL[source.split(".")[1]] > LEVEL[module]:
            yield f"minivae/{module}.py:{line} imports {dotted}"


def test_every_module_of_minivae_is_listed_in_layers():
    assert {place_of(path) for path in files_of("minivae")} <= set(LEVEL)


def test_no_module_of_minivae_imports_from_a_later_layer():
    assert [wrong for path in files_of("minivae") for wrong in wrong_imports(place_of(path), tree_of(path))] == []


def cycles(imports):
    """Return the modules that lie on a cycle of imports, for example a and b if a imports b and b imports a."""
    reach = {module: set(others) for module, others in imports.items()}
    for middle in imports:
        for module in imports:
            if middle in reach[module]:
                reach[module] |= reach[middle]
    return {module for module in imports if module in reach[module]}


@pytest.mark.parametrize("package", SOURCE)
def test_imports_have_no_cycles(package):
    modules = {".".join(path.relative_to(ROOT).with_suffix("").parts): path for path in files_of(package)}
    imports = {}
    for name, path in modules.items():
        names = imported(tree_of(path), name.rpartition(".")[0])
        imports[name] = {module_of(dotted, modules) for dotted, _ in names} - {None}
    assert cycles(imports) == set()


STDLIB = set(sys.stdlib_module_names)
MAY_IMPORT = {
    "minivae": {"numpy", "minivae"},
    "derivations": {"numpy", "minivae", "derivations"},
    "tests": {"numpy", "pytest", "hypothesis", *OURS},
}
DRAWS = ("figures", "test_figures")                         # files and packages with these names draw figures


def foreign_imports(package, path, tree):
    """Yield imports that are neither in the standard library nor allowed; only drawing code may import matplotlib."""
    drawing = {"matplotlib", "fontTools", "PIL"} if {path.stem, path.parent.name} & {*DRAWS} else set()
    allowed = MAY_IMPORT[package] | drawing
    for dotted, line in imported(tree, package):
        if dotted.split(".")[0] not in STDLIB | allowed:
            yield f"{path.parent.name}/{path.name}:{line} imports {dotted}"


@pytest.mark.parametrize("package", OURS)
def test_only_the_standard_library_and_allowed_libraries_are_imported(package):
    assert [found for path in files_of(package) for found in foreign_imports(package, path, tree_of(path))] == []


def long_functions(path, tree, most=60):
    for node in nodes_of(tree):
        if isinstance(node, ast.FunctionDef):
            lines = node.end_lineno - node.lineno + 1
            if lines > most:
                yield f"{path.parent.name}/{path.name}:{node.lineno} {node.name} has {lines} lines"


def test_functions_have_at_most_sixty_lines():
    assert [found for path in files_of(*OURS) for found in long_functions(path, tree_of(path))] == []


def long_lines(path, text, most=125):
    return [f"{path}:{n}" for n, line in enumerate(text.split("\n"), 1) if len(line) > most]


def test_lines_have_at_most_125_columns():
    files = {path for package in OURS for path in (ROOT / package).rglob("*.py")}       # all files, also the benchmarks
    assert [place for path in files for place in long_lines(path, path.read_text(encoding="utf-8"))] == []
    assert long_lines("a.py", f"{'x' * 125}\n{'x' * 126}\n") == ["a.py:2"]


def asserts(path, tree):
    """Return the file and line of every `assert`, which is forbidden: python -O removes it, and users need a message."""
    found = [node.lineno for node in nodes_of(tree) if isinstance(node, ast.Assert)]
    return [f"{path.parent.name}/{path.name}:{line}" for line in found]


def test_no_error_is_raised_with_assert():
    assert [found for path in files_of(*SOURCE) for found in asserts(path, tree_of(path))] == []


# The names of np.random that the source may use. None of them uses the global state of np.random.
PASSED_ALONG = {"Generator", "default_rng", "SeedSequence", "BitGenerator", "PCG64"}
# The doctor seeds the global state, because the user's functions may use it, and restores it afterwards.
RESTORED = {"doctor/calls.py": {"get_state", "set_state", "RandomState"}}


def global_randomness(path, tree):
    for node in nodes_of(tree):
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) in ("np.random", "numpy.random"):
            if node.attr not in PASSED_ALONG | RESTORED.get(f"{path.parent.name}/{path.name}", set()):
                yield f"{path.parent.name}/{path.name}:{node.lineno} uses {ast.unparse(node)}"
        if isinstance(node, ast.ImportFrom) and node.module == "numpy.random":
            yield f"{path.parent.name}/{path.name}:{node.lineno} imports from numpy.random"
    for dotted, line in imported(tree, ""):
        if dotted.split(".")[0] == "random":
            yield f"{path.parent.name}/{path.name}:{line} imports random"


def test_only_the_doctor_uses_the_global_state_of_random_generators():
    assert [found for path in files_of(*SOURCE) for found in global_randomness(path, tree_of(path))] == []


def public_definitions(tree):
    """Yield (class or None, definition) of every public function, class and method."""
    for node in tree.body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and not node.name.startswith("_"):
            yield None, node
            if isinstance(node, ast.ClassDef):
                for child in node.body:
                    if isinstance(child, ast.FunctionDef) and not child.name.startswith("_"):
                        yield node, child


def documented_methods(tree):
    """Return {class: names of its public methods that have a docstring} for one module."""
    documented = {}
    for owner, node in public_definitions(tree):
        if owner and ast.get_docstring(node):
            documented.setdefault(owner.name, set()).add(node.name)
    return documented


def without_docstring(path, tree):
    """Yield public definitions without a docstring, except methods that a base class in the same module documents."""
    documented = documented_methods(tree)
    for owner, node in public_definitions(tree):
        bases = [ast.unparse(base) for base in owner.bases] if owner else []
        if not ast.get_docstring(node) and not any(node.name in documented.get(base, ()) for base in bases):
            yield f"{path.parent.name}/{path.name}:{node.lineno} {node.name}"


OPENERS = {                                                 # words with which no docstring may begin
    "What", "Whatever", "Whether", "Who", "Whoever", "Whom", "Whose", "Which", "How", "Why", "When", "Where", "That",
    "If", "Because", "So", "And", "But", "Or", "Otherwise", "Also", "Not", "It", "They", "We", "You", "This", "These",
    "There", "Is", "Are", "Was", "Were", "Has", "Have", "Does", "By", "For", "In", "Inside", "On", "At", "With", "Without",
    "Returns", "Raises", "Computes", "Prints", "Yields", "Gets", "Uses",         # "Return", not "Returns"
}  # fmt: skip


def without_verb_or_noun(path, tree):
    """Yield docstrings whose first word is neither a verb in the imperative nor part of a noun phrase."""
    for node in nodes_of(tree):
        if isinstance(node, (ast.Module, ast.FunctionDef, ast.ClassDef)):
            first = (ast.get_docstring(node) or "Return").split()[0].strip(",:")
            if first in OPENERS:
                yield f"{path.parent.name}/{path.name}:{getattr(node, 'lineno', 1)} begins with {first}"


def test_docstrings_begin_with_a_verb_or_a_noun():
    assert [found for path in files_of(*SOURCE) for found in without_verb_or_noun(path, tree_of(path))] == []


ENOUGH = 5                                                  # a docstring with at most this many lines is never too long


def long_docstrings(path, tree):
    """Yield functions with a docstring that is longer than ENOUGH lines and also longer than signature plus code."""
    for node in nodes_of(tree):
        if isinstance(node, ast.FunctionDef) and ast.get_docstring(node):
            text = node.body[0]
            lines = text.end_lineno - text.lineno + 1
            if lines > max(ENOUGH, node.end_lineno - node.lineno + 1 - lines):
                yield f"{path.parent.name}/{path.name}:{node.lineno} {node.name}: {lines} lines of docstring"


def test_no_docstring_of_the_core_is_longer_than_its_function():
    core = [path for path in files_of("minivae") if path.parent.name == "minivae"]
    assert len(core) >= 12 and [found for path in core for found in long_docstrings(path, tree_of(path))] == []


def test_public_names_have_docstrings():
    assert [found for path in files_of("minivae") for found in without_docstring(path, tree_of(path))] == []


def without_hints(path, tree):
    """Yield public functions and methods that lack a type hint, for the result or for an argument without default.

    Four cases are exempt. For a backward function, the forward function above it has the hints. For methods of a
    likelihood, the base class `Likelihood` has the hints. An argument `value` may have any type. From the folder `app`,
    users import only `main`.
    """
    for owner, node in public_definitions(tree):
        inherits = owner and "Likelihood" in [ast.unparse(base) for base in owner.bases]
        inside = path.parent.name == "app" and node.name != "main"
        if isinstance(node, ast.ClassDef) or node.name.endswith("backward") or inherits or inside:
            continue
        arguments = node.args.posonlyargs + node.args.args
        needed = arguments[: len(arguments) - len(node.args.defaults)]
        needed += [arg for arg, default in zip(node.args.kwonlyargs, node.args.kw_defaults) if not default]
        bare = [arg.arg for arg in needed if not arg.annotation and arg.arg not in ("self", "cls", "value")]
        bare += [] if node.returns else ["the result"]
        if bare:
            yield f"{path.parent.name}/{path.name}:{node.lineno} {node.name}: {', '.join(bare)}"


def test_public_signatures_have_type_hints():
    assert [found for path in files_of("minivae") for found in without_hints(path, tree_of(path))] == []


# Names of tests

def names_of_tests(files):
    """Yield the name and the place of every test function in these files."""
    for path in files:
        for node in ast.walk(tree_of(path)):
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                yield node.name, f"{path.name}:{node.lineno}"


def unclear_names(names, most=12):
    """Return the names with too many words, and the names that several tests share."""
    places = {}
    for name, place in names:
        places.setdefault(name, []).append(place)
    long = [name for name in places if len(name.split("_")) - 1 > most]
    return long + [f"{name} in {', '.join(found)}" for name, found in places.items() if len(found) > 1]


def test_test_names_are_unique_and_have_at_most_twelve_words():
    assert unclear_names(names_of_tests(files_of("tests"))) == []
    assert unclear_names([("test_a", "x:1"), ("test_a", "y:2")]) == ["test_a in x:1, y:2"]
    assert unclear_names([("test" + "_a" * 13, "x:1"), ("test" + "_a" * 12, "x:2")]) == ["test" + "_a" * 13]


# Every rule notices a violation

def applied(rule, module):
    """Return a function that applies the rule to source code (a string), as if it were the file `module`.py of minivae."""
    path = Path(f"{module}.py")
    first = {wrong_imports: [module], foreign_imports: ["minivae", path]}.get(rule, [path])
    return lambda source: list(rule(*first, ast.parse(source)))


METHOD = "class B:\n    'b'\n    def f(self): {}\nclass C(B):\n    'c'\n    def f(self): pass"


@pytest.mark.parametrize(
    "rule, module, source",
    [
        (wrong_imports, "ops", "from minivae.vae import VAE"),
        (wrong_imports, "ops", "from minivae import vae"),
        (wrong_imports, "vae", "def f():\n    import minivae.train as t"),
        (wrong_imports, "vae", "from .app.cli import main"),
        (foreign_imports, "vae", "import derivations.engine.judge"),
        (foreign_imports, "vae", "def f():\n    import torch.nn"),
        (foreign_imports, "cli", "from matplotlib import pyplot"),
        (foreign_imports, "odaibo/loss", "from matplotlib import pyplot"),
        (long_functions, "vae", "def f():\n" + "    pass\n" * 60),
        (asserts, "vae", "def f(x):\n    assert x > 0"),
        (global_randomness, "vae", "np.random.seed(0)"),
        (global_randomness, "vae", "x = numpy.random.normal(size=3)"),
        (global_randomness, "vae", "from numpy.random import normal"),
        (global_randomness, "vae", "import random"),
        (without_docstring, "vae", "def f(): pass"),
        (without_docstring, "vae", "class C: pass"),
        (without_docstring, "vae", METHOD.format("'f'").replace("(B)", "")),
        (without_verb_or_noun, "vae", "'What is public'"),
        (without_verb_or_noun, "vae", "def f():\n    'Whether x is whole.'"),
        (without_verb_or_noun, "vae", "class C:\n    def _f():\n        'If x, return y.'"),
        (without_verb_or_noun, "vae", "def f():\n    'Returns x.'"),
        (long_docstrings, "vae", "def f(x):\n    '''Return x.\n\n\n\n\n    '''\n    return x"),
        (without_hints, "vae", "def f(x) -> int: pass"),
        (without_hints, "vae", "def f(x: int): pass"),
        (without_hints, "vae", "def f(*, x) -> int: pass"),
    ],
)
def test_code_that_breaks_a_house_rule_is_reported(rule, module, source):
    assert len(applied(rule, module)(source)) == 1


@pytest.mark.parametrize(
    "rule, module, source",
    [
        (wrong_imports, "vae", "from minivae import ops, __version__\nimport numpy"),
        (wrong_imports, "likelihood", "from minivae.gaussian import LOG_2PI"),
        (foreign_imports, "figures", "import matplotlib.pyplot"),
        (foreign_imports, "figures/loss", "import matplotlib.pyplot"),
        (foreign_imports, "vae", "import math\nfrom numpy.typing import NDArray\nfrom minivae import ops"),
        (long_functions, "vae", "def f():\n" + "    pass\n" * 59),
        (global_randomness, "vae", "def f(rng: np.random.Generator): return np.random.default_rng(0)"),
        (without_docstring, "vae", METHOD.format("'f'")),
        (without_docstring, "vae", "def _f(): pass"),
        (without_verb_or_noun, "vae", "'Files of data.'\ndef f():\n    'Return x.'\nclass C:\n    'p(x), by quadrature.'"),
        (long_docstrings, "vae", "def f(x):\n    '''Return x.\n\n\n\n    '''\n    return x"),
        (without_hints, "vae", "def f(x: int, y=1, *z, w=2) -> int: pass\ndef f_backward(d, x): pass"),
    ],
)
def test_code_that_follows_a_house_rule_is_not_reported(rule, module, source):
    assert applied(rule, module)(source) == []


def test_module_that_defines_an_imported_name_is_found():
    modules = ["a.__init__", "a.b.__init__", "a.b.c", "a.d"]
    source = "from . import c, other\nfrom ..d import name\nimport a.b.c, numpy\nfrom a import d, name"
    found = [module_of(dotted, modules) for dotted, _ in imported(ast.parse(source), "a.b")]
    assert found == ["a.b.c", "a.b.__init__", "a.d", "a.b.c", None, "a.d", "a.__init__"]


def test_planted_import_cycle_is_found():
    assert cycles({"a": {"b"}, "b": {"c"}, "c": {"b"}, "d": {"a"}}) == {"b", "c"}
    assert cycles({"a": {"b", "c"}, "b": {"c"}, "c": set()}) == set()
