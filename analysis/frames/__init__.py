"""What the analyses compute: functions from rows to pandas frames. Nothing here draws."""
