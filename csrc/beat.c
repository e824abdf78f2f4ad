#include "beat.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { STOPPED = 2 }; /* s */

/* One who is told. What does not fit into its socket goes on before the next beat. */
typedef struct {
    int fd; /* -1: it is gone */
    size_t sent;
    pca_beat beat;
} listener;

struct pca_beats {
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    const volatile int64_t *running;
    int64_t call;      /* that was seen running */
    double since;      /* when it was first seen */
    double said;       /* when the text was */
    double interval;
    int64_t parent;
    char **argv; /* what this process becomes after `last` */
    double last;
    int quits;
    char text[PCA_TEXT];
    listener *listeners;
    size_t count;
};

static double seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static void look(pca_beats *beats, pca_beat *now)
{
    int64_t name = beats->running[0], call = beats->running[1];
    double time = seconds();
    if (!name || call != beats->call) {
        beats->call = call;
        beats->since = time;
    }
    memset(now, 0, sizeof *now);
    now->pid = getpid();
    now->stale = time - beats->said;
    if (name) {
        now->seconds = time - beats->since;
        strncpy(now->callback, (const char *)(intptr_t)name, PCA_CALLBACK - 1);
    }
    memcpy(now->text, beats->text, PCA_TEXT);
}

static void tell(listener *to, const pca_beat *now)
{
    while (to->fd >= 0) {
        if (to->sent == 0)
            to->beat = *now;
        ssize_t sent = send(to->fd, (const char *)&to->beat + to->sent, sizeof to->beat - to->sent,
                            MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent < 0) {
            if (errno == EINTR)
                continue;
            if (errno != EAGAIN && errno != EWOULDBLOCK)
                to->fd = -1;
            return;
        }
        int is_old = to->sent != 0;
        to->sent = (to->sent + (size_t)sent) % sizeof to->beat;
        if (to->sent || !is_old)
            return;
    }
}

static void *beat(void *given)
{
    pca_beats *beats = given;
    pca_beat now;
    pthread_mutex_lock(&beats->lock);
    for (;;) {
        int quits = beats->quits;
        look(beats, &now);
        now.kind = quits ? PCA_FINISHED : PCA_ALIVE;
        for (size_t k = 0; k < beats->count; k++)
            tell(&beats->listeners[k], &now);
        if (quits)
            break;
        if (beats->parent && getppid() != (pid_t)beats->parent)
            _exit(1); /* whoever started this job is gone, and nobody else would end it */
        if (beats->argv && seconds() > beats->last) {
            execv(beats->argv[0], beats->argv);
            _exit(1);
        }
        double until = seconds() + beats->interval;
        struct timespec at = {.tv_sec = (time_t)until};
        at.tv_nsec = (long)(1e9 * (until - (double)at.tv_sec));
        pthread_cond_timedwait(&beats->wake, &beats->lock, &at);
        double late = seconds() - until;
        if (late > STOPPED) { /* the whole process was stopped: that is nobody's time */
            beats->since += late;
            beats->said += late;
            beats->last += late;
        }
    }
    pthread_mutex_unlock(&beats->lock);
    return NULL;
}

pca_beats *pca_beats_start(const volatile int64_t *running, int64_t parent, double interval)
{
    pca_beats *beats = calloc(1, sizeof *beats);
    if (!beats)
        return NULL;
    beats->running = running;
    beats->parent = parent;
    beats->interval = interval;
    beats->said = seconds();
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&beats->wake, &monotonic);
    pthread_condattr_destroy(&monotonic);
    pthread_mutex_init(&beats->lock, NULL);
    sigset_t all, before; /* signals are for the main thread: it has to wake up for them */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int failed = pthread_create(&beats->thread, NULL, beat, beats);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (failed) {
        free(beats);
        return NULL;
    }
    return beats;
}

int pca_beats_add(pca_beats *beats, int fd, double interval)
{
    pthread_mutex_lock(&beats->lock);
    listener *more = realloc(beats->listeners, (beats->count + 1) * sizeof *more);
    if (more) {
        beats->listeners = more;
        memset(&more[beats->count], 0, sizeof *more);
        more[beats->count++].fd = fd;
        beats->interval = interval;
        pthread_cond_signal(&beats->wake);
    }
    pthread_mutex_unlock(&beats->lock);
    return more ? 0 : -1;
}

void pca_beats_pace(pca_beats *beats, double interval)
{
    pthread_mutex_lock(&beats->lock);
    beats->interval = interval;
    pthread_cond_signal(&beats->wake);
    pthread_mutex_unlock(&beats->lock);
}

void pca_beats_or_else(pca_beats *beats, double wait, char **argv)
{
    pthread_mutex_lock(&beats->lock);
    beats->last = seconds() + wait;
    beats->argv = argv;
    pthread_mutex_unlock(&beats->lock);
}

void pca_beats_say(pca_beats *beats, const char *text)
{
    pthread_mutex_lock(&beats->lock);
    strncpy(beats->text, text, PCA_TEXT - 1);
    beats->said = seconds();
    pthread_mutex_unlock(&beats->lock);
}

void pca_beats_look(pca_beats *beats, pca_beat *now)
{
    pthread_mutex_lock(&beats->lock);
    look(beats, now);
    pthread_mutex_unlock(&beats->lock);
}

/* Say that this process has finished, and end the thread. */
void pca_beats_stop(pca_beats *beats)
{
    pthread_mutex_lock(&beats->lock);
    beats->quits = 1;
    pthread_cond_signal(&beats->wake);
    pthread_mutex_unlock(&beats->lock);
    pthread_join(beats->thread, NULL);
    pthread_cond_destroy(&beats->wake);
    pthread_mutex_destroy(&beats->lock);
    free(beats->listeners);
    free(beats);
}
