"""What may be asked of a teacher, and what was answered."""
