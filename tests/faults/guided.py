"""One target of `faults.parsers` under atheris: ``python -m faults.guided TARGET [options of libFuzzer]``."""

import logging
import sys
import tempfile
from pathlib import Path

SEEDS = (
    "exp=a:run=1-3,7:dir=/d:stream=0,2:idx:smd",
    "h5=a*.h5,b.h5:dir=d:live",
    "shmem=a:stream=1",
    "file=a",
    "sim=brownian:shape=2x3:events=9:tau=1.5:seed=1:contrast=.5:mean=1:poisson=1:gaps=.1:disorder=3:colors=2:hz=9",
)


def main():
    import atheris

    with atheris.instrument_imports(include=["parcorana"], enable_loader_override=False):
        from faults import fuzz, parsers
    from hypothesis import given, settings

    logging.getLogger("parcorana").setLevel("CRITICAL")
    name = sys.argv.pop(1)
    with tempfile.TemporaryDirectory(dir=fuzz.FAST) as folder:
        corpus = Path(folder, "corpus")
        corpus.mkdir()
        sys.argv.append(str(corpus))
        strategy, function = fuzz.targets(Path(folder))[name]
        if name == "npy":
            (corpus / "mask").write_bytes(Path(folder, "right.npy").read_bytes())
            test = function
        elif name == "dataset":
            for k, text in enumerate(SEEDS):
                (corpus / str(k)).write_text(text, encoding="utf-8")

            def test(data):
                parsers.dataset(data.decode("utf-8", "surrogateescape"))
        else:
            test = settings(database=None, deadline=None)(
                given(strategy)(fuzz.plain(function))
            ).hypothesis.fuzz_one_input
        atheris.Setup(sys.argv, test)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
