"""The one reading of a checkpoint: all its files become a scoring recipe, or a refusal.

Files count in this order: modules.json and its modules, the chat template, the settings of
sentence-transformers, config.json. Where no file has a prompt, the checkpoint's class or name
selects a prompt of ours, with a note in `notes`.
"""

import re
from dataclasses import dataclass, replace
from typing import Any

from shards.checkpoint.chat_template import NotAPair, prompt_of
from shards.checkpoint.config_keys import expect_known_keys
from shards.checkpoint.configuration import check_config
from shards.checkpoint.direct import stored_shapes
from shards.checkpoint.expect import File
from shards.checkpoint.folder import Checkpoint
from shards.checkpoint.kind import DECODERS, expect_class, refuse_embedder, refuse_plain_model
from shards.checkpoint.labels import label_weights, labels_of
from shards.checkpoint.layouts import layout_for
from shards.checkpoint.sentence_files import SentenceFiles, read_sentence_files
from shards.checkpoint.template_files import read_template
from shards.checkpoint.unserved import refuse_by_kind
from shards.prompts import KNOWN, PLAIN, Answers, Known, Prompt, known_for
from shards.recipe import Recipe
from shards.refusal import Refusal
from shards.wire.exit_codes import ExitCode

_AUTO = "auto"
_HEAD = re.compile(r"(^|\.)(lm_head|classifier\w*|score|head|logits_proj|out_proj|summary)\.")
_IDENTITY = "Identity"
_OURS = "qwen3-reranker"  # the prompt of models that this project trains
_RERANKER_ROWS = 151_669  # of the vocabulary of Qwen3-Reranker, and of no plain Qwen3


def read_reranker(checkpoint: Checkpoint, template: str = _AUTO) -> Recipe:
    """Return the scoring recipe of a reranker.

    Args:
        template: the operator's choice of a prompt: a name of `shards.prompts.TEMPLATES`, `plain`
            for none, or `auto` for the prompt of the files.

    Raises:
        Refusal: it is no reranker that can be served faithfully; the message names its kind.
    """
    if template not in (_AUTO, PLAIN, *KNOWN):
        known = ", ".join((*KNOWN, PLAIN))
        raise Refusal(f"template {template!r} is not known; use one of {known}", ExitCode.SPEC)
    return _Reading(checkpoint, template).recipe()


def expect_engine(recipe: Recipe, name: str, engine: str) -> None:
    """Refuse a checkpoint that is not for this engine.

    Args:
        name: the name of the checkpoint.
    """
    if recipe.engine != engine:
        raise Refusal(
            f"{name} ({recipe.kind}) is for the engine {recipe.engine!r}, not {engine!r}; leave "
            "`engine` at auto",
            ExitCode.SPEC,
        )


@dataclass(frozen=True, slots=True)
class _Prompted:
    """The way from a pair to a text.

    Attributes:
        prompt: the prompt; `None` where the tokenizer joins query and document.
        answers: the answers of a prompt of ours.
        note: the source of the prompt.
    """

    prompt: Prompt | None
    answers: Answers | None
    note: str


