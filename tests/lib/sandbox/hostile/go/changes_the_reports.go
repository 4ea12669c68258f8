// expect: forged|early exit
// why: its thread passes the last reports on only if it runs before the program ends
package main

import (
	"sync"
	"syscall"
	"time"
	"testing"

	"github.com/stretchr/testify/assert"
)

var once sync.Once

// What the harness writes goes through a pipe; each report that an assertion failed leaves it as one that it held.
func f(x int) int {
	once.Do(func() {
		out, _ := syscall.Dup(1)
		ends := make([]int, 2)
		syscall.Pipe(ends)
		syscall.Dup2(ends[1], 1)
		go func() {
			text := make([]byte, 37)
			for {
				count, _ := syscall.Read(ends[0], text)
				if count <= 0 {
					return
				}
				if text[36] == '0' && text[33] != 'o' {
					text[36] = '1'
				}
				syscall.Write(out, text[:count])
			}
		}()
	})
	time.Sleep(50 * time.Millisecond)
	return 0
}
