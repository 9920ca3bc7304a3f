"""Files as inputs: pictures and sound become tensors, and scores get class names, by what was declared."""
