// The GPU's part of the coreset selection that is not a matrix product. gpu.py launches these; cpu.py has their twins.
// Rows are __half or float; distances are float64, in the very order of cpu.py's _distance, without fused
// multiply-adds, so that both give the same bits.
#include <cuda_fp16.h>

namespace {

// NVRTC, which cupy compiles with, has no INFINITY.
__device__ float infinity() { return __int_as_float(0x7f800000); }

__device__ double wide(float x) { return x; }
__device__ double wide(__half x) { return __half2float(x); }

__device__ double warp_min(double value) {
    for (int step = 16; step; step /= 2) value = fmin(value, __shfl_xor_sync(~0u, value, step));
    return value;
}

__device__ double warp_sum(double value) {
    for (int step = 16; step; step /= 2) value += __shfl_xor_sync(~0u, value, step);
    return value;
}

template <typename T>
__device__ double distance(const T* x, const T* y, int dimension) {
    double sum[8] = {0, 0, 0, 0, 0, 0, 0, 0};
    int whole = dimension / 8 * 8;
    for (int i = 0; i < whole; i += 8) {
#pragma unroll
        for (int lane = 0; lane < 8; ++lane) {
            double t = wide(x[i + lane]) - wide(y[i + lane]);
            sum[lane] = __dadd_rn(sum[lane], __dmul_rn(t, t));
        }
    }
    for (int i = whole; i < dimension; ++i) {
        double t = wide(x[i]) - wide(y[i]);
        sum[0] = __dadd_rn(sum[0], __dmul_rn(t, t));
    }
    return ((sum[0] + sum[1]) + (sum[2] + sum[3])) + ((sum[4] + sum[5]) + (sum[6] + sum[7]));
}

// One warp a row: the squared length, in any order (it serves bounds only).
template <typename T>
__device__ void squares(const T* rows, long long count, int dimension, double* out) {
    long long row = (blockIdx.x * (long long)blockDim.x + threadIdx.x) / 32;
    if (row >= count) return;
    double total = 0;
    for (int i = threadIdx.x % 32; i < dimension; i += 32) {
        double x = wide(rows[row * dimension + i]);
        total += x * x;
    }
    total = warp_sum(total);
    if (threadIdx.x % 32 == 0) out[row] = total;
}

// One thread a column of a block of `size` rows: float64 sums in row order.
template <typename T>
__device__ void block_sums(const T* rows, long long count, int dimension, int size, double* out) {
    int column = blockIdx.x * blockDim.x + threadIdx.x;
    long long first = blockIdx.y * (long long)size;
    if (column >= dimension) return;
    double total = 0;
    for (long long row = first; row < first + size && row < count; ++row)
        total = __dadd_rn(total, wide(rows[row * dimension + column]));
    out[blockIdx.y * (long long)dimension + column] = total;
}

// One warp a row: the least float64 distance to the centres that its upper bound leaves in question.
template <typename T>
__device__ void settle(const float* products, const T* vectors, const T* centres, const double* lower,
                       const double* centre_lower, const double* upper, int rows, int count, int dimension,
                       double* out) {
    int row = (blockIdx.x * blockDim.x + threadIdx.x) / 32, lane = threadIdx.x % 32;
    if (row >= rows) return;
    const float* product = products + row * (long long)count;
    double best = infinity();
    for (int j = lane; j < count; j += 32) {
        if (lower[row] + centre_lower[j] - 2.0 * product[j] <= fmin(upper[row], best))
            best = fmin(best, distance(vectors + row * (long long)dimension, centres + j * (long long)dimension, dimension));
    }
    best = warp_min(best);
    if (lane == 0) out[row] = best;
}

}  // namespace

extern "C" {

// One warp a row: lower its bound by the products with centres start to stop.
__global__ void lower_bounds(const float* products, const float* centre_upper, const double* scaled_squares, int rows,
                             int columns, double* upper) {
    int row = (blockIdx.x * blockDim.x + threadIdx.x) / 32;
    if (row >= rows) return;
    float least = infinity();
    for (int j = threadIdx.x % 32; j < columns; j += 32)
        least = fminf(least, centre_upper[j] - 2.0f * products[row * (long long)columns + j]);
    double lowest = warp_min(least);
    if (threadIdx.x % 32 == 0) upper[row] = fmin(upper[row], scaled_squares[row] + lowest);
}

__global__ void squares_half(const __half* rows, long long count, int dimension, double* out) {
    squares(rows, count, dimension, out);
}
__global__ void squares_float(const float* rows, long long count, int dimension, double* out) {
    squares(rows, count, dimension, out);
}
__global__ void block_sums_half(const __half* rows, long long count, int dimension, int size, double* out) {
    block_sums(rows, count, dimension, size, out);
}
__global__ void block_sums_float(const float* rows, long long count, int dimension, int size, double* out) {
    block_sums(rows, count, dimension, size, out);
}
__global__ void settle_half(const float* products, const __half* vectors, const __half* centres, const double* lower,
                            const double* centre_lower, const double* upper, int rows, int count, int dimension,
                            double* out) {
    settle(products, vectors, centres, lower, centre_lower, upper, rows, count, dimension, out);
}
__global__ void settle_float(const float* products, const float* vectors, const float* centres, const double* lower,
                             const double* centre_lower, const double* upper, int rows, int count, int dimension,
                             double* out) {
    settle(products, vectors, centres, lower, centre_lower, upper, rows, count, dimension, out);
}
}
