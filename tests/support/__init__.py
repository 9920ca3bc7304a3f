"""What acceptance tests and benchmarks stand on: a running platform, its processes, model files."""
