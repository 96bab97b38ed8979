"""Read messages, tool arguments and tool results that are plain JSON: the kernels.

    [{"role": r, "parts": [{"type": "text", "content": s}, ...]}]                   OpenTelemetry; parts are also
                                                    tool_call, tool_call_response, reasoning
    [{"role": r, "content": s | null | [parts], "tool_calls": [...]}]               OpenAI's chat
    prefix.0.role, prefix.0.content, prefix.0.message.role, ...                     indexed keys, of text alone

What they take they write as exactly the bytes that `dump_json(read_messages(text))` gives, the texts beside it. Keys
may come in any order but that the role stands before a list of parts. They judge conservatively: of all else
(other keys, other parts, keys twice, numbers that might be spelt otherwise, lone surrogates, results told twice or by
another role, text that `read_value` might unpack, ...) they say no, and the converters read it.

Conventions: as in `collector/decode/kernels.py`. `buf` and `words` are where text is read, `out` is written from `to`
on. A returned offset of -1 is the no. Nothing is read outside [at, end) of `buf` but up to PADDING bytes behind it,
nothing written behind the length of `out` less ROOM.
"""
# ruff: noqa: PLR0917, PLR1714, SIM109 - kernels take their arrays by position; a comparison is cheaper than a set

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import numpy as np

from schema.compile import inlined, kernel

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Ints = NDArray[np.int64]
    Rows = NDArray[np.int32]
    Bytes = NDArray[np.uint8]

Int: TypeAlias = Any
"""An int64; uncompiled, Python's and NumPy's integers mix."""

PADDING = 32
"""Bytes that must lie behind every text read."""
ROOM = 256
"""Bytes kept free behind what is written: the fixed words around one part are fewer."""
MAX_DEPTH = 32
"""Nesting of a value; `read_value` reads 64 levels, of which messages may use some."""
MAX_KEYS = 512
"""Keys of the objects that are open at one time."""
MAX_TOLD = 256
"""Tool results with an id in one list of messages."""

STRING = 1
"""schema.anyvalue.ValueType."""

ONES = 0x0101010101010101
HIGH_BITS = -0x7F7F7F7F7F7F7F80
SPACES, QUOTES, BACKSLASHES = 0x2020202020202020, 0x2222222222222222, 0x5C5C5C5C5C5C5C5C
MULTIPLIER = -0x61C8864680B583EB


def _word(text: str, part: int = 0) -> int:
    return int.from_bytes(text.encode()[8 * part : 8 * part + 8], "little")


def _bytes(text: str) -> Bytes:
    return np.frombuffer(text.encode(), np.uint8)


# Names of members. Those from KWARGS on matter at the top of arguments and results; VECTOR stands for all of its kind.
OTHER_NAME, ROLE, PARTS, CONTENT, TYPE, ID, NAME, ARGUMENTS, RESPONSE, RESULT = range(10)
FINISH_REASON, TOOL_CALLS, TOOL_CALL_ID, FUNCTION, TEXT, INDEX, REFUSAL, ANNOTATIONS, AUDIO, FUNCTION_CALL = range(
    10, 20
)
KWARGS, ARGS, INPUT, INPUT_STR, VALUE, LC, RAW_OUTPUT, OUTPUT, VECTOR = range(20, 29)
W_ROLE, W_PARTS, W_CONTENT, W_TYPE, W_ID, W_NAME = (
    _word(t) for t in ("role", "parts", "content", "type", "id", "name")
)
W_RESPONSE, W_RESULT, W_FUNCTION, W_TEXT, W_INDEX, W_REFUSAL, W_AUDIO = (
    _word(t) for t in ("response", "result", "function", "text", "index", "refusal", "audio")
)
W_KWARGS, W_ARGS, W_INPUT, W_VALUE, W_LC, W_OUTPUT, W_VECTOR = (
    _word(t) for t in ("kwargs", "args", "input", "value", "lc", "output", "vector")
)
W_ARGUMENTS, W_ARGUMENTS_2 = _word("arguments"), _word("arguments", 1)
W_FINISH_REASON, W_FINISH_REASON_2 = _word("finish_reason"), _word("finish_reason", 1)
W_TOOL_CALLS, W_TOOL_CALLS_2 = _word("tool_calls"), _word("tool_calls", 1)
W_TOOL_CALL_ID, W_TOOL_CALL_ID_2 = _word("tool_call_id"), _word("tool_call_id", 1)
W_ANNOTATIONS, W_ANNOTATIONS_2 = _word("annotations"), _word("annotations", 1)
W_FUNCTION_CALL, W_FUNCTION_CALL_2 = _word("function_call"), _word("function_call", 1)
W_INPUT_STR, W_INPUT_STR_2 = _word("input_str"), _word("input_str", 1)
W_RAW_OUTPUT, W_RAW_OUTPUT_2 = _word("raw_output"), _word("raw_output", 1)
W_EMBEDDING, W_EMBEDDING_2, W_EMBEDDINGS_2 = _word("embedding"), _word("embedding", 1), _word("embeddings", 1)
W_DENSE_VECTOR, W_DENSE_VECTOR_2 = _word("dense_vector"), _word("dense_vector", 1)
W_SPARSE_VECTOR, W_SPARSE_VECTOR_2 = _word("sparse_vector"), _word("sparse_vector", 1)

# Roles: the canonical ones first, then others' names of them.
SYSTEM, USER, ASSISTANT, TOOL = range(4)
W_SYSTEM, W_USER, W_HUMAN, W_AI, W_MODEL, W_TOOL = (
    _word(t) for t in ("system", "user", "human", "ai", "model", "tool")
)
W_DEVELOPER, W_DEVELOPER_2 = _word("developer"), _word("developer", 1)
W_ASSISTANT, W_ASSISTANT_2 = _word("assistant"), _word("assistant", 1)

# Types of parts.
TEXT_PART, CALL_PART, RESPONSE_PART, REASONING_PART = range(4)
W_TOOL_CALL, W_TOOL_CALL_2 = _word("tool_call"), _word("tool_call", 1)
W_TOOL_CALL_RESPONSE, W_TOOL_CALL_RESPONSE_2, W_TOOL_CALL_RESPONSE_3 = (
    _word("tool_call_response", i) for i in range(3)
)
W_REASONING, W_REASONING_2 = _word("reasoning"), _word("reasoning", 1)

# What `compact` tells of a value besides its bytes: what it is, and names at its top as 1 << name.
OBJECT, ARRAY, TEXT_VALUE, SCALAR = (1 << (40 + i) for i in range(4))
BLOCKS = 1 << 44
"""An array that begins with an object."""
SEVERAL = 1 << 45
"""An object of more than one member."""
TOOL_TYPE = 1 << 46
"""An object whose type begins like those of tool calls."""
WRAPS_ARGUMENTS = 1 << KWARGS | 1 << INPUT_STR | 1 << ARGS | TOOL_TYPE
WRAPS_RESULT = 1 << LC | 1 << CONTENT | 1 << RAW_OUTPUT | 1 << OUTPUT | BLOCKS

# Slots of what is known of a part, and of a message.
S_TYPE, S_TEXT, S_TEXT_END, S_TEXT_PLAIN, S_ID, S_ID_END, S_ID_PLAIN, S_NAME, S_NAME_END, S_NAME_PLAIN = range(10)
S_BODY, S_BODY_END, S_BODY_TRAITS, S_IS_RESPONSE, SLOTS = range(10, 15)

# What numba takes as a number where a literal would make it compile a function once more.
QUOTED, AS_TEXT, PLAINLY = np.int64(1), np.int64(0), np.int64(1)
GIVEN, ANSWER = np.int64(0), np.int64(1)
ID_SLOT, NAME_SLOT = np.int64(S_ID), np.int64(S_NAME)

# Counters that go from call to call: free place in `tmp`, in `names`, rows of `calls`, results told; facts of a list.
TMP, NAMES, CALLS, TOLD, FACTS, FINISH_COUNT, FINISH_START, FINISH_LENGTH, PARTS_SAID, COUNTERS = range(10)

# Facts of a span, as bits: which column a kernel read, and what other converters ask of it.
HAS_INPUT, HAS_OUTPUT, HAS_INPUT_TEXT, HAS_OUTPUT_TEXT, HAS_ARGUMENTS, HAS_RESULT = (1 << i for i in range(6))
SYSTEM_MESSAGE, CALLS_TOOL = 1 << 6, 1 << 7

# What `calls` notes: row of the span, one of these, extents of id and name (-1 where there is none) in `names`.
MADE, REPEATED, ANSWERED = range(3)

