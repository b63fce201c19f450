/* Loads the library and uses it: cc main.c -ldl -o main; ./main libjobs_c.so jobs-worker */
#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

static void *symbol(void *library, const char *name) {
    void *found = dlsym(library, name);
    if (!found) {
        fprintf(stderr, "%s\n", dlerror());
        exit(1);
    }
    return found;
}

int main(int count, char **arguments) {
    void *library = count > 1 ? dlopen(arguments[1], RTLD_NOW) : NULL;
    if (!library) {
        fprintf(stderr, "no library: %s\n", dlerror());
        return 1;
    }
    void *(*open)(const char *) = (void *(*)(const char *))symbol(library, "jobs_open");
    int64_t (*length)(void *, const char *) = (int64_t(*)(void *, const char *))symbol(library, "jobs_length");
    void (*close)(void *) = (void (*)(void *))symbol(library, "jobs_close");

    void *pool = open(count > 2 ? arguments[2] : NULL);
    if (!pool)
        return 2;
    printf("%lld\n", (long long)length(pool, "tea"));
    printf("%lld\n", (long long)length(pool, "bug"));
    printf("%lld\n", (long long)length(pool, "coffee"));
    close(pool);
    return 0;
}
