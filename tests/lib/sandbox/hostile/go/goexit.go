// expect: early exit
package main

import (
	"runtime"
	"testing"
)

func f(x int) int { runtime.Goexit(); return 0 }
