"""From what the user asked for to trials on workers: spaces, planning, cost, search and scheduling."""
