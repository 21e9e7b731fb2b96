"""Counters: what plain counting predicts, without training. A base below them is broken."""

from persona.tasks.recommendation.counters.base import Counter, scored
from persona.tasks.recommendation.counters.blend import Blend, choose_blend
from persona.tasks.recommendation.counters.item_knn import ItemKnn, KnnShape
from persona.tasks.recommendation.counters.markov import Markov
from persona.tasks.recommendation.counters.popularity import Popularity

__all__ = ["Blend", "Counter", "ItemKnn", "KnnShape", "Markov", "Popularity", "choose_blend", "scored"]
