"""An expression as a tree, read from the bytes that CEL's own specification gives it (`cel.expr.CheckedExpr`).

Only what the rules and the price need is kept. The format is protobuf: numbered fields, of which unknown ones are passed over.
"""

from collections.abc import Iterator
from dataclasses import dataclass

_VARINT, _EIGHT_BYTES, _BYTES, _FOUR_BYTES = 0, 1, 2, 5


@dataclass(frozen=True, slots=True)
class Constant:
    """A literal. `text` is what stands in it if it is a string, else nothing."""

    offset: int
    is_text: bool
    text: str
    length: int


@dataclass(frozen=True, slots=True)
class Name:
    offset: int
    name: str


@dataclass(frozen=True, slots=True)
class Field:
    """`of.name`, and the same within `has()`."""

    offset: int
    of: "Node"
    name: str


@dataclass(frozen=True, slots=True)
class Call:
    """A function or an operator; what stands before the dot is the first argument."""

    offset: int
    function: str
    arguments: tuple["Node", ...]


@dataclass(frozen=True, slots=True)
class Listed:
    """A list written out, or a map: then `keys` are its keys."""

    offset: int
    keys: tuple["Node", ...]
    values: tuple["Node", ...]


@dataclass(frozen=True, slots=True)
class Message:
    """A message of protobuf."""

    offset: int


@dataclass(frozen=True, slots=True)
class Loop:
    """`exists`, `all` and their like: `steps` are taken for each element of `over`. `builds` tells that it makes a list."""

    offset: int
    over: "Node"
    variable: str
    builds: bool
    steps: tuple["Node", ...]
    result: "Node"


Node = Constant | Name | Field | Call | Listed | Message | Loop


def read_tree(serialized: bytes) -> Node:
    """The tree of a checked expression that was packed as `google.protobuf.Any`."""
    checked = _checked(serialized)
    source = _fields(_bytes(checked.get(5, b"")))
    positions = [dict(_fields(_bytes(entry))) for number, entry in source if number == 4]
    offsets = {_number(entry.get(1, 0)): _number(entry.get(2, 0)) for entry in positions}
    return _node(_bytes(checked[4]), offsets)


def unpacked(serialized: bytes) -> bytes:
    """The expression alone that was packed so."""
    return _bytes(_checked(serialized)[4])


def repacked(expression: bytes) -> bytes:
    """Such an expression, or a part of one, packed again; what the check found out about it is left behind."""
    return _field(1, b"type.googleapis.com/cel.expr.CheckedExpr") + _field(2, _field(4, expression))


def parts_of_call(expression: bytes) -> tuple[str, list[bytes]]:
    """The function that is called, and its arguments without what stands before the dot; no function if it is no call."""
    body = dict(_fields(expression)).get(6)
    if body is None:
        return "", []
    parts = list(_fields(_bytes(body)))
    return _text(dict(parts)[2]), [_bytes(part) for number, part in parts if number == 3]


def _checked(serialized: bytes) -> dict[int, int | bytes]:
    return dict(_fields(_bytes(dict(_fields(serialized))[2])))


def _field(number: int, content: bytes) -> bytes:
    """A field of bytes, as it is written."""
    length, head = len(content), [number << 3 | _BYTES]
    while length > 0x7F:
        head.append(length & 0x7F | 0x80)
        length >>= 7
    return bytes([*head, length]) + content


def _node(message: bytes, offsets: dict[int, int]) -> Node:
    parts = dict(_fields(message))
    offset = offsets.get(_number(parts.pop(2, 0)), 0)
    (kind, content), *_ = parts.items()
    body = list(_fields(_bytes(content)))
    match kind:
        case 3:
            return _constant(offset, body)
        case 4:
            return Name(offset, _text(dict(body)[1]))
        case 5:
            return Field(offset, _node(_bytes(dict(body)[1]), offsets), _text(dict(body)[2]))
        case 6:
            target = [_node(_bytes(part), offsets) for number, part in body if number == 1]
            arguments = [_node(_bytes(part), offsets) for number, part in body if number == 3]
            return Call(offset, _text(dict(body)[2]), (*target, *arguments))
        case 7:
            return Listed(offset, (), tuple(_node(_bytes(part), offsets) for number, part in body if number == 1))
        case 8:
            return _map(offset, body, offsets)
        case 9:
            return _loop(offset, dict(body), offsets)
    raise ValueError(f"the expression holds a node of the unknown kind {kind}")


def _constant(offset: int, body: list[tuple[int, int | bytes]]) -> Constant:
    content = dict(body)
    length = len(_bytes(content.get(6, content.get(7, b""))))
    return Constant(offset, is_text=6 in content, text=_text(content.get(6, b"")), length=length)


def _map(offset: int, body: list[tuple[int, int | bytes]], offsets: dict[int, int]) -> Node:
    if any(number == 1 for number, _ in body):
        return Message(offset)
    entries = [dict(_fields(_bytes(part))) for number, part in body if number == 2]
    keys = tuple(_node(_bytes(entry[3]), offsets) for entry in entries)
    return Listed(offset, keys, tuple(_node(_bytes(entry[4]), offsets) for entry in entries))


def _loop(offset: int, body: dict[int, int | bytes], offsets: dict[int, int]) -> Loop:
    over, initial, condition, step, result = (_node(_bytes(body[number]), offsets) for number in (2, 4, 5, 6, 7))
    return Loop(offset, over, _text(body[1]), isinstance(initial, Listed), (condition, step), result)


def _fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        number, wire_type = key >> 3, key & 7
        if wire_type == _VARINT:
            value, at = _varint(message, at)
            yield number, value
            continue
        if wire_type == _BYTES:
            length, at = _varint(message, at)
        elif wire_type in (_EIGHT_BYTES, _FOUR_BYTES):
            length = 8 if wire_type == _EIGHT_BYTES else 4
        else:
            raise ValueError(f"the expression holds the unknown wire type {wire_type}")
        yield number, message[at : at + length]
        at += length


def _varint(message: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = message[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at


def _bytes(value: int | bytes) -> bytes:
    assert isinstance(value, bytes)
    return value


def _number(value: int | bytes) -> int:
    assert isinstance(value, int)
    return value


def _text(value: int | bytes) -> str:
    return _bytes(value).decode()
