"""Hands trials to Ray Tune and follows them; the only package that imports ray.

Ray reads these variables when it is imported, so they are set before any module of this package can import it.
"""

import os

os.environ["TUNE_DISABLE_AUTO_CALLBACK_LOGGERS"] = "1"  # the rows are kept elsewhere
os.environ["TUNE_MAX_PENDING_TRIALS_PG"] = "1000000"  # how many trials are handed out is up to `Feed`
os.environ["TUNE_DISABLE_SIGINT_HANDLER"] = "1"  # Ctrl-C reaches the command, which ends the study in order
os.environ["RAY_CHDIR_TO_TRIAL_DIR"] = "0"
os.environ["RAY_AIR_NEW_OUTPUT"] = "0"
os.environ["RAY_TRAIN_V2_ENABLED"] = "0"
os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
