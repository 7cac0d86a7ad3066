/* A stand-in for CUDA's runtime: as much of libcudart.so.12 as TensorFlow calls until its first kernel.
 *
 * A kernel cannot be launched, unless FAKE_CUDA_ERRORS has cudaLaunchKernel=0: then it computes nothing. The
 * environment is read at every call; besides what `fake.h` lists:
 *   FAKE_CUDA_RUNTIME=12050    version of the library
 * Names, signatures, structures and numbers are those of cuda_runtime_api.h and crt/host_runtime.h.
 */
#include <dlfcn.h>

#include "fake.h"

enum { SUCCESS = 0, INSUFFICIENT_DRIVER = 35, NO_KERNEL_IMAGE_FOR_DEVICE = 209 };

typedef struct { unsigned x, y, z; } Dim3;

/* cudaDeviceProp as far as Eigen reads it; the offsets are in bytes. */
typedef union {
    char size[1032];
    struct { char before[308]; int value; } warp_size;
    struct { char before[320]; int value; } threads_per_block;
    struct { char before[360]; int value; } major;
    struct { char before[388]; int value; } multiprocessors;
    struct { char before[624]; int value; } threads_per_multiprocessor;
} Properties;

static const struct { int error; const char *name, *text; } errors[] = {
    {0, "cudaSuccess", "no error"},
    {2, "cudaErrorMemoryAllocation", "out of memory"},
    {35, "cudaErrorInsufficientDriver", "CUDA driver version is insufficient for CUDA runtime version"},
    {100, "cudaErrorNoDevice", "no CUDA-capable device is detected"},
    {209, "cudaErrorNoKernelImageForDevice", "no kernel image is available for execution on the device"},
    {218, "cudaErrorInvalidPtx", "a PTX JIT compilation failed"},
    {700, "cudaErrorIllegalAddress", "an illegal memory access was encountered"},
    {719, "cudaErrorLaunchFailure", "unspecified launch failure"},
    {999, "cudaErrorUnknown", "unknown error"},
};

static __thread int last_error, chosen_device;

const char *cudaGetErrorName(int error) {
    for (size_t i = 0; i < sizeof errors / sizeof *errors; i++) {
        if (errors[i].error == error) return errors[i].name;
    }
    return "unrecognized error code";
}

const char *cudaGetErrorString(int error) {
    for (size_t i = 0; i < sizeof errors / sizeof *errors; i++) {
        if (errors[i].error == error) return errors[i].text;
    }
    return "unrecognized error code";
}

int cudaPeekAtLastError(void) { return last_error; }

int cudaGetLastError(void) {
    int error = last_error;
    last_error = SUCCESS;
    return error;
}

int cudaRuntimeGetVersion(int *version) {
    ANSWER_ERROR();
    *version = number("FAKE_CUDA_RUNTIME", 12050);
    return SUCCESS;
}

/* The runtime asks the driver, as the real one does. */
int cudaGetDeviceCount(int *count) {
    ANSWER_ERROR();
    void *driver = dlopen("libcuda.so.1", RTLD_LAZY);
    int (*query)(int *) = driver ? (int (*)(int *))dlsym(driver, "cuDeviceGetCount") : NULL;
    return query ? query(count) : INSUFFICIENT_DRIVER;
}

int cudaSetDevice(int device) {
    ANSWER_ERROR();
    chosen_device = device;
    return SUCCESS;
}

int cudaGetDevice(int *device) {
    ANSWER_ERROR();
    *device = chosen_device;
    return SUCCESS;
}

int cudaGetDeviceProperties_v2(Properties *properties, int device) {
    ANSWER_ERROR();
    memset(properties, 0, sizeof *properties);
    properties->warp_size.value = 32;
    properties->threads_per_block.value = 1024;
    properties->major.value = number("FAKE_CUDA_CAPABILITY", 90) / 10;
    properties->multiprocessors.value = 132;
    properties->threads_per_multiprocessor.value = 2048;
    return SUCCESS;
}

int cudaDeviceGetStreamPriorityRange(int *least, int *greatest) {
    ANSWER_ERROR();
    *least = 0;
    *greatest = -5;
    return SUCCESS;
}

int cudaLaunchKernel(void) { return last_error = status_of(__func__, NO_KERNEL_IMAGE_FOR_DEVICE); }

/* Compiled code hands its kernels over at load, and each launch's shape right before the launch. */
int __cudaPushCallConfiguration(void) { return SUCCESS; }

int __cudaPopCallConfiguration(Dim3 *grid, Dim3 *block, size_t *shared_bytes, void **stream) {
    *grid = *block = (Dim3){1, 1, 1};
    *shared_bytes = 0;
    *stream = NULL;
    return SUCCESS;
}

void **__cudaRegisterFatBinary(void) {
    static void *binary;
    return &binary;
}

void __cudaRegisterFatBinaryEnd(void) {}
void __cudaRegisterFunction(void) {}
void __cudaRegisterVar(void) {}
void __cudaUnregisterFatBinary(void) {}
