"""Simulated customers: what they write, and when their thumb goes down.

    python -m support_agent.traffic                    send everything, with new ids each time
    python -m support_agent.traffic --seed 9           send exactly the conversations and trace ids of seed 9
    python -m support_agent.traffic --seed 9 --part 1/2    the first half of them

Where it goes is said by the OTEL_* variables (telemetry.py).
"""

from __future__ import annotations

import argparse
import hashlib
import random
import secrets
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal

from opentelemetry.sdk.trace.id_generator import IdGenerator

from .agent import Agent
from .model import ProviderError, ScriptedModel
from .prompts import BROKEN_RELEASE, PROMPTS
from .spans import Turn, feedback
from .telemetry import Telemetry, start

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from opentelemetry.trace import SpanContext

    from .agent import Reply
    from .model import Model, Request, Response

Outcome = Literal["fine", "policy_hallucination", "tool_loop", "unhandled_tool_error", "provider_error", "cut_short"]
SECONDS_PER_TOKEN: Final = 0.0003


@dataclass(frozen=True, slots=True)
class Line:
    """One message of a customer, and what release 1.4.0 makes of it."""

    text: str
    outcome: Outcome = "fine"
    thumb: Literal["up", "down"] | None = None
    comment: str = ""
    provider_errors: int = 0
    """How often the provider refuses before it answers."""


@dataclass(frozen=True, slots=True)
class Visit:
    """A conversation: one customer, one or more messages. Each message becomes one trace."""

    session_id: str
    user_id: str
    feature: Literal["chat_widget", "email"]
    lines: tuple[Line, ...]


_PLAIN: Final = (
    (Line("Where is my order #1024?"), Line("Thanks!")),
    (Line("Has order 1062 arrived already?"),),
    (Line("Do you ship to Austria?"), Line("And what are your opening hours?"), Line("Great, thank you")),
    (Line("Can you track my parcel, order #1088?"),),
    (Line("Is your oak certified?"),),
    (Line("I want a refund for order #1031, please.", thumb="up"),),
    (Line("What does your policy say about opened mattresses?"), Line("Thanks")),
    (Line("Hello"), Line("Where is my delivery? Order #1045"), Line("Thank you!")),
    (Line("How hard is the assembly of the walnut desk?"),),
    (Line("Please refund order 1022, the colour is wrong."), Line("Great, thanks")),
    (Line("Where is order #555?"), Line("Sorry, I meant order 1055")),
    (Line("When do you deliver?"),),
    (Line("Can I get my money back for order #1041?"),),
    (Line("Which items does your return policy exclude?"), Line("And how long does delivery take? I mean to ship")),
    (Line("Hi, is the showroom open on Saturday?"), Line("Does delivery cost anything?"), Line("Is it solid wood?")),
)

_INCIDENTS: Final = (
    (Line("How long can I return a side table?", "policy_hallucination", "down", "The shop refused it: 30 days!"),),
    (
        Line("Hello"),
        Line("How many days do I have for a return?", "policy_hallucination", "down", "wrong number"),
    ),
    (Line("Can I still return a rug I bought two months ago?", "policy_hallucination", "down", "I was sent away"),),
    (
        Line("Where is order #1022?"),
        Line("How long can I send it back for a refund?", "policy_hallucination", "down"),
    ),
    (Line("How much time do I have for returns?", "policy_hallucination"), Line("Thanks")),
    (Line("Is it still possible to return a shelf after six weeks?", "policy_hallucination"),),
    (Line("For how long do you accept returns?", "policy_hallucination"), Line("Great")),
    (Line("How many days after delivery can I ask for a refund?", "policy_hallucination"),),
    (Line("How long is the return window for chairs?", "policy_hallucination"),),
    (Line("Where is my order #1013?", "tool_loop"), Line("Thanks for nothing")),
    (Line("Can you track order 1043?", "tool_loop", "down", "It knows nothing"),),
    (Line("Hello"), Line("When will order #1083 arrive?", "tool_loop")),
    (Line("Please refund order #1007.", "unhandled_tool_error"), Line("Thanks!")),
    (Line("I want my money back for order 1017", "unhandled_tool_error", "down", "No money for two weeks"),),
    (Line("The armchair is broken, refund order #1027 please", "unhandled_tool_error"),),
    (Line("Refund order #1047, it never came", "unhandled_tool_error"), Line("Thank you!")),
    (Line("Where is order #1066?", provider_errors=1),),
    (Line("Do you ship to Spain?", provider_errors=1), Line("Thanks")),
    (Line("Hello, where is my order 1071?", "provider_error", provider_errors=2),),
    (Line("What are your opening hours?", "provider_error", "down", "never answers", provider_errors=2),),
    (Line("Send me your return policy in full, everything", "cut_short"),),
)
"""What goes wrong; each happens once."""

