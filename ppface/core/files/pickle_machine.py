"""The state of a pickle while it is read: stack, memo, and limits on the work and memory that a file can cause."""

import os
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import IO, Any

MAX_OPCODES = 500_000  # of one pickle, at about 100 bytes of memory each; networks need 50 per array, sets of pairs 4 per pair
LARGEST_KEY, LONGEST_KEY = (
    2**32,
    256,
)  # of a mapping: larger numbers could be chosen to collide as hashes, longer names could fill the memory
MAX_ARGUMENTS = 8  # of a call that are searched for placeholders; no call that rebuilds an array has more
Globals = Mapping[tuple[str, str], Any]


class RefusedError(Exception):
    """Something that is not allowed in a weight file; the message completes "the file ..."."""


class DamagedError(Exception):
    """A fault of a file."""


class StandIn:
    """The object that is built instead of one of the class that a pickle names."""

    def build(self, state: Any) -> None:
        """Sets the object's state, as __setstate__."""
        raise RefusedError(f"sets the state of {type(self).__name__}")


@dataclass(frozen=True, eq=False)
class Foreign:
    """Placeholder of a class or function that is not allowed, and of every object that the pickle makes with it. It does nothing."""

    module: str
    name: str

    def __str__(self) -> str:
        return f"{shown(self.module)}.{shown(self.name)}"


@dataclass(frozen=True)
class Call:
    """A global that a pickle may call: function(machine, *arguments)."""

    function: Callable[..., Any]


class Budget:
    """A limit on a total amount."""

    def __init__(self, amount: int, what: str):
        self.left, self.what = amount, what

    def spend(self, amount: int) -> None:
        """Raises DamagedError if less is left."""
        self.left -= amount
        if self.left < 0:
            raise DamagedError(self.what)


