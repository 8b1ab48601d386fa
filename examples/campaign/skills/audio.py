"""Sound: looping music, effects in the same key, and a mix of both at balanced levels."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from pydantic import BaseModel, Field

from orchestrator import SkillError, StepContext, skill

from .plan import Mode, MusicStyle
from .seed import chance
from .synth import RATE, Envelope, Loop, Samples, Shape, loudness, noise, peak, read_wav, soften, tone, wav

BARS, BEATS = 4, 4
SCALES: dict[Mode, tuple[int, ...]] = {
    "major": (0, 2, 4, 5, 7, 9, 11),
    "minor": (0, 2, 3, 5, 7, 8, 10),
    "dorian": (0, 2, 3, 5, 7, 9, 10),
}
# One chord per bar, as degrees of the scale counted from 0; degrees below the root are negative.
PROGRESSIONS: dict[Mode, tuple[tuple[int, ...], ...]] = {
    "major": ((0, -3, -2, 3), (0, -2, 3, -3)),
    "minor": ((0, -2, 2, -1), (0, 3, -2, -3)),
    "dorian": ((0, 3, -1, 3), (0, 2, 3, -1)),
}


@dataclass(frozen=True)
class Band:
    """The instruments of a style. `steps` is the number of arpeggio notes per beat."""

    pad: Shape
    bass: Shape
    lead: Shape
    steps: int
    drums: float
    echo: float
    lead_decay: float


BANDS: dict[MusicStyle, Band] = {
    "synthwave": Band("saw", "saw", "square", 4, 1.0, 0.35, 0.16),
    "chiptune": Band("triangle", "triangle", "square", 4, 0.7, 0.18, 0.12),
    "ambient": Band("triangle", "sine", "bell", 2, 0.25, 0.5, 0.6),
}


class Tuning(BaseModel):
    """The settings shared by all sounds: instruments, the root as a MIDI note number, the scale."""

    style: MusicStyle
    root: int = Field(ge=36, le=60)
    mode: Mode


class MusicRequest(Tuning):
    """Input of `audio.generate_bgm`; `tempo` is in beats per minute."""

    tempo: int = Field(ge=60, le=180)


class EffectsRequest(Tuning):
    """Input of `audio.generate_sfx`. It has no tempo, so that a change of tempo does not affect the effects."""


def note_of(request: Tuning, degree: int, octave: int = 0) -> int:
    """Return the MIDI note of a degree of the scale; degrees beyond the scale continue in the next octave."""
    scale = SCALES[request.mode]
    return request.root + scale[degree % 7] + 12 * (degree // 7 + octave)


class Arrangement:
    """Four bars of music, with one method for each part of the band. Times are in seconds."""

    def __init__(self, request: MusicRequest) -> None:
        self.request = request
        self.band = BANDS[request.style]
        self.draw = chance("bgm", request.model_dump())
        self.beat = 60 / request.tempo
        self.tape = Loop(BARS * BEATS * self.beat)
        progressions = PROGRESSIONS[request.mode]
        self.chords = progressions[int(self.draw.integers(len(progressions)))]

    def play_chords(self) -> None:
        """Play a held chord in each bar, spread from left to right."""
        held = Envelope(attack=0.3 * self.beat, release=0.8 * self.beat)
        for bar, chord in enumerate(self.chords):
            for degree, level, pan in ((0, 0.09, -0.7), (2, 0.09, 0.7), (4, 0.09, -0.3), (6, 0.05, 0.3)):
                note = note_of(self.request, chord + degree, 1)
                sound = tone(note, BEATS * self.beat * 1.1, self.band.pad, held)
                self.tape.add(sound, bar * BEATS * self.beat, level, pan)

    def play_bass(self) -> None:
        """Play the root of the chord, twice per beat."""
        plucked = Envelope(decay=0.5 * self.beat, release=0.02)
        for half in range(BARS * BEATS * 2):
            chord = self.chords[half // (BEATS * 2)]
            note = note_of(self.request, chord, 0 if half % 4 == 3 else -1)
            self.tape.add(tone(note, self.beat * 0.5, self.band.bass, plucked), half * self.beat / 2, 0.34)

    def play_arpeggio(self) -> None:
        """Play the notes of the chord up and down, from one side to the other."""
        plucked = Envelope(decay=self.band.lead_decay, release=0.02)
        apart = self.beat / self.band.steps
        for step in range(BARS * BEATS * self.band.steps):
            chord = self.chords[step // (BEATS * self.band.steps)]
            note = note_of(self.request, chord + (0, 2, 4, 7, 4, 2)[step % 6], 1)
            sound = tone(note, max(apart, self.band.lead_decay * 2), self.band.lead, plucked)
            self.tape.add(sound, step * apart, 0.075, 0.6 if step % 2 else -0.6)

    def play_melody(self) -> None:
        """Play a melody that follows the scale, with a note of the chord at the start of each bar."""
        sung = Envelope(attack=0.02, decay=max(0.35, self.band.lead_decay * 2), release=0.06)
        shape: Shape = "bell" if self.request.style == "ambient" else "triangle"
        degree = 4
        for bar, chord in enumerate(self.chords):
            place = 0.0
            degree = min((chord + tone_of_chord for tone_of_chord in (0, 2, 4, 7)), key=lambda d: abs(d - degree))
            while place < BEATS:
                length = min(float(self.draw.choice([0.5, 0.5, 1.0, 1.5])), BEATS - place)
                if place == 0 or self.draw.random() > 0.2:
                    sound = tone(note_of(self.request, degree, 2), (length + 0.4) * self.beat, shape, sung)
                    self.tape.add(sound, (bar * BEATS + place) * self.beat, 0.24, 0.12)
                degree = int(np.clip(degree + self.draw.choice([-2, -1, -1, 1, 1, 2]), 0, 10))
                place += length

    def play_drums(self) -> None:
        """Play kick, snare and hi-hat, without echo, which would blur them."""
        kick = tone(40, 0.22, "sine", Envelope(attack=0.001, decay=0.09), bend=-26)
        snare = noise(self.draw, 0.16, Envelope(attack=0.001, decay=0.05), 0.7)
        hat = noise(self.draw, 0.05, Envelope(attack=0.001, decay=0.015))
        for half in range(BARS * BEATS * 2):
            at = half * self.beat / 2
            if half % 4 == 0:
                self.tape.add(kick, at, 1.1 * self.band.drums)
            if half % 8 == 4:
                self.tape.add(snare, at, 0.4 * self.band.drums, 0.1)
            self.tape.add(hat, at, (0.12 if half % 2 else 0.2) * self.band.drums, 0.35)


@skill("audio.generate_bgm", version="1")
def generate_bgm(request: MusicRequest, ctx: StepContext) -> dict[str, Any]:
    """Compose and play four bars that loop seamlessly: chords, bass, an arpeggio, a melody, drums."""
    music = Arrangement(request)
    ctx.progress(0.1, "chords")
    music.play_chords()
    ctx.progress(0.3, "bass")
    music.play_bass()
    ctx.progress(0.5, "arpeggio")
    music.play_arpeggio()
    ctx.progress(0.7, "melody")
    music.play_melody()
    music.tape.echo(music.beat * 0.75, music.band.echo)
    ctx.progress(0.9, "drums")
    music.play_drums()
    sound = soften(music.tape.samples * (0.16 / max(loudness(music.tape.samples), 1e-9)), 0.95)
    seconds = round(len(sound) / RATE, 3)
    ctx.artifact(wav(sound), type="audio/wav", filename="bgm.wav", metadata={"seconds": seconds})
    return {"seconds": seconds, "tempo": request.tempo, "bars": BARS, "chords": list(music.chords)}


@skill("audio.generate_sfx", version="1")
def generate_sfx(request: EffectsRequest, ctx: StepContext) -> dict[str, Any]:
    """Create the short sounds of a game, tuned to its music: one artifact each."""
    draw = chance("sfx", request.model_dump())
    lead = BANDS[request.style].lead
    short, ringing = Envelope(decay=0.05), Envelope(decay=0.22, release=0.05)
    thud = Envelope(attack=0.001, decay=0.07)
    effects: dict[str, Samples] = {
        "click": tone(note_of(request, 4, 2), 0.09, lead, short, bend=5),
        "catch": _sequence([tone(note_of(request, d, 2), 0.3, "bell", ringing) for d in (2, 4)], 0.06),
        "hit": _sequence([noise(draw, 0.3, thud, 0.2), tone(38, 0.3, "triangle", ringing, bend=-14)], 0.0),
        "win": _sequence([tone(note_of(request, d, 2), 0.55, "bell", ringing) for d in (0, 2, 4, 7, 9, 11)], 0.11),
        "lose": _sequence(
            [tone(note_of(request, d, 1), 0.6, "triangle", ringing, bend=-0.4) for d in (7, 5, 3, 1, 0)], 0.19
        ),
    }
    for done, (name, sound) in enumerate(effects.items()):
        ctx.progress(done / len(effects), name)
        level = sound * (0.8 / max(peak(sound), 1e-9))
        ctx.artifact(wav(level), type="audio/wav", filename=f"{name}.wav", metadata={"effect": name})
    return {"effects": list(effects), "seconds": {name: round(len(s) / RATE, 3) for name, s in effects.items()}}


def _sequence(sounds: Sequence[Samples], gap: float) -> Samples:
    """Return the sounds mixed together, each `gap` seconds after the previous one."""
    step = round(gap * RATE)
    whole = np.zeros(max(index * step + len(sound) for index, sound in enumerate(sounds)))
    for index, sound in enumerate(sounds):
        whole[index * step : index * step + len(sound)] += sound
    return whole


class Levels(BaseModel):
    """The volume of music and effects, from 0 (silent) to 1."""

    music: float = Field(default=0.6, ge=0, le=1)
    effects: float = Field(default=0.8, ge=0, le=1)


class MixRequest(BaseModel):
    """Input of `audio.mix`: artifacts of the music and of the effects."""

    music: dict[str, Any]
    effects: list[dict[str, Any]]
    levels: Levels | None = None


CEILING = 0.89  # -1 dBFS: the highest allowed peak of music and effect together


@skill("audio.mix", version="1")
def mix(request: MixRequest, ctx: StepContext) -> dict[str, Any]:
    """Set music and effects to levels at which they never clip together.

    Raises:
        SkillError: `AUDIO_UNREADABLE`, not retryable: a file is not a WAV file in our format.
    """
    levels = request.levels or Levels()
    sounds: dict[str, Samples] = {}
    for reference in [{**request.music, "filename": "music.wav"}, *request.effects]:
        name = str(reference["filename"])
        ctx.progress(0.6 * len(sounds) / (1 + len(request.effects)), f"reading {name}")
        try:
            sounds[name] = read_wav(ctx.read_artifact(reference))
        except ValueError as error:
            raise SkillError("AUDIO_UNREADABLE", f"{name}: {error}", retryable=False) from error
    wanted = {name: levels.music if name == "music.wav" else levels.effects for name in sounds}
    balanced = {name: sound * (wanted[name] / max(peak(sound), 1e-9)) for name, sound in sounds.items()}
    loudest = wanted["music.wav"] + max((level for name, level in wanted.items() if name != "music.wav"), default=0.0)
    gain = CEILING / max(loudest, CEILING)
    report = {}
    for name, sound in balanced.items():
        finished = sound * gain
        ctx.artifact(wav(finished), type="audio/wav", filename=name, metadata={"role": name.removesuffix(".wav")})
        report[name] = {"peak": round(peak(finished), 4), "loudness": round(loudness(finished), 4)}
    return {"levels": levels.model_dump(), "gain": round(gain, 4), "files": report}
