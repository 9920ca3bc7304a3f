"""One file per framework: load an artifact and predict."""
