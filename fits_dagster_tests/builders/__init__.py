"""What tests make: records, headers, versions of files, sites, and files on their way."""
