"""Finds the policy plugins.

`twisted.plugin.getPlugins` skips modules that fail to import, and trusts a pickled cache. Here every module is
imported and every failure is an error, so the cache can neither hide nor add a plugin.
"""

from __future__ import annotations

import importlib
import os
import pkgutil
import stat
import sys
from collections.abc import Iterator
from types import ModuleType

from twisted.logger import Logger
from twisted.plugin import getPlugins

from egress.config.validators import NAME_LIMIT, is_name
from egress.errors import ConfigError
from egress.interfaces import IPolicyMaker
from egress.policy.interface_check import breaches

_log = Logger()


def find_makers(package: ModuleType) -> dict[str, IPolicyMaker]:
    """Find every maker in the modules of a plugin package.

    Args:
        package: `egress.plugins`, its `__path__` extended by `pluginPackagePaths`.

    Returns:
        The makers by kind.

    Raises:
        ConfigError: a directory is not trustworthy, a module cannot be imported or exists twice, a maker does not
            provide its interface, or two makers have one kind.
    """
    directories = _directories(package)
    for directory in directories:
        _refuse_working_directory(directory, package)
        _refuse_writable(directory, package)
    modules = _load(directories, package)
    makers: dict[str, IPolicyMaker] = {}
    sources: dict[str, str] = {}
    seen: dict[int, str] = {}
    for module in modules:
        for attribute, maker in vars(module).items():
            if not IPolicyMaker.providedBy(maker) or id(maker) in seen:
                continue
            source = seen[id(maker)] = f"{module.__name__}.{attribute}"
            kind = _kind_of(maker, source)
            if kind in makers:
                raise ConfigError("", f"two plugins make policies of kind {kind!a}: {sources[kind]} and {source}")
            makers[kind] = maker
            sources[kind] = source
    _compare_cache(package, makers)
    return makers


def _kind_of(maker: IPolicyMaker, source: str) -> str:
    problem = breaches(IPolicyMaker, maker)
    if not problem and not (isinstance(maker.kind, str) and is_name(maker.kind)):
        problem = f"its kind is not a word of 1 to {NAME_LIMIT} printable ASCII characters"
    if problem:
        raise ConfigError("", f"the plugin {source} is broken: {problem}")
    return maker.kind


def _directories(package: ModuleType) -> list[str]:
    """Return the real paths of the existing plugin directories, without duplicates."""
    real = (os.path.realpath(entry) for entry in package.__path__)
    return [entry for entry in dict.fromkeys(real) if os.path.isdir(entry)]


def _own(package: ModuleType) -> str:
    return os.path.dirname(os.path.realpath(package.__file__ or ""))


def _refuse_working_directory(directory: str, package: ModuleType) -> None:
    """Refuse a plugin directory that is found by way of the working directory, where others may have put files."""
    try:
        here = os.path.realpath(os.getcwd())
    except FileNotFoundError:
        return
    # The directory belongs to the deepest entry of the module path that contains it: a virtual environment within the
    # working directory has an entry of its own.
    entries = {os.path.realpath(entry or here) for entry in sys.path}
    holding = [entry for entry in entries if os.path.commonpath((directory, entry)) == entry]
    source = max(holding, key=len, default="")
    if directory == here or (source == here and directory != _own(package)):
        raise ConfigError(
            "",
            f"the plugin directory {directory} is taken from the working directory; start from another directory, "
            "with the `egress` or `twistd` command and not with `python -m`",
        )


def _refuse_writable(directory: str, package: ModuleType) -> None:
    """Refuse a plugin directory that other users can write: its code would run as this user."""
    trusted = {0, os.geteuid(), os.stat(_own(package)).st_uid}
    for path in (directory, *_contents(directory)):
        try:
            facts = os.stat(path)
        except FileNotFoundError:
            continue
        if facts.st_uid not in trusted:
            problem = f"belongs to uid {facts.st_uid}, who is neither root nor who runs or installed egress"
        elif facts.st_mode & stat.S_IWOTH:
            problem = "can be written by everybody"
        elif facts.st_mode & stat.S_IWGRP and facts.st_gid not in (0, os.getegid()):
            problem = f"can be written by the group {facts.st_gid}"
        else:
            continue
        raise ConfigError("", f"the plugin {'directory' if path == directory else 'file'} {path} {problem}")


def _contents(directory: str) -> Iterator[str]:
    """List everything below a plugin directory. Python or Twisted may run any of it."""
    for within, folders, files in os.walk(directory):
        for name in (*folders, *files):
            yield os.path.join(within, name)


def _load(directories: list[str], package: ModuleType) -> list[ModuleType]:
    places: dict[str, str] = {}
    for directory in directories:
        for found in pkgutil.iter_modules([directory]):
            if found.name in places:
                raise ConfigError(
                    "", f"the plugin module {found.name} is there twice: in {places[found.name]} and in {directory}"
                )
            places[found.name] = directory
    return [_import(f"{package.__name__}.{name}") for name in places]


def _import(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except BaseException as error:
        raise ConfigError("", f"the plugin module {name} cannot be imported ({type(error).__name__})") from None


def _compare_cache(package: ModuleType, makers: dict[str, IPolicyMaker]) -> None:
    """Have Twisted update its plugin cache, and warn where the cache differs from the modules."""
    try:
        cached = {id(maker) for maker in getPlugins(IPolicyMaker, package)}
    except Exception as error:
        _log.warn("the plugin cache of {package} cannot be used: {kind}", package=package.__name__, kind=type(error))
        return
    if cached != {id(maker) for maker in makers.values()}:
        _log.warn("the plugin cache of {package} is out of date: delete its dropin.cache", package=package.__name__)
