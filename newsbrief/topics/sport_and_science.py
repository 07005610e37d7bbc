"""Football, research, outbreaks and auctions of art."""

from __future__ import annotations

from newsbrief.slots import WEEKDAYS, Choice, Company, Date, Decimal, Number, Person, Place
from newsbrief.topics.model import Ending, Fact, Topic

FOOTBALL = Topic(
    name="football",
    slots={
        "home": Place(),
        "away": Place(),
        "score": Choice(("1-0", "2-0", "2-1", "3-0", "3-1", "3-2", "4-1", "4-2", "5-3")),
        "scorer": Person(),
        "minute": Number(5, 89),
        "coach": Person(),
        "crowd": Number(3_000, 70_000, 1_000),
        "place": Choice(("first", "second", "third", "fourth", "fifth", "sixth")),
        "injured": Person(),
        "weeks": Number(2, 18),
        "next": Place(),
        "date": Date(),
    },
    leads=(
        "Fans of {home} United went home happy after a {score} victory over {away} City.",
        "A lively match ended {score} as {home} United beat {away} City.",
        "There was little doubt about the {score} win of {home} United against {away} City.",
    ),
    facts=(
        Fact(
            (
                "Striker {scorer} scored the winner in minute {minute}.",
                "The winning goal came in minute {minute} from striker {scorer}.",
                "In minute {minute} striker {scorer} scored what proved to be the winner.",
            ),
            ('"I just closed my eyes and hit it," {scorer_last} said.',),
        ),
        Fact(
            (
                "The result lifts the team to {place} place.",
                "They are now in {place} place in the table.",
                "With these points the club moves up to {place} place.",
            ),
            ("Few had expected that at the start of the season.",),
        ),
        Fact(
            (
                "A crowd of {crowd} watched the game.",
                "The stadium was filled by a crowd of {crowd}.",
                "It was played before a crowd of {crowd}.",
            ),
            ("The noise could be heard across the river.",),
        ),
    ),
    endings=(
        Ending(
            (
                "Defender {injured} was hurt and will be out for {weeks} weeks.",
                "Out for {weeks} weeks is defender {injured}, who hurt a knee.",
                "A knee injury rules out defender {injured} for {weeks} weeks.",
            ),
            "Defender {injured} is out for {weeks} weeks.",
        ),
        Ending(
            (
                "The next match is against {next} Rovers on {date}.",
                "On {date} they play {next} Rovers next.",
                "Next they travel to {next} Rovers on {date}.",
            ),
            "The next match is against {next} Rovers on {date}.",
        ),
        Ending(
            (
                "Coach {coach} praised the young players.",
                "There was praise for the young players from coach {coach}.",
                "The young players were praised by coach {coach}.",
            ),
            "Coach {coach} praises the young players.",
        ),
    ),
    asides=(
        "The referee, {x_person}, showed {x_num} cards in a tense second half.",
        "The two clubs first met in {x_year}.",
        "Heavy rain had made the grass slippery.",
        "Tickets for the cup game in {x_place} go on sale in {x_month}.",
    ),
    highlights=(
        "United of {home} beat {away} City {score} before a crowd of {crowd}.",
        "Striker {scorer} scored the winner in minute {minute} to reach {place} place.",
    ),
)

