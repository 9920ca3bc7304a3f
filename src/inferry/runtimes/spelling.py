"""Spelling: tokens become text piece by piece, as far as it is certain.

Data flow: token -> `add` -> the text that it adds; nothing while a character's bytes are not all there -> `rest`.
"""

from __future__ import annotations

from typing import Any

UNCERTAIN = "\ufffd"  # a character whose bytes are not all there yet


class Spelling:
    """The text of one answer."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self._ids: list[int] = []
        self._told = self._sure = 0  # ids[told:sure] are decoded and given out, ids[:told] are not looked at again

    def add(self, token: int) -> str:
        """The text that is certain with one more token."""
        self._ids.append(token)
        more = self._more()
        if not more or more.endswith(UNCERTAIN):
            return ""
        self._told, self._sure = self._sure, len(self._ids)
        return more

    def rest(self) -> str:
        """What was uncertain, once there is no more."""
        return self._more()

    def _more(self) -> str:
        before, now = self._decode(self._ids[self._told : self._sure]), self._decode(self._ids[self._told :])
        return now[len(before) :]

    def _decode(self, ids: list[int]) -> str:
        return str(self._tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False))
