"""The first code inside the sandbox: lower the limits for good, then become the program.

`run.py` passes the text of `values.py` and of this file to the interpreter's `-c`. It imports nothing of
ours, holds nothing secret (no expected output ever enters the sandbox) and runs with `-S`, so the program
sees the standard library only; `exit` and `quit`, which `site` would define, are defined here.

Arguments: descriptor of the source, function to call ("" = run as a script), then limits as NAME=SOFT or
NAME=SOFT:HARD.
"""

# Call-based problems come from platforms whose solutions find these names without an import: those that the
# judge of APPS imports (numpy apart, which is not in the sandbox), and more that LeetCode's does.
PRELUDE = """
import bisect, collections, copy, datetime, fractions, functools, heapq, itertools, math, operator, random, re
import statistics, string, sys, time
from bisect import bisect_left, bisect_right, insort, insort_left, insort_right
from collections import ChainMap, Counter, OrderedDict, defaultdict, deque, namedtuple
from functools import cache, cmp_to_key, lru_cache, partial, reduce
from heapq import *
from itertools import *
from math import ceil, comb, cos, exp, fabs, factorial, floor, gcd, inf, isqrt, log, log2, pi, sin, sqrt, tan
from typing import *
"""


def start() -> None:
    """Set the limits, read the program and run it as `__main__`, or call its function with JSON arguments."""
    import builtins
    import os
    import resource
    import sys
    from _sitebuiltins import Quitter

    source, function, *limits = sys.argv[1:]
    for limit in limits:
        name, values = limit.split("=")
        soft, _, hard = values.partition(":")
        optional = name.endswith("?")  # outside the sandbox a system may refuse a limit
        try:
            resource.setrlimit(getattr(resource, name.rstrip("?")), (int(soft), int(hard or soft)))
        except (ValueError, OSError):
            if not optional:
                raise
    if hasattr(sys, "set_int_max_str_digits"):
        sys.set_int_max_str_digits(0)  # as the judges do; time is limited anyway
    builtins.exit, builtins.quit = Quitter("exit", "Ctrl-D"), Quitter("quit", "Ctrl-D")
    with os.fdopen(int(source), "rb") as file:  # closed before the program starts
        text = file.read()
    sys.argv[:] = ["program.py"]
    module = type(sys)("program" if function else "__main__")  # a fresh namespace: no name of ours in it
    sys.modules[module.__name__] = module
    if not function:
        exec(compile(text, "program.py", "exec"), module.__dict__)
        return

    import json

    exec(PRELUDE, module.__dict__)
    arguments = unpack(json.load(sys.stdin))  # pyright: ignore[reportUndefinedVariable]
    answer = os.dup(1)  # what the program prints is not its answer
    silence = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silence, 1)
    exec(compile(text, "program.py", "exec"), module.__dict__)
    owner = module.Solution() if hasattr(module, "Solution") else module
    value = getattr(owner, function)(*arguments)
    with os.fdopen(answer, "w") as file:
        json.dump(pack(value, tuples=False), file)  # pyright: ignore[reportUndefinedVariable]


start()
