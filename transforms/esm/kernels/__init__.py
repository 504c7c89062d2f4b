"""What of an encoder is no matrix product, by the fastest way that is right on its device."""