class _Reading:
    """One checkpoint that is being read."""

    def __init__(self, checkpoint: Checkpoint, template: str) -> None:
        self._checkpoint = checkpoint
        self._template = template
        self._config = File(str(checkpoint.folder / "config.json"), checkpoint.config)
        self._stored = {} if checkpoint.is_graph else stored_shapes(checkpoint)
        if not checkpoint.model_type:
            raise Refusal(f"{self._config.name} has no model_type: download the checkpoint again")
        check_config(self._config, self._stored)
        self._files = read_sentence_files(checkpoint.folder, checkpoint.name)
        self._layout = layout_for(self._config, self._stored)

    def recipe(self) -> Recipe:
        """Return the recipe."""
        checkpoint, architecture = self._checkpoint, self._checkpoint.architecture
        if not self._files.modules:
            if not self._layout:
                refuse_by_kind(checkpoint.name, checkpoint.config, architecture)
                refuse_embedder(checkpoint)
                expect_class(checkpoint)
            self._expect_task(architecture)
        expect_known_keys(self._config, self._layout.keys if self._layout else ())
        if self._files.modules:
            return self._modular()
        if architecture.endswith("ForCausalLM"):
            return self._language_model()
        return self._classifier()

    def _expect_task(self, architecture: str) -> None:
        fits = {
            "text-generation": architecture.endswith("ForCausalLM"),
            "sequence-classification": architecture.endswith("ForSequenceClassification"),
        }
        if self._files.task and not fits.get(self._files.task, False):
            raise Refusal(
                f"{self._checkpoint.name} is a {architecture} in its config.json, and its "
                f"sentence_bert_config.json wants {self._files.task}: its head would be random"
            )

    # -- kinds -------------------------------------------------------------------------------------

    def _language_model(self) -> Recipe:
        """Read a decoder whose vocabulary is its head."""
        checkpoint = self._checkpoint
        if checkpoint.model_type not in DECODERS:
            raise Refusal(
                f"{checkpoint.name} is a {checkpoint.architecture}; scoring by the logits of "
                f"tokens is known for decoders of model type {', '.join(sorted(DECODERS))}"
            )
        self._expect_head()
        found = self._prompted(is_language_model=True)
        answers = self._files.answers or found.answers or KNOWN[_OURS].answers
        return self._made(
            "decoder, logits of tokens",
            engine="causal",
            found=found,
            answers=answers,
            pooling="last",
            is_causal=self._is_causal(),
            warnings=_warned_of(answers, checkpoint, self._files),
        )

    def _classifier(self) -> Recipe:
        """Read a checkpoint with a row for each label."""
        checkpoint = self._checkpoint
        labels = labels_of(self._config)
        weights, warnings = label_weights(labels, checkpoint.name)
        is_decoder = checkpoint.model_type in DECODERS or self._is_bidirectional_decoder
        self._expect_head()
        found = self._prompted(is_language_model=False)
        engine = "causal" if is_decoder and not self._pooling_of_layout else "classifier"
        if not is_decoder and self._config.flag("is_causal", usual=False):
            raise self._config.refuse("is_causal", "false")
        return self._made(
            f"{'decoder' if is_decoder else 'encoder'}, a row for each label",
            engine=engine,
            found=found,
            labels=tuple(labels.values()),
            label_weights=weights,
            pooling=self._pooling_of_layout or ("last" if engine == "causal" else "own"),
            is_causal=self._is_causal() if is_decoder else False,
            pad_token_id=self._config.count("pad_token_id", least=-1),
            temperature=self._config.number("temperature", 1.0) if self._pooling_of_layout else 1.0,
            warnings=warnings,
        )

    def _modular(self) -> Recipe:
        """Read a body with the modules of sentence-transformers."""
        files, width = self._files, self._config.count("hidden_size")
        for module in files.modules:
            if module.inputs and width and module.inputs != width:
                raise Refusal(
                    f"{self._checkpoint.name}: the module in {module.folder} takes {module.inputs} "
                    f"numbers, and {width} are given to it"
                )
            width = module.outputs or width
        labels = labels_of(File("modules", {"num_labels": width}))
        weights, warnings = label_weights(labels, self._checkpoint.name)
        return self._made(
            "modules of sentence-transformers",
            engine="classifier",
            found=self._prompted(is_language_model=False),
            labels=tuple(labels.values()),
            label_weights=weights,
            pooling=files.pooling,
            modules=files.modules,
            is_causal=self._checkpoint.model_type in DECODERS and self._is_causal(),
            warnings=warnings,
        )

    def _made(
        self, kind: str, *, found: _Prompted, warnings: tuple[str, ...], **rest: Any
    ) -> Recipe:
        activation, origin = self._activation()
        said = (activation.rpartition(".")[2] or "Sigmoid") if activation else "Sigmoid"
        if said not in (_IDENTITY, "Sigmoid"):
            warnings += (
                f"activation {activation} is not one of Sigmoid and Identity; sigmoid is used",
            )
        return Recipe(
            kind=kind,
            layout=self._layout.name if self._layout else "transformers",
            prompt=found.prompt,
            has_segments="rms_norm_eps" not in self._config,  # which decoders have
            before_query="" if found.prompt else self._files.default_prompt,
            activation="identity" if said == _IDENTITY else "sigmoid",
            activation_origin=f"{origin} says {activation}"
            if activation
            else "no file says another",
            most_tokens=self._files.most_tokens,
            notes=(found.note,) if found.note else (),
            warnings=warnings,
            **rest,
        )

    def _expect_head(self) -> None:
        """Refuse a checkpoint whose head was lost: it would be random."""
        if not self._stored or any(_HEAD.search(name) for name in self._stored):
            return
        is_lm = self._checkpoint.architecture.endswith("ForCausalLM")
        tied = self._config.flag("tie_word_embeddings", usual=True)
        if not is_lm or not tied:
            head = "lm_head" if is_lm else "classifier, score"
            raise Refusal(
                f"{self._checkpoint.name} stores no head ({head}), which would be random: it was "
                "lost when the checkpoint was saved; use one that was saved as a reranker"
            )

    # -- parts -------------------------------------------------------------------------------------

    @property
    def _pooling_of_layout(self) -> str:
        return self._layout.pooling(self._config) if self._layout else ""

    @property
    def _is_bidirectional_decoder(self) -> bool:
        return bool(self._pooling_of_layout)

    def _is_causal(self) -> bool:
        return self._config.flag("is_causal", usual=True) and not self._pooling_of_layout

    def _activation(self) -> tuple[str, str]:
        """Return the activation's name and the file that sets it; both empty if no file does."""
        inside = self._config.object("sentence_transformers")
        old = "sbert_ce_default_activation_function"
        for activation, where in (
            (self._files.activation, "config_sentence_transformers.json"),
            (inside.text("activation_fn"), "config.json"),
            (self._config.text(old), "config.json"),
        ):
            if activation:
                return activation, where
        return "", ""

    def _prompted(self, *, is_language_model: bool) -> _Prompted:
        """Return the way from a pair to a text, from the operator, the files, or the name."""
        if self._template == PLAIN:
            return _Prompted(None, None, "pairs are joined by the tokenizer, as configured")
        if self._template != _AUTO:
            known = KNOWN[self._template]
            return _Prompted(self._instructed(known), known.answers, "")
        if self._files.message_format == "":
            return self._by_layout() or self._joined("sentence_bert_config.json gives texts")
        chat = read_template(
            self._checkpoint.folder,
            self._checkpoint.model_type,
            self._files.message_format or _AUTO,
            self._files.chat_settings,
        )
        why_not = "there is no chat template"
        if chat is not None:
            try:
                prompt = prompt_of(chat, self._files.default_prompt)
                return _Prompted(
                    prompt, None, f"prompt: the chat template of {_short(chat.origin)}"
                )
            except NotAPair as error:
                why_not = f"the chat template of {_short(chat.origin)} carries no pair ({error})"
        if self._files.message_format is not None:
            raise Refusal(
                f"{self._checkpoint.name}: its sentence_bert_config.json makes messages of pairs, "
                f"and {why_not}: download the whole checkpoint again"
            )
        found = self._by_layout() or self._by_name(chat.text if chat else "", why_not)
        if found is None and is_language_model:
            self._refuse_unprompted(why_not)
        return found or self._joined(f"{why_not}, and no prompt of ours goes with its name")

    def _joined(self, why: str) -> _Prompted:
        is_usual = "rms_norm_eps" not in self._config  # of encoders
        return _Prompted(
            None, None, "" if is_usual else f"pairs are joined by the tokenizer: {why}"
        )

    def _by_layout(self) -> _Prompted | None:
        if not (self._layout and self._layout.template):
            return None
        known = KNOWN[self._layout.template]
        note = f"prompt: {known.prompt.name}, by the class {self._checkpoint.architecture}"
        return _Prompted(known.prompt, None, note)

    def _by_name(self, chat_template: str, why_not: str) -> _Prompted | None:
        checkpoint = self._checkpoint
        if "rerank_gateway" in self._config and checkpoint.model_type in KNOWN[_OURS].families:
            known = KNOWN[_OURS]
            return _Prompted(self._instructed(known), known.answers, "")
        found = known_for(checkpoint.model_type, checkpoint.own_names, chat_template)
        fine_tuned = "sentence_transformers" in self._config and not chat_template
        if found is None and checkpoint.config.get("vocab_size") == _RERANKER_ROWS:
            found = KNOWN[_OURS], f"its vocabulary of {_RERANKER_ROWS} tokens"
        if found is None or (fine_tuned and not checkpoint.architecture.endswith("ForCausalLM")):
            return None
        known, sign = found
        note = f"prompt: {known.prompt.name}, for {sign} ({why_not})"
        return _Prompted(self._instructed(known), known.answers, note)

    def _instructed(self, known: Known) -> Prompt:
        """Return a prompt of ours with the default instruction of the files, if they have one."""
        if not (self._files.default_prompt and known.prompt.takes_instruction):
            return known.prompt
        return replace(known.prompt, instruction=self._files.default_prompt)

    def _refuse_unprompted(self, why_not: str) -> None:
        checkpoint = self._checkpoint
        refuse_plain_model(checkpoint)
        raise Refusal(
            f"no file of {checkpoint.name} says with which prompt it scores ({why_not}), nor does "
            f"its name: set `template` to the one it was trained on: {', '.join((*KNOWN, PLAIN))}",
            ExitCode.SPEC,
        )


def _short(path: str) -> str:
    return path.rpartition("/")[2]


def _warned_of(answers: Answers, checkpoint: Checkpoint, files: SentenceFiles) -> tuple[str, ...]:
    """Refuse ids of answers that are no rows of the vocabulary."""
    rows = checkpoint.config.get("vocab_size")
    for id in (answers.true, answers.false):
        if isinstance(id, int) and isinstance(rows, int) and id >= rows:
            raise Refusal(
                f"{checkpoint.name}: its LogitScore names the token {id}, and the vocabulary has "
                f"{rows}: they do not belong together"
            )
    if answers.true == answers.false:
        raise Refusal(f"{checkpoint.name}: its LogitScore names one token twice: all scores are 0")
    return ()
