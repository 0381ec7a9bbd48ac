# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""The registered tasks: what a data set's columns and labels are, where it comes from and how it reads in a prompt."""

from dataclasses import dataclass

from ..errors import UserError, closest
from .label_names import BANKING77_LABELS, GO_EMOTIONS_LABELS


@dataclass(frozen=True)
class TaskSpec:
    """
    Describes one text-classification task.

    Attributes:
        name: Name of the task, and of its folder in a data directory.
        text_columns: Names of the text columns, in the order in which they are read (one, or two for sentence pairs).
            They are the same on the Hub and in local files.
        label_names: One name per class; the position of a name is its label id.
        label_column: Name of the label column in local files. A loaded dataset always calls it `label`.
        hub_id: Dataset repository on the Hub, or `None` if the task is not there.
        hub_config: Configuration of that repository.
        hub_revision: Commit of that repository that is loaded, or `None` for its newest.
        hub_label_column: Name of the label column on the Hub, where it is not `label_column`.
        hub_task_id: The Hub's name of this kind of task (`task_ids` of a card), or `None`.
        splits: Pairs (our split, split on the Hub). A split whose labels are not public is left out.
        row_filter: `"single_label"` if the label column on the Hub holds a list: rows with exactly one label are kept.
        metrics: Names of the metrics to report, the main one first: `accuracy`, `f1`, `matthews_correlation`.
        max_length: Greatest length of a whole text (all columns), in generator tokens.
        instruction: What an in-context-learning prompt begins with; may be empty.
        field_names: What the prompt calls each text column.
        answer_name: What the prompt calls the label.
        label_words: How the prompt writes each label; `label_names` unless given.
        prompt_template: Jinja2 template of a row in the prompt, or `None` for one line for each field and the label;
            see [`~ddg_hf.evaluation.icl.prompts.PromptTemplate`].
        description: Noun phrase for one text, used in verbal prefixes such as "negative movie review: ".
    """

    name: str
    text_columns: tuple[str, ...]
    label_names: tuple[str, ...]
    label_column: str = "label"
    hub_id: str | None = None
    hub_config: str | None = None
    hub_revision: str | None = None
    hub_label_column: str | None = None
    hub_task_id: str | None = None
    splits: tuple[tuple[str, str], ...] = (("train", "train"), ("validation", "validation"), ("test", "test"))
    row_filter: str | None = None
    metrics: tuple[str, ...] = ("accuracy",)
    max_length: int = 128
    instruction: str = ""
    field_names: tuple[str, ...] = ("Text",)
    answer_name: str = "Label"
    label_words: tuple[str, ...] = ()
    prompt_template: str | None = None
    description: str = "text"

    def __post_init__(self):
        if not self.label_words:
            object.__setattr__(self, "label_words", self.label_names)
        assert len(self.field_names) == len(self.text_columns), f"{self.name}: one field name per text column"
        assert len(self.label_words) == len(self.label_names), f"{self.name}: one label word per label"

    @property
    def num_labels(self) -> int:
        """Number of classes."""
        return len(self.label_names)


def readable(label_name: str) -> str:
    """Returns a label name as words: `"Refund_not_showing_up"` becomes `"refund not showing up"`."""
    return label_name.replace("_", " ").lower()


# In GLUE the labels of the test split are hidden (all -1), so only the other two are used.
_GLUE_SPLITS = (("train", "train"), ("validation", "validation"))
_GLUE_REVISION = "bcdcba79d07bc864c1c254ccfcedcce55bcc9a8c"
_TRAIN_AND_TEST = (("train", "train"), ("test", "test"))

_SENTIMENT = ("negative", "positive")

