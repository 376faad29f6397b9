"""The search for similar things, with the decoder without weights: its masks are areas of like colour."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from encoder_worker.backends.fake.encoder import FakeEncoder
from prompt_api.models.fake.load import load
from prompt_api.models.interface import LoadedDecoder
from prompt_api.similar.features import image_features
from prompt_api.similar.interface import Answer, Example, ImageFeatures, SearchOptions
from prompt_api.similar.search import search
from shared.contract.models import FAKE
from shared.contract.settings import Settings
from tests.support.masks_material import painted, runs_of

SIZE = (512, 768)
REDS = {(100, 100): (230, 20, 20), (100, 400): (230, 60, 20), (350, 250): (230, 20, 60), (400, 650): (230, 60, 60)}
BLUES = {(250, 600): (20, 80, 240), (380, 80): (20, 40, 240)}
"""The middles of discs, and their colours: two of them never have the same, so that each has a mask of its own."""

ANY = SearchOptions(min_similarity=0.3, size=(0.5, 1.5))


@dataclass
class Picture:
    """Discs on a grey ground: where, and in which colour."""

    loaded: LoadedDecoder
    prepared: Any
    features: ImageFeatures

    def disc(self, at: tuple[int, int], label: int = 1) -> Example:
        """Return the disc as the decoder finds it, as an example."""
        point = FAKE.architecture.frame.points(np.array([at[::-1]], float), SIZE)
        (masks,) = self.loaded.decoder.decode_points(self.prepared, point, 0)
        return Example(self.features, self.loaded.decoder.mask_runs(masks.logits[0], SIZE), label)


@dataclass
class Permits:
    """Allows so many batches, and notes each."""

    most: int = 1000
    asked: list[int] = field(default_factory=list)

    def __call__(self, decodes: int, /) -> bool:
        self.asked.append(decodes)
        return len(self.asked) <= self.most


def disc(at: tuple[int, int], radius: int = 40) -> NDArray[np.bool_]:
    y, x = np.indices(SIZE)
    return np.asarray((y - at[0]) ** 2 + (x - at[1]) ** 2 <= radius**2)


@pytest.fixture(scope="module")
def loaded() -> LoadedDecoder:
    return load(FAKE, Settings())


@pytest.fixture(scope="module")
def picture(loaded: LoadedDecoder) -> Picture:
    rgb = np.full((*SIZE, 3), 128, np.uint8)
    for at, colour in (REDS | BLUES).items():
        rgb[disc(at)] = colour
    return pictured(loaded, rgb)


def pictured(loaded: LoadedDecoder, rgb: NDArray[np.uint8]) -> Picture:
    (tensors,) = FakeEncoder().encode([FAKE.architecture.frame.resize(rgb)])
    prepared = loaded.decoder.prepare(tensors, SIZE)
    return Picture(loaded, prepared, image_features(tensors, FAKE.architecture, SIZE))


def asked(
    loaded: LoadedDecoder, picture: Picture, *examples: Example, options: SearchOptions = ANY, **more: Any
) -> Answer:
    more.setdefault("permit", Permits())
    return search(loaded, picture.prepared, picture.features, examples, options, **more)


def middles(answer: Answer) -> list[tuple[int, int]]:
    """Where the masks are, as the nearest middle of a disc."""
    found = []
    for one in answer.found:
        y, x = np.nonzero(painted(one.mask))
        found.append(min([*REDS, *BLUES], key=lambda at: abs(at[0] - y.mean()) + abs(at[1] - x.mean())))
    return found


def test_things_of_the_colour_come_first(loaded: LoadedDecoder, picture: Picture) -> None:
    answer = asked(loaded, picture, picture.disc((100, 100)))
    found = middles(answer)
    assert set(found) >= set(REDS)
    assert found[0] == (100, 100), "the example is found too, and nothing is more like it"
    similarities = [one.similarity for one in answer.found]
    assert similarities == sorted(similarities, reverse=True)
    assert 0.8 < similarities[0] <= 1
    assert not answer.truncated


def test_the_point_and_the_index_give_the_mask_again(loaded: LoadedDecoder, picture: Picture) -> None:
    for one in asked(loaded, picture, picture.disc((100, 100))).found:
        point = FAKE.architecture.frame.points(np.array([one.point]), SIZE)
        (masks,) = loaded.decoder.decode_points(picture.prepared, point, 0)
        assert masks.scores[one.index] == np.float32(one.score)
        assert (painted(loaded.decoder.mask_runs(masks.logits[one.index], SIZE)) == painted(one.mask)).all()


def test_what_is_excluded_or_not_meant_is_left_out(loaded: LoadedDecoder, picture: Picture) -> None:
    example, kept = picture.disc((100, 100)), runs_of(disc((100, 400)))
    found = middles(asked(loaded, picture, example, picture.disc((350, 250), 0), exclude=[kept]))
    assert (100, 400) not in found
    assert (350, 250) not in found
    assert (100, 100) in found


def test_an_example_that_is_not_meant_lowers_what_looks_like_it(loaded: LoadedDecoder, picture: Picture) -> None:
    example = picture.disc((100, 100))
    before, after = asked(loaded, picture, example), asked(loaded, picture, example, picture.disc((350, 250), 0))
    assert (400, 650) in middles(before)
    assert (400, 650) not in middles(after)
    assert (100, 100) in middles(after)


def test_the_options_choose(loaded: LoadedDecoder, picture: Picture) -> None:
    example = picture.disc((100, 100))
    everything = asked(loaded, picture, example)
    middle = everything.found[2].similarity
    few = asked(loaded, picture, example, options=SearchOptions(min_similarity=middle, size=(0.5, 1.5)))
    assert [one.point for one in few.found] == [one.point for one in everything.found[:3]]
    assert not few.truncated
    limited = asked(loaded, picture, example, options=SearchOptions(min_similarity=0.3, limit=2, size=(0.5, 1.5)))
    assert len(limited.found) == 2
    assert limited.truncated
    assert not asked(loaded, picture, example, options=SearchOptions(min_similarity=0, min_score=0.99)).found
    assert not asked(loaded, picture, example, options=SearchOptions(min_similarity=0, size=(0.01, 0.02))).found


def test_each_batch_needs_a_permit(loaded: LoadedDecoder, picture: Picture) -> None:
    permits = Permits()
    answer = asked(loaded, picture, picture.disc((100, 100)), permit=permits)
    assert sum(permits.asked) == answer.decodes
    refused = Permits(most=0)
    answer = asked(loaded, picture, picture.disc((100, 100)), permit=refused)
    assert not answer.found
    assert answer.decodes == 0
    assert answer.truncated
    assert len(refused.asked) == 1


def test_what_the_permit_raises_goes_through(loaded: LoadedDecoder, picture: Picture) -> None:
    def permit(_decodes: int, /) -> bool:
        raise RuntimeError("too many")

    with pytest.raises(RuntimeError, match="too many"):
        asked(loaded, picture, picture.disc((100, 100)), permit=permit)


def test_threads_change_nothing(loaded: LoadedDecoder, picture: Picture) -> None:
    alone = asked(loaded, picture, picture.disc((100, 100)))
    with ThreadPoolExecutor(2) as pool:
        together = asked(loaded, picture, picture.disc((100, 100)), pool=pool)
    assert [(one.point, one.similarity) for one in alone.found] == [
        (one.point, one.similarity) for one in together.found
    ]


def test_an_example_may_be_of_another_picture(loaded: LoadedDecoder, picture: Picture) -> None:
    rgb = np.full((*SIZE, 3), 128, np.uint8)
    rgb[disc((200, 200))] = (230, 20, 20)
    rgb[disc((300, 500))] = (20, 80, 240)
    other = pictured(loaded, rgb)
    assert middles(asked(loaded, picture, other.disc((200, 200))))[0] in REDS
    assert middles(asked(loaded, picture, other.disc((300, 500))))[0] in BLUES


def test_an_example_smaller_than_a_cell_is_taken(loaded: LoadedDecoder, picture: Picture) -> None:
    speck = np.zeros(SIZE, bool)
    speck[100, 100] = True
    answer = asked(loaded, picture, Example(picture.features, runs_of(speck)))
    assert answer.decodes > 0


def test_features_leave_the_padding_out(picture: Picture) -> None:
    assert picture.features.vectors.shape == (43, 64, 256)
    assert picture.features.inside == (pytest.approx(683 / 16), 64)
    assert picture.features.nbytes == 43 * 64 * 256 * 2
    assert not picture.features.vectors.flags.writeable
