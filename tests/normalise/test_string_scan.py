"""Where a string of JSON has something else than plain letters."""

from __future__ import annotations

import numpy as np
import pytest

from collector.processors.normalise.content_kernels import CLASSES, INPUT_MESSAGES, PADDING, REST, find_special, measure


@pytest.mark.parametrize("letter", [b'"', b"\\", b"\x00", b"\x1f"])
def test_the_first_special_byte_is_found_wherever_it_stands(letter: bytes) -> None:
    """And none behind the end, nor one beyond ASCII, which is plain."""
    for at in range(150):
        data = b"\xc3\xa9" * 100
        data = data[:at] + letter + data[at:] + letter * PADDING
        buf = np.frombuffer(data, np.uint8)
        words = np.ndarray((len(data) - 7,), "<i8", data, strides=(1,))
        assert find_special(buf, words, np.int64(0), np.int64(201)) == at
        assert find_special(buf, words, np.int64(at + 1), np.int64(201)) == 201
        assert find_special(buf, words, np.int64(0), np.int64(at)) == at


def test_bytes_are_added_up_by_class_and_a_key_that_is_none_is_told() -> None:
    """The longest counts where it is of messages or tools."""
    key, length = np.array([0, 1, 0], np.int32), np.array([3, 9, 5], np.int64)
    class_of_key, sizes = np.array([INPUT_MESSAGES, REST], np.uint8), np.zeros(CLASSES, np.int64)
    assert measure(key, length, class_of_key, sizes) == 5
    assert (sizes[INPUT_MESSAGES], sizes[REST], sizes.sum()) == (8, 9, 17)
    assert measure(np.array([2], np.int32), length[:1], class_of_key, sizes) == -1
    assert measure(np.array([-1], np.int32), length[:1], class_of_key, sizes) == -1
