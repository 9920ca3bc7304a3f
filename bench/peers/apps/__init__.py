"""The peers' own code, each file written as that server's documentation has it.

They run in the peers' environments with this folder as working directory and import nothing of
Inferry. BENCH_MODEL is the model's file, BENCH_SHAPE the shape of one row ("512" or "3,224,224"),
BENCH_BATCH the largest batch where batching is on (else 1).
"""
