"""``parCorAnaPlot --aged``: the curves of stretches of a run, drawn and as a table."""

import dataclasses

from parcorana.errors import ConfigError, put
from parcorana.events.dataset import parse_numbers
from parcorana.export.tables import aged_rows, write_table
from parcorana.results.aged import read_aged


def draw(args, colors, check_colors):
    """Draw the aged curves of one run; write them as a table, too, if that is asked for."""
    if len(args.files) > 1 or args.maps or args.fit or args.tau_q or args.values or args.leverage:
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
        write_table(args.csv, aged_rows([aged], colors))
        put(args.csv)
    if args.output:
        put(args.output)
