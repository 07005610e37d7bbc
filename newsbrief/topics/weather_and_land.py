"""Storms, fires, harvests and animals."""

from __future__ import annotations

from newsbrief.slots import WEEKDAYS, Choice, Company, Number, Person, Place
from newsbrief.topics.model import Ending, Fact, Topic

STORM = Topic(
    name="storm",
    slots={
        "town": Place(),
        "port": Place(),
        "day": WEEKDAYS,
        "dead": Number(3, 60),
        "wind": Number(70, 140),
        "homes": Number(2_000, 90_000, 1_000),
        "mayor": Person(),
        "cost": Number(20, 900),
        "shelter": Number(100, 900, 10),
    },
    leads=(
        "A violent storm tore through the coastal town of {town} on {day}, flooding its centre.",
        "Residents of {town} were counting the damage after a storm hit the town on {day}.",
        "The storm that weather forecasters had feared reached {town} on {day}.",
    ),
    facts=(
        Fact(
            (
                "Rescue workers confirmed that {dead} people had been killed.",
                "The death toll stood at {dead} people by nightfall.",
                "At least {dead} people died, most of them in flooded cellars.",
            ),
            ("Several of the victims have not been named.", "More bodies may still be found."),
        ),
        Fact(
            (
                "Gusts of {wind} mph were measured at the harbour in {port}.",
                "Instruments in {port} recorded winds of {wind} mph.",
                "The wind blew at {wind} mph in {port}, ripping roofs from houses.",
            ),
            ("That is the strongest wind in a generation.",),
        ),
        Fact(
            (
                "Power was cut to {homes} homes.",
                "Engineers said {homes} homes were without electricity.",
                "Fallen lines left {homes} homes in the dark.",
            ),
            ('"We are working day and night to restore power," an engineer said.',),
        ),
    ),
    endings=(
        Ending(
            (
                "Mayor {mayor} put the cost of repairs at ${cost} million.",
                "According to mayor {mayor}, rebuilding will cost ${cost} million.",
                "The bill for repairs will reach ${cost} million, mayor {mayor} said.",
            ),
            "Mayor {mayor} says repairs will cost ${cost} million.",
        ),
        Ending(
            (
                "A school hall took in {shelter} families who had lost their homes.",
                "Some {shelter} families spent the night in shelters.",
                "Volunteers found beds for {shelter} families who had to flee.",
            ),
            "Shelters took in {shelter} families overnight.",
        ),
    ),
    asides=(
        "Ferries were cancelled and the coast road was closed by fallen trees.",
        "Forecasters in {x_place} expect the rain to ease within {x_num} hours.",
        "The last storm of this kind struck the region in {x_year}.",
        '"The water came up so fast," said {x_person}, who lives near the beach in {town}.',
    ),
    highlights=(
        "Storm kills {dead} people in {town} on {day}.",
        "Winds of {wind} mph in {port} cut power to {homes} homes.",
    ),
)

FIRE = Topic(
    name="fire",
    slots={
        "town": Place(),
        "owner": Company("Mills"),
        "day": WEEKDAYS,
        "crew": Number(20, 95),
        "hours": Number(3, 19),
        "hurt": Number(2, 40),
        "chief": Person(),
        "cause": Choice(("a faulty heater", "a gas leak", "a dropped cigarette", "an old cable")),
        "evacuated": Number(100, 990, 10),
    },
    leads=(
        "A fire swept through a warehouse of {owner} in {town} on {day}.",
        "Flames destroyed a warehouse in {town} on {day}; the building belonged to {owner}.",
        "Thick smoke hung over {town} on {day} as a warehouse owned by {owner} burned down.",
    ),
    facts=(
        Fact(
            (
                "The fire brigade sent {crew} firefighters to the scene.",
                "In all {crew} firefighters fought the flames.",
                "A team of {crew} firefighters was called out.",
            ),
            ("Their hoses drew water from a nearby canal.",),
        ),
        Fact(
            (
                "It took {hours} hours to bring the blaze under control.",
                "The blaze burned for {hours} hours before it was put out.",
                "Only after {hours} hours was the blaze contained.",
            ),
            ("Part of the roof had fallen in by then.",),
        ),
        Fact(
            (
                "Doctors treated {hurt} workers for burns and smoke.",
                "Ambulances took {hurt} injured workers to hospital.",
                "Officials said {hurt} workers were hurt.",
            ),
            ("None of the injuries is thought to be serious.",),
        ),
    ),
    endings=(
        Ending(
            (
                "Fire chief {chief} blamed {cause}.",
                "It was started by {cause}, fire chief {chief} told reporters.",
                "Fire chief {chief} said the cause was {cause}.",
            ),
            "Fire chief {chief} blames {cause}.",
        ),
        Ending(
            (
                "Police evacuated {evacuated} neighbours because of the fumes.",
                "The fumes forced {evacuated} neighbours out of their houses.",
                "Because of poisonous fumes, {evacuated} neighbours had to leave.",
            ),
            "Fumes drove {evacuated} neighbours from their homes.",
        ),
    ),
    asides=(
        "Inspectors had last visited the site in {x_month} {x_year}.",
        "The smoke could be seen from {x_place}, {x_num} miles away.",
        '"I heard a loud bang and ran," said {x_person}, a driver who was parked outside.',
        "Insurance experts were due to look at the ruins within days.",
    ),
    highlights=(
        "Fire destroys {owner} warehouse in {town} on {day}.",
        "It took {crew} firefighters {hours} hours to stop it and {hurt} workers were hurt.",
    ),
)

