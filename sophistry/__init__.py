"""What every package may use: files, hashes, provenance, records."""
