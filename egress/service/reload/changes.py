"""Lists the differences between two configurations."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from attrs import fields

from egress.service.settings.settings import Settings
from egress.upstream import UpstreamSettings

_NAMED = ("listener", "upstream", "route", "policy")


def list_changes(old: Settings, new: Settings) -> list[str]:
    """List every table that is new, removed or different.

    Args:
        old: the active settings.
        new: the settings that replace them.
    """
    said: list[str] = []
    for kind in _NAMED:
        before, after = _by_name(getattr(old, kind)), _by_name(getattr(new, kind))
        said += [f"{kind} {name} is gone" for name in before if name not in after]
        for name, value in after.items():
            if name not in before:
                said.append(f"{kind} {name} is new")
            elif before[name] != value:
                said.append(f"{kind} {name} changed")
            elif _password(before[name]) != _password(value):
                said.append(f"{kind} {name}: user or password changed")
        shared = [name for name in before if name in after]
        if shared != [name for name in after if name in before]:
            said.append(f"{kind}: their order changed")
    return said + [f"[{key}] changed" if _is_table(new, key) else f"{key} changed" for key in _changed_keys(old, new)]


def _changed_keys(old: Settings, new: Settings) -> list[str]:
    """List the top-level keys whose values differ, except for the arrays of named tables."""
    keys = [each.name for each in fields(Settings) if each.name not in _NAMED]
    return [key for key in keys if getattr(old, key) != getattr(new, key)]


def _by_name(items: Iterable[object]) -> dict[str, object]:
    return {_name(item): item for item in items}


def _name(item: object) -> str:
    if isinstance(item, Mapping):
        return str(item.get("name", item.get("kind")))
    return str(getattr(item, "name", ""))


def _password(item: object) -> str | None:
    """Return the user and password in the URL of an upstream, which comparison leaves out; None without them."""
    credentials = item.url.credentials if isinstance(item, UpstreamSettings) else None
    return None if credentials is None else credentials.reveal()


def _is_table(settings: Settings, key: str) -> bool:
    return not isinstance(getattr(settings, key), str)
