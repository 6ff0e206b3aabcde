"""Full fine-tuning of T5 on all tasks at once: what the abstract of the paper claims to beat, and no table shows."""

from hyperloader.config.settings import Settings, later
from hyperloader.methods.network import NetworkMethod


class FullFinetuningSettings(Settings):
    """Whether anything tells the tasks apart: `atis:` before the sentence."""

    task_prefix: bool = later(False)


class FullFinetuning(NetworkMethod):
    """All weights of T5 are trained; without a task prefix, nothing tells the tasks apart."""

    title = "Full fine-tuning"
    Settings = FullFinetuningSettings

    def build(self, backbone, tasks, settings):
        from hyperloader.models.task_model import PlainT5

        return PlainT5(backbone, tasks)


METHOD = FullFinetuning()
