/* Process 1 of the user's container: runs the stage's command for each datum, on the agent's word.

   Static, so that it runs in any image, distroless ones too. Two uses:

     launcher install FILE FOLDER...   copy itself to FILE and make the folders (the init container)
     launcher run CTL [SECONDS]        serve the agent through the folder CTL (the user's container)

   In CTL the agent writes  next          an order: fields that end with a NUL byte (see struct order)
                            in.ID         the command's standard input
                            beat          touched every few seconds; older than SECONDS (60): the agent is dead
                            end           "CODE MESSAGE": the exit code, and words for the pod's status
             we write       log.ID.0/.1   what the command printed, a MiB each in turns
                            done.ID       "exit N", "timeout" or "error WORDS"; next line: how much it printed
                            term          we were asked to end, and did not die of anything else
   Files appear by rename, whole. A new order while a command runs ends that command. After each command everything
   that it started is killed. It never touches /pfs and knows no credentials. gitdata/worker/launched.py is the other
   side. */

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { AGENT_DEAD = 200, BAD_ORDER = 201, BROKEN = 202, LOG_BYTES = 1 << 20, MAX_ORDER = 16 << 20 };

struct order { char *data, *id, *cwd, **argv, **env; long timeout_ms; int stdin_given; };

static int ctl, events, signals, terminating;

static void quit(int code, const char *words) {
    int fd = open("/dev/termination-log", O_WRONLY | O_NOFOLLOW | O_CLOEXEC);
    if (fd >= 0) { if (write(fd, words, strlen(words)) < 0) {} close(fd); }
    if (code) fprintf(stderr, "gitdata: %s\n", words);
    exit(code);
}

static void broken(const char *what) {
    char words[400];
    snprintf(words, sizeof words, "%s: %s", what, strerror(errno));
    quit(BROKEN, words);
}

static long now_ms(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000L + t.tv_nsec / 1000000;
}

/* The whole of a plain file in CTL with a NUL behind it, NULL if there is none. */
static char *slurp(const char *name, size_t *size) {
    struct stat s;
    int fd = openat(ctl, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0) return NULL;
    char *data = NULL;
    if (!fstat(fd, &s) && S_ISREG(s.st_mode) && s.st_size <= MAX_ORDER && (data = malloc(s.st_size + 1))) {
        ssize_t got;
        for (*size = 0; (got = read(fd, data + *size, s.st_size - *size)) > 0;) *size += got;
        data[*size] = 0;
    }
    close(fd);
    return data;
}

static void publish(const char *name, const char *text) {
    char made[300];
    snprintf(made, sizeof made, "%s.new", name);
    unlinkat(ctl, made, 0);
    int fd = openat(ctl, made, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0666);
    if (fd < 0 || write(fd, text, strlen(text)) < 0 || close(fd) || renameat(ctl, made, ctl, name)) broken(name);
}

static char *field(char **at, char *end) {
    char *found = *at;
    if (found >= end) quit(BAD_ORDER, "the agent's order cannot be read");
    *at += strlen(found) + 1;
    return found;
}

/* version, id, timeout_ms, "1" if there is standard input, cwd, argc, argv..., envc, NAME=VALUE... */
static int take(struct order *o) {
    size_t size;
    char *data = slurp("next", &size);
    if (!data) return 0;
    char *at = data, *end = data + size;
    if (strcmp(field(&at, end), "1")) quit(BAD_ORDER, "the agent is of another version than the launcher");
    o->id = field(&at, end);
    if (!*o->id || strlen(o->id) > 64 || strchr(o->id, '/')) quit(BAD_ORDER, "the agent's order has no id");
    o->timeout_ms = atol(field(&at, end));
    o->stdin_given = *field(&at, end) == '1';
    o->cwd = field(&at, end);
    for (int list = 0; list < 2; list++) {
        long count = atol(field(&at, end));
        if (count < 0 || count > MAX_ORDER) quit(BAD_ORDER, "the agent's order cannot be read");
        char **items = calloc(count + 1, sizeof *items);
        if (!items) broken("memory");
        for (long i = 0; i < count; i++) items[i] = field(&at, end);
        *(list ? &o->env : &o->argv) = items;
    }
    o->data = data;
    return 1;
}

