"""`python -m experiments NAME ...` is `sophistry NAME ...`."""

from experiments.cli import main

main()
