"""Names → things: ``"module:Class"``, imported when asked for.

Other distributions add theirs by an entry point in the group ``persona.<kind>``; anything importable can be named in
full.
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import entry_points
from typing import Any

from persona.errors import CatalogError

CATALOG: dict[str, dict[str, str]] = {
    "backbones": {
        "cnn-bn": "persona.backbones.cnn:cnn_bn",
        "cnn-gn": "persona.backbones.cnn:cnn_gn",
        "din": "persona.backbones.din:DIN",
        "gru4rec": "persona.backbones.gru4rec:GRU4Rec",
        "mobilenet-v3-small": "persona.backbones.mobilenet:mobilenet_v3_small",
        "resnet-8": "persona.backbones.resnet:resnet_8",
        "resnet-8-gn": "persona.backbones.resnet:resnet_8_gn",
        "sasrec": "persona.backbones.sasrec:SASRec",
    },
    "logs": {
        "amazon_beauty": "persona.tasks.recommendation.readers.amazon:amazon_sequences",
        "amazon_grocery": "persona.tasks.recommendation.readers.amazon:amazon_timed",
        "amazon_hin": "persona.tasks.recommendation.readers.amazon:amazon_timed",
        "amazon_instruments": "persona.tasks.recommendation.readers.amazon:amazon_sequences",
        "amazon_office": "persona.tasks.recommendation.readers.amazon:amazon_office",
        "amazon_toys": "persona.tasks.recommendation.readers.amazon:amazon_sequences",
        "atomic": "persona.tasks.recommendation.readers.atomic:read_atomic",
        "csv": "persona.tasks.recommendation.readers.tables:read_csv",
        "ml-100k": "persona.tasks.recommendation.readers.movielens:movielens_100k",
        "ml-1m": "persona.tasks.recommendation.readers.movielens:movielens_1m",
        "parquet": "persona.tasks.recommendation.readers.tables:read_parquet",
    },
    "methods": {
        "alpha-bn": "persona.baselines.alpha_bn:AlphaBn",
        "bn": "persona.baselines.bn:Bn",
        "bn-prior": "persona.baselines.prior_correction:PriorCorrection",
        "cotta": "persona.baselines.cotta:Cotta",
        "eata": "persona.baselines.eata:Eata",
        "finetune": "persona.baselines.finetune:FineTune",
        "foa": "persona.baselines.foa:Foa",
        "lame": "persona.baselines.lame:Lame",
        "neo": "persona.baselines.neo:Neo",
        "roid": "persona.baselines.roid:Roid",
        "rotta": "persona.baselines.rotta:Rotta",
        "sar": "persona.baselines.sar:Sar",
        "static": "persona.baselines.static:Static",
        "t3a": "persona.baselines.t3a:T3A",
        "tent": "persona.baselines.tent:Tent",
    },
    "tasks": {
        "vision": "persona.tasks.vision.task:VisionTask",
    },
}


def names(kind: str) -> list[str]:
    """Return the names of one kind, built in and installed; CatalogError for an unknown kind."""
    return sorted({*_built_in(kind), *(entry.name for entry in entry_points(group=f"persona.{kind}"))})


def load(kind: str, name: str) -> Any:
    """Return the object behind a name or behind a full ``module:Class``.

    CatalogError where the name is unknown, or the module or the attribute cannot be imported.
    """
    target = name if ":" in name else _built_in(kind).get(name)
    if target is None:
        for entry in entry_points(group=f"persona.{kind}", name=name):
            target = entry.value
    if target is None:
        raise CatalogError(f"{name!r} is not among the {kind}: {', '.join(names(kind))}; or name it as module:Class")
    module, _, attribute = target.partition(":")
    try:
        return getattr(import_module(module), attribute)
    except (ImportError, AttributeError, TypeError, ValueError) as error:
        raise CatalogError(
            f"{name!r} of the {kind} stands for {target}, which cannot be imported: {error}; "
            "install it, or run `python -m persona` from its folder"
        ) from error


def _built_in(kind: str) -> dict[str, str]:
    if kind not in CATALOG:
        raise CatalogError(f"there is no catalogue of {kind!r}; there are {', '.join(CATALOG)}")
    return CATALOG[kind]
