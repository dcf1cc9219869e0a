"""The version of the package, for what is written into results and reports."""

__version__ = "0.1.0"
