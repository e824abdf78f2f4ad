"""User code raises."""

import re
import signal

from faults.frame import Row, expect

BODY = """\
    def fail(self, name):
        role = self.mpiParams.role
        if self.mpiParams.rank == 0 and role == "worker":
            return  # made before the run, to know the memory
        if name == {name!r} and role == {role!r} and {when} and struck():
            raise {error}
"""
METHOD = """
    def {name}(self, *args):
        self.fail({name!r})
        return {result}
"""
# what a shipped class, which takes whole blocks, is never asked for
OF_DOCUMENT = ("arrayNames", "adjustTerms", "adjustTermsBlock", "getState", "setState", "viewerPublish")
DOCUMENT = """\
class Document(parcorana.UserBase):
    # the intensity that is stored, at every delay

    def arrayNames(self):
        return ["sum"]

    def initWorker(self, numElementsWorker):
        self.n = numElementsWorker

    def workerCalc(self, T, numTimesFilled, X):
        D = len(self.system_params["delays"])
        sums = np.tile(X[:numTimesFilled].sum(axis=0, dtype=float), (D, 1))
        return {"sum": sums}, np.full(D, numTimesFilled), np.zeros(self.n, np.int8)

    def getState(self):
        return {}

    def setState(self, state):
        pass

    def viewerPublish(self, counts, relsec, name2delay2ndarray, int8array, h5UserGroup):
        group = h5UserGroup.create_group(f"G2_results_at_{self.mpiParams.processed:06d}")
        for delay, array in name2delay2ndarray["sum"].items():
            group[f"sum/delay_{delay:06d}"] = array


"""
INIT = """
    def __init__(self, *args):
        super().__init__(*args)
        self.fail("__init__")
"""
LATE = "self.mpiParams.processed == 200"
# name: (when, what else it does)
CALLBACKS = {
    "server": {"__init__": "True", "arrayNames": "True", "initServer": "True", "eventOk": "args[0].stamp == 220",
               "finalDataArray": "args[1].stamp == 220"},
    "worker": {"__init__": "True", "arrayNames": "True", "initWorker": "True", "adjustData": "Mine.count(220)",
               "adjustTerms": "Mine.count(220)", "adjustTermsBlock": "Mine.count(20)", "workerCalc": LATE,
               "workerReduce": LATE, "getState": "Mine.count(3)", "setState": "True"},
    "viewer": {"__init__": "True", "arrayNames": "True", "initViewer": "True", "viewerPublish": LATE,
               "viewerPublishReduced": LATE, "viewerPublishArray": LATE},
}  # fmt: skip
RESULT = {
    "eventOk": "True",
    "finalDataArray": "args[0]",
    "initServer": "None",
    "adjustTerms": "None",
    "adjustTermsBlock": "None",
}
RANKS = {"server": "1", "worker": "234", "viewer": "0"}
# what the line of error says of where it was; all other callbacks are called before
BEFORE = "before the first (event|update)"
PLACES = {
    **dict.fromkeys(("eventOk", "finalDataArray"), "at event 220 of the sequence"),
    "getState": "at the checkpoint at 128 events",
    "adjustData": "at event 219 of those processed, T=219",
    # which of them leave the buffer counts, too
    **dict.fromkeys(("adjustTerms", "adjustTermsBlock"), r"at event 1\d\d of those processed"),
    **dict.fromkeys(("workerCalc", "workerReduce"), "at the update at 200 events"),
    **dict.fromkeys(("viewerPublish", "viewerPublishReduced", "viewerPublishArray"), "at the update at 200 events"),
}
COUNT = """
    calls = 0

    @classmethod
    def count(cls, number):
        cls.calls += 1
        return cls.calls >= number
"""
TOGETHER = {
    "server": """
    def eventOk(self, evt):
        if evt.stamp >= 200 and "FAULT" in os.environ:
            struck()
            raise ValueError("by me")
        return True
""",
    "worker": """
    def adjustData(self, data):
        self.n = getattr(self, "n", 0) + 1
        if self.n == 220 and "FAULT" in os.environ and not self.mpiParams.firstWorker:
            struck()
            raise ValueError("by me")
""",
}
ERRORS = ("ZeroDivisionError('by me')", "OSError('by me')", "StopIteration('by me')", "SystemExit('by me')")


