"""Synthetic data, losses, the training loop, fine-tuning."""
