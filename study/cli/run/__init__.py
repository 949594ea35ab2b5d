"""The commands that plan, train and measure speed."""
