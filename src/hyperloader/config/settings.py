"""Every setting of the suite as a typed model: what to reproduce, at which scale, by which recipe.

Unknown keys are refused. `config/README.md` explains each key; `hyperloader.planning.plan` turns these into runs.
"""

from __future__ import annotations

from collections.abc import Container, Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, get_args, get_type_hints

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    Tag,
    ValidationError,
    create_model,
    field_validator,
    model_validator,
)

from hyperloader.errors import SettingsError
from hyperloader.files import listed, read_json, reading, there


def _told_apart(percent: float) -> float:
    """Refuse a fraction that paths and tables would show as another one."""
    if float(f"{percent:g}") != percent:
        raise ValueError(f"a fraction has at most six digits: {percent:g}")
    return percent


def _distinct(values: list) -> list:
    """Refuse a list that has something twice: it would be trained, or counted, twice."""
    for position, value in enumerate(values):
        if value in values[:position]:
            raise ValueError(f"names {value} twice")
    return values


# of a list: stands after its length, whose message would else speak of a value and not of a list
DISTINCT = (AfterValidator(_distinct), Field(json_schema_extra={"uniqueItems": True}))
Percent = Annotated[float, Field(gt=0, le=100), AfterValidator(_told_apart)]
Seed = Annotated[int, Field(ge=0, le=2**32 - 1)]  # what NumPy takes
Probability = Annotated[float, Field(ge=0, lt=1)]
Decoding = Literal["free", "constrained"]
ExportForm = Literal["hyperloader", "adapters", "peft", "merged"]  # hyperloader.interop.exporting
Precision = Literal["fp32", "tf32", "bf16"]  # what each means: hyperloader.models.precision
Name = Annotated[str, Field(pattern=r"^\w[\w.+-]*$")]  # becomes a part of a path, and must not lead elsewhere
LayerNorms = Literal["trained", "frozen"]
# of a network: a larger one is a slip, and would take all memory before anything else is said
Size = Annotated[int, Field(gt=0, le=2**16)]
SizeOrZero = Annotated[int, Field(ge=0, le=2**16)]
MethodSettings = dict[str, dict[str, Any]]
DATA_SEED = 42  # of the draws whose data and runs have no seed in their paths


class Settings(BaseModel):
    """Base of all settings: immutable; unknown keys, truth values for numbers, and numbers that are none or infinite are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _no_truth_value_is_a_number(cls, values: Any) -> Any:
        for name in cls.model_fields.keys() & (values if isinstance(values, dict) else ()):
            annotation, value = cls.model_fields[name].annotation, values[name]
            items = value if isinstance(value, list) else [value]
            if bool not in (annotation, *get_args(annotation)) and any(isinstance(item, bool) for item in items):
                raise ValueError(f"'{name}': input should not be a truth value (yes, no, true, false)")
        return values


class HubBackbone(Settings):
    """Pre-trained weights from the Hugging Face hub, e.g. `google-t5/t5-base`."""

    source: Literal["hub"]
    name: str
    revision: str = "main"
    sha256: dict[str, Annotated[str, Field(pattern="^[0-9a-f]{64}$")]] = Field({}, description="of its files: others are refused")
    config: dict[str, int] = Field({}, description="its sizes as in its config.json, to count parameters before the weights are there")


class DirectoryBackbone(Settings):
    """Pre-trained weights from a local directory in `save_pretrained` layout, with their tokenizer."""

    source: Literal["directory"]
    path: str


class T5Architecture(Settings):
    """Size of a T5 that is pre-trained here (T5 v1.0: ReLU, tied head)."""

    d_model: Size = 64
    d_kv: Size = 16
    d_ff: Size = 256
    num_layers: Size = 2
    num_heads: Size = 4
    dropout_rate: Probability = 0.0


class BertArchitecture(Settings):
    """Size of a BERT that is pre-trained here."""

    hidden_size: Size
    num_hidden_layers: Size = 2
    num_attention_heads: Size = 4
    intermediate_size: Size = 256
    hidden_dropout_prob: Probability = 0.0
    attention_probs_dropout_prob: Probability = 0.0

    @model_validator(mode="after")
    def _shared_out(self) -> BertArchitecture:
        if self.hidden_size % self.num_attention_heads:
            raise ValueError(f"hidden_size {self.hidden_size} cannot be shared out among {self.num_attention_heads} attention heads")
        return self


def _family(architecture: Any) -> str:
    keys = architecture if isinstance(architecture, dict) else getattr(type(architecture), "model_fields", ())
    return "bert" if any(key in BertArchitecture.model_fields for key in keys) else "t5"


AnyArchitecture = Annotated[Annotated[T5Architecture, Tag("t5")] | Annotated[BertArchitecture, Tag("bert")], Discriminator(_family)]


class Pretraining(Settings):
    """Budget and task mix of the pre-training of a small backbone."""

    steps: PositiveInt
    batch_size: PositiveInt = 32
    learning_rate: PositiveFloat = 2e-3
    warmup_steps: NonNegativeInt = 100
    hidden_words: Probability = Field(0.0, description="share of the words that rewriting or guessing hides; at least one word is")
    tagging: Annotated[float, Field(ge=0, le=1)] = Field(0.5, description="share of steps that tag auxiliary text")


class PretrainedBackbone(Settings):
    """A small backbone that is pre-trained here, on generated text or on the real corpora's training text."""

    source: Literal["pretrained"]
    text: Literal["generated", "corpora"]
    architecture: AnyArchitecture = T5Architecture()
    pieces: PositiveInt | None = Field(
        None, description="sub-words of a vocabulary trained on the corpora's text; null: those of T5's that they use, for a BERT 6000"
    )
    teacher: Literal["minilm"] | None = Field(None, description="whose word vectors the embeddings start from; null: random ones")
    pretraining: Pretraining
    seed: Seed = 42


