"""Options of the command line: each class is a group of options, and each field of a class is one option.

To add an option, add a field with its help text here, and use it where it takes effect. A command takes whole groups as
parameters (`study.cli.options.spread`). None means that the dataset or the search space decides.
"""

from study.driver.request.declare import (
    EXECUTION_PANEL,
    FOLDERS_PANEL,
    KEEP_PANEL,
    OUTPUT_PANEL,
    RESOURCES_PANEL,
    SCORING_PANEL,
    SEARCH_PANEL,
    TRAINING_PANEL,
    check_positive,
    completer,
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
    "EXECUTION_PANEL",
    "FOLDERS_PANEL",
    "KEEP_PANEL",
    "LARGEST_SEARCH",
    "OUTPUT_PANEL",
    "RESOURCES_PANEL",
    "SAMPLERS",
    "SCORING_PANEL",
    "SEARCH_PANEL",
    "TRAINING_PANEL",
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
    "completer",
    "one_of",
    "several_of",
]
