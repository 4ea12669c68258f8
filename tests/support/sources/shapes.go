package shapes

// Largest returns the greatest of the numbers,
// or zero where there are none.
func Largest(numbers []int) int {
	best := 0
	for _, n := range numbers {
		if n > best {
			best = n
		}
	}
	return best
}

func (b *Box) Volume() float64 {
	return b.width * b.height * b.depth
}
