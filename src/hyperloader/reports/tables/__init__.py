"""From scores to what people read: the paper's tables, comparisons, claims, and a check of the paper's own numbers."""
