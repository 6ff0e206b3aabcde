"""Model cards: a `README.md` with metadata beside every saved model, as the Hugging Face hub reads it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from hyperloader.config.places import near
from hyperloader.config.settings import BackboneSettings, HubBackbone, read_settings
from hyperloader.corpora.registry import known_corpora
from hyperloader.errors import UserError
from hyperloader.files import write_text
from hyperloader.methods.registry import get_method
from hyperloader.models.backbones import SETTINGS
from hyperloader.runs.records import ScoredCorpus

CARD = "README.md"
TAGGER = """from hyperloader.predicting.tagger import Tagger

tagger = Tagger.from_pretrained("{folder}")
tagger.predict("play the song little robin redbreast", task="{task}")"""


def base_model(backbone: str | Path, beside: Path) -> str | None:
    """The hub's name of a backbone; None for one that is not from there, or of unknown origin.

    Args:
        backbone: its folder, as a model's configuration has it.
        beside: a file of the model, around which a relative name is looked for.
    """
    try:
        source = read_settings(BackboneSettings, near(backbone, beside) / SETTINGS).backbone
    except UserError:  # what a card says is no reason to lose a training
        return None
    return source.name if isinstance(source, HubBackbone) else None


def write_card(
    folder: Path,
    place: str | Path,
    *,
    method: str,
    tasks: Iterable[str],
    base: str | None,
    scores: Mapping[str, ScoredCorpus] | None = None,
    about: str = "",
    load: str = "",
    library: str = "hyperloader",
) -> None:
    """Write the card of a model.

    Args:
        folder: to write it to.
        place: where that folder will be; the card has its name.
        method: name of the method that built it.
        tasks: what it tags, by the names of the corpora.
        base: see `base_model`.
        scores: by task, where there are any.
        about: what form the model is in, as a paragraph.
        load: Python that loads it; by default that of a `Tagger`.
        library: that it is loaded with.
    """
    from huggingface_hub import EvalResult, ModelCardData

    tasks, known, title = list(tasks), known_corpora(), get_method(method).title
    scores = {task: scores[task].headline for task in tasks if task in (scores or {})}
    titles = {task: known[task].title if task in known else task for task in tasks}
    results = [
        EvalResult(
            task_type="token-classification",
            dataset_type=task,
            dataset_name=titles[task],
            dataset_split="test",
            metric_type="f1",
            metric_name="micro F1 of spans",
            metric_value=round(score.f1, 4),
            metric_args={"signature": score.signature, "ci_low": round(score.ci_low, 4), "ci_high": round(score.ci_high, 4)},
        )
        for task, score in scores.items()
    ]
    data = ModelCardData(
        base_model=base,
        datasets=tasks or None,
        eval_results=results or None,
        # of other corpora it is not known
        language="en" if tasks and all(task in known and known[task].paper for task in tasks) else None,
        library_name=library,
        license="other",
        license_name="terms-of-the-corpora",
        metrics=["f1"] if results else None,
        model_name=f"{title}, {', '.join(titles.values())}" if tasks else title,
        pipeline_tag="token-classification",
        tags=["hyperloader", method],
    )
    parts = [
        f"---\n{data.to_yaml()}\n---",
        f"# {data.model_name}",
        f"{title} on {base or 'a T5 or BERT that is not from the hub'}.",
        about,
        f"## How to load\n\n```python\n{load or TAGGER.format(folder=Path(place).name, task=tasks[0] if tasks else 'TASK')}\n```",
        "## Tasks\n\n" + _table(("corpus", "terms", "source"), [_of_corpus(task) for task in tasks]) if tasks else "",
        "## Scores\n\nMicro F1 of spans on the test sets, with 95 % bootstrap intervals.\n\n"
        + _table(
            ("corpus", "F1", "95 %", "signature"),
            [(titles[task], f"{s.f1:.4f}", f"{s.ci_low:.4f}-{s.ci_high:.4f}", f"`{s.signature}`") for task, s in scores.items()],
        )
        if scores
        else "",
        "## Licence\n\nThe weights were learned from the corpora above, each with terms of its own. The code of hyperloader is Apache-2.0.",
    ]
    write_text(folder / CARD, "\n\n".join(filter(None, parts)) + "\n")


def _of_corpus(name: str) -> tuple[str, str, str]:
    corpus = known_corpora().get(name)
    return (corpus.title, corpus.licence, corpus.homepage) if corpus else (name, "not stated", "")


def _table(header: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in line) + " |" for line in lines)
