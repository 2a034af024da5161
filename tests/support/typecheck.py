"""The type checker that tests put on our packages: beartype, with an int accepted where a float is asked for.

That is what PEP 484 and pyright say too; plain beartype is stricter than both.
"""

from beartype import BeartypeConf, beartype

checked = beartype(conf=BeartypeConf(is_pep484_tower=True))
