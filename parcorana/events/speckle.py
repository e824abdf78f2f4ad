"""The field behind simulated speckle: at any pulse, without all the earlier ones."""

import math

import numpy as np

# Noise along each image axis is smoothed by (1 + z)^4, that is [1, 4, 6, 4, 1]:
# neighbours then correlate by 0.8, the next ones by 0.4, 0.11 and 0.014.
_SMOOTH = 4
_SMOOTH_NORM = math.sqrt(sum(math.comb(_SMOOTH, k) ** 2 for k in range(_SMOOTH + 1)))
_CACHE_BYTES = 64 << 20
_PASSING = 4  # fields beside those that are kept: two between which one is made, that one, a product
FIELD, PHOTONS, GAPS, ORDER, PULSES = range(5)  # streams of random numbers


def generator(options, *key):
    """Return a generator of random numbers that depends on the seed and a key alone."""
    return np.random.Generator(np.random.SFC64(np.random.SeedSequence(options.seed, spawn_key=key)))


def rings(options):
    """Colours of one image, int32, shape of the detector's last two axes."""
    plane = options.shape[-2:]
    # Doubled coordinates make the squared radius an exact integer.
    square = sum((2 * x - (n - 1)) ** 2 for x, n in zip(np.indices(plane, np.int64), plane, strict=True))
    ring = np.empty(square.size, np.int32)
    ring[np.argsort(square, axis=None, kind="stable")] = np.arange(square.size) * options.colors // square.size + 1
    return ring.reshape(plane)


def bytes_of(options):
    """Return the bytes that `Fields` of these options hold at the most, and who makes a frame of them."""
    shape, padded = _shapes(options)
    field, plane = 4 * math.prod(shape), math.prod(shape[2:])
    frame = math.prod(shape[1:])
    rings_ = 0 if options.colors == 1 else 48 * plane
    return (_capacity(options) + _PASSING) * field + 8 * math.prod(padded) + (8 + 16 * options.poisson) * frame + rings_


def _shapes(options):
    """Return the shapes of a field, and of one with what is cut off when it has been smoothed."""
    rows, columns = (1, *options.shape)[-2:]
    shape = (2 * max(options.modes, 1), math.prod(options.shape[:-2]), rows, columns)
    # An axis of length 1 has no neighbours to be correlated with.
    return shape, (*shape[:2], *(size + _SMOOTH * (size > 1) for size in (rows, columns)))


def _capacity(options):
    """Return how many fields are kept."""
    wanted = 24 + 2 * options.disorder
    return max(8, min(wanted, _CACHE_BYTES // (4 * math.prod(_shapes(options)[0]))))


class Fields:
    """The field at any pulse: float32, shape (real and imaginary of each mode, images, rows, columns)."""

    def __init__(self, options):
        self._options = options
        self._shape, self._padded = _shapes(options)
        rows, columns = self._shape[2:]
        pads = [self._padded[2] - rows, self._padded[3] - columns]
        self._shifts = [self._padded[3]] * pads[0] + [1] * pads[1]
        # <|E|^2> = 1 is shared by the real and the imaginary part.
        self._amplitude = math.sqrt(0.5) / _SMOOTH_NORM ** np.count_nonzero(pads)
        self._rates = np.arange(1, options.colors + 1) ** 2 / options.tau
        self._ring = rings(options).reshape(rows, columns) - 1 if options.colors > 1 else None
        self._scratch = np.empty((2, math.prod(self._padded)), np.float32)
        self._product = np.empty(self._shape, np.float32)
        self._cache, self._now = {}, 0
        self._capacity = _capacity(options)

    def at(self, pulse):
        """Return the field at `pulse`; not to be changed."""
        self._now = pulse
        return self._at(pulse)

    def _at(self, pulse):
        field = self._cache.pop(pulse, None)
        if field is None:
            field = self._make(pulse)
        self._cache[pulse] = field
        while len(self._cache) > self._capacity:
            del self._cache[self._least_useful()]
        return field

    def _least_useful(self):
        if self._options.disorder > 1:
            return next(iter(self._cache))  # the one used longest ago
        # In order, one that has passed, else the one that will be needed last.
        first = min(self._cache)
        return first if first < self._now else max(self._cache)

    def _make(self, pulse):
        step = pulse & -pulse
        if pulse == 0:
            return self._sum(0, 0.0, 1.0)
        if pulse == step:
            before = pulse // 2
            passed = self._options.passed(before, pulse) * self._rates
            return self._sum(pulse, np.exp(-passed), np.sqrt(-np.expm1(-2 * passed)), self._at(before))
        # Ornstein-Uhlenbeck bridge, the process given both ends: with
        # a = exp(-step/tau) the mean is a / (1 + a^2) times the sum of the
        # ends, the variance (1 - a^2) / (1 + a^2).
        if self._options.aging:
            return self._bridge(pulse, step)
        decay = np.exp(-step * self._rates)
        spread = np.sqrt(np.tanh(step * self._rates))
        ends = [self._at(end) for end in (pulse - step, pulse + step)]
        return self._sum(pulse, decay / (1 + decay**2), spread, *ends)

    def _bridge(self, pulse, step):
        """Return the field between two that are not equally far away for the sample: a and b instead of a, a.

        Mean ``(a (1 - b^2) E_before + b (1 - a^2) E_after) / (1 - a^2 b^2)``,
        variance ``(1 - a^2) (1 - b^2) / (1 - a^2 b^2)``.
        """
        before, after = pulse - step, pulse + step
        a, b = (self._options.passed(*ends) * self._rates for ends in ((before, pulse), (pulse, after)))
        left_a, left_b, left = -np.expm1(-2 * a), -np.expm1(-2 * b), -np.expm1(-2 * (a + b))
        ends = [self._at(end) for end in (before, after)]  # first of all: they are made of others, in turn
        field = self._sum(pulse, np.exp(-a) * left_b / left, np.sqrt(left_a * left_b / left), ends[0])
        field += np.multiply(ends[1], self._each(np.exp(-b) * left_a / left), out=self._product)
        return field

    def _sum(self, pulse, weight, spread, *ends):
        """Return weight * (sum of the ends) + spread * noise."""
        field = self._noise(pulse) * self._each(spread * self._amplitude)
        if ends:
            total = np.add(*ends, out=self._product) if len(ends) == 2 else ends[0]
            field += np.multiply(total, self._each(weight), out=self._product)
        return field

    def _each(self, values):
        """Values per colour, as float32 per element of an image, or one for all."""
        values = np.broadcast_to(values, self._rates.shape).astype(np.float32)
        return values[0] if self._ring is None else values[self._ring]

    def _noise(self, pulse):
        """White in time, speckled in space, equal variance up to the edges.

        All padded images are one long array that is added to itself shifted by
        a column or a row; what wraps around ends in the padding.
        """
        noise, other = self._scratch
        generator(self._options, FIELD, pulse).standard_normal(dtype=np.float32, out=noise)
        size = noise.size
        for shift in self._shifts:
            size -= shift
            np.add(noise[:size], noise[shift : shift + size], out=other[:size])
            noise, other = other, noise
        return noise.reshape(self._padded)[:, :, : self._shape[2], : self._shape[3]]
