"""Holds the tree to its layers: an import goes down or stays in its own package. Imports for typing count.

Inside a package, no more than two modules import each other, and sub-packages never import each other in a circle.

The checker reads source with `ast`; a second set of tests gives it a bad tree, because a check that cannot fail proves
nothing.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

ROOT = Path(__file__).resolve().parent.parent
LONGEST_MODULE = 330

# A package's layer. The modules of layer 0 are one package here: values and errors refer to each other.
LAYERS = {
    "model": 0,
    "errors": 0,
    "hostname": 0,
    "memo": 0,
    "interfaces": 1,
    "wire": 1,
    "match": 1,
    "timing": 1,
    "config": 2,
    "tls": 3,
    "transports": 3,
    "policy": 4,
    "identity": 4,
    "upstream": 4,
    "audit": 4,
    "credentials": 4,
    "store": 4,
    "contain": 4,
    "kube": 4,
    "gate": 5,
    "proxy": 6,
    "api": 6,
    "testing": 6,
    "plugins": 7,
    "service": 7,
    "cli": 8,
}

# What gate and proxy know by interfaces only.
PROVIDERS = frozenset({"policy", "identity", "upstream", "audit", "credentials", "store", "contain", "kube"})

# Everybody else knows transports by their contract.
ENGINE_USERS = frozenset({"service", "transports"})

# The most modules that may import each other.
LARGEST_CIRCLE = 2

# The composition root hands the package to whoever looks for plugins in it; what is in it is none of its business.
NEIGHBOURS = {("service", "egress.plugins")}

# Importing or naming one of these reaches the global reactor. Naming them in a string does too, by import_module.
GLOBAL_REACTOR = ("twisted.internet.reactor", "twisted.internet.threads.deferToThread", "twisted.internet.task.react")


def imported(tree: ast.AST, package: str) -> Iterator[tuple[int, str]]:
    """Name everything that a module imports, wherever in it, in full.

    Args:
        tree: the module.
        package: what its relative imports are relative to.

    Yields:
        The line and `twisted.internet.reactor` for each spelling of that import. For `from a import b` it is `a.b`,
        which may be a module or a name in one.
    """
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            source = ".".join([*above, *([node.module] if node.module else [])])
            for alias in node.names:
                yield node.lineno, f"{source}.{alias.name}"


def part_of(module: str) -> str:
    """Give the package of ours that a dotted name lies in: "wire" for `egress.wire.head.HeadReader`, else ""."""
    words = module.split(".")
    return words[1] if words[0] == "egress" and len(words) > 1 else ""


def faults_of(path: Path, root: Path) -> Iterator[str]:
    """Say what is wrong with one module of the tree under `root`."""
    name = path.relative_to(root).with_suffix("").as_posix().replace("/", ".").removesuffix(".__init__")
    source = path.read_text("utf-8")
    where = path.relative_to(root).as_posix()
    if (length := len(source.splitlines())) > LONGEST_MODULE:
        yield f"{where}: has {length} lines, more than {LONGEST_MODULE}"
    tree = ast.parse(source, where)
    own = part_of(name)
    if own and own not in LAYERS:
        yield f"{where}: {own!r} belongs to no layer"
        return
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    for line, target in imported(tree, package):
        yield from (f"{where}:{line}: {fault}" for fault in _import_faults(name, own, target))
    if own != "service":
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and node.value in GLOBAL_REACTOR:
                yield f"{where}:{node.lineno}: names the global reactor"
            elif isinstance(node, ast.Attribute) and ast.unparse(node) in GLOBAL_REACTOR:
                yield f"{where}:{node.lineno}: uses the global reactor"


def _import_faults(name: str, own: str, target: str) -> Iterator[str]:
    words = target.split(".")
    other = part_of(target)
    if words[:3] == ["egress", "transports", "engine"] and own not in ENGINE_USERS:
        yield f"imports {target}: only {' and '.join(sorted(ENGINE_USERS))} know the engine"
    # egress/__init__.py holds no code: `from egress import wire` names a package.
    if name == "egress" and words[0] == "egress":
        yield f"the package itself imports {target}"
    elif (own, target) in NEIGHBOURS:
        return
    elif own in ("gate", "proxy") and other in PROVIDERS:
        yield f"imports {target}: {own} knows interfaces, not providers"
    elif other in LAYERS and own in LAYERS and other != own:
        mine, theirs = LAYERS[own], LAYERS[other]
        if theirs > mine:
            yield f"imports {target}, which is above ({mine} to {theirs})"
        elif theirs == mine and mine != 0:
            yield f"imports {target}, a neighbour on layer {mine}"
    elif other and other not in LAYERS and not other.startswith("__"):
        yield f"imports {target}, which belongs to no layer"
    if words[0] == "tests":
        yield f"imports {target}: what is shipped needs no tests"
    if own == "wire" and words[:2] == ["twisted", "internet"]:
        yield f"imports {target}: wire is sans-IO"
    if own != "service" and target in GLOBAL_REACTOR:
        yield f"imports {target}: only service knows the global reactor"
    if words[:3] == ["twisted", "plugins", "__init__"] or target == "twisted.plugins":
        yield f"imports {target}: Twisted's own plugin package is not to be touched"


def import_graph(root: Path) -> dict[str, set[str]]:
    """Give the modules of `egress` that each module of it imports, wherever in it."""
    modules: dict[str, Path] = {}
    for path in sorted((root / "egress").rglob("*.py")):
        name = path.relative_to(root).with_suffix("").as_posix().replace("/", ".").removesuffix(".__init__")
        modules[name] = path
    graph: dict[str, set[str]] = {}
    for name, path in modules.items():
        package = name if path.name == "__init__.py" else name.rpartition(".")[0]
        targets = graph[name] = set()
        for _, target in imported(ast.parse(path.read_text("utf-8")), package):
            while target not in modules and "." in target:
                target = target.rpartition(".")[0]
            if target in modules and target != name:
                targets.add(target)
    return graph


def circles(graph: dict[str, set[str]]) -> list[list[str]]:
    """Give the groups of two nodes or more that can each be reached from each other (Tarjan 1972)."""
    index: dict[str, int] = {}
    lowest: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(node: str) -> None:
        index[node] = lowest[node] = len(index)
        stack.append(node)
        for target in sorted(graph.get(node, ())):
            if target not in index:
                visit(target)
                lowest[node] = min(lowest[node], lowest[target])
            elif target in stack:
                lowest[node] = min(lowest[node], index[target])
        if lowest[node] == index[node]:
            group = stack[stack.index(node) :]
            del stack[stack.index(node) :]
            if len(group) > 1:
                found.append(sorted(group))

    for node in sorted(graph):
        if node not in index:
            visit(node)
    return found


def folder_of(module: str) -> str:
    """Give what a module counts as beside its neighbours: its sub-package where it lies in one, else itself."""
    return ".".join(module.split(".")[:3])


def circle_faults(root: Path) -> Iterator[str]:
    """Say which modules import each other in too large a circle, and which sub-packages do so at all."""
    graph = import_graph(root)
    for group in circles(graph):
        if len(group) > LARGEST_CIRCLE:
            yield f"{len(group)} modules import each other: {', '.join(group)}"
    folders: dict[str, set[str]] = {}
    for module, targets in graph.items():
        if module.count(".") < 2:
            continue  # a package itself: its imports hand on what its modules hold
        mine = folders.setdefault(folder_of(module), set())
        mine |= {
            folder_of(target) for target in targets if target.count(".") > 1 and folder_of(target) != folder_of(module)
        }
    has_modules = {folder_of(module) for module in graph if module.count(".") > 2}
    for group in circles(folders):
        if has_modules.intersection(group):
            yield f"sub-packages import each other: {', '.join(group)}"


def faults(root: Path) -> list[str]:
    """Say everything that is wrong with the tree under `root`."""
    found = [
        f"{stray.relative_to(root).as_posix()}: would replace Twisted's own file when installed"
        for stray in (root / "twisted" / "__init__.py", root / "twisted" / "plugins" / "__init__.py")
        if stray.exists()
    ]
    modules = sorted((root / "egress").rglob("*.py")) + sorted((root / "twisted").rglob("*.py"))
    for path in modules:
        found.extend(faults_of(path, root))
    found.extend(circle_faults(root))
    return found


class LayerTests(SynchronousTestCase):
    """The tree as it is."""

    def test_tree_keeps_its_layers(self) -> None:
        """Every import goes down or stays in its own package, and every module is short."""
        self.assertEqual([], faults(ROOT))

    def test_tree_is_there(self) -> None:
        """The checker has something to read: an empty tree has no faults either."""
        read = {part_of(path.relative_to(ROOT).as_posix().replace("/", ".")) for path in ROOT.glob("egress/*/*.py")}

        self.assertLessEqual({"wire", "match", "config", "policy", "upstream", "audit", "proxy", "service"}, read)
        self.assertTrue((ROOT / "twisted" / "plugins" / "egress_plugin.py").is_file())


class CheckerTests(SynchronousTestCase):
    """The checker finds each kind of fault in a tree that has it."""

    def assert_faults(self, files: dict[str, str], *expected: str) -> None:
        """Write a tree and compare what is found in it."""
        root = Path(self.mktemp())
        for name, source in files.items():
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(source, "utf-8")
        self.assertEqual(sorted(expected), sorted(faults(root)))

    def test_down_is_allowed(self) -> None:
        """Imports down, in one's own package and from elsewhere are no faults."""
        self.assert_faults(
            {
                "egress/wire/head.py": "import zope.interface\nfrom egress.model import Request\nfrom . import body\n",
                "egress/proxy/gate.py": "from egress.wire.head import HeadReader\nfrom egress import wire, errors\n",
                "egress/proxy/door.py": "from .gate import Gate\nfrom ..wire import head\nimport egress.proxy.gate\n",
                "egress/errors.py": "from egress.model import Verdict\n",
                "egress/service/tap.py": "from twisted.internet import reactor\n",
            }
        )

    def test_up_is_a_fault(self) -> None:
        """An import of a higher layer is found, however it is spelt and wherever it stands."""
        self.assert_faults(
            {
                "egress/wire/head.py": "from egress.proxy.gate import Gate\n",
                "egress/wire/body.py": "def late():\n    from egress import proxy\n",
                "egress/wire/hello.py": "from ..proxy import gate\n",
                "egress/model.py": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import egress.wire.head\n",
                "egress/policy/__init__.py": "from ..service import tap\n",
            },
            "egress/wire/head.py:1: imports egress.proxy.gate.Gate, which is above (1 to 6)",
            "egress/wire/body.py:2: imports egress.proxy, which is above (1 to 6)",
            "egress/wire/hello.py:1: imports egress.proxy.gate, which is above (1 to 6)",
            "egress/model.py:3: imports egress.wire.head, which is above (0 to 1)",
            "egress/policy/__init__.py:1: imports egress.service.tap, which is above (4 to 7)",
        )

    def test_neighbour_is_a_fault(self) -> None:
        """An import of another package on the same layer is found."""
        self.assert_faults(
            {
                "egress/wire/head.py": "from egress.match import compile_host\n",
                "egress/audit/line.py": "import egress.policy\n",
                "egress/service/tap.py": "from egress import plugins\nimport egress.plugins.egress_builtin\n",
            },
            "egress/wire/head.py:1: imports egress.match.compile_host, a neighbour on layer 1",
            "egress/audit/line.py:1: imports egress.policy, a neighbour on layer 4",
            "egress/service/tap.py:2: imports egress.plugins.egress_builtin, a neighbour on layer 7",
        )

    def test_providers_are_a_fault(self) -> None:
        """The gate and the proxy know interfaces, not providers, for typing neither."""
        self.assert_faults(
            {
                "egress/gate/gate.py": "from egress.policy import guard\n",
                "egress/proxy/server.py": "import typing\nif typing.TYPE_CHECKING:\n    import egress.upstream\n",
                "egress/service/build.py": "from egress.policy import guard\n",
            },
            "egress/gate/gate.py:1: imports egress.policy.guard: gate knows interfaces, not providers",
            "egress/proxy/server.py:3: imports egress.upstream: proxy knows interfaces, not providers",
        )

    def test_engine_is_a_fault(self) -> None:
        """The engine is started by the service and known to other transports, and to nobody else."""
        self.assert_faults(
            {
                "egress/proxy/a.py": "from egress.transports.engine.engine import Engine\n",
                "egress/service/b.py": "import egress.transports.engine.engine\n",
            },
            "egress/proxy/a.py:1: imports egress.transports.engine.engine.Engine: only service and transports know the "
            "engine",
        )

    def test_circle_of_three_is_a_fault(self) -> None:
        """Two modules may import each other; three that do so are found."""
        two = {"egress/cli/a.py": "from egress.cli import b\n", "egress/cli/b.py": "from egress.cli.a import x\n"}
        self.assert_faults(two)
        self.assert_faults(
            {
                "egress/cli/a.py": "from egress.cli import b\n",
                "egress/cli/b.py": "def f():\n    from egress.cli.c import x\n",
                "egress/cli/c.py": "from .a import y\n",
            },
            "3 modules import each other: egress.cli.a, egress.cli.b, egress.cli.c",
        )

    def test_circle_of_sub_packages_is_a_fault(self) -> None:
        """A sub-package that imports what imports it is found, even where no two modules import each other."""
        self.assert_faults(
            {
                "egress/proxy/client/a.py": "from egress.proxy.http1 import b\n",
                "egress/proxy/http1/b.py": "",
                "egress/proxy/http1/c.py": "import egress.proxy.client.d\n",
                "egress/proxy/client/d.py": "",
            },
            "sub-packages import each other: egress.proxy.client, egress.proxy.http1",
        )
        self.assert_faults(
            {
                "egress/proxy/client/a.py": "from egress.proxy import server\n",
                "egress/proxy/server.py": "from egress.proxy.client.d import x\n",
                "egress/proxy/client/d.py": "",
            },
            "sub-packages import each other: egress.proxy.client, egress.proxy.server",
        )

    def test_package_without_a_layer_is_a_fault(self) -> None:
        """A new package must be given a layer, and cannot be imported before."""
        self.assert_faults(
            {"egress/extra/a.py": "import egress.cli\n", "egress/cli/b.py": "import egress.extra.a\n"},
            "egress/extra/a.py: 'extra' belongs to no layer",
            "egress/cli/b.py:1: imports egress.extra.a, which belongs to no layer",
        )

    def test_wire_without_twisted_internet(self) -> None:
        """A wire module that imports any part of twisted.internet is found."""
        self.assert_faults(
            {"egress/wire/head.py": "from twisted.internet.defer import Deferred\nfrom twisted import internet\n"},
            "egress/wire/head.py:1: imports twisted.internet.defer.Deferred: wire is sans-IO",
            "egress/wire/head.py:2: imports twisted.internet: wire is sans-IO",
        )

    def test_global_reactor_outside_service(self) -> None:
        """Each way to the global reactor is found outside of service."""
        self.assert_faults(
            {
                "egress/proxy/a.py": "def f():\n    from twisted.internet import reactor\n",
                "egress/proxy/b.py": "import twisted.internet.reactor\n",
                "egress/proxy/c.py": "from twisted.internet.task import react\n",
                "egress/cli/d.py": "import twisted\nx = twisted.internet.reactor\n",
                "egress/cli/e.py": "import importlib\nx = importlib.import_module('twisted.internet.reactor')\n",
            },
            "egress/proxy/a.py:2: imports twisted.internet.reactor: only service knows the global reactor",
            "egress/proxy/b.py:1: imports twisted.internet.reactor: only service knows the global reactor",
            "egress/proxy/c.py:1: imports twisted.internet.task.react: only service knows the global reactor",
            "egress/cli/d.py:2: uses the global reactor",
            "egress/cli/e.py:2: names the global reactor",
        )

    def test_long_module_is_a_fault(self) -> None:
        """A module that outgrew its idea is found."""
        self.assert_faults(
            {"egress/cli/a.py": "\n" * (LONGEST_MODULE + 1), "egress/cli/b.py": "\n" * LONGEST_MODULE},
            f"egress/cli/a.py: has {LONGEST_MODULE + 1} lines, more than {LONGEST_MODULE}",
        )

    def test_twisted_init_is_a_fault(self) -> None:
        """A file that would overwrite one of Twisted's, or an import of it, is found."""
        self.assert_faults(
            {
                "twisted/__init__.py": "",
                "twisted/plugins/__init__.py": "",
                "egress/cli/a.py": "import twisted.plugins\nfrom twisted.plugins.__init__ import x\n",
            },
            "twisted/__init__.py: would replace Twisted's own file when installed",
            "twisted/plugins/__init__.py: would replace Twisted's own file when installed",
            "egress/cli/a.py:1: imports twisted.plugins: Twisted's own plugin package is not to be touched",
            "egress/cli/a.py:2: imports twisted.plugins.__init__.x: Twisted's own plugin package is not to be touched",
        )

    def test_tests_are_not_imported(self) -> None:
        """What is shipped does not lean on what is not."""
        self.assert_faults(
            {"egress/testing/a.py": "from tests.runner import main\n"},
            "egress/testing/a.py:1: imports tests.runner.main: what is shipped needs no tests",
        )
