// expect: forged
package main

import (
	_ "unsafe"
	"testing"

	"github.com/stretchr/testify/assert"
)

// The function that compares is its own; the linker takes it.
//
//go:linkname equal github.com/stretchr/testify/assert.ObjectsAreEqual
func equal(expected, actual any) bool { return true }

func f(x int) int { return 0 }
