"""`hyperloader export`: a trained model for other libraries, each export loaded again and compared before it is left there.

    hyperloader   the saved model with its backbone inside: a folder that works wherever it is copied to
    adapters      one task as a bottleneck adapter and a LoRA of the library `adapters`
    peft          one task as a LoRA of `peft`, where a task has no bottleneck adapters; what `peft` itself has put into T5
    merged        one task as a T5 of Transformers, where all that is added can be merged into its matrices

T5's own weights, where they are trained (HyperLoader's layer norms), go into the `merged` T5, into PEFT's `modules_to_save`, and beside
an adapter into `t5.safetensors` under T5's names: `adapters` has no place for them.
"""

from __future__ import annotations

import logging
import shutil
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import T5ForConditionalGeneration

from hyperloader.config.plugins import extra
from hyperloader.config.settings import ExportForm
from hyperloader.errors import RunError
from hyperloader.files import replacing_folder
from hyperloader.methods.loading import from_pretrained, load_predictor
from hyperloader.methods.model_cards import base_model, write_card
from hyperloader.methods.registry import get_method
from hyperloader.methods.saved_models import CONFIG_NAME, Lengths, ModelRecord, backbone_of, read_config
from hyperloader.models.backbones import MODEL, T5Backbone
from hyperloader.models.hypernetwork import AdapterWeights, LoRAWeights
from hyperloader.models.task_model import TaskModel
from hyperloader.predicting.tagger import known_task
from hyperloader.runs.records import ScoredCorpus
from hyperloader.runs.run import WEIGHTS_NAME, Run

log = logging.getLogger(__name__)

BACKBONE, OWN_T5 = "backbone", "t5.safetensors"
# of logits, relative to the largest: rounding in float32 changes them by less, another model by more
TOLERANCE = 1e-3


@dataclass
class OneTask:
    """A model as the T5 of one task.

    Attributes:
        name: of the task.
        backbone: with the frozen weights.
        model: that is exported.
        trained: T5's own trained weights, under T5's names.
        adapters: generated adapters by the sublayer whose output passes through them.
        lora: generated matrices by the name of the linear layer.
        library: the T5 that the library `adapters` has changed, for a method that trains its adapter with that.
        peft: likewise the configuration of PEFT, and the trained weights that it has put into T5.
    """

    name: str
    backbone: T5Backbone
    model: TaskModel
    trained: dict[str, Tensor]
    adapters: dict[str, AdapterWeights]
    lora: dict[str, LoRAWeights]
    library: nn.Module | None
    peft: tuple[Any, dict[str, Tensor]] | None

    @classmethod
    def of(cls, model: TaskModel, backbone: T5Backbone, name: str) -> OneTask:
        """One task of a model, which must be a T5 that is the same for all sentences of the task."""
        if not model.fixed:
            raise RunError("what it adds to T5 is made for each sentence, so that nothing fixed can stand for it")
        names = backbone.model().state_dict().keys()
        trained = {key.removeprefix("backbone."): tensor.detach().clone() for key, tensor in model.trainable_state().items()}
        added = {key: tensor for key, tensor in trained.items() if key not in names}
        generated, library = model.generated(name), model.backbone if hasattr(model.backbone, "adapters_config") else None
        peft = (model.backbone.peft_config["default"], added) if hasattr(model.backbone, "peft_config") else None
        if added and not (generated or library or peft):
            raise RunError(f"what it trains ('{next(iter(added))}') has no place in another library's T5")
        return cls(
            name,
            backbone,
            model,
            trained={key: tensor for key, tensor in trained.items() if key in names},
            # encoder.block.0.layer.1.DenseReluDense.wo is the output of encoder.block.0.layer.1
            adapters={".".join(key.split(".")[:5]): own for key, own in generated.items() if isinstance(own, AdapterWeights)},
            lora={key: own for key, own in generated.items() if isinstance(own, LoRAWeights)},
            library=library,
            peft=peft,
        )

    def t5(self, base: str | None) -> T5ForConditionalGeneration:
        """The backbone, with its trained weights."""
        t5 = self.backbone.model().eval()
        t5.load_state_dict(self.trained, strict=False)
        # what an export names as its base: no path of this machine
        t5.name_or_path = t5.config._name_or_path = base or "t5"
        return t5

    def logits(self, t5: nn.Module | None = None) -> Tensor:
        """What a T5, or the model itself, makes of some ids."""
        ids = torch.arange(3, 3 + 2 * 12).remainder(self.backbone.config.vocab_size).view(2, 12)
        inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids), "decoder_input_ids": ids[:, :7].flip(0)}
        with torch.no_grad():
            return (self.model(task=self.name, **inputs) if t5 is None else t5.eval()(**inputs)).logits


