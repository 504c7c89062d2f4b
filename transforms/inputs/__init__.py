"""FASTA files: finding, watching, dividing and reading them."""