# Classes of keys: read by no converter, or by one; by one that asks which tokens are known; by that of labels; ...
UNREAD, REST, FIGURES, LABELS, INSTRUCTIONS = range(5)
INPUT_MESSAGES, OUTPUT_MESSAGES, INPUT_INDEXED, OUTPUT_INDEXED, TOOL_ARGUMENTS, TOOL_RESULT, CLASSES = range(5, 12)

# What an indexed key names: the number of its message, one of ROLE, CONTENT, FINISH_REASON (or OTHER_NAME), and a
# number for how such keys begin and go on.
PLACE, MEMBER, FAMILY = range(3)
# Output columns.
INPUT_JSON, OUTPUT_JSON, INPUT_TEXT, OUTPUT_TEXT, ARGUMENTS_JSON, RESULT_JSON, COLUMNS = range(7)

L_ROLES = _bytes('{"role":"')
L_SYSTEM, L_USER, L_ASSISTANT, L_TOOL = (_bytes(t) for t in ("system", "user", "assistant", "tool"))
L_PARTS = _bytes('","parts":[')
L_NAME, L_FINISH = _bytes(',"name":'), _bytes(',"finish_reason":')
L_TEXT, L_REASONING = _bytes('{"type":"text","content":'), _bytes('{"type":"reasoning","content":')
L_CALL, L_RESPONSE = _bytes('{"type":"tool_call","id":'), _bytes('{"type":"tool_call_response","id":')
L_ARGUMENTS, L_RESPONSE_BODY = _bytes(',"arguments":'), _bytes(',"response":')
L_NULL, L_EMPTY = _bytes("null"), _bytes("{}")


class Scratch(NamedTuple):
    """Memory that kernels share."""

    slots: Ints
    """What is known of the part and of the message that is read, by S_ and M_."""
    tmp: Bytes
    """Values of the part that is read: text that was in a string, and what was written of it."""
    tmp_read: Bytes
    """The same, to be read."""
    tmp_words: Ints
    counts: Ints
    """Counters that go from call to call."""
    stack: Ints
    hashes: Ints
    """Of the keys of the objects that are open."""
    told: Ints
    """Hashes of the ids of tool results."""
    names: Bytes
    """Ids and names of tool calls."""
    calls: Ints
    """Where they are, and of which span."""


# ---- bytes


@kernel
def put(literal: Bytes, out: Bytes, to: Int) -> Int:
    """Write fixed bytes; return the offset behind them."""
    return copy(literal, np.int64(0), np.int64(len(literal)), out, to)


@kernel
def copy(buf: Bytes, at: Int, end: Int, out: Bytes, to: Int) -> Int:
    """Copy bytes; return the offset behind them.

    Indices without a sign, which cannot count from the end, let the loop become one of wide words: 17 times faster.
    """
    source, target = np.uint64(at), np.uint64(to)
    for i in range(np.uint64(end - at)):
        out[target + i] = buf[source + i]
    return to + end - at


@inlined
def low_bytes(count: Int) -> Int:
    """Return a mask of the first `count` bytes of a word."""
    return np.int64(-1) if count >= 8 else (np.int64(1) << (8 * count)) - 1


@kernel
def hash_of(buf: Bytes, at: Int, end: Int) -> Int:
    """Return a hash of short bytes."""
    mixed = np.int64(end - at)
    for i in range(at, end):
        mixed = (mixed ^ np.int64(buf[i])) * MULTIPLIER
        mixed ^= mixed >> 29
    return mixed


@kernel
def skip_space(buf: Bytes, at: Int, end: Int) -> Int:
    """Return the offset of the first byte that is no white space of JSON."""
    while at < end and (buf[at] == 32 or buf[at] == 10 or buf[at] == 13 or buf[at] == 9):
        at += 1
    return at


@inlined
def specials(word: Int) -> Int:
    """Return a word that is 0 where no byte of this one is a quote, a backslash or a control character."""
    quote, backslash = word ^ QUOTES, word ^ BACKSLASHES
    return ((quote - ONES) & ~quote | (backslash - ONES) & ~backslash | (word - SPACES) & ~word) & HIGH_BITS


@kernel
def find_special(buf: Bytes, words: Ints, at: Int, end: Int) -> Int:
    """Return the offset of the first quote, backslash or control character, `end` without one.

    The least of 64 bytes, as they are and with the bits of a quote or a backslash flipped, tells whether there is one:
    that becomes code of wide words, 1.7 times as fast as eight bytes at a time (measured).
    """
    while at + 64 <= end:
        begin = np.uint64(at)
        least, quote, backslash = np.uint8(255), np.uint8(255), np.uint8(255)
        for i in range(np.uint64(64)):
            byte = buf[begin + i]
            from_quote, from_backslash = np.uint8(byte ^ np.uint8(34)), np.uint8(byte ^ np.uint8(92))
            least = min(least, byte)
            quote = min(quote, from_quote)
            backslash = min(backslash, from_backslash)
        if least < 32 or quote == 0 or backslash == 0:
            break
        at += 64
    while at < end and specials(words[np.uint64(at)]) == 0:
        at += 8
    while at < end and buf[at] != 34 and buf[at] != 92 and buf[at] >= 32:
        at += 1
    return min(at, end)


# ---- strings


@kernel
def hex4(buf: Bytes, at: Int, end: Int) -> Int:
    """Return the number of four hexadecimal digits, -1 where there are none."""
    if at + 4 > end:
        return -1
    code = np.int64(0)
    for i in range(at, at + 4):
        c = np.int64(buf[i])
        if 48 <= c <= 57:
            c -= 48
        elif 65 <= c <= 70:
            c -= 55
        elif 97 <= c <= 102:
            c -= 87
        else:
            return -1
        code = code << 4 | c
    return code


@kernel
def skip_escape(buf: Bytes, at: Int, end: Int) -> Int:
    """Return the offset behind the escape at `at`, both halves of a pair; -1 where it is none or half a pair."""
    if at + 1 >= end:
        return -1
    c = buf[at + 1]
    if c == 34 or c == 92 or c == 47 or c == 98 or c == 102 or c == 110 or c == 114 or c == 116:
        return at + 2
    if c != 117:
        return -1
    code = hex4(buf, at + 2, end)
    if code < 0 or 0xDC00 <= code <= 0xDFFF:
        return -1
    if code < 0xD800 or code > 0xDFFF:
        return at + 6
    if at + 12 > end or buf[at + 6] != 92 or buf[at + 7] != 117:
        return -1
    return at + 12 if 0xDC00 <= hex4(buf, at + 8, end) <= 0xDFFF else -1


@kernel
def scan_string(buf: Bytes, words: Ints, at: Int, end: Int) -> tuple[Int, Int]:
    """Return the offset of the quote that ends the string, and 1 where no escape is in it; -1 where it is none."""
    plain: Int = np.int64(1)
    while True:
        at = find_special(buf, words, at, end)
        if at >= end:
            return -1, 0
        if buf[at] == 34:
            return at, plain
        if buf[at] != 92:
            return -1, 0
        plain = 0
        at = skip_escape(buf, at, end)
        if at < 0:
            return -1, 0


@kernel
def put_code(code: Int, quoted: Int, out: Bytes, to: Int) -> Int:
    """Write a character as UTF-8, in a quoted string escaped where JSON asks for it."""
    if code < 0x80:
        if quoted == 1 and (code < 0x20 or code == 34 or code == 92):
            out[to] = 92
            short = 0
            if code == 34 or code == 92:
                short = code
            elif code == 8:
                short = 98
            elif code == 9:
                short = 116
            elif code == 10:
                short = 110
            elif code == 12:
                short = 102
            elif code == 13:
                short = 114
            if short:
                out[to + 1] = short
                return to + 2
            out[to + 1] = 117
            out[to + 2] = 48
            out[to + 3] = 48
            out[to + 4] = 48 + (code >> 4)
            low = code & 15
            out[to + 5] = 48 + low if low < 10 else 87 + low
            return to + 6
        out[to] = code
        return to + 1
    if code < 0x800:
        out[to] = 0xC0 | code >> 6
        out[to + 1] = 0x80 | code & 63
        return to + 2
    if code < 0x10000:
        out[to] = 0xE0 | code >> 12
        out[to + 1] = 0x80 | code >> 6 & 63
        out[to + 2] = 0x80 | code & 63
        return to + 3
    out[to] = 0xF0 | code >> 18
    out[to + 1] = 0x80 | code >> 12 & 63
    out[to + 2] = 0x80 | code >> 6 & 63
    out[to + 3] = 0x80 | code & 63
    return to + 4