SCIENCE = Topic(
    name="science",
    slots={
        "university": Place(),
        "leader": Person(),
        "habit": Choice(
            ("green tea", "short naps", "daily walks", "cold baths", "loud music", "nuts")
        ),
        "effect": Choice(("memory", "sleep", "eyesight", "stress", "balance", "mood", "hearing")),
        "people": Number(110, 990, 10),
        "percent": Number(4, 60),
        "years": Number(2, 19),
        "critic": Person(),
        "money": Decimal(1, 9),
        "sponsor": Company("Foods"),
        "journal": Choice(("Nature Letters", "Open Science", "The Review", "Life Reports")),
    },
    leads=(
        "Researchers at {university} University have linked {habit} to better {effect}.",
        "People who want better {effect} should try {habit}, "
        "say scientists at {university} University.",
        "There may be a simple way to better {effect}: {habit}, {university} University has found.",
    ),
    facts=(
        Fact(
            (
                "The work was led by professor {leader}.",
                "Professor {leader} was in charge of the study.",
                "A team under professor {leader} did the work.",
            ),
            ('"The effect was larger than we expected," {leader_last} said.',),
        ),
        Fact(
            (
                "They followed {people} volunteers for {years} years.",
                "Over {years} years {people} volunteers took part.",
                "The study lasted {years} years and had {people} volunteers.",
            ),
            ("All of them kept a diary.",),
        ),
        Fact(
            (
                "Test scores were {percent} percent higher.",
                "The gain was {percent} percent in standard tests.",
                "In tests the group did {percent} percent better.",
            ),
            ("Age made no difference.",),
        ),
    ),
    endings=(
        Ending(
            (
                "Statistician {critic} warned that the sample was small.",
                "The sample was small, statistician {critic} warned.",
                "A small sample was the main worry of statistician {critic}.",
            ),
            "Statistician {critic} warns of a small sample.",
        ),
        Ending(
            (
                "The study was paid for by {sponsor} with ${money} million.",
                "Funding of ${money} million came from {sponsor}.",
                "It was {sponsor} that provided ${money} million for the study.",
            ),
            "Funding of ${money} million came from {sponsor}.",
        ),
        Ending(
            (
                "The findings appear in {journal}.",
                "Details were published in {journal}.",
                "Readers of {journal} can find the full paper there.",
            ),
            "The findings appear in {journal}.",
        ),
    ),
    asides=(
        "Older work from {x_year} had come to the opposite result.",
        "A group in {x_place} is now trying to repeat it with {x_num} people.",
        '"I will certainly change my routine," said {x_person}, who took part.',
        "More data will be released in {x_month}.",
    ),
    highlights=(
        "Study at {university} University links {habit} to better {effect}.",
        "Professor {leader} followed {people} volunteers for {years} years "
        "and saw a {percent} percent gain.",
    ),
)

HEALTH = Topic(
    name="health",
    slots={
        "illness": Choice(("measles", "flu", "mumps", "cholera", "typhoid", "a stomach virus")),
        "town": Place(),
        "cases": Number(20, 99),
        "hospital": Number(3, 19),
        "source": Choice(
            ("a public pool", "a school canteen", "a wedding", "a bakery", "a cruise ship")
        ),
        "doctor": Person(),
        "doses": Number(1_000, 60_000, 1_000),
        "supplier": Company("Pharma"),
        "closed": Number(3, 28),
        "day": WEEKDAYS,
    },
    leads=(
        "An outbreak of {illness} has worried families in {town}.",
        "Doctors in {town} are fighting an outbreak of {illness}.",
        "Health workers have been sent to {town} to halt an outbreak of {illness}.",
    ),
    facts=(
        Fact(
            (
                "So far {cases} cases have been confirmed.",
                "The number of cases rose to {cases} cases on {day}.",
                "Laboratories have counted {cases} cases up to now.",
            ),
            ("Most of the sick are children.",),
        ),
        Fact(
            (
                "In hospital are {hospital} patients.",
                "Of the sick, {hospital} patients had to go to hospital.",
                "Hospital wards have taken in {hospital} patients.",
            ),
            ("All are said to be stable.",),
        ),
        Fact(
            (
                "The source is believed to be {source}.",
                "Investigators traced the source to {source}.",
                "It seems to have spread from {source}, the likely source.",
            ),
            ("Samples have been sent away for tests.",),
        ),
        Fact(
            (
                "Chief doctor {doctor} urged people to wash their hands.",
                "People should wash their hands, chief doctor {doctor} said.",
                "The advice of chief doctor {doctor} is to wash hands often.",
            ),
            ('"There is no need to panic," {doctor_last} added.',),
        ),
    ),
    endings=(
        Ending(
            (
                "The firm {supplier} is to deliver {doses} doses of vaccine.",
                "A delivery of {doses} doses of vaccine will come from {supplier}.",
                "From {supplier} the town has ordered {doses} doses of vaccine.",
            ),
            "The firm {supplier} will deliver {doses} doses of vaccine.",
        ),
        Ending(
            (
                "Nurseries will be closed for {closed} days.",
                "For {closed} days all nurseries stay closed.",
                "It was decided to keep nurseries closed for {closed} days.",
            ),
            "Nurseries are closed for {closed} days.",
        ),
    ),
    asides=(
        "The last large outbreak in the region was in {x_year}.",
        "Chemists in {x_place} report a rush on soap and masks.",
        '"My son had a fever for {x_num} hours," said {x_person}, a mother of three.',
        "A telephone line has been set up for questions.",
    ),
    highlights=(
        "Outbreak of {illness} in {town} has {cases} cases with {hospital} patients in hospital.",
        "The source may be {source} and chief doctor {doctor} urges people to wash their hands.",
    ),
)

