"""MiniCode: generated programming problems with exact tests and subtly wrong programs."""

from tasks.minicode.problems import MiniCode

__all__ = ["MiniCode"]
