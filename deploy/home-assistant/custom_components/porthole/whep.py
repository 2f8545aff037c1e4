"""The text of WHEP: fragments of a session description, which carry candidates (RFC 8840)."""

from dataclasses import dataclass, field

# Any payload type will do: the server reads the name of the section, not its `m=` line.
MEDIA_LINE = "m={kind} 9 UDP/TLS/RTP/SAVPF 0"
# More sections than an offer of a browser has.
MAX_SECTIONS = 64


@dataclass
class Section:
    """A section of an offer."""

    kind: str
    mid: str | None = None


@dataclass
class Offer:
    """What of an offer its candidates have to repeat."""

    ufrag: str | None = None
    pwd: str | None = None
    sections: list[Section] = field(default_factory=list)

    @classmethod
    def parse(cls, sdp: str) -> "Offer":
        """Read an offer. What is missing in it is left out of fragments, too."""
        offer = cls()
        for line in sdp.splitlines():
            name, _, value = line.strip().partition(":")
            if line.startswith("m=") and len(offer.sections) < MAX_SECTIONS:
                offer.sections.append(Section(line[2:].split(" ", 1)[0].strip()))
            elif name == "a=mid" and offer.sections and offer.sections[-1].mid is None:
                offer.sections[-1].mid = value
            elif name == "a=ice-ufrag" and offer.ufrag is None:
                offer.ufrag = value
            elif name == "a=ice-pwd" and offer.pwd is None:
                offer.pwd = value
        return offer

    def section(self, mid: str | None, index: int | None) -> Section | None:
        """Return the section that a candidate names, by its name or its number."""
        for section in self.sections:
            if mid is not None and section.mid == mid:
                return section
        if mid is None and index is not None and index < len(self.sections):
            return self.sections[index]
        return None


@dataclass(frozen=True)
class Candidate:
    """A candidate of the viewer; an empty one says that no more will come."""

    text: str
    mid: str | None
    index: int | None


def fragment(offer: Offer, candidates: list[Candidate]) -> str:
    """Write candidates as the body of a `PATCH`."""
    lines = []
    if offer.ufrag and offer.pwd:
        lines += [f"a=ice-ufrag:{offer.ufrag}", f"a=ice-pwd:{offer.pwd}"]
    last = None
    for candidate in candidates:
        section = offer.section(candidate.mid, candidate.index)
        if section is not None and section is not last:
            lines.append(MEDIA_LINE.format(kind=section.kind))
            if section.mid is not None:
                lines.append(f"a=mid:{section.mid}")
            last = section
        lines.append(f"a={candidate.text}" if candidate.text else "a=end-of-candidates")
    return "".join(f"{line}\r\n" for line in lines)
