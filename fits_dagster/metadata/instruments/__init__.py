"""One module per instrument: its tables as data, and methods where its rules differ."""
