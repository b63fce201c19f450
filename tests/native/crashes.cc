// Ways to die in C++ and C, for tests/native_backtraces.rs: it builds this as a library that its workers load.

#include <cstdio>
#include <cstdlib>
#include <stdexcept>
#include <vector>

extern "C" {

__attribute__((noinline)) int crash_write_in_c(volatile int *where) {
    *where = 1;
    return 1;
}

__attribute__((noinline)) int crash_by_exception() noexcept {
    throw std::runtime_error("nobody catches it");
}

__attribute__((noinline)) int crash_by_free() {
    char *memory = static_cast<char *>(std::malloc(64));
    volatile char *volatile inside = memory + 24;
    std::free(const_cast<char *>(inside));
    return 1;
}

__attribute__((noinline)) int crash_by_call_of_null(int (*volatile function)(int)) {
    return function(1) + 1;
}

}

namespace shapes {

template <typename T> struct Area {
    __attribute__((noinline)) int divide(const std::vector<T> &values, volatile T by) {
        return static_cast<int>(values[0] / by);
    }
};

}

extern "C" int crash_in_template() {
    std::vector<int> values{1, 2, 3};
    return shapes::Area<int>().divide(values, 0);
}

// Calls a function of the program from C++ code.
extern "C" int crash_call_back(int (*back)(int)) {
    return back(7) + 1;
}
