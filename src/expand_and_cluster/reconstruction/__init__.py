"""Step 3, rebuild: collapse, solve, polish, prune, resolve signs, reduce."""
