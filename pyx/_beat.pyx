# cython: language_level=3
"""A thread that says that its process lives, whoever holds the interpreter; see csrc/beat.h."""

import struct

from libc.stdint cimport int64_t
from posix.unistd cimport getpid

cdef extern from "beat.h" nogil:
    int PCA_CALLBACK, PCA_TEXT, PCA_FINISHED
    ctypedef struct pca_beat:
        int64_t kind
        double seconds
        double stale
        char *callback
        char *text
    ctypedef struct pca_beats:
        pass
    pca_beats *pca_beats_start(const int64_t *, int64_t, double)
    int pca_beats_add(pca_beats *, int, double)
    void pca_beats_pace(pca_beats *, double)
    void pca_beats_or_else(pca_beats *, double, char **)
    void pca_beats_say(pca_beats *, const char *)
    void pca_beats_look(pca_beats *, pca_beat *)
    void pca_beats_stop(pca_beats *)

#: A beat on the wire: kind, process, seconds of the callback, seconds since the text was said, callback, text.
FRAME = struct.Struct(f"=qqdd{PCA_CALLBACK}s{PCA_TEXT}s")
FINISHED = PCA_FINISHED


cdef class Beats:
    """The thread.

    Parameters
    ----------
    running : buffer of 2 int64
        Address of the name of the callback that runs (0: none), and a number
        that differs for each call; read without the interpreter.
    parent : int
        A process without which this one ends, with exit status 1; 0: none.
    interval : float
        Seconds between two beats.
    """

    cdef pca_beats *_beats
    cdef const int64_t[::1] _running
    cdef int _process
    cdef list _words
    cdef char *_argv[8]

    def __init__(self, running, int64_t parent, double interval):
        if self._beats != NULL:
            raise RuntimeError("started already")
        self._running = running
        if self._running.shape[0] != 2:
            raise ValueError("running must have two numbers")
        self._process = getpid()
        self._beats = pca_beats_start(&self._running[0], parent, interval)
        if self._beats == NULL:
            raise OSError("no thread can be started")

    def add(self, int socket, double interval):
        """Send beats to a connected socket, too, and from now on at another interval."""
        if self._beats != NULL and pca_beats_add(self._beats, socket, interval):
            raise MemoryError

    def pace(self, double interval):
        """Beat at another interval from now on."""
        if self._beats != NULL:
            pca_beats_pace(self._beats, interval)

    def or_else(self, double seconds, list command):
        """Have this process become another program after so many seconds, whoever holds the interpreter.

        Parameters
        ----------
        seconds : float
        command : list of bytes
            A path and at most six arguments; empty: none, this process stays what it is.
        """
        cdef int k
        if len(command) > 7:
            raise ValueError("at most seven words")
        if self._beats == NULL:
            return
        pca_beats_or_else(self._beats, 0, NULL)
        self._words = command
        for k in range(8):
            self._argv[k] = <char *>command[k] if k < len(command) else NULL
        if command:
            pca_beats_or_else(self._beats, seconds, self._argv)

    def say(self, str text):
        """Send a text with the beats: what the process does."""
        cdef bytes data = text.encode()
        if self._beats != NULL:
            pca_beats_say(self._beats, data)

    def look(self):
        """Return the present beat, as it would be sent: (callback or an empty string, seconds that it has run)."""
        cdef pca_beat now
        if self._beats == NULL:
            return "", 0.0
        pca_beats_look(self._beats, &now)
        return now.callback.decode(errors="replace"), now.seconds

    def stop(self):
        """Say that this process has finished, and end the thread."""
        cdef pca_beats *beats = self._beats
        self._beats = NULL
        if beats != NULL and self._process == getpid():  # a fork has no such thread
            with nogil:
                pca_beats_stop(beats)
