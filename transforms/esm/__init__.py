"""ESM-2: from sequences to vectors, on one device."""
