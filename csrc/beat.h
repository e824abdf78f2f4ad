/* A thread that says, again and again, that its process lives and which callback runs.
 *
 * It needs no interpreter: a callback, or a library that reads a file, may keep
 * that for minutes. A process that is stopped says nothing, and nor does one
 * behind a link that is cut. */
#ifndef PARCORANA_BEAT_H
#define PARCORANA_BEAT_H

#include <stdint.h>

enum { PCA_CALLBACK = 80, PCA_TEXT = 160 };
enum { PCA_ALIVE = 0, PCA_FINISHED = 1 };

/* What is sent, as it lies in memory: no padding. */
typedef struct {
    int64_t kind;
    int64_t pid;
    double seconds; /* that the callback has run */
    double stale;   /* since the text was said: how long nobody had the interpreter to say another */
    char callback[PCA_CALLBACK]; /* empty: none runs */
    char text[PCA_TEXT];
} pca_beat;

typedef struct pca_beats pca_beats;

/* running: address of the name of the callback that runs, or 0; and a number that differs for each call.
 * parent: a process without which this one ends, 0 for none. */
pca_beats *pca_beats_start(const volatile int64_t *running, int64_t parent, double interval);
int pca_beats_add(pca_beats *beats, int fd, double interval);
/* From now on beat at another interval. */
void pca_beats_pace(pca_beats *beats, double interval);
/* Unless this is called again within so many seconds, with argv NULL, the process becomes another program, which says
 * why; argv[0] is its path, and argv stays where it is. */
void pca_beats_or_else(pca_beats *beats, double seconds, char **argv);
void pca_beats_say(pca_beats *beats, const char *text);
void pca_beats_look(pca_beats *beats, pca_beat *now);
void pca_beats_stop(pca_beats *beats);

#endif