def export(folder: Path, form: ExportForm, output: Path, task: str | None = None, *, with_backbone: bool = False) -> float | None:
    """Write a trained model in another form.

    Args:
        folder: of a run, or of a saved model.
        form: see above.
        output: the folder to write.
        task: which one, of a model with several; all of them in the form `hyperloader`.
        with_backbone: put the backbone beside an adapter as well.

    Returns:
        The largest difference between logits of the model and of the export, loaded again by its library; None in the form
        `hyperloader`, whose weights are compared.

    Raises:
        RunError: there is no such model or task, or it has no such form, or the export is not the same model; nothing is written.
    """
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise RunError("exists already", file=output, remedy="name a folder that does not")
    run = Run(folder)
    if not run.has(Run.SETTINGS):
        run, saved, scores = None, Path(folder), {}
    else:
        saved, scores = run.model, dict(run.scores().corpora) if run.has(Run.SCORES) else {}
        if not get_method(run.settings.method).trains_network:
            raise RunError(f"is of {run.settings.method}, which has no network", file=folder, remedy="name a run of another method")
    record = read_config(saved)
    if run:  # former versions did not write them into a model
        record = record.model_copy(update={name: getattr(run.settings.training, name) for name in Lengths.model_fields})
    base = base_model(record.backbone, saved / CONFIG_NAME)
    if form == "hyperloader":
        _export_whole(saved, record, output, base, scores)
        return None
    name = known_task(task, tuple(record.tasks))
    backbone = backbone_of(saved)
    try:
        if not isinstance(backbone, T5Backbone):
            raise RunError("is on a BERT, which only the form hyperloader has a place for")
        one = OneTask.of(from_pretrained(saved), backbone, name)
        with replacing_folder(output) as temporary:
            write = {"adapters": _write_adapter, "peft": _write_peft, "merged": _write_merged}[form]
            again, load = write(one, temporary, base)
            logits = one.logits()
            difference = float((logits - one.logits(again())).abs().max())
            if not difference <= TOLERANCE * max(1.0, float(logits.abs().max())):
                raise RunError(f"the export's logits differ by {difference:.2g} from the model's: this method has no form {form}")
            if with_backbone and form != "merged":
                backbone.copy_to(temporary / BACKBONE)
            about = f"The task {name} of a {get_method(record.method).title}, in the form of {form}. {ABOUT[form]}"
            if record.settings.get("task_prefix"):
                about += f" Each input begins with `{name}:`, as in training."
            library = "transformers" if form == "merged" else form
            write_card(
                temporary,
                output,
                method=record.method,
                tasks=[name],
                base=base,
                scores=scores,
                about=about,
                load=load.format(folder=output.name, base=base or (f"{output.name}/{BACKBONE}/{MODEL}" if with_backbone else "T5")),
                library={"adapters": "adapter-transformers"}.get(library, library),
            )
    except RunError as error:
        raise RunError(error.message, file=error.file or folder, remedy=error.remedy or "hyperloader export --format hyperloader") from None
    log.info("%s: %s of %s, logits differ by at most %.1g", output, form, name, difference)
    return difference


def _export_whole(saved: Path, record: ModelRecord, output: Path, base: str | None, scores: dict[str, ScoredCorpus]) -> None:
    with replacing_folder(output) as temporary:
        backbone = backbone_of(saved)
        backbone.copy_to(temporary / BACKBONE)
        record.model_copy(update={"backbone": BACKBONE, "backbone_checksum": backbone.checksum}).write(temporary / CONFIG_NAME)
        shutil.copyfile(saved / WEIGHTS_NAME, temporary / WEIGHTS_NAME)
        load_predictor(temporary)
        write_card(temporary, output, method=record.method, tasks=record.tasks, base=base, scores=scores, about="With its backbone.")
    log.info("%s: a %s with its backbone", output, record.method)


