"""version - the version of this package, as installed."""

from importlib.metadata import PackageNotFoundError, version

try:
    VERSION = version("tarry")
except PackageNotFoundError:  # a source tree that was never installed
    VERSION = "0+unknown"
