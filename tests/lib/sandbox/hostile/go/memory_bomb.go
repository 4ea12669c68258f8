// expect: out of memory
package main

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

func f(x int) int {
	var l [][]byte
	for {
		b := make([]byte, 1<<24)
		for i := range b {
			b[i] = 1
		}
		l = append(l, b)
	}
}
