"""One step on clips: prompts, objects followed by memory both ways, corrections.

Memories are chosen by the rules that predictors follow, so that what is learned is
what is used. Shapes: ``T`` frames, ``C`` clips, ``B`` batch of objects.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from napari_sam2.inference.memory import MemoryRules, Selection, select_memories
from napari_sam2.model.prompt_encoder import PADDING
from napari_sam2.model.records import FrameMemory, ImageFeatures, ObjectMasks
from napari_sam2.model.sam2 import resize
from napari_sam2.training.losses import mask_iou
from napari_sam2.training.prompts import (
    TAUGHT_LOGIT,
    FramePrompts,
    as_logits,
    correction_clicks,
    spoiled_masks,
)
from napari_sam2.training.step import (
    StepResult,
    StepRules,
    StepTally,
    as_boxes,
    as_clicks,
    as_prior,
    object_groups,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from napari_sam2.model.sam2 import Sam2
    from napari_sam2.training.samples import StepSample


def clip_step(
    model: Sam2,
    sample: StepSample,
    rules: StepRules,
    generator: torch.Generator,
) -> StepResult:
    """Prompt objects on one or two frames and follow them to both ends of the clip.

    Where there are corrections, they are made on one random frame, right after the
    prompts or on the way, which then conditions the others; or in the end, as by an
    annotator who looks through all frames, on the worst frame of each object, and a
    frame beside it is tracked again, as by the pass that follows.

    Parameters
    ----------
    model : Sam2
        The network; its device is where the step is computed.
    sample : StepSample
        Clips.
    rules : StepRules
        Loss and annotator.
    generator : torch.Generator
        Chance of the corrections, on the CPU.
    """
    with model.autocast():
        follower = _Follower(model, sample, rules, generator)
        prompted = [prompts.frame for prompts in sample.prompts]
        start, last = prompted[0], len(sample.images)
        way = [(frame, False) for frame in range(start + 1, last)]
        way += [(frame, True) for frame in range(start - 1, -1, -1)]
        way = [(frame, backward) for frame, backward in way if frame not in prompted]
        corrected = None
        in_the_end = float(torch.rand((), generator=generator)) < (
            rules.prompts.worst_frame_share
        )
        if rules.corrections and not in_the_end:
            frames = [*prompted, *(frame for frame, _ in way)]
            corrected = frames[int(torch.randint(len(frames), (), generator=generator))]
        for prompts in sample.prompts:
            follower.prompt(prompts, correct=prompts.frame == corrected)
        for frame, backward in way:
            follower.track(frame, backward=backward, correct=frame == corrected)
        if rules.corrections and in_the_end:
            follower.correct_worst()
    return follower.tally.result()


@dataclass(frozen=True, slots=True, eq=False)
class _Remembered:
    """What is remembered of the objects of a step, by frame."""

    conditioning: dict[int, FrameMemory]
    recent: dict[int, FrameMemory]

    def at(self, frame: int) -> FrameMemory:
        """Return the memory of a frame."""
        return self.conditioning.get(frame) or self.recent[frame]


@dataclass(frozen=True, slots=True, eq=False)
class _Seen:
    """What the decoder sees of some objects, and what it should find."""

    target: Tensor
    embedding: Tensor
    features: ImageFeatures
    tracking: bool

    def of(self, picked: Tensor) -> _Seen:
        """Return the same of some of the objects, by their place."""
        return replace(
            self,
            target=self.target[picked],
            embedding=self.embedding[picked],
            features=self.features.pick(picked),
        )


@dataclass(frozen=True, slots=True, eq=False)
class _Tracked:
    """What was found of all objects on a frame, and from what."""

    frame: int
    seen: _Seen
    masks: ObjectMasks


class _Follower:
    """Follows the objects of a step through its clips."""

    def __init__(
        self,
        model: Sam2,
        sample: StepSample,
        rules: StepRules,
        generator: torch.Generator,
    ) -> None:
        self.model, self.sample, self.rules = model, sample, rules
        self.generator = generator
        self.tally = StepTally(rules)
        device = model.device
        self.targets = sample.targets(device)
        self.clips = sample.images.shape[1]
        frames = sample.network_input(device).flatten(0, 1)
        self.encoded = model.encode_image(frames)
        self.rows = torch.arange(sample.masks.shape[1], device=device)
        self.memory = _Remembered({}, {})
        self.tracked: list[_Tracked] = []
        self.backward = False
        self.memory_rules = MemoryRules(
            num_maskmem=model.num_maskmem,
            max_conditioning_frames=4,
            max_pointers=(
                model.max_obj_ptrs_in_encoder if model.use_obj_ptrs_in_encoder else 0
            ),
            past_pointers_only=model.only_obj_ptrs_in_the_past_for_eval,
            signed_distances=model.use_signed_tpos_enc_to_obj_ptrs,
        )
        # In use most stacks are longer than the pointers reach.
        self.longest = max(self.memory_rules.max_pointers - 1, 1)

    def features(self, frame: int, rows: Tensor) -> ImageFeatures:
        """Return the features of a frame for some objects."""
        clips = torch.div(rows, self.sample.objects, rounding_mode="floor")
        return self.encoded.pick(frame * self.clips + clips)

    def prompt(self, prompts: FramePrompts, *, correct: bool) -> None:
        """Take each object's click, box or mask, perhaps correct it, remember."""
        frame, model, knobs = prompts.frame, self.model, self.rules.prompts
        device = model.device
        clicked, boxed, painted = object_groups(
            len(self.rows), [knobs.click_share, knobs.box_share], self.generator
        )
        results = []
        for rows, (points, labels) in (
            (clicked, as_clicks(prompts.clicks[clicked])),
            (boxed, as_boxes(prompts.boxes[boxed])),
        ):
            if not len(rows):
                continue
            rows, points, labels = rows.to(device), points.to(device), labels.to(device)
            features = self.features(frame, rows)
            embedding = model.without_memory(features)
            target = self.targets[frame][rows]
            seen = _Seen(target, embedding, features, tracking=False)
            masks = self._decode("prompted", seen, points, labels)
            if correct:
                masks = self._corrected(seen, masks, points, labels)
            results.append(masks)
        if len(painted):
            features = self.features(frame, painted.to(device))
            given = prompts.masks[painted].to(device).float()
            results.append(model.masks_as_output(features, given))
        order = torch.cat([clicked, boxed, painted]).argsort().to(device)
        self._remember(frame, _joined(results, order), prompted=True)

    def track(self, frame: int, *, backward: bool, correct: bool) -> None:
        """Find the objects on a frame by memory, perhaps correct them, remember."""
        rows = self.rows
        if backward != self.backward:
            self.memory.recent.clear()
            self.backward = backward
        features = self.features(frame, rows)
        recent = self.memory.recent
        chosen = self._select(
            frame, [*self.memory.conditioning], recent, backward=backward
        )
        known = [self.memory.at(memory.frame).features for memory in chosen.memories]
        told = [self.memory.at(pointer.frame).pointer for pointer in chosen.pointers]
        embedding = self._attend(
            features,
            [chosen] * len(rows),
            torch.stack(known, dim=1),
            torch.stack(told, dim=1) if told else None,
        )
        seen = _Seen(self.targets[frame], embedding, features, tracking=True)
        masks = self._decode_tracked(seen)
        self.tracked.append(_Tracked(frame, seen, masks))
        if correct:
            masks = self._corrected(seen, masks, *self._no_clicks())
        self._remember(frame, masks, prompted=correct)

    def correct_worst(self) -> None:
        """Correct every object on the tracked frame where it was found worst."""
        if not self.tracked:
            return
        ious = []
        for one in self.tracked:
            shown = self.model.empty_absent(one.masks).logits.detach().float()
            size = (one.seen.target.shape[-2], one.seen.target.shape[-1])
            iou = mask_iou(resize(shown, size), one.seen.target)[:, 0]
            # Annotators look for an object where it is.
            there = one.seen.target.flatten(1).any(1)
            ious.append(torch.where(there, iou, 2.0))
        worst = torch.stack(ious).argmin(0).tolist()
        seen = _joined_seen(
            [
                self.tracked[place].seen.of(self.rows[row : row + 1])
                for row, place in enumerate(worst)
            ]
        )
        masks = _joined(
            [
                _masks_of(self.tracked[place].masks, row)
                for row, place in enumerate(worst)
            ],
            self.rows,
        )
        frames = [self.tracked[place].frame for place in worst]
        masks = self._spoiled(seen, masks, frames)
        masks = self._corrected(seen, masks, *self._no_clicks())
        memory = self.model.encode_memory(
            seen.features, self.model.empty_absent(masks), binarize=True
        )
        self._track_beside(frames, memory)

    def _track_beside(self, corrected: Sequence[int], memory: FrameMemory) -> None:
        """Find each object anew on a frame beside the one where it was corrected.

        Parameters
        ----------
        corrected : sequence of int
            Frame of each object's correction.
        memory : FrameMemory
            What is remembered of each object there.
        """
        anchors = self.memory.conditioning
        places = defaultdict(list)
        for row, there in enumerate(corrected):
            beside = [
                frame
                for frame in (there - 1, there + 1)
                if 0 <= frame < len(self.sample.images) and frame not in anchors
            ]
            if not beside:
                continue
            draw = int(torch.randint(len(beside), (), generator=self.generator))
            frame = beside[draw]
            chosen = self._select(frame, [*anchors, there], (), backward=frame < there)
            counts = len(chosen.memories), len(chosen.pointers)
            places[counts].append((row, frame, chosen))

        def known(row: int, frame: int) -> FrameMemory:
            return memory if frame == corrected[row] else anchors[frame]

        for group in places.values():
            seen = [(row, frame) for row, frame, _ in group]
            features = ImageFeatures.join(
                [self.features(frame, self.rows[row : row + 1]) for row, frame in seen]
            )
            memories = [
                torch.stack(
                    [known(row, m.frame).features[row] for m in chosen.memories]
                )
                for row, _, chosen in group
            ]
            pointers = [
                torch.stack([known(row, p.frame).pointer[row] for p in chosen.pointers])
                for row, _, chosen in group
                if chosen.pointers
            ]
            embedding = self._attend(
                features,
                [chosen for _, _, chosen in group],
                torch.stack(memories),
                torch.stack(pointers) if pointers else None,
            )
            targets = [self.targets[frame][row] for row, frame in seen]
            self._decode_tracked(
                _Seen(torch.stack(targets), embedding, features, tracking=True)
            )

    def _spoiled(
        self, seen: _Seen, masks: ObjectMasks, frames: Sequence[int]
    ) -> ObjectMasks:
        """Return masks, each on its frame, of which a share covers too much.

        What the object was where it was prompted, or another object, as often, or what
        is around.
        """
        device, share = self.rows.device, self.rules.prompts.spoiled_share
        draw = torch.rand(len(self.rows), generator=self.generator)
        spoiled, halved = (draw < share).to(device), (draw < share / 2).to(device)
        before = self.targets[self.sample.prompts[0].frame]
        others = self.sample.beside(self.generator)
        beside = self.targets[frames, others.to(device)]
        wrong = spoiled_masks(
            seen.target,
            torch.where(halved[:, None, None, None], beside, before),
            self.generator,
        )
        logits = as_logits(wrong, masks.logits.shape[-1])
        return replace(
            masks,
            logits=torch.where(spoiled[:, None, None, None], logits, masks.logits),
            object_score=torch.where(spoiled, TAUGHT_LOGIT, masks.object_score),
        )

    def _corrected(
        self, seen: _Seen, masks: ObjectMasks, points: Tensor, labels: Tensor
    ) -> ObjectMasks:
        """Click where masks are wrong, as often as the rules say."""
        for _ in range(self.rules.corrections):
            more, signs = correction_clicks(
                self.model.empty_absent(masks).logits.detach(),
                seen.target,
                self.generator,
                self.rules.prompts.centre_share,
            )
            points = torch.cat([points, more], dim=1)
            labels = torch.cat([labels, signs], dim=1)
            masks = self._correct(seen, masks, points, labels)
        return masks

    def _correct(
        self, seen: _Seen, earlier: ObjectMasks, points: Tensor, labels: Tensor
    ) -> ObjectMasks:
        """Refine what was found; what was judged absent is looked for afresh."""
        present = earlier.object_score > 0
        prior = as_prior(earlier)
        results, order = [], []
        for some, given in ((present, True), (~present, False)):
            picked = torch.nonzero(some)[:, 0]
            if not len(picked):
                continue
            masks = self._decode(
                "corrected",
                seen.of(picked),
                points[picked],
                labels[picked],
                prior=prior[picked] if given else None,
            )
            results.append(masks)
            order.append(picked)
        return _joined(results, torch.cat(order).argsort())

    def _decode(
        self,
        kind: str,
        seen: _Seen,
        points: Tensor,
        labels: Tensor,
        *,
        count: int | None = None,
        prior: Tensor | None = None,
    ) -> ObjectMasks:
        """Decode prompts of some objects on a frame and count the loss."""
        model = self.model
        number = points.shape[1] if count is None else count
        decoded = model.decode(
            seen.embedding,
            seen.features,
            points,
            labels,
            prior,
            multimask=model.is_ambiguous(number, tracking=seen.tracking),
            stability=None,
        )
        masks = model.choose_masks(decoded)
        self.tally.add(kind, decoded, masks, seen.target, (points, labels))
        return masks

    def _decode_tracked(self, seen: _Seen) -> ObjectMasks:
        """Decode objects that are found by memory alone, and count the loss."""
        count = len(seen.target)
        points = seen.embedding.new_zeros(count, 1, 2, dtype=torch.float32)
        labels = torch.full_like(points[..., 0], PADDING, dtype=torch.long)
        return self._decode("tracked", seen, points, labels, count=0)

    def _no_clicks(self) -> tuple[Tensor, Tensor]:
        """Return the points and labels of all objects before the first click."""
        points = torch.zeros(len(self.rows), 0, 2, device=self.rows.device)
        return points, torch.zeros_like(points[..., 0], dtype=torch.long)

    def _select(
        self,
        frame: int,
        conditioning: Sequence[int],
        recent: Collection[int],
        *,
        backward: bool,
    ) -> Selection:
        """Return what a frame attends to."""
        return select_memories(
            frame,
            backward=backward,
            conditioning=conditioning,
            features=recent,
            pointers=recent,
            num_frames=len(self.sample.images),
            rules=self.memory_rules,
        )

    def _attend(
        self,
        features: ImageFeatures,
        chosen: Sequence[Selection],
        memories: Tensor,
        pointers: Tensor | None,
    ) -> Tensor:
        """Condition images on what is remembered, ``(B, C, H, W)``.

        Parameters
        ----------
        features : ImageFeatures
            Of B objects.
        chosen : sequence of Selection
            What each of them attends to; as many memories and pointers for all.
        memories : Tensor
            ``(B, n, D, H, W)``.
        pointers : Tensor, optional
            ``(B, p, C)``; None: there are none.
        """
        count, device = len(chosen), self.model.device
        positions = [[memory.position for memory in one.memories] for one in chosen]
        distances = [[pointer.distance for pointer in one.pointers] for one in chosen]
        if pointers is None:
            pointers = memories.new_zeros(count, 0, self.model.hidden_dim)
        return self.model.attend(
            features,
            memories,
            torch.tensor(positions, device=device),
            pointers,
            torch.tensor(distances, dtype=torch.float32, device=device) / self.longest,
        )

    def _remember(self, frame: int, masks: ObjectMasks, *, prompted: bool) -> None:
        """Encode the memory of all objects on a frame."""
        masks = self.model.empty_absent(masks)
        self.tally.show(frame, self.rows, masks)
        memory = self.model.encode_memory(
            self.features(frame, self.rows),
            masks if prompted else self._taught(frame, masks),
            binarize=prompted,
        )
        where = self.memory.conditioning if prompted else self.memory.recent
        where[frame] = memory

    def _taught(self, frame: int, masks: ObjectMasks) -> ObjectMasks:
        """Return masks of which a share is replaced by the true ones."""
        share = self.rules.teacher_share
        if not share:
            return masks
        draw = torch.rand(len(self.rows), generator=self.generator) < share
        told = draw.to(self.rows.device)
        target = self.targets[frame]
        logits = as_logits(target, masks.logits.shape[-1])
        present = target.flatten(1).any(1)
        score = torch.where(present, TAUGHT_LOGIT, -TAUGHT_LOGIT)
        return replace(
            masks,
            logits=torch.where(told[:, None, None, None], logits, masks.logits),
            object_score=torch.where(told, score, masks.object_score),
        )


def _joined(results: Sequence[ObjectMasks], order: Tensor) -> ObjectMasks:
    """Join the masks of groups of objects, in the order given."""
    return ObjectMasks(
        logits=torch.cat([masks.logits for masks in results])[order],
        iou=torch.cat([masks.iou for masks in results])[order],
        object_score=torch.cat([masks.object_score for masks in results])[order],
        pointer=torch.cat([masks.pointer for masks in results])[order],
    )


def _masks_of(masks: ObjectMasks, row: int) -> ObjectMasks:
    """Return the masks of one object of a batch."""
    one = slice(row, row + 1)
    return ObjectMasks(
        logits=masks.logits[one],
        iou=masks.iou[one],
        object_score=masks.object_score[one],
        pointer=masks.pointer[one],
    )


def _joined_seen(parts: Sequence[_Seen]) -> _Seen:
    """Join what is seen of objects, all of them tracked, perhaps on other frames."""
    return _Seen(
        target=torch.cat([part.target for part in parts]),
        embedding=torch.cat([part.embedding for part in parts]),
        features=ImageFeatures.join([part.features for part in parts]),
        tracking=True,
    )
