"""Configuration: TOML file, then environment, then flags, to frozen settings and shard specs.

settings.py        the top-level keys, with limits, defaults and descriptions
cascades.py        the sections of cascades: two models, one after the other
model_sections.py  the sections about models, splits and supervision
http_sections.py   the sections about connections, HTTPS and the size of requests
sections.py        the base of all sections
checks.py          checks across keys: contradictions, impossible limits, an open port without keys
problems.py        one error for the operator: key, finding, remedy, origin
abandonable.py     work on files in a thread that the process can leave behind
load.py            the sources and their precedence; every error at once
specs.py           settings and machine -> one `ModelSpec` per model, with its `ShardSpec`s
calibrations.py    the file of calibrations
advice.py          warnings about legal values that look wrong on this machine
schema.py          JSON Schema for editors, and docs/configuration.md
"""

from gateway.config.abandonable import read_text, reading, run_abandonable, run_patiently
from gateway.config.advice import advice
from gateway.config.calibrations import NAME as CALIBRATIONS
from gateway.config.calibrations import (
    CalibrationEntry,
    calibrations_of,
    read_calibrations,
    write_calibration,
)
from gateway.config.cascades import CascadeSettings
from gateway.config.http_sections import HttpSettings, LimitSettings, TlsSettings
from gateway.config.load import load
from gateway.config.model_sections import (
    INPUT_ORDER,
    CanarySettings,
    ModelSettings,
    OnDeadline,
    ShadowSettings,
    SplitSettings,
    SupervisionSettings,
    model_name,
)
from gateway.config.problems import ConfigError, Problem
from gateway.config.sections import Name
from gateway.config.settings import Settings
from gateway.config.specs import (
    CascadeSpec,
    ModelSpec,
    ShadowSpec,
    SplitSpec,
    cascade_specs,
    model_specs,
    split_specs,
)

__all__ = [
    "CALIBRATIONS",
    "INPUT_ORDER",
    "CalibrationEntry",
    "CanarySettings",
    "CascadeSettings",
    "CascadeSpec",
    "ConfigError",
    "HttpSettings",
    "LimitSettings",
    "ModelSettings",
    "ModelSpec",
    "Name",
    "OnDeadline",
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
    "cascade_specs",
    "load",
    "model_name",
    "model_specs",
    "read_calibrations",
    "read_text",
    "reading",
    "run_abandonable",
    "run_patiently",
    "split_specs",
    "write_calibration",
]
