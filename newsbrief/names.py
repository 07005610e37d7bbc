"""Invented names: people, places and companies put together from syllables.

Every family name, place and company of one article starts with another syllable, so a reader (or a
small model) can tell them apart by their first letters, and no list of real people or firms is
involved.
"""

from __future__ import annotations

import random


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


FIRST_NAMES = _words(
    """
    Adam Alice Amara Anna Arthur Astrid Bella Boris Carla Cesar Clara Daniel Daria David Diana
    Edgar Elena Emil Emma Erik Farah Felix Fiona Frank George Grace Greta Hannah Harold Hassan
    Helen Henry Hugo Ines Ingrid Irene Isaac Ivan Jacob James Joan Jonas Julia Karim Karl Kate
    Laura Leila Leon Lewis Linda Lucas Lydia Maria Mark Martha Mina Nadia Nora Oliver Omar Oscar
    Paul Paula Peter Petra Rachel Ralph Robert Rosa Ruth Samuel Sara Simon Sofia Stella Thomas
    Tina Victor Walter
    """
)

HEADS = _words(
    """
    Al Ar Bal Bar Bel Ber Bol Bran Bren Bur Cal Car Cor Cran Dal Dar Del Der Dol Dor Dun Ed El
    Er Fal Far Fen Fer Fin Gal Gar Gel Ger Gol Gor Gran Hal Har Hel Her Hol Hor Hul Il Jal Jar
    Jen Jor Kal Kar Kel Ker Kil Kol Kor Kran Lam Lan Lar Len Lin Lor Lun Mal Mar Mel Mer Mil Mor
    Mun Nal Nar Nel Nor Or Pal Par Pel Per Pol Por Quin Ral Ran Rel Ren Ril Ros Rul Sal San Sel
    Ser Sil Sol Sor Stan Sul Tal Tan Tel Ter Tol Tor Tran Tul Ul Val Van Vel Ver Vil Vol Vor Wal
    War Wel Wil Wol Yar Yel Zan Zel Zor
    """
)

MIDDLES = _words(
    """
    a an e en i in o on u un da de di do ga go ka ki lo ma mi na ri sa ta ti
    """
)

SURNAME_TAILS = _words(
    """
    bach ban beck bert by cer cott dal der dini dov dric ek ell fred gan ger gren hart ic ing
    kamp kin kov lak land lein ley lin low man mann mek mond nak ner neth nik nov quist rell
    rick rin rov sen shaw sky son stad stein strom tes tin ton trik vak ven vic voy wick win
    witz zek
    """
)

PLACE_TAILS = _words(
    """
    bay beach borough bridge brook burgh burn bury cliff cross dale den field ford gate grad
    grove ham haven hill holm hurst lake mere minster mont mouth port pool shire side stead
    stoke thorpe vale view ville water well wood worth
    """
)

COMPANY_TAILS = _words(
    """
    bex cero corp dex dyne fix gen lux max nex nova pak plex rix sys tec tron tus vent via vox
    """
)


class NameMaker:
    """Draws names for one article; no two of them share a first syllable."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._heads = list(HEADS)
        rng.shuffle(self._heads)
        self._first_names = list(FIRST_NAMES)
        rng.shuffle(self._first_names)

    def _stem(self, chance_of_middle: float) -> str:
        head = self._heads.pop()
        if self._rng.random() < chance_of_middle:
            return head + self._rng.choice(MIDDLES)
        return head

    def first_name(self) -> str:
        """A given name that no one else in the article has."""
        return self._first_names.pop()

    def surname(self) -> str:
        """One of about 190,000 surnames."""
        return self._stem(0.5) + self._rng.choice(SURNAME_TAILS)

    def place(self) -> str:
        """One of about 135,000 town names."""
        return self._stem(0.4) + self._rng.choice(PLACE_TAILS)

    def company(self) -> str:
        """One of about 65,000 company names."""
        return self._stem(0.7) + self._rng.choice(COMPANY_TAILS)
