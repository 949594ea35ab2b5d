"""Runs trials with Ray Tune; the only package that imports ray.

Ray reads these variables at import, so they are set here, before any module of this package imports it.
"""

import os

os.environ["TUNE_DISABLE_AUTO_CALLBACK_LOGGERS"] = "1"  # the study writes its own rows
os.environ["TUNE_MAX_PENDING_TRIALS_PG"] = "1000000"  # `Feed` limits the number of trials
os.environ["TUNE_DISABLE_SIGINT_HANDLER"] = "1"  # the command handles Ctrl-C
os.environ["RAY_CHDIR_TO_TRIAL_DIR"] = "0"
os.environ["RAY_AIR_NEW_OUTPUT"] = "0"
os.environ["RAY_TRAIN_V2_ENABLED"] = "0"
os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
