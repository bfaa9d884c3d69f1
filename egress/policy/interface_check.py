"""Checks that objects of plugins provide their interfaces, without showing the objects in messages."""

from __future__ import annotations

from collections.abc import Iterator

from zope.interface import Invalid
from zope.interface.exceptions import BrokenImplementation, BrokenMethodImplementation, DoesNotImplement
from zope.interface.interface import InterfaceClass
from zope.interface.verify import verifyObject


def breaches(interface: InterfaceClass, thing: object) -> str:
    """Describe why `thing` does not provide `interface`; "" where it does.

    The messages of zope.interface hold the repr of the object, which may hold a plugin's settings.
    """
    try:
        verifyObject(interface, thing)
    except Invalid as error:
        return ", ".join(dict.fromkeys(_each(error)))
    return ""


def _each(error: Invalid) -> Iterator[str]:
    # MultipleInvalid has this attribute, which the stubs lack.
    several = getattr(error, "exceptions", ())
    for inner in several:
        yield from _each(inner)
    if several:
        return
    if isinstance(error, DoesNotImplement):
        yield f"it does not declare {getattr(error.interface, '__name__', 'the interface')}"
    elif isinstance(error, BrokenMethodImplementation):
        yield f"{_word(error.method)} does not take the arguments that it must"
    elif isinstance(error, BrokenImplementation):
        yield f"{_word(error.name)} is missing"
    else:
        yield type(error).__name__


def _word(name: object) -> str:
    return name if isinstance(name, str) else str(getattr(name, "__name__", "something"))
