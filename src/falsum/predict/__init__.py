"""Answers by label from a trained model."""
