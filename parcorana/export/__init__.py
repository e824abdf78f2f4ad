"""Results for other programs: pyXpcsViewer, NXxpcs, tables."""
