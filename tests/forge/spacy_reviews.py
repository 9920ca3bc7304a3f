# /// script
# dependencies = ["spacy"]
# ///
"""A pipeline from nothing: a text categoriser trained on a few sentences, and a ruler that finds entities."""

import json

import numpy as np
import spacy
from spacy.training import Example
from spacy.util import fix_random_seed

fix_random_seed(0)
GOOD = ["a wonderful film", "I loved every minute", "great acting and a great story", "really enjoyable and fun"]
BAD = ["a terrible film", "I hated every minute", "poor acting and a poor story", "really boring and dull"]
nlp = spacy.blank("en")
bag = {"@architectures": "spacy.TextCatBOW.v3", "exclusive_classes": True, "ngram_size": 1, "no_output_layer": False}
textcat = nlp.add_pipe("textcat", config={"model": bag})
for label in ("GOOD", "BAD"):
    textcat.add_label(label)
examples = [
    Example.from_dict(nlp.make_doc(text), {"cats": {"GOOD": float(good), "BAD": float(not good)}})
    for texts, good in ((GOOD, True), (BAD, False))
    for text in texts
]
optimizer = nlp.initialize(lambda: examples)
for _ in range(20):
    nlp.update(examples, sgd=optimizer)
ruler = nlp.add_pipe("entity_ruler")
ruler.add_patterns([{"label": "CITY", "pattern": "Oslo"}, {"label": "PERSON", "pattern": "Ada Lovelace"}])
nlp.to_disk("artifact")
texts = [
    "Ada Lovelace loved this wonderful film in Oslo",
    "what a terrible and boring story",
    "größer, naïve: great fun in Oslo",
]
documents = list(nlp.pipe(texts))
cats = np.array([[one.cats["GOOD"], one.cats["BAD"]] for one in documents], dtype=np.float32)
assert cats.argmax(axis=1).tolist() == [0, 1, 0]
found = [
    [{"text": e.text, "label": e.label_, "start": e.start_char, "end": e.end_char} for e in one.ents]
    for one in documents
]
np.savez("inputs.npz", text=np.array(texts))
np.savez(
    "expected.npz",
    label=np.array(["GOOD", "BAD"])[cats.argmax(axis=1)],
    probabilities=cats,
    entities=np.array([json.dumps(one, ensure_ascii=False, separators=(",", ":")) for one in found]),
)
