"""fastText classifiers and spaCy pipelines, deployed with no code."""

from __future__ import annotations

import json

from tests.support.forge import served


def test_fasttext_names_the_language_as_fasttext_does(platform, forge):
    forged = forge.make("fasttext_language")
    platform.deploy(forged.artifact, "language")
    served(platform, "language", forged)
    answer = platform.predict("language", {"text": "Dit is een zin in het Nederlands."})
    assert answer["predictions"][0]["label"] == "nl"
    assert platform.predict("language", {"text": "これは日本語の文章です。"})["predictions"][0]["label"] == "ja"


def test_a_text_without_a_word_has_some_answer_in_fasttext(platform, forge):
    platform.deploy(forge.make("fasttext_language").artifact, "language")
    answers = platform.predict("language", [{"text": ""}, {"text": "\n\n"}, {"text": "Guten Morgen zusammen"}])
    assert len(answers["predictions"]) == 3
    assert answers["predictions"][2]["label"] == "de"


def test_a_spacy_folder_answers_by_what_its_components_set(platform, forge):
    forged = forge.make("spacy_reviews")
    deployed = platform.deploy(forged.artifact, "reviews")
    assert [output["name"] for output in deployed["signature"]["outputs"]] == ["label", "probabilities", "entities"]
    served(platform, "reviews", forged, rtol=1e-3, atol=1e-4)
    (row,) = platform.predict("reviews", {"text": "Ada Lovelace never saw Oslo"})["predictions"]
    assert set(row["probabilities"]) == {"GOOD", "BAD"}
    assert json.loads(row["entities"]) == [
        {"text": "Ada Lovelace", "label": "PERSON", "start": 0, "end": 12},
        {"text": "Oslo", "label": "CITY", "start": 23, "end": 27},
    ]