@kernel
def put_string(buf: Bytes, words: Ints, at: Int, end: Int, plain: Int, quoted: Int, out: Bytes, to: Int) -> Int:
    """Write what stands between the quotes of a string that `scan_string` took: quoted again, or as text.

    It is never longer than what was read and the quotes; -1 where that has no room.
    """
    if to + end - at + ROOM > len(out):
        return -1
    if quoted == 1:
        out[to] = 34
        to += 1
    if plain == 1:
        to = copy(buf, at, end, out, to)
        at = end
    while at < end:
        run = find_special(buf, words, at, end)
        to = copy(buf, at, run, out, to)
        if run >= end:
            break
        c = np.int64(buf[run + 1])
        at = run + 2
        if c == 117:
            code = hex4(buf, run + 2, end)
            at = run + 6
            if 0xD800 <= code <= 0xDBFF:
                code = 0x10000 + ((code - 0xD800) << 10) + hex4(buf, run + 8, end) - 0xDC00
                at = run + 12
        elif c == 98:
            code = 8
        elif c == 102:
            code = 12
        elif c == 110:
            code = 10
        elif c == 114:
            code = 13
        elif c == 116:
            code = 9
        else:
            code = c
        to = put_code(code, quoted, out, to)
    if quoted == 1:
        out[to] = 34
        to += 1
    return to


@kernel
def put_quoted(buf: Bytes, words: Ints, at: Int, end: Int, out: Bytes, to: Int) -> Int:
    """Write text as a JSON string; -1 where it has no room."""
    out[to] = 34
    to += 1
    while at < end:
        run = find_special(buf, words, at, end)
        if to + run - at + ROOM > len(out):
            return -1
        to = copy(buf, at, run, out, to)
        if run < end:
            to = put_code(np.int64(buf[run]), QUOTED, out, to)
        at = run + 1
    out[to] = 34
    return to + 1


# ---- values


@kernel
def name_of(words: Ints, at: Int, end: Int) -> Int:
    """Return the number of a member's name."""
    length = end - at
    first = words[at] & low_bytes(length)
    if length <= 8:
        if first == W_ROLE:
            return ROLE
        if first == W_CONTENT:
            return CONTENT
        if first == W_TYPE:
            return TYPE
        if first == W_PARTS:
            return PARTS
        if first == W_ID:
            return ID
        if first == W_NAME:
            return NAME
        if first == W_RESPONSE:
            return RESPONSE
        if first == W_RESULT:
            return RESULT
        if first == W_FUNCTION:
            return FUNCTION
        if first == W_TEXT:
            return TEXT
        if first == W_INDEX:
            return INDEX
        if first == W_REFUSAL:
            return REFUSAL
        if first == W_AUDIO:
            return AUDIO
        if first == W_KWARGS:
            return KWARGS
        if first == W_ARGS:
            return ARGS
        if first == W_INPUT:
            return INPUT
        if first == W_VALUE:
            return VALUE
        if first == W_LC:
            return LC
        if first == W_OUTPUT:
            return OUTPUT
        return VECTOR if first == W_VECTOR else OTHER_NAME
    if length > 16:
        return OTHER_NAME
    second = words[at + 8] & low_bytes(length - 8)
    if first == W_ARGUMENTS and second == W_ARGUMENTS_2:
        return ARGUMENTS
    if first == W_FINISH_REASON and second == W_FINISH_REASON_2:
        return FINISH_REASON
    if first == W_TOOL_CALLS and second == W_TOOL_CALLS_2:
        return TOOL_CALLS
    if first == W_TOOL_CALL_ID and second == W_TOOL_CALL_ID_2:
        return TOOL_CALL_ID
    if first == W_ANNOTATIONS and second == W_ANNOTATIONS_2:
        return ANNOTATIONS
    if first == W_FUNCTION_CALL and second == W_FUNCTION_CALL_2:
        return FUNCTION_CALL
    if first == W_INPUT_STR and second == W_INPUT_STR_2:
        return INPUT_STR
    if first == W_RAW_OUTPUT and second == W_RAW_OUTPUT_2:
        return RAW_OUTPUT
    if first == W_EMBEDDING and (second == W_EMBEDDING_2 or second == W_EMBEDDINGS_2):
        return VECTOR
    if first == W_DENSE_VECTOR and second == W_DENSE_VECTOR_2:
        return VECTOR
    if first == W_SPARSE_VECTOR and second == W_SPARSE_VECTOR_2:
        return VECTOR
    return OTHER_NAME


@kernel
def number_end(buf: Bytes, at: Int, end: Int) -> Int:
    """Return the offset behind a number that is spelt as orjson spells it, -1 where that is not certain.

    Certain are integers of up to 18 digits, and fractions of up to 15 digits without trailing zeros that are not so
    small that an exponent comes into question: 15 decimal digits survive a double.
    """
    first = at
    if at < end and buf[at] == 45:
        at += 1
    whole = at
    while at < end and 48 <= buf[at] <= 57:
        at += 1
    digits = at - whole
    if digits == 0 or digits > 18 or (buf[whole] == 48 and digits > 1):
        return -1
    if at >= end or (buf[at] != 46 and buf[at] != 69 and buf[at] != 101):
        return -1 if buf[whole] == 48 and whole > first else at
    if buf[at] != 46:
        return -1
    at += 1
    fraction = at
    while at < end and 48 <= buf[at] <= 57:
        at += 1
    places = at - fraction
    if places == 0 or places + digits > 15 or (at < end and (buf[at] == 69 or buf[at] == 101)):
        return -1
    if places > 1 and buf[at - 1] == 48:
        return -1
    if buf[whole] == 48:
        zeros = 0
        while zeros < places and buf[fraction + zeros] == 48:
            zeros += 1
        if zeros > 3 or (zeros == places and whole > first):
            return -1
    return at


@kernel
def is_word(buf: Bytes, at: Int, end: Int) -> Int:
    """Return the offset behind `true`, `false` or `null`, -1 where there is none of them."""
    if at + 4 <= end:
        if buf[at] == 116 and buf[at + 1] == 114 and buf[at + 2] == 117 and buf[at + 3] == 101:
            return at + 4
        if buf[at] == 110 and buf[at + 1] == 117 and buf[at + 2] == 108 and buf[at + 3] == 108:
            return at + 4
    if at + 5 <= end and buf[at] == 102 and buf[at + 1] == 97 and buf[at + 2] == 108 and buf[at + 3] == 115:
        return at + 5 if buf[at + 4] == 101 else -1
    return -1


# What `compact` expects next.
A_VALUE, FIRST_ITEM, A_KEY, FIRST_KEY, A_COMMA = range(5)


@kernel
def compact(buf: Bytes, words: Ints, at: Int, end: Int, out: Bytes, to: Int, s: Scratch) -> tuple[Int, Int, Int]:
    """Write the value at `at` as orjson writes it; return the offsets behind it, read and written, and its traits."""
    depth, known, traits = 0, 0, np.int64(0)
    expected = A_VALUE
    while True:
        at = skip_space(buf, at, end)
        if at >= end or to + ROOM > len(out):
            return -1, 0, 0
        c = buf[at]
        if expected == FIRST_ITEM:
            expected = A_COMMA if c == 93 else A_VALUE
            if depth == 1 and c == 123:
                traits |= BLOCKS
        elif expected == FIRST_KEY:
            expected = A_COMMA if c == 125 else A_KEY
        if expected == A_KEY:
            if c != 34:
                return -1, 0, 0
            close, plain = scan_string(buf, words, at + 1, end)
            if close < 0 or plain == 0:
                return -1, 0, 0
            name = name_of(words, at + 1, close)
            if name == VECTOR or known == MAX_KEYS:
                return -1, 0, 0
            s.hashes[known] = hash_of(buf, at + 1, close)
            for i in range(s.stack[2 * depth - 1], known):
                if s.hashes[i] == s.hashes[known]:
                    return -1, 0, 0
            if depth == 1 and known > s.stack[1]:
                traits |= SEVERAL
            known += 1
            to = put_string(buf, words, at + 1, close, PLAINLY, QUOTED, out, to)
            if to < 0:
                return -1, 0, 0
            at = skip_space(buf, close + 1, end)
            if at >= end or buf[at] != 58:
                return -1, 0, 0
            out[to] = 58
            to += 1
            at = skip_space(buf, at + 1, end)
            if depth == 1:
                traits |= np.int64(1) << name
                if name == TYPE and at + 5 < end and buf[at] == 34 and (buf[at + 1] == 116 or buf[at + 1] == 92):
                    traits |= TOOL_TYPE
            expected = A_VALUE
            continue
        if expected == A_COMMA:
            is_object = s.stack[2 * depth] == OBJECT
            if c == 44:
                expected = A_KEY if is_object else A_VALUE
            elif c == (125 if is_object else 93):
                known = s.stack[2 * depth - 1]
                depth -= 1
            else:
                return -1, 0, 0
            out[to] = c
            to += 1
            at += 1
            if depth == 0:
                return at, to, traits
            continue
        kind = SCALAR
        if c == 34:
            kind = TEXT_VALUE
            close, plain = scan_string(buf, words, at + 1, end)
            if close < 0:
                return -1, 0, 0
            to = put_string(buf, words, at + 1, close, plain, QUOTED, out, to)
            if to < 0:
                return -1, 0, 0
            at = close + 1
            expected = A_COMMA
        elif c == 123 or c == 91:
            depth += 1
            if depth == MAX_DEPTH:
                return -1, 0, 0
            kind = OBJECT if c == 123 else ARRAY
            s.stack[2 * depth - 1] = known
            s.stack[2 * depth] = kind
            out[to] = c
            to += 1
            at += 1
            if depth == 1:
                traits |= kind
            expected = FIRST_KEY if c == 123 else FIRST_ITEM
            continue
        else:
            last = is_word(buf, at, end) if c > 57 else number_end(buf, at, end)
            if last < 0 or last - at + to + ROOM > len(out):
                return -1, 0, 0
            to = copy(buf, at, last, out, to)
            at = last
            expected = A_COMMA
        if depth == 0:
            return at, to, traits | kind


