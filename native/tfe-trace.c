/*
 * Proof of where TensorFlow ran an operation. Stands between the Node addon and TensorFlow's C API and writes, for every TFE_Execute that succeeded, one
 * line to the file descriptor named in OPCOMPAT_TFE_TRACE_FD:
 *   operation <TAB> device that ran it <TAB> device that holds its first output
 * (TFE_TensorHandleDeviceName and TFE_TensorHandleBackingDeviceName of tensorflow/c/eager/c_api.h; "-" where an operation has no output).
 * Compiled by `npm run setup` into libtfe_trace.so, which the addon names before TensorFlow's own library, so that this TFE_Execute is found first.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct TFE_Op TFE_Op;
typedef struct TFE_TensorHandle TFE_TensorHandle;
typedef struct TF_Status TF_Status;
typedef void (*Execute)(TFE_Op*, TFE_TensorHandle**, int*, TF_Status*);

extern const char* TFE_OpGetName(const TFE_Op*, TF_Status*);
extern const char* TFE_TensorHandleDeviceName(TFE_TensorHandle*, TF_Status*);
extern const char* TFE_TensorHandleBackingDeviceName(TFE_TensorHandle*, TF_Status*);
extern TF_Status* TF_NewStatus(void);
extern void TF_DeleteStatus(TF_Status*);
extern int TF_GetCode(const TF_Status*);

static int trace_fd(void) {
  const char* text = getenv("OPCOMPAT_TFE_TRACE_FD");
  return text && *text ? atoi(text) : -1;
}
static const char* known(const char* text) { return text ? text : "-"; }

void TFE_Execute(TFE_Op* op, TFE_TensorHandle** outputs, int* count, TF_Status* status) {
  static Execute real;
  static int fd = -2;
  if (!real) *(void**)&real = dlsym(RTLD_NEXT, "TFE_Execute");
  if (!real) {
    fputs("opcompat: TensorFlow's TFE_Execute was not found\n", stderr);
    abort();
  }
  if (fd == -2) fd = trace_fd();
  real(op, outputs, count, status);
  if (fd < 0 || TF_GetCode(status) != 0) return;
  TF_Status* own = TF_NewStatus();
  char line[1024];
  int n = snprintf(line, sizeof line, "%s\t%s\t%s\n", known(TFE_OpGetName(op, own)),
                   *count > 0 ? known(TFE_TensorHandleDeviceName(outputs[0], own)) : "-",
                   *count > 0 ? known(TFE_TensorHandleBackingDeviceName(outputs[0], own)) : "-");
  TF_DeleteStatus(own);
  if (n >= (int)sizeof line) n = sizeof line - 1;
  if (write(fd, line, n) != n) fputs("opcompat: the trace of TensorFlow's operations could not be written\n", stderr);
}
