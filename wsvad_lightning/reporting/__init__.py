"""Results for people: tables of scores and events, figures, receipts, and their callbacks."""
