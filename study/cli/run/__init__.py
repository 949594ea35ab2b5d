"""The commands that plan and run trials, and the one that measures speed."""
