"""What hidden neurons do: their types and groups, and one form for all equal networks."""