FARMING = Topic(
    name="farming",
    slots={
        "region": Place(),
        "crop": Choice(("wheat", "barley", "apple", "potato", "grape", "onion", "maize", "hop")),
        "direction": Choice(("fall", "rise")),
        "percent": Number(4, 60),
        "price": Number(90, 480),
        "leader": Person(),
        "reason": Choice(
            ("late frost", "a dry spring", "heavy rain", "a new beetle", "mild weather")
        ),
        "aid": Number(5, 80),
        "market": Place(),
        "tonnes": Number(100, 900, 10),
    },
    leads=(
        "Farmers in the {region} valley have started to bring in this year's {crop} harvest.",
        "The {crop} harvest is the talk of every farm in the {region} valley this month.",
        "Work in the fields of the {region} valley is in full swing as the {crop} harvest begins.",
    ),
    facts=(
        Fact(
            (
                "Growers expect output to {direction} by {percent} percent.",
                "The crop is forecast to {direction} by {percent} percent from last year.",
                "Estimates say that yields will {direction} by {percent} percent.",
            ),
            ("Those figures are still early.",),
        ),
        Fact(
            (
                "Experts point to {reason} as the main reason.",
                "The reason is {reason}, according to field surveys.",
                "Most growers put the change down to {reason}.",
            ),
            ("Such conditions are hard to predict.",),
        ),
        Fact(
            (
                "Buyers now pay ${price} a tonne.",
                "Prices have settled at ${price} a tonne.",
                "At auction it sells for ${price} a tonne.",
            ),
            ("Traders do not expect that to last.",),
        ),
    ),
    endings=(
        Ending(
            (
                "Union leader {leader} called for ${aid} million in state aid.",
                "The state should give ${aid} million in aid, said union leader {leader}.",
                "Aid of ${aid} million is needed, union leader {leader} argued.",
            ),
            "Union leader {leader} wants ${aid} million in aid.",
        ),
        Ending(
            (
                "Stores in {market} already hold {tonnes} tonnes.",
                "Some {tonnes} tonnes have been moved to stores in {market}.",
                "Trucks have carried {tonnes} tonnes to stores in {market}.",
            ),
            "Stores in {market} hold {tonnes} tonnes.",
        ),
    ),
    asides=(
        "Fuel and fertiliser have become dearer by {x_num} percent since {x_month}.",
        "The record harvest dates from {x_year}.",
        '"My family has worked this land for {x_num} years," said {x_person}, a farmer.',
        "A farm school in {x_place} is testing new seeds on small plots.",
    ),
    highlights=(
        "The {crop} harvest in {region} is set to {direction} by {percent} percent.",
        "Growers point to {reason} and get ${price} a tonne.",
    ),
)

WILDLIFE = Topic(
    name="wildlife",
    slots={
        "animal": Choice(("whale", "eagle", "otter", "lynx", "seal", "wolf", "turtle", "beaver")),
        "place": Place(),
        "finder": Person(),
        "kilos": Number(4, 95),
        "vet": Person(),
        "weeks": Number(3, 28),
        "release": Choice(("spring", "summer", "autumn", "winter")),
        "park": Place(),
        "raised": Number(1_000, 60_000, 1_000),
    },
    leads=(
        "A young {animal} has been rescued near {place} after days of searching.",
        "Animal lovers are celebrating the rescue of a lost {animal} close to {place}.",
        "Help came just in time for an injured {animal} that was trapped near {place}.",
    ),
    facts=(
        Fact(
            (
                "It was spotted by walker {finder}.",
                "Local walker {finder} found the creature and raised the alarm.",
                "The alarm was raised by {finder}, a walker.",
            ),
            ('"I could not leave it there," {finder_last} said.',),
        ),
        Fact(
            (
                "It weighs only {kilos} kilos.",
                "On the scales it came to {kilos} kilos.",
                "Its weight had dropped to {kilos} kilos.",
            ),
            ("That is far too little for its age.",),
        ),
        Fact(
            (
                "Vet {vet} said it would need {weeks} weeks of care.",
                "It will take {weeks} weeks to recover, according to vet {vet}.",
                "The patient must rest for {weeks} weeks, vet {vet} said.",
            ),
            ('"It is eating well," {vet_last} added.',),
        ),
    ),
    endings=(
        Ending(
            (
                "The plan is to set it free in {park} park in {release}.",
                "In {release} it will be released in {park} park.",
                "Keepers hope for a release in {park} park in {release}.",
            ),
            "Release is planned in {park} park in {release}.",
        ),
        Ending(
            (
                "Well-wishers have donated ${raised} for its food.",
                "An appeal for food money brought in ${raised} within a day.",
                "Donations for its food have reached ${raised}.",
            ),
            "The public has donated ${raised} for food.",
        ),
    ),
    asides=(
        "Only {x_big} animals of this kind are thought to live in the country.",
        "The rescue centre was founded in {x_year} and has {x_num} helpers.",
        '"People should keep their distance," said warden {x_person}.',
        "Fishing nets are a frequent danger along the coast at {x_place}.",
    ),
    highlights=(
        "Walker {finder} finds injured {animal} near {place}.",
        "It weighs {kilos} kilos and vet {vet} says it needs {weeks} weeks.",
    ),
)

TOPICS = (STORM, FIRE, FARMING, WILDLIFE)
