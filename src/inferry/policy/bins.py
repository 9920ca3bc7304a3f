"""Bins: how the answers of two revisions are counted, so that one sees when they fall otherwise. Pure.

Data flow: what the stable revision answered lately -> `make` -> Bins, kept with the rollout -> `count` of both
revisions' answers in a window. Bins hold about equally many of the stable revision's answers, and few are enough:
what many bins differ by chance would hide what matters.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Sequence

from inferry.policy.quality import name_of
from inferry.types.analysis import Bins
from inferry.types.feedback import Prediction

ENOUGH = 50
"""Answers of the stable revision before bins are made of them."""
PARTS = 10
MAX_LABELS = 12


def make(predictions: Sequence[Prediction]) -> Bins | None:
    """Bins for answers like these; None when there are too few, or none that say anything."""
    known = [one for one in predictions if one != Prediction()]
    if len(known) < ENOUGH:
        return None
    names = list({name: None for one in known for name in one.scores})
    if len(names) == 2 and all(one.scores for one in known):
        return Bins(of=names[1], edges=_edges([one.scores.get(names[1], 0.0) for one in known], PARTS))
    labels = Counter(name_of(one.label) for one in known if one.label is not None)
    numbers = [one.value for one in known if one.value is not None]
    if len(numbers) == len(known) and (not labels or len(labels) > MAX_LABELS):
        return Bins(edges=_edges(numbers, PARTS))
    if not labels:
        return None
    kept = tuple(sorted(label for label, _ in labels.most_common(MAX_LABELS)))
    sure = [max(one.scores.values()) for one in known if one.scores]
    return Bins(labels=kept, edges=_edges(sure, 2) if len(sure) == len(known) else ())


def count(bins: Bins, predictions: Iterable[Prediction]) -> tuple[int, ...]:
    """How many of the answers fall into each bin; the last is for those that fit none."""
    width = len(bins.edges) + 1
    counts = [0] * (max(1, len(bins.labels)) * width + 1)
    for one in predictions:
        if one != Prediction():
            counts[_place(bins, one, width)] += 1
    return tuple(counts)


def _place(bins: Bins, one: Prediction, width: int) -> int:
    if bins.labels:
        label = "" if one.label is None else name_of(one.label)
        if label not in bins.labels:
            return -1
        score = max(one.scores.values(), default=0.0)
        return bins.labels.index(label) * width + bisect_right(bins.edges, score)
    found = one.scores.get(bins.of) if bins.of else one.value
    return -1 if found is None else bisect_right(bins.edges, found)


def _edges(values: Sequence[float], parts: int) -> tuple[float, ...]:
    """Between the smallest and the largest, the values that cut the others into equal parts; equal ones once."""
    ordered = sorted(values)
    cuts = {ordered[len(ordered) * part // parts] for part in range(1, parts)}
    return tuple(sorted(cut for cut in cuts if cut > ordered[0]))
