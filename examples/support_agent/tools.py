"""What the agent can do in the shop's systems.

The shop is a table that follows from the order number, so that a conversation replayed later meets the same world:

    last digit 3   the warehouse has not confirmed the order: its status stays "syncing"
    last digit 7   the payment service does not answer: a refund times out
    below 1000     no such order
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

POLICY: Final = (
    "Items can be returned within 30 days of delivery for a full refund. "
    "Opened mattresses and made-to-measure items are excluded. "
    "Refunds go to the original means of payment within 5 working days."
)

_ITEMS: Final = (
    ("oak side table", 129.0),
    ("linen armchair", 349.0),
    ("wall shelf, 80 cm", 59.0),
    ("walnut desk", 489.0),
    ("wool rug, 2 m", 219.0),
)
_DELIVERED: Final = 5  # orders 1000-1099: half of them have arrived


class ToolError(Exception):
    """A tool did not do what it was asked to do."""


class ToolTimeoutError(ToolError):
    """The system behind a tool did not answer in time."""


@dataclass(frozen=True, slots=True)
class Tool:
    """A function the model may call; `parameters` is a JSON schema."""

    name: str
    description: str
    parameters: Mapping[str, Any]
    run: Callable[..., Any]


def lookup_order(order_id: str) -> dict[str, Any]:
    """Return what the shop knows of an order."""
    number = int(order_id)
    if number < 1000:
        return {"order_id": order_id, "found": False}
    item, price = _ITEMS[number // 3 % len(_ITEMS)]
    if number % 10 == 3:
        return {"order_id": order_id, "found": True, "item": item, "status": "syncing"}
    status = "delivered" if number // 10 % 10 < _DELIVERED else "shipped"
    return {"order_id": order_id, "found": True, "item": item, "price": price, "status": status}


def refund_policy(topic: str) -> dict[str, Any]:
    """Return the text of the policy."""
    return {"topic": topic, "text": POLICY}


def issue_refund(order_id: str, amount: float) -> dict[str, Any]:
    """Pay an order back.

    Raises:
        ToolTimeoutError: the payment service did not answer; whether money moved is unknown.

    """
    if int(order_id) % 10 == 7:
        raise ToolTimeoutError("payment service did not answer within 2.0 s")
    return {"order_id": order_id, "refunded": amount, "reference": f"RF-{order_id}"}


def _parameters(**properties: str) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {name: {"type": kind} for name, kind in properties.items()},
        "required": list(properties),
    }


TOOLS: Final = (
    Tool("lookup_order", "Look up an order by its number.", _parameters(order_id="string"), lookup_order),
    Tool("refund_policy", "Read the shop's refund policy.", _parameters(topic="string"), refund_policy),
    Tool(
        "issue_refund",
        "Pay the price of an order back to the customer.",
        _parameters(order_id="string", amount="number"),
        issue_refund,
    ),
)
"""Every tool of the agent."""
