"""The user's request: each class is a group of options, and each field is one option of the command line.

A new option needs two edits: a field here, with its help text, and the code that uses it. Commands take whole groups
(`study.cli.options.spread`). None means that the dataset or the search space decides.
"""

from study.driver.request.declare import (
    FOLDERS,
    KEPT,
    RESOURCES,
    RUNNING,
    SCORED,
    SEARCHED,
    TRAINED,
    check_positive,
    completing,
    one_of,
    several_of,
)
from study.driver.request.running import (
    DETERMINISTIC,
    DataFolder,
    Folders,
    ResourceOptions,
    ResultsFolder,
    RunningOptions,
)
from study.driver.request.scoring import (
    CHECKPOINT_EVERY,
    CheckpointOptions,
    FeatureOptions,
    GeneratorOptions,
    KeepOptions,
    ScoringOptions,
)
from study.driver.request.training import (
    LARGEST_SEARCH,
    SAMPLERS,
    MethodSelection,
    NetworkOptions,
    SearchBudget,
    SearchOptions,
    Selection,
    TrainingOptions,
)
from study.driver.request.whole import Request

__all__ = [
    "CHECKPOINT_EVERY",
    "DETERMINISTIC",
    "FOLDERS",
    "KEPT",
    "LARGEST_SEARCH",
    "RESOURCES",
    "RUNNING",
    "SAMPLERS",
    "SCORED",
    "SEARCHED",
    "TRAINED",
    "CheckpointOptions",
    "DataFolder",
    "FeatureOptions",
    "Folders",
    "GeneratorOptions",
    "KeepOptions",
    "MethodSelection",
    "NetworkOptions",
    "Request",
    "ResourceOptions",
    "ResultsFolder",
    "RunningOptions",
    "ScoringOptions",
    "SearchBudget",
    "SearchOptions",
    "Selection",
    "TrainingOptions",
    "check_positive",
    "completing",
    "one_of",
    "several_of",
]
