"""Sessions: prompts, memories, propagation, postprocessing."""
