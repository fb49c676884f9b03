"""Files with which others run the system: systemd's units."""
