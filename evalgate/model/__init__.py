"""Ask a language model, politely and within a budget: one client of anything that speaks OpenAI's chat completions."""

from evalgate.model.budget import Budget
from evalgate.model.chat import ChatModel, Completion, Message, ModelError, ModelErrorKind

__all__ = ["Budget", "ChatModel", "Completion", "Message", "ModelError", "ModelErrorKind"]
