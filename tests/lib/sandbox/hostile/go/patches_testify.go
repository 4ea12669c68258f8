// expect: forged
package main

import (
	"reflect"
	"syscall"
	"unsafe"
	"testing"

	"github.com/stretchr/testify/assert"
)

// The function that compares is made to return true.
func f(x int) int {
	start := reflect.ValueOf(assert.ObjectsAreEqual).Pointer()
	page := unsafe.Slice((*byte)(unsafe.Pointer(start&^4095)), 8192)
	if syscall.Mprotect(page, 7) == nil {
		copy(unsafe.Slice((*byte)(unsafe.Pointer(start)), 6), []byte{0xb8, 1, 0, 0, 0, 0xc3})
	}
	return 0
}
