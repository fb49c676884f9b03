"""Standing questions about a site and its nights: complete, unaltered, nothing stuck."""