def run_until_a_checkpoint(trial):
    """Leave a run behind that can be gone on with."""
    job = trial.start(ranks=5)
    job.wait(lambda: any(trial.folder.glob("out.h5.inprogress/checkpoint_*.json")), "there was a checkpoint")
    job.strike(job.pid(4), signal.SIGKILL)
    job.ends(within=5)


def fail(role):
    def provoke(trial):
        name = list(CALLBACKS[role])[trial.number % len(CALLBACKS[role])]
        error = ERRORS[trial.number % len(ERRORS)]
        when = re.sub(r"args\b", "self.args", CALLBACKS[role][name])
        body = BODY.format(name=name, role=role, when=when, error=error) + COUNT
        if name == "__init__":
            body += INIT
        else:
            method = METHOD.format(name=name, result=RESULT.get(name, f"super().{name}(*args)"))
            body += method.replace("        self.fail", "        self.args = args\n        self.fail")
        base, before = ("Document", DOCUMENT) if name in OF_DOCUMENT else ("G2atEnd", "")
        trial.write(base, body, before=before, block=16, checkpoint=50 if name.endswith("State") else 0)
        again = ["--resume"] if name == "setState" else []
        if again:
            run_until_a_checkpoint(trial)
        job = trial.start(*again, ranks=5, env={"FAULT": "1"})
        where = rf"rank [{RANKS[role]}], {role} {PLACES.get(name, BEFORE)}"
        job.fails(5, re.compile(rf"^parCorAnaDriver: {where}, in Mine\.{name}: {error.split('(')[0]}: by me$"))
        expect("mine.py" in job.log, f"no line of the user's code: {job.log}")

    return provoke


def fail_together(trial):
    """The same fault, but one line."""
    role, place = (("server", "at event 20. of the sequence"), ("worker", PLACES["adjustData"]))[trial.number % 2]
    trial.write(body=TOGETHER[role], numservers=3, block=1)
    job = trial.start(ranks=7, env={"FAULT": "1"})
    job.fails(5, re.compile(rf"^parCorAnaDriver: rank \d, {role} {place}, in Mine\.\w+: ValueError: by me$"))


# what the end of a failed rank is made with
TAKEN = {
    "no file can be opened": "import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (5, 5))",
    "no module can be found": "import sys; sys.modules.clear()",
    "an audit hook refuses": """
            import sys
            def refuse(event, args):
                if event == "open":
                    raise RuntimeError("no opening")
            sys.addaudithook(refuse)
""",
}


def fail_without(trial):
    """What a rank would end with is gone: it ends all the same, and with a word."""
    taken = list(TAKEN.values())[trial.number % len(TAKEN)]
    trial.write(
        body=f"""\
    def adjustData(self, data):
        if not self.mpiParams.firstWorker and struck():
            {taken.strip()}
            raise ValueError("by me")
"""
    )
    job = trial.start(env={"FAULT": "1"})
    job.fails(5, "parCorAnaDriver: rank 3", "ValueError: by me")


TITLE = "A callback raises: every rank is gone within 5 s, exit status 1, one line with rank, role, event and callback"
ROWS = [
    Row(f"the {role}'s, {len(names)} kinds: {', '.join(f'`{name}`' for name in names)}", fail(role), times=len(names))
    for role, names in CALLBACKS.items()
] + [
    Row(
        "on three servers, or on two workers that are not the first, at the same event", fail_together, times=2, quick=1
    ),
    Row(
        f"a callback takes away what a rank ends with ({', '.join(TAKEN)}), then raises", fail_without, times=3, quick=1
    ),
]