@kernel
def unpacks(buf: Bytes, at: Int, end: Int) -> Int:
    """Tell what `read_value` does with text: 0 it stays text, 1 it is read where it is JSON, -1 not certain."""
    if at == end:
        return 0
    c = buf[at]
    if c == 123 or c == 91:
        return 1
    if c <= 32 or c >= 128 or c == 34 or c == 40:
        return -1
    if c == 101 and end - at >= 3 and buf[at + 1] == 121 and (buf[at + 2] == 73 or buf[at + 2] == 74):
        return -1  # base64 of an object: "eyI", "eyJ"
    if c == 87 and end - at >= 2 and (buf[at + 1] == 51 or buf[at + 1] == 121 or buf[at + 1] == 49):
        return -1  # base64 of an array: "W3", "Wy", "W1"
    return 0


@kernel
def whole_value(buf: Bytes, words: Ints, at: Int, end: Int, out: Bytes, to: Int, s: Scratch) -> tuple[Int, Int]:
    """Write the value of text as `dump_json(read_value(text))`; return the offset behind it (or -1), its traits."""
    says = unpacks(buf, at, end)
    if says == 0:
        return put_quoted(buf, words, at, end, out, to), TEXT_VALUE
    if says < 0:
        return -1, 0
    at, to, traits = compact(buf, words, at, end, out, to, s)
    if at < 0 or skip_space(buf, at, end) != end:
        return -1, 0
    return to, traits


@kernel
def inner_value(buf: Bytes, words: Ints, at: Int, end: Int, s: Scratch) -> tuple[Int, Int, Int, Int]:
    """Write the value at `at`, unpacked where it is JSON in a string, to `tmp`.

    Return the offset behind it (-1: no), its extent in `tmp` (start = end where it is null), its traits.
    """
    begin = s.counts[TMP]
    if begin + ROOM > len(s.tmp):
        return -1, 0, 0, 0
    if buf[at] != 34:
        if buf[at] == 110 and is_word(buf, at, end) > 0:
            return at + 4, begin, begin, 0
        at, to, traits = compact(buf, words, at, end, s.tmp, begin, s)
        s.counts[TMP] = to
        return at, begin, to, traits
    close, plain = scan_string(buf, words, at + 1, end)
    if close < 0:
        return -1, 0, 0, 0
    middle = put_string(buf, words, at + 1, close, plain, AS_TEXT, s.tmp, begin)
    if middle < 0 or middle + 2 * ROOM > len(s.tmp):
        return -1, 0, 0, 0
    for i in range(middle, middle + PADDING):
        s.tmp[i] = 0
    to, traits = whole_value(s.tmp_read, s.tmp_words, begin, middle, s.tmp, middle + PADDING, s)
    if to < 0:
        return -1, 0, 0, 0
    s.counts[TMP] = to
    return close + 1, middle + PADDING, to, traits


# ---- parts


@kernel
def may_be_call(buf: Bytes, at: Int, end: Int) -> bool:
    """Tell whether text may be an object that was printed, `Name(key=...)`, or begins in a way that is not certain."""
    if at >= end:
        return False
    c = buf[at]
    if c == 92 and at + 1 < end and buf[at + 1] == 117:
        return bool(65 <= hex4(buf, at + 2, end) <= 90)
    if not 65 <= c <= 90 or (buf[end - 1] != 41 and buf[end - 1] != 57):
        return False
    while at < end:
        c = buf[at]
        if c == 40:
            return True
        if c == 92 and at + 1 < end and buf[at + 1] == 117:
            if hex4(buf, at + 2, end) < 128:
                return True
            at += 6
        elif c >= 128 or c == 95 or 48 <= c <= 57 or 65 <= c <= 90 or 97 <= c <= 122:
            at += 1
        else:
            return False
    return False


@kernel
def begins_list(buf: Bytes, at: Int, end: Int) -> bool:
    """Tell whether text begins with a bracket, or in a way that is not certain."""
    if at >= end:
        return False
    if buf[at] == 92 and at + 1 < end and buf[at + 1] == 117:
        return bool(hex4(buf, at + 2, end) == 91)
    return bool(buf[at] == 91)


@kernel
def part_type(words: Ints, at: Int, end: Int) -> Int:
    """Return the type of a part, -1 for one that kernels do not know."""
    length = end - at
    first = words[at] & low_bytes(length)
    if length == 4:
        return TEXT_PART if first == W_TEXT else -1
    if length == 8:
        return CALL_PART if first == W_FUNCTION else -1
    if length < 8:
        return -1
    second = words[at + 8] & low_bytes(length - 8)
    if length == 9 and first == W_TOOL_CALL and second == W_TOOL_CALL_2:
        return CALL_PART
    if length == 9 and first == W_REASONING and second == W_REASONING_2:
        return REASONING_PART
    if length == 18 and first == W_TOOL_CALL_RESPONSE and second == W_TOOL_CALL_RESPONSE_2:
        return RESPONSE_PART if words[at + 16] & 0xFFFF == W_TOOL_CALL_RESPONSE_3 else -1
    return -1


@kernel
def read_body(buf: Bytes, words: Ints, at: Int, end: Int, name: Int, s: Scratch) -> Int:
    """Read arguments or a result, whichever the name says, into the slots of the body."""
    if s.slots[S_BODY] >= 0:
        return -1
    is_empty = name == ARGUMENTS and buf[at] == 34 and buf[at + 1] == 34
    after, start, stop, traits = inner_value(buf, words, at, end, s)
    if after < 0:
        return -1
    if is_empty:
        start = stop
        stop = put(L_EMPTY, s.tmp, start)
        s.counts[TMP] = stop
    if stop > start:
        s.slots[S_BODY] = start
        s.slots[S_BODY_END] = stop
        s.slots[S_BODY_TRAITS] = traits
    s.slots[S_IS_RESPONSE] = np.int64(name != ARGUMENTS)
    return after


@kernel
def read_label(buf: Bytes, words: Ints, at: Int, end: Int, s: Scratch, slot: Int) -> Int:
    """Read an id or a name, a string or null, into three slots; an empty one is as none."""
    if buf[at] != 34:
        return is_word(buf, at, end) if buf[at] == 110 else -1
    close, plain = scan_string(buf, words, at + 1, end)
    if close > at + 1:
        s.slots[slot] = at + 1
        s.slots[slot + 1] = close
        s.slots[slot + 2] = plain
    return close + 1 if close > 0 else -1


@kernel
def next_name(buf: Bytes, words: Ints, at: Int, end: Int, seen: Int) -> tuple[Int, Int]:
    """Read a member's name at `at`; return it and the offset of its value, -1 where it is unknown or was there."""
    if at >= end or buf[at] != 34:
        return 0, -1
    close, plain = scan_string(buf, words, at + 1, end)
    if close < 0 or plain == 0:
        return 0, -1
    name = name_of(words, at + 1, close)
    at = skip_space(buf, close + 1, end)
    if name == OTHER_NAME or seen >> name & 1 or at >= end or buf[at] != 58:
        return 0, -1
    at = skip_space(buf, at + 1, end)
    return name, at if at < end else -1


