// expect: out of memory
package main

import (
	"testing"
)

func f(x int) int { return f(x+1) + 1 }
