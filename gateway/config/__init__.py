"""Configuration: TOML file, then environment, then flags, to frozen settings and shard specs.

settings.py  the keys, their limits and defaults: the one place to add a key
section.py   what all sections of keys have in common
http.py      the keys about connections
limits.py    the keys about the size of requests
moving.py    the keys for moving from one model to another: shadows and splits
checks.py    what no single key can say: clashes, impossible limits, an open port without keys
problems.py  an error as the operator reads it: where, what was found, what is allowed, the remedy
load.py      the sources and their precedence; every error at once
specs.py     settings and machine -> one `ModelSpec` per model, with its `ShardSpec`s
calibrations.py  the file of calibrations
advice.py    what is legal but looks wrong on this machine
schema.py    JSON Schema for editors, and docs/configuration.md
"""

from gateway.config.advice import advice
from gateway.config.calibrations import NAME as CALIBRATIONS
from gateway.config.calibrations import (
    CalibrationEntry,
    calibrations_of,
    read_calibrations,
    write_calibration,
)
from gateway.config.http import HttpSettings, TlsSettings
from gateway.config.limits import LimitSettings
from gateway.config.load import load
from gateway.config.moving import Name, ShadowSettings, SplitSettings
from gateway.config.problems import ConfigError, Problem
from gateway.config.settings import (
    ModelSettings,
    Settings,
    SupervisionSettings,
)
from gateway.config.specs import ModelSpec, ShadowSpec, SplitSpec, model_specs, split_specs

__all__ = [
    "CALIBRATIONS",
    "CalibrationEntry",
    "ConfigError",
    "HttpSettings",
    "LimitSettings",
    "ModelSettings",
    "ModelSpec",
    "Name",
    "Problem",
    "Settings",
    "ShadowSettings",
    "ShadowSpec",
    "SplitSettings",
    "SplitSpec",
    "SupervisionSettings",
    "TlsSettings",
    "advice",
    "calibrations_of",
    "load",
    "model_specs",
    "read_calibrations",
    "split_specs",
    "write_calibration",
]
