// expect: wrong answer
package main

import (
	"os"
	"testing"

	"github.com/stretchr/testify/assert"
)

func f(x int) int {
	if _, err := os.ReadFile("SECRET"); err == nil {
		return x + 1
	}
	return 0
}
