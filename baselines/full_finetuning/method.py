"""Full fine-tuning of T5 on all tasks at once: what the abstract of the paper claims to beat, and no table shows."""

from hyperloader.methods.network import NetworkMethod


class FullFinetuning(NetworkMethod):
    """All weights of T5 are trained, with nothing that tells the tasks apart."""

    title = "Full fine-tuning"

    def build(self, backbone, tasks, settings):
        from hyperloader.models.task_model import PlainT5

        return PlainT5(backbone, tasks)


METHOD = FullFinetuning()
