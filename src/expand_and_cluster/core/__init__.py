"""What every room shares: networks, activations, symmetries, errors."""
