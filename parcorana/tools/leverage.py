"""``parCorAnaPlot --leverage``: the elements that pull the curves of one update, as a picture and in words."""

from parcorana.detector.images import check_both, segments_apart
from parcorana.detector.masks import check_shape
from parcorana.errors import ConfigError, put
from parcorana.events.dataset import parse_numbers
from parcorana.files.plain import plain_file
from parcorana.results.leverage import read_leverage
from parcorana.results.reading import find_file, read_result, updates_in
from parcorana.tools.parser import layout_of

_SAID = 10  # elements


def draw(args):
    """Draw the leverage of one update; print what pulls most."""
    at = parse_numbers(args.at, "--at") if args.at else (None,)
    if len(args.files) > 1 or len(at) > 1 or args.maps or args.fit or args.tau_q or args.csv or args.colors:
        raise ConfigError("--leverage draws that of one update, with -o, --at, --class, --iX and --iY")
    check_both(args.iX, args.iY)
    (name,) = args.files
    with plain_file(find_file(name, at[0])) as file:
        result = read_result(file, name, at[0], args.of)
        group = updates_in(file, name, args.of)[result.processed]
        found = read_leverage(group, name, result.mask.shape)
    layout = layout_of(args) or segments_apart(result.mask.shape)
    if args.iX:
        check_shape("iX", args.iX, layout.iX.shape, result.mask.shape, "the result")
    from parcorana.view import pictures
    from parcorana.view.leverage import SIZE, draw_leverage

    with pictures.shown(args.output, size=SIZE) as figure:
        draw_leverage(figure, found, layout, result.mask != 0, result.title)
    for k in range(min(len(found.elements), _SAID)):
        place = ", ".join(map(str, found.indices[k]))
        put(
            f"element {found.elements[k]} ({place}), colour {found.colors[k]}, delay {found.delays[k]}: g2 without it "
            f"{found.changes[k]:+.3g}, {found.changes_over_error[k]:+.2g} errors{'; far' * bool(found.far[k])}"
        )
    if args.output:
        put(args.output)
