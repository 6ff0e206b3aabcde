"""Every word is outside: the lower bound, and the score of a model that learned nothing but the format."""

from hyperloader.methods.controls import Control


class AllOutside(Control):
    """Tags every word `O`."""

    title = "All O"

    def slot_types(self, learned):
        return ()

    def tagger(self, learned, backbone):
        from hyperloader.formulations import Prediction

        return lambda sentence: Prediction(["O"] * len(sentence.words), "", False)


METHOD = AllOutside()
