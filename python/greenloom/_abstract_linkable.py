"""What events, results and semaphores share: links, and waiting. It is Rust: see ``src/primitives/linkable.rs``."""

from __future__ import annotations

from greenloom._greenloom import AbstractLinkable as AbstractLinkable

__all__ = ["AbstractLinkable"]
