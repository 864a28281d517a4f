"""Did it work? Decided without the teacher."""
