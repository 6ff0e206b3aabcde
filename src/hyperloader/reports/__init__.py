"""From scores to what people read: tables and figures."""
