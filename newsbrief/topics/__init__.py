"""The sixteen kinds of news, and the background sentences that any of them may use."""

from __future__ import annotations

from newsbrief.topics import money_and_travel, public_life, sport_and_science, weather_and_land
from newsbrief.topics.model import Ending, Fact, Topic

TOPICS: tuple[Topic, ...] = (
    *weather_and_land.TOPICS,
    *public_life.TOPICS,
    *money_and_travel.TOPICS,
    *sport_and_science.TOPICS,
)

ASIDES = (
    "Local radio carried the news all morning.",
    "A spokesman for the region, {x_person}, declined to comment.",
    "The story was first reported by a newspaper in {x_place}.",
    "Officials promised to give more details in the coming days.",
    "Neighbouring {x_place} has seen something similar in the past.",
    "Messages of support arrived from as far away as {x_place}.",
    "The weather was mild, with some sun in the afternoon.",
    "A short film of the event was seen by {x_big} viewers online.",
    '"Everyone here is talking about it," said {x_person}, who runs a cafe.',
    '"I have never seen so many cameras," said student {x_person}.',
    "The region is home to {x_num} villages and one large lake.",
    "Traffic was heavy and some roads were closed.",
    "The firm {x_company} declined to answer questions.",
    "It comes after a quiet month, with little other news to report.",
    "Critics say that such things are decided far too late.",
    "A public meeting has been called for {x_month} in the town hall.",
    "Historian {x_person} said nothing like it had happened since {x_year}.",
    "Visitors have been asked to stay away until further notice.",
    "Observers see it as a sign of changing times.",
    "A report from {x_year} had already dealt with the question.",
)

__all__ = ["ASIDES", "TOPICS", "Ending", "Fact", "Topic"]