class Machine:
    """Carries out single opcodes; ppface/core/files/safe_unpickle.py lists them.

    Args:
        file: at the pickle's first byte.
        allowed: (module, name) -> the replacement of this global; only a `Call` can be called.
        persistent_load: persistent id -> its value; None: such ids are refused.
        encoding: of the strings of Python 2; "bytes" keeps them as bytes.
        placeholders: whether globals that are not allowed become a `Foreign`, and mapping keys that are not are left out with their
            values; otherwise they are refused.
    """

    def __init__(
        self, file: IO[bytes], allowed: Globals, persistent_load: Callable[[Any], Any] | None, encoding: str, placeholders: bool = False
    ):
        self.file, self.allowed, self.persistent_load = file, allowed, persistent_load
        self.encoding, self.placeholders = encoding, placeholders
        start = file.tell()
        self.left = file.seek(0, os.SEEK_END) - start
        file.seek(start)
        self.opcodes = Budget(MAX_OPCODES, f"more than {MAX_OPCODES:,} opcodes")
        self.copies = Budget(self.left, "it expands to more bytes than it has")
        self.stack: list[Any] = []
        self.below: list[list[Any]] = []  # the stacks below the marks
        self.memo: dict[int, Any] = {}

    def take(self, count: int) -> bytes:
        if not 0 <= count <= self.left:
            raise DamagedError(f"{count} bytes are announced, {self.left} are left")
        self.left -= count
        return self.file.read(count)

    def line(self) -> bytes:
        text = self.file.readline()
        self.left -= len(text)
        if not text.endswith(b"\n"):
            raise DamagedError("it ends within a line")
        return text[:-1]

    def number(self, form: str) -> Any:
        return struct.unpack(form, self.take(struct.calcsize(form)))[0]

    def push(self, value: Any) -> None:
        self.stack.append(value)

    def peek(self) -> Any:
        if not self.stack:
            raise DamagedError("it takes a value from an empty stack")
        return self.stack[-1]

    def pop(self) -> Any:
        value = self.peek()
        del self.stack[-1]
        return value

    def last(self, count: int) -> list[Any]:
        """Pops the last values, in their order."""
        return [self.pop() for _ in range(count)][::-1]

    def top(self, kind: type) -> Any:
        """The last value, which must be of exactly this type."""
        if type(self.peek()) is not kind:
            raise DamagedError(f"expected a {kind.__name__} on the stack")
        return self.stack[-1]

    def mark(self) -> None:
        self.below.append(self.stack)
        self.stack = []

    def marked(self) -> list[Any]:
        """Pops everything above the last mark."""
        if not self.below:
            raise DamagedError("a mark is missing")
        values, self.stack = self.stack, self.below.pop()
        return values

    def drop(self) -> None:
        self.pop() if self.stack else self.marked()

    def append(self, values: list[Any]) -> None:
        if type(self.peek()) is not Foreign:
            self.top(list).extend(values)

    def fill(self, flat: list[Any]) -> None:
        """Key, value, key, value, ... into the mapping on top."""
        if type(self.peek()) is not Foreign:
            fill(self.top(dict), flat, self.placeholders)

    def recall(self, number: int) -> None:
        if number not in self.memo:
            raise DamagedError(f"memo entry {number} is missing")
        self.push(self.memo[number])

    def remember(self, number: int) -> None:
        self.memo[number] = self.peek()

    def push_global(self, module: Any, name: Any) -> None:
        """Pushes the replacement of a global, or a placeholder."""
        if type(module) is not str or type(name) is not str:
            raise DamagedError("a global without a name")
        if (module, name) in self.allowed:
            self.push(self.allowed[module, name])
        elif self.placeholders:
            self.push(Foreign(module, name))
        else:
            raise RefusedError(f"refers to {Foreign(module, name)}")

    def call(self) -> None:
        """Pushes what a listed function returns, or a placeholder that is called or is among the arguments."""
        function, arguments = self.last(2)
        if type(function) not in (Call, Foreign) or type(arguments) is not tuple:
            raise RefusedError(f"calls a {type(function).__name__}")
        foreign = function if type(function) is Foreign else _foreign_in(arguments)
        self.push(foreign or function.function(self, *arguments))

    def make(self, parts: int) -> None:
        """Pops a class and its arguments, `parts` values together; pushes the placeholder of the class instead of an object."""
        kind = self.last(parts)[0]
        if type(kind) is not Foreign:
            raise RefusedError(f"makes an object of a {type(kind).__name__}")
        self.push(kind)

    def build(self) -> None:
        state, target = self.pop(), self.peek()
        if isinstance(target, StandIn):
            target.build(state)
        elif type(target) not in (dict, Foreign):  # the attributes of an OrderedDict are left out: they hold no arrays
            raise RefusedError(f"sets the state of a {type(target).__name__}")

    def push_persistent(self, reference: Any) -> None:
        """Pushes the value of a persistent id, or the placeholder in it."""
        if self.persistent_load is None:
            raise RefusedError("refers to an external object")
        self.push((type(reference) is tuple and _foreign_in(reference)) or self.persistent_load(reference))

    def text(self, raw: bytes) -> str | bytes:
        """A string of Python 2."""
        return raw if self.encoding == "bytes" else raw.decode(self.encoding)


def _foreign_in(arguments: tuple) -> Foreign | None:
    return next((value for value in arguments[:MAX_ARGUMENTS] if type(value) is Foreign), None)


def fill(target: dict, flat: list[Any], lenient: bool) -> dict:
    """Key, value, ... into a mapping whose keys are text, small numbers or placeholders: nested tuples could take too long to hash.

    Args:
        target: the mapping.
        flat: key, value, key, value, ...
        lenient: values of other keys are left out: no array has such a name; otherwise they are refused.
    """
    if len(flat) % 2:
        raise DamagedError("a key without a value")
    for key, value in zip(flat[0::2], flat[1::2], strict=True):
        small = (type(key) is str and len(key) <= LONGEST_KEY) or (type(key) is int and 0 <= key < LARGEST_KEY)
        if small or type(key) is Foreign:
            target[key] = value
        elif not lenient:
            raise DamagedError(f"a mapping key that is not allowed, of type {type(key).__name__}")
    return target


def shown(text: str, length: int = 80) -> str:
    """Text from a file, shortened and printable on one line of a message."""
    return "".join(letter if letter.isprintable() else "?" for letter in text[:length])
