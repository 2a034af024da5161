"""Values that JSON cannot carry, written as JSON: tuples, sets, other keys than text, integers of any size.

Plain JSON means what it always means. Beside it stand dictionaries with one key that begins with `$`:
`{"$tuple": [...]}`, `{"$set": [...]}`, `{"$frozenset": [...]}`, `{"$dict": [[key, value], ...]}` and
`{"$int": "0x..."}`. The driver in the sandbox runs this same text, so it imports nothing of ours.
"""

_LONG = 1 << 4096  # longer integers have more digits than Python reads or writes in decimal


def pack(value, *, tuples=True):
    """A plain value as what `json.dumps` writes without loss.

    Args:
        value: None, bool, int, float, str, and lists, tuples, sets, frozensets and dictionaries of these.
        tuples: keep tuples apart from lists (within sets and keys they always are).

    Raises:
        TypeError: a value of another type.

    >>> pack({1: (2, 3)})
    {'$dict': [[1, {'$tuple': [2, 3]}]]}
    """
    if value is None or isinstance(value, (bool, float, str)):
        return value
    if isinstance(value, int):
        return int(value) if -_LONG < value < _LONG else {"$int": hex(value)}
    if isinstance(value, list) or (isinstance(value, tuple) and not tuples):
        return [pack(item, tuples=tuples) for item in value]
    for kind, name in ((tuple, "$tuple"), (set, "$set"), (frozenset, "$frozenset")):
        if isinstance(value, kind):
            return {name: [pack(item) for item in value]}
    if isinstance(value, dict):
        if all(isinstance(key, str) for key in value) and not any(key[:1] == "$" for key in value):
            return {key: pack(item, tuples=tuples) for key, item in value.items()}
        return {"$dict": [[pack(key), pack(item, tuples=tuples)] for key, item in value.items()]}
    raise TypeError(f"{type(value).__name__} is no plain value")


def unpack(value):
    """The value that `pack` wrote.

    Raises:
        ValueError, TypeError: not what `pack` writes.

    >>> unpack(pack({(1, 2): {3, 4}, "$": 10**6})) == {(1, 2): {3, 4}, "$": 10**6}
    True
    """
    if isinstance(value, list):
        return [unpack(item) for item in value]
    if not isinstance(value, dict):
        return value
    if len(value) == 1:
        ((name, content),) = value.items()
        if name == "$int":
            return int(content, 16)
        if name == "$dict":
            return {unpack(key): unpack(item) for key, item in content}
        for kind, known in ((tuple, "$tuple"), (set, "$set"), (frozenset, "$frozenset")):
            if name == known:
                return kind(unpack(item) for item in content)
    return {key: unpack(item) for key, item in value.items()}
