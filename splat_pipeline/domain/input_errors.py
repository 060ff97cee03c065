"""What can be wrong with what was uploaded: a part of the tree that ``errors`` draws."""

from __future__ import annotations

from splat_pipeline.domain.error_root import SplatError


class InputError(SplatError):
    remedy = "Replace the file and upload again."


class EmptyUpload(InputError):
    remedy = (
        "Put at least one video (.mp4, .mov, .mkv, .webm, .avi) or a folder of photos (JPEG, PNG, TIFF, HEIC) in it."
    )


class UnreadableMedia(InputError):
    remedy = "Copy the file again from the camera (the upload may have been cut off), or export it again as MP4."


class UnsupportedMedia(InputError):
    remedy = "Export the clip as MP4 (H.264 or HEVC) and upload that."


class NoVideoStream(InputError):
    remedy = "Upload the clip itself: this file holds no moving pictures."


class UnsafeUpload(InputError):
    remedy = "Upload plain files: links, pipes, devices and names that leave the folder are refused."


class BadJobFile(InputError):
    remedy = "Correct the named key; the README lists the known ones."


class BadBundle(InputError):
    remedy = "Copy the bundle again, or prepare the footage again: splat prepare."


class BadPoses(InputError):
    remedy = "Export the poses again, or take the named file out of the upload: the cameras are found without it."


class BadCalibration(InputError):
    remedy = "Film a flat board again: sharp, in good light, from many sides, 20 views or more."


class WeakFootage(InputError):
    remedy = "Film again: walk slowly around the subject in good light and keep it in view."


class TooShort(WeakFootage):
    remedy = "Film at least 5 seconds while moving around the subject, or upload at least 8 photos."


class TooLong(WeakFootage):
    remedy = "Cut the clip to the minutes that show the scene, and upload those."


class TooSmall(WeakFootage):
    remedy = "Film at 640x360 or more."


class TooDark(WeakFootage):
    remedy = "Film again with more light, and lock the exposure."


class Blurred(WeakFootage):
    remedy = "Film again: move slower, hold steadier, let the camera focus first."


class StaticCamera(WeakFootage):
    remedy = "Film again while walking around the subject: a fixed camera shows no depth, however much moves before it."


class NoTexture(WeakFootage):
    remedy = "Film a scene with visible detail; bare walls and black frames cannot be located."


class RotationOnly(WeakFootage):
    remedy = "Film again while walking: a camera that only turns on the spot, or only zooms, sees no depth."


class MovingObjects(WeakFootage):
    remedy = "Film what stands still: keep people, traffic, water and moving leaves to a small part of the picture."
