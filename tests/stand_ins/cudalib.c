/* Stand-ins for cuDNN and for the libraries of CUDA's toolkit but its runtime: -DCUDNN, -DCUBLAS, -DCUBLASLT say which.
 *
 * They hold what TensorFlow calls before it computes anything; without such a name the library is empty. The
 * environment is read at every call; besides what `fake.h` lists:
 *   FAKE_CUDNN_VERSION=90300    version of cuDNN (8907 is 8.9.7)
 * Names, signatures and numbers are those of cudnn.h, cublas_api.h and cublasLt.h.
 */
#include "fake.h"

#define CREATE(function)               \
    int function(void **handle) {      \
        static int library;            \
        ANSWER_ERROR();                \
        *handle = &library;            \
        return 0;                      \
    }

#ifdef CUDNN

enum { SUCCESS = 0, BAD_PARAM = 2000, MAJOR = 0, MINOR = 1, PATCH = 2 };

size_t cudnnGetVersion(void) { return (size_t)number("FAKE_CUDNN_VERSION", 90300); }

int cudnnGetProperty(int property, int *value) {
    ANSWER_ERROR();
    int version = (int)cudnnGetVersion(), major_unit = version < 90000 ? 1000 : 10000;
    switch (property) {
        case MAJOR: *value = version / major_unit; return SUCCESS;
        case MINOR: *value = version % major_unit / 100; return SUCCESS;
        case PATCH: *value = version % 100; return SUCCESS;
        default: return BAD_PARAM;
    }
}

CREATE(cudnnCreate)
int cudnnDestroy(void) { return status_of(__func__, SUCCESS); }
int cudnnSetStream(void) { return status_of(__func__, SUCCESS); }
const char *cudnnGetErrorString(int status) { return status ? "CUDNN_STATUS_OF_STAND_IN" : "CUDNN_STATUS_SUCCESS"; }

#elif defined CUBLAS

CREATE(cublasCreate_v2)
int cublasDestroy_v2(void) { return status_of(__func__, 0); }
int cublasSetStream_v2(void) { return status_of(__func__, 0); }
const char *cublasGetStatusString(int status) { return status ? "status of the stand-in" : "success"; }

#elif defined CUBLASLT

CREATE(cublasLtCreate)
int cublasLtDestroy(void) { return status_of(__func__, 0); }

#endif
