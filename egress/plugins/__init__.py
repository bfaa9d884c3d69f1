"""Policy plugins. Third parties add modules to this package without an `__init__.py` of their own."""

from twisted.plugin import pluginPackagePaths

__path__.extend(pluginPackagePaths(__name__))

__all__: list[str] = []
