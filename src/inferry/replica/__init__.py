"""What one replica runs: decode, batch, predict, encode."""
