"""The state of a pickle that is being read: a stack, a memo, and limits on what the file can make of them."""

import os
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import IO, Any

INSTRUCTIONS = 500_000  # of one pickle, each worth about 100 bytes; networks need 50 an array, sets of pairs 4 a pair
LARGEST_KEY, LONGEST_KEY = 2**32, 256  # of a mapping; larger numbers could be made to collide, longer names to fill the memory
Known = Mapping[tuple[str, str], Any]


class RefusedError(Exception):
    """What a file asks for and does not get; completes "the file ..."."""


class DamagedError(Exception):
    """What is wrong with a file."""


class StandIn:
    """What a pickle builds instead of an object of the class that it names."""

    def build(self, state: Any) -> None:
        """Takes what the pickle says of the object's inside."""
        raise RefusedError(f"sets the inside of {type(self).__name__}")


@dataclass(frozen=True)
class Call:
    """A global that a pickle may call: function(machine, *arguments)."""

    function: Callable[..., Any]


class Budget:
    """An amount that can be spent once."""

    def __init__(self, amount: int, what: str):
        self.left, self.what = amount, what

    def spend(self, amount: int) -> None:
        """Raises DamagedError where there is less."""
        self.left -= amount
        if self.left < 0:
            raise DamagedError(self.what)


class Machine:
    """Does what single instructions ask for; see ppface/core/files/safe_unpickle.py for the instructions.

    Args:
        file: at the pickle's first byte.
        known: (module, name) -> what stands for this global; a `Call` can be called.
        outside: what stands for a persistent id; none: such ids are refused.
        encoding: of the strings of Python 2; "bytes" keeps them as bytes.
    """

    def __init__(self, file: IO[bytes], known: Known, outside: Callable[[Any], Any] | None, encoding: str):
        self.file, self.known, self.outside, self.encoding = file, known, outside, encoding
        here = file.tell()
        self.left = file.seek(0, os.SEEK_END) - here
        file.seek(here)
        self.steps = Budget(INSTRUCTIONS, f"more than {INSTRUCTIONS:,} instructions")
        self.copies = Budget(self.left, "it unfolds to more bytes than it has")
        self.stack: list[Any] = []
        self.below: list[list[Any]] = []  # the stacks under the marks
        self.memo: dict[int, Any] = {}

    def take(self, count: int) -> bytes:
        if not 0 <= count <= self.left:
            raise DamagedError(f"{count} bytes are announced where {self.left} are left")
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
            raise DamagedError("it takes more values than it has")
        return self.stack[-1]

    def pop(self) -> Any:
        value = self.peek()
        del self.stack[-1]
        return value

    def last(self, count: int) -> list[Any]:
        """Takes the last values, in their order."""
        return [self.pop() for _ in range(count)][::-1]

    def top(self, kind: type) -> Any:
        """The last value, which must be of this very type."""
        if type(self.peek()) is not kind:
            raise DamagedError(f"a {kind.__name__} is missing")
        return self.stack[-1]

    def mark(self) -> None:
        self.below.append(self.stack)
        self.stack = []

    def marked(self) -> list[Any]:
        """Takes everything above the last mark."""
        if not self.below:
            raise DamagedError("a mark is missing")
        values, self.stack = self.stack, self.below.pop()
        return values

    def drop(self) -> None:
        self.pop() if self.stack else self.marked()

    def append(self, values: list[Any]) -> None:
        self.top(list).extend(values)

    def fill(self, flat: list[Any]) -> None:
        """Key, value, key, value, ... into the mapping on top."""
        fill(self.top(dict), flat)

    def recall(self, number: int) -> None:
        if number not in self.memo:
            raise DamagedError(f"value {number} is missing")
        self.push(self.memo[number])

    def remember(self, number: int) -> None:
        self.memo[number] = self.peek()

    def named(self, module: Any, name: Any) -> None:
        """Pushes what stands for a global."""
        if type(module) is not str or type(name) is not str:
            raise DamagedError("a global without a name")
        if (module, name) not in self.known:
            raise RefusedError(f"wants {shown(module)}.{shown(name)}")
        self.push(self.known[module, name])

    def call(self) -> None:
        function, arguments = self.last(2)
        if type(function) is not Call or type(arguments) is not tuple:
            raise RefusedError(f"calls a {type(function).__name__}")
        self.push(function.function(self, *arguments))

    def build(self) -> None:
        state, target = self.pop(), self.peek()
        if isinstance(target, StandIn):
            target.build(state)
        elif type(target) is not dict:  # the attributes of an OrderedDict are left out: they hold no arrays
            raise RefusedError(f"sets the inside of a {type(target).__name__}")

    def refer(self, reference: Any) -> None:
        """Pushes what stands for a persistent id."""
        if self.outside is None:
            raise RefusedError("refers to something outside itself")
        self.push(self.outside(reference))

    def text(self, raw: bytes) -> str | bytes:
        """A string of Python 2."""
        return raw if self.encoding == "bytes" else raw.decode(self.encoding)


def fill(target: dict, flat: list[Any]) -> dict:
    """Key, value, key, value, ... into a mapping whose keys are text or small numbers: tuples could nest, and take forever to hash."""
    if len(flat) % 2:
        raise DamagedError("a key without a value")
    for key, value in zip(flat[0::2], flat[1::2], strict=True):
        if not ((type(key) is str and len(key) <= LONGEST_KEY) or (type(key) is int and 0 <= key < LARGEST_KEY)):
            raise DamagedError(f"a strange key of a mapping, of type {type(key).__name__}")
        target[key] = value
    return target


def shown(text: str, length: int = 80) -> str:
    """A text of a file for one line of a message."""
    return "".join(letter if letter.isprintable() else "?" for letter in text[:length])
