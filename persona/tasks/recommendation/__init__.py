"""The recommendation world: logs of who met which item, how they are split, and what is measured. Numpy only."""

from persona.tasks.recommendation.collecting import Collector
from persona.tasks.recommendation.events import PADDING, EventLog
from persona.tasks.recommendation.filtering import at_least, k_core
from persona.tasks.recommendation.ranking import rank_targets, sampled_ranks
from persona.tasks.recommendation.splits import Ageing, Split, by_user, first_half, leave_one_out, temporal, temporal_at

__all__ = [
    "PADDING",
    "Ageing",
    "Collector",
    "EventLog",
    "Split",
    "at_least",
    "by_user",
    "first_half",
    "k_core",
    "leave_one_out",
    "rank_targets",
    "sampled_ranks",
    "temporal",
    "temporal_at",
]
