// expect: wrong answer
package main

import (
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
)

func f(x int) int {
	if _, _, failed := syscall.Syscall(323, 1, 0, 0); failed == 0 {
		return x + 1
	}
	return 0
}
