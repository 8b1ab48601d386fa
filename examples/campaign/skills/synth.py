"""A small synthesiser: notes as arrays of samples (float64, -1 to 1), and WAV files."""

import io
import math
import wave
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

RATE = 22_050
"""Samples per second."""

Samples = NDArray[np.float64]
Shape = Literal["sine", "triangle", "square", "saw", "bell"]

# The level of each harmonic of a tone. Waveforms are sums of sines, so that no harmonic is above half the sample
# rate, where it would cause aliasing.
HARMONICS: dict[Shape, dict[float, float]] = {
    "sine": {1: 1.0},
    "triangle": {1: 1.0, 3: 1 / 9, 5: 1 / 25, 7: 1 / 49},
    "square": {1: 0.8, 3: 0.27, 5: 0.16, 7: 0.11, 9: 0.09, 11: 0.07},
    "saw": {1: 0.7, 2: 0.35, 3: 0.23, 4: 0.17, 5: 0.14, 6: 0.11, 7: 0.09, 8: 0.08},
    "bell": {1: 0.8, 2.01: 0.35, 2.99: 0.2, 5.43: 0.1},
}


@dataclass(frozen=True)
class Envelope:
    """The envelope of a note, in seconds; `decay` is the time in which it falls to a third (0: no decay)."""

    attack: float = 0.005
    decay: float = 0.0
    release: float = 0.03


def frequency(note: float) -> float:
    """Return the frequency of a MIDI note number in Hz (69 is A at 440 Hz)."""
    return float(440.0 * 2 ** ((note - 69) / 12))


def tone(note: float, seconds: float, shape: Shape, envelope: Envelope, bend: float = 0.0) -> Samples:
    """Return a note, shape (n,); `bend` is the number of semitones by which its pitch slides up (or down)."""
    time = np.arange(max(1, round(seconds * RATE))) / RATE
    hertz = frequency(note) * 2 ** (bend * time / seconds / 12)
    phase = 2 * math.pi * np.cumsum(hertz) / RATE
    sound = np.zeros_like(time)
    for multiple, level in HARMONICS[shape].items():
        if float(hertz.max()) * multiple < RATE / 2:
            sound += level * np.sin(phase * multiple)
    return sound * _envelope(time, seconds, envelope)


def noise(draw: np.random.Generator, seconds: float, envelope: Envelope, brightness: float = 1.0) -> Samples:
    """Return noise, shape (n,): dull at brightness 0, sharp at 1."""
    time = np.arange(max(1, round(seconds * RATE))) / RATE
    hiss = draw.uniform(-1, 1, time.size)
    sharp = np.diff(hiss, prepend=0.0) * 0.7
    dull = np.convolve(hiss, np.ones(24) / 6, mode="same")
    return (brightness * sharp + (1 - brightness) * dull) * _envelope(time, seconds, envelope)


def _envelope(time: Samples, seconds: float, envelope: Envelope) -> Samples:
    shape = np.minimum(1.0, time / max(envelope.attack, 1e-4))
    if envelope.decay:
        shape = shape * np.exp(-time / envelope.decay)
    return shape * np.clip((seconds - time) / max(envelope.release, 1e-4), 0.0, 1.0)


class Loop:
    """A circular stereo buffer: sounds beyond its end continue at its beginning, so it loops seamlessly."""

    def __init__(self, seconds: float) -> None:
        self.samples: Samples = np.zeros((round(seconds * RATE), 2))

    def add(self, sound: Samples, start: float, level: float, pan: float = 0.0) -> None:
        """Add a sound to the buffer at `start` seconds; `pan` goes from -1 (left) to 1 (right)."""
        places = (round(start * RATE) + np.arange(sound.size)) % len(self.samples)
        angle = (pan + 1) * math.pi / 4
        np.add.at(self.samples, places, sound[:, None] * (level * np.array([math.cos(angle), math.sin(angle)])))

    def echo(self, seconds: float, level: float) -> None:
        """Add three echoes of everything, each fainter than the last and on the other side."""
        dry = self.samples.copy()
        for repeat in range(1, 4):
            late = np.roll(dry, round(seconds * repeat * RATE), axis=0)
            self.samples += (late[:, ::-1] if repeat % 2 else late) * level**repeat


def peak(sound: Samples) -> float:
    """Return the largest absolute sample."""
    return float(np.abs(sound).max(initial=0.0))


def loudness(sound: Samples) -> float:
    """Return the root mean square."""
    return float(np.sqrt(np.mean(np.square(sound)))) if sound.size else 0.0


def soften(sound: Samples, ceiling: float) -> Samples:
    """Return the sound with soft clipping at the ceiling."""
    return np.asarray(ceiling * np.tanh(sound / ceiling))


def wav(sound: Samples) -> bytes:
    """Return a WAV file (16 bits) of samples of shape (n,) or (n, channels)."""
    channels = 1 if sound.ndim == 1 else sound.shape[1]
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes((np.clip(sound, -1, 1) * 32_767).round().astype("<i2").tobytes())
    return buffer.getvalue()


def read_wav(content: bytes) -> Samples:
    """Return the samples of a WAV file as shape (n, channels).

    Raises:
        ValueError: not a WAV file, truncated, or not 16 bits at our rate.
    """
    try:
        with wave.open(io.BytesIO(content), "rb") as file:
            if file.getsampwidth() != 2 or file.getframerate() != RATE:
                raise ValueError(f"not 16 bits at {RATE} Hz")
            frames = file.readframes(file.getnframes())
            if len(frames) != file.getnframes() * file.getnchannels() * 2:
                raise ValueError("cut short")
            return np.frombuffer(frames, "<i2").reshape(-1, file.getnchannels()) / 32_767
    except (wave.Error, EOFError) as error:
        raise ValueError(f"not a WAV file: {error}") from error
