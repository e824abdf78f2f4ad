"""``parCorAnaPlot --aged``: the curves of stretches of a run, drawn and as a table."""

import dataclasses

import numpy as np

from parcorana.errors import ConfigError, put
from parcorana.events.dataset import parse_numbers
from parcorana.results.aged import read_aged
from parcorana.tools.table import write_table


def draw(args, colors, check_colors):
    """Draw the aged curves of one run; write them as a table, too, if that is asked for."""
    if len(args.files) > 1 or args.maps or args.fit or args.tau_q or args.values:
        raise ConfigError("--aged draws those of one run, with -o, --colors, --at, --class and --csv")
    (name,) = args.files
    aged = read_aged(name, args.of)
    if args.at:
        chosen, there = parse_numbers(args.at, "--at"), [stretch.processed for stretch in aged.stretches]
        if missing := sorted(set(chosen) - set(there)):
            raise ConfigError(
                f"{name}: there are no aged curves at {missing[0]} events; there are at {', '.join(map(str, there))}"
            )
        aged = dataclasses.replace(aged, stretches=[each for each in aged.stretches if each.processed in chosen])
    check_colors(colors, aged.colors)
    from parcorana.view import pictures
    from parcorana.view.aged import draw_aged, size_of

    with pictures.shown(args.output, size=size_of(aged, colors)) as figure:
        draw_aged(figure, aged, colors)
    if args.csv:
        write_table(args.csv, _rows(aged, colors))
        put(args.csv)
    if args.output:
        put(args.output)


def _rows(aged, colors):
    """Generate a line for each stretch, colour and delay, after the names of the columns."""
    names = ["file", "since", "processed", "first", "last", "age", "color", "q", "delay", "seconds", "g2", "counts"]
    yield [*names, "elements"]
    for stretch in aged.stretches:
        about = stretch.since, stretch.processed, stretch.first, stretch.last
        age = f"{stretch.middle / aged.rate:.9g}"
        for color in (c for c in stretch.curves if colors is None or c in colors):
            q = np.nan if aged.table is None else aged.table.q([color])[0]
            columns = aged.delays, stretch.curves[color], stretch.counts, stretch.elements[color]
            for delay, g2, counts, elements in zip(*columns, strict=True):
                numbers = [f"{number:.9g}" for number in (delay / aged.rate, g2)]
                yield aged.label, *about, age, color, f"{q:.9g}", delay, *numbers, counts, elements