static void drop(struct order *o) {
    free(o->argv), free(o->env), free(o->data);
    memset(o, 0, sizeof *o);
}

static void become(struct order *o, int out, int errors) {
    char name[100], words[1000];
    const char *doing = "read standard input";
    sigset_t none;
    sigemptyset(&none);
    snprintf(name, sizeof name, "in.%s", o->id);
    setsid();
    prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
    int in = o->stdin_given ? openat(ctl, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC) : open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (in < 0 || dup2(in, 0) < 0 || dup2(out, 1) < 0 || dup2(out, 2) < 0) goto failed;
    int oom = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);  /* memory runs out: before us */
    if (oom >= 0) { if (write(oom, "500", 3) < 0) {} close(oom); }
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
    sigprocmask(SIG_SETMASK, &none, NULL);
    umask(0022);
    for (char **e = environ; *e;) {  /* the cluster's own variables are no business of the command */
        if (!strncmp(*e, "KUBERNETES_", 11) || !strncmp(*e, "JOB_COMPLETION_INDEX=", 21)) {
            snprintf(words, sizeof words, "%.*s", (int)strcspn(*e, "="), *e);
            unsetenv(words);
            e = environ;
        } else e++;
    }
    for (char **e = o->env; *e; e++) if (strchr(*e, '=')) putenv(*e);
    if (!getenv("PATH")) setenv("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", 1);
    doing = "enter working_dir";
    if (*o->cwd && chdir(o->cwd)) { snprintf(words, sizeof words, "cannot enter working_dir %.300s: %s", o->cwd, strerror(errno)); goto say; }
    doing = o->argv[0] ? o->argv[0] : "nothing";
    if (o->argv[0]) execvp(o->argv[0], o->argv);
failed:
    snprintf(words, sizeof words, "cannot run %.300s: %s", doing, strerror(errno));
say:
    if (write(errors, words, strlen(words)) < 0) {}
    _exit(127);
}

/* Everything of the container but us; outside a pid namespace of our own (no container), the command's session. */
static void kill_all(pid_t child) {
    if (getpid() == 1) kill(-1, SIGKILL);
    else { kill(-child, SIGKILL); kill(child, SIGKILL); }
}

/* Copy what was printed to our own output and to the two files that take turns. 0 at its end. */
static int copy(int from, const char *id, int *file, long *written) {
    char piece[1 << 16], name[100];
    ssize_t got = read(from, piece, sizeof piece);
    if (got <= 0) return got < 0 && (errno == EAGAIN || errno == EINTR);
    for (ssize_t at = 0, put; at < got && (put = write(1, piece + at, got - at)) > 0; at += put) {}
    if (*file < 0 || *written % (2 * LOG_BYTES) / LOG_BYTES != (*written + got) % (2 * LOG_BYTES) / LOG_BYTES) {
        if (*file >= 0) close(*file);
        snprintf(name, sizeof name, "log.%s.%d", id, (int)((*written + got) / LOG_BYTES % 2));
        *file = openat(ctl, name, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0666);
    }
    *written += got;
    if (*file >= 0 && write(*file, piece, got) < 0) {}
    return 1;
}

static int superseded(const char *id) {
    struct order other = {0};
    if (!take(&other)) return 0;
    int new = strcmp(other.id, id) != 0;
    drop(&other);
    return new;
}

static void drain_events(void) {
    char buffer[4096];
    while (read(events, buffer, sizeof buffer) > 0) {}
    struct signalfd_siginfo info;
    while (read(signals, &info, sizeof info) == sizeof info) if (info.ssi_signo != SIGCHLD) terminating = 1;
}