Kind = Literal["t5", "bert"]
PAPER_BACKBONES = ("google-t5/t5-base", "google-bert/bert-base-uncased")
Backbone = Annotated[HubBackbone | DirectoryBackbone | PretrainedBackbone, Field(discriminator="source")]


def _check_family(kind: str, backbone: Backbone) -> None:
    if isinstance(backbone, PretrainedBackbone) and _family(backbone.architecture) != kind:
        wanted = BertArchitecture if kind == "bert" else T5Architecture
        raise ValueError(f"the architecture of a {kind} has the keys {', '.join(wanted.model_fields)}")


def _refuse_fp16(value: Any) -> Any:
    if value == "fp16":
        raise ValueError("T5's activations overflow in fp16; use bf16, which has the range of fp32")
    return value


class Training(Settings):
    """How a run is optimised."""

    steps: PositiveInt
    batch_size: PositiveInt
    learning_rate: PositiveFloat
    schedule: Literal["constant", "linear", "trapezoidal"] = Field(
        description="after the warm-up: constant; linearly to zero; constant, and linearly to zero in the last fifth"
    )
    warmup_steps: NonNegativeInt
    weight_decay: NonNegativeFloat
    label_smoothing: Probability
    loss_reduction: Literal["mean", "sum"] = Field(description="over the target tokens of a batch")
    max_grad_norm: PositiveFloat | None
    temperature: PositiveFloat = Field(description="T of p_t = N_t^(1/T) / sum_s N_s^(1/T)")
    evaluate_every: PositiveInt = Field(description="steps between checkpoints, each with a validation loss")
    evaluation_batches: PositiveInt | None = Field(description="training batches' worth of validation sentences per task; null for all")
    epochs: PositiveInt | None = Field(None, description="passes over the training sentences, in at most `steps` steps")
    patience: PositiveInt | None = Field(
        None, description="checkpoints without a better value of what `selection` looks at before training stops"
    )
    sampling: Literal["replacement", "epochs"] = Field("replacement", description="how a task's examples are drawn")
    bucketing: bool = Field(True, description="batches of sentences of similar length")
    gradient_accumulation_steps: PositiveInt = Field(1, description="parts that a batch is computed in")
    precision: Precision = Field("fp32", description="of matrix products; norms, residual stream and trained weights are fp32")
    compile: bool = Field(False, description="compile the backbone's blocks with torch.compile; needs a C++ compiler, on a GPU Triton")
    cuda_graphs: bool = Field(
        True, description="on one GPU, replay the steps of frequent shapes from recorded CUDA graphs; no result changes"
    )
    selection: Literal["best", "best_f1", "last"] = Field(
        description="keep the weights of the best validation loss, of the best validation F1 (average over the tasks), or the last"
    )
    source_length: PositiveInt = Field(description="longest input in sub-word tokens; longer ones are cut")
    target_length: PositiveInt = Field(description="longest target in sub-word tokens; longer ones are cut")

    _no_fp16 = field_validator("precision", mode="before")(_refuse_fp16)

    @model_validator(mode="after")
    def _waits_for_something(self) -> Training:
        if self.patience is not None and self.selection == "last":
            raise ValueError("with selection: last nothing is better than what comes last, so patience would never end; leave it out")
        return self


