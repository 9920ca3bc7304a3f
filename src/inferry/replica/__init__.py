"""What one replica runs: decode, batch, predict, encode. No HTTP, no asyncio, no thread."""
