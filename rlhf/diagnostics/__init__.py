"""Measures around the optimisation of a policy: before it, during it, after it."""
