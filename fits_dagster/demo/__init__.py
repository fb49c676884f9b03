"""The demonstration: a night of files travels through a whole system while one watches."""
