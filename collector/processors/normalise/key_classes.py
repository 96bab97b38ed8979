"""Classes of attribute keys: which converter or kernel reads a key, on spans of which kind."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Final

import numpy as np

from collector.processors.normalise import group_kernels
from collector.processors.normalise.classify import KINDS
from collector.processors.normalise.content import CONVERSING
from collector.processors.normalise.content_kernels import (
    CLASSES,
    FIGURES,
    INPUT_MESSAGES,
    INSTRUCTIONS,
    LABELS,
    OUTPUT_MESSAGES,
    REST,
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
LISTS_OF_LABELS: Final = ("tags", "metadata", "metadata_prefixes")
"""What `convert_labels` reads, which reads nothing else."""


@dataclass(frozen=True, slots=True)
class _Classes:
    """What a table says of keys."""

    of_key: Mapping[str, int]
    prefixes: tuple[str, ...]
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
            tuple(k for keys in lists.values() for k in keys if k.endswith(".")),
            labels,
            tuple(k for k in labels if k.endswith(".")),
        )

    def of_content(self, key: str) -> int:
        """Return the class of a key for all converters but that of labels."""
        class_ = self.of_key.get(key, UNREAD)
        if class_ != FIGURES and key.startswith(self.prefixes):
            return REST
        return LABELS if class_ == UNREAD and self.is_label(key) else class_

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
    if class_ in (INPUT_MESSAGES, OUTPUT_MESSAGES):
        return int(kind in CONVERSING and kind != Kind.EMBEDDING)  # whose inputs are texts, not a talk
    return int(class_ in (TOOL_ARGUMENTS, TOOL_RESULT) and kind == Kind.TOOL)


def used_by_converters(kind: Kind, class_: int) -> int:
    """Tell what keys of a class are to converters on spans of a kind."""
    if class_ == FIGURES:
        return group_kernels.USED_WITH_FIGURES
    if class_ in (INPUT_MESSAGES, OUTPUT_MESSAGES):
        return int(kind in CONVERSING)
    if class_ == TOOL_ARGUMENTS:
        return int(kind in (Kind.TOOL, Kind.LLM))  # a model's span may tell a call of its answer so
    return int(kind == Kind.TOOL) if class_ == TOOL_RESULT else int(class_ not in (UNREAD, LABELS))
