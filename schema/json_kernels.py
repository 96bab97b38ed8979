"""Which texts are surely JSON: a kernel that leaves nothing of RFC 8259 out but what is rare, and lets nothing else in.

Rare are numbers with an exponent or of more than 18 characters, escapes by code point, and more than 60 levels: of such
a text it does not say. Rows and columns are those of `schema.failure.kernels`.
"""
# ruff: noqa: PLR0917, PLR1714, SIM109 - kernels take their arrays by position; a comparison is cheaper than a set

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from schema.compile import inlined, kernel
from schema.failure.kernels import (
    BACKSLASH,
    CLOSE_BRACE,
    CLOSE_BRACKET,
    OPEN_BRACE,
    OPEN_BRACKET,
    QUOTE,
    SPACE,
    Int,
    behind,
)

if TYPE_CHECKING:
    from schema.failure.kernels import Bytes, Rows

COMMA, COLON, MINUS, POINT, ZERO, NINE = 44, 58, 45, 46, 48, 57
TAB, LINE_FEED, CARRIAGE_RETURN = 9, 10, 13
SLASH, LOWER_B, LOWER_F, LOWER_N, LOWER_R, LOWER_T = 47, 98, 102, 110, 114, 116
MAX_DEPTH, MAX_NUMBER = 60, 18
VALUE, FIRST_VALUE, KEY, FIRST_KEY, AFTER = 0, 1, 2, 3, 4
"""What stands next; the first value of an array, or key of an object, may be its end instead."""


@inlined
def skip_space(data: Bytes, at: Int, end: Int) -> Int:
    """Return the offset of what is no white space of JSON."""
    while at < end and (data[at] == SPACE or data[at] == LINE_FEED or data[at] == CARRIAGE_RETURN or data[at] == TAB):
        at += 1
    return at


@inlined
def behind_string(data: Bytes, at: Int, end: Int) -> Int:
    """Return the offset behind the string that begins at `at`, -1 where it is none or a rare one."""
    at += 1
    while at < end:
        byte = data[at]
        if byte == QUOTE:
            return at + 1
        if byte < SPACE:
            return -1
        if byte == BACKSLASH:
            at += 1
            if at >= end:
                return -1
            byte = data[at]
            if not (
                byte == QUOTE
                or byte == BACKSLASH
                or byte == SLASH
                or byte == LOWER_N
                or byte == LOWER_T
                or byte == LOWER_R
                or byte == LOWER_B
                or byte == LOWER_F
            ):
                return -1
        at += 1
    return -1


@inlined
def behind_digits(data: Bytes, at: Int, end: Int) -> Int:
    """Return the offset behind digits, of which there may be none."""
    while at < end and ZERO <= data[at] <= NINE:
        at += 1
    return at


@inlined
def behind_number(data: Bytes, at: Int, end: Int) -> Int:
    """Return the offset behind the number at `at`, -1 where it is none or a rare one."""
    begin = at
    if data[at] == MINUS:
        at += 1
    whole = at
    at = behind_digits(data, at, end)
    if at == whole or (data[whole] == ZERO and at > whole + 1):
        return -1
    if at < end and data[at] == POINT:
        point = at
        at = behind_digits(data, at + 1, end)
        if at == point + 1:
            return -1
    return at if at - begin <= MAX_NUMBER else -1


@inlined
def is_json(data: Bytes, at: Int, end: Int, true: Bytes, false: Bytes, null: Bytes) -> bool:
    """Tell whether these bytes are surely one JSON value."""
    depth = 0
    objects: Int = np.int64(0)  # one bit for each level: 1 is an object
    state = VALUE
    while True:
        at = skip_space(data, at, end)
        if at >= end:
            return depth == 0 and state == AFTER
        byte = data[at]
        closes = CLOSE_BRACE if objects & 1 == 1 else CLOSE_BRACKET
        if depth > 0 and byte == closes and state != VALUE and state != KEY:
            depth, objects, state = depth - 1, objects >> 1, AFTER
            at += 1
        elif state == AFTER:
            if depth == 0 or byte != COMMA:
                return False
            state = KEY if objects & 1 == 1 else VALUE
            at += 1
        elif state == KEY or state == FIRST_KEY:
            if byte != QUOTE:
                return False
            at = behind_string(data, at, end)
            if at < 0:
                return False
            at = skip_space(data, at, end)
            if at >= end or data[at] != COLON:
                return False
            at += 1
            state = VALUE
        elif byte == OPEN_BRACE or byte == OPEN_BRACKET:
            if depth >= MAX_DEPTH:
                return False
            opens = byte == OPEN_BRACE
            depth, objects = depth + 1, objects << 1 | (1 if opens else 0)
            state = FIRST_KEY if opens else FIRST_VALUE
            at += 1
        else:
            if byte == QUOTE:
                at = behind_string(data, at, end)
            elif byte == LOWER_T:
                at = behind(data, at, end, true)
            elif byte == LOWER_F:
                at = behind(data, at, end, false)
            elif byte == LOWER_N:
                at = behind(data, at, end, null)
            else:
                at = behind_number(data, at, end)
            if at < 0:
                return False
            state = AFTER


@kernel
def surely_json(offsets: Rows, data: Bytes, among: Bytes, true: Bytes, false: Bytes, null: Bytes, found: Bytes) -> None:
    """Find texts that are surely JSON."""
    for row in range(len(among)):
        if among[row] == 1:
            found[row] = is_json(data, np.int64(offsets[row]), np.int64(offsets[row + 1]), true, false, null)
