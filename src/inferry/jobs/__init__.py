"""The plane of jobs: predictions that were accepted now and are answered later, on capacity that nobody else needs."""
