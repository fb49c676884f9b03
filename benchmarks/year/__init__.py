"""A year of nights through a whole system, faster than life."""
