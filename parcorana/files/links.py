"""What a user class may have written that could not be joined into a result file."""

import h5py

_REFERENCES = (
    "holds references of HDF5, which would lead nowhere in a joined file: write names as texts, or a soft link"
)
_SAY = "a result file holds all that is in it: write the values themselves, or the name of that file as a text"


def fault_of_group(group, path="", within=()):
    """Return what is wrong with a link, dataset or attribute in a group that is being written; None if nothing is.

    A soft link that leads to something in the same file may stay; so may a
    second name of a dataset.

    Parameters
    ----------
    group : h5py.h5g.GroupID
    path : str
        How it is called.
    within : tuple of int
        Addresses of the groups that it is in.
    """
    path = path or h5py.h5i.get_name(group).decode(errors="replace")
    within = (*within, h5py.h5o.get_info(group).addr)
    if fault := _fault_of_attributes(group, path):
        return fault
    for name in group:
        kind, here = group.links.get_info(name).type, f"{path}/{name.decode(errors='replace')}"
        if kind == h5py.h5l.TYPE_SOFT:
            if not _leads_somewhere(group, name):
                target = group.links.get_val(name).decode(errors="replace")
                return f"{here!r} is a link to {target!r}, which is not there: write that first, or leave out the link"
        elif kind == h5py.h5l.TYPE_EXTERNAL:
            file, target = (part.decode(errors="replace") for part in group.links.get_val(name))
            return f"{here!r} is a link to {target!r} in another file, {file!r}: {_SAY}"
        elif kind != h5py.h5l.TYPE_HARD:
            return f"{here!r} is a link of a kind of its own: {_SAY}"
        elif fault := _fault_of_item(h5py.h5o.open(group, name), here, within):
            return fault
    return None


def _leads_somewhere(group, name):
    try:
        return bool(h5py.h5o.exists_by_name(group, name))
    except Exception:  # it leads to itself
        return False


def _fault_of_item(item, path, within):
    if isinstance(item, h5py.h5g.GroupID):
        if h5py.h5o.get_info(item).addr in within:
            return f"{path!r} is a group within itself: make it a soft link"
        return fault_of_group(item, path, within)
    if isinstance(item, h5py.h5d.DatasetID):
        plist = item.get_create_plist()
        if plist.get_layout() == h5py.h5d.VIRTUAL or plist.get_external_count():
            return f"the values of {path!r} are in another file: {_SAY}"
        if item.get_type().detect_class(h5py.h5t.REFERENCE):
            return f"{path!r} {_REFERENCES}"
        return _fault_of_attributes(item, path)
    return None


def _fault_of_attributes(item, path):
    for index in range(h5py.h5a.get_num_attrs(item)):
        attribute = h5py.h5a.open(item, index=index)
        if attribute.get_type().detect_class(h5py.h5t.REFERENCE):
            name = attribute.name.decode(errors="replace")
            scale = " (of a dimension scale)" if name in ("DIMENSION_LIST", "REFERENCE_LIST") else ""
            return f"the attribute {name!r} of {path!r}{scale} {_REFERENCES}"
    return None