@kernel
def after_member(buf: Bytes, at: Int, end: Int) -> tuple[Int, bool]:
    """Return the offset of the next member's name, or behind the object's brace; and whether it ended. -1: neither."""
    at = skip_space(buf, at, end)
    if at >= end:
        return -1, True
    if buf[at] == 125:
        return at + 1, True
    return skip_space(buf, at + 1, end) if buf[at] == 44 else -1, False


@kernel
def read_function(buf: Bytes, words: Ints, at: Int, end: Int, s: Scratch) -> Int:
    """Read `{"name", "arguments"}` from behind its brace; return the offset behind it, or -1."""
    seen = np.int64(0)
    ended = False
    at = skip_space(buf, at, end)
    while not ended:
        name, at = next_name(buf, words, at, end, seen)
        if at < 0:
            return -1
        seen |= np.int64(1) << name
        if name == NAME:
            if buf[at] == 34 and buf[at + 1] == 34:
                return -1  # which is kept here, and is none elsewhere
            at = read_label(buf, words, at, end, s, NAME_SLOT)
        elif name == ARGUMENTS:
            at = read_body(buf, words, at, end, name, s)
        else:
            return -1
        if at < 0:
            return -1
        at, ended = after_member(buf, at, end)
        if at < 0:
            return -1
    return at


@kernel
def read_part(buf: Bytes, words: Ints, at: Int, end: Int, s: Scratch) -> Int:
    """Read a part or a tool call from behind its brace into `slots`; return the offset behind it, or -1.

    The slot of a start is -1 where there is no such member, or where it is null.
    """
    s.slots[:SLOTS] = -1
    s.counts[TMP] = 0
    seen = np.int64(0)
    ended = False
    at = skip_space(buf, at, end)
    while not ended:
        name, at = next_name(buf, words, at, end, seen)
        if at < 0:
            return -1
        seen |= np.int64(1) << name
        if name == TYPE or name == CONTENT or name == TEXT:
            close, plain = scan_string(buf, words, at + 1, end) if buf[at] == 34 else (np.int64(-1), np.int64(0))
            if close < 0:
                return -1
            if name == TYPE:
                s.slots[S_TYPE] = part_type(words, at + 1, close)
                if s.slots[S_TYPE] < 0 or plain == 0:
                    return -1
            elif s.slots[S_TEXT] >= 0:
                return -1
            else:
                s.slots[S_TEXT] = at + 1
                s.slots[S_TEXT_END] = close
                s.slots[S_TEXT_PLAIN] = plain
            at = close + 1
        elif name == ID or name == NAME:
            at = read_label(buf, words, at, end, s, S_ID if name == ID else S_NAME)
        elif name == ARGUMENTS or name == RESPONSE or name == RESULT:
            at = read_body(buf, words, at, end, name, s)
        elif name == FUNCTION and buf[at] == 123:
            at = read_function(buf, words, at + 1, end, s)
        elif name == INDEX:
            at = number_end(buf, at, end)
        else:
            return -1
        if seen >> FUNCTION & 1 and seen & (1 << NAME | 1 << ARGUMENTS | 1 << RESPONSE | 1 << RESULT):
            return -1
        if at < 0:
            return -1
        at, ended = after_member(buf, at, end)
        if at < 0:
            return -1
    return at


@kernel
def put_label(buf: Bytes, words: Ints, s: Scratch, slot: Int, out: Bytes, to: Int) -> Int:
    """Write an id or a name, `null` where there is none."""
    if s.slots[slot] < 0:
        return put(L_NULL, out, to)
    return put_string(buf, words, s.slots[slot], s.slots[slot + 1], s.slots[slot + 2], QUOTED, out, to)


@kernel
def note(buf: Bytes, words: Ints, row: Int, what: Int, s: Scratch) -> Int:
    """Note the id and the name of a call or a result for `quality`; -1 where there is no room for it."""
    if s.slots[S_ID] < 0:
        return 0
    place, begin = s.counts[CALLS], s.counts[NAMES]
    if place >= s.calls.shape[1]:
        return -1
    middle = put_string(buf, words, s.slots[S_ID], s.slots[S_ID_END], s.slots[S_ID_PLAIN], AS_TEXT, s.names, begin)
    if middle < 0:
        return -1
    stop = np.int64(-1)
    s.counts[NAMES] = middle
    if s.slots[S_NAME] >= 0:
        stop = put_string(
            buf, words, s.slots[S_NAME], s.slots[S_NAME_END], s.slots[S_NAME_PLAIN], AS_TEXT, s.names, middle
        )
        if stop < 0:
            return -1
        s.counts[NAMES] = stop
    s.calls[0, place] = row
    s.calls[1, place] = what
    s.calls[2, place] = begin
    s.calls[3, place] = middle
    s.calls[4, place] = stop
    s.counts[CALLS] = place + 1
    return 0


@kernel
def put_call(buf: Bytes, words: Ints, row: Int, is_answer: Int, s: Scratch, out: Bytes, to: Int) -> Int:
    """Write the tool call that the slots hold."""
    if s.slots[S_IS_RESPONSE] == 1 or s.slots[S_TEXT] >= 0 or to + ROOM > len(out):
        return -1
    to = put_label(buf, words, s, ID_SLOT, out, put(L_CALL, out, to))
    if to < 0:
        return -1
    to = put_label(buf, words, s, NAME_SLOT, out, put(L_NAME, out, to))
    if to < 0:
        return -1
    if s.slots[S_BODY] >= 0:
        if to + s.slots[S_BODY_END] - s.slots[S_BODY] + ROOM > len(out):
            return -1
        to = copy(s.tmp_read, s.slots[S_BODY], s.slots[S_BODY_END], out, put(L_ARGUMENTS, out, to))
    out[to] = 125
    if note(buf, words, row, MADE if is_answer == 1 else REPEATED, s) < 0:
        return -1
    if is_answer == 1:
        s.counts[FACTS] |= CALLS_TOOL
    return to + 1


@kernel
def put_response(buf: Bytes, words: Ints, row: Int, s: Scratch, out: Bytes, to: Int) -> Int:
    """Write the tool result that the slots hold; a second one with the same id is not plain."""
    traits = s.slots[S_BODY_TRAITS] if s.slots[S_BODY] >= 0 else 0
    wraps = traits & BLOCKS or (traits & OBJECT and traits >> TYPE & 1 and traits >> VALUE & 1)
    if s.slots[S_IS_RESPONSE] != 1 or s.slots[S_TEXT] >= 0 or wraps or to + ROOM > len(out):
        return -1
    begin = put(L_RESPONSE, out, to)
    to = put_label(buf, words, s, ID_SLOT, out, begin)
    if to < 0:
        return -1
    if s.slots[S_ID] >= 0:
        known = s.counts[TOLD]
        if known == MAX_TOLD:
            return -1
        s.told[known] = hash_of(out, begin, to)
        for i in range(known):
            if s.told[i] == s.told[known]:
                return -1
        s.counts[TOLD] = known + 1
    to = put(L_RESPONSE_BODY, out, to)
    if s.slots[S_BODY] < 0:
        to = put(L_NULL, out, to)
    elif to + s.slots[S_BODY_END] - s.slots[S_BODY] + ROOM > len(out):
        return -1
    else:
        to = copy(s.tmp_read, s.slots[S_BODY], s.slots[S_BODY_END], out, to)
    if s.slots[S_NAME] >= 0:
        to = put_label(buf, words, s, NAME_SLOT, out, put(L_NAME, out, to))
        if to < 0:
            return -1
    out[to] = 125
    if note(buf, words, row, np.int64(ANSWERED), s) < 0:
        return -1
    return to + 1


@kernel
def put_text(
    buf: Bytes, words: Ints, at: Int, end: Int, plain: Int, out: Bytes, to: Int, texts: Bytes, text_to: Int, begin: Int
) -> tuple[Int, Int]:
    """Write a part of text, and the text itself behind what `texts` has from `begin` on unless `begin` is -1."""
    if to + ROOM > len(out):
        return -1, 0
    to = put_string(buf, words, at, end, plain, QUOTED, out, put(L_TEXT, out, to))
    if to < 0:
        return -1, 0
    out[to] = 125
    if begin >= 0:
        if text_to + ROOM > len(texts):
            return -1, 0
        if text_to > begin:
            texts[text_to] = 10
            text_to += 1
        text_to = put_string(buf, words, at, end, plain, AS_TEXT, texts, text_to)
        if text_to < 0:
            return -1, 0
    return to + 1, text_to


# ---- messages


