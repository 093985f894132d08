from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from label_scenes import discs

from napari_sam2 import PredictorOptions, Prompt, VideoPredictor
from napari_sam2.errors import ConfigError, ImageError
from napari_sam2.evaluation import Protocol, evaluate_stack
from napari_sam2.evaluation.windows import StackFeatures, track_windows

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_sam2.model.sam2 import Sam2

IMAGES, LABELS = discs()


def test_scores_are_those_of_masks_propagated_alone(predictor: VideoPredictor) -> None:
    evaluation = evaluate_stack(
        predictor, IMAGES, LABELS, protocol=Protocol(interactions=1), name="discs"
    )
    assert evaluation.name == "discs"
    assert (evaluation.num_frames, evaluation.frame_shape) == (9, (40, 48))
    for scores in evaluation.model.objects:
        (first,) = scores.rounds
        (click,) = first.given
        assert click.frame == scores.middle == 4
        session = predictor.start(IMAGES)
        predictor.add_prompt(
            session, frame=4, object_id=1, prompt=Prompt(list(click.points))
        )
        for _ in predictor.propagate(session, direction="both"):
            pass
        iou = []
        for frame in scores.frames:
            found = session.masks(frame).masks[0]
            true = LABELS[frame] == scores.object_id
            iou.append((found & true).sum() / (found | true).sum())
        np.testing.assert_allclose(first.iou, iou, atol=0.02)
        assert first.worst.frame == scores.frames[int(np.argmin(first.iou))]
        assert first.worst.iou == min(first.iou)


def test_each_interaction_corrects_the_worst_frame(predictor: VideoPredictor) -> None:
    evaluation = evaluate_stack(
        predictor, IMAGES, LABELS, protocol=Protocol(interactions=3)
    )
    for scores in evaluation.model.objects:
        assert [r.interactions for r in scores.rounds] == [1, 2, 3]
        for before, after in zip(scores.rounds, scores.rounds[1:], strict=False):
            assert after.given[:-1] == before.given
            click = after.given[-1]
            assert click.frame == before.worst.frame
            ((x, y),) = click.points
            true = LABELS[click.frame] == scores.object_id
            # Inside of what was missed, or of what was found falsely.
            assert true[int(y), int(x)] == click.positive
            assert before.worst.mask[int(y), int(x)] != click.positive


def test_false_presence_is_looked_for_just_beyond_the_ends(
    predictor: VideoPredictor,
) -> None:
    protocol = Protocol(interactions=1, beyond=5)
    evaluation = evaluate_stack(predictor, IMAGES, LABELS, protocol=protocol)
    first, second = (scores.after(1) for scores in evaluation.model.objects)
    # Disc 1 is on frames 1 to 7 of 9; by these weights objects are always present.
    assert (first.before.frames, first.after.frames) == (1, 1)
    assert (first.before.present, first.after.present) == (1, 1)
    assert (second.before.frames, second.after.frames) == (0, 0)


def test_what_lies_beyond_the_ends_changes_nothing_within(micro_hard: Sam2) -> None:
    predictor = VideoPredictor(micro_hard)
    scores = [
        evaluate_stack(
            predictor,
            IMAGES,
            LABELS,
            protocol=Protocol(interactions=4, beyond=beyond, to_the_ends=whole),
            object_ids=[1],
        ).model.objects[0]
        for beyond, whole in ((0, False), (1, False), (1, True))
    ]
    for rounds in zip(*(one.rounds for one in scores), strict=True):
        assert len({r.given for r in rounds}) == 1
        for other in rounds[1:]:
            # A memory that was encoded again differs by rounding: a pixel or two.
            assert other.iou == pytest.approx(rounds[0].iou, abs=0.01)


def test_boxes_come_first_where_asked_for(predictor: VideoPredictor) -> None:
    evaluation = evaluate_stack(
        predictor,
        IMAGES,
        LABELS,
        protocol=Protocol(interactions=1, first="box"),
        object_ids=[2],
    )
    (scores,) = evaluation.model.objects
    assert scores.object_id == 2
    assert scores.rounds[0].given[0].points == ((23.5, 21.5), (36.5, 34.5))