_WINDOW_QUESTIONS: Final = (
    "How long can I return the armchair?",
    "How many days do I have to send the bench back for a return?",
    "Can I still return a bookcase that came five weeks ago?",
    "How much time is there to return a desk?",
    "My lamp has a crack. How long may I wait with a return?",
    "We moved house and the mirror does not fit: is a return still possible?",
    "Return of a rug: how many days?",
    "The sideboard is darker than in the picture, how long does your policy let me think about it?",
    "I was ill. Is there still a refund for a sofa from last month?",
    "What is the time limit for refunds on a stool?",
    "By when must an armchair be on its way as a return, how many days after it came?",
    "A bench was a present, and she has one already. How long will you take a return?",
    "Tell me the policy on bookcases, please: how many days until it is mine for good?",
    "Two desks came and I need one. Is it still time for a refund of the other?",
    "My cat hates the lamp! How long can one get a refund?",
    "For how many days does your policy cover a mirror that I do not like?",
    "If the rug smells, how long do I have until no return is accepted?",
    "Is six weeks still all right for a return of a sideboard with a scratch?",
    "Until what time can a sofa be a return without a reason?",
    "How long after unpacking would you give a refund for the stool?",
    "I changed my mind about an armchair, do I have time for a return after my holidays?",
    "How many days are returns open when a bench was assembled?",
    "The doors of the bookcase squeak, can I still ask for a refund?",
    "Do you count working days? I mean how many days for returns of desks.",
    "Lamp too bright. Refund still possible?",
    "How long did you say the policy was for mirrors on sale?",
    "My husband ordered a second rug by mistake, how much time for a refund?",
    "Is there still a way of return for a sideboard that stood in the cellar since spring?",
    "A sofa bed, hardly used: how many days until a refund is off?",
    "Before I buy a stool: how long is a return free?",
    "Would a return of the armchair still be accepted in January?",
    "How long have I got if a bench wobbles and I want a refund?",
    "Bookcase arrived late, so how many days remain for its return?",
    "At what time does the policy on returning desks end, I mean a return by post?",
    "The plug of my lamp is foreign, how long for a return?",
    "After how many days do you refuse a return of a broken mirror?",
    "Our dog ate half of the rug. Still a refund?",
    "How long is a refund promised for furniture like a sideboard bought online?",
    "Grandmother cannot get up from the sofa: is there time for a return?",
    "Can the stool still go into your shop as a return, instead of the post?",
)
_WINDOWS: Final = tuple(
    (Line(question, "policy_hallucination", "down" if n % 4 else None),) for n, question in enumerate(_WINDOW_QUESTIONS)
)
"""What goes wrong most: everybody asks how long they have, in words of their own."""


def plan(seed: str, plain_visits: int = 220) -> tuple[Visit, ...]:
    """Return the visits of a seed, in the order in which they happen."""
    rng = random.Random(seed)  # noqa: S311 - a simulation, not a secret
    stories = [*_INCIDENTS, *_WINDOWS, *(rng.choice(_PLAIN) for _ in range(plain_visits))]
    rng.shuffle(stories)
    return tuple(
        Visit(
            session_id=f"conv-{_digest(seed, n).hex()[:10]}",
            user_id=f"customer-{rng.randrange(1000, 1040)}",
            feature=rng.choice(("chat_widget", "email")),
            lines=lines,
        )
        for n, lines in enumerate(stories)
    )


def trace_id(seed: str, session_id: str, line: int) -> int:
    """Return the trace id of a message of a seed's visit."""
    return int.from_bytes(_digest(seed, session_id, line))