# with their limits, which the annotations of fields lack
_TYPES = get_type_hints(Training, include_extras=True)
TrainingChanges = create_model(
    "TrainingChanges",
    __base__=Settings,
    __validators__={"_no_fp16": field_validator("precision", mode="before")(_refuse_fp16)},
    __doc__="A partial training: the settings that differ.",
    **{name: (_TYPES[name], Field(None, description=field.description)) for name, field in Training.model_fields.items()},
)


class Variant(Settings):
    """A method with other settings, under a name of its own in paths and tables."""

    method: str = Field(description="that it is a variant of")
    title: str
    settings: dict[str, Any] = Field({}, description="of the method: those that differ")
    training: TrainingChanges = Field(TrainingChanges(), description="what differs in its training")
    multitask: bool | None = Field(None, description="one run for all corpora, or one for each; null: as the method itself")


class Tuning(Settings):
    """How learning rates are chosen: by validation loss at 100 % of the data, on seeds that are not reported."""

    learning_rates: Annotated[list[PositiveFloat], Field(min_length=2), *DISTINCT] = Field(
        [1e-3, 3e-3, 1e-2, 3e-2], description="the same for all"
    )
    # a rate at the edge learns with some seeds and not with others
    seeds: Annotated[list[Seed], Field(min_length=1), *DISTINCT] = [0, 1, 2]
    methods: Annotated[list[str], *DISTINCT] = Field([], description="or variants; none: those of the configuration")
    single_task_corpora: Annotated[list[str], *DISTINCT] = Field([], description="that stand for all where each has a model; none: all")
    training: TrainingChanges = Field(TrainingChanges(), description="what differs in a trial's training, such as fewer steps")


class Question(Settings):
    """What rows of the ablation table answer."""

    question: str
    methods: Annotated[list[str], Field(min_length=1), *DISTINCT] = Field(description="or variants: each a row, compared with `against`")
    against: str
    fractions: Annotated[list[Percent], *DISTINCT] = Field([], description="other ones than the study's")


class Ablations(Settings):
    """The ablation study: `config/ablations.yaml`."""

    fractions: Annotated[list[Percent], Field(min_length=1), *DISTINCT] = [100]
    variants: dict[Name, Variant] = {}
    questions: list[Question] = []

    def narrowed(self, fractions: Container[float], names: Container[str] = ()) -> Ablations:
        """The questions at these shares of the data, of methods and variants with these names: those whose `against` is one of them, and
        of their `methods` those; no names: all."""
        questions = []
        for question in self.questions:
            asked = [percent for percent in question.fractions or self.fractions if percent in fractions]
            methods = [name for name in question.methods if not names or name in names]
            if asked and methods and (not names or question.against in names):
                questions.append(question.model_copy(update={"fractions": asked, "methods": methods}))
        return self.model_copy(update={"questions": questions})

    def asked(self) -> Iterator[tuple[Question, float]]:
        """Each question at each of its fractions."""
        return ((question, percent) for question in self.questions for percent in question.fractions or self.fractions)

    @property
    def names(self) -> dict[float, list[str]]:
        """The methods and variants that occur in a question, by fraction."""
        found: dict[float, dict[str, None]] = {}
        for question, percent in self.asked():
            found.setdefault(percent, {}).update(dict.fromkeys((question.against, *question.methods)))
        return {percent: list(names) for percent, names in found.items()}


class Recipe(Settings):
    """A published or chosen way to train: `config/recipes/<name>.yaml`."""

    training: Training
    single_task: TrainingChanges = Field(TrainingChanges(), description="what differs for methods with one run per corpus")
    training_of: dict[str, TrainingChanges] = Field({}, description="per method: what differs in its training")
    methods: MethodSettings = {}


