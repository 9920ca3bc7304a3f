"""Replies: what a replica may say. User code runs where it comes from."""

from __future__ import annotations

from inferry.gateway.head import Head
from inferry.types import frames

PROTO_DOORS = (frames.DOOR_GRPC, frames.DOOR_TFS)
PROTO, TEXTS = (frames.CONTENT_PROTO,), (*frames.MEDIA_TYPES, frames.CONTENT_NAMED)
CONTENTS = (frames.CONTENT_END, *TEXTS, *PROTO)


def check(reply: frames.Reply, head: Head | None) -> None:
    """Raise FrameError unless an answer to this request can be made of a reply."""
    if reply.kind not in (frames.RESULT, frames.PART):
        raise frames.FrameError(f"reply of kind {reply.kind}")
    if reply.status != 200 and not 400 <= reply.status <= 599:
        raise frames.FrameError(f"reply with status {reply.status}")
    if reply.content not in CONTENTS:
        raise frames.FrameError(f"reply with content {reply.content}")
    if reply.content == frames.CONTENT_NAMED:
        frames.named(reply.body)
    if head is None or reply.status != 200:
        return
    ends = reply.content == frames.CONTENT_END and reply.kind == frames.RESULT and head.flags & frames.FLAG_STREAM
    if not ends and reply.content not in (PROTO if head.door in PROTO_DOORS else TEXTS):
        raise frames.FrameError(f"reply with content {reply.content} at door {head.door}")
