"""Company results, factories, railways and space flights."""

from __future__ import annotations

from newsbrief.slots import WEEKDAYS, Choice, Company, Date, Decimal, Number, Person, Place
from newsbrief.topics.model import Ending, Fact, Topic

RESULTS = Topic(
    name="results",
    slots={
        "company": Company("Group"),
        "direction": Choice(("rose", "fell")),
        "percent": Number(3, 70),
        "profit": Number(12, 960),
        "sales": Decimal(1, 30),
        "boss": Person(),
        "product": Choice(
            ("tyres", "shoes", "phones", "paint", "toys", "bicycles", "cheese", "glass")
        ),
        "cuts": Number(100, 990, 10),
        "site": Place(),
        "dividend": Number(11, 95),
    },
    leads=(
        "Shares in {company} moved sharply after the maker of {product} published its results.",
        "The maker of {product}, {company}, published its yearly results before markets opened.",
        "Investors were waiting for the results of {company}, which makes {product}.",
    ),
    facts=(
        Fact(
            (
                "Annual profit {direction} by {percent} percent to ${profit} million.",
                "Compared with a year ago profit {direction} {percent} percent "
                "to ${profit} million.",
                "At ${profit} million, profit {direction} by {percent} percent.",
            ),
            ("Analysts had predicted a smaller change.",),
        ),
        Fact(
            (
                "Sales came in at ${sales} billion.",
                "Turnover for the year was ${sales} billion.",
                "The firm sold goods worth ${sales} billion.",
            ),
            ("About half of that was earned abroad.",),
        ),
        Fact(
            (
                "Chief executive {boss} called the year a turning point.",
                "The year was a turning point, chief executive {boss} said.",
                "It was a turning point in the eyes of chief executive {boss}.",
            ),
            ('"We know what we have to do," {boss_last} added.',),
        ),
    ),
    endings=(
        Ending(
            (
                "The firm will cut {cuts} jobs at its plant in {site}.",
                "In {site}, where it has a plant, {cuts} jobs will go.",
                "A plant in {site} is to lose {cuts} jobs.",
            ),
            "The firm will cut {cuts} jobs in {site}.",
        ),
        Ending(
            (
                "Shareholders will get a dividend of {dividend} cents.",
                "The dividend was set at {dividend} cents.",
                "It plans to pay out {dividend} cents a share as a dividend.",
            ),
            "The dividend will be {dividend} cents a share.",
        ),
    ),
    asides=(
        "The firm was founded in {x_year} and employs {x_big} people.",
        "Its rival {x_company} will report in {x_month}.",
        '"Costs are the thing to watch," said {x_person}, who follows the sector.',
        "Raw materials have become dearer by {x_num} percent.",
    ),
    highlights=(
        "Profit at {company} {direction} {percent} percent to ${profit} million.",
        "The maker of {product} sold ${sales} billion and {boss} sees a turning point.",
    ),
)

FACTORY = Topic(
    name="factory",
    slots={
        "company": Company("Motors"),
        "town": Place(),
        "jobs": Number(110, 990, 10),
        "money": Number(15, 95),
        "product": Choice(
            ("batteries", "trams", "tractors", "engines", "cables", "turbines", "lorries")
        ),
        "opening": Number(2026, 2034),
        "minister": Person(),
        "protester": Person(),
        "trees": Number(1_000, 9_000, 100),
        "tax": Number(3, 14),
    },
    leads=(
        "The town of {town} has won the race for a new factory of {company}.",
        "After months of talks {company} has picked {town} as the home of its next factory.",
        "There was applause in {town} when {company} said that it would build a factory there.",
    ),
    facts=(
        Fact(
            (
                "The site will create {jobs} jobs.",
                "Some {jobs} jobs are promised.",
                "Work for {jobs} people, in jobs of all kinds, is planned.",
            ),
            ("Training is to start at the local college.",),
        ),
        Fact(
            (
                "The plant will make {product} from {opening}.",
                "From {opening} it is to turn out {product}.",
                "Production of {product} should start in {opening}.",
            ),
            ("Most of the goods will go abroad.",),
        ),
        Fact(
            (
                "The company is to invest ${money} million.",
                "An investment of ${money} million is foreseen.",
                "Building costs come to ${money} million.",
            ),
            ("Banks have already agreed to lend a part of it.",),
        ),
    ),
    endings=(
        Ending(
            (
                "Minister {minister} promised a tax break for {tax} years.",
                "For {tax} years there is a tax break, as agreed with minister {minister}.",
                "A tax break of {tax} years was approved by minister {minister}.",
            ),
            "Minister {minister} grants a tax break of {tax} years.",
        ),
        Ending(
            (
                "Campaigner {protester} said {trees} trees would be felled.",
                "It would cost {trees} trees, campaigner {protester} warned.",
                "Campaigner {protester} is against it because {trees} trees must go.",
            ),
            "Campaigner {protester} fears the loss of {trees} trees.",
        ),
    ),
    asides=(
        "The last big employer left the area in {x_year}.",
        "Among the losers of the race was {x_place}, which had offered free land.",
        '"My phone has not stopped ringing," said {x_person}, who rents out flats.',
        "Unemployment stands at {x_num} in every thousand.",
    ),
    highlights=(
        "Factory of {company} in {town} will bring {jobs} jobs.",
        "It will make {product} from {opening} and cost ${money} million.",
    ),
)