ARTS = Topic(
    name="arts",
    slots={
        "painter": Person(),
        "title": Choice(
            ("The Red Boat", "Winter Light", "The Baker", "Two Sisters", "Blue Garden")
        ),
        "house": Company("Auctions"),
        "city": Place(),
        "price": Decimal(2, 60),
        "estimate": Number(2, 40),
        "buyer": Choice(
            ("a museum", "a phone bidder", "a film star", "a collector", "a hotel owner")
        ),
        "found": Choice(("an attic", "a church", "a barn", "a cellar", "a flea market")),
        "year": Number(1810, 1890),
        "expert": Person(),
        "seller": Person(),
    },
    leads=(
        "A painting called {title} was sold at a packed auction in {city}.",
        "There was a gasp in the saleroom in {city} when the painting {title} was sold.",
        "The star of an auction in {city} was a small painting known as {title}.",
    ),
    facts=(
        Fact(
            (
                "It is the work of painter {painter}.",
                "The artist is {painter}, a painter of village life.",
                "It was made by the painter {painter}.",
            ),
            ("Few works by {painter_last} have survived.",),
        ),
        Fact(
            (
                "The hammer fell at ${price} million.",
                "It fetched ${price} million after a long duel.",
                "The final price was ${price} million.",
            ),
            ("The room broke into applause.",),
        ),
        Fact(
            (
                "The sale was held by {house}.",
                "The auctioneers were {house}.",
                "It was put up for sale by {house}.",
            ),
            ("Bids came in from all over the world.",),
        ),
        Fact(
            (
                "The new owner is {buyer}.",
                "It was bought by {buyer}.",
                "The highest bid came from {buyer}.",
            ),
            ("It will be shown in public next year.",),
        ),
    ),
    endings=(
        Ending(
            (
                "The canvas was discovered in {found} by {seller}.",
                "It was {seller} who discovered the canvas in {found}.",
                "In {found} the canvas was discovered by chance by {seller}.",
            ),
            "It was discovered in {found} by {seller}.",
        ),
        Ending(
            (
                "Art expert {expert} doubts that it is genuine.",
                "Doubts were raised by art expert {expert}.",
                "Not everyone is convinced: art expert {expert} has doubts.",
            ),
            "Art expert {expert} has doubts about it.",
        ),
    ),
    asides=(
        "The frame alone dates from {x_year} and needed repair.",
        "A sketch for the picture hangs in {x_place}.",
        '"I could look at it for hours," said visitor {x_person}.',
        "Other lots included {x_num} prints and a silver clock.",
    ),
    highlights=(
        "Painting {title} by {painter} sold for ${price} million in {city}.",
        "The sale was held by {house} and the buyer was {buyer}.",
    ),
)

TOPICS = (FOOTBALL, SCIENCE, HEALTH, ARTS)
