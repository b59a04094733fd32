"""Models that complete masks, and model folders."""
