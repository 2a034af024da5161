"""Rewards that are trained: models of what people approve, prefer, or would write instead."""