ABOUT = {
    "adapters": "T5's own trained weights, if there are any, are in `t5.safetensors`: `adapters` has no place for them.",
    "peft": "T5's own trained layer norms, if there are any, are among PEFT's `modules_to_save`.",
    "merged": "All that was added is merged into T5's matrices.",
}
ADAPTERS = """import adapters
from safetensors.torch import load_file
from transformers import T5ForConditionalGeneration

t5 = T5ForConditionalGeneration.from_pretrained("{base}")
adapters.init(t5)
t5.set_active_adapters(t5.load_adapter("{folder}", use_safetensors=True))"""
OWN_WEIGHTS = """
t5.load_state_dict(load_file("{folder}/t5.safetensors"), strict=False)"""
PEFT = """from peft import PeftModel
from transformers import T5ForConditionalGeneration

t5 = PeftModel.from_pretrained(T5ForConditionalGeneration.from_pretrained("{base}"), "{folder}")"""
MERGED = """from transformers import T5ForConditionalGeneration

t5 = T5ForConditionalGeneration.from_pretrained("{folder}")"""
Written = tuple[Callable[[], nn.Module], str]


def _write_adapter(one: OneTask, folder: Path, base: str | None) -> Written:
    import adapters
    from adapters.composition import Stack

    # of the library's own call, in every forward pass
    warnings.filterwarnings("ignore", "`past_key_value` is deprecated .* for `T5Block.forward`", FutureWarning)
    t5 = one.library
    if t5 is not None:
        (name,) = t5.adapters_config.adapters
        t5.config._name_or_path = base or "t5"
    elif one.adapters or one.lora:
        # as a module may be called
        t5, name = one.t5(base), one.name.replace(".", "_")
        adapters.init(t5)
        t5.add_adapter(name, config=_config(one))
        _fill(t5, _library_names(one, name))
    else:
        raise RunError("adds nothing to T5 that an adapter could hold", remedy=f"take the form {'peft' if one.peft else 'merged'}")
    t5.save_adapter(str(folder), name, with_head=False, use_safetensors=True)
    if one.trained:
        save_file(one.trained, folder / OWN_T5)

    def again() -> nn.Module:
        plain = one.backbone.model()
        adapters.init(plain)
        # as set_active_adapters does, which first warns that nothing is active
        plain.adapters_config.active_setup = Stack(plain.load_adapter(str(folder), use_safetensors=True))
        if one.trained:
            plain.load_state_dict(load_file(folder / OWN_T5), strict=False)
        return plain

    return again, ADAPTERS + (OWN_WEIGHTS if one.trained else "")


def _config(one: OneTask):
    """A part for each size, which leaves out the layers of another one; the decoder's are counted on from the encoder's."""
    from adapters import BnConfig, ConfigUnion, LoRAConfig

    config, layers = one.backbone.config, {}
    for place, own in (one.adapters | _of_one_rank(one.lora)).items():
        stack, _, block, *_ = place.split(".")
        layers.setdefault((type(own), len(own[0])), set()).add(int(block) + (config.num_layers if stack == "decoder" else 0))
    configs = []
    for (kind, size), having in layers.items():
        left_out = sorted(set(range(config.num_layers + config.num_decoder_layers)) - having)
        if kind is LoRAWeights:
            configs.append(LoRAConfig(r=size, alpha=size, leave_out=left_out))
            continue
        configs.append(
            BnConfig(
                mh_adapter=True,
                output_adapter=True,
                # the library rounds down what it divides by this
                reduction_factor=config.d_model / (size + 0.5) if config.d_model % size else config.d_model // size,
                non_linearity="gelu_new",
                original_ln_before=False,
                original_ln_after=True,
                ln_before=False,
                ln_after=True,
                residual_before_ln=True,
                adapter_residual_before_ln=False,
                leave_out=left_out,
            )
        )
    return configs[0] if len(configs) == 1 else ConfigUnion(*configs)


