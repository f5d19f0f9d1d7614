"""Fine-tuning: one module per method."""
