"""A small customer-support agent with a scripted model: an app to copy from, and the demo's subject.

prompts.py    the system prompt of each release
model.py      the scripted model: no network, no key
tools.py      what the agent can do: look up an order, read the refund policy, issue a refund
agent.py      the loop
spans.py      the spans of the loop, in OpenTelemetry's GenAI conventions
telemetry.py  the SDK's set-up from the OTEL_* variables
traffic.py    simulated customers
reviewer.py   what a person said of their conversations
target.py     the agent as `evalgate run` calls it
"""
