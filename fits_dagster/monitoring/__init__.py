"""Figures for monitoring: what the queues hold, what the stages do, whether the parts answer."""
