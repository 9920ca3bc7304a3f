"""The front door for predictions: check the key, route, hold, forward."""
