"""The detectors' data of many events at once, read into memory that their arrays then share."""

import os
import time

import numpy as np


def read_in_bulk(run):
    """Let a run of psana read its data files straight into memory.

    psana reads into one buffer and copies that into another before it looks at
    it, which takes as long as all the rest.

    Parameters
    ----------
    run : psana.psexp.run.RunSerial
        None of its events has been asked for.
    """
    from psana.psexp.event_manager import EventManager, ExitId
    from psana.psexp.events import Events

    class Manager(EventManager):
        def _read(self, fd, size, offset):
            memory, got, tries = np.empty(size, np.uint8), 0, 0
            while got < size:
                now = os.preadv(fd, [memory[got:]], offset + got)
                got += now
                if got < size and not now:
                    if tries == self.max_retries:
                        # An event made of what is there would be read beyond its end. So psana's batch ends here,
                        # and whoever asked for more sees what is missing.
                        self.exit_id = ExitId.BdReadFail
                        raise StopIteration
                    tries += 1
                    time.sleep(1)
            return memory

    class Many(Events):
        def __next__(self):
            while True:
                for dgrams in self._evt_man:
                    if any(dgrams):
                        return dgrams
                for batch, _ in self._batch_iter:
                    if batch and batch.get(0):
                        self._evt_man = Manager(batch[0][0], self.configs, self.dm, self.max_retries, self.use_smds)
                        break
                else:
                    self._batch_iter = next(self.smdr_man)

    old = run._evt_iter
    run._evt_iter = Many(old.configs, old.dm, old.max_retries, old.use_smds, old.shared_state, smdr_man=old.smdr_man)
