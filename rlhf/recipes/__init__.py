"""How a policy is optimised: one file per recipe."""