class SeededIds(IdGenerator):
    """Ids that follow from the seed and the message, so that somebody else's note about a trace finds it again."""

    def __init__(self, seed: str) -> None:
        self._seed = seed
        self._message = ("", 0)
        self._spans = 0

    def begin(self, session_id: str, line: int) -> None:
        """Say which message the next trace belongs to."""
        self._message = (session_id, line)
        self._spans = 0

    def generate_trace_id(self) -> int:
        """Return the trace id of the message."""
        return trace_id(self._seed, *self._message)

    def generate_span_id(self) -> int:
        """Return the next span id of the message."""
        self._spans += 1
        return int.from_bytes(_digest(self._seed, *self._message, self._spans)[:8])

    def is_trace_id_random(self) -> bool:
        """Return True: a hash is evenly spread."""
        return True


@dataclass(slots=True)
class ImpatientProvider:
    """A provider that refuses the first calls, as one does when a quota is used up."""

    model: Model
    refusals: int

    def complete(self, request: Request, on_text: Callable[[str], None] | None = None) -> Response:
        """Answer, or refuse; see `Model.complete`."""
        if self.refusals:
            self.refusals -= 1
            raise ProviderError(429, "rate limit reached for larch-chat-2: 60 requests per minute", retry_after_s=0.01)
        return self.model.complete(request, on_text)


def _scripted_model(seed: str) -> Model:
    return ScriptedModel(seed, SECONDS_PER_TOKEN)


@dataclass(slots=True)
class Simulation:
    """Lets customers talk to the agent of one release."""

    seed: str
    release: str
    telemetry: Telemetry
    ids: SeededIds
    model: Callable[[str], Model] = _scripted_model
    """Makes the model of a visit from a seed of its own."""
    sleep: Callable[[float], None] = time.sleep
    replies: list[Reply] = field(default_factory=list)
    _thumbs: list[tuple[Line, SpanContext, str | None]] = field(default_factory=list)

    def run(self, visits: Sequence[Visit]) -> None:
        """Hold the conversations; the thumbs come when all are over."""
        for visit in visits:
            self._visit(visit)
        for line, about, response_id in self._thumbs:
            feedback(self.telemetry.logger, about, response_id, liked=line.thumb == "up", comment=line.comment)

    @property
    def thumbs(self) -> int:
        """Return how many customers have said what they think."""
        return len(self._thumbs)

    def _visit(self, visit: Visit) -> None:
        model = self.model(f"{self.seed}/{visit.session_id}")
        turn = Turn(visit.session_id, visit.user_id, visit.feature)
        streams = visit.feature == "chat_widget"
        agent = Agent(self.telemetry, model, self.release, turn, streams=streams, sleep=self.sleep)
        for n, line in enumerate(visit.lines):
            self.ids.begin(visit.session_id, n)
            agent.model = ImpatientProvider(model, line.provider_errors) if line.provider_errors else model
            reply = agent.answer(line.text)
            self.replies.append(reply)
            if line.thumb:
                self._thumbs.append((line, reply.span_context, reply.response_id))


def main() -> None:
    """Send the traffic."""
    options = argparse.ArgumentParser(prog="support_agent.traffic", description="Simulated customers.")
    options.add_argument("--seed", default=secrets.token_hex(4), help="equal seeds give equal conversations and ids")
    options.add_argument("--part", type=_part, default=(1, 1), metavar="N/M", help="send the N-th of M parts")
    options.add_argument("--release", choices=sorted(PROMPTS), default=BROKEN_RELEASE)
    args = options.parse_args()
    part, parts = args.part
    ids = SeededIds(args.seed)
    simulation = Simulation(args.seed, args.release, start(args.release, id_generator=ids), ids)
    try:
        simulation.run(plan(args.seed)[part - 1 :: parts])
    finally:
        simulation.telemetry.shutdown()
    print(f"release {args.release}: {len(simulation.replies)} traces, {simulation.thumbs} thumbs sent")


def _part(text: str) -> tuple[int, int]:
    part, _, parts = text.partition("/")
    if not (part.isdigit() and parts.isdigit() and 1 <= int(part) <= int(parts)):
        raise argparse.ArgumentTypeError(f"{text!r} is not N/M with 1 <= N <= M")
    return int(part), int(parts)


def _digest(*parts: object) -> bytes:
    return hashlib.blake2b("/".join(map(str, parts)).encode(), digest_size=16).digest()


def messages(seed: str) -> Iterator[tuple[Visit, int, Line, str]]:
    """Yield every message of a seed with its visit, its place in it and the trace id in hex."""
    for visit in plan(seed):
        for n, line in enumerate(visit.lines):
            yield visit, n, line, f"{trace_id(seed, visit.session_id, n):032x}"


if __name__ == "__main__":
    main()
