"""The page as a file that needs no server and no internet."""

from bokeh.embed import file_html
from bokeh.resources import INLINE

from parcorana.errors import drawing
from parcorana.files.aside import written
from parcorana.page.document import TEMPLATE, Page


def write_page(path, run):
    """Write the page of a run, as it is now.

    Parameters
    ----------
    path : path
    run : Follower

    Raises
    ------
    OSError
    ConfigError
        What the file holds cannot be drawn.
    """
    with drawing(run.seen.label):
        first = Page(run, live=False)
        others = [name for name in first.update.parts if name != first.of] if first.update is not None else []
        pages = [first.layout, *(Page(run, live=False, of=name).of_one_class() for name in others)]
        html = file_html(pages, INLINE, f"{run.seen.label} - ParCorAna", template=TEMPLATE)
    with written(path, streams=True) as file:
        file.write(html.encode(errors="backslashreplace"))  # names of files may be no text
