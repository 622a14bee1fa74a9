"""In the place of a resolver that greenloom does not have."""

raise ImportError(
    "greenloom has no c-ares resolver; set GEVENT_RESOLVER to 'thread' (the default), 'dnspython' or 'block'"
)