_SPECS = (
    TaskSpec(
        name="sst2",
        text_columns=("sentence",),
        label_names=_SENTIMENT,
        hub_id="stanfordnlp/sst2",
        hub_revision="8d51e7e4887a4caaa95b3fbebbf53c0490b58bbb",
        splits=_GLUE_SPLITS,
        hub_task_id="sentiment-classification",
        max_length=64,
        instruction="Classify the sentiment of each movie review as negative or positive.",
        field_names=("Review",),
        answer_name="Sentiment",
        description="movie review",
    ),
    TaskSpec(
        name="sst5",
        text_columns=("text",),
        label_names=("very negative", "negative", "neutral", "positive", "very positive"),
        hub_id="SetFit/sst5",
        hub_revision="e51bdcd8cd3a30da231967c1a249ba59361279a3",
        hub_task_id="sentiment-classification",
        max_length=64,
        instruction="Rate the sentiment of each movie review: very negative, negative, neutral, positive "
        "or very positive.",
        field_names=("Review",),
        answer_name="Sentiment",
        description="movie review",
    ),
    TaskSpec(
        name="cr",
        text_columns=("text",),
        label_names=_SENTIMENT,
        hub_id="SetFit/CR",
        # No commit of this repository is known for certain, so its newest is loaded.
        splits=_TRAIN_AND_TEST,
        hub_task_id="sentiment-classification",
        max_length=96,
        instruction="Classify the sentiment of each product review as negative or positive.",
        field_names=("Review",),
        answer_name="Sentiment",
        description="product review",
    ),
    TaskSpec(
        name="ag_news",
        text_columns=("text",),
        label_names=("World", "Sports", "Business", "Sci/Tech"),
        hub_id="fancyzhx/ag_news",
        hub_revision="eb185aade064a813bc0b7f42de02595523103ca4",
        splits=_TRAIN_AND_TEST,
        hub_task_id="topic-classification",
        max_length=128,
        instruction="Name the topic of each news article: World, Sports, Business or Sci/Tech.",
        field_names=("Article",),
        answer_name="Topic",
        description="news article",
    ),
    TaskSpec(
        name="cola",
        text_columns=("sentence",),
        label_names=("unacceptable", "acceptable"),
        hub_id="nyu-mll/glue",
        hub_config="cola",
        hub_revision=_GLUE_REVISION,
        splits=_GLUE_SPLITS,
        metrics=("matthews_correlation", "accuracy"),
        hub_task_id="acceptability-classification",
        max_length=48,
        instruction="Decide whether each sentence is grammatically unacceptable or acceptable.",
        field_names=("Sentence",),
        answer_name="Grammar",
        description="English sentence",
    ),
    TaskSpec(
        name="qnli",
        text_columns=("question", "sentence"),
        label_names=("entailment", "not_entailment"),
        hub_id="nyu-mll/glue",
        hub_config="qnli",
        hub_revision=_GLUE_REVISION,
        splits=_GLUE_SPLITS,
        hub_task_id="natural-language-inference",
        max_length=128,
        instruction="Decide whether the sentence answers the question: entailment if it does, not entailment if not.",
        field_names=("Question", "Sentence"),
        answer_name="Relation",
        label_words=("entailment", "not entailment"),
        description="question and sentence",
    ),
    TaskSpec(
        name="mnli",
        text_columns=("premise", "hypothesis"),
        label_names=("entailment", "neutral", "contradiction"),
        hub_id="nyu-mll/glue",
        hub_config="mnli",
        hub_revision=_GLUE_REVISION,
        splits=(("train", "train"), ("validation", "validation_matched")),
        hub_task_id="natural-language-inference",
        max_length=128,
        instruction="Say how the hypothesis follows from the premise: entailment, neutral or contradiction.",
        field_names=("Premise", "Hypothesis"),
        answer_name="Relation",
        description="premise and hypothesis",
    ),
    TaskSpec(
        name="qqp",
        text_columns=("question1", "question2"),
        label_names=("not_duplicate", "duplicate"),
        hub_id="nyu-mll/glue",
        hub_config="qqp",
        hub_revision=_GLUE_REVISION,
        splits=_GLUE_SPLITS,
        metrics=("accuracy", "f1"),
        hub_task_id="semantic-similarity-classification",
        max_length=128,
        instruction="Decide whether the two questions ask the same: duplicate if they do, not duplicate if not.",
        field_names=("Question 1", "Question 2"),
        answer_name="Relation",
        label_words=("not duplicate", "duplicate"),
        description="pair of questions",
    ),
    TaskSpec(
        name="banking77",
        text_columns=("text",),
        label_names=BANKING77_LABELS,
        # The Parquet copy of PolyAI/banking77, which itself is a script and no longer loads.
        hub_id="legacy-datasets/banking77",
        hub_revision="f54121560de48f2852f90be299010d1d6dc612ec",
        splits=_TRAIN_AND_TEST,
        metrics=("accuracy", "f1"),
        hub_task_id="intent-classification",
        max_length=96,
        instruction="Name the intent of each message from a customer of a bank.",
        field_names=("Message",),
        answer_name="Intent",
        label_words=tuple(readable(name) for name in BANKING77_LABELS),
        description="banking customer message",
    ),
    TaskSpec(
        name="go_emotions",
        text_columns=("text",),
        label_names=GO_EMOTIONS_LABELS,
        hub_id="google-research-datasets/go_emotions",
        hub_config="simplified",
        hub_revision="add492243ff905527e67aeb8b80c082af02207c3",
        hub_label_column="labels",
        row_filter="single_label",
        metrics=("accuracy", "f1"),
        hub_task_id="multi-class-classification",
        max_length=64,
        instruction="Name the emotion that each comment expresses.",
        field_names=("Comment",),
        answer_name="Emotion",
        description="online comment",
    ),
    TaskSpec(
        name="toy",
        text_columns=("text",),
        label_names=("praise", "complaint", "refund", "delivery", "cancellation", "question"),
        hub_task_id="intent-classification",
        max_length=48,
        instruction="Name the intent of each customer message: praise, complaint, refund, delivery, cancellation "
        "or question.",
        field_names=("Message",),
        answer_name="Intent",
        description="customer message",
    ),
)

TASKS: dict[str, TaskSpec] = {spec.name: spec for spec in _SPECS}


def get_task(name: str) -> TaskSpec:
    """
    Returns the registered task called `name`.

    Raises:
        UserError: If there is none; names the closest one and lists them all.
    """
    if name not in TASKS:
        raise UserError(f"Unknown task '{name}'.{closest(name, TASKS)} The tasks are {', '.join(TASKS)}.")
    return TASKS[name]
