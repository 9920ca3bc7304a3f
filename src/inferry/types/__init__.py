"""The nouns of the house as frozen classes. Imports nothing of ours but `errors`."""