static void run(struct order *o) {
    int out[2], errors[2], file = -1, status = 0, gone = 0, timeout = 0, open_end = 1;
    long written = 0, deadline = o->timeout_ms ? now_ms() + o->timeout_ms : 0;
    char words[1000] = "", answer[1200], name[100];
    if (pipe2(out, O_CLOEXEC) || pipe2(errors, O_CLOEXEC)) broken("pipe");
    fcntl(out[0], F_SETFL, O_NONBLOCK);
    pid_t child = fork();
    if (child < 0) broken("fork");
    if (!child) become(o, out[1], errors[1]);
    close(out[1]), close(errors[1]);
    while (!gone) {
        struct pollfd polled[3] = {{signals, POLLIN, 0}, {events, POLLIN, 0}, {open_end ? out[0] : -1, POLLIN, 0}};
        long left = deadline ? deadline - now_ms() : 1000;
        if (deadline && left <= 0) { timeout = 1; deadline = 0; kill_all(child); }
        poll(polled, 3, left < 0 ? 0 : left > 1000 ? 1000 : (int)left);
        if (polled[2].revents) open_end = copy(out[0], o->id, &file, &written);
        int woken = polled[1].revents;
        drain_events();
        if (terminating || (woken && superseded(o->id))) kill_all(child);
        for (pid_t pid; (pid = waitpid(-1, &status, WNOHANG)) > 0;) if (pid == child) { gone = 1; break; }
    }
    kill_all(child);
    while (waitpid(-1, NULL, getpid() == 1 ? 0 : WNOHANG) > 0) {}
    while (open_end && (errno = 0, copy(out[0], o->id, &file, &written)) && errno != EAGAIN) {}
    if (read(errors[0], words, sizeof words - 1) < 0) words[0] = 0;
    close(out[0]), close(errors[0]);
    if (file >= 0) close(file);
    if (terminating) return;
    int code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    if (timeout) snprintf(answer, sizeof answer, "timeout");
    else if (*words) snprintf(answer, sizeof answer, "error %s", words);
    else snprintf(answer, sizeof answer, "exit %d", code);
    size_t used = strlen(answer);
    snprintf(answer + used, sizeof answer - used, "\n%ld", written);
    snprintf(name, sizeof name, "done.%s", o->id);
    publish(name, answer);
}

static void install(int count, char **paths) {
    char piece[1 << 16];
    umask(0);
    for (int i = 1; i < count; i++) if (mkdir(paths[i], 0777) && errno != EEXIST) broken(paths[i]);
    int from = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    int to = open(paths[0], O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0755);
    if (from < 0 || to < 0) broken(paths[0]);
    for (ssize_t got; (got = read(from, piece, sizeof piece)) != 0;) if (got < 0 || write(to, piece, got) != got) broken(paths[0]);
    if (close(to)) broken(paths[0]);
}

int main(int argc, char **argv) {
    if (argc >= 3 && !strcmp(argv[1], "install")) { install(argc - 2, argv + 2); return 0; }
    if (argc < 3 || strcmp(argv[1], "run")) { fprintf(stderr, "usage: launcher install FILE FOLDER... | run CTL [SECONDS]\n"); return 2; }
    long limit = argc > 3 ? atol(argv[3]) : 60, born = time(NULL);
    char last[65] = "";
    sigset_t mask;
    sigemptyset(&mask);
    sigaddset(&mask, SIGTERM), sigaddset(&mask, SIGINT), sigaddset(&mask, SIGCHLD);
    sigprocmask(SIG_BLOCK, &mask, NULL);
    prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);  /* the command may not look into us or stop us */
    prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
    ctl = open(argv[2], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    events = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    signals = signalfd(-1, &mask, SFD_NONBLOCK | SFD_CLOEXEC);
    if (ctl < 0 || events < 0 || signals < 0 || inotify_add_watch(events, argv[2], IN_MOVED_TO) < 0) broken(argv[2]);
    for (;;) {
        struct order o = {0};
        size_t size;
        char *end = slurp("end", &size);
        if (end) { char *words; int code = (int)strtol(end, &words, 10); quit(code, words + (*words == ' ')); }
        if (terminating) { publish("term", ""); quit(143, "the pod was asked to end"); }
        if (take(&o) && strcmp(o.id, last)) {
            snprintf(last, sizeof last, "%s", o.id);
            run(&o);
        } else {
            struct stat s;
            long beat = !fstatat(ctl, "beat", &s, AT_SYMLINK_NOFOLLOW) && s.st_mtime > born ? s.st_mtime : born;
            if (time(NULL) - beat > limit) quit(AGENT_DEAD, "the agent beside the command has ended");
            poll((struct pollfd[]){{signals, POLLIN, 0}, {events, POLLIN, 0}}, 2, 1000);
            drain_events();
            while (waitpid(-1, NULL, WNOHANG) > 0) {}
        }
        if (o.data) drop(&o);
    }
}
