"""Full fine-tuning of T5 on one task at a time."""

from hyperloader.methods.network import NetworkMethod


class FullFinetuningSingleTask(NetworkMethod):
    """All weights of T5 are trained, a model for each corpus."""

    title = "Full fine-tuning (single-task)"
    multitask = False

    def build(self, backbone, tasks, settings):
        from hyperloader.models.task_model import PlainT5

        return PlainT5(backbone, tasks)


METHOD = FullFinetuningSingleTask()
