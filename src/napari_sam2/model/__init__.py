"""The SAM 2 network: pure functions of tensors, one file per named part."""
