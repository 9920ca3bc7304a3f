"""Results -> medians -> Markdown tables, charts and the marked part of docs/benchmarks.md."""

def tables(document): return ""
def publish(document, page): pass