class Scale(Settings):
    """How large: which corpora, which backbones, how many steps: `config/scales/<name>.yaml`."""

    corpora: Literal["real", "generated"]
    backbones: dict[Kind, Backbone]
    seeds: Annotated[list[Seed], Field(min_length=1), *DISTINCT] = Field(
        [42, 43, 44], description="of the runs, where the configuration names none"
    )
    one_job_per_method: bool = Field(False, description="all corpora of a single-task method in one job, where starting up takes longer")
    threads: PositiveInt = Field(4, description="of a job that computes; several small runs side by side are faster than one on all cores")
    jobs_per_gpu: Literal[1, 2, 4, 8] = Field(1, description="how many jobs share a GPU, where models are small")
    training: TrainingChanges = TrainingChanges()
    single_task: TrainingChanges = Field(TrainingChanges(), description="what differs for methods with one run per corpus")
    training_of: dict[str, TrainingChanges] = Field({}, description="per method: what differs in its training")
    methods: MethodSettings = {}
    variants: dict[Name, Variant] = Field({}, description="further ones, of this scale alone")
    tuning: Tuning = Tuning()

    @field_validator("backbones")
    @classmethod
    def _check_backbones(cls, backbones: dict[Kind, Backbone]) -> dict[Kind, Backbone]:
        for kind, backbone in backbones.items():
            _check_family(kind, backbone)
        return backbones

    @property
    def bearing(self) -> str:
        """How much the results say about the paper's."""
        if self.corpora == "generated":
            return "none: generated corpora"
        same = all(isinstance(backbone, HubBackbone) and backbone.name in PAPER_BACKBONES for backbone in self.backbones.values())
        return "full: the paper's corpora and backbones" if same else "little: real corpora, but not the paper's backbones"


class Config(Settings):
    """What to reproduce: `config/config.yaml`."""

    corpora: Annotated[list[str], Field(min_length=1), *DISTINCT]
    methods: Annotated[list[str], Field(min_length=1), *DISTINCT]
    fractions: Annotated[list[Percent], Field(min_length=1), *DISTINCT]
    seeds: Annotated[list[Seed], Field(min_length=1), *DISTINCT] | None = Field(None, description="of the runs; `null`: those of the scale")
    data_seeds: Annotated[list[Seed], Field(min_length=1)] = Field(
        [DATA_SEED], description="of held-out validation sets and down-sampling: one, or one for each of the seeds"
    )
    variants: dict[Name, Variant] = Field({}, description="methods with other settings, by the names that `methods` can list")
    recipe: Name = "matched"
    decoding: Decoding = Field("free", description="whether T5 writes what it likes, or sentinels and known labels only")
    mirror: str | None = None
    settings: MethodSettings = Field({}, description="per method: settings that differ from the method's defaults")
    ablations: Annotated[list[str], *DISTINCT] = Field(
        [], description="methods and variants of the ablation study that it is narrowed to; none: all"
    )
    new_tasks: Annotated[list[str], *DISTINCT] = Field(
        [], description="corpora that are left out and added to a model of the others; none: each in turn"
    )


def later(default: Any, **more: Any) -> Any:
    """A field that came after there were results: it is written only where it differs, so that theirs stay those of the same settings."""
    return Field(default, exclude_if=lambda value: value == default, **more)


class VariantName(Settings):
    """What a variant is called."""

    name: Name
    title: str


AddingMode = Literal["embedding", "low_rank", "all"]
AddingStart = Literal["mean", "nearest", "random"]


# of an added task, relative to that of the run: a single vector takes larger steps
LEARNING_RATES = {"embedding": 10.0, "low_rank": 1.0, "all": 1.0}


