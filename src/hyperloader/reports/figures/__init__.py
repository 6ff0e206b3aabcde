"""From scores and training records to figures: SVG, PNG, and the numbers behind each as CSV."""
