"""A simulated event camera that looks at still images with a moving gaze."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from pyasync._checks import fraction, real
from pyasync._events import count_of, reals_of, seconds_of
from pyasync.errors import InputError, expected
from pyasync.events import SpikeBatch

ONE_SACCADE = ((0.0, 0.0), (6.0, 3.0))
_IMAGES_AT_ONCE = 128
_LONGEST_MOVE = 0.25


def saccade(
    images: npt.ArrayLike,
    path: npt.ArrayLike = ONE_SACCADE,
    threshold: float = 0.5,
    dt: float = 10e-3,
    n_timesteps: int = 10,
    *,
    sensor_shape: tuple[int, int] = (34, 34),
    background: float = 0.0,
    offset: float = 0.15,
) -> SpikeBatch:
    """Show images to a simulated event camera that makes a saccade.

    An event camera has no frames: each pixel independently remembers the logarithm of the light
    intensity at its last event, and sends an ON (OFF) event whenever the logarithm has since risen
    (fallen) by `threshold`. A still image gives no events, so the image moves over the sensor, as
    when the eyes jump. Timestep `k` holds the events of `k*dt .. (k+1)*dt`; several events of a
    pixel and polarity in one timestep become one with a multiplicity (see `SpikeBatch.binary`).

    The image moves at constant speed between the points of `path`, in steps of at most a quarter of
    a pixel, with linear interpolation between pixels. Around it the sensor sees `background`. The
    sensor is centred on the area that the image passes over.

    Parameters
    ----------
    images : array [N, height, width]
        Intensities: real numbers 0 .. 1, booleans, or uint8 0 .. 255.
    path : array [K, 2]
        Points (x, y), in pixels, that the image passes at equal time intervals from start to end.
        By default one saccade, 6 pixels to the right and 3 down.
    threshold : float
        Change of the log intensity that triggers an event.
    dt : float
        Length of a timestep in seconds.
    n_timesteps : int
        Number of timesteps in which the whole path is traversed.
    sensor_shape : (height, width)
        Size of the sensor in pixels.
    background : float
        Intensity around the image, 0 .. 1.
    offset : float
        Added to intensities before taking the logarithm; roughly the darkest light that a pixel can
        distinguish.

    Returns
    -------
    SpikeBatch
        `N` samples of input shape (2, height, width), the sensor's: OFF events, then ON events.

    Raises
    ------
    InputError
        If an argument is not as described.

    Examples
    --------
    >>> import numpy as np, pyasync as pa
    >>> square = np.zeros((1, 8, 8))
    >>> square[:, 2:6, 2:6] = 1
    >>> batch = pa.data.saccade(square, path=[(0, 0), (2, 0)], sensor_shape=(8, 12))
    >>> off, on = batch.to_dense().sum(axis=(0, 1, 3)).astype(int)
    >>> on  # the right edge reaches two more columns: 4 rows, 4 events a pixel
    array([ 0,  0,  0,  0,  0,  0,  0, 16, 16,  0,  0,  0])
    >>> off  # the left edge leaves two
    array([ 0,  0,  0, 16, 16,  0,  0,  0,  0,  0,  0,  0])
    """
    pictures = _pictures(images)
    points = reals_of("path", path, ndim=2).astype(np.float64)
    if points.shape[0] < 1 or points.shape[1] != 2:
        raise InputError(expected("path", f"shape {points.shape}", "points (x, y): shape [K, 2]"))
    threshold = real(InputError, "threshold", threshold, "a number above 0")
    offset = real(InputError, "offset", offset, "a number above 0")
    dt, n_timesteps = seconds_of("dt", dt), count_of("n_timesteps", n_timesteps)
    if not isinstance(sensor_shape, (tuple, list)) or len(sensor_shape) != 2:
        raise InputError(expected("sensor_shape", repr(sensor_shape), "(height, width)"))
    sensor = (count_of("sensor_shape", sensor_shape[0]), count_of("sensor_shape", sensor_shape[1]))
    background = fraction(InputError, "background", background)
    positions, moves = _positions(points, pictures.shape[1:], sensor, n_timesteps)
    empty = SpikeBatch([], np.zeros(1, np.int64), n_timesteps, (2, *sensor), dt=dt)
    batches = [empty]
    for first in range(0, len(pictures), _IMAGES_AT_ONCE):
        some = pictures[first : first + _IMAGES_AT_ONCE]
        counts = np.zeros((len(some), n_timesteps, 2, *sensor), np.float32)
        last = np.log(offset + _seen(some, positions[0], sensor, background))
        for move, position in enumerate(positions[1:]):
            light = np.log(offset + _seen(some, position, sensor, background))
            crossed = np.trunc((light - last) / threshold)
            last += crossed * threshold
            counts[:, move // moves, 0] -= np.minimum(crossed, 0)
            counts[:, move // moves, 1] += np.maximum(crossed, 0)
        batches.append(SpikeBatch.from_dense(counts, dt, batch_first=True))
    return SpikeBatch.concatenate(batches)


def _pictures(images: npt.ArrayLike) -> npt.NDArray[np.float32]:
    given = reals_of("images", images, ndim=3)
    if given.dtype.kind in "iu" and given.dtype != np.uint8 and given.size:
        accepted = "real numbers 0 .. 1, booleans, or uint8"
        raise InputError(expected("images", f"dtype {given.dtype}", accepted))
    if 0 in given.shape[1:]:
        raise InputError(expected("images", f"shape {given.shape}", "[N, height, width] of pixels"))
    scale = 255 if given.dtype == np.uint8 else 1
    pictures: npt.NDArray[np.float32] = given.astype(np.float32) / np.float32(scale)
    if pictures.size and (pictures.min() < 0 or pictures.max() > 1):
        spread = f"intensities {pictures.min():g} .. {pictures.max():g}"
        raise InputError(expected("images", spread, "intensities 0 .. 1, or uint8 0 .. 255"))
    return pictures


def _positions(
    points: npt.NDArray[np.float64],
    image: tuple[int, ...],
    sensor: tuple[int, int],
    n_timesteps: int,
) -> tuple[npt.NDArray[np.float64], int]:
    """Positions (x, y) of the image's corner on the sensor at every move; moves per timestep."""
    legs = max(1, len(points) - 1)
    longest = np.abs(np.diff(points, axis=0)).max(initial=0) * legs / n_timesteps
    moves = max(1, math.ceil(longest / _LONGEST_MOVE - 1e-9))
    when = np.linspace(0, len(points) - 1, n_timesteps * moves + 1)
    at = np.stack([np.interp(when, np.arange(len(points)), axis) for axis in points.T], axis=1)
    low, high = at.min(axis=0), at.max(axis=0) + np.array([image[1], image[0]])
    return at - low + ((sensor[1], sensor[0]) - (high - low)) / 2, moves


def _seen(
    images: npt.NDArray[np.float32],
    corner: npt.NDArray[np.float64],
    sensor: tuple[int, int],
    background: float,
) -> npt.NDArray[np.float32]:
    """Intensities [N, height, width] on the sensor, with the image's corner at `corner` (x, y)."""
    seen = np.pad(images, ((0, 0), (1, 1), (1, 1)), constant_values=background)
    for axis, size in ((1, sensor[0]), (2, sensor[1])):
        start = corner[2 - axis]
        whole = math.floor(start)
        after = np.float32(start - whole)
        at = np.arange(size) - whole
        n = images.shape[axis]
        near, far = np.clip(at, -1, n) + 1, np.clip(at - 1, -1, n) + 1
        seen = (1 - after) * np.take(seen, near, axis) + after * np.take(seen, far, axis)
    return seen
