"""Methods compared by the scores of their trainings."""
