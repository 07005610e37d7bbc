"""Elections, courts, robberies and schools."""

from __future__ import annotations

from newsbrief.slots import WEEKDAYS, Choice, Company, Date, Decimal, Number, Person, Place
from newsbrief.topics.model import Ending, Fact, Topic

ELECTION = Topic(
    name="election",
    slots={
        "city": Place(),
        "winner": Person(),
        "loser": Person(),
        "party": Choice(("Green", "Liberal", "Labour", "Centre", "Reform", "Union", "Civic")),
        "share": Decimal(50, 69),
        "turnout": Number(31, 88),
        "day": WEEKDAYS,
        "promise": Choice(
            ("cheaper buses", "new schools", "lower taxes", "more police", "clean air")
        ),
        "recount": Person(),
        "votes": Number(100, 990, 10),
    },
    leads=(
        "Voters in {city} have chosen a new mayor in an election held on {day}.",
        "The city of {city} has a new mayor after the election on {day}.",
        "Polls closed in {city} on {day} and the election for mayor was decided by midnight.",
    ),
    facts=(
        Fact(
            (
                "The winner is {winner} of the {party} party.",
                "Victory went to {winner}, the {party} party candidate.",
                "Supporters of the {party} party cheered as {winner} was declared the winner.",
            ),
            ('"This is a night to remember," {winner_last} told the crowd.',),
        ),
        Fact(
            (
                "It was a win with {share} percent of the vote.",
                "The final count gave the new mayor {share} percent of the vote.",
                "Officials put the winning share at {share} percent of the vote.",
            ),
            ("Counting went on late into the night.",),
        ),
        Fact(
            (
                "Turnout was {turnout} percent, officials said.",
                "Some {turnout} percent of those on the register turned out.",
                "With {turnout} percent, turnout was close to that of earlier years.",
            ),
            ("Long queues were seen at several schools.",),
        ),
        Fact(
            (
                "The defeated rival was {loser}, who had led the city for a decade.",
                "Outgoing mayor {loser} conceded defeat.",
                "It was a bitter defeat for {loser}, the mayor until now.",
            ),
            ('"I wish my successor well," {loser_last} said.',),
        ),
    ),
    endings=(
        Ending(
            (
                "The new mayor has promised {promise}.",
                "The campaign was built on a promise of {promise}.",
                "First on the list of plans is {promise}, as promised.",
            ),
            "The new mayor has promised {promise}.",
        ),
        Ending(
            (
                "Lawyer {recount} asked for a recount of {votes} ballots.",
                "A recount of {votes} ballots was demanded by lawyer {recount}.",
                "There should be a recount of {votes} ballots, lawyer {recount} argued.",
            ),
            "Lawyer {recount} wants a recount of {votes} ballots.",
        ),
    ),
    asides=(
        "There were {x_num} polling stations in all, three fewer than in {x_year}.",
        '"I just want the streets to be safe," said {x_person}, a shop owner.',
        "A similar vote will be held in {x_place} in {x_month}.",
        "The council has {x_num} seats and meets every second week.",
    ),
    highlights=(
        "New mayor of {city} is {winner} of the {party} party who beat {loser}.",
        "The winner took {share} percent of the vote and turnout was {turnout} percent.",
    ),
)

COURT = Topic(
    name="court",
    slots={
        "accused": Person(),
        "age": Number(21, 79),
        "crime": Choice(
            ("fraud", "bribery", "forgery", "smuggling", "perjury", "blackmail", "arson")
        ),
        "town": Place(),
        "years": Number(2, 19),
        "judge": Person(),
        "sum": Number(100, 990, 10),
        "victim": Company("Bank"),
        "lawyer": Person(),
        "date": Date(),
        "fine": Number(5, 95),
    },
    leads=(
        "A court in {town} has found a former manager guilty of {crime}.",
        "After a long trial a former manager was convicted of {crime} by a court in {town}.",
        "The jury at the court in {town} returned a verdict of guilty in a case of {crime}.",
    ),
    facts=(
        Fact(
            (
                "The accused, {accused}, aged {age}, showed no emotion.",
                "In the dock stood {accused}, aged {age}, who denied everything.",
                "The verdict on {accused}, aged {age}, was read out in silence.",
            ),
            ("The family of {accused_last} left the room in tears.",),
        ),
        Fact(
            (
                "Judge {judge} passed a sentence of {years} years in prison.",
                "The sentence is {years} years in prison, judge {judge} announced.",
                "It means {years} years in prison, as ordered by judge {judge}.",
            ),
            ('"You abused the trust of others," {judge_last} said.',),
        ),
        Fact(
            (
                "Prosecutors said ${sum},000 had been taken from {victim}.",
                "A loss of ${sum},000 was reported by {victim}.",
                "The victim was {victim}, which lost ${sum},000.",
            ),
            ("The money has never been found.",),
        ),
    ),
    endings=(
        Ending(
            (
                "Defence lawyer {lawyer} said an appeal would be filed by {date}.",
                "An appeal will follow by {date}, according to defence lawyer {lawyer}.",
                "By {date} defence lawyer {lawyer} intends to lodge an appeal.",
            ),
            "Defence lawyer {lawyer} will appeal by {date}.",
        ),
        Ending(
            (
                "There is also a fine of ${fine},000.",
                "On top of that comes a fine of ${fine},000.",
                "The court added a fine of ${fine},000.",
            ),
            "A fine of ${fine},000 was added.",
        ),
    ),
    asides=(
        "The trial lasted {x_num} days and heard from dozens of witnesses.",
        "Detectives from {x_place} began to look into the affair in {x_year}.",
        '"We are glad that it is over," said {x_person}, who gave evidence.',
        "Files found in a garage had been the key to the case.",
    ),
    highlights=(
        "Former manager {accused}, {age}, is guilty of {crime} in {town}.",
        "Judge {judge} orders {years} years in prison over ${sum},000 taken from {victim}.",
    ),
)

