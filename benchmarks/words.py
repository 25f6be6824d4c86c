"""Class names and descriptions of any number of classes: Caltech101's hundred, then pairs of them."""

from srrs.prompts.descriptions import bundled_descriptions, match_descriptions

CALTECH101 = tuple(
    """
    face, leopard, motorbike, accordion, airplane, anchor, ant, barrel, bass, beaver, binocular, bonsai, brain,
    brontosaurus, buddha, butterfly, camera, cannon, car side, ceiling fan, cellphone, chair, chandelier, cougar body,
    cougar face, crab, crayfish, crocodile, crocodile head, cup, dalmatian, dollar bill, dolphin, dragonfly,
    electric guitar, elephant, emu, euphonium, ewer, ferry, flamingo, flamingo head, garfield, gerenuk, gramophone,
    grand piano, hawksbill, headphone, hedgehog, helicopter, ibis, inline skate, joshua tree, kangaroo, ketch, lamp,
    laptop, llama, lobster, lotus, mandolin, mayfly, menorah, metronome, minaret, nautilus, octopus, okapi, pagoda,
    panda, pigeon, pizza, platypus, pyramid, revolver, rhino, rooster, saxophone, schooner, scissors, scorpion,
    sea horse, snoopy, soccer ball, stapler, starfish, stegosaurus, stop sign, strawberry, sunflower, tick, trilobite,
    umbrella, watch, water lilly, wheelchair, wild cat, windsor chair, wrench, yin yang
    """.replace("\n", " ").split(",")
)
CALTECH101 = tuple(" ".join(name.split()) for name in CALTECH101)


def class_names(count: int) -> tuple[str, ...]:
    """`count` names, no two alike: beyond a hundred, one name stands before another (`accordion crab`)."""
    hundred = len(CALTECH101)
    names = (
        f"{CALTECH101[(i + i // hundred) % hundred]} {CALTECH101[i % hundred]}" if i >= hundred else CALTECH101[i]
        for i in range(count)
    )
    return tuple(names)


def descriptions(count: int) -> tuple[str | None, ...]:
    """A description of each of `class_names(count)`."""
    own = match_descriptions(CALTECH101, bundled_descriptions()).clauses
    return tuple(own[i % len(own)] for i in range(count))
