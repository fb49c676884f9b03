"""FITS files: names, headers, digests and structure. No database, no instrument knowledge."""
