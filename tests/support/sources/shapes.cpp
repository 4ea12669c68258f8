#include <vector>

// The mean of the values.
template <typename T>
T mean(const std::vector<T>& values) {
    T sum = 0;
    for (const T& value : values) sum += value;
    return sum / values.size();
}

int Grid::cell(int row, int column) const {
    const int index = row * width_ + column;
    return cells_[index];
}

const char& first_of(const char* text) {
    const char& first = text[0];
    return first;
}
