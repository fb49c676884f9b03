"""Queueing again: what has changed in the store, what is chosen by hand, whole nights."""
