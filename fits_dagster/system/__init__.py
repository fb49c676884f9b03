"""Running the whole system on one machine: start, supervise, look at, stop."""