def test_progress_rises_to_its_total(predictor: VideoPredictor) -> None:
    shown: list[tuple[int, int]] = []
    evaluate_stack(
        predictor,
        IMAGES,
        LABELS,
        protocol=Protocol(interactions=2),
        progress=lambda done, total: shown.append((done, total)),
    )
    assert [done for done, _ in shown] == sorted(done for done, _ in shown)
    assert {total for _, total in shown} == {2 * (9 + 9)}
    assert shown[-1] == (36, 36)


def test_each_frame_is_encoded_once(
    predictor: VideoPredictor, record_calls: Callable[[object, str], list[object]]
) -> None:
    encoded = record_calls(predictor.model, "encode_image")
    evaluate_stack(predictor, IMAGES, LABELS, protocol=Protocol(interactions=3))
    assert len(encoded) == len(IMAGES)


def test_features_without_room_are_encoded_again(predictor: VideoPredictor) -> None:
    session = predictor.start(IMAGES)
    session.features = StackFeatures(0)
    tracker, whole = predictor.tracker(session), session.views.whole
    kept = [tracker.features(frame, [whole]) for frame in (3, 3, 4, 3)]
    assert kept[0] is kept[1]
    assert kept[0] is not kept[3]
    np.testing.assert_array_equal(kept[0].embedding, kept[3].embedding)
    assert session.features.nbytes == 0


def test_windows_of_the_whole_stack_are_a_propagation(micro_hard: Sam2) -> None:
    predictor = VideoPredictor(micro_hard)
    click = Prompt([[30, 28]])
    found = []
    for windowed in (False, True):
        session = predictor.start(IMAGES)
        predictor.add_prompt(session, frame=2, object_id=1, prompt=Prompt([[14, 12]]))
        predictor.add_prompt(session, frame=6, object_id=2, prompt=click)
        if windowed:
            tracked = track_windows(predictor.tracker(session), {1: (0, 8), 2: (0, 8)})
            assert sum(tracked) == 16
        else:
            for _ in predictor.propagate(session, direction="both"):
                pass
        found.append(np.stack([session.masks(frame).logits for frame in range(9)]))
    np.testing.assert_array_equal(*found)


def test_windows_bound_what_is_tracked(predictor: VideoPredictor) -> None:
    session = predictor.start(IMAGES)
    predictor.add_prompt(session, frame=4, object_id=1, prompt=Prompt([[16, 12]]))
    tracker = predictor.tracker(session)
    assert list(track_windows(tracker, {1: (2, 5)})) == [1, 1, 1]
    assert session.done(1) == [2, 3, 4, 5]
    assert list(track_windows(tracker, {1: (2, 5)})) == []
    assert list(track_windows(tracker, {})) == []


def test_overlapping_masks_are_each_object_s_own(predictor: VideoPredictor) -> None:
    protocol = Protocol(interactions=1)
    both = evaluate_stack(predictor, IMAGES, LABELS, protocol=protocol)
    for scores in both.model.objects:
        alone = evaluate_stack(
            predictor,
            IMAGES,
            LABELS,
            protocol=protocol,
            object_ids=[scores.object_id],
        )
        np.testing.assert_allclose(
            alone.model.objects[0].after(1).iou, scores.after(1).iou, atol=0.02
        )


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (LABELS[:8], "8 frames of 40 x 48 .* 9 frames of 40 x 48"),
        (LABELS[:, :, 1:], "40 x 47"),
        (np.zeros_like(LABELS), "empty"),
        (LABELS[None, None], r"\(T, H, W\)"),
        (LABELS + 0.5, "fractions"),
    ],
)
def test_labels_that_do_not_fit(
    predictor: VideoPredictor, labels: np.ndarray, message: str
) -> None:
    with pytest.raises(ImageError, match=message):
        evaluate_stack(predictor, IMAGES, labels)


def test_the_published_schedule_is_refused(micro: Sam2) -> None:
    predictor = VideoPredictor(micro, PredictorOptions.reference())
    with pytest.raises(ConfigError, match="published_schedule"):
        evaluate_stack(predictor, IMAGES, LABELS)


def test_the_predictor_s_options_are_kept(micro: Sam2) -> None:
    predictor = VideoPredictor(micro)
    small = VideoPredictor(micro, replace(predictor.options, drop_specks=10**6))
    protocol = Protocol(interactions=1)
    one = evaluate_stack(predictor, IMAGES, LABELS, protocol=protocol)
    other = evaluate_stack(small, IMAGES, LABELS, protocol=protocol)
    assert one.mean_iou() != other.mean_iou()
