"""`make bench-peers`: the same models and requests through Inferry and through other model servers.

catalog (who, in which environment, started how) -> environments made by uv -> models made once ->
each server alone: start time and memory -> all of a model together: answers compared, interleaved
rounds -> bench/results/peers.json -> tables and charts in docs/benchmarks.md.
"""
