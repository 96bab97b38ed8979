"""Classes of attribute keys: which converter or kernel reads a key, on spans of which kind."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

import numpy as np

from collector.processors.normalise import group_kernels
from collector.processors.normalise.classify import KINDS
from collector.processors.normalise.content import CONVERSING
from collector.processors.normalise.content_kernels import (
    CLASSES,
    CONTENT,
    FIGURES,
    FINISH_REASON,
    INPUT_INDEXED,
    INPUT_MESSAGES,
    INSTRUCTIONS,
    LABELS,
    OTHER_NAME,
    OUTPUT_INDEXED,
    OUTPUT_MESSAGES,
    REST,
    ROLE,
    TOOL_ARGUMENTS,
    TOOL_RESULT,
    UNREAD,
)
from schema.dialect import dialects
from schema.span import Kind

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from schema.dialect import Dialects

OF_LIST: Final = {
    "input_messages": INPUT_MESSAGES,
    "output_messages": OUTPUT_MESSAGES,
    "tool_arguments": TOOL_ARGUMENTS,
    "tool_result": TOOL_RESULT,
    "system_instructions": INSTRUCTIONS,
    "usage": FIGURES,
    "output": FIGURES,
}
"""List of keys in the table -> their class; any other that a converter reads is of REST."""
OF_PREFIXES: Final = {"input_indexed": INPUT_INDEXED, "output_indexed": OUTPUT_INDEXED}
"""List of prefixes in the table -> the class of keys of messages under them."""
INDEXED: Final = re.compile(r"(0|[1-9][0-9]{0,7})\.(message\.)?(role|content|finish_reason)")
MEMBERS: Final = {"role": ROLE, "content": CONTENT, "finish_reason": FINISH_REASON}
LISTS_OF_LABELS: Final = ("tags", "metadata", "metadata_prefixes")
"""What `convert_labels` reads, which reads nothing else."""


@dataclass(frozen=True, slots=True)
class _Classes:
    """What a table says of keys."""

    of_key: Mapping[str, int]
    prefixes: tuple[str, ...]
    indexed: Mapping[str, int]
    """Prefix -> class."""
    label_keys: frozenset[str]
    label_prefixes: tuple[str, ...]

    @classmethod
    def of(cls, table: Dialects) -> _Classes:
        """Class the keys of a table. One that several lists name is of REST, or FIGURES if one of them is."""
        classes: dict[str, int] = dict.fromkeys(table.finish.keys, REST)
        classes |= dict.fromkeys((p + name for p in table.params.prefixes for name in table.params.names), REST)
        lists = {k: keys for k, keys in table.content.items() if k not in LISTS_OF_LABELS}
        for name, keys in lists.items():
            class_ = OF_LIST.get(name, REST)
            for key in keys:
                known = classes.get(key, class_)
                classes[key] = class_ if known == class_ else FIGURES if FIGURES in {class_, known} else REST
        labels = frozenset(k for name in LISTS_OF_LABELS for k in table.content[name])
        return cls(
            classes,
            tuple(k for name, keys in lists.items() if name not in OF_PREFIXES for k in keys if k.endswith(".")),
            MappingProxyType({k: class_ for name, class_ in OF_PREFIXES.items() for k in lists[name]}),
            labels,
            tuple(k for k in labels if k.endswith(".")),
        )

    def of_content(self, key: str) -> int:
        """Return the class of a key for all converters but that of labels."""
        class_ = self.of_key.get(key, UNREAD)
        if class_ != FIGURES and key.startswith(self.prefixes):
            return REST
        if indexed := [c for prefix, c in self.indexed.items() if key.startswith(prefix)]:
            return class_ if class_ == FIGURES else indexed[0] if class_ == UNREAD and len(indexed) == 1 else REST
        return LABELS if class_ == UNREAD and self.is_label(key) else class_

    def message_of(self, key: str) -> tuple[int, int, int]:
        """Return which message an indexed key tells of, what of it, and a number for how such keys are written."""
        for number, prefix in enumerate(self.indexed):
            if found := INDEXED.fullmatch(key[len(prefix) :] if key.startswith(prefix) else ""):
                return int(found[1]), MEMBERS[found[3]], 2 * number + bool(found[2])
        return 0, OTHER_NAME, 0

    def is_label(self, key: str) -> bool:
        """Tell whether a key holds labels."""
        return key in self.label_keys or key.startswith(self.label_prefixes)


@cache
def _shipped() -> _Classes:
    return _Classes.of(dialects())


def content_classes(keys: Sequence[str], table: Dialects) -> NDArray[np.uint8]:
    """Return the class of each key for all converters but that of labels, LABELS for those that only it reads."""
    classes = _shipped() if table is dialects() else _Classes.of(table)
    return np.fromiter(map(classes.of_content, keys), np.uint8, len(keys))


def indexed_keys(keys: Sequence[str], table: Dialects) -> NDArray[np.int64]:
    """Return PLACE, MEMBER and FAMILY of each key; of one that is no member of a message, OTHER_NAME."""
    classes = _shipped() if table is dialects() else _Classes.of(table)
    return np.array([classes.message_of(k) for k in keys], np.int64).reshape(-1, 3).T.copy()


def label_classes(keys: Sequence[str], table: Dialects) -> NDArray[np.uint8]:
    """Return the class of each key for the converter of labels: REST or UNREAD."""
    classes = _shipped() if table is dialects() else _Classes.of(table)
    return np.fromiter((REST if classes.is_label(k) else UNREAD for k in keys), np.uint8, len(keys))


@cache
def by_kind(of: Callable[[Kind, int], int]) -> NDArray[np.uint8]:
    """Return a number for each kind and class; not to be written to."""
    return np.array([[of(kind, class_) for class_ in range(CLASSES)] for kind in KINDS], np.uint8)


def read_by_kernels(kind: Kind, class_: int) -> int:
    """Tell whether kernels read keys of a class on spans of a kind."""
    if class_ in (INPUT_MESSAGES, OUTPUT_MESSAGES, INPUT_INDEXED, OUTPUT_INDEXED):
        return int(kind in CONVERSING and kind != Kind.EMBEDDING)  # whose inputs are texts, not a talk
    return int(class_ in (TOOL_ARGUMENTS, TOOL_RESULT) and kind == Kind.TOOL)


def used_by_converters(kind: Kind, class_: int) -> int:
    """Tell what keys of a class are to converters on spans of a kind."""
    if class_ == FIGURES:
        return group_kernels.USED_WITH_FIGURES
    if class_ in (INPUT_MESSAGES, OUTPUT_MESSAGES, INPUT_INDEXED, OUTPUT_INDEXED):
        return int(kind in CONVERSING)
    if class_ == TOOL_ARGUMENTS:
        return int(kind in (Kind.TOOL, Kind.LLM))  # a model's span may tell a call of its answer so
    return int(kind == Kind.TOOL) if class_ == TOOL_RESULT else int(class_ not in (UNREAD, LABELS))