@kernel
def role_of(words: Ints, at: Int, end: Int) -> Int:
    """Return the canonical role, -1 for one that kernels do not know."""
    length = end - at
    first = words[at] & low_bytes(length)
    if length <= 8:
        if first == W_USER or first == W_HUMAN:
            return USER
        if first == W_SYSTEM:
            return SYSTEM
        if first == W_TOOL or first == W_FUNCTION:
            return TOOL
        return ASSISTANT if first == W_AI or first == W_MODEL else -1
    if length > 9:
        return -1
    second = words[at + 8] & low_bytes(length - 8)
    if first == W_ASSISTANT and second == W_ASSISTANT_2:
        return ASSISTANT
    return SYSTEM if first == W_DEVELOPER and second == W_DEVELOPER_2 else -1


@kernel
def put_head(role: Int, out: Bytes, to: Int) -> Int:
    """Write a message up to its parts."""
    to = put(L_ROLES, out, to)
    if role == USER:
        to = put(L_USER, out, to)
    elif role == ASSISTANT:
        to = put(L_ASSISTANT, out, to)
    elif role == TOOL:
        to = put(L_TOOL, out, to)
    else:
        to = put(L_SYSTEM, out, to)
    return put(L_PARTS, out, to)


@kernel
def read_parts(
    buf: Bytes,
    words: Ints,
    at: Int,
    end: Int,
    row: Int,
    is_answer: Int,
    role: Int,
    out: Bytes,
    to: Int,
    texts: Bytes,
    text_to: Int,
    begin: Int,
    s: Scratch,
) -> tuple[Int, Int, Int]:
    """Read a list of parts from behind its bracket and write them; return the offsets behind it: read, written, text.

    A list that is not empty becomes parts followed by a comma each.
    """
    at = skip_space(buf, at, end)
    if at < end and buf[at] == 93:
        return at + 1, to, text_to
    responses = 0
    while True:
        if at >= end or buf[at] != 123:
            return -1, 0, 0
        at = read_part(buf, words, at + 1, end, s)
        if at < 0:
            return -1, 0, 0
        kind = s.slots[S_TYPE]
        before = to
        if kind == TEXT_PART:
            first, last = s.slots[S_TEXT], s.slots[S_TEXT_END]
            if first < 0 or may_be_call(buf, first, last):
                return -1, 0, 0
            if last > first:
                to, text_to = put_text(buf, words, first, last, s.slots[S_TEXT_PLAIN], out, to, texts, text_to, begin)
        elif kind == CALL_PART:
            to = put_call(buf, words, row, is_answer, s, out, to)
        elif kind == RESPONSE_PART and role == TOOL:
            to = put_response(buf, words, row, s, out, to)
            responses += 1
        elif kind == REASONING_PART and s.slots[S_TEXT] >= 0 and to + ROOM < len(out):
            first, last = s.slots[S_TEXT], s.slots[S_TEXT_END]
            if last > first:
                to = put(L_REASONING, out, to)
                to = put_string(buf, words, first, last, s.slots[S_TEXT_PLAIN], QUOTED, out, to)
                if to > 0:
                    out[to] = 125
                    to += 1
        else:
            return -1, 0, 0
        if to < 0:
            return -1, 0, 0
        if to > before:
            out[to] = 44
            to += 1
        at = skip_space(buf, at, end)
        if at >= end:
            return -1, 0, 0
        if buf[at] == 93:
            return (at + 1 if responses > 0 or role != TOOL else -1), to, text_to
        if buf[at] != 44:
            return -1, 0, 0
        at = skip_space(buf, at + 1, end)


@kernel
def read_tool_calls(
    buf: Bytes, words: Ints, at: Int, end: Int, row: Int, is_answer: Int, s: Scratch, out: Bytes, to: Int
) -> tuple[Int, Int]:
    """Read OpenAI's list of calls from behind its bracket and write them, a comma behind each."""
    at = skip_space(buf, at, end)
    if at < end and buf[at] == 93:
        return at + 1, to
    while True:
        if at >= end or buf[at] != 123:
            return -1, 0
        at = read_part(buf, words, at + 1, end, s)
        if at < 0 or (s.slots[S_TYPE] >= 0 and s.slots[S_TYPE] != CALL_PART) or s.counts[TMP] + ROOM > len(s.tmp) // 2:
            return -1, 0
        to = put_call(buf, words, row, is_answer, s, out, to)
        if to < 0:
            return -1, 0
        out[to] = 44
        to += 1
        at = skip_space(buf, at, end)
        if at >= end:
            return -1, 0
        if buf[at] == 93:
            return at + 1, to
        if buf[at] != 44:
            return -1, 0
        at = skip_space(buf, at + 1, end)


# Slots of what is known of a message, in the same array.
M_TEXT, M_TEXT_END, M_TEXT_PLAIN = SLOTS, SLOTS + 1, SLOTS + 2
M_ID, M_NAME, M_FINISH = SLOTS + 3, SLOTS + 6, SLOTS + 9
M_CALLS, M_CALLS_END = SLOTS + 12, SLOTS + 13
M_ROLE = SLOTS + 14
ALL_SLOTS = SLOTS + 17
NAME_OF_MESSAGE, FINISH_OF_MESSAGE = np.int64(M_NAME), np.int64(M_FINISH)


@kernel
def read_message(
    buf: Bytes,
    words: Ints,
    at: Int,
    end: Int,
    row: Int,
    is_answer: Int,
    out: Bytes,
    to: Int,
    texts: Bytes,
    text_to: Int,
    text_begin: Int,
    s: Scratch,
) -> tuple[Int, Int, Int]:
    """Read one message from behind its brace and write it; return the offsets behind it: read, written, text.

    The text of an answer is that of all of its assistant's messages, of an input that of the last user's.
    """
    s.slots[SLOTS:] = -1
    s.counts[TMP] = 0
    role: Int = np.int64(-1)
    begin: Int = np.int64(-1)
    seen = np.int64(0)
    ended, opened = False, False
    at = skip_space(buf, at, end)
    while not ended:
        name, at = next_name(buf, words, at, end, seen)
        if at < 0:
            return -1, 0, 0
        seen |= np.int64(1) << name
        if name == ROLE:
            close, plain = scan_string(buf, words, at + 1, end) if buf[at] == 34 else (np.int64(-1), np.int64(0))
            if close < 0 or plain == 0:
                return -1, 0, 0
            role = role_of(words, at + 1, close)
            if role < 0:
                return -1, 0, 0
            if role == USER and is_answer == 0:
                begin = text_begin
                text_to = text_begin
            elif role == ASSISTANT and is_answer == 1:
                begin = text_begin
            at = close + 1
        elif (name == PARTS or name == CONTENT) and buf[at] == 91:
            if role < 0 or seen >> TOOL_CALLS & 1 or to + ROOM > len(out):
                return -1, 0, 0
            opened = True
            to = put_head(role, out, to)
            at, to, text_to = read_parts(
                buf, words, at + 1, end, row, is_answer, role, out, to, texts, text_to, begin, s
            )
        elif name == CONTENT and buf[at] == 34:
            close, plain = scan_string(buf, words, at + 1, end)
            if close < 0:
                return -1, 0, 0
            s.slots[M_TEXT] = at + 1
            s.slots[M_TEXT_END] = close
            s.slots[M_TEXT_PLAIN] = plain
            at = close + 1
        elif name == NAME or name == FINISH_REASON or name == TOOL_CALL_ID:
            slot = M_NAME if name == NAME else M_FINISH if name == FINISH_REASON else M_ID
            at = read_label(buf, words, at, end, s, slot)
        elif name == ID and buf[at] == 34:
            close, plain = scan_string(buf, words, at + 1, end)
            at = close + 1 if close > 0 else -1
        elif name == TOOL_CALLS and buf[at] == 91:
            begins = len(s.tmp) // 2  # a call that is read fills `tmp` from its beginning on
            s.slots[M_CALLS] = begins
            at, s.slots[M_CALLS_END] = read_tool_calls(buf, words, at + 1, end, row, is_answer, s, s.tmp, begins)
        elif buf[at] == 110 and (name == CONTENT or TOOL_CALLS <= name <= FUNCTION_CALL):
            at = is_word(buf, at, end)
        elif name == ANNOTATIONS and buf[at] == 91:
            at = skip_space(buf, at + 1, end)
            at = at + 1 if at < end and buf[at] == 93 else -1
        else:
            return -1, 0, 0
        if at < 0:
            return -1, 0, 0
        at, ended = after_member(buf, at, end)
        if at < 0:
            return -1, 0, 0
    has_calls = s.slots[M_CALLS] >= 0 and s.slots[M_CALLS_END] > s.slots[M_CALLS]
    if role < 0 or (seen >> PARTS & 1 and seen & (1 << CONTENT | 1 << TOOL_CALLS)) or to + ROOM > len(out):
        return -1, 0, 0
    if role == SYSTEM:
        s.counts[FACTS] |= SYSTEM_MESSAGE
    if not opened:
        to = put_head(role, out, to)
        if role == TOOL:
            if (
                s.slots[M_TEXT] < 0
                or has_calls
                or seen >> ID & 1
                or begins_list(buf, s.slots[M_TEXT], s.slots[M_TEXT_END])
            ):
                return -1, 0, 0
            s.slots[:SLOTS] = -1
            for i in range(3):
                s.slots[S_ID + i] = s.slots[M_ID + i]
                s.slots[S_NAME + i] = s.slots[M_NAME + i]
            s.counts[TMP] = 0
            if read_body(buf, words, s.slots[M_TEXT] - 1, s.slots[M_TEXT_END] + 1, np.int64(RESPONSE), s) < 0:
                return -1, 0, 0
            # the blocks of a result that was text are not joined, so that such a value is what it is
            s.slots[S_BODY_TRAITS] = 0
            to = put_response(buf, words, row, s, out, to)
            if to < 0:
                return -1, 0, 0
            out[to] = 44
            to += 1
        elif s.slots[M_TEXT] >= 0:
            if begins_list(buf, s.slots[M_TEXT], s.slots[M_TEXT_END]):
                return -1, 0, 0
            if s.slots[M_TEXT_END] > s.slots[M_TEXT]:
                to, text_to = put_text(
                    buf,
                    words,
                    s.slots[M_TEXT],
                    s.slots[M_TEXT_END],
                    s.slots[M_TEXT_PLAIN],
                    out,
                    to,
                    texts,
                    text_to,
                    begin,
                )
                if to < 0:
                    return -1, 0, 0
                out[to] = 44
                to += 1
    elif role == TOOL and (has_calls or out[to - 1] != 44):
        return -1, 0, 0
    if has_calls:
        if to + s.slots[M_CALLS_END] - s.slots[M_CALLS] + ROOM > len(out):
            return -1, 0, 0
        to = copy(s.tmp_read, s.slots[M_CALLS], s.slots[M_CALLS_END], out, to)
    if out[to - 1] == 44:
        s.counts[PARTS_SAID] += 1
        to -= 1
    out[to] = 93
    to += 1
    if s.slots[M_NAME] >= 0 and role != TOOL:
        to = put_label(buf, words, s, NAME_OF_MESSAGE, out, put(L_NAME, out, to))
        if to < 0:
            return -1, 0, 0
    if s.slots[M_FINISH] >= 0:
        if to + ROOM > len(out) or (is_answer == 1 and not note_finish(buf, s)):
            return -1, 0, 0
        to = put_label(buf, words, s, FINISH_OF_MESSAGE, out, put(L_FINISH, out, to))
        if to < 0:
            return -1, 0, 0
    out[to] = 125
    return at, to + 1, text_to


