"""Access: who may do what, and how often."""

import time
from collections.abc import Callable, Sequence

from ppface.serve.keys import SCOPES, Key, find
from ppface.serve.service_error import ServiceError


class Access:
    """Checks the keys of requests, their scopes and rates.

    A key with a rate has a bucket of that many requests, which is filled evenly over a minute (token bucket, Turner 1986,
    https://doi.org/10.1109/MCOM.1986.1092946).

    Args:
        keys: None: no key is needed, and everything is allowed.
        clock: seconds.
    """

    def __init__(self, keys: Sequence[Key] | None, clock: Callable[[], float] = time.monotonic):
        self._keys, self._clock = keys, clock
        self._left = {key: (key.rate, clock()) for key in keys or () if key.rate is not None}

    def key(self, authorization: str | None) -> Key | None:
        """The key of a request's header Authorization; None where no key is needed.

        Raises:
            ServiceError: no key, or an unknown one.
        """
        if self._keys is None:
            return None
        kind, _, given = (authorization or "").partition(" ")
        if kind.lower() != "bearer" or not given.strip():
            raise ServiceError("unauthorized", "expected the header Authorization: Bearer KEY")
        found = find(self._keys, given.strip())
        if found is None:
            raise ServiceError("unauthorized", "this key is not known")
        return found

    def scopes(self, key: Key | None) -> tuple[str, ...]:
        return SCOPES if key is None else key.scopes

    def spend(self, key: Key | None, scope: str | None) -> None:
        """Counts a request.

        Raises:
            ServiceError: the key lacks the scope, or has used up its rate.
        """
        if scope is not None and scope not in self.scopes(key):
            raise ServiceError("forbidden", f"this key lacks the scope {scope}")
        if key is None or key.rate is None:
            return
        (left, before), now = self._left[key], self._clock()
        left = min(key.rate, left + (now - before) * key.rate / 60)
        least = min(1.0, key.rate)  # a rate below 1 is one request in several minutes
        if left < least - 1e-9:  # rounding
            self._left[key] = left, now
            wait = (least - left) * 60 / key.rate
            raise ServiceError("rate_limited", f"expected at most {key.rate:g} requests a minute", retry_after=wait)
        self._left[key] = left - least, now
