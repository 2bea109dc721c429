"""A model and a prompt to a capture: generate fast, then one streamed eager pass."""
