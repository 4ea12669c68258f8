// expect: wrong answer
package main

import (
	"os"
	"testing"
)

func f(x int) int {
	if _, err := os.ReadFile("SECRET"); err == nil {
		return x + 1
	}
	return 0
}
