"""``prompts.yaml`` to prompts: YAML with line numbers, checked keys, slugs and titles."""
