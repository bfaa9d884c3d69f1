"""The list of differences between two configurations."""

from __future__ import annotations

from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from egress.config import structure
from egress.service.reload.changes import list_changes
from egress.service.settings.settings import Settings


def read(**tables: object) -> Settings:
    """Structure settings."""
    return structure(Settings, tables)


def listener(name: str, port: int = 1) -> dict[str, object]:
    """Make the table of a listener."""
    return {"name": name, "endpoint": f"tcp:{port}"}


def upstream(name: str, host: str = "proxy.example") -> dict[str, object]:
    """Make the table of an upstream."""
    return {"name": name, "url": f"http://{host}:3128"}


class ChangesTests(SynchronousTestCase):
    """`list_changes`."""

    def assert_changes(self, old: Settings, new: Settings, *expected: str) -> None:
        """Assert which changes are listed."""
        self.assertEqual([*expected], list_changes(old, new))

    def test_nothing(self) -> None:
        """Equal settings have no differences."""
        tables = {"listener": [listener("a")], "upstream": [upstream("b")], "policy": [{"kind": "destinations"}]}

        self.assert_changes(read(**tables), read(**tables))

    def test_credentials(self) -> None:
        """A new user or password is listed without its value."""
        old, same, new = (
            read(upstream=[upstream("a", f"{user}@proxy.example") | {"allow_plaintext_credentials": True}])
            for user in ("joe:1234", "joe:1234", "joe:5678")
        )

        self.assert_changes(old, same)
        self.assert_changes(old, new, "upstream a: user or password changed")

    def test_each_kind(self) -> None:
        """Tables of each kind may be new, gone or different."""
        for kind, one, other in (
            ("listener", listener("a"), listener("a", 2)),
            ("upstream", upstream("a"), upstream("a", "other.example")),
            ("route", {"name": "a", "via": "direct"}, {"name": "a", "via": "environment"}),
            ("policy", {"kind": "rate", "name": "a"}, {"kind": "rate", "name": "a", "mode": "audit"}),
        ):
            stays = {**one, "name": "z"}
            with_one, with_other, without = (read(**{kind: [*found, stays]}) for found in ([one], [other], []))
            self.assert_changes(with_one, with_other, f"{kind} a changed")
            self.assert_changes(with_one, without, f"{kind} a is gone")
            self.assert_changes(without, with_one, f"{kind} a is new")

    def test_renamed(self) -> None:
        """A table with another name is one that is gone and one that is new."""
        self.assert_changes(
            read(listener=[listener("a")]), read(listener=[listener("b")]), "listener a is gone", "listener b is new"
        )

    def test_policy_without_name(self) -> None:
        """A policy without a name has the name of its kind."""
        self.assert_changes(
            read(policy=[{"kind": "rate"}]),
            read(policy=[{"kind": "rate", "mode": "audit"}, {"kind": "destinations", "name": "d"}]),
            "policy rate changed",
            "policy d is new",
        )

    def test_order(self) -> None:
        """Another order of the tables that stay is a difference of its own."""
        a, b, c = map(listener, "abc")
        moved = "listener: their order changed"
        self.assert_changes(read(listener=[a, b]), read(listener=[b, a]), moved)
        self.assert_changes(read(listener=[a, b]), read(listener=[c, a, b]), "listener c is new")
        self.assert_changes(read(listener=[c, a, b]), read(listener=[a, b]), "listener c is gone")
        self.assert_changes(
            read(listener=[a, b]),
            read(listener=[listener("b", 2), c, a]),
            "listener b changed",
            "listener c is new",
            moved,
        )

    def test_other_tables(self) -> None:
        """A table that has no name is written as its header, and a key of the document without brackets."""
        old = read()

        self.assert_changes(old, read(guard={"enabled": False}), "[guard] changed")
        self.assert_changes(old, read(state="/var/lib/egress"), "state changed")
        self.assert_changes(
            old,
            read(engine="twisted", limits={"dial_seconds": 3}, status={"endpoint": "tcp:1"}),
            "engine changed",
            "[limits] changed",
            "[status] changed",
        )

    def test_sequence(self) -> None:
        """Named tables come first, in the order of the kinds, and other keys after them."""
        old = read(listener=[listener("a")], upstream=[upstream("u")])
        new = read(policy=[{"kind": "rate"}], listener=[listener("b")], guard={"enabled": False})

        self.assert_changes(
            old, new, "listener a is gone", "listener b is new", "upstream u is gone", "policy rate is new",
            "[guard] changed",
        )  # fmt: skip

    @given(*[st.lists(st.sampled_from("abcd"), unique=True).flatmap(
        lambda names: st.tuples(*[st.tuples(st.just(name), st.integers(1, 2)) for name in names])
    )] * 2)  # fmt: skip
    def test_any_tables(self, before: tuple[tuple[str, int], ...], after: tuple[tuple[str, int], ...]) -> None:
        """The list is empty exactly where the settings are equal, and names every table that differs."""
        old, new = (
            evolve(read(), policy=tuple({"kind": "k", "name": name, "size": size} for name, size in tables))
            for tables in (before, after)
        )

        said = list_changes(old, new)

        self.assertEqual(old == new, not said)
        different = {name for name, _ in {*before} ^ {*after}}
        self.assertEqual(different, {each.split()[1] for each in said if "order" not in each})
        self.assertEqual(len(said), len({*said}))