@kernel
def note_finish(buf: Bytes, s: Scratch) -> bool:
    """Note why an answer ended; say no where its messages ended for different reasons."""
    start, length = s.slots[M_FINISH], s.slots[M_FINISH + 1] - s.slots[M_FINISH]
    if s.slots[M_FINISH + 2] == 0:
        return False
    if s.counts[FINISH_COUNT] > 0:
        if s.counts[FINISH_LENGTH] != length:
            return False
        for i in range(length):
            if buf[start + i] != buf[s.counts[FINISH_START] + i]:
                return False
    s.counts[FINISH_COUNT] += 1
    s.counts[FINISH_START] = start
    s.counts[FINISH_LENGTH] = length
    return True


@kernel
def read_messages(
    buf: Bytes,
    words: Ints,
    at: Int,
    end: Int,
    row: Int,
    is_answer: Int,
    out: Bytes,
    to: Int,
    texts: Bytes,
    text_to: Int,
    s: Scratch,
) -> tuple[Int, Int]:
    """Write the list of messages that the text holds; return the offsets behind it and behind its text, -1: no."""
    if at >= end or buf[at] != 91 or to + ROOM > len(out):
        return -1, 0
    text_begin = text_to
    s.counts[TOLD] = 0
    s.counts[PARTS_SAID] = 0
    out[to] = 91
    to += 1
    at = skip_space(buf, at + 1, end)
    while True:
        if at >= end or buf[at] != 123:
            return -1, 0
        at, to, text_to = read_message(buf, words, at + 1, end, row, is_answer, out, to, texts, text_to, text_begin, s)
        if at < 0:
            return -1, 0
        at = skip_space(buf, at, end)
        if at >= end:
            return -1, 0
        if buf[at] == 93:
            break
        if buf[at] != 44:
            return -1, 0
        out[to] = 44
        to += 1
        at = skip_space(buf, at + 1, end)
    out[to] = 93
    if skip_space(buf, at + 1, end) != end or s.counts[PARTS_SAID] == 0:
        return -1, 0
    return to + 1, text_to


@kernel
def read_indexed(
    buf: Bytes,
    words: Ints,
    first: Int,
    last: Int,
    class_: Int,
    is_answer: Int,
    class_of_key: Bytes,
    indexed: Ints,
    key: Rows,
    types: Bytes,
    start: Ints,
    length: Ints,
    out: Bytes,
    to: Int,
    texts: Bytes,
    text_to: Int,
    s: Scratch,
) -> tuple[Int, Int]:
    """Write the messages of keys as `prefix.0.role`, `prefix.0.content`, as `read_messages` does.

    Plain are messages of text whose attributes come in the order of their numbers.
    """
    if to + ROOM > len(out):
        return -1, 0
    out[to] = 91
    to += 1
    begin, text_begin = to, text_to
    place, family = np.int64(-1), np.int64(-1)
    for at in range(first, last):
        if class_of_key[key[at]] != class_:
            continue
        if indexed[PLACE, key[at]] != place:
            if place >= 0:
                to, text_to = put_indexed(buf, words, is_answer, out, to, texts, text_to, text_begin, s)
            if to < 0 or indexed[PLACE, key[at]] < place or (place >= 0 and indexed[FAMILY, key[at]] != family):
                return -1, 0
            place, family = indexed[PLACE, key[at]], indexed[FAMILY, key[at]]
            s.slots[SLOTS:] = -1
        member = indexed[MEMBER, key[at]]
        slot = M_ROLE if member == ROLE else M_TEXT if member == CONTENT else M_FINISH
        if member == OTHER_NAME or indexed[FAMILY, key[at]] != family or s.slots[slot] >= 0:
            return -1, 0
        if types[at] != STRING or may_be_withheld(buf, start[at], length[at]):
            return -1, 0
        s.slots[slot] = start[at]
        s.slots[slot + 1] = start[at] + length[at]
        s.slots[slot + 2] = 1
    to, text_to = put_indexed(buf, words, is_answer, out, to, texts, text_to, text_begin, s)
    if to <= begin:
        return -1, 0
    out[to - 1] = 93
    return to, text_to


@kernel
def put_indexed(
    buf: Bytes,
    words: Ints,
    is_answer: Int,
    out: Bytes,
    to: Int,
    texts: Bytes,
    text_to: Int,
    text_begin: Int,
    s: Scratch,
) -> tuple[Int, Int]:
    """Write the message whose attributes the slots hold, and a comma."""
    at, end = s.slots[M_TEXT], s.slots[M_TEXT_END]
    if s.slots[M_ROLE] < 0 or at < 0 or buf[at] == 91 or to + ROOM > len(out):
        return -1, 0
    role = role_of(words, s.slots[M_ROLE], s.slots[M_ROLE + 1])
    if role < 0 or role == TOOL:
        return -1, 0
    if role == SYSTEM:
        s.counts[FACTS] |= SYSTEM_MESSAGE
    to = put_quoted(buf, words, at, end, out, put(L_TEXT, out, put_head(role, out, to)))
    if to < 0 or to + ROOM > len(out) or text_to + end - at + ROOM > len(texts):
        return -1, 0
    out[to] = 125
    out[to + 1] = 93
    to += 2
    if role == USER and is_answer == 0:
        text_to = copy(buf, at, end, texts, text_begin)
    elif role == ASSISTANT and is_answer == 1:
        if text_to > text_begin:
            texts[text_to] = 10
            text_to += 1
        text_to = copy(buf, at, end, texts, text_to)
    if s.slots[M_FINISH] >= 0:
        last = s.slots[M_FINISH + 1]
        if find_special(buf, words, s.slots[M_FINISH], last) < last:
            return -1, 0
        if to + last - s.slots[M_FINISH] + ROOM > len(out) or (is_answer == 1 and not note_finish(buf, s)):
            return -1, 0
        to = put_label(buf, words, s, FINISH_OF_MESSAGE, out, put(L_FINISH, out, to))
        if to < 0:
            return -1, 0
    out[to] = 125
    out[to + 1] = 44
    return to + 2, text_to


