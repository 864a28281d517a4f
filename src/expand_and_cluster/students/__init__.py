"""Step 1, expand: how wide students are, where they start, how they are trained."""
