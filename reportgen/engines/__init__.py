"""Where prompts are run."""
