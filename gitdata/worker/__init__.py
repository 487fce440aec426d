"""What runs beside the user's command: fetch a datum, run it, verify and store its output, record it."""
