"""Formats: one small file a family, each saying how its models are recognised and what they need.

A recogniser takes a Tree and gives a Detected, or None when the artifact is none of its own; it
raises InvalidModel for one that is its own and cannot be served. It reads, and runs nothing.

    layouts    folder layouts, in the order in which they are asked
    files      kind of one file -> what serves it, for a lone file or the one model in a folder
    served     what each runtime takes, for people

Packages add layouts through the entry point group "inferry.formats" (a recogniser each); theirs are asked first.
"""
