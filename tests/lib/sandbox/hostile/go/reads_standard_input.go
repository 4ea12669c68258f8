// expect: wrong answer
package main

import (
	"os"
	"testing"

	"github.com/stretchr/testify/assert"
)

func f(x int) int {
	for n := uintptr(0); n < 20; n++ {
		if n == 1 || n == 2 {
			continue
		}
		file := os.NewFile(n, "x")
		if file == nil {
			continue
		}
		file.Seek(0, 0)
		if read, _ := file.Read(make([]byte, 99)); read > 0 {
			return x + 1
		}
	}
	return 0
}