RAIL = Topic(
    name="rail",
    slots={
        "start": Place(),
        "end": Place(),
        "minutes": Number(15, 95),
        "cost": Number(100, 960),
        "fare": Number(4, 60),
        "trains": Number(6, 48),
        "date": Date(),
        "manager": Person(),
        "delay": Choice(("a lack of steel", "a legal dispute", "wet ground", "missing drivers")),
        "bridge": Place(),
        "metres": Number(110, 990, 10),
    },
    leads=(
        "Passengers can soon travel by a new railway line from {start} to {end}.",
        "The new railway between {start} and {end} is nearly ready, its operator says.",
        "Test trains are rolling on the new railway that links {start} with {end}.",
    ),
    facts=(
        Fact(
            (
                "The first train will leave on {date}.",
                "It opens to the public on {date}.",
                "Officials have fixed {date} as the opening day.",
            ),
            ("A brass band has been booked.",),
        ),
        Fact(
            (
                "The trip will take {minutes} minutes and a ticket costs ${fare}.",
                "For ${fare} travellers will get there in {minutes} minutes.",
                "A ticket is ${fare} and the ride lasts {minutes} minutes.",
            ),
            ("Children will travel free.",),
        ),
        Fact(
            (
                "The project has cost ${cost} million.",
                "Taxpayers have spent ${cost} million on it.",
                "The bill has grown to ${cost} million.",
            ),
            ("That is well above the first plan.",),
        ),
    ),
    endings=(
        Ending(
            (
                "Project manager {manager} blamed past delays on {delay}.",
                "Past delays were due to {delay}, project manager {manager} said.",
                "It was {delay} that led to delays, according to project manager {manager}.",
            ),
            "Project manager {manager} blames delays on {delay}.",
        ),
        Ending(
            (
                "Its longest bridge, at {bridge}, measures {metres} metres.",
                "A bridge of {metres} metres was built at {bridge}.",
                "At {bridge} the track crosses a bridge of {metres} metres.",
            ),
            "The bridge at {bridge} is {metres} metres long.",
        ),
    ),
    asides=(
        "The old track was closed in {x_year} for lack of passengers.",
        "A bus service to {x_place} will be withdrawn in {x_month}.",
        '"I can finally sell my car," said {x_person}, who travels daily.',
        "Noise walls will protect {x_num} gardens beside the track.",
    ),
    highlights=(
        "New railway from {start} to {end} opens on {date}.",
        "The ${cost} million line takes {minutes} minutes and a ticket is ${fare}.",
    ),
)

SPACE = Topic(
    name="space",
    slots={
        "agency": Company("Space"),
        "probe": Choice(("Falcon", "Beacon", "Pioneer", "Comet", "Swift", "Harbour", "Lantern")),
        "target": Choice(("the Moon", "Mars", "Venus", "Mercury", "Jupiter", "Saturn", "Titan")),
        "base": Place(),
        "day": WEEKDAYS,
        "months": Number(4, 90),
        "tools": Number(3, 19),
        "director": Person(),
        "cost": Number(100, 960),
        "fault": Choice(("a stuck valve", "a weak battery", "a cracked panel", "a silent radio")),
        "engineer": Person(),
    },
    leads=(
        "A rocket carrying the {probe} probe lifted off from {base} on {day}.",
        "The {probe} probe is on its way after a smooth launch at {base} on {day}.",
        "Crowds at {base} watched on {day} as the {probe} probe rose into the sky.",
    ),
    facts=(
        Fact(
            (
                "It was built by {agency}.",
                "The mission is run by {agency}.",
                "Behind the project stands {agency}.",
            ),
            ("Dozens of universities have helped.",),
        ),
        Fact(
            (
                "It will reach {target} in {months} months.",
                "The flight to {target} lasts {months} months.",
                "After {months} months it should arrive at {target}.",
            ),
            ("Most of the way it will be asleep to save power.",),
        ),
        Fact(
            (
                "On board are {tools} instruments.",
                "It carries {tools} instruments to study dust and ice.",
                "Scientists fitted it with {tools} instruments.",
            ),
            ("Some of them have never been flown before.",),
        ),
    ),
    endings=(
        Ending(
            (
                "Director {director} put the budget at ${cost} million.",
                "The budget is ${cost} million, director {director} said.",
                "According to director {director} it has a budget of ${cost} million.",
            ),
            "Director {director} gives the budget as ${cost} million.",
        ),
        Ending(
            (
                "Chief engineer {engineer} reported {fault}.",
                "There is one worry, {fault}, chief engineer {engineer} said.",
                "Hours later chief engineer {engineer} spoke of {fault}.",
            ),
            "Chief engineer {engineer} reports {fault}.",
        ),
    ),
    asides=(
        "An earlier attempt in {x_year} ended in failure.",
        "Antennas near {x_place} will follow the flight day and night.",
        '"My knees were shaking," said {x_person}, who came to watch.',
        "A second mission is planned for {x_month}, weather permitting.",
    ),
    highlights=(
        "Probe {probe} built by {agency} lifts off from {base} on {day}.",
        "It carries {tools} instruments and will reach {target} in {months} months.",
    ),
)

TOPICS = (RESULTS, FACTORY, RAIL, SPACE)