class AddedTask(Settings):
    """A task that is added to a trained run with a hypernetwork (docs/new-tasks.md)."""

    run: str = Field(description="folder of that run, which stays as it is")
    mode: AddingMode = Field(
        "low_rank", description="what is learned: z; z and a low-rank correction of the generators; everything, from that run's weights on"
    )
    start: AddingStart = Field("mean", description="where z starts: the mean of the known ones, the one of least validation loss, N(0, 1)")
    rank: Size = Field(4, description="of the correction")

    def training_of(self, training: Training, tasks: int) -> Training:
        """How the task is trained on: for as many steps as each of so many tasks had in the training of that run."""
        shares = {name: max(1, getattr(training, name) // tasks) for name in ("steps", "evaluate_every")}
        rate = training.learning_rate * LEARNING_RATES[self.mode]
        changes = shares | {"warmup_steps": training.warmup_steps // tasks, "learning_rate": rate}
        return training.model_copy(update=changes)


class RunSettings(Settings):
    """All that decides the weights of one run: the content of its `settings.json`."""

    scale: Name
    recipe: Name
    method: Name
    variant: VariantName | None = later(None, description="what the method is called with these settings")
    method_settings: dict[str, Any]
    data: dict[Name, str] = Field(description="corpus name -> folder of the prepared corpus, in task order")
    percent: Percent
    shots: PositiveInt | None = later(None, description="at most so many sentences of that share to train on, and to validate on")
    seed: Seed
    backbone: str | None = Field(description="folder of the backbone, for a method that has one")
    training: Training
    added: AddedTask | None = later(None, description="where the data is of a task that a trained run is to learn as well")


class BackboneSettings(Settings):
    """All that decides one backbone: the content of its `settings.json`."""

    kind: Kind
    backbone: Backbone
    data: dict[Name, str] = Field({}, description="corpora whose training text it is pre-trained on")

    @model_validator(mode="after")
    def _check_backbone(self) -> BackboneSettings:
        _check_family(self.kind, self.backbone)
        return self


Model = TypeVar("Model", bound=BaseModel)


def validate(model: type[Model], value: Any, file: str | Path | None = None) -> Model:
    """Check `value` against a settings model.

    Raises:
        SettingsError: one line that names the file, every wrong key, and what was expected.
    """
    try:
        return model.model_validate(value)
    except ValidationError as error:
        problems = "; ".join(problem(model, item) for item in error.errors())
        raise SettingsError(problems, file=file, remedy="config/README.md explains every key") from None


def read_yaml(model: type[Model], path: str | Path) -> Model:
    """Read and check one YAML file of settings."""
    return validate(model, read_mapping(path), path)


def read_mapping(path: str | Path) -> Any:
    """What is in a YAML file of settings; nothing in it is no settings."""
    path = Path(path)
    known = [] if there(path) else [other.stem for other in listed(path.parent) if other.suffix == ".yaml"]
    remedy = f"known here: {', '.join(known)}" if known else "name one of a checkout's config/"
    with reading(path, remedy=remedy, error=SettingsError):
        data = path.read_bytes()
    return parsed_yaml(data, path) or {}


def parsed_yaml(text: str | bytes, file: str | Path) -> Any:
    """The value of YAML that was read from `file`.

    Raises:
        SettingsError: it is not valid; names the line, where that is known.
    """
    try:
        return yaml.safe_load(text)
    # a value that is not what its form or its tag promises, such as a month 13, is no error of PyYAML's own
    except (yaml.YAMLError, ValueError, LookupError, AttributeError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        problem = " ".join(str(getattr(error, "problem", error)).split())
        raise SettingsError(f"not valid YAML ({problem})", file=file, line=None if mark is None else mark.line + 1) from None


def read_settings(model: type[Model], path: str | Path) -> Model:
    """Read and check one `settings.json`."""
    return validate(model, read_json(path, remedy="run it through snakemake, which writes it"), path)


def problem(model: type[BaseModel], item: dict) -> str:
    """One of the errors of a validation, in a few words."""
    key = ".".join(str(part) for part in item["loc"])
    if item["type"] == "extra_forbidden":
        from difflib import get_close_matches

        close = get_close_matches(str(item["loc"][-1]), _keys(model), n=1)
        return f"unknown key '{key}'" + (f" (did you mean '{close[0]}'?)" if close else "")
    if item["type"] == "missing":
        return f"missing key '{key}'"
    message = item["msg"].removeprefix("Value error, ")
    return f"'{key}': {message[0].lower()}{message[1:]}" if key else message


def _keys(model: type[BaseModel]) -> set[str]:
    keys: set[str] = set()
    for name, field in model.model_fields.items():
        keys.add(name)
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            keys |= _keys(field.annotation)
    return keys
