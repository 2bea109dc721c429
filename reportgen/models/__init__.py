"""A name to a loaded model: hub, folder, GGUF file, or the embedded one."""
