"""A list of the training spans: how far memory alone gets."""

from collections import Counter, defaultdict

from hyperloader.methods.controls import Control
from hyperloader.text.sentt import spans


class Gazetteer(Control):
    """Tags the longest phrases that were spans in training, from left to right, each with its most frequent slot type."""

    title = "Gazetteer"
    Learned = list[tuple[tuple[str, ...], str]]

    def learn(self, corpus):
        counts = defaultdict(Counter)
        for sentence in corpus.train:
            for slot_type, start, end in spans(sentence.tags):
                counts[sentence.words[start:end]][slot_type] += 1
        # of equally frequent types the first by name
        majority = {phrase: min(types, key=lambda name: (-types[name], name)) for phrase, types in counts.items()}
        return sorted(majority.items())

    def slot_types(self, learned):
        return tuple(sorted({slot_type for _, slot_type in learned}))

    def tagger(self, learned, backbone):
        from hyperloader.formulations import Prediction

        known = dict(learned)
        longest = max(map(len, known), default=0)

        def tag(sentence):
            tags, place = [], 0
            while place < len(sentence.words):
                for length in range(min(longest, len(sentence.words) - place), 0, -1):
                    slot_type = known.get(tuple(sentence.words[place : place + length]))
                    if slot_type is not None:
                        tags += [f"B-{slot_type}", *[f"I-{slot_type}"] * (length - 1)]
                        place += length
                        break
                else:
                    tags.append("O")
                    place += 1
            return Prediction(tags, "", False)

        return tag


METHOD = Gazetteer()
