"""From records to answers: the merged dataset, comparison, carbon."""
