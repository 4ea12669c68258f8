// expect: wrong answer
package main

import (
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
)

func f(x int) int {
	if _, _, failed := syscall.Syscall(250, 0, ^uintptr(2), 1); failed == 0 {
		return x + 1
	}
	return 0
}