ROBBERY = Topic(
    name="robbery",
    slots={
        "shop": Choice(("jewellery shop", "post office", "bank branch", "art gallery", "casino")),
        "town": Place(),
        "day": WEEKDAYS,
        "men": Choice(("two", "three", "four", "five")),
        "loot": Number(20, 990, 10),
        "vehicle": Choice(
            ("a white van", "a red car", "a grey truck", "a black car", "a motorbike")
        ),
        "road": Place(),
        "officer": Person(),
        "reward": Number(3, 60),
        "suspect": Person(),
        "suspect_age": Number(19, 69),
    },
    leads=(
        "Police in {town} are hunting a gang that raided a {shop} on {day}.",
        "Masked robbers stormed a {shop} in {town} on {day}.",
        "Customers hid under tables when a {shop} in {town} was robbed on {day}.",
    ),
    facts=(
        Fact(
            (
                "Witnesses saw {men} men with masks run inside.",
                "The gang was made up of {men} men, according to cameras.",
                "Cameras show {men} men breaking the glass.",
            ),
            ("One of them carried a hammer.",),
        ),
        Fact(
            (
                "They got away with ${loot},000 in cash and goods.",
                "The haul is worth ${loot},000.",
                "Staff say that ${loot},000 was stolen.",
            ),
            ("Most of it was not insured.",),
        ),
        Fact(
            (
                "The gang fled in {vehicle} along {road} Road.",
                "The escape was made in {vehicle}, last seen on {road} Road.",
                "On {road} Road a camera filmed them in {vehicle}.",
            ),
            ("Its number plates had been removed.",),
        ),
    ),
    endings=(
        Ending(
            (
                "Inspector {officer} offered a reward of ${reward},000 for clues.",
                "A reward of ${reward},000 is on offer, said inspector {officer}.",
                "For useful clues inspector {officer} promises a reward of ${reward},000.",
            ),
            "Inspector {officer} offers a reward of ${reward},000.",
        ),
        Ending(
            (
                "One suspect, {suspect}, aged {suspect_age}, was arrested later.",
                "Officers later arrested {suspect}, aged {suspect_age}, as a suspect.",
                "A suspect named as {suspect}, aged {suspect_age}, has been arrested.",
            ),
            "Suspect {suspect}, {suspect_age}, has been arrested.",
        ),
    ),
    asides=(
        "It was the third raid of this sort in the district since {x_month}.",
        '"It was over in {x_num} seconds," said {x_person}, who works next door.',
        "A helicopter from {x_place} joined the search without success.",
        "The street stayed closed while experts looked for fingerprints.",
    ),
    highlights=(
        "Gang of {men} men robs {shop} in {town} on {day}.",
        "They took ${loot},000 and fled in {vehicle} along {road} Road.",
    ),
)

SCHOOL = Topic(
    name="school",
    slots={
        "school": Place(),
        "head": Person(),
        "pupils": Number(110, 990, 10),
        "subject": Choice(("maths", "music", "reading", "chess", "sport", "science", "cooking")),
        "hours": Number(3, 12),
        "gain": Number(5, 60),
        "funder": Company("Trust"),
        "grant": Number(10, 95),
        "critic": Person(),
        "month": Choice(("January", "March", "April", "May", "September", "October", "November")),
    },
    leads=(
        "Lessons at {school} School will look very different under a new plan for {subject}.",
        "A bold plan to put {subject} first is under way at {school} School.",
        "Pupils at {school} School are part of a trial that gives more room to {subject}.",
    ),
    facts=(
        Fact(
            (
                "The idea comes from head teacher {head}.",
                "Head teacher {head} drew up the scheme.",
                "It was thought up by head teacher {head} over the holidays.",
            ),
            ('"Children learn best when they enjoy it," {head_last} said.',),
        ),
        Fact(
            (
                "All {pupils} pupils will have {hours} hours of it a week.",
                "The timetable sets aside {hours} hours a week for {pupils} pupils.",
                "It will mean {hours} hours a week for each of the {pupils} pupils.",
            ),
            ("Homework will be cut to make up for it.",),
        ),
        Fact(
            (
                "In a first test, marks improved by {gain} percent.",
                "Early results show marks going up by {gain} percent.",
                "Marks were better by {gain} percent after the first term.",
            ),
            ("Teachers were surprised by the change.",),
        ),
    ),
    endings=(
        Ending(
            (
                "The cost is met by the {funder}, which gave ${grant},000.",
                "A grant of ${grant},000 from the {funder} pays for it.",
                "Money comes from the {funder}, in a grant of ${grant},000.",
            ),
            "A grant of ${grant},000 from {funder} pays for it.",
        ),
        Ending(
            (
                "Parent speaker {critic} wants the trial stopped by {month}.",
                "The trial should end by {month}, parent speaker {critic} demanded.",
                "By {month} it should be stopped, said parent speaker {critic}.",
            ),
            "Parent speaker {critic} wants it stopped by {month}.",
        ),
    ),
    asides=(
        "The building went up in {x_year} and is due for repairs.",
        '"I was nervous at first," said {x_person}, a parent of two.',
        "Inspectors from {x_place} will visit in {x_month}.",
        "Classes have {x_num} children on average, slightly more than elsewhere.",
    ),
    highlights=(
        "Head teacher {head} puts {subject} first at {school} School.",
        "The {pupils} pupils get {hours} hours a week and marks are up {gain} percent.",
    ),
)

TOPICS = (ELECTION, COURT, ROBBERY, SCHOOL)
