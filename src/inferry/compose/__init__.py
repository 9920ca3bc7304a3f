"""One file per process: the only place that knows concrete classes. Wiring, no logic."""