# ---- spans


@kernel
def measure(key: Rows, length: Ints, class_of_key: Bytes, sizes: Ints) -> Int:
    """Add up the bytes of each class in `sizes`; return the longest value of messages and tools, -1 for a wrong key."""
    longest = np.int64(0)
    for i in range(len(key)):
        if not 0 <= key[i] < len(class_of_key):
            return -1
        class_ = np.int64(class_of_key[key[i]])
        sizes[class_] += length[i]
        if class_ > INSTRUCTIONS and length[i] > longest:
            longest = length[i]
    return longest


@kernel
def may_be_withheld(buf: Bytes, at: Int, length: Int) -> bool:
    """Tell whether text may be one of `view.WITHHELD`, by its length and its first letter."""
    if length == 0:
        return True
    return bool((length == 10 or length == 12 or length == 26) and (buf[at] == 95 or buf[at] == 60 or buf[at] == 70))


@kernel
def read_contents(
    buf: Bytes,
    words: Ints,
    first: Ints,
    kind: Ints,
    alone: Bytes,
    class_of_key: Bytes,
    indexed: Ints,
    reads: Bytes,
    key: Rows,
    types: Bytes,
    start: Ints,
    length: Ints,
    max_bytes: Int,
    facts: Ints,
    finish: Ints,
    outs: tuple[Bytes, Bytes, Bytes, Bytes, Bytes, Bytes],
    ends: Rows,
    has: Bytes,
    s: Scratch,
) -> None:
    """Read the messages and tool calls of every span; `first` says where its attributes begin, one more at the end.

    `indexed` has PLACE, MEMBER and FAMILY of every key. `reads[kind, class]` says whether a kernel reads keys of that
    class on spans of that kind; spans in `alone`, which have more than attributes, it leaves out. Written are `facts`,
    `finish` (how often, start and length of the reason an answer gives), and for each of COLUMNS its bytes to `outs`,
    their ends to `ends`, and to `has` where it is set.
    """
    s.counts[:] = 0
    free_0 = np.int64(0)
    free_1 = np.int64(0)
    free_2 = np.int64(0)
    free_3 = np.int64(0)
    free_4 = np.int64(0)
    free_5 = np.int64(0)
    for row in range(len(kind)):
        found = np.int64(0)
        at_input: Int = np.int64(-1)
        at_output: Int = np.int64(-1)
        at_arguments: Int = np.int64(-1)
        at_result: Int = np.int64(-1)
        input_indexed, output_indexed = False, False
        instructed = False
        for i in range(first[row], first[row + 1] if alone[row] == 0 else first[row]):
            class_ = class_of_key[key[i]]
            if class_ == INSTRUCTIONS:
                instructed = True
            elif class_ == INPUT_MESSAGES:
                at_input = i if at_input == -1 else -2
            elif class_ == OUTPUT_MESSAGES:
                at_output = i if at_output == -1 else -2
            elif class_ == INPUT_INDEXED:
                input_indexed = True
            elif class_ == OUTPUT_INDEXED:
                output_indexed = True
            elif class_ == TOOL_ARGUMENTS:
                at_arguments = i if at_arguments == -1 else -2
            elif class_ == TOOL_RESULT:
                at_result = i if at_result == -1 else -2
        is_list = at_input >= 0 and not input_indexed and types[at_input] == STRING
        if reads[kind[row], INPUT_MESSAGES] and (is_list or (at_input == -1 and input_indexed)):
            kept_calls, kept_names = s.counts[CALLS], s.counts[NAMES]
            s.counts[FACTS] = 0
            to, text_to = np.int64(-1), np.int64(0)
            if not is_list:
                to, text_to = read_indexed(
                    buf,
                    words,
                    first[row],
                    first[row + 1],
                    np.int64(INPUT_INDEXED),
                    GIVEN,
                    class_of_key,
                    indexed,
                    key,
                    types,
                    start,
                    length,
                    outs[0],
                    free_0,
                    outs[2],
                    free_2,
                    s,
                )
            elif length[at_input] <= max_bytes:
                to, text_to = read_messages(
                    buf,
                    words,
                    start[at_input],
                    start[at_input] + length[at_input],
                    row,
                    GIVEN,
                    outs[0],
                    free_0,
                    outs[2],
                    free_2,
                    s,
                )
            if to < 0 or to - free_0 > max_bytes or (instructed and s.counts[FACTS] & SYSTEM_MESSAGE):
                s.counts[CALLS], s.counts[NAMES] = kept_calls, kept_names
            else:
                found |= s.counts[FACTS] | HAS_INPUT
                has[0, row] = 1
                free_0 = to
                if text_to > free_2:
                    found |= HAS_INPUT_TEXT
                    has[2, row] = 1
                    free_2 = text_to
        is_list = at_output >= 0 and not output_indexed and types[at_output] == STRING
        if reads[kind[row], OUTPUT_MESSAGES] and (is_list or (at_output == -1 and output_indexed)):
            kept_calls, kept_names = s.counts[CALLS], s.counts[NAMES]
            s.counts[FACTS] = 0
            s.counts[FINISH_COUNT] = 0
            to, text_to = np.int64(-1), np.int64(0)
            if not is_list:
                to, text_to = read_indexed(
                    buf,
                    words,
                    first[row],
                    first[row + 1],
                    np.int64(OUTPUT_INDEXED),
                    ANSWER,
                    class_of_key,
                    indexed,
                    key,
                    types,
                    start,
                    length,
                    outs[1],
                    free_1,
                    outs[3],
                    free_3,
                    s,
                )
            elif length[at_output] <= max_bytes:
                to, text_to = read_messages(
                    buf,
                    words,
                    start[at_output],
                    start[at_output] + length[at_output],
                    row,
                    ANSWER,
                    outs[1],
                    free_1,
                    outs[3],
                    free_3,
                    s,
                )
            if to < 0 or to - free_1 > max_bytes:
                s.counts[CALLS], s.counts[NAMES] = kept_calls, kept_names
            else:
                found |= (s.counts[FACTS] & CALLS_TOOL) | HAS_OUTPUT
                has[1, row] = 1
                free_1 = to
                if text_to > free_3:
                    found |= HAS_OUTPUT_TEXT
                    has[3, row] = 1
                    free_3 = text_to
                if s.counts[FINISH_COUNT] > 0:
                    finish[0, row] = s.counts[FINISH_COUNT]
                    finish[1, row] = s.counts[FINISH_START]
                    finish[2, row] = s.counts[FINISH_LENGTH]
        if at_arguments >= 0 and reads[kind[row], TOOL_ARGUMENTS] and types[at_arguments] == STRING:
            size = length[at_arguments]
            to, traits = np.int64(-1), np.int64(0)
            if (
                size <= max_bytes
                and not may_be_withheld(buf, start[at_arguments], size)
                and free_4 + ROOM < len(outs[4])
            ):
                to, traits = whole_value(
                    buf, words, start[at_arguments], start[at_arguments] + size, outs[4], free_4, s
                )
            wraps = traits & WRAPS_ARGUMENTS or (traits >> INPUT & 1 and not traits & SEVERAL)
            if to >= 0 and to - free_4 <= max_bytes and not wraps:
                found |= HAS_ARGUMENTS
                has[4, row] = 1
                free_4 = to
        if at_result >= 0 and reads[kind[row], TOOL_RESULT] and types[at_result] == STRING:
            size = length[at_result]
            to, traits = np.int64(-1), np.int64(0)
            if size <= max_bytes and not may_be_withheld(buf, start[at_result], size) and free_5 + ROOM < len(outs[5]):
                to, traits = whole_value(buf, words, start[at_result], start[at_result] + size, outs[5], free_5, s)
            if to >= 0 and to - free_5 <= max_bytes and not traits & WRAPS_RESULT:
                found |= HAS_RESULT
                has[5, row] = 1
                free_5 = to
        facts[row] = found
        ends[0, row + 1] = free_0
        ends[1, row + 1] = free_1
        ends[2, row + 1] = free_2
        ends[3, row + 1] = free_3
        ends[4, row + 1] = free_4
        ends[5, row + 1] = free_5
