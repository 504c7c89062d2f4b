"""What lies in an output: its parts and records, who is at work in it, and how it is read back."""