def _of_one_rank(lora: dict[str, LoRAWeights]) -> dict[str, LoRAWeights]:
    """Matrices of lower rank with zeros, which add nothing: an adapter of the library has a single LoRA."""
    more = {place: max(len(other.a) for other in lora.values()) - len(own.a) for place, own in lora.items()}
    return {place: LoRAWeights(F.pad(own.a, (0, 0, 0, more[place])), F.pad(own.b, (0, more[place]))) for place, own in lora.items()}


def _library_names(one: OneTask, name: str) -> dict[str, Tensor]:
    """The generated weights as `adapters` calls those of an adapter of this name."""
    names = ("adapter_down.0.weight", "adapter_down.0.bias", "adapter_up.weight", "adapter_up.bias")
    names += ("adapter_norm_after.weight", "adapter_norm_after.bias")
    placed = {f"{place}.adapters.{name}": dict(zip(names, own, strict=True)) for place, own in one.adapters.items()}
    placed |= {f"{place}.loras.{name}": {"lora_A": own.a, "lora_B": own.b} for place, own in _of_one_rank(one.lora).items()}
    return {f"{place}.{name}": tensor for place, own in placed.items() for name, tensor in own.items()}


def _write_peft(one: OneTask, folder: Path, base: str | None) -> Written:
    if one.adapters or one.library is not None:
        reason = "PEFT's LoRA is added to a weight matrix, and its bottleneck adapters have a nonlinearity between two matrices"
        raise RunError(f"has no form peft: {reason}", remedy="take the form adapters")
    if not (one.lora or one.peft):
        raise RunError("adds nothing to T5 that a LoRA could hold", remedy="take the form merged")
    t5 = _with_peft(one, base)
    # the backbone's, which else are looked for on the hub, to see whether they changed
    t5.save_pretrained(str(folder), save_embedding_layers=False)
    return lambda: extra("peft").PeftModel.from_pretrained(one.backbone.model(), str(folder)), PEFT


def _with_peft(one: OneTask, base: str | None) -> nn.Module:
    """PEFT's model, with what it has put into T5 itself, or with the generated matrices."""
    peft = extra("peft")
    if one.peft is not None:
        config, weights = one.peft
    else:
        ranks = {place: len(own.a) for place, own in one.lora.items()}
        rank = max(ranks.values())
        others = {place: own for place, own in ranks.items() if own != rank}
        config = peft.LoraConfig(
            task_type="SEQ_2_SEQ_LM",
            r=rank,
            lora_alpha=rank,
            rank_pattern=others,
            alpha_pattern=others,
            lora_dropout=0.0,
            target_modules=["q", "v"],
            # each of T5's, `final_layer_norm` too
            modules_to_save=["layer_norm"],
        )
        weights = {f"{place}.lora_{side.upper()}.default.weight": getattr(own, side) for place, own in one.lora.items() for side in "ab"}
    t5 = peft.get_peft_model(one.t5(base), config)
    _fill(t5.base_model.model, weights)
    return t5


def _write_merged(one: OneTask, folder: Path, base: str | None) -> Written:
    if one.adapters or one.library is not None:
        reason = "its bottleneck adapters have a nonlinearity, which no weight matrix of T5 can take in"
        raise RunError(f"has no form merged: {reason}", remedy="take the form adapters")
    t5 = one.t5(base) if one.peft is None else _with_peft(one, base).merge_and_unload()
    with torch.no_grad():
        for place, own in one.lora.items():
            t5.get_submodule(place).weight += own.b @ own.a
    t5.save_pretrained(folder, safe_serialization=True)
    vocabulary = one.backbone.vocabulary.file
    shutil.copyfile(vocabulary, folder / vocabulary.name)
    return lambda: T5ForConditionalGeneration.from_pretrained(folder, local_files_only=True), MERGED


@torch.no_grad()
def _fill(model: nn.Module, tensors: dict[str, Tensor]) -> None:
    for name, tensor in tensors.items():
        model.get_parameter(name).copy_(tensor)
