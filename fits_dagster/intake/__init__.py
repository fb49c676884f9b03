"""What comes in from outside: the DHS directory, uploads, and the room on the disk for them."""
