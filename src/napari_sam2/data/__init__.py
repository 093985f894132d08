"""Images in, labels out: axes, lazy frames, label stacks, file formats."""
