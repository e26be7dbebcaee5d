"""The fixed texts of chapter 10 and of ``collapse diagnose --demo``.

All of them were written for this project and are under its MIT licence. The labels are the
authors' judgement, made while writing: a *paraphrase* says the same in mostly other words, an
*overlap* repeats most words and says something else, an *unrelated* pair shares no topic.
"""

from __future__ import annotations

from typing import NamedTuple


class Pair(NamedTuple):
    """Two sentences and how they are related."""

    first: str
    second: str
    label: str


_PARAPHRASE = (
    ("The train to the coast was cancelled.", "There was no rail service to the seaside."),
    ("She repaired the old clock herself.", "The antique timepiece was fixed by her own hands."),
    ("The soup needs more salt.", "This broth tastes too bland."),
    ("He was late because of the traffic.", "Congested roads held him up."),
    ("The shop closes at six in the evening.", "After 6 p.m. you cannot buy anything there."),
    ("Heavy rain flooded the cellar.", "The basement was under water after the downpour."),
    ("The children were too excited to sleep.", "The kids stayed awake, thrilled as they were."),
    ("Our neighbour keeps bees.", "The man next door is a beekeeper."),
    ("The lecture was hard to follow.", "Few could understand what the professor explained."),
    ("They plan to marry in spring.", "Their wedding will be in April or May."),
    ("The phone battery lasts two days.", "You need to charge the mobile every other day."),
    ("The jury found him not guilty.", "He was acquitted by the court."),
    ("Prices rose sharply last year.", "Everything became much more expensive in recent months."),
    ("The bridge is being rebuilt.", "Construction of the new river crossing is under way."),
    ("I could not put the novel down.", "The book gripped me from the first page to the last."),
    ("The doctor told her to rest.", "A physician advised her to take it easy."),
)
_OVERLAP = (
    ("The dog bit the postman.", "The postman bit the dog."),
    ("She sold the house to her brother.", "Her brother sold the house to her."),
    ("The bank of the river was steep.", "The bank of the city was closed."),
    ("He took the train home.", "He took the model train apart at home."),
    ("The match was lit in the dark.", "The match was lost in the dark."),
    ("The pupils were small in bright light.", "The pupils were small for their age."),
    ("They broke the ice with a joke.", "They broke the ice with an axe."),
    ("The court ruled against the player.", "The player ruled the court."),
    ("The seal swam under the boat.", "The seal under the letter was broken."),
    ("The pitcher threw the ball.", "The pitcher of water fell on the ball."),
    ("The bark of the tree was rough.", "The bark of the dog was rough."),
    ("A bat flew out of the barn.", "A bat lay on the floor of the gym."),
    ("The current in the wire was weak.", "The current in the bay was weak."),
    ("The crane lifted the steel beams.", "The crane lifted its wings and flew."),
    ("She left her job to study law.", "She studied the law that left her without a job."),
    ("No bird except the owl could see.", "No owl could see the bird."),
)
_UNRELATED = (
    ("The kettle whistled in the kitchen.", "Parliament debated the budget until midnight."),
    ("Whales sing over great distances.", "My bicycle has a flat tyre."),
    ("The violinist tuned her instrument.", "Cement sets faster in warm weather."),
    ("Snow covered the mountain pass.", "He forgot the password of his account."),
    ("The goalkeeper saved the penalty.", "Yeast makes dough rise."),
    ("A spider built its web in the corner.", "The airline lost our luggage."),
    ("The museum bought a Dutch landscape.", "Her fever went down overnight."),
    ("Tomatoes ripen in August.", "The satellite reached its orbit."),
    ("The plumber will come on Tuesday.", "Ancient Greek has four kinds of past tense."),
    ("He plays chess by post.", "Volcanic soil is rich in minerals."),
    ("The elevator is out of order.", "Swallows return from Africa in spring."),
    ("The tax form is due in May.", "The actress forgot her lines."),
    ("Glass is made from sand.", "They named their daughter after her aunt."),
    ("The lighthouse was built of granite.", "The printer has run out of ink."),
    ("Sheep grazed beside the motorway.", "An equation of degree five has no such formula."),
    ("The recipe calls for two eggs.", "The earthquake was felt in three countries."),
)

_ALL = {
    "paraphrase": _PARAPHRASE,
    "overlap": _OVERLAP,
    "unrelated": _UNRELATED,
}
PAIRS: tuple[Pair, ...] = tuple(
    Pair(first, second, label) for label, pairs in _ALL.items() for first, second in pairs
)

SENTENCES: tuple[str, ...] = (
    "The harbour was empty, although three ships should have arrived before the storm.",
    "Whoever finds the key that I lost near the old mill may keep the coin tied to it.",
    "Because the committee could not agree on a date, the meeting was put off until autumn.",
    "She asked the gardener, who had worked there for forty years, which of the trees was oldest.",
    "If the price of copper falls again, the mine above the valley will have to close.",
    "The letter that the clerk translated had been written by a prisoner in another country.",
    "Most of the pupils knew the answer, but only one of them could explain why it was right.",
    "After the concert the conductor thanked the violinist, and she thanked the audience.",
    "The engine failed twice in the morning and then ran without trouble for eleven days.",
    "He sold the boat to his cousin, who painted it green and gave it a new name.",
    "Two of the five witnesses said that the car was blue; the others were not sure.",
    "When the snow had melted, the path to the upper hut was open again for a few weeks.",
)

PASSAGE = (
    """
The lighthouse keeper had three duties, and he had written them on a card that hung above the
stove. The first was the lamp. It had to burn from sunset to sunrise, and every four hours the
clockwork that turned the lens had to be wound by hand. The second was the log. In it he noted the
wind, the height of the sea, the ships that passed, and anything that the next keeper might want to
know. The third duty was not on the card of any other station along that coast: he had to answer
letters.

They came with the supply boat, once a month when the weather allowed it, in a canvas bag that
smelled of tar. Children wrote to ask whether he was lonely. A schoolteacher wanted to know how many
steps the tower had, and whether it moved in a storm. An old captain sent the same question every
winter, since he never remembered that he had asked it: was the red buoy still in its place behind
the second reef? The keeper answered all of them in the order in which they had arrived. To the
children he wrote that nobody is lonely who has so much to do. To the teacher he wrote that there
were one hundred and ninety-six steps, and that in a northerly gale the water in his wash basin
leaned to one side and then to the other. To the captain he wrote that the buoy was where it had
always been, which was true, and that it had been painted, which was true as well.

One spring the bag held a letter without a sender. It said only that the light had been dark for a
quarter of an hour in the night of the fourth of March, and that the writer had seen it. The keeper
went up to the log and turned back the pages. On the fourth of March there had been fog, and a
schooner with a torn sail, and he had wound the clockwork at two in the morning. There was no word
about darkness. He sat for a long time with the book on his knees. Then he took the pen, dated a new
line, and wrote below it what he now knew, so that the next keeper would know it too.
""".strip()
    .replace("\n\n", " \0 ")
    .replace("\n", " ")
    .replace(" \0 ", "\n")
)


def texts() -> tuple[str, ...]:
    """Every sentence of the labelled pairs, first and second in turn.

    >>> len(texts())
    96
    """
    return tuple(text for pair in PAIRS for text in (pair.first, pair.second))
