"""spaCy pipelines as `nlp.to_disk` and spaCy's packages keep them: a folder with meta.json and config.cfg.

Data flow: config.cfg -> the meta.json beside it -> the spaCy versions that it names -> Detected.
"""

from __future__ import annotations

import re

from inferry.bundles.requirements import check_line, merged
from inferry.bundles.sniff import MAX_SOURCE
from inferry.bundles.tree import Tree
from inferry.errors import InvalidModel
from inferry.types.bundle import Detected

_RANGE = re.compile(r"(?:[<>=!~]=?\s*[0-9][0-9A-Za-z.*]*\s*,?\s*)+")

_AGAIN = "Save it again with nlp.to_disk(FOLDER), or copy the whole folder again."


def spacy(tree: Tree) -> Detected | None:
    """Any folder with spaCy's two files; what else lies there belongs to the components."""
    config = tree.find("config.cfg")
    if config is None or config.with_name("meta.json") not in tree.files:
        return None
    meta = tree.json(config.with_name("meta.json"))
    if meta is None and b"[nlp]" in config.read_bytes()[:MAX_SOURCE]:
        raise InvalidModel("The spaCy pipeline's meta.json is damaged.", help=_AGAIN)
    if not isinstance(meta, dict) or "lang" not in meta or not isinstance(meta.get("pipeline"), list):
        return None
    made_by = meta.get("spacy_version", "")
    if not isinstance(made_by, str) or (made_by and not _RANGE.fullmatch(made_by)):
        raise InvalidModel("The spaCy pipeline's meta.json does not say its spaCy version as spaCy does.", help=_AGAIN)
    more = meta.get("requirements") or []
    if not isinstance(more, list) or not all(isinstance(line, str) for line in more):
        raise InvalidModel("The requirements in the spaCy pipeline's meta.json are not a list of text.", help=_AGAIN)
    ours = [f"spacy{made_by.strip(' ,')}", *(check_line(line.strip(), "meta.json") for line in more)]
    entry = tree.name(config.parent)
    return Detected(
        runtime="spacy",
        entry="" if entry == "." else entry,
        requirements=merged(ours, tree.asked(config)),
        why="It is a spaCy pipeline.",
    )


LAYOUTS = (spacy,)
