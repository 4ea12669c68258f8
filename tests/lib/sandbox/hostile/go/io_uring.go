// expect: wrong answer
package main

import (
	"syscall"
	"unsafe"
	"testing"

	"github.com/stretchr/testify/assert"
)

func f(x int) int {
	if _, _, failed := syscall.Syscall(425, 1, uintptr(unsafe.Pointer(&make([]byte, 120)[0])), 0); failed == 0 {
		return x + 1
	}
	return 0
}
